//! Episodes into `data/<episode>/part-0.arrow` or `.parquet`, as Minari lays them out.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::recording::{Array, Layout, Node, RecordedEpisode, Recording, insert};
use crate::table::{TableFormat, TableWriter};
use crate::{Error, json};

/// The text of an episode's `metadata.json`.
fn episode_metadata(index: usize, episode: &RecordedEpisode) -> String {
    let mut entries = Map::new();
    entries.insert("id".into(), index.into());
    entries.insert("total_steps".into(), episode.len().into());
    if let Some(seed) = episode.seed {
        entries.insert("seed".into(), seed.into());
    }
    for (path, value) in &episode.attributes {
        insert(&mut entries, path, value.to_json());
    }
    json::write(&Value::Object(entries))
}

/// Writes an episode's directory. The dataset is brought onto the disk as a whole at its end.
pub(super) fn write(
    data: &Path,
    format: TableFormat,
    index: usize,
    recording: &Recording,
    episode: &RecordedEpisode,
) -> Result<(), Error> {
    let rows = episode.len() + 1;
    let mut table = TableWriter::default();
    table.push(
        "observations",
        &episode.observations,
        Some(recording.observation_space.layout()),
        rows,
    )?;
    table.push(
        "actions",
        &episode.actions,
        Some(recording.action_space.layout()),
        rows,
    )?;
    let steps = episode.len();
    for (name, array) in [
        ("rewards", episode.rewards.clone().reshaped(vec![steps])?),
        ("terminations", Array::of_flags(&episode.terminations)),
        ("truncations", Array::of_flags(&episode.truncations)),
    ] {
        let choice = Layout::Choice;
        table.push(name, &Node::Array(array), Some(&choice), rows)?;
    }
    if let Some(infos) = &episode.infos {
        table.push("infos", infos, None, rows)?;
    }
    let directory = data.join(index.to_string());
    fs::create_dir(&directory)?;
    let name = match format {
        TableFormat::Arrow => "part-0.arrow",
        TableFormat::Parquet => "part-0.parquet",
    };
    table.write(&directory.join(name), format)?;
    let text = episode_metadata(index, episode);
    fs::write(directory.join("metadata.json"), text)?;
    Ok(())
}
