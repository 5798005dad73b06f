//! `metadata.json`: the description of a Minari dataset.

use serde_json::{Map, Value, json};

use crate::hdf5::Group;
use crate::recording::{Attribute, Recording, RecordingSpace};
use crate::{Budget, Error, json};

/// The layout that is written; Python rejects unknown versions.
const LAYOUT_VERSION: &str = "0.5.3";

/// Entries that have their own field in a [`Recording`], or follow from the files.
const OWN: [&str; 8] = [
    "dataset_id",
    "observation_space",
    "action_space",
    "total_episodes",
    "total_steps",
    "data_format",
    "dataset_size",
    "jpeg_encoding",
];

/// The entries that version 0.4 keeps as attributes of the HDF5 root.
pub(super) fn of_root(root: &Group) -> Result<Value, Error> {
    let mut entries = Map::new();
    for (name, value) in root.attributes()? {
        let value = match (name.as_str(), value) {
            // Several authors are one text there.
            ("author" | "author_email", Attribute::Text(text)) => {
                text.split("; ").map(Value::from).collect()
            }
            (_, value) => value.to_json(),
        };
        entries.insert(name, value);
    }
    Ok(Value::Object(entries))
}

/// The storage format that the metadata name.
pub(super) fn data_format(entries: &Value) -> &str {
    let format = entries.get("data_format").and_then(Value::as_str);
    format.unwrap_or("hdf5")
}

/// The recording that the entries describe.
pub(super) fn recording(entries: &Value, budget: &Budget) -> Result<Recording, Error> {
    let mut others = entries.as_object().cloned().unwrap_or_default();
    others.retain(|name, _| !OWN.contains(&name.as_str()));
    Ok(Recording {
        id: text(entries, "dataset_id")?.to_owned(),
        observation_space: space(entries, "observation_space", budget)?,
        action_space: space(entries, "action_space", budget)?,
        total_episodes: Some(count(entries, "total_episodes")?),
        total_steps: Some(count(entries, "total_steps")?),
        entries: others,
    })
}

/// Entries that are known only after everything is written.
pub(super) struct Totals<'a> {
    pub(super) format: &'a str,
    pub(super) episodes: usize,
    pub(super) steps: usize,
    /// Whether images are stored as JPEG files.
    pub(super) jpeg_encoding: bool,
    /// The size of the other files.
    pub(super) bytes: u64,
}

/// The text of `metadata.json`.
pub(super) fn to_text(recording: &Recording, totals: &Totals<'_>) -> String {
    let mut entries = recording.entries.clone();
    for name in ["author", "author_email"] {
        if let Some(Value::String(author)) = entries.get(name) {
            entries.insert(name.into(), json!([author]));
        }
    }
    let version = entries.get("minari_version").and_then(Value::as_str);
    if !version.is_some_and(|version| version.starts_with("0.5.")) {
        entries.insert("minari_version".into(), LAYOUT_VERSION.into());
    }
    let megabytes = (totals.bytes as f64 / 1e5).round() / 10.0;
    let own = json!({
        "dataset_id": recording.id,
        "observation_space": recording.observation_space.text(),
        "action_space": recording.action_space.text(),
        "total_episodes": totals.episodes,
        "total_steps": totals.steps,
        "data_format": totals.format,
        "dataset_size": megabytes,
        "jpeg_encoding": totals.jpeg_encoding,
    });
    entries.extend(own.as_object().cloned().unwrap_or_default());
    json::write(&Value::Object(entries))
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
fn space(entries: &Value, name: &str, budget: &Budget) -> Result<RecordingSpace, Error> {
    RecordingSpace::parse(text(entries, name)?, name, budget)
}

#[cfg(test)]
mod tests {
    use rtg_envs::Space;

    use super::*;

    const CARTPOLE: &str = r#"{"total_episodes": 3, "total_steps": 40, "data_format": "hdf5",
        "observation_space": "{\"type\": \"Box\", \"dtype\": \"float32\", \"shape\": [2], \"low\": [-4.8, -Infinity], \"high\": [4.8, Infinity]}",
        "action_space": "{\"type\": \"Discrete\", \"dtype\": \"int64\", \"start\": 0, \"n\": 2}",
        "env_spec": "{\"id\": \"CartPole-v1\", \"max_episode_steps\": 500, \"reward_threshold\": 475.0}",
        "dataset_id": "a/b-v0", "minari_version": "0.5.4", "author": ["A", "B"], "algorithm_name": "random",
        "ref_max_score": Infinity}"#;

    #[test]
    fn metadata_with_infinities_inside_strings_inside_json_are_read() {
        let recording = recording(&json::parse(CARTPOLE).unwrap(), &Budget::default()).unwrap();
        assert_eq!(
            (recording.total_episodes, recording.total_steps),
            (Some(3), Some(40))
        );
        assert_eq!(recording.env_id().as_deref(), Some("CartPole-v1"));
        assert_eq!(recording.max_episode_steps(), Some(500));
        assert_eq!(recording.provenance(), "Minari 0.5.4, random, by A, B");
        let Space::Box(space) = recording.observation_space.space() else {
            panic!("a box")
        };
        assert_eq!(space.high, [4.8, f64::INFINITY]);
    }

    #[test]
    fn metadata_come_back_as_they_were_read() {
        let entries = json::parse(CARTPOLE).unwrap();
        let totals = Totals {
            format: "hdf5",
            episodes: 3,
            steps: 40,
            jpeg_encoding: true,
            bytes: 123_456,
        };
        let written = to_text(&recording(&entries, &Budget::default()).unwrap(), &totals);
        assert!(written.contains("\"ref_max_score\":Infinity"), "{written}");
        let mut again = json::parse(&written).unwrap();
        assert_eq!(again["dataset_size"], 0.1);
        again
            .as_object_mut()
            .unwrap()
            .retain(|name, _| entries.get(name).is_some());
        assert_eq!(again, entries);
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
            let error = recording(&entries, &Budget::default())
                .unwrap_err()
                .to_string();
            assert_eq!(error, format!("the metadata entry {name} is missing"));
            entries[name] = Value::from(-1);
            let error = recording(&entries, &Budget::default())
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with(&format!("bad metadata, {name} is not")),
                "{error}"
            );
        }
    }
}
