//! `rtg report`: a comparison of runs as a page, tables, curves or data.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::Args;

use super::{print, say};
use crate::error::Error;
use crate::report::{
    self, RunReport, curves_svg, episodes_csv, episodes_parquet, latex, markdown, page,
};
use crate::run::{Run, unreadable, write_whole};

/// Compare runs.
#[derive(Args)]
#[command(
    after_help = "Runs whose plans differ only in the seed are one group; the last evaluation counts, \
    the best one is shown next to it. A .csv or .parquet has a row for each evaluation episode.\n\n\
    Example: rtg report runs --out report.html"
)]
pub(super) struct Report {
    /// Run directories of `rtg train`, or folders that contain run directories.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Write a file instead of stdout: .html, .md, .tex, .svg, .csv or .parquet.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Rewrite the file while runs continue; a page in a browser reloads itself.
    #[arg(long, requires = "out")]
    watch: bool,
    /// Seconds between writes of --watch.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
}

impl Report {
    pub(super) fn run(self) -> Result<(), Error> {
        let Some(path) = &self.out else {
            return print(&markdown(&self.read()?));
        };
        loop {
            let runs = self.read()?;
            let going = self.watch && runs.iter().any(|run| !run.ended);
            write(&runs, path, going.then_some(self.every))?;
            if !going {
                return Ok(());
            }
            thread::sleep(Duration::from_secs(self.every));
        }
    }

    /// Searches for runs each time, because a sweep starts them one after another.
    fn read(&self) -> Result<Vec<RunReport>, Error> {
        let runs = report::read(&report::find(&self.runs)?)?;
        for run in runs.iter().filter(|run| run.damaged_lines > 0) {
            let metrics = Run::open(&run.path)?.metrics();
            let sentence = unreadable(run.damaged_lines as u64, "line", &metrics);
            say(&format!("warning: {sentence}"));
        }
        Ok(runs)
    }
}

fn write(runs: &[RunReport], path: &Path, reload_secs: Option<u64>) -> Result<(), Error> {
    let contents = match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => page(runs, reload_secs).into_bytes(),
        Some("md") => markdown(runs).into_bytes(),
        Some("tex") => latex(runs).into_bytes(),
        Some("svg") => curves_svg(runs).into_bytes(),
        Some("csv") => episodes_csv(runs).into_bytes(),
        Some("parquet") => episodes_parquet(runs)?,
        _ => {
            return Err(Error::ReportKind {
                path: path.to_owned(),
            });
        }
    };
    write_whole(path, |file| file.write_all(&contents))?;
    Ok(())
}
