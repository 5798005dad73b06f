//! Runs on this machine: each in a process of its own, some at a time.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::folder::file_error;
use super::{Error, Folder, State};

/// How often processes are looked at.
const POLL: Duration = Duration::from_millis(100);
/// How often a run that another process works on is looked at.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is told while runs go on.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A run was started or taken up again.
    Began {
        /// Its name.
        name: &'a str,
    },
    /// A run ended; with its last words if it failed.
    Ended {
        /// Its name.
        name: &'a str,
        /// Why it failed.
        failure: Option<&'a str>,
    },
    /// How far those are that are under way, about once a second.
    Progress {
        /// The runs under way.
        active: Vec<Active<'a>>,
        /// Runs that are done or failed, of all.
        ended: usize,
        /// Seconds until all are done at the speed so far; none in the beginning.
        seconds_left: Option<f64>,
    },
}

/// A run that is under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Active<'a> {
    /// Its name.
    pub name: &'a str,
    /// Steps recorded.
    pub step: u64,
    /// Steps asked for.
    pub steps: u64,
}

/// How runs are started.
#[derive(Debug, Clone)]
pub struct Workers {
    /// The program, this one.
    pub program: PathBuf,
    /// Runs at a time.
    pub count: usize,
    /// Threads of a run that begins. One that goes on keeps those of its plan.
    pub threads: Option<usize>,
}

/// A process at work.
struct Process {
    index: usize,
    child: Child,
}

/// What a run still needs.
enum Need {
    Nothing,
    Start(Child),
    /// Another process works on it.
    Patience,
}

impl Workers {
    /// Does every run of the sweep that is not done. A failed run does not stop the others.
    ///
    /// # Errors
    /// [`Error::Failed`] with the failed runs, after all others have ended.
    pub fn work(&self, folder: &Folder, mut tell: impl FnMut(Event<'_>)) -> Result<(), Error> {
        let names = folder.names();
        let steps: Vec<u64> = (0..names.len())
            .map(|index| folder.planned_steps(index))
            .collect();
        let mut before: Vec<u64> = vec![0; names.len()];
        let mut left: Vec<usize> = (0..names.len()).rev().collect();
        let mut waiting: Vec<(usize, Instant)> = Vec::new();
        let (mut processes, mut failed): (Vec<Process>, Vec<String>) = (Vec::new(), Vec::new());
        let (began, mut told) = (Instant::now(), Instant::now());
        let mut ended: Vec<usize> = Vec::new();
        while !left.is_empty() || !waiting.is_empty() || !processes.is_empty() {
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
                before[index] = folder.step(index).min(steps[index]);
                match self.start(folder, index) {
                    Ok(Need::Nothing) => ended.push(index),
                    Ok(Need::Patience) => waiting.push((index, Instant::now())),
                    Ok(Need::Start(child)) => {
                        tell(Event::Began {
                            name: &names[index],
                        });
                        processes.push(Process { index, child });
                    }
                    // A damaged run directory must not stop the others either.
                    Err(error) => {
                        let words = error.to_string();
                        tell(Event::Ended {
                            name: &names[index],
                            failure: Some(&words),
                        });
                        failed.push(format!("{} ({words})", names[index]));
                        ended.push(index);
                    }
                }
            }
            for (index, ok) in reap(&mut processes) {
                let failure = (!ok).then(|| last_words(&folder.log(index)));
                tell(Event::Ended {
                    name: &names[index],
                    failure: failure.as_deref(),
                });
                failed.extend(failure.map(|words| format!("{} ({words})", names[index])));
                ended.push(index);
            }
            if told.elapsed() >= PATIENCE {
                told = Instant::now();
                let active: Vec<Active<'_>> = processes
                    .iter()
                    .map(|process| Active {
                        name: &names[process.index],
                        step: folder.step(process.index).min(steps[process.index]),
                        steps: steps[process.index],
                    })
                    .collect();
                let reached = ended.iter().map(|&index| steps[index]).sum::<u64>()
                    + active.iter().map(|run| run.step).sum::<u64>();
                let under_way = processes.iter().map(|process| process.index);
                let begun: u64 = ended
                    .iter()
                    .copied()
                    .chain(under_way)
                    .map(|i| before[i])
                    .sum();
                let speed = reached.saturating_sub(begun) as f64 / began.elapsed().as_secs_f64();
                let left = steps.iter().sum::<u64>().saturating_sub(reached) as f64;
                let seconds_left = (speed > 0.0).then(|| left / speed);
                tell(Event::Progress {
                    active,
                    ended: ended.len(),
                    seconds_left,
                });
            }
            std::thread::sleep(POLL);
        }
        if failed.is_empty() {
            return Ok(());
        }
        failed.sort();
        Err(Error::Failed {
            failed,
            count: names.len(),
        })
    }

    /// Does one run here, its words going where those of this process go, and waits for it.
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
        loop {
            match folder.state(index)? {
                State::Done => return Ok(()),
                State::Running => std::thread::sleep(PATIENCE),
                state => {
                    let status = self.command(folder, index, state).status();
                    if status.map_err(|source| self.not_started(source))?.success() {
                        return Ok(());
                    }
                    let failed = vec![folder.names()[index].clone()];
                    return Err(Error::Failed { failed, count: 1 });
                }
            }
        }
    }

    fn start(&self, folder: &Folder, index: usize) -> Result<Need, Error> {
        let state = folder.state(index)?;
        match state {
            State::Done => return Ok(Need::Nothing),
            State::Running => return Ok(Need::Patience),
            State::Stopped | State::Waiting => {}
        }
        let path = folder.log(index);
        let log = File::create(&path).map_err(|source| file_error(source, &path))?;
        let also = log
            .try_clone()
            .map_err(|source| file_error(source, &path))?;
        let mut command = self.command(folder, index, state);
        command.stdin(Stdio::null()).stdout(log).stderr(also);
        Ok(Need::Start(
            command.spawn().map_err(|source| self.not_started(source))?,
        ))
    }

    fn command(&self, folder: &Folder, index: usize, state: State) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("train")
            .arg(folder.plan(index))
            .arg("--run-dir")
            .arg(folder.run_dir(index));
        if state == State::Stopped {
            command.arg("--resume");
        } else if let Some(threads) = self.threads
            && !folder.plans_threads(index)
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

/// Takes out the processes that have ended: index, and whether all went well.
fn reap(processes: &mut Vec<Process>) -> Vec<(usize, bool)> {
    let mut ended = Vec::new();
    processes.retain_mut(|process| match process.child.try_wait() {
        Ok(None) => true,
        Ok(Some(status)) => {
            ended.push((process.index, status.success()));
            false
        }
        Err(_) => {
            ended.push((process.index, false));
            false
        }
    });
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
