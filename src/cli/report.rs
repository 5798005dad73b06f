//! `rtg report`: runs side by side, as a table, curves or a page.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::print;
use crate::error::Error;
use crate::report::{curves_svg, html, read, table};
use crate::run::write_whole;

/// Compare runs.
#[derive(Args)]
#[command(after_help = "Example: rtg report runs/* --out report.html")]
pub(super) struct Report {
    /// Run directories of `rtg train`.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Write a file instead of stdout: .md for the table, .svg for the curves, .html for both.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Report {
    pub(super) fn run(self) -> Result<(), Error> {
        let runs = read(&self.runs)?;
        let Some(path) = self.out else {
            return print(&table(&runs));
        };
        let text = match path.extension().and_then(|extension| extension.to_str()) {
            Some("md") => table(&runs),
            Some("svg") => curves_svg(&runs),
            Some("html") => html(&runs),
            _ => return Err(Error::ReportKind { path }),
        };
        write_whole(&path, |file| file.write_all(text.as_bytes()))?;
        Ok(())
    }
}
