//! Runs on this machine: each in its own process, several at a time.

use std::collections::BTreeMap;
use std::fs::{self, File};
#[cfg(unix)]
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::folder::file_error;
use super::pace::{RunProgress, seconds_left};
use super::{Error, Folder, RunState};
use crate::interrupt::{self, Interrupt};

/// How often processes are polled.
const POLL: Duration = Duration::from_millis(100);
/// How often a run of another process is polled.
const PATIENCE: Duration = Duration::from_secs(1);

/// An event of the runs in progress.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A run was started or resumed.
    Began {
        /// Its name.
        name: &'a str,
    },
    /// A run ended; with its error if it failed.
    Ended {
        /// Its name.
        name: &'a str,
        /// Why it failed.
        failure: Option<&'a str>,
    },
    /// The progress of the runs, about once a second.
    Progress {
        /// The runs in progress.
        active: Vec<Active<'a>>,
        /// Runs that are done or failed, of all.
        ended: usize,
        /// Seconds until all are done at the speed so far; `None` in the beginning.
        seconds_left: Option<f64>,
    },
}

/// A run in progress.
#[derive(Debug, Clone, PartialEq)]
pub struct Active<'a> {
    /// Its name.
    pub name: &'a str,
    /// Steps recorded.
    pub step: u64,
    /// Steps of its plan.
    pub steps: u64,
}

/// How runs are started.
#[derive(Debug, Clone)]
pub struct Workers {
    /// The program, this one.
    pub program: PathBuf,
    /// Runs at a time.
    pub count: usize,
    /// Threads of a run that begins. One that is resumed keeps those of its plan.
    pub threads: Option<usize>,
}

/// A running process.
struct Process {
    index: usize,
    child: Child,
    /// When it began, and the steps that the run had by then.
    began: (Instant, u64),
}

/// The runs' progress, and the position of each index in it.
struct SweepProgress {
    runs: Vec<RunProgress>,
    places: BTreeMap<usize, usize>,
}

impl SweepProgress {
    fn of(folder: &Folder, indices: &[usize]) -> Self {
        let seen = |&index: &usize| {
            let mut layer = folder.layer(index).unwrap_or_default();
            layer.remove("seed");
            RunProgress {
                kind: layer.to_string(),
                planned: folder.planned_steps(index),
                ..RunProgress::default()
            }
        };
        let places = indices.iter().enumerate();
        Self {
            runs: indices.iter().map(seen).collect(),
            places: places.map(|(place, &index)| (index, place)).collect(),
        }
    }

    /// Reads the progress of a process: steps done and planned.
    fn look(&mut self, folder: &Folder, process: &Process) -> (u64, u64) {
        let seen = &mut self.runs[self.places[&process.index]];
        let (began, before) = process.began;
        seen.reached = folder.step(process.index).min(seen.planned);
        seen.steps = seen.reached.saturating_sub(before);
        seen.seconds = began.elapsed().as_secs_f64();
        (seen.reached, seen.planned)
    }

    /// This run is done.
    fn done(&mut self, index: usize) {
        let seen = &mut self.runs[self.places[&index]];
        seen.reached = seen.planned;
    }
}

/// What is left to do for a run.
enum Need {
    Nothing,
    Start(Child),
    /// Another process is computing it.
    Patience,
}

