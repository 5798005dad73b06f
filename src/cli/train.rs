//! `rtg train`: trains a policy in a run directory and evaluates it.

use std::path::{Path, PathBuf};

use clap::Args;
use rtg_datasets::Dataset;
use rtg_datasets::doctor::{Finding, Severity};

use super::harmless::line;
use super::ranks::Ranks;
use super::seeds::Seeds;
use super::{print, watch};
use crate::checkpoint::Checkpoint;
use crate::data::ExperimentData;
use crate::device::Device;
use crate::error::Error;
use crate::experiment::Experiment;
use crate::keys::{Table, Value};
use crate::labels;
use crate::metrics::{HparamValue, Recorder, Terminal};
use crate::parallel::{World, cores};
use crate::report;
use crate::run::{Run, Session, read_text};
use crate::train::{self, LATEST, Training, new_learner};
use rtg_kernels::device as cuda;
use rtg_kernels::simd::Level;

/// Train a policy and evaluate it.
#[derive(Args)]
#[command(
    after_help = "Without arguments: a Decision Transformer on builtin/cartpole/mixed. Values come from the \
    algorithm's recipe, then from the file, then from the options. `rtg algorithms` lists the \
    algorithms, `rtg keys ALGORITHM` the keys for --set.\n\n\
    Examples: rtg train --dataset builtin/pendulum/mixed --set decision_transformer.width=64\n          \
    rtg train --algorithm bc --dataset builtin/cartpole/expert"
)]
pub(super) struct Train {
    /// A TOML file with the differences from the recipe.
    experiment: Option<PathBuf>,
    /// Algorithm [default: the first of `rtg algorithms`].
    #[arg(long, value_name = "NAME")]
    algorithm: Option<String>,
    /// Minari id, path of a Minari or D4RL file, or builtin/<env>/<kind>.
    #[arg(long)]
    dataset: Option<String>,
    /// Offline run to continue in the environment, with its plan, data and weights.
    #[arg(long, value_name = "RUN")]
    from: Option<PathBuf>,
    /// Environment to evaluate in, or to learn in online; none for no evaluation [default: the
    /// dataset's].
    #[arg(long)]
    env: Option<String>,
    /// Published code whose conventions and defaults are used [default: the algorithm's first].
    #[arg(long)]
    recipe: Option<String>,
    /// Optimiser steps; environment steps of an online algorithm.
    #[arg(long)]
    steps: Option<u64>,
    /// Seed of all random numbers.
    #[arg(long)]
    seed: Option<u64>,
    /// Seeds of several runs, trained side by side with one thread each: 0..5 (0 to 4) or 0,1,7.
    #[arg(long, conflicts_with_all = ["seed", "resume", "resume_or_start", "mpi"])]
    seeds: Option<Seeds>,
    /// Number of threads [default: `SLURM_CPUS_PER_TASK`, else all cores].
    #[arg(long)]
    threads: Option<usize>,
    /// Device: cpu, cuda, cuda:N, or auto (a GPU if one is available).
    #[arg(long)]
    device: Option<Device>,
    /// Directory of the run, or with --seeds of the runs [default:
    /// runs/<dataset>-<algorithm>-<recipe>-<seed>].
    #[arg(long)]
    run_dir: Option<PathBuf>,
    /// Continue the run in that directory from its latest checkpoint.
    #[arg(long)]
    resume: bool,
    /// Continue the run in that directory, start it if there is none, do nothing if it is finished.
    #[arg(long, conflicts_with = "resume")]
    resume_or_start: bool,
    /// Any key of the experiment, e.g. optimiser.learning_rate=3e-4. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    ranks: Ranks,
}

impl Train {
    pub(super) fn run(self) -> Result<(), Error> {
        self.ranks.run(|world| self.train(world))
    }

