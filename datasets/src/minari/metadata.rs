//! What a Minari dataset says about itself.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rtg_envs::Space;
use serde_json::Value;

use super::spaces;
use crate::hdf5::Group;
use crate::{Error, Info, json};

/// Metadata larger than this are not read. Bounds of image spaces take the most room.
const MAX_BYTES: u64 = 64 << 20;

/// The entries that are used.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) dataset_id: String,
    pub(super) total_episodes: usize,
    pub(super) total_steps: usize,
    observation_space: Space,
    action_space: Space,
    env_id: Option<String>,
    max_episode_steps: Option<usize>,
    provenance: String,
}

impl Metadata {
    /// Reads `metadata.json`.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let mut text = String::new();
        let read = File::open(path)?
            .take(MAX_BYTES + 1)
            .read_to_string(&mut text)?;
        if read as u64 > MAX_BYTES {
            return Err(Error::Metadata(format!("longer than {MAX_BYTES} bytes")));
        }
        Self::of(&json::parse(&text)?)
    }

    /// Reads the attributes of the HDF5 root, where version 0.4 keeps them.
    pub(super) fn of_root(root: &Group) -> Result<Self, Error> {
        let mut entries = serde_json::Map::new();
        for name in [
            "dataset_id",
            "observation_space",
            "action_space",
            "env_spec",
            "minari_version",
            "algorithm_name",
            "author",
        ] {
            if let Some(text) = root.text_attribute(name) {
                entries.insert(name.into(), text.into());
            }
        }
        for name in ["total_episodes", "total_steps"] {
            if let Some(count) = root.unsigned_attribute(name) {
                entries.insert(name.into(), count.into());
            }
        }
        Self::of(&Value::Object(entries))
    }

    fn of(entries: &Value) -> Result<Self, Error> {
        let format = entries
            .get("data_format")
            .and_then(Value::as_str)
            .unwrap_or("hdf5");
        if format != "hdf5" {
            return Err(Error::Unsupported(format!("the data format {format}")));
        }
        let env_spec = match entries.get("env_spec").and_then(Value::as_str) {
            Some(text) => json::parse(text)?,
            None => Value::Null,
        };
        let limit = env_spec.get("max_episode_steps").and_then(Value::as_u64);
        Ok(Self {
            dataset_id: text(entries, "dataset_id")?.to_owned(),
            total_episodes: count(entries, "total_episodes")?,
            total_steps: count(entries, "total_steps")?,
            observation_space: space(entries, "observation_space")?,
            action_space: space(entries, "action_space")?,
            env_id: env_spec
                .get("id")
                .and_then(Value::as_str)
                .map(str::to_owned),
            max_episode_steps: limit.and_then(|limit| usize::try_from(limit).ok()),
            provenance: provenance(entries),
        })
    }
}

impl From<Metadata> for Info {
    fn from(metadata: Metadata) -> Self {
        Self {
            id: metadata.dataset_id,
            env_id: metadata.env_id,
            max_episode_steps: metadata.max_episode_steps,
            observation_space: metadata.observation_space,
            action_space: metadata.action_space,
            provenance: metadata.provenance,
        }
    }
}

fn entry<'a>(entries: &'a Value, name: &str) -> Result<&'a Value, Error> {
    entries
        .get(name)
        .ok_or_else(|| Error::Missing(format!("the metadata entry {name}")))
}

fn text<'a>(entries: &'a Value, name: &str) -> Result<&'a str, Error> {
    let value = entry(entries, name)?;
    value
        .as_str()
        .ok_or_else(|| Error::Metadata(format!("{name} is not text")))
}

fn count(entries: &Value, name: &str) -> Result<usize, Error> {
    let count = entry(entries, name)?
        .as_u64()
        .and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| Error::Metadata(format!("{name} is not a count")))
}

/// A space is JSON in a string.
fn space(entries: &Value, name: &str) -> Result<Space, Error> {
    spaces::parse(&json::parse(text(entries, name)?)?, name)
}

/// One line for people: version, algorithm, authors.
fn provenance(entries: &Value) -> String {
    let text = |name: &str| entries.get(name).and_then(Value::as_str);
    let authors = match entries.get("author") {
        Some(Value::Array(authors)) => authors.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(authors)) => vec![authors.as_str()],
        _ => Vec::new(),
    };
    let mut parts = vec![format!(
        "Minari {}",
        text("minari_version").unwrap_or("dataset")
    )];
    parts.extend(text("algorithm_name").map(str::to_owned));
    if !authors.is_empty() {
        parts.push(format!("by {}", authors.join(", ")));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARTPOLE: &str = r#"{"total_episodes": 3, "total_steps": 40, "data_format": "hdf5",
        "observation_space": "{\"type\": \"Box\", \"dtype\": \"float32\", \"shape\": [2], \"low\": [-4.8, -Infinity], \"high\": [4.8, Infinity]}",
        "action_space": "{\"type\": \"Discrete\", \"dtype\": \"int64\", \"start\": 0, \"n\": 2}",
        "env_spec": "{\"id\": \"CartPole-v1\", \"max_episode_steps\": 500, \"reward_threshold\": 475.0}",
        "dataset_id": "a/b-v0", "minari_version": "0.5.3", "author": ["A", "B"], "algorithm_name": "random"}"#;

    #[test]
    fn metadata_with_infinities_inside_strings_inside_json_are_read() {
        let metadata = Metadata::of(&json::parse(CARTPOLE).unwrap()).unwrap();
        assert_eq!((metadata.total_episodes, metadata.total_steps), (3, 40));
        let info = Info::from(metadata);
        assert_eq!(info.env_id.as_deref(), Some("CartPole-v1"));
        assert_eq!(info.max_episode_steps, Some(500));
        assert_eq!(info.provenance, "Minari 0.5.3, random, by A, B");
        let Space::Box(space) = info.observation_space else {
            panic!("a box")
        };
        assert_eq!(space.high, [4.8, f64::INFINITY]);
    }

    #[test]
    fn each_missing_or_wrong_entry_is_named() {
        for name in [
            "total_episodes",
            "total_steps",
            "observation_space",
            "action_space",
            "dataset_id",
        ] {
            let mut entries = json::parse(CARTPOLE).unwrap();
            entries.as_object_mut().unwrap().remove(name);
            let error = Metadata::of(&entries).unwrap_err().to_string();
            assert_eq!(error, format!("the metadata entry {name} is missing"));
            entries[name] = Value::from(-1);
            let error = Metadata::of(&entries).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("bad metadata, {name} is not")),
                "{error}"
            );
        }
    }
}
