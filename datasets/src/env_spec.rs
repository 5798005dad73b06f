//! The environment in which a dataset was recorded, as Gymnasium's `EnvSpec` writes it in JSON.
//!
//! Source of the keys: Gymnasium's `gymnasium/envs/registration.py`, `EnvSpec.to_json` and
//! `WrapperSpec`. A number for which JSON has no word is the text `Infinity`, `-Infinity` or `NaN`
//! here, anywhere in `kwargs`.

mod environment;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How an environment was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvSpec {
    /// Gymnasium's id, such as `Hopper-v5`.
    pub id: String,
    /// The class, such as `gymnasium.envs.mujoco.hopper_v5:HopperEnv`.
    pub entry_point: Option<String>,
    /// Steps after which episodes are truncated; `None` where the spec leaves it open.
    pub max_episode_steps: Option<usize>,
    /// The return from which the environment counts as solved.
    pub reward_threshold: Option<f64>,
    /// What the class was called with, by name.
    pub kwargs: Map<String, Value>,
    /// The wrappers around it, the innermost first.
    pub wrappers: Vec<WrapperSpec>,
}

/// A wrapper around an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WrapperSpec {
    /// The class's name, such as `RescaleAction`.
    pub name: String,
    /// The class, such as `gymnasium.wrappers.transform_action:RescaleAction`.
    pub entry_point: Option<String>,
    /// What it was called with; `None` where Gymnasium could not record it, so that the wrapper
    /// cannot be recreated.
    pub kwargs: Option<Map<String, Value>>,
}

impl EnvSpec {
    /// An environment of which only the id is known.
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            ..Self::default()
        }
    }

    /// Whether it is the registered environment unchanged: no options and no wrappers.
    pub fn is_plain(&self) -> bool {
        self.kwargs.is_empty() && self.wrappers.is_empty()
    }

    /// Whether Gymnasium accepts the id: a name of letters, digits and `_ : . -`, with at most one
    /// namespace before it.
    pub(crate) fn has_sound_id(&self) -> bool {
        let is_part = |part: &str, others: &[char]| {
            let letter = |c: char| c.is_alphanumeric() || others.contains(&c);
            !part.is_empty() && part.chars().all(letter)
        };
        let (namespace, name) = self.id.split_once('/').unwrap_or(("a", &self.id));
        is_part(namespace, &['_', ':', '-']) && is_part(name, &['_', ':', '.', '-'])
    }

    /// Whether both make the same environment; other entries, such as the class, may differ.
    pub fn is_same_world(&self, other: &Self) -> bool {
        self.id == other.id && self.kwargs == other.kwargs && self.wrappers == other.wrappers
    }

    /// Reads the text of an entry `env_spec`; `None` where it does not name an environment.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let spec = crate::json::parse(text).ok()?;
        let text = |value: &Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
        let wrappers = spec.get("additional_wrappers").and_then(Value::as_array);
        let wrappers = wrappers.into_iter().flatten().map(|wrapper| WrapperSpec {
            name: text(wrapper, "name").unwrap_or_default(),
            entry_point: text(wrapper, "entry_point"),
            kwargs: wrapper.get("kwargs").and_then(options),
        });
        Some(Self {
            id: text(&spec, "id").filter(|id| !id.is_empty())?,
            entry_point: text(&spec, "entry_point"),
            max_episode_steps: spec
                .get("max_episode_steps")
                .and_then(Value::as_u64)
                .and_then(|limit| usize::try_from(limit).ok()),
            reward_threshold: spec.get("reward_threshold").and_then(crate::json::number),
            kwargs: spec.get("kwargs").and_then(options).unwrap_or_default(),
            wrappers: wrappers.collect(),
        })
    }

    /// The text of an entry `env_spec`, which Python's `EnvSpec.from_json` reads.
    pub(crate) fn to_text(&self) -> String {
        let wrappers = self.wrappers.iter().map(|wrapper| {
            json!({
                "name": wrapper.name,
                "entry_point": wrapper.entry_point,
                "kwargs": wrapper.kwargs.as_ref().map(|kwargs| marked(&kwargs.clone().into())),
            })
        });
        let spec = json!({
            "id": self.id,
            "entry_point": self.entry_point,
            "reward_threshold": self.reward_threshold,
            "nondeterministic": false,
            "max_episode_steps": self.max_episode_steps,
            "order_enforce": true,
            "disable_env_checker": false,
            "kwargs": marked(&self.kwargs.clone().into()),
            "additional_wrappers": wrappers.collect::<Vec<_>>(),
            "vector_entry_point": null,
        });
        crate::json::write(&spec)
    }
}

