//! The metrics of a run, and where they are stored.
//!
//! [`Recorder`] takes every measurement once, adds the time and passes it to its [`MetricSink`]s:
//! TensorBoard, a file of JSON lines, the terminal. The metric names below are complete: scripts
//! and reports depend on them.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub mod histogram;
pub mod json_lines;
pub mod number;
pub mod spread;
pub mod tensorboard;
pub mod terminal;

pub use histogram::Histogram;
pub use json_lines::JsonLines;
pub use spread::spread;
pub use tensorboard::TensorBoard;
pub use terminal::Terminal;

/// Loss of the batches since the last record.
pub const TRAIN_LOSS: &str = "train/loss";
/// Loss of the critics, for algorithms that learn values.
pub const TRAIN_CRITIC_LOSS: &str = "train/critic_loss";
/// Learning rate in effect at the step.
pub const TRAIN_LEARNING_RATE: &str = "train/learning_rate";
/// Global L2 norm of the gradients before clipping.
pub const TRAIN_GRADIENT_NORM: &str = "train/gradient_norm";
/// Environment steps of an online run, next to `train/updates`.
pub const TRAIN_ENVIRONMENT_STEPS: &str = "train/environment_steps";
/// Mean loss over fixed windows of the held-out episodes, without dropout.
pub const VALIDATION_LOSS: &str = "validation/loss";
/// Mean undiscounted return of the evaluation's episodes; see [`for_target`].
pub const EVAL_RETURN_MEAN: &str = "eval/return_mean";
/// Standard deviation of the returns over the evaluation's episodes.
pub const EVAL_RETURN_STD: &str = "eval/return_std";
/// Mean number of environment steps of an episode.
pub const EVAL_LENGTH_MEAN: &str = "eval/length_mean";
/// Normalised score of the mean return: 0 is the random policy, 100 the expert.
pub const EVAL_SCORE: &str = "eval/score";
/// The largest mean return over the targets of one evaluation. Its name is the same in every
/// run, so it can be a column of TensorBoard's table of hyperparameters.
pub const EVAL_RETURN_MEAN_BEST: &str = "eval/return_mean/best";
/// The largest score over the targets of one evaluation, also the same name in every run.
pub const EVAL_SCORE_BEST: &str = "eval/score/best";
/// Mean distance of the mean return from its target, over the targets in the data's range, relative
/// to the width of that range.
pub const EVAL_CALIBRATION_ERROR: &str = "eval/calibration_error";
/// Rank correlation of mean returns with the same targets.
pub const EVAL_CALIBRATION_SPEARMAN: &str = "eval/calibration_spearman";
/// Slope of the line through the mean returns over the same targets.
pub const EVAL_CALIBRATION_SLOPE: &str = "eval/calibration_slope";
/// Where that line begins, in units of the return.
pub const EVAL_CALIBRATION_INTERCEPT: &str = "eval/calibration_intercept";
/// The share of the same targets that are missed by at most a tenth of the range.
pub const EVAL_CALIBRATION_WITHIN: &str = "eval/calibration_within_tenth";
/// How often a simulation became unstable in an evaluation, for environments that can.
pub const EVAL_INSTABILITIES: &str = "eval/instabilities";
/// Number of `MuJoCo`'s warnings in an evaluation, of any kind.
pub const EVAL_WARNINGS: &str = "eval/mujoco_warnings";
/// A video of the policy, as an image; see [`for_target`].
pub const ROLLOUT: &str = "rollout";
/// Optimiser steps a second.
pub const SPEED_STEPS_PER_SEC: &str = "speed/steps_per_sec";
/// Milliseconds of one optimiser step, without evaluations.
pub const SPEED_MS_PER_STEP: &str = "speed/ms_per_step";
/// Processor seconds of the steps so far, over all threads, without evaluations.
pub const SPEED_CPU_SECONDS: &str = "speed/cpu_seconds";

/// Prefix of the metrics of updates.
const TRAIN: &str = "train/";

const TARGET: &str = "/target_";