    fn train(&self, world: &World) -> Result<(), Error> {
        let typed = self.layers()?;
        let from = typed.iter().rev().find_map(|layer| layer.get("from"));
        let from = from.and_then(Value::as_str).map(Path::new);
        let inherited = from.map(|run| train::inherited(run, &typed)).transpose()?;
        let mut layers: Vec<Table> = inherited.into_iter().chain(typed.clone()).collect();
        let planned = Experiment::from_layers(&layers)?;
        if let Some(seeds) = &self.seeds {
            return seeds.train(&typed, &planned, &self.run_dir(&planned));
        }
        let run_dir = self.run_dir(&planned);
        let resumes = self.resume || (self.resume_or_start && Run::open(&run_dir).is_ok());
        // The result of rank 0 is used on all ranks.
        let resumes = world.any(world.is_first() && resumes);
        let earlier = resumes.then(|| PreviousRun::shared(&run_dir, world));
        let earlier = earlier.transpose()?;
        if let Some(earlier) = &earlier {
            // It has the data of the run that it continues.
            layers = typed;
            layers.insert(0, earlier.plan.clone());
        }
        if world.size() > 1 {
            let threads = Value::Integer(cores(world) as i64);
            layers.insert(0, Table::from_iter([("threads".to_owned(), threads)]));
        }
        let planned = Experiment::from_layers(&layers)?;
        let stored = earlier
            .as_ref()
            .and_then(|earlier| earlier.labels.as_deref());
        let opened = labels::open(&planned, stored)?;
        let experiment = planned.resolve(&opened.spec, opened.data.as_ref())?;
        if let Device::Cuda(ordinal) = experiment.device {
            cuda::check(ordinal)?;
        }
        let text = experiment.to_toml()?;
        agree(world, &text, &opened)?;
        let checkpoint = earlier
            .as_ref()
            .and_then(|earlier| earlier.checkpoint.as_ref());
        if let Some(earlier) = &earlier {
            earlier.check(&experiment, &opened)?;
            let is_done = self.resume_or_start && earlier.is_done(experiment.steps)?;
            if world.any(is_done) {
                return tell(world, run_dir);
            }
        }
        // All errors in the plan are found before the directory is created.
        let learner = new_learner(&experiment, world, &opened, checkpoint)?;
        watch()?;
        let made;
        let run = match &earlier {
            _ if !world.is_first() => None,
            None => {
                made = Run::create(&run_dir, &text)?;
                Some(&made)
            }
            Some(earlier) => earlier.run.as_ref(),
        };
        if let Some(run) = run {
            if resumes {
                run.write_experiment(&text)?;
            }
            labels::store(run, &experiment, &opened)?;
        }
        let step = checkpoint.map_or(0, |checkpoint| checkpoint.notes.progress.step);
        let (mut sinks, mut warnings) = (Vec::new(), Vec::new());
        if let Some(run) = run {
            Session {
                sinks,
                lost: warnings,
            } = run.open_metrics(resumes.then_some(step))?;
            sinks.push(Box::new(Terminal::new(step, experiment.steps)));
        }
        let mut recorder = introduce(Recorder::new(sinks), &experiment, &opened, &text, &run_dir)?;
        for sentence in warnings {
            recorder.message(&line(&format!("warning: {sentence}")));
        }
        let (place, start) = ((world.clone(), run), (learner, checkpoint));
        Training::new(&experiment, &opened, place, start, recorder)?.run()?;
        tell(world, run_dir)
    }

    /// The layers over the recipe: the file, the options, the settings.
    fn layers(&self) -> Result<Vec<Table>, Error> {
        let mut layers = Vec::new();
        if let Some(path) = &self.experiment {
            let text = read_text(path).map_err(|source| Error::Read {
                source,
                path: path.clone(),
            })?;
            let layer = Experiment::parse_layer(&text)
                .and_then(|layer| {
                    Experiment::from_layers(std::slice::from_ref(&layer)).map(|_| layer)
                })
                .map_err(|source| Error::PlanFile {
                    source,
                    path: path.clone(),
                })?;
            layers.push(layer);
        }
        let mut options = Table::new();
        let device = self.device.map(String::from);
        let from = self.from.as_ref().map(|path| path.display().to_string());
        let texts = [
            ("from", &from),
            ("algorithm", &self.algorithm),
            ("dataset", &self.dataset),
            ("env", &self.env),
            ("recipe", &self.recipe),
            ("device", &device),
        ];
        for (key, value) in texts {
            options.extend(
                value
                    .iter()
                    .map(|value| (key.to_owned(), Value::String(value.clone()))),
            );
        }
        let numbers = [
            ("steps", self.steps),
            ("seed", self.seed),
            ("threads", self.threads.map(|threads| threads as u64)),
        ];
        for (key, value) in numbers {
            options.extend(
                value
                    .iter()
                    .map(|&value| (key.to_owned(), Value::Integer(value as i64))),
            );
        }
        layers.push(options);
        for setting in &self.set {
            layers.push(Experiment::parse_setting(setting)?);
        }
        Ok(layers)
    }

