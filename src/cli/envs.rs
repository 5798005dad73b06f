//! `rtg envs`: what can be simulated.

use std::fmt::Write;

use clap::Args;
use rtg_envs::{mujoco, registry};
use serde_json::json;

use super::{print, print_json};
use crate::error::{Error, describe};

/// List the environments.
#[derive(Args)]
#[command(after_help = "Example: rtg envs --json")]
pub(super) struct Envs {
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

impl Envs {
    pub(super) fn run(self) -> Result<(), Error> {
        let specs = registry::ids()
            .map(registry::spec)
            .collect::<Result<Vec<_>, _>>()?;
        if self.json {
            let answer: Vec<_> = (specs.iter())
                .map(|spec| {
                    json!({
                        "id": spec.id,
                        "observation_space": spec.observation_space,
                        "action_space": spec.action_space,
                        "max_episode_steps": spec.max_episode_steps,
                        "reward_threshold": spec.reward_threshold,
                        "reference_returns": spec.reference_returns
                            .map(|returns| json!({ "random": returns.random, "expert": returns.expert })),
                    })
                })
                .collect();
            return print_json(&answer);
        }
        let mut text = format!(
            "{:<26} {:>12} {:<24} {:>6} {:>10} {:>10}\n",
            "environment", "observations", "actions", "limit", "random", "expert"
        );
        for spec in specs {
            let returns = |pick: fn(&rtg_envs::ReferenceReturns) -> f64| {
                spec.reference_returns
                    .as_ref()
                    .map_or("-".to_owned(), |r| format!("{:.1}", pick(r)))
            };
            let _ = writeln!(
                text,
                "{:<26} {:>12} {:<24} {:>6} {:>10} {:>10}",
                spec.id,
                spec.observation_space.width(),
                describe(&spec.action_space),
                spec.max_episode_steps
                    .map_or("-".to_owned(), |limit| limit.to_string()),
                returns(|r| r.random),
                returns(|r| r.expert),
            );
        }
        let _ = match mujoco::find() {
            Ok(found) => writeln!(
                text,
                "\nMuJoCo {} at {}",
                found.version,
                found.path.display()
            ),
            Err(_) => writeln!(
                text,
                "\nno MuJoCo here: the environments of version v4 and v5 need it ({})",
                mujoco::HINT
            ),
        };
        print(&text)
    }
}
