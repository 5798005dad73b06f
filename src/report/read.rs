//! Reads run directories for a report.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::plan;
use crate::algorithms::AlgorithmRef;
use crate::metrics::{
    EVAL_LENGTH_MEAN, EVAL_RETURN_MEAN, EVAL_RETURN_STD, EVAL_SCORE, SPEED_CPU_SECONDS,
    SPEED_MS_PER_STEP, TRAIN_CRITIC_LOSS, TRAIN_ENVIRONMENT_STEPS, TRAIN_LOSS, for_target,
    json_lines, target_of,
};
use crate::run::{Error, Evaluation, Run, Summary, open_file};
use crate::statistics::Interval;

/// The dataset's name for a run that collected its own data.
pub(super) const NO_DATASET: &str = "-";

/// The depth of folders in which runs are searched.
const DEPTH: usize = 3;
/// The metric that counts the updates of an online run.
const UPDATES: &str = "train/updates";

/// The cost of a run until now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Optimiser updates; none for an online run that does not count them.
    pub updates: Option<f64>,
    /// Environment steps of the training; none for an offline run.
    pub environment_steps: Option<f64>,
    /// Seconds of training, without evaluations; none if no speed was recorded.
    pub seconds: Option<f64>,
    /// Processor seconds of the same, over all threads; none if the system does not report them.
    pub cpu_seconds: Option<f64>,
}

/// The data of one run in a report.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReport {
    /// Name of the run directory.
    pub name: String,
    /// The run directory as it was given.
    pub path: PathBuf,
    /// Environment id.
    pub env: String,
    /// Dataset id or path.
    pub dataset: String,
    /// Name of the algorithm.
    pub algorithm: String,
    /// Name of the recipe.
    pub recipe: String,
    /// Seed of the run.
    pub seed: i64,
    /// Steps of the plan.
    pub planned_steps: u64,
    /// Steps done: updates, or environment steps of an online run.
    pub steps: u64,
    /// Whether the run has a result.
    pub ended: bool,
    /// The range of returns in which targets count for the calibration.
    pub return_range: Option<Interval>,
    /// Its cost.
    pub cost: Cost,
    /// Milliseconds per step; none until the run is finished.
    pub ms_per_step: Option<f64>,
    /// Every evaluation, in the order of the steps.
    pub evaluations: Vec<Evaluation>,
    /// Every other measurement by name: step and value, in the order of the steps.
    pub metrics: BTreeMap<String, Vec<(u64, f64)>>,
    /// The number of unreadable lines in its measurements.
    pub damaged_lines: usize,
    /// The keys and values that define the experiment, without the seed: equal for repeated runs.
    pub(super) settings: BTreeMap<String, String>,
}

impl RunReport {
    /// The evaluated targets, in the order of their first evaluation.
    pub fn targets(&self) -> Vec<Option<f64>> {
        let mut targets = Vec::new();
        for evaluation in &self.evaluations {
            if !targets.contains(&evaluation.target) {
                targets.push(evaluation.target);
            }
        }
        targets
    }

    /// The evaluations of one target, in the order of the steps.
    pub fn of_target(&self, target: Option<f64>) -> impl Iterator<Item = &Evaluation> {
        self.evaluations
            .iter()
            .filter(move |evaluation| evaluation.target == target)
    }

    /// The points of a metric; empty if it was not measured.
    pub(super) fn metric(&self, name: &str) -> &[(u64, f64)] {
        self.metrics.get(name).map_or(&[], Vec::as_slice)
    }

    /// The points of the loss that represents the training: the only one, or the critics'.
    pub(super) fn loss(&self) -> &[(u64, f64)] {
        let names = [TRAIN_LOSS, TRAIN_CRITIC_LOSS];
        let measured = names.iter().map(|name| self.metric(name));
        measured
            .into_iter()
            .find(|points| !points.is_empty())
            .unwrap_or_default()
    }

    /// Seconds of training until `step`, from the last recorded mean time per step; none before the
    /// first record.
    pub(super) fn seconds_at(&self, step: u64) -> Option<f64> {
        Some(1e-3 * self.latest(SPEED_MS_PER_STEP, step)? * step as f64)
    }

    /// Environment steps taken until `step`; none for an offline run.
    pub(super) fn environment_steps_at(&self, step: u64) -> Option<f64> {
        self.latest(TRAIN_ENVIRONMENT_STEPS, step)
    }

    /// Updates until `step`, which is their number unless the run is online.
    pub(super) fn updates_at(&self, step: u64) -> Option<f64> {
        let offline = self.metric(TRAIN_ENVIRONMENT_STEPS).is_empty();
        let counted = self.latest(UPDATES, step);
        counted.or_else(|| offline.then_some(step as f64))
    }

    /// The last value of a metric until `step`.
    fn latest(&self, name: &str, step: u64) -> Option<f64> {
        let counts = self.metric(name);
        let after = counts.partition_point(|&(at, _)| at <= step);
        Some(counts.get(after.checked_sub(1)?)?.1)
    }
}

