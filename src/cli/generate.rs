//! `rtg generate`: man pages, completions and pages of the manual, generated from the description
//! of the command line.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Arg, Args, Command, CommandFactory};
use clap_complete::Shell;

use super::{Cli, keys, write};
use crate::error::Error;
use crate::run::write_whole;

/// Write man pages, shell completions, or the generated pages of the manual.
#[derive(Args)]
#[command(after_help = "Example: rtg generate --man man --manual docs")]
#[group(id = "what", required = true, multiple = true, args = ["man", "completions", "manual"])]
pub(super) struct Generate {
    /// Write a man page for each command.
    #[arg(long, value_name = "FOLDER")]
    man: Option<PathBuf>,
    /// Print completions for a shell.
    #[arg(long, value_name = "SHELL")]
    completions: Option<Shell>,
    /// Write commands.md and keys.md.
    #[arg(long, value_name = "FOLDER")]
    manual: Option<PathBuf>,
}

const NAME: &str = "rtg";

impl Generate {
    pub(super) fn run(self) -> Result<(), Error> {
        if let Some(folder) = &self.man {
            let failed = |source| Error::Write {
                source,
                path: folder.clone(),
            };
            fs::create_dir_all(folder).map_err(failed)?;
            clap_mangen::generate_to(Cli::command(), folder).map_err(failed)?;
        }
        if let Some(folder) = &self.manual {
            let pages = [("commands.md", commands()), ("keys.md", keys::markdown()?)];
            for (name, text) in pages {
                write_whole(&folder.join(name), |file| file.write_all(text.as_bytes()))?;
            }
        }
        if let Some(shell) = self.completions {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
            write(&String::from_utf8_lossy(&script))?;
        }
        Ok(())
    }
}

const TITLE: &str = "\
# Commands

Written by `rtg generate --manual docs`. `rtg COMMAND --help` prints the same text.

";

/// Every command that is not hidden, with its arguments and options, as Markdown.
fn commands() -> String {
    let mut program = Cli::command();
    program.build();
    let mut text = TITLE.to_owned();
    text.push_str("Options of every command:\n\n");
    table(
        &mut text,
        program.get_arguments().filter(|arg| arg.is_global_set()),
    );
    for command in program.get_subcommands() {
        describe(&mut text, command, NAME, 2);
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn describe(text: &mut String, command: &Command, parent: &str, level: usize) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let name = format!("{parent} {}", command.get_name());
    let _ = writeln!(text, "{} {name}\n", "#".repeat(level));
    if let Some(about) = command.get_about() {
        let _ = writeln!(text, "{about}.\n");
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let _ = writeln!(text, "```text\n{usage}\n```\n");
    let own = |arg: &&Arg| !(arg.is_hide_set() || arg.is_global_set() || is_of_clap(arg));
    table(text, command.get_arguments().filter(own));
    if let Some(after) = command.get_after_help() {
        let after = after.to_string();
        for paragraph in after.split("\n\n") {
            let _ = writeln!(text, "{}\n", example(paragraph));
        }
    }
    for inner in command.get_subcommands() {
        describe(text, inner, &name, level + 1);
    }
}

fn is_of_clap(arg: &Arg) -> bool {
    ["help", "version"].contains(&arg.get_id().as_str())
}

/// `Example: rtg ...` with its command as code; other paragraphs are unchanged.
fn example(paragraph: &str) -> String {
    match paragraph.split_once(": ") {
        Some((word @ ("Example" | "Examples"), commands)) => {
            let commands: Vec<&str> = commands.lines().map(str::trim).collect();
            format!("{word}:\n\n```text\n{}\n```", commands.join("\n"))
        }
        _ => escaped(paragraph),
    }
}

fn table<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let mut rows = String::new();
    for arg in arguments {
        let help = arg.get_long_help().or(arg.get_help());
        let mut help = help.map_or(String::new(), ToString::to_string);
        let choices: Vec<_> = (arg.get_possible_values().iter())
            .filter(|_| arg.get_action().takes_values())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        if !choices.is_empty() {
            let end = if help.ends_with('.') { "" } else { "." };
            let _ = write!(help, "{end} One of {}.", choices.join(", "));
        }
        let defaults: Vec<_> = arg
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy())
            .collect();
        if !defaults.is_empty() && arg.get_action().takes_values() {
            let _ = write!(help, " [default: {}]", defaults.join(", "));
        }
        let help = escaped(&help.split_whitespace().collect::<Vec<_>>().join(" "));
        let _ = writeln!(
            rows,
            "| `{}` | {} |",
            spelled(arg),
            help.replace('|', "\\|")
        );
    }
    if !rows.is_empty() {
        let _ = writeln!(text, "| | |\n|---|---|\n{rows}");
    }
}

/// Text in which characters of HTML and of Markdown links are escaped.
fn escaped(text: &str) -> String {
    text.replace('<', "&lt;")
        .replace('[', "\\[")
        .replace('*', "\\*")
}

/// `--steps <STEPS>`, or `<RUN>`.
fn spelled(arg: &Arg) -> String {
    let text = arg.to_string();
    match arg.get_short() {
        Some(short) if !arg.is_positional() => format!("-{short}, {text}"),
        _ => text,
    }
    .replace('|', "\\|")
}
