//! The folder of a sweep: its files, and the state of each run.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Error, SweepPlan};
use crate::experiment::Experiment;
use crate::keys::Table;
use crate::run::{self, Run, read_text, write_whole};

const INDEX: &str = "runs.txt";

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It has its result.
    Done,
    /// A process is computing it.
    Running,
    /// It has begun, and no process is computing it.
    Stopped,
    /// It has not begun.
    Waiting,
}

/// A sweep on disk.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    names: Vec<String>,
}

impl Folder {
    /// Writes the files of a sweep, or updates those of an earlier call. Runs keep their index; new
    /// ones are appended.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn write(path: &Path, plan: &SweepPlan) -> Result<Self, Error> {
        let plans = path.join("plans");
        for folder in [&plans, &path.join("runs"), &path.join("logs")] {
            fs::create_dir_all(folder).map_err(|source| file_error(source, folder))?;
        }
        for run in &plan.runs {
            let file = plans.join(format!("{}.toml", run.name));
            if fs::read_to_string(&file).is_ok_and(|text| text == run.text) {
                continue;
            }
            fs::write(&file, &run.text).map_err(|source| file_error(source, &file))?;
        }
        let mut names = read_names(path).unwrap_or_default();
        let known = names.len();
        let new = plan
            .runs
            .iter()
            .map(|run| &run.name)
            .filter(|name| !names.contains(name));
        let new: Vec<String> = new.cloned().collect();
        names.extend(new);
        let folder = Self {
            path: absolute(path)?,
            names,
        };
        folder.write_scripts(plan)?;
        if known < folder.names.len() {
            // Last, because a folder with this file is a sweep.
            let text = folder
                .names
                .iter()
                .fold(String::new(), |all, name| all + name + "\n");
            write_whole(&path.join(INDEX), |file| file.write_all(text.as_bytes()))?;
        }
        Ok(folder)
    }

    /// Opens the sweep of an earlier call.
    ///
    /// # Errors
    /// A folder without a sweep.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let names = read_names(path).ok_or_else(|| Error::NotASweep {
            path: path.to_owned(),
        })?;
        Ok(Self {
            path: absolute(path)?,
            names,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of each run, in the order of their indices.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The indices of a plan's runs that this sweep has.
    pub fn indices(&self, plan: &SweepPlan) -> Vec<usize> {
        let own = |name: &String| self.names.iter().position(|own| own == name);
        plan.runs.iter().filter_map(|run| own(&run.name)).collect()
    }

    /// The plan of a run.
    pub fn plan(&self, index: usize) -> PathBuf {
        self.path
            .join("plans")
            .join(format!("{}.toml", self.names[index]))
    }

    /// The directory of a run.
    pub fn run_dir(&self, index: usize) -> PathBuf {
        self.path.join("runs").join(&self.names[index])
    }

    /// The log of a run.
    pub fn log(&self, index: usize) -> PathBuf {
        self.path
            .join("logs")
            .join(format!("{}.log", self.names[index]))
    }

    /// The values of a run's plan; `None` where the plan cannot be read.
    pub(super) fn layer(&self, index: usize) -> Option<Table> {
        let text = read_text(&self.plan(index)).ok()?;
        Experiment::parse_layer(&text).ok()
    }

    /// Steps of a run's plan; 0 where the plan cannot be read.
    pub fn planned_steps(&self, index: usize) -> u64 {
        let layer = self.layer(index);
        let plan = layer.and_then(|layer| Experiment::from_layers(&[layer]).ok());
        plan.map_or(0, |plan| plan.steps)
    }

    /// The state of a run, for a process that is about to compute it: it tries the run's lock,
    /// which no other machine that shares the folder can hold at the same time.
    ///
    /// # Errors
    /// A run directory that cannot be read.
    pub fn state(&self, index: usize) -> Result<RunState, Error> {
        self.state_by(index, |run| match Run::resume(run.path()) {
            Err(run::Error::Locked { .. }) => Ok(true),
            other => other.map(|_| false),
        })
    }

    /// The state of a run, read-only. A run that another machine computes counts as stopped;
    /// [`Folder::age`] distinguishes the two.
    ///
    /// # Errors
    /// A run directory that cannot be read.
    pub fn look(&self, index: usize) -> Result<RunState, Error> {
        self.state_by(index, |run| Ok(run.is_written()))
    }

    fn state_by(
        &self,
        index: usize,
        is_written: impl Fn(&Run) -> Result<bool, run::Error>,
    ) -> Result<RunState, Error> {
        let run = match Run::open(&self.run_dir(index)) {
            Ok(run) => run,
            Err(run::Error::NotARun { .. }) => return Ok(RunState::Waiting),
            Err(error) => return Err(error.into()),
        };
        if is_written(&run)? {
            return Ok(RunState::Running);
        }
        // A result of fewer steps than the plan has now does not count.
        let done = run
            .summary()?
            .is_some_and(|s| s.steps >= self.planned_steps(index));
        Ok(if done {
            RunState::Done
        } else {
            RunState::Stopped
        })
    }

    /// Steps that a run has recorded so far; 0 where there are none.
    pub fn step(&self, index: usize) -> u64 {
        let run = Run::open(&self.run_dir(index));
        run.ok().and_then(|run| run.last_step()).unwrap_or(0)
    }

    /// The time since a run last recorded anything.
    pub fn age(&self, index: usize) -> Option<Duration> {
        let run = Run::open(&self.run_dir(index)).ok()?;
        let written = fs::metadata(run.metrics()).ok()?.modified().ok()?;
        written.elapsed().ok()
    }

    fn write_scripts(&self, plan: &SweepPlan) -> Result<(), Error> {
        let program =
            std::env::current_exe().map_err(|source| file_error(source, "rtg".as_ref()))?;
        let from = std::env::current_dir().map_err(|source| file_error(source, ".".as_ref()))?;
        let one = format!(
            "#!/bin/sh\n\
             # one.sh INDEX [--threads N]: does that run of runs.txt (from 0), in any state.\n\
             cd {} && exec \"${{RTG:-{}}}\" sweep {} --only \"$@\"\n",
            quoted(&from),
            program.display(),
            quoted(&self.path)
        );
        self.write_script("one.sh", &one)?;
        let mut array = String::from("#!/bin/sh\n");
        let given = |name: &str| plan.slurm.iter().any(|(key, _)| key == name);
        for (key, value) in &plan.slurm {
            let _ = writeln!(array, "#SBATCH --{key}={value}");
        }
        // A preempted task is requeued and resumes from its checkpoint.
        array += "#SBATCH --requeue\n#SBATCH --open-mode=append\n";
        if !given("output") {
            let logs = self.path.join("logs/slurm-%A_%a.log");
            let _ = writeln!(array, "#SBATCH --output={}", logs.display());
        }
        let _ = writeln!(
            array,
            "exec {} \"$SLURM_ARRAY_TASK_ID\"",
            quoted(&self.path.join("one.sh"))
        );
        self.write_script("array.sbatch", &array)
    }

    fn write_script(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        write_whole(&path, |file| file.write_all(text.as_bytes()))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let executable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&path, executable).map_err(|source| file_error(source, &path))?;
        }
        Ok(())
    }
}

