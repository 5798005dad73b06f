//! `rtg envs`: the environments.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::Args;
use rtg_envs::config::Arguments;
use rtg_envs::{Spec, mujoco, registry};
use serde_json::json;

use super::{print, print_json};
use crate::error::{Error, describe};

/// List the environments, or the options of one.
#[derive(Args)]
#[command(
    after_help = "Wherever an environment id is expected, options, a time limit and wrappers may follow it:\n\
    'Hopper-v5?frame_skip=8&healthy_z_range=[0.7,inf]', 'CartPole-v1?max_episode_steps=15',\n\
    'Pendulum-v1?g=2&RescaleAction(min_action=-1,max_action=1)'.\n\n\
    Examples: rtg envs --json\n          rtg envs Hopper-v5"
)]
pub(super) struct Envs {
    /// Show this environment and its options.
    id: Option<String>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Envs {
    pub(super) fn run(self) -> Result<(), Error> {
        let specs = match &self.id {
            Some(id) => vec![registry::spec(id)?],
            None => registry::ids()
                .map(registry::spec)
                .collect::<Result<_, _>>()?,
        };
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
                        "options": texts(registry::options(&spec.id)),
                    })
                })
                .collect();
            return print_json(&answer);
        }
        let mut text = table(&specs);
        if let (Some(_), [spec]) = (&self.id, specs.as_slice()) {
            text += &options(spec)?;
        }
        let _ = match mujoco::find() {
            Ok(found) => writeln!(
                text,
                "\nMuJoCo {} at {}",
                found.version,
                found.path.display()
            ),
            Err(error) => writeln!(
                text,
                "\nMuJoCo not found; environments of versions v4 and v5 need it: {error} ({})",
                mujoco::HINT
            ),
        };
        print(&text)
    }
}

fn table(specs: &[Spec]) -> String {
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
    text
}

/// The options of an environment with their defaults.
fn options(spec: &Spec) -> Result<String, Error> {
    let given = registry::resolve(&spec.id)?.kwargs;
    let options = registry::options(&spec.id);
    if options.is_empty() {
        return Ok("\nit has no options\n".to_owned());
    }
    let mut text = format!("\n{:<45} {:<20} {}\n", "option", "default", "here");
    for (name, default) in options {
        let here = given.iter().find(|(known, _)| *known == name);
        let here = here.map_or(String::new(), |(_, value)| value.to_string());
        let line = format!("{name:<45} {:<20} {here}", default.to_string());
        let _ = writeln!(text, "{}", line.trim_end());
    }
    Ok(text)
}

/// Options as text, in the syntax that follows an id.
fn texts(options: Arguments) -> BTreeMap<String, String> {
    let texts = options.into_iter();
    texts
        .map(|(name, value)| (name, value.to_string()))
        .collect()
}
