//! `rtg collect`: records a policy as a dataset.

use std::fmt::Write;
use std::path::Path;

use clap::Args;
use clap::builder::PossibleValuesParser;
use rtg_datasets::Target;
use rtg_envs::registry;
use serde_json::json;

use super::progress::bar;
use super::{Format, format, print, print_json, watch};
use crate::behaviour::mixture::{MIXTURES, Part};
use crate::behaviour::{Noisy, Random, controller};
use crate::collect::{Collection, CollectionPlan, is_complete};
use crate::error::Error;
use crate::experiment::{self, default_threads};
use crate::policy::{Mode, Policy};
use crate::trained::{TrainedPolicy, Which};

/// Environments that are stepped together.
const ROWS: usize = 32;

/// Record a policy in an environment as a dataset.
#[derive(Args)]
#[command(
    after_help = "Episode e starts from seed + e. An interrupted collection continues with --resume and \
    gives the same dataset.\n\n\
    Example: rtg collect --env Pendulum-v1 --policy controller --noise 0.2 --steps 50000 --out me/pendulum/noisy-v0"
)]
pub(super) struct Collect {
    /// Environment id [default: the run's].
    #[arg(long)]
    env: Option<String>,
    /// random, controller (written by hand), or a run directory of `rtg train`.
    #[arg(long, default_value = "random")]
    policy: String,
    /// Steps, at least; the last episode is completed.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Seed of the first episode's start.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Minari id of the new dataset (namespace/name-v0), or its path (./name-v0, file.hdf5).
    #[arg(long)]
    out: String,
    /// hdf5, arrow, parquet (of Minari), or d4rl.
    #[arg(long, default_value = "hdf5", value_parser = format)]
    format: Format,
    /// Target returns of a run's policy, used in turn, as in `rtg evaluate` [default: the run's].
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    targets: Option<Vec<experiment::Target>>,
    /// Noise on actions, 0 to 1: the probability of a random choice, or a fraction of the range.
    #[arg(long, default_value_t = 0.0, value_parser = noise)]
    noise: f64,
    /// Shares with different noise, as in the built-in datasets: `mixed` is 10 % random actions, 25
    /// % with noise 0.5, 25 % with 0.2 and 40 % with none; `random` and `expert` are one of these
    /// alone.
    #[arg(long, value_parser = PossibleValuesParser::new(MIXTURES.map(|(name, _)| name)), conflicts_with = "noise")]
    mixture: Option<String>,
    /// Which checkpoint of a run.
    #[arg(long, value_enum, default_value_t = Which::Latest)]
    checkpoint: Which,
    /// Continue an interrupted collection.
    #[arg(long)]
    resume: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

fn noise(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let valid = (0.0..=1.0).contains(&number);
    valid
        .then_some(number)
        .ok_or("must be between 0 and 1".to_owned())
}

impl Collect {
    fn mixture(&self) -> Result<&'static [Part], Error> {
        match &self.mixture {
            None => Ok(&[]),
            Some(_) if self.policy == "random" => Err(Error::MixtureOfRandom),
            Some(wanted) => {
                let found = MIXTURES.iter().find(|(name, _)| name == wanted);
                Ok(found.map_or(&[], |(_, parts)| parts))
            }
        }
    }

    pub(super) fn run(self) -> Result<(), Error> {
        let trained = match self.policy.as_str() {
            "random" | "controller" => None,
            run => Some(TrainedPolicy::open(
                Path::new(run),
                self.checkpoint,
                self.env.as_deref(),
            )?),
        };
        let env = self
            .env
            .clone()
            .or(trained.as_ref().map(|trained| trained.env.clone()));
        let env = env.ok_or(Error::MissingEnvironment)?;
        let spec = registry::spec(&env)?;
        let env = spec.id.clone();
        let targets = match (&trained, &self.targets) {
            (Some(trained), given) => trained.targets(given.as_deref())?.0,
            (None, Some(_)) => return Err(Error::NoTarget),
            (None, None) => Vec::new(),
        };
        let plan = CollectionPlan {
            env: env.clone(),
            steps: self.steps as usize,
            seed: self.seed,
            targets,
            policy: match &trained {
                None => self.policy.clone(),
                Some(trained) => format!("{} after {} steps", self.policy, trained.step),
            },
            noise: self.noise,
            mixture: self.mixture()?,
            rows: ROWS,
            threads: default_threads(),
        };
        let out = Target::named(&self.out, self.format.0, &rtg_datasets::datasets_root());
        if self.policy == "controller" && controller(&env, 0.0, 1).is_none() {
            return Err(Error::NoController { env });
        }
        if self.resume && is_complete(&out)? {
            return if self.json {
                print_json(&json!({ "id": self.out, "env": env, "complete": true }))
            } else {
                print(&format!("{}: already complete\n", self.out))
            };
        }
        let mut collection = if self.resume {
            Collection::resume(plan, &self.out, out)?
        } else {
            Collection::begin(plan, &self.out, out)?
        };
        let bar = bar(self.steps as usize, "steps");
        bar.set_position(collection.steps() as u64);
        let threads = default_threads();
        let random = |rows| Box::new(Random::new(&spec.action_space, rows));
        let mut policy = |noise: Option<f64>, rows: usize| -> Box<dyn Policy> {
            let Some(noise) = noise else {
                return random(rows);
            };
            let policy: Box<dyn Policy> = match &trained {
                Some(trained) => trained.model.policy(Mode::Greedy, rows, threads),
                None => (self.policy == "controller")
                    .then(|| controller(&env, 0.0, rows))
                    .flatten()
                    .unwrap_or_else(|| random(rows)),
            };
            Box::new(Noisy::new(policy, noise, &spec.action_space, rows))
        };
        watch()?;
        collection.play(&mut policy, &mut |steps| bar.set_position(steps as u64))?;
        bar.finish_and_clear();
        let summary = collection.finish()?;
        if self.json {
            return print_json(&json!({
                "id": self.out,
                "env": env,
                "episodes": summary.episodes,
                "steps": summary.steps,
                "left_out": summary.left_out,
            }));
        }
        let mut text = format!(
            "{}: {} episodes, {} steps of {env}\n",
            self.out, summary.episodes, summary.steps
        );
        for what in summary.left_out {
            let _ = writeln!(text, "not written: {what}");
        }
        print(&text)
    }
}