/// Name of an evaluation metric for one target return: `eval/return_mean/target_500`, or the
/// bare metric for a policy that takes no target.
pub fn for_target(metric: &str, target: Option<f64>) -> String {
    target.map_or_else(
        || metric.to_owned(),
        |target| format!("{metric}{TARGET}{target}"),
    )
}

/// The inverse of [`for_target`]: the target in `name`, if `name` is `metric` for some target.
pub fn target_of(name: &str, metric: &str) -> Option<Option<f64>> {
    let rest = name.strip_prefix(metric)?;
    if rest.is_empty() {
        return Some(None);
    }
    let target: f64 = rest.strip_prefix(TARGET)?.parse().ok()?;
    target.is_finite().then_some(Some(target))
}

/// Name of a metric of updates, for instance `train/critic_loss`.
pub fn train(metric: &str) -> String {
    format!("{TRAIN}{metric}")
}

/// Whether this is a loss of updates; an algorithm's headline is its first.
pub fn is_train_loss(name: &str) -> bool {
    name.starts_with(TRAIN) && name.ends_with("loss")
}

/// Name of a health metric, for instance `health/dead_relus`.
pub fn health(sign: &str) -> String {
    format!("health/{sign}")
}

/// Name of a metric on held-out data.
pub fn validation(metric: &str) -> String {
    format!("validation/{metric}")
}

/// Name of the histogram of a parameter's values.
pub fn weights(parameter: &str) -> String {
    format!("weights/{parameter}")
}

/// Name of the histogram of a parameter's gradient.
pub fn gradients(parameter: &str) -> String {
    format!("gradients/{parameter}")
}

/// Why a measurement could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A metrics file could not be created.
    #[error("cannot create a metrics file ({source}): {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A metrics file could not be written.
    #[error("cannot write the metrics ({source}): {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

impl Error {
    /// What to do about it, for the line after the error.
    pub fn hint(&self) -> String {
        let (Self::Create { path, source } | Self::Write { path, source }) = self;
        let folder = path.parent().unwrap_or(path).display();
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => format!(
                "free some space on the disk of {folder}, then continue the run with --resume"
            ),
            _ => format!("check that {folder} exists and is writable, or choose another --run-dir"),
        }
    }
}

/// When a measurement was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Optimiser steps done so far.
    pub step: u64,
    /// Seconds since 1970, as TensorBoard counts them.
    pub wall_secs: f64,
}

impl Moment {
    fn now(step: u64) -> Self {
        let wall_secs = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |elapsed| elapsed.as_secs_f64());
        Self { step, wall_secs }
    }
}

/// A hyperparameter's value in TensorBoard's table.
#[derive(Debug, Clone, PartialEq)]
pub enum HparamValue {
    /// A string, such as the name of a dataset.
    Text(String),
    /// A number; integers are numbers too.
    Number(f64),
    /// A boolean.
    Flag(bool),
}

/// A picture in a file's format, such as PNG or GIF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The file's bytes.
    pub encoded: Vec<u8>,
}

/// How a session of training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// All steps were done.
    Completed,
    /// An error or a NaN stopped it.
    Failed,
}

/// Stores or shows measurements. A sink ignores those that it does not support.
pub trait MetricSink: Send {
    /// Named numbers of one step.
    fn scalars(&mut self, at: Moment, values: &[(&str, f64)]) -> Result<(), Error>;

    /// The distribution of one tensor's values.
    fn histogram(&mut self, _at: Moment, _name: &str, _values: &Histogram) -> Result<(), Error> {
        Ok(())
    }

    /// A page of Markdown that belongs to the session.
    fn text(&mut self, _at: Moment, _name: &str, _markdown: &str) -> Result<(), Error> {
        Ok(())
    }

    /// The session's hyperparameters.
    fn hparams(&mut self, _at: Moment, _values: &[(&str, HparamValue)]) -> Result<(), Error> {
        Ok(())
    }

    /// A message for the user.
    fn message(&mut self, _line: &str) {}

    /// Flushes everything buffered to the operating system.
    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// The session is over; nothing follows.
    fn finish(&mut self, _at: Moment, _outcome: RunOutcome) -> Result<(), Error> {
        self.flush()
    }
}

