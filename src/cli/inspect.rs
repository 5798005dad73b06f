//! `rtg inspect`: a summary of a dataset and a check for defects.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use rtg_datasets::doctor::{AlikeStates, Checkup, check_up};
use rtg_datasets::store::StoreMode;
use rtg_datasets::{Dataset, Defects, EnvSpec, Part};
use serde_json::{Map, Value, json};

use super::harmless::line;
use super::{print, print_json};
use crate::data::{environment, open_dataset};
use crate::error::{Error, describe};
use crate::metrics::spread;
use crate::report::inspection_svg;
use crate::run::write_whole;

/// Summarise a dataset and check it for defects.
#[derive(Args)]
#[command(after_help = "Example: rtg inspect builtin/cartpole/mixed --plot mixed.svg")]
pub(super) struct Inspect {
    /// Minari id, path of any file or directory that rtg reads, or builtin/<env>/<kind>.
    dataset: String,
    /// Write an SVG file with returns, lengths, returns-to-go and findings.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(self) -> Result<(), Error> {
        let data = open_dataset(&self.dataset, Defects::Keep, StoreMode::Memory)?;
        let checkup = check_up(&data);
        if let Some(path) = &self.plot {
            let picture = inspection_svg(&self.dataset, &data, &checkup);
            write_whole(path, |file| file.write_all(picture.as_bytes()))?;
        }
        if !self.json {
            return print(&text(&self.dataset, &data, &checkup));
        }
        let environment = environment(&data);
        let mut answer = json!({
            "id": self.dataset,
            "env": environment.as_ref().map(|(env, _)| env),
            "not_simulated": environment.as_ref().and_then(|(_, reason)| reason.as_ref()),
            "env_spec": data.info().env_spec,
            "observation": { "width": data.observation_width(), "parts": data.info().observation_parts },
            "action": { "width": data.action_width(), "parts": data.info().action_parts },
            "episodes": data.episodes(),
            "steps": data.steps(),
            "hash": data.hash(),
        });
        if let (Value::Object(answer), Ok(Value::Object(more))) =
            (&mut answer, serde_json::to_value(&checkup))
        {
            answer.extend(more);
        }
        print_json(&answer)
    }
}

fn text(id: &str, data: &Dataset, checkup: &Checkup) -> String {
    let (returns, findings) = (&checkup.returns, &checkup.findings);
    let info = data.info();
    let unsimulated = environment(data).and_then(|(_, reason)| reason);
    let mut text = String::new();
    let rows = [
        ("dataset", id.to_owned()),
        (
            "environment",
            (info.env_spec.as_ref()).map_or("unknown".to_owned(), shown),
        ),
        (
            "",
            unsimulated.map_or_else(String::new, |why| format!("not simulated here: {why}")),
        ),
        ("episodes", data.episodes().to_string()),
        ("steps", data.steps().to_string()),
        (
            "observation",
            format!(
                "{} {}{}",
                data.observation_width(),
                if data.observation_width() == 1 {
                    "number"
                } else {
                    "numbers"
                },
                listed(&info.observation_parts)
            ),
        ),
        (
            "action",
            describe(&info.action_space) + &listed(&info.action_parts),
        ),
        (
            "return",
            format!(
                "{}, from {} to {}",
                spread(returns.mean, Some(returns.std)),
                spread(returns.min, None),
                spread(returns.max, None),
            ),
        ),
        ("", checkup.return_histogram.sparkline()),
        (
            "length",
            format!(
                "from {:.0} to {:.0}",
                checkup.length_histogram.low, checkup.length_histogram.high
            ),
        ),
        ("", checkup.length_histogram.sparkline()),
        (
            "to go",
            format!(
                "from {} to {}",
                spread(checkup.returns_to_go.0, None),
                spread(checkup.returns_to_go.1, None)
            ),
        ),
        (
            "alike states",
            (checkup.returns_at_alike_states).map_or_else(String::new, variances),
        ),
        (
            "targets",
            format!(
                "{} (at most {}), return scale {}",
                words(&checkup.suggested_targets),
                spread(checkup.largest_supported_target, None),
                checkup.suggested_return_scale
            ),
        ),
        ("made by", info.provenance.clone()),
        ("hash", data.hash()),
    ];
    for (name, value) in rows {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:<12} {}", line(&value));
        }
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
            line(&finding.message)
        );
    }
    text
}

/// What is left of the variance of returns-to-go.
fn variances(at: AlikeStates) -> String {
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    format!(
        "{} of the variance to go; {} with the nearest action, {} with the farthest",
        percent(at.variance),
        percent(at.nearest_action),
        percent(at.farthest_action)
    )
}

/// The environment, its options and its wrappers.
fn shown(spec: &EnvSpec) -> String {
    let called = |kwargs: &Map<String, Value>| {
        let named = kwargs
            .iter()
            .map(|(name, value)| format!("{name} = {value}"));
        named.collect::<Vec<_>>().join(", ")
    };
    let mut text = spec.id.clone();
    if !spec.kwargs.is_empty() {
        let _ = write!(text, " with {}", called(&spec.kwargs));
    }
    if let Some(limit) = spec.max_episode_steps {
        let _ = write!(text, ", at most {limit} steps");
    }
    for wrapper in &spec.wrappers {
        let kwargs = wrapper.kwargs.as_ref();
        let kwargs = kwargs.map_or("unknown options".into(), called);
        let _ = write!(text, ", in {}({kwargs})", wrapper.name);
    }
    text
}

/// `: achieved_goal 2, desired_goal 2`, the parts of a row with their widths.
fn listed(parts: &[Part]) -> String {
    let parts: Vec<_> = parts
        .iter()
        .map(|part| format!("{} {}", part.name, part.width))
        .collect();
    match parts.as_slice() {
        [] => String::new(),
        parts => format!(": {}", parts.join(", ")),
    }
}

fn words(numbers: &[f64]) -> String {
    let words: Vec<_> = numbers.iter().map(|&number| spread(number, None)).collect();
    words.join(", ")
}