/// The run directories among `paths` and in the folders below those that are not runs, sorted by
/// name there.
pub fn find<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for path in paths.iter().map(AsRef::as_ref) {
        let before = found.len();
        collect_runs(path, DEPTH, &mut found);
        if found.len() == before {
            // The error names the missing file.
            Run::open(path)?;
        }
    }
    Ok(found)
}

fn collect_runs(path: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if Run::open(path).is_ok() {
        found.push(path.to_owned());
    } else if depth > 0 {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        folders.sort();
        for folder in folders.into_iter().filter(|folder| folder.is_dir()) {
            collect_runs(&folder, depth - 1, found);
        }
    }
}

/// Reads run directories, in the order given.
pub fn read<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<RunReport>, Error> {
    paths.iter().map(|path| read_run(path.as_ref())).collect()
}

fn read_run(path: &Path) -> Result<RunReport, Error> {
    let run = Run::open(path)?;
    let damaged = |message: String| Error::Damaged {
        message,
        path: path.join("experiment.toml"),
    };
    let plan: toml::Table = run
        .experiment()?
        .parse()
        .map_err(|error: toml::de::Error| damaged(error.message().to_owned()))?;
    let text = |key| {
        let value = plan.get(key).and_then(toml::Value::as_str);
        value
            .map(str::to_owned)
            .ok_or_else(|| damaged(format!("it has no text '{key}'")))
    };
    let integer = |key| {
        let value = plan.get(key).and_then(toml::Value::as_integer);
        value.ok_or_else(|| damaged(format!("it has no integer '{key}'")))
    };
    let (env, recipe) = (text("env")?, text("recipe")?);
    // A run that collects its own data has none.
    let dataset = if plan.contains_key("dataset") {
        text("dataset")?
    } else {
        NO_DATASET.to_owned()
    };
    // Plans of versions with a single algorithm do not name it.
    let algorithm =
        text("algorithm").unwrap_or_else(|_| AlgorithmRef::default().card().name.to_owned());
    let measured = read_metrics(&run)?;
    let planned_steps = integer("steps")?.max(0).cast_unsigned();
    // The summary of a run is obsolete if the run continues with more steps.
    let summary = run
        .summary()?
        .filter(|summary| summary.steps >= planned_steps);
    let mut report = RunReport {
        name: run.name(),
        path: path.to_owned(),
        env,
        dataset,
        algorithm,
        recipe,
        seed: integer("seed")?,
        planned_steps,
        ended: summary.is_some(),
        steps: summary.as_ref().map_or(measured.steps, |s| s.steps),
        return_range: plan::return_range(&plan),
        cost: Cost {
            updates: None,
            environment_steps: None,
            seconds: None,
            cpu_seconds: None,
        },
        ms_per_step: summary.as_ref().map(|s| s.ms_per_step),
        evaluations: measured.evaluations,
        metrics: measured.metrics,
        damaged_lines: measured.damaged_lines,
        settings: plan::settings(&plan),
    };
    let steps = report.steps;
    report.cost = Cost {
        updates: report.updates_at(steps),
        environment_steps: report.environment_steps_at(steps),
        seconds: report.seconds_at(steps),
        cpu_seconds: report.latest(SPEED_CPU_SECONDS, steps),
    };
    if let Some(Summary {
        train_seconds,
        evaluations,
        ..
    }) = summary
    {
        report.cost.seconds = Some(train_seconds);
        report.evaluations = evaluations;
    }
    Ok(report)
}

#[derive(Default)]
struct Measured {
    steps: u64,
    evaluations: Vec<Evaluation>,
    metrics: BTreeMap<String, Vec<(u64, f64)>>,
    damaged_lines: usize,
}

/// A run without metrics has just begun.
fn read_metrics(run: &Run) -> Result<Measured, Error> {
    let path = run.metrics();
    let mut measured = Measured::default();
    let file = match open_file(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(measured),
        Err(source) => return Err(Error::Read { path, source }),
    };
    let take = |line: json_lines::Line| {
        measured.steps = measured.steps.max(line.step);
        for (name, value) in &line.scalars {
            if let Some(target) = target_of(name, EVAL_RETURN_MEAN) {
                measured.evaluations.push(evaluation(&line, target));
            } else if !name.starts_with("eval/") {
                let points = measured.metrics.entry(name.clone()).or_default();
                points.push((line.step, *value));
            }
        }
    };
    let damaged = json_lines::read(&mut BufReader::new(file), take);
    measured.damaged_lines = damaged.map_err(|source| Error::Read { path, source })?;
    Ok(measured)
}

fn evaluation(line: &json_lines::Line, target: Option<f64>) -> Evaluation {
    let value = |metric| {
        let name = for_target(metric, target);
        let mut scalars = line.scalars.iter();
        scalars.find(|(n, _)| *n == name).map(|(_, value)| *value)
    };
    Evaluation {
        step: line.step,
        target,
        return_mean: value(EVAL_RETURN_MEAN).unwrap_or(f64::NAN),
        return_std: value(EVAL_RETURN_STD).unwrap_or(f64::NAN),
        length_mean: value(EVAL_LENGTH_MEAN).unwrap_or(f64::NAN),
        score: value(EVAL_SCORE),
        returns: Vec::new(),
    }
}
