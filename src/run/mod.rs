//! A run directory: all files of one training run.
//!
//! ```text
//! experiment.toml         the resolved experiment
//! metrics.jsonl           every measurement, see metrics::json_lines
//! events.out.tfevents.*   the same for TensorBoard
//! checkpoints/            the states that a run resumes from
//! labels.safetensors      the labels of a critic, where the plan has any
//! summary.json            the result, written at the end
//! .lock                   held by the process that writes here
//! ```
//!
//! Whole files appear at once or not at all ([`write_whole`]).

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::metrics::{Image, JsonLines, MetricSink, TensorBoard, json_lines, tensorboard};

mod error;
mod lock;
mod result;
mod whole_file;

pub use error::Error;
pub use result::{Evaluation, Summary, calibration, calibration_scalars};
pub use whole_file::{open_file, read_text, write_whole};

use error::write_error;
use lock::LOCK;
use whole_file::PARTIAL;

const EXPERIMENT: &str = "experiment.toml";
const METRICS: &str = "metrics.jsonl";
const CHECKPOINTS: &str = "checkpoints";
const SUMMARY: &str = "summary.json";
/// Bytes at the end of the metrics that are read for the last step.
const TAIL_BYTES: u64 = 64 << 10;

/// The metrics files of a session of training.
pub struct Session {
    /// The recorder of measurements.
    pub sinks: Vec<Box<dyn MetricSink>>,
    /// Unreadable measurements of an earlier session, which are ignored: a sentence for each file.
    pub lost: Vec<String>,
}

/// A run directory. Made by [`Run::create`] or [`Run::resume`] it holds the lock until it is
/// dropped and may be written; made by [`Run::open`] it is for reading.
#[derive(Debug)]
pub struct Run {
    path: PathBuf,
    _lock: Option<File>,
}

impl Run {
    /// Makes the directory of a new run and stores its experiment. Refuses a directory that holds
    /// anything.
    pub fn create(path: &Path, experiment_toml: &str) -> Result<Self, Error> {
        std::fs::create_dir_all(path).map_err(|source| write_error(path, source))?;
        // Before the lock, so as to leave no lock file in a directory that is not a run; and under
        // it, because two processes may have started at once.
        refuse_contents(path)?;
        let lock = lock::take(path)?;
        refuse_contents(path)?;
        let run = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        let checkpoints = run.checkpoints();
        std::fs::create_dir_all(&checkpoints)
            .map_err(|source| write_error(&checkpoints, source))?;
        // Last, because a directory with this file is a run.
        write_whole(&path.join(EXPERIMENT), |file| {
            file.write_all(experiment_toml.as_bytes())
        })?;
        Ok(run)
    }