    fn run_dir(&self, planned: &Experiment) -> PathBuf {
        self.run_dir.clone().unwrap_or_else(|| {
            let Experiment {
                dataset,
                env,
                algorithm,
                recipe,
                seed,
                ..
            } = planned;
            let data = dataset.as_ref().or(env.as_ref()).map_or("", String::as_str);
            let online = planned.from.as_ref().map_or("", |_| "-online");
            let seed = match &self.seeds {
                Some(_) => "seeds".to_owned(),
                None => seed.to_string(),
            };
            let name = format!("{data}-{algorithm:?}-{recipe}-{seed}{online}");
            let name: String = (name.to_lowercase().chars())
                .map(|letter| {
                    if letter.is_alphanumeric() || ['.', '_'].contains(&letter) {
                        letter
                    } else {
                        '-'
                    }
                })
                .collect();
            Path::new("runs").join(name.trim_start_matches(['-', '.']))
        })
    }
}

/// The state of an interrupted run: its directory, its plan, and a checkpoint if there is one.
struct PreviousRun {
    /// None if another rank has it.
    run: Option<Run>,
    plan: Table,
    checkpoint: Option<Checkpoint>,
    /// Its labels, if it has any.
    labels: Option<Vec<u8>>,
}

impl PreviousRun {
    fn read(run_dir: &Path) -> Result<Self, Error> {
        let run = Run::resume(run_dir)?;
        let plan = Experiment::parse_layer(&run.experiment()?)?;
        let path = run.checkpoints().join(LATEST);
        let checkpoint = if path.exists() {
            Some(Checkpoint::load(&path)?)
        } else if run.last_step() > Some(first_checkpoint(&plan)?) {
            // Starting again would delete its measurements.
            return Err(Error::LostCheckpoint { path });
        } else {
            // It was stopped before its first checkpoint.
            None
        };
        Ok(Self {
            labels: labels::stored(run.path()),
            run: Some(run),
            plan,
            checkpoint,
        })
    }

    /// Opened by rank 0; the other ranks need no access to the directory.
    fn shared(run_dir: &Path, world: &World) -> Result<Self, Error> {
        let own = world.is_first().then(|| Self::read(run_dir)).transpose()?;
        let send = |bytes: Option<Vec<u8>>| world.broadcast(bytes.unwrap_or_default());
        let plan = own.as_ref().map(|own| own.plan.to_string().into_bytes());
        let checkpoint = own.as_ref().and_then(|own| own.checkpoint.as_ref());
        let checkpoint = checkpoint.filter(|_| world.size() > 1);
        let checkpoint = checkpoint.map(|checkpoint| checkpoint.bytes().to_vec());
        let labels = own.as_ref().and_then(|own| own.labels.clone());
        let (plan, checkpoint, labels) = (send(plan), send(checkpoint), send(labels));
        if let Some(own) = own {
            return Ok(own);
        }
        let path = run_dir.join(LATEST);
        Ok(Self {
            run: None,
            plan: Experiment::parse_layer(&String::from_utf8_lossy(&plan))?,
            checkpoint: (!checkpoint.is_empty())
                .then(|| Checkpoint::of(checkpoint, &path))
                .transpose()?,
            labels: Some(labels),
        })
    }
}

/// The step of a plan's first checkpoint.
fn first_checkpoint(plan: &Table) -> Result<u64, Error> {
    let plan = Experiment::from_layers(std::slice::from_ref(plan))?;
    let evaluation = Some(plan.evaluation.every_for(plan.steps)).filter(|every| *every > 0);
    let first = plan.checkpoint_every.min(plan.steps);
    Ok(evaluation.map_or(first, |every| every.min(first)))
}

impl PreviousRun {
    /// Whether it has a result after this many steps.
    fn is_done(&self, steps: u64) -> Result<bool, Error> {
        let summary = self.run.as_ref().map(Run::summary).transpose()?.flatten();
        Ok(summary.is_some_and(|summary| summary.steps >= steps))
    }