fn read_names(path: &Path) -> Option<Vec<String>> {
    let text = read_text(&path.join(INDEX)).ok()?;
    Some(text.lines().map(str::to_owned).collect())
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize()
        .map_err(|source| file_error(source, path))
}

pub(super) fn file_error(source: std::io::Error, path: &Path) -> Error {
    Error::File {
        source,
        path: path.to_owned(),
    }
}

/// A path quoted as one word for a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seeds: &str) -> SweepPlan {
        SweepPlan::parse(&format!("[base]\nsteps = 10\n[grid]\nseed = {seeds}\n")).unwrap()
    }

    #[test]
    fn a_run_keeps_its_index_when_the_grid_grows() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("sweep");
        assert!(matches!(Folder::open(&path), Err(Error::NotASweep { .. })));
        Folder::write(&path, &plan("[5, 6]")).unwrap();
        let folder = Folder::write(&path, &plan("[1, 6, 5]")).unwrap();
        assert_eq!(folder.names(), ["seed-5", "seed-6", "seed-1"]);
        let opened = Folder::open(&path).unwrap();
        assert_eq!(opened.names(), folder.names());
        assert_eq!(opened.planned_steps(2), 10);
        let script = fs::read_to_string(path.join("array.sbatch")).unwrap();
        assert!(script.contains("#SBATCH --requeue\n"), "{script}");
    }

    #[test]
    fn a_run_is_done_running_stopped_or_waiting() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::write(&place.path().join("s"), &plan("[1]")).unwrap();
        assert_eq!(folder.state(0).unwrap(), RunState::Waiting);
        assert_eq!(folder.step(0), 0);
        let run = Run::create(&folder.run_dir(0), "steps = 10\n").unwrap();
        assert_eq!(folder.state(0).unwrap(), RunState::Running);
        if Path::new("/proc/locks").exists() {
            assert_eq!(folder.look(0).unwrap(), RunState::Running);
        }
        fs::write(
            run.metrics(),
            "{\"step\":7,\"wall_secs\":1}\n{\"step\":9,\"wal",
        )
        .unwrap();
        assert_eq!(folder.step(0), 7);
        let summary = |steps| crate::run::Summary {
            steps,
            train_seconds: 1.0,
            ms_per_step: 1.0,
            final_loss: 0.0,
            calibration: None,
            evaluations: vec![],
        };
        run.write_summary(&summary(8)).unwrap();
        drop(run);
        assert_eq!(folder.state(0).unwrap(), RunState::Stopped);
        fs::remove_file(folder.run_dir(0).join(".lock")).unwrap();
        assert_eq!(folder.look(0).unwrap(), RunState::Stopped);
        assert!(!folder.run_dir(0).join(".lock").exists());
        let run = Run::resume(&folder.run_dir(0)).unwrap();
        run.write_summary(&summary(10)).unwrap();
        drop(run);
        assert_eq!(folder.state(0).unwrap(), RunState::Done);
    }
}