    /// Opens an existing run to continue it.
    pub fn resume(path: &Path) -> Result<Self, Error> {
        let Self { path, .. } = Self::open(path)?;
        let lock = lock::take(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// Opens an existing run for reading; it may be in progress.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if !path.join(EXPERIMENT).is_file() {
            return Err(Error::NotARun {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            _lock: None,
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory's own name, for tables.
    pub fn name(&self) -> String {
        let resolved = self.path.canonicalize();
        let path = resolved.as_ref().unwrap_or(&self.path);
        path.file_name().map_or_else(
            || path.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// The folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// The file of the measurements.
    pub fn metrics(&self) -> PathBuf {
        self.path.join(METRICS)
    }

    /// Whether a process of this machine writes this run, found without its lock. Known on Linux
    /// only; elsewhere `false`.
    pub fn is_written(&self) -> bool {
        lock::is_held(&self.path)
    }

    /// The last step with a measurement; `None` without any.
    pub fn last_step(&self) -> Option<u64> {
        let mut file = open_file(&self.metrics()).ok()?;
        let length = file.metadata().ok()?.len();
        let begin = length.saturating_sub(TAIL_BYTES);
        file.seek(SeekFrom::Start(begin)).ok()?;
        let mut input = BufReader::new(file.take(TAIL_BYTES));
        if begin > 0 {
            // The rest of a line that was cut.
            input.read_until(b'\n', &mut Vec::new()).ok()?;
        }
        let mut step = None;
        json_lines::read(&mut input, |line| step = Some(line.step)).ok()?;
        step
    }

    /// The text of the resolved experiment.
    pub fn experiment(&self) -> Result<String, Error> {
        text(&self.path.join(EXPERIMENT))
    }

    /// Replaces the experiment, for a run that continues with more steps.
    pub fn write_experiment(&self, experiment_toml: &str) -> Result<(), Error> {
        write_whole(&self.path.join(EXPERIMENT), |file| {
            file.write_all(experiment_toml.as_bytes())
        })
    }

    /// The result; `None` while the run has not ended.
    pub fn summary(&self) -> Result<Option<Summary>, Error> {
        let path = self.path.join(SUMMARY);
        let text = match text(&path) {
            Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            text => text?,
        };
        match serde_json::from_str(&text) {
            Ok(summary) => Ok(Some(summary)),
            Err(error) => Err(Error::Damaged {
                message: error.to_string(),
                path,
            }),
        }
    }

    /// Stores the result.
    pub fn write_summary(&self, summary: &Summary) -> Result<(), Error> {
        write_whole(&self.path.join(SUMMARY), |file| {
            serde_json::to_writer_pretty(&mut *file, summary)?;
            writeln!(file)
        })
    }

    /// Opens the metrics files of this run for a session of training. A session that continues from
    /// the checkpoint of step n passes `Some(n)`: measurements after it are removed first. A result
    /// of the earlier session stays until the new one replaces it.
    pub fn open_metrics(&self, resumed_from: Option<u64>) -> Result<Session, Error> {
        let cut = resumed_from.map(|last_step| self.cut_back(last_step));
        Ok(Session {
            lost: cut.transpose()?.unwrap_or_default(),
            sinks: vec![
                Box::new(TensorBoard::open(&self.path, resumed_from)?),
                Box::new(JsonLines::open(&self.metrics())?),
            ],
        })
    }

    /// Adds an image to the run's TensorBoard, between sessions of training.
    pub fn add_image(&self, step: u64, name: &str, image: Image) -> Result<(), Error> {
        Ok(tensorboard::add_image(&self.path, step, name, image)?)
    }

    fn cut_back(&self, last_step: u64) -> Result<Vec<String>, Error> {
        let mut lost = Vec::new();
        let metrics = self.metrics();
        if metrics.exists() {
            let lines = rewrite(&metrics, |input, output| {
                json_lines::copy_until(input, output, last_step)
            })?;
            if lines > 0 {
                lost.push(unreadable(lines as u64, "line", &metrics));
            }
        }
        let files = tensorboard::event_files(&self.path).map_err(|source| Error::Read {
            path: self.path.clone(),
            source,
        })?;
        for path in files {
            let bytes = rewrite(&path, |input, output| {
                tensorboard::copy_until(input, output, last_step)
            })?;
            if bytes > 0 {
                lost.push(unreadable(bytes, "byte", &path));
            }
        }
        Ok(lost)
    }
}

/// The message for a file that is damaged in the middle.
pub fn unreadable(count: u64, of: &str, path: &Path) -> String {
    let (plural, are) = if count == 1 { ("", "is") } else { ("s", "are") };
    format!(
        "{count} damaged {of}{plural} {are} ignored: {}",
        path.display()
    )
}

fn rewrite<T>(
    path: &Path,
    copy: impl FnOnce(&mut BufReader<File>, &mut BufWriter<File>) -> io::Result<T>,
) -> Result<T, Error> {
    let input = open_file(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let mut copied = None;
    write_whole(path, |output| {
        copied = Some(copy(&mut BufReader::new(input), output)?);
        Ok(())
    })?;
    copied.ok_or_else(|| write_error(path, io::ErrorKind::Other.into()))
}

fn text(path: &Path) -> Result<String, Error> {
    read_text(path).map_err(|source| match source.kind() {
        io::ErrorKind::FileTooLarge => Error::Damaged {
            message: source.to_string(),
            path: path.to_owned(),
        },
        _ => Error::Read {
            path: path.to_owned(),
            source,
        },
    })
}

fn refuse_contents(path: &Path) -> Result<(), Error> {
    let read_error = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(path).map_err(read_error)? {
        let name = entry.map_err(read_error)?.file_name();
        // The directory that a process killed in the middle of `create` leaves.
        let leftover = name == LOCK
            || name.to_string_lossy().ends_with(PARTIAL)
            || (name == CHECKPOINTS && is_empty(&path.join(CHECKPOINTS)));
        if !leftover {
            return Err(Error::NotEmpty {
                path: path.to_owned(),
                is_run: path.join(EXPERIMENT).exists(),
            });
        }
    }
    Ok(())
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Recorder, RunOutcome, TRAIN_LOSS};

    fn summary() -> Summary {
        Summary {
            steps: 3000,
            train_seconds: 12.5,
            ms_per_step: 4.1,
            final_loss: f64::NAN,
            calibration: None,
            evaluations: vec![Evaluation {
                step: 3000,
                target: Some(500.0),
                return_mean: 498.0,
                return_std: f64::INFINITY,
                length_mean: 498.0,
                score: None,
                returns: vec![500.0, f64::NAN],
            }],
        }
    }

    #[test]
    fn a_new_run_refuses_a_directory_that_holds_anything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/run");
        drop(Run::create(&path, "seed = 1\n").unwrap());
        let error = Run::create(&path, "").unwrap_err();
        assert!(error.hint().contains("--resume"), "{error}");
        assert!(path.join(CHECKPOINTS).is_dir());
        std::fs::write(folder.path().join("thesis.tex"), "").unwrap();
        let error = Run::create(folder.path(), "").unwrap_err();
        assert!(!error.hint().contains("--resume"), "{error}");
        assert!(!folder.path().join(LOCK).exists());
        assert!(matches!(
            Run::open(folder.path()),
            Err(Error::NotARun { .. })
        ));
    }

    #[test]
    fn leftovers_of_a_killed_create_are_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(LOCK), "").unwrap();
        std::fs::write(folder.path().join(".experiment.toml.partial"), "s").unwrap();
        std::fs::create_dir(folder.path().join(CHECKPOINTS)).unwrap();
        let run = Run::create(folder.path(), "seed = 1\n").unwrap();
        assert_eq!(run.experiment().unwrap(), "seed = 1\n");
    }

    #[test]
    fn a_second_writer_is_refused_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::create(folder.path(), "").unwrap();
        assert!(matches!(
            Run::resume(folder.path()),
            Err(Error::Locked { .. })
        ));
        assert!(Run::open(folder.path()).is_ok());
        drop(run);
        assert!(Run::resume(folder.path()).is_ok());
    }

    #[test]
    fn a_summary_round_trips_even_with_nan() {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::create(folder.path(), "").unwrap();
        assert_eq!(run.summary().unwrap(), None);
        run.write_summary(&summary()).unwrap();
        let back = run.summary().unwrap().unwrap();
        assert_eq!(format!("{back:?}"), format!("{:?}", summary()));
    }

    #[test]
    fn a_hostile_summary_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::create(folder.path(), "").unwrap();
        let path = folder.path().join(SUMMARY);
        let nested = "[".repeat(100_000);
        for text in ["", "{}", "{\"steps\": -1}", "\u{0}", &nested] {
            std::fs::write(&path, text).unwrap();
            let error = run.summary().unwrap_err();
            assert!(error.to_string().ends_with(SUMMARY), "{error}");
        }
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(run.summary(), Err(Error::Read { .. })));
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(run.summary(), Err(Error::Damaged { .. })));
    }

    #[test]
    fn a_resumed_run_has_no_measurement_twice() {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::create(folder.path(), "").unwrap();
        let mut recorder = Recorder::new(run.open_metrics(None).unwrap().sinks);
        for step in 1..=5 {
            recorder.scalars(step, &[(TRAIN_LOSS, 1.0)]).unwrap();
        }
        recorder.finish(5, RunOutcome::Completed).unwrap();
        run.write_summary(&summary()).unwrap();

        let mut recorder = Recorder::new(run.open_metrics(Some(3)).unwrap().sinks);
        assert!(
            run.summary().unwrap().is_some(),
            "the old result until there is a new one"
        );
        for step in 4..=6 {
            recorder.scalars(step, &[(TRAIN_LOSS, 2.0)]).unwrap();
        }
        recorder.finish(6, RunOutcome::Completed).unwrap();

        let mut input = BufReader::new(File::open(run.metrics()).unwrap());
        let mut points = Vec::new();
        let take = |line: json_lines::Line| points.push((line.step, line.scalars[0].1));
        assert_eq!(json_lines::read(&mut input, take).unwrap(), 0);
        let expected = [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 2.0), (6, 2.0)];
        assert_eq!(points, expected);
    }
}
