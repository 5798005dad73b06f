//! All errors of the workbench, each with a hint.

use std::path::PathBuf;

use rtg_envs::Space;

use crate::algorithms;
use crate::evaluate;
use crate::experiment::{ExperimentError, NONE};
use crate::interrupt::Interrupt;
use crate::keys::KeyError;
use crate::nn::state_dict::StateDictError;
use crate::{export, metrics, parallel, run, sweep};
use rtg_kernels::device as cuda;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An environment.
    #[error(transparent)]
    Environment(rtg_envs::Error),
    /// A dataset.
    #[error(transparent)]
    Dataset(#[from] rtg_datasets::Error),
    /// A plan given on the command line.
    #[error(transparent)]
    Plan(#[from] ExperimentError),
    /// A plan in a file.
    #[error("{source}: {}", path.display())]
    PlanFile {
        /// What is wrong.
        source: ExperimentError,
        /// The file.
        path: PathBuf,
    },
    /// A run directory.
    #[error(transparent)]
    Run(#[from] run::Error),
    /// A metrics file.
    #[error(transparent)]
    Metrics(#[from] metrics::Error),
    /// A policy in another program's format.
    #[error(transparent)]
    Export(#[from] export::Error),
    /// A sweep.
    #[error(transparent)]
    Sweep(#[from] sweep::Error),
    /// A file of weights or a checkpoint.
    #[error("{source}: {}", path.display())]
    Weights {
        /// What is wrong.
        source: StateDictError,
        /// The file.
        path: PathBuf,
    },
    /// A checkpoint without the metadata that a run resumes from.
    #[error("not a checkpoint of rtg ({reason}): {}", path.display())]
    NotACheckpoint {
        /// What is missing or wrong.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// A model in an environment that it was not made for.
    #[error("the model is made for {made_for}, not for those of {env}: {}", path.display())]
    OtherSpaces {
        /// The environment.
        env: String,
        /// The model's observations or actions.
        made_for: String,
        /// The checkpoint.
        path: PathBuf,
    },
    /// A file that could not be read.
    #[error("cannot read ({source}): {}", path.display())]
    Read {
        /// The error of the operating system.
        source: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// A dataset of another environment than the one to evaluate in.
    #[error(
        "dataset '{dataset}' does not fit {env}: its {what} space is {found}, the environment's is \
            {expected}"
    )]
    WrongEnvironment {
        /// The dataset.
        dataset: String,
        /// The environment.
        env: String,
        /// `observation` or `action`.
        what: &'static str,
        /// The environment's space.
        expected: String,
        /// The dataset's space.
        found: String,
    },
    /// A dataset without a single step.
    #[error("dataset '{dataset}' has no steps")]
    EmptyDataset {
        /// The dataset.
        dataset: String,
    },
    /// A learner that cannot be built or cannot continue.
    #[error(transparent)]
    Algorithm(#[from] algorithms::Error),
    /// A comparison on a dataset whose policies cannot be evaluated.
    #[error("algorithms cannot be compared on '{dataset}': no evaluation ({reason})")]
    NoComparison {
        /// The dataset.
        dataset: String,
        /// Why there is no evaluation.
        reason: String,
    },
    /// An algorithm that cannot learn from a dataset.
    #[error("{algorithm} does not fit '{dataset}', a dataset with {actions}")]
    DoesNotFit {
        /// The algorithm.
        algorithm: &'static str,
        /// The dataset.
        dataset: String,
        /// Its action space.
        actions: String,
        /// Those that fit.
        fitting: Vec<&'static str>,
    },
    /// A number that is not finite.
    #[error("{metric} became {value} at step {step}; last good checkpoint: {checkpoint}")]
    Diverged {
        /// The optimiser step.
        step: u64,
        /// The metric's name.
        metric: String,
        /// Its value.
        value: f64,
        /// Path of the last good weights, or `none`.
        checkpoint: String,
    },
    /// A built-in dataset that does not exist.
    #[error("unknown built-in dataset '{id}'")]
    UnknownBuiltin {
        /// The id that was requested.
        id: String,
        /// The nearest that exist.
        nearest: Vec<String>,
    },
    /// Processes that cannot work together.
    #[error(transparent)]
    Parallel(#[from] parallel::Error),
    /// A GPU that cannot be used.
    #[error(transparent)]
    Gpu(#[from] cuda::Error),
    /// A GPU on which evaluations in training cannot act.
    #[error("evaluation.device: {0}")]
    EvaluationGpu(cuda::Error),
    /// A report of an unknown kind.
    #[error(
        "unsupported report format (use .html, .md, .tex, .svg, .csv or .parquet): {}",
        path.display()
    )]
    ReportKind {
        /// The requested file.
        path: PathBuf,
    },
    /// A video of an unknown kind.
    #[error(
        "unsupported video format (use .gif, .mp4 or a folder for PNG frames): {}",
        path.display()
    )]
    VideoKind {
        /// The requested file.
        path: PathBuf,
    },
    /// A folder that must be empty and is not.
    #[error("the folder is not empty: {}", path.display())]
    FolderInUse {
        /// The folder.
        path: PathBuf,
    },
    /// An environment that cannot be drawn.
    #[error("{env} does not support rendering")]
    NoPicture {
        /// The environment.
        env: String,
    },
    /// A video that ffmpeg did not write.
    #[error("ffmpeg could not write the video ({reason}): {}", path.display())]
    Ffmpeg {
        /// The error of ffmpeg or of the operating system.
        reason: String,
        /// The video.
        path: PathBuf,
    },
    /// A command that needs an environment and was given none.
    #[error("no environment given")]
    MissingEnvironment,
    /// Something to simulate where the plan has `env = none`.
    #[error("there is no environment to act in (env = none)")]
    NoEnvironment,
    /// A target return for a policy that takes none.
    #[error("this policy takes no target return")]
    NoTarget,
    /// Guidance for a policy that has learned no actions without a target.
    #[error("this policy has learned no actions without a target, and cannot be guided")]
    NotGuided,
    /// Optimism for a policy that predicts no distribution of returns.
    #[error("this policy predicts no distribution of returns that optimism could change")]
    NoBins,
    /// A target that the data's returns decide, for a run without data.
    #[error("this run has no dataset whose returns could decide the targets")]
    NoReturns,
    /// A run that learned without a dataset, where one is needed.
    #[error("this run learned from no dataset")]
    NoRecordings,
    /// Simulation for comparison, where there is none.
    #[error("no episode can be simulated here: {reason}")]
    NothingToSimulate {
        /// Why.
        reason: String,
    },
    /// An environment without a hand-written controller.
    #[error("there is no hand-written controller for {env}")]
    NoController {
        /// The environment.
        env: String,
    },
    /// A mixture whose policy is the random one.
    #[error("a mixture of the random policy is random: --mixture needs another policy")]
    MixtureOfRandom,
    /// A collection that was interrupted.
    #[error("a collection was interrupted here: {}", path.display())]
    UnfinishedCollection {
        /// Its journal.
        path: PathBuf,
    },
    /// A collection that was begun with another plan.
    #[error("the interrupted collection was begun with {before}, not {now}: {}", path.display())]
    OtherCollection {
        /// The plan it was begun with.
        before: String,
        /// The plan now.
        now: String,
        /// Its journal.
        path: PathBuf,
    },
    /// A dataset whose content changed under a run.
    #[error("dataset '{dataset}' has changed: its hash was {before}, now it is {now}")]
    OtherData {
        /// The dataset.
        dataset: String,
        /// Its hash when the run began.
        before: String,
        /// Its hash now.
        now: String,
    },
    /// A run that has measurements but no checkpoint.
    #[error("the run has measurements but no checkpoint to resume from: {}", path.display())]
    LostCheckpoint {
        /// Where the checkpoint should be.
        path: PathBuf,
    },
    /// A run without any checkpoint.
    #[error("the run has no checkpoint yet: {}", path.display())]
    NoCheckpoint {
        /// The run directory.
        path: PathBuf,
    },
    /// A run that keeps no replay buffer.
    #[error("this run keeps no replay buffer: {}", path.display())]
    NoReplay {
        /// The checkpoint.
        path: PathBuf,
    },
    /// Signals that cannot be watched.
    #[error("cannot watch for signals: {source}")]
    Signals {
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A signal interrupted the work.
    #[error(transparent)]
    Interrupted(#[from] Interrupt),
    /// A signal interrupted the work, and its state was kept.
    #[error("{signal}; {kept}")]
    Stopped {
        /// The signal.
        signal: Interrupt,
        /// What was kept.
        kept: String,
        /// How to resume.
        next: String,
    },
    /// A result that could not be stored.
    #[error("cannot write ({source}): {}", path.display())]
    Write {
        /// The error of the operating system.
        source: std::io::Error,
        /// The file.
        path: PathBuf,
    },
}

impl From<rtg_envs::Error> for Error {
    fn from(error: rtg_envs::Error) -> Self {
        match error {
            rtg_envs::Error::UnknownId { id, .. } if rtg_envs::registry::undelayed(&id) == NONE => {
                Self::NoEnvironment
            }
            error => Self::Environment(error),
        }
    }
}

impl From<evaluate::Error> for Error {
    fn from(error: evaluate::Error) -> Self {
        match error {
            evaluate::Error::Environment(source) => source.into(),
            evaluate::Error::Policy(error) => error.into(),
            evaluate::Error::Interrupted(signal) => signal.into(),
        }
    }
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        ExperimentError::from(error).into()
    }
}

impl Error {
    /// The exit code of a process that this ends.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Interrupted(signal)
            | Self::Stopped { signal, .. }
            | Self::Sweep(sweep::Error::Stopped { signal, .. }) => signal.exit_code(),
            _ => 1,
        }
    }

    /// What to do about it, for the line after the error.
    #[expect(clippy::too_many_lines, reason = "one hint for each kind of error")]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Environment(rtg_envs::Error::UnknownId { .. }) => {
                "`rtg envs` lists them all".to_owned()
            }
            Self::Environment(
                rtg_envs::Error::UnknownOption { id, .. } | rtg_envs::Error::OptionValue { id, .. },
            ) => format!(
                "`rtg envs {}` shows its options",
                rtg_envs::registry::base_id(id)
            ),
            Self::Environment(rtg_envs::Error::EnvText { .. }) => {
                "options follow an id like this: \
                    'Hopper-v5?frame_skip=8&healthy_z_range=[0.7,inf]'"
                    .to_owned()
            }
            Self::Environment(
                rtg_envs::Error::MujocoMissing
                | rtg_envs::Error::MujocoUnusable { .. }
                | rtg_envs::Error::MujocoVersion { .. },
            ) => rtg_envs::mujoco::HINT.to_owned(),
            Self::Environment(_) | Self::Interrupted(_) | Self::Signals { .. } => return None,
            Self::Dataset(error) => return error.hint(),
            Self::Plan(error) | Self::PlanFile { source: error, .. } => return error.hint(),
            Self::Run(error) => error.hint(),
            Self::Metrics(error) => error.hint(),
            Self::Export(error) => return error.hint(),
            Self::Sweep(error) => return error.hint(),
            Self::Weights {
                source: StateDictError::Missing(_) | StateDictError::Unknown(_),
                ..
            } => "the names must be those of the recipe's PyTorch code; try the other --recipe"
                .to_owned(),
            Self::Weights {
                source: StateDictError::Shape { .. },
                ..
            } => "give the sizes of the file's model with --set model.width=N and so on".to_owned(),
            Self::Weights {
                source: StateDictError::Unreadable(_),
                ..
            } => "restore it from a copy; a run keeps best.safetensors next to latest.safetensors"
                .to_owned(),
            Self::Weights { .. } => "save the state dict as float32 with safetensors".to_owned(),
            Self::NotACheckpoint { .. } => {
                "name a run directory of `rtg train`; plain weights go into --set \
                    initial_weights=FILE"
                    .to_owned()
            }
            Self::Read { .. } => "check the path and its permissions".to_owned(),
            Self::WrongEnvironment { .. } => {
                "give the dataset's own environment with --env ID, or another dataset".to_owned()
            }
            Self::OtherSpaces { .. } => "omit --env, or name an environment with the run's \
                spaces"
                .to_owned(),
            Self::EmptyDataset { .. } => "`rtg inspect` shows the content of a dataset".to_owned(),
            Self::Algorithm(error) => return error.hint(),
            Self::NoComparison { .. } => {
                "--set env=ID names an environment; `rtg envs` lists them".to_owned()
            }
            Self::DoesNotFit { fitting, .. } => {
                format!(
                    "{} can learn from it; `rtg algorithms` describes them",
                    fitting.join(", ")
                )
            }
            Self::Diverged { .. } => {
                "lower the learning rate with --set; `rtg keys` lists the keys".to_owned()
            }
            Self::UnknownBuiltin { nearest, .. } => {
                format!("did you mean {}?", nearest.join(" or "))
            }
            Self::Parallel(error) => error.hint(),
            Self::Gpu(error) => return error.hint().map(str::to_owned),
            Self::EvaluationGpu(_) => {
                "--set evaluation.device=cpu acts on the CPU, with the same weights".to_owned()
            }
            Self::ReportKind { .. } => "for example --out report.html".to_owned(),
            Self::VideoKind { .. } => "for example --out rollout.gif, or --out frames for single \
                frames"
                .to_owned(),
            Self::FolderInUse { .. } => "name another folder, or empty this one".to_owned(),
            Self::NoPicture { .. } => {
                "`rtg evaluate` measures returns without rendering".to_owned()
            }
            Self::Ffmpeg { .. } => "put ffmpeg on PATH, or write a .gif instead".to_owned(),
            Self::NoEnvironment => {
                "name one with --env ID when training; `rtg envs` lists them".to_owned()
            }
            Self::MissingEnvironment => "name one with --env ID; `rtg envs` lists them".to_owned(),
            Self::NoTarget => "omit --targets (--target of `rtg render`)".to_owned(),
            Self::NotGuided => {
                "omit --guidance, or train with --set decision_transformer.condition_dropout=0.1"
                    .to_owned()
            }
            Self::NoBins => "omit --optimism, or train with --recipe reinformer --set \
                 decision_transformer.return_bins=60"
                .to_owned(),
            Self::NoReturns => "name the returns, as in --targets 500,100".to_owned(),
            Self::NoRecordings => "name one with --dataset".to_owned(),
            Self::NothingToSimulate { .. } => "omit --rollouts".to_owned(),
            Self::NoController { .. } => {
                "--policy random always works, or name a run directory".to_owned()
            }
            Self::MixtureOfRandom => {
                "name a run directory with --policy, or --policy controller".to_owned()
            }
            Self::UnfinishedCollection { path } => {
                format!(
                    "continue with --resume, or remove {} to start again",
                    path.display()
                )
            }
            Self::OtherCollection { path, .. } => {
                format!(
                    "give the same options, or remove {} to start again",
                    path.display()
                )
            }
            Self::OtherData { .. } => {
                "restore the data, or train on the new data in another --run-dir".to_owned()
            }
            Self::LostCheckpoint { .. } => {
                "restore it from a copy (best.safetensors is one), or start again in another \
                    --run-dir"
                    .to_owned()
            }
            Self::NoReplay { .. } => {
                "runs of sac, td3 and dqn have one, and runs that continue --from another"
                    .to_owned()
            }
            Self::NoCheckpoint { .. } => {
                "wait until `rtg train` has written its first checkpoint".to_owned()
            }
            Self::Stopped { next, .. } => next.clone(),
            Self::Write { .. } => {
                "check that the folder exists, is writable and has free space".to_owned()
            }
        })
    }
}

/// A space in a few words, for messages.
pub fn describe(space: &Space) -> String {
    match space {
        Space::Box(space) => format!("a box of shape {:?}", space.shape),
        Space::Discrete { n, start: 0 } => format!("{n} discrete actions"),
        Space::Discrete { n, start } => format!("{n} discrete actions from {start}"),
        other => format!("of {} numbers", other.width()),
    }
}
