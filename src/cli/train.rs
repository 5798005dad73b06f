//! `rtg train`: from a dataset to an evaluated policy in a run directory.

use std::path::{Path, PathBuf};

use clap::Args;
use toml::{Table, Value};

use super::print;
use crate::checkpoint::Checkpoint;
use crate::data::{self, Opened};
use crate::error::Error;
use crate::experiment::{Device, Experiment};
use crate::kernels::device as cuda;
use crate::metrics::{HPARAM_METRICS, HparamValue, Recorder, Terminal};
use crate::report;
use crate::run::Run;
use crate::train::{LATEST, Training, new_model};

/// Train a Decision Transformer and evaluate it.
#[derive(Args)]
#[command(
    after_help = "Without arguments: builtin/cartpole/mixed with the corl recipe. Values come from the \
    recipe, then from the file, then from the options. The keys for --set are those of the run's \
    experiment.toml, in the tables model, optimiser, evaluation and logging.\n\n\
    Example: rtg train --dataset builtin/pendulum/mixed --steps 3000 --set model.width=64"
)]
pub(super) struct Train {
    /// A TOML file that says what differs from the recipe.
    experiment: Option<PathBuf>,
    /// Minari id, path of a Minari or D4RL file, or builtin/<env>/<kind>.
    #[arg(long)]
    dataset: Option<String>,
    /// Environment to evaluate in [default: the dataset's].
    #[arg(long)]
    env: Option<String>,
    /// Whose conventions: official (kzl) or corl.
    #[arg(long)]
    recipe: Option<String>,
    /// Optimiser steps.
    #[arg(long)]
    steps: Option<u64>,
    /// The seed of everything random.
    #[arg(long)]
    seed: Option<u64>,
    /// Threads of the engine [default: all cores].
    #[arg(long)]
    threads: Option<usize>,
    /// Where to compute: cpu, cuda, cuda:N, or auto (a GPU if one answers).
    #[arg(long)]
    device: Option<Device>,
    /// Where results go [default: runs/<dataset>-<recipe>-<seed>].
    #[arg(long)]
    run_dir: Option<PathBuf>,
    /// Continue the run in that directory from its latest checkpoint.
    #[arg(long)]
    resume: bool,
    /// Any key of the experiment, e.g. optimiser.learning_rate=3e-4. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Train {
    pub(super) fn run(self) -> Result<(), Error> {
        let mut layers = self.layers()?;
        let run_dir = self.run_dir(&Experiment::from_layers(&layers)?);
        let earlier = self.resume.then(|| Earlier::read(&run_dir)).transpose()?;
        if let Some(earlier) = &earlier {
            layers.insert(0, earlier.plan.clone());
        }
        let planned = Experiment::from_layers(&layers)?;
        let opened = data::open(&planned)?;
        let experiment = planned.resolve(&opened.spec, &opened.data);
        if let Device::Cuda(ordinal) = experiment.device {
            cuda::check(ordinal)?;
        }
        let text = experiment.to_toml()?;

        let fresh = || {
            Ok::<_, Error>(Checkpoint::fresh(
                new_model(&experiment, &opened)?,
                experiment.seed,
            ))
        };
        let (run, checkpoint) = match earlier {
            None => {
                // Everything that can be wrong with the plan shows before the directory is made.
                let checkpoint = fresh()?;
                (Run::create(&run_dir, &text)?, checkpoint)
            }
            Some(Earlier {
                run,
                plan,
                checkpoint,
            }) => {
                experiment.continues(&Experiment::from_layers(&[plan])?)?;
                run.write_experiment(&text)?;
                let checkpoint = checkpoint.map_or_else(fresh, Ok)?;
                (run, checkpoint)
            }
        };
        let step = checkpoint.progress.step;
        let mut sinks = run.open_metrics(self.resume.then_some(step))?;
        sinks.push(Box::new(Terminal::new(step, experiment.steps)));
        let recorder = introduce(Recorder::new(sinks), &experiment, &opened, &text, &run_dir)?;
        Training::new(&experiment, &opened, &run, checkpoint, recorder)?.run()?;
        print(&report::table(&report::read(&[run_dir])?))
    }

    /// What was typed, as layers over the recipe: the file, the options, the settings.
    fn layers(&self) -> Result<Vec<Table>, Error> {
        let mut layers = Vec::new();
        if let Some(path) = &self.experiment {
            let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
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
        let texts = [
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
            let name = format!("{}-{:?}-{}", planned.dataset, planned.recipe, planned.seed);
            let name: String = (name.to_lowercase().chars())
                .map(|letter| {
                    if letter.is_alphanumeric() || letter == '.' {
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

/// What an earlier session left: the run, its plan, and a checkpoint if it got that far.
struct Earlier {
    run: Run,
    plan: Table,
    checkpoint: Option<Checkpoint>,
}

impl Earlier {
    fn read(run_dir: &Path) -> Result<Self, Error> {
        let run = Run::resume(run_dir)?;
        let plan = Experiment::parse_layer(&run.experiment()?)?;
        let path = run.checkpoints().join(LATEST);
        let checkpoint = if path.exists() {
            Some(Checkpoint::load(&path)?.0)
        } else {
            None
        };
        Ok(Self {
            run,
            plan,
            checkpoint,
        })
    }
}

/// Tells every sink what is about to happen.
fn introduce(
    mut recorder: Recorder,
    experiment: &Experiment,
    opened: &Opened,
    plan: &str,
    run_dir: &Path,
) -> Result<Recorder, Error> {
    let data = &opened.data;
    recorder.text(
        "experiment",
        &format!("```toml\n{plan}```\n\ndataset hash: {}\n", data.hash()),
    )?;
    recorder.hparams(&hparams(plan)?, &HPARAM_METRICS)?;
    recorder.message(&format!(
        "{}: {} episodes, {} steps; {} for {} steps into {}",
        experiment.dataset,
        data.episodes(),
        data.steps(),
        opened.spec.id,
        experiment.steps,
        run_dir.display()
    ));
    if let Some(reason) = &opened.unsimulated {
        recorder.message(&format!("no evaluation: {reason}"));
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