/// The options in an object, their bare words as plain texts.
fn options(value: &Value) -> Option<Map<String, Value>> {
    match plain(value) {
        Value::Object(options) => Some(options),
        _ => None,
    }
}

/// Bare words become plain texts.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(entries) => {
            let entries = entries
                .iter()
                .map(|(key, value)| (key.clone(), plain(value)));
            Value::Object(entries.collect())
        }
        value => match crate::json::number(value) {
            Some(number) if number.is_nan() => "NaN".into(),
            Some(number) if number == f64::INFINITY => "Infinity".into(),
            Some(number) if number == f64::NEG_INFINITY => "-Infinity".into(),
            _ => value.clone(),
        },
    }
}

/// The reverse of [`plain`].
fn marked(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(marked).collect(),
        Value::Object(entries) => {
            let entries = entries
                .iter()
                .map(|(key, value)| (key.clone(), marked(value)));
            Value::Object(entries.collect())
        }
        Value::String(word) => match word.as_str() {
            "NaN" => crate::json::of(f64::NAN),
            "Infinity" => crate::json::of(f64::INFINITY),
            "-Infinity" => crate::json::of(f64::NEG_INFINITY),
            _ => value.clone(),
        },
        value => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_limits_and_wrappers_are_read_and_written() {
        let text = r#"{"id": "Hopper-v5", "max_episode_steps": 400, "entry_point": "a.b:C",
            "kwargs": {"frame_skip": 8, "healthy_z_range": [0.7, Infinity]},
            "additional_wrappers": [
                {"name": "RescaleAction", "entry_point": "a:R", "kwargs": {"min_action": -1.0}},
                {"name": "TransformReward", "entry_point": "a:T", "kwargs": null}]}"#;
        let spec = EnvSpec::parse(text).unwrap();
        assert_eq!(spec.max_episode_steps, Some(400));
        assert_eq!(spec.kwargs["frame_skip"], 8);
        assert_eq!(spec.kwargs["healthy_z_range"], json!([0.7, "Infinity"]));
        assert_eq!(spec.wrappers[0].name, "RescaleAction");
        assert_eq!(spec.wrappers[1].kwargs, None);
        assert!(!spec.is_plain());
        let written = spec.to_text();
        assert!(written.contains("[0.7,Infinity]"), "{written}");
        assert_eq!(EnvSpec::parse(&written).unwrap(), spec);
    }

    #[test]
    fn ids_are_those_of_gymnasium() {
        for (id, sound) in [
            ("Hopper-v5", true),
            ("D4RL/pen/human-v2", false),
            ("ALE/Pong-v5", true),
            ("a b-v0", false),
            ("Cart\u{1b}[2J", false),
            ("/x", false),
        ] {
            assert_eq!(EnvSpec::new(id).has_sound_id(), sound, "{id}");
        }
    }

    #[test]
    fn a_spec_without_an_id_names_no_environment() {
        for text in ["{}", r#"{"id": null}"#, r#"{"id": ""}"#, "[]", "{"] {
            assert_eq!(EnvSpec::parse(text), None, "{text}");
        }
        let spec = EnvSpec::parse(r#"{"id": "A-v0", "max_episode_steps": -1, "kwargs": 3}"#);
        assert_eq!(spec, Some(EnvSpec::new("A-v0")));
    }
}