    /// Refuses to continue with another plan, another algorithm's checkpoint or other data.
    fn check(&self, experiment: &Experiment, opened: &ExperimentData) -> Result<(), Error> {
        let before = Experiment::from_layers(std::slice::from_ref(&self.plan))?;
        experiment.continues(&before)?;
        let Some(checkpoint) = &self.checkpoint else {
            return Ok(());
        };
        let notes = &checkpoint.notes;
        if notes.algorithm != experiment.algorithm || notes.recipe != experiment.recipe {
            let found = format!("{:?} ({})", notes.algorithm, notes.recipe);
            return Err(checkpoint.damaged(&format!("it is of {found}")));
        }
        checkpoint.check_fits(&opened.spec)?;
        let hash = opened.data.as_ref().map(Dataset::hash);
        match (&notes.progress.dataset, hash) {
            (Some(before), Some(now)) if *before != now => Err(Error::OtherData {
                dataset: experiment.dataset.clone().unwrap_or_default(),
                before: before.clone(),
                now,
            }),
            _ => Ok(()),
        }
    }
}

/// The run's report, from rank 0.
fn tell(world: &World, run_dir: PathBuf) -> Result<(), Error> {
    if world.is_first() {
        print(&report::markdown(&report::read(&[run_dir])?))?;
    }
    Ok(())
}

/// Checks that all ranks are the same program with the same plan and data.
fn agree(world: &World, plan: &str, opened: &ExperimentData) -> Result<(), Error> {
    let program = format!("{} {:?}", env!("CARGO_PKG_VERSION"), Level::detect());
    world.agree("program or kind of CPU", program.as_bytes())?;
    world.agree("plan", plan.as_bytes())?;
    let hash = opened.data.as_ref().map(Dataset::hash);
    Ok(world.agree("dataset", hash.unwrap_or_default().as_bytes())?)
}

/// Writes a description of the run to every sink.
fn introduce(
    mut recorder: Recorder,
    experiment: &Experiment,
    opened: &ExperimentData,
    plan: &str,
    run_dir: &Path,
) -> Result<Recorder, Error> {
    let (mut hash, mut data) = (String::new(), String::new());
    if let (Some(id), Some(dataset)) = (&experiment.dataset, &opened.data) {
        hash = format!("\ndataset hash: {}\n", dataset.hash());
        let (episodes, steps) = (dataset.episodes(), dataset.steps());
        data = format!("{id}: {episodes} episodes, {steps} steps; ");
    }
    recorder.text("experiment", &format!("```toml\n{plan}```\n{hash}"))?;
    recorder.hparams(&hparams(plan)?)?;
    recorder.message(&line(&format!(
        "{data}{} with {:?} for {} steps into {}",
        opened.spec.id,
        experiment.algorithm,
        experiment.steps,
        run_dir.display()
    )));
    for finding in opened.data.iter().flat_map(Dataset::findings) {
        if finding.severity != Severity::Note {
            let Finding {
                code,
                severity,
                count,
                message,
            } = finding;
            recorder.message(&line(&format!("{severity}: {count} {code}: {message}")));
        }
    }
    if let Some(reason) = &opened.unsimulated {
        recorder.message(&line(&format!("no evaluation: {reason}")));
    }
    Ok(recorder)
}

/// The plan's numbers and words as columns of TensorBoard's table.
fn hparams(plan: &str) -> Result<Vec<(String, HparamValue)>, Error> {
    let mut columns = Vec::new();
    flatten(&Experiment::parse_layer(plan)?, "", &mut columns);
    Ok(columns)
}

fn flatten(table: &Table, prefix: &str, columns: &mut Vec<(String, HparamValue)>) {
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        let value = match value {
            Value::Table(inner) => {
                flatten(inner, &format!("{name}."), columns);
                continue;
            }
            Value::Integer(value) => HparamValue::Number(*value as f64),
            Value::Float(value) => HparamValue::Number(*value),
            Value::Boolean(value) => HparamValue::Flag(*value),
            Value::String(value) => HparamValue::Text(value.clone()),
            other => HparamValue::Text(other.to_string()),
        };
        columns.push((name, value));
    }
}
