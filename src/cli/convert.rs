//! `rtg convert`: writes a dataset in another format.

use std::fmt::Write;
use std::path::Path;

use clap::Args;
use rtg_datasets::recording::Source;
use rtg_datasets::{Target, convert};
use serde_json::json;

use super::progress::bar;
use super::{Format, format, print, print_json};
use crate::checkpoint::Checkpoint;
use crate::data::{in_memory, open_source};
use crate::error::Error;
use crate::experiment::Experiment;
use crate::run::Run;
use crate::train::LATEST;

/// Convert a dataset into another format.
#[derive(Args)]
#[command(
    after_help = "Types, infos, seeds and metadata are kept; the output names what the new format cannot store.\n\n\
    Example: rtg convert hopper_medium-v2.hdf5 d4rl/hopper/medium-v2 --format parquet"
)]
pub(super) struct Convert {
    /// Minari id, builtin/<env>/<kind>, the path of any file or directory that rtg reads, or an
    /// online run: the episodes in its replay buffer.
    source: String,
    /// Minari id of the new dataset (namespace/name-v0), or its path (./name-v0, file.hdf5).
    target: String,
    /// hdf5, arrow, parquet (of Minari), or d4rl.
    #[arg(long, default_value = "hdf5", value_parser = format)]
    format: Format,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Convert {
    pub(super) fn run(self) -> Result<(), Error> {
        let mut source: Box<dyn Source> = match Run::open(Path::new(&self.source)) {
            Ok(run) => {
                let checkpoint = Checkpoint::load(&run.checkpoints().join(LATEST))?;
                let plan = Experiment::parse_layer(&run.experiment()?)?;
                let trajectories = checkpoint.trajectories(&Experiment::from_layers(&[plan])?)?;
                Box::new(in_memory(match trajectories {
                    Some(trajectories) => trajectories,
                    None => checkpoint.replayed()?,
                }))
            }
            Err(_) => open_source(&self.source)?,
        };
        let out = Target::named(&self.target, self.format.0, &rtg_datasets::datasets_root());
        let bar = bar(0, "episodes");
        let summary = convert::copy(&mut *source, &out, &mut |done, total| {
            bar.set_length(total.unwrap_or(done) as u64);
            bar.set_position(done as u64);
        })?;
        bar.finish_and_clear();
        if self.json {
            return print_json(&json!({
                "source": self.source,
                "target": self.target,
                "format": self.format.name(),
                "episodes": summary.episodes,
                "steps": summary.steps,
                "findings": summary.findings,
                "left_out": summary.left_out,
            }));
        }
        let mut text = format!(
            "{}: {} episodes, {} steps as {}\n",
            self.target,
            summary.episodes,
            summary.steps,
            self.format.name()
        );
        for finding in summary.findings {
            let _ = writeln!(
                text,
                "{}: {} x {}",
                finding.severity, finding.count, finding.message
            );
        }
        for what in summary.left_out {
            let _ = writeln!(text, "not written: {what}");
        }
        print(&text)
    }
}