/// A killed process loses at most this much of its metrics.
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);

/// Takes measurements and passes each to every sink, with one time stamp for all.
pub struct Recorder {
    sinks: Vec<Box<dyn MetricSink>>,
    flushed: Instant,
}

impl Recorder {
    /// A recorder that writes to `sinks`; with none it drops everything.
    pub fn new(sinks: Vec<Box<dyn MetricSink>>) -> Self {
        Self {
            sinks,
            flushed: Instant::now(),
        }
    }

    /// Records the numbers of one step. One call makes one line of `metrics.jsonl`.
    pub fn scalars<N: AsRef<str>>(&mut self, step: u64, values: &[(N, f64)]) -> Result<(), Error> {
        if values.is_empty() {
            return Ok(());
        }
        let at = Moment::now(step);
        let values: Vec<(&str, f64)> = values.iter().map(|(n, v)| (n.as_ref(), *v)).collect();
        self.each(|sink| sink.scalars(at, &values))?;
        if self.flushed.elapsed() >= FLUSH_INTERVAL {
            self.flush()?;
        }
        Ok(())
    }

    /// Records the distribution of `values`, a whole tensor in any order.
    pub fn histogram(&mut self, step: u64, name: &str, values: &[f32]) -> Result<(), Error> {
        let at = Moment::now(step);
        let histogram = Histogram::of(values);
        self.each(|sink| sink.histogram(at, name, &histogram))
    }

    /// Records a page of Markdown, once a session; a later session replaces it.
    pub fn text(&mut self, name: &str, markdown: &str) -> Result<(), Error> {
        let at = Moment::now(0);
        self.each(|sink| sink.text(at, name, markdown))
    }

    /// Records the hyperparameters, once a session.
    pub fn hparams<N: AsRef<str>>(&mut self, values: &[(N, HparamValue)]) -> Result<(), Error> {
        let at = Moment::now(0);
        let values: Vec<_> = values
            .iter()
            .map(|(name, value)| (name.as_ref(), value.clone()))
            .collect();
        self.each(|sink| sink.hparams(at, &values))
    }

    /// Shows a message to the user without breaking the progress bar.
    pub fn message(&mut self, line: &str) {
        for sink in &mut self.sinks {
            sink.message(line);
        }
    }

    /// Flushes everything to the operating system. Call it before a checkpoint is written: a
    /// resumed run keeps the metrics up to its checkpoint and rewrites those after it.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.flushed = Instant::now();
        self.each(MetricSink::flush)
    }

    /// Ends the session at `step`.
    pub fn finish(mut self, step: u64, outcome: RunOutcome) -> Result<(), Error> {
        let at = Moment::now(step);
        self.each(|sink| sink.finish(at, outcome))
    }

    fn each(
        &mut self,
        mut action: impl FnMut(&mut (dyn MetricSink + 'static)) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for sink in &mut self.sinks {
            action(sink.as_mut())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_in_the_name_and_is_read_back() {
        for target in [None, Some(500.0), Some(-70.0), Some(0.5)] {
            let name = for_target(EVAL_SCORE, target);
            assert_eq!(target_of(&name, EVAL_SCORE), Some(target), "{name}");
        }
        assert_eq!(
            for_target(EVAL_RETURN_MEAN, Some(500.0)),
            "eval/return_mean/target_500"
        );
        assert_eq!(target_of(EVAL_SCORE_BEST, EVAL_SCORE), None);
        assert_eq!(target_of("eval/score/target_NaN", EVAL_SCORE), None);
        assert_eq!(target_of("eval/scores", EVAL_SCORE), None);
    }

    #[test]
    fn an_error_names_the_file_last_and_has_a_hint() {
        let error = Error::Write {
            path: PathBuf::from("runs/a/metrics.jsonl"),
            source: std::io::Error::from(std::io::ErrorKind::StorageFull),
        };
        assert!(error.to_string().ends_with(": runs/a/metrics.jsonl"));
        assert!(error.hint().contains("--resume"));
    }
}
