//! `rtg inspect`: what a dataset holds and whether it is sound.

use std::fmt::Write;

use clap::Args;
use rtg_datasets::doctor::{self, Finding};
use rtg_datasets::statistics::ReturnSummary;
use rtg_datasets::{Dataset, Defects};
use serde_json::json;

use super::{print, print_json};
use crate::data::open_dataset;
use crate::error::{Error, describe};

/// Summarise a dataset and say what is wrong with it.
#[derive(Args)]
#[command(after_help = "Example: rtg inspect builtin/cartpole/mixed --json")]
pub(super) struct Inspect {
    /// Minari id, path of a Minari or D4RL file, or builtin/<env>/<kind>.
    dataset: String,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(self) -> Result<(), Error> {
        let data = open_dataset(&self.dataset, Defects::Keep)?;
        let summary = ReturnSummary::of(&data);
        let findings = doctor::examine(&data);
        if !self.json {
            return print(&text(&self.dataset, &data, &summary, &findings));
        }
        print_json(&json!({
            "id": self.dataset,
            "env": data.info().env_id,
            "episodes": data.episodes(),
            "steps": data.steps(),
            "return": summary,
            "findings": findings,
            "hash": data.hash(),
        }))
    }
}

fn text(id: &str, data: &Dataset, returns: &ReturnSummary, findings: &[Finding]) -> String {
    let info = data.info();
    let mut text = String::new();
    let rows = [
        ("dataset", id.to_owned()),
        (
            "environment",
            info.env_id.clone().unwrap_or("unknown".to_owned()),
        ),
        ("episodes", data.episodes().to_string()),
        ("steps", data.steps().to_string()),
        (
            "observation",
            format!("{} numbers", data.observation_width()),
        ),
        ("action", describe(&info.action_space)),
        (
            "return",
            format!(
                "{:.1} ± {:.1}, from {:.1} to {:.1}",
                returns.mean, returns.std, returns.min, returns.max
            ),
        ),
        ("made by", info.provenance.clone()),
        ("hash", data.hash()),
    ];
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<12} {value}");
    }
    if findings.is_empty() {
        let _ = writeln!(text, "{:<12} none", "findings");
    }
    for finding in findings {
        let _ = writeln!(
            text,
            "{:<12} {} x {}: {}",
            finding.severity.to_string(),
            finding.count,
            finding.code,
            finding.message
        );
    }
    text
}