impl Workers {
    /// Does those of the runs `indices` that are not done, in that order. A failed run does not
    /// stop the others. A signal is passed on to the runs in progress, which write a checkpoint,
    /// and no other is started.
    ///
    /// # Errors
    /// [`Error::Failed`] with the failed runs, after all others have ended; [`Error::Stopped`].
    pub fn work(
        &self,
        folder: &Folder,
        indices: &[usize],
        mut tell: impl FnMut(Event<'_>),
    ) -> Result<(), Error> {
        let names = folder.names();
        let mut seen = SweepProgress::of(folder, indices);
        let mut left: Vec<usize> = indices.iter().rev().copied().collect();
        let mut waiting: Vec<(usize, Instant)> = Vec::new();
        let (mut processes, mut failed): (Vec<Process>, Vec<String>) = (Vec::new(), Vec::new());
        let (mut told, mut ended) = (Instant::now(), 0);
        let mut stopped: Option<Interrupt> = None;
        while !left.is_empty() || !waiting.is_empty() || !processes.is_empty() {
            stopped = stopped.or_else(|| hand_on(&processes));
            if stopped.is_some() {
                left.clear();
                waiting.clear();
            }
            waiting.retain(|&(index, since)| {
                let again = since.elapsed() >= PATIENCE;
                if again {
                    left.push(index);
                }
                !again
            });
            while processes.len() < self.count.max(1)
                && let Some(index) = left.pop()
            {
                match self.start(folder, index) {
                    Ok(Need::Nothing) => {
                        seen.done(index);
                        ended += 1;
                    }
                    Ok(Need::Patience) => waiting.push((index, Instant::now())),
                    Ok(Need::Start(child)) => {
                        tell(Event::Began {
                            name: &names[index],
                        });
                        let began = (Instant::now(), folder.step(index));
                        processes.push(Process {
                            index,
                            child,
                            began,
                        });
                    }
                    // A damaged run directory must not stop the others either.
                    Err(error) => {
                        let words = error.to_string();
                        tell(Event::Ended {
                            name: &names[index],
                            failure: Some(&words),
                        });
                        failed.push(format!("{} ({words})", names[index]));
                        seen.done(index);
                        ended += 1;
                    }
                }
            }
            for (process, ok) in reap(&mut processes) {
                let index = process.index;
                if !ok && matches!(folder.state(index), Ok(RunState::Running | RunState::Done)) {
                    // Another process had begun it at the same moment.
                    waiting.push((index, Instant::now()));
                    continue;
                }
                let failure = (!ok).then(|| last_words(&folder.log(index)));
                tell(Event::Ended {
                    name: &names[index],
                    failure: failure.as_deref(),
                });
                failed.extend(failure.map(|words| format!("{} ({words})", names[index])));
                seen.look(folder, &process);
                seen.done(index);
                ended += 1;
            }
            if told.elapsed() >= PATIENCE {
                told = Instant::now();
                let active = processes.iter().map(|process| {
                    let (step, steps) = seen.look(folder, process);
                    Active {
                        name: &names[process.index],
                        step,
                        steps,
                    }
                });
                let active = active.collect();
                tell(Event::Progress {
                    active,
                    ended,
                    seconds_left: seconds_left(&seen.runs, self.count),
                });
            }
            std::thread::sleep(POLL);
        }
        if let Some(signal) = stopped {
            return Err(at_the_end(folder, signal));
        }
        if failed.is_empty() {
            return Ok(());
        }
        failed.sort();
        Err(Error::Failed {
            failed,
            count: indices.len(),
        })
    }

    /// Does one run here, with the output streams of this process, and waits for it.
    ///
    /// # Errors
    /// An index that no run has, or a run that failed.
    pub fn one(&self, folder: &Folder, index: usize) -> Result<(), Error> {
        let count = folder.names().len();
        if index >= count {
            return Err(Error::NoSuchRun {
                index,
                count,
                path: folder.path().to_owned(),
            });
        }
        let mut tried = false;
        loop {
            if let Err(signal) = interrupt::check() {
                return Err(at_the_end(folder, signal));
            }
            match folder.state(index)? {
                RunState::Done => return Ok(()),
                RunState::Running => std::thread::sleep(PATIENCE),
                _ if tried => {
                    let failed = vec![folder.names()[index].clone()];
                    return Err(Error::Failed { failed, count: 1 });
                }
                state => {
                    // In the group of this process: a terminal or a scheduler signals both.
                    let status = self.command(folder, index, state).status();
                    if status.map_err(|source| self.not_started(source))?.success() {
                        return Ok(());
                    }
                    // If another process had begun it at the same moment, that one is waited for.
                    tried = true;
                }
            }
        }
    }

    fn start(&self, folder: &Folder, index: usize) -> Result<Need, Error> {
        let state = folder.state(index)?;
        match state {
            RunState::Done => return Ok(Need::Nothing),
            RunState::Running => return Ok(Need::Patience),
            RunState::Stopped | RunState::Waiting => {}
        }
        let path = folder.log(index);
        let log = File::create(&path).map_err(|source| file_error(source, &path))?;
        let also = log
            .try_clone()
            .map_err(|source| file_error(source, &path))?;
        let mut command = self.command(folder, index, state);
        command.stdin(Stdio::null()).stdout(log).stderr(also);
        // A terminal sends its Ctrl-C to every process of a group, and a run that gets it twice
        // ends without a checkpoint. So each run has its own group, and gets the signal from here.
        #[cfg(unix)]
        command.process_group(0);
        Ok(Need::Start(
            command.spawn().map_err(|source| self.not_started(source))?,
        ))
    }

    fn command(&self, folder: &Folder, index: usize, state: RunState) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("train")
            .arg(folder.plan(index))
            .arg("--run-dir")
            .arg(folder.run_dir(index));
        command.arg("--resume-or-start");
        let layer = folder.layer(index).unwrap_or_default();
        if let Some(threads) = self.threads
            && state == RunState::Waiting
            && !layer.contains_key("threads")
        {
            command.arg("--threads").arg(threads.to_string());
        }
        command
    }

    fn not_started(&self, source: std::io::Error) -> Error {
        Error::Start {
            program: self.program.display().to_string(),
            source,
        }
    }
}

/// Passes a received signal on to the runs in progress.
fn hand_on(processes: &[Process]) -> Option<Interrupt> {
    let signal = interrupt::check().err()?;
    for process in processes {
        signal.forward(process.child.id());
    }
    Some(signal)
}

/// The message after a signal.
fn at_the_end(folder: &Folder, signal: Interrupt) -> Error {
    let count = folder.names().len();
    let is_done = |index: &usize| folder.state(*index).is_ok_and(|is| is == RunState::Done);
    Error::Stopped {
        signal,
        done: (0..count).filter(is_done).count(),
        count,
    }
}

/// Removes the processes that have ended, each with whether it succeeded.
fn reap(processes: &mut Vec<Process>) -> Vec<(Process, bool)> {
    let (mut ended, mut place) = (Vec::new(), 0);
    while place < processes.len() {
        let ok = match processes[place].child.try_wait() {
            Ok(None) => {
                place += 1;
                continue;
            }
            Ok(Some(status)) => status.success(),
            Err(_) => false,
        };
        ended.push((processes.remove(place), ok));
    }
    ended
}

/// The error that a run's log ends with.
fn last_words(log: &std::path::Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let error = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("error: "));
    error.unwrap_or("it was stopped").to_owned()
}
