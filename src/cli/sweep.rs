//! `rtg sweep`: many runs from one plan, here or on a cluster.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::{print, progress, watch};
use crate::error::Error;
use crate::experiment::default_threads;
use crate::report;
use crate::run::{read_text, write_whole};
use crate::sweep::{self, Event, Folder, RunState, SweepPlan, Workers, submit};

/// Train every run of a grid.
#[derive(Args)]
#[command(
    after_help = "A plan has the tables [base], [grid] (lists, or ranges such as seed = { from = 0, to = \
    4 }), [groups.NAME] (alternatives) and [slurm] (options of sbatch). After an interruption, run \
    the same command again: finished runs are kept, unfinished ones are resumed.\n\n\
    Example: rtg sweep experiments/sweeps/family-cartpole.toml --workers 2"
)]
pub(super) struct Sweep {
    /// The plan of a sweep, or the folder of an existing one.
    plan: PathBuf,
    /// The sweep's folder [default: sweeps/<name of the plan>].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Runs at a time on this machine.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    workers: u16,
    /// Threads of a run [default: the cores divided by the workers].
    #[arg(long)]
    threads: Option<usize>,
    /// Submit the remaining runs as a Slurm array job.
    #[arg(long, conflicts_with_all = ["print", "status", "only"])]
    slurm: bool,
    /// Concurrent tasks of the array job.
    #[arg(long, requires = "slurm")]
    limit: Option<usize>,
    /// Print the command of each remaining run, for another scheduler.
    #[arg(long, conflicts_with_all = ["status", "only"])]
    print: bool,
    /// Print the state of each run without changing anything. A run on another machine is judged by
    /// its last record.
    #[arg(long, conflicts_with = "only")]
    status: bool,
    /// Execute only the run with this index in runs.txt.
    #[arg(long, value_name = "INDEX")]
    only: Option<usize>,
}

impl Sweep {
    pub(super) fn run(self) -> Result<(), Error> {
        let folder = self.folder()?;
        if self.status {
            return print(&status(&folder)?);
        }
        if self.print {
            return print(&commands(&folder)?);
        }
        if self.slurm {
            let answer = submit(&folder, self.limit)?;
            return print(&(answer.unwrap_or_else(|| "all runs are done".to_owned()) + "\n"));
        }
        let workers = self.workers()?;
        watch()?;
        if let Some(index) = self.only {
            return Ok(workers.one(&folder, index)?);
        }
        let all: Vec<usize> = (0..folder.names().len()).collect();
        Ok(watched(&workers, &folder, &all)?)
    }

    fn folder(&self) -> Result<Folder, Error> {
        if self.plan.is_dir() {
            return Ok(Folder::open(&self.plan)?);
        }
        let text = read_text(&self.plan).map_err(|source| Error::Read {
            source,
            path: self.plan.clone(),
        })?;
        let plan = SweepPlan::parse(&text)?;
        let out = self.out.clone().unwrap_or_else(|| {
            Path::new("sweeps").join(self.plan.file_stem().unwrap_or("sweep".as_ref()))
        });
        Ok(Folder::write(&out, &plan)?)
    }

    fn workers(&self) -> Result<Workers, Error> {
        let count = usize::from(self.workers);
        let shared = (count > 1).then(|| (default_threads() / count).max(1));
        Ok(Workers {
            program: program()?,
            count,
            threads: self.threads.or(shared),
        })
    }
}

/// The path of this program, to call it again.
fn program() -> Result<PathBuf, Error> {
    std::env::current_exe().map_err(|source| Error::Read {
        source,
        path: "rtg".into(),
    })
}

/// Does the runs `indices` and shows their progress.
fn watched(workers: &Workers, folder: &Folder, indices: &[usize]) -> Result<(), sweep::Error> {
    let mut lines = progress::Lines::new(indices.len());
    let outcome = workers.work(folder, indices, |event| match event {
        Event::Began { name } => lines.begin(name),
        Event::Ended { name, failure } => lines.end(name, failure),
        Event::Progress {
            active,
            ended,
            seconds_left,
        } => {
            for run in active {
                lines.advance(run.name, run.step, run.steps);
            }
            lines.all(ended, seconds_left);
        }
    });
    lines.finish();
    outcome
}

/// Does the runs `indices`, `workers` at a time, and shows their results. Each run has the threads
/// of its plan.
pub(super) fn work_and_show(
    workers: usize,
    folder: &Folder,
    indices: &[usize],
    out: &Path,
) -> Result<(), Error> {
    let workers = Workers {
        program: program()?,
        count: workers,
        threads: None,
    };
    watch()?;
    let outcome = watched(&workers, folder, indices);
    // Failed runs are reported last, after the results of the others.
    show(folder, indices, out)?;
    Ok(outcome?)
}

/// Writes the page, and prints the findings and paths.
fn show(folder: &Folder, indices: &[usize], out: &Path) -> Result<(), Error> {
    let paths = indices
        .iter()
        .map(|&index| out.join("runs").join(&folder.names()[index]));
    let begun: Vec<PathBuf> = paths
        .filter(|path| path.join("experiment.toml").exists())
        .collect();
    if begun.is_empty() {
        return Ok(());
    }
    let runs = report::read(&begun)?;
    let page = out.join("report.html");
    let html = report::page(&runs, None);
    write_whole(&page, |file| file.write_all(html.as_bytes()))?;
    let (page, out) = (page.display(), out.display());
    print(&format!(
        "{}\npage: {page}\nruns: {out}/runs (`rtg report {out}/runs` shows each of them)\n",
        report::brief(&runs)
    ))
}

fn status(folder: &Folder) -> Result<String, Error> {
    let mut text = String::from(
        "| index | run | state | steps | last record |\n| ---: | --- | --- | ---: | ---: |\n",
    );
    for (index, name) in folder.names().iter().enumerate() {
        let state = match folder.look(index)? {
            RunState::Done => "done",
            RunState::Running => "running",
            RunState::Stopped => "stopped",
            RunState::Waiting => "waiting",
        };
        let (step, steps) = (folder.step(index), folder.planned_steps(index));
        let age = folder.age(index).map_or_else(|| "–".to_owned(), ago);
        let _ = writeln!(
            text,
            "| {index} | {name} | {state} | {step} of {steps} | {age} |"
        );
    }
    Ok(text)
}

/// An elapsed time in its largest unit.
fn ago(age: Duration) -> String {
    let secs = age.as_secs();
    match secs {
        0..120 => format!("{secs} s ago"),
        120..7200 => format!("{} min ago", secs / 60),
        7200..172_800 => format!("{} h ago", secs / 3600),
        _ => format!("{} days ago", secs / 86_400),
    }
}

fn commands(folder: &Folder) -> Result<String, sweep::Error> {
    let mut text = String::new();
    for index in 0..folder.names().len() {
        if folder.look(index)? != RunState::Done {
            let _ = writeln!(text, "{} {index}", folder.path().join("one.sh").display());
        }
    }
    Ok(text)
}
