//! The command line: parses arguments and calls the library, one file for each command.
//!
//! Results go to stdout, messages to stderr. Exit codes: 0 success, 1 failure, 2 wrong usage, 130
//! and 143 stopped by SIGINT and SIGTERM.

mod algorithms;
mod bench;
mod collect;
mod compare;
mod convert;
#[cfg(feature = "remote")]
mod datasets;
mod devices;
mod envs;
mod estimate;
mod evaluate;
mod export;
mod generate;
mod harmless;
mod inspect;
mod keys;
mod progress;
mod ranks;
mod render;
mod report;
mod seeds;
mod sweep;
mod train;
mod which;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rtg_datasets::MinariFormat;
use serde::Serialize;

use crate::error::Error;
use crate::interrupt;

/// Decision Transformers: train on offline trajectories, evaluate in simulation, compare.
#[derive(Parser)]
#[command(name = "rtg", version, max_term_width = 100)]
#[command(
    after_help = "Example: rtg train && rtg evaluate runs/builtin-cartpole-mixed-decision_transformer-corl-0 --targets 500,100"
)]
struct Cli {
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        help = "MuJoCo's library or its folder [default: RTG_MUJOCO, else the Python on PATH]"
    )]
    mujoco: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Envs(envs::Envs),
    Inspect(inspect::Inspect),
    Collect(collect::Collect),
    Convert(convert::Convert),
    Train(train::Train),
    Evaluate(evaluate::Evaluate),
    Estimate(estimate::Estimate),
    Render(render::Render),
    Export(export::Export),
    Compare(compare::Compare),
    Sweep(sweep::Sweep),
    Report(report::Report),
    Algorithms(algorithms::Algorithms),
    Keys(keys::ListKeys),
    Bench(bench::Bench),
    Devices(devices::Devices),
    #[command(hide = true)]
    Generate(generate::Generate),
    #[cfg(feature = "remote")]
    Datasets(datasets::Datasets),
}

/// Parses the command line, runs the command and returns the exit code.
pub fn run() -> ExitCode {
    interrupt::outlive_file_limits();
    let Cli { mujoco, command } = Cli::parse();
    let found = mujoco.map_or(Ok(()), |path| {
        rtg_envs::mujoco::find_at(&path)
            .map(drop)
            .map_err(Error::from)
    });
    let result = found.and_then(|()| match command {
        Command::Envs(command) => command.run(),
        Command::Inspect(command) => command.run(),
        Command::Collect(command) => command.run(),
        Command::Convert(command) => command.run(),
        Command::Train(command) => command.run(),
        Command::Evaluate(command) => command.run(),
        Command::Estimate(command) => command.run(),
        Command::Render(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Compare(command) => command.run(),
        Command::Sweep(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Algorithms(command) => command.run(),
        Command::Keys(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Devices(command) => command.run(),
        Command::Generate(command) => command.run(),
        #[cfg(feature = "remote")]
        Command::Datasets(command) => command.run(),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error, None);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Writes a line to stderr. A closed stderr is not an error.
fn say(line: &str) {
    drop(writeln!(io::stderr(), "{}", harmless::text(line)));
}

/// From now on, a first SIGINT or SIGTERM stops the command at its next whole step.
fn watch() -> Result<(), Error> {
    interrupt::watch().map_err(|source| Error::Signals { source })
}

/// Prints an error and its hint; with the rank, if it is not the first of several.
fn complain(error: &Error, rank: Option<usize>) {
    let of = rank.map_or(String::new(), |rank| format!("rank {rank}: "));
    say(&format!("error: {of}{error}"));
    if let Some(hint) = error.hint() {
        say(&format!("hint: {hint}"));
    }
}

/// The format of a new dataset; none is D4RL's.
#[derive(Clone, Copy)]
struct Format(Option<MinariFormat>);

impl Format {
    fn name(self) -> &'static str {
        self.0.map_or("d4rl", MinariFormat::name)
    }
}

/// Parses the name of a format.
fn format(text: &str) -> Result<Format, String> {
    let minari = MinariFormat::ALL.into_iter().map(Some);
    let mut known = minari.chain([None]).map(Format);
    known.find(|format| format.name() == text).ok_or_else(|| {
        let names: Vec<_> = MinariFormat::ALL
            .iter()
            .map(|format| format.name())
            .collect();
        format!("the formats are {} and d4rl", names.join(", "))
    })
}

/// Writes text to stdout, with control characters escaped.
fn print(text: &str) -> Result<(), Error> {
    write(&harmless::text(text))
}

/// Writes to stdout. A closed pipe (`| head`) is not an error.
fn write(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => Err(Error::Write {
            source,
            path: "stdout".into(),
        }),
        _ => Ok(()),
    }
}

/// Writes a value to stdout as JSON.
fn print_json(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Write {
        source: error.into(),
        path: "stdout".into(),
    })?;
    write(&format!("{}\n", harmless::json(&text)))
}
