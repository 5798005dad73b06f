//! Files of columns and episodes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch};
use parquet::arrow::ArrowWriter;
use rtg_datasets::recording::{Node, RecordedEpisode, Recording, Source};
use rtg_datasets::{Contents, Error, open_source};
use rtg_envs::{BoxSpace, Dtype, Space};
use rust_hdf5::{H5File, H5Group};

use crate::made::Minari;

/// Rows that differ from each other a little.
pub(crate) fn numbered(rows: usize, width: usize) -> Vec<f64> {
    (0..rows * width).map(|i| (i / width) as f64).collect()
}

pub(crate) fn frames() -> Space {
    Space::Box(BoxSpace {
        low: vec![0.0; 84 * 84],
        high: vec![255.0; 84 * 84],
        shape: vec![84, 84],
        dtype: Dtype::Uint8,
    })
}

/// An HDF5 file of columns.
pub(crate) fn flat(path: &Path, columns: &[(&str, Vec<f64>, Vec<usize>)]) {
    flat_and(path, columns, |_| {});
}

/// An HDF5 file of columns and of what `more` adds.
pub(crate) fn flat_and(
    path: &Path,
    columns: &[(&str, Vec<f64>, Vec<usize>)],
    more: impl FnOnce(&H5File),
) {
    let file = H5File::create(path).unwrap();
    for (name, numbers, shape) in columns {
        let made = file.new_dataset::<f64>().shape(shape).create(name).unwrap();
        made.write_raw(numbers).unwrap();
    }
    more(&file);
    file.close().unwrap();
}

/// A Parquet file as `LeRobot` writes one: an episode of 20 rows.
pub(crate) fn parquet(path: &Path, episode: i64) {
    let rows = || 20 * episode..20 * episode + 20;
    let list = |width: usize| {
        let row = |row: i64| Some(vec![Some(row as f64); width]);
        let lists = ListArray::from_iter_primitive::<Float64Type, _, _>(rows().map(row));
        Arc::new(lists) as ArrayRef
    };
    let numbers = |numbers: Vec<i64>| Arc::new(Int64Array::from(numbers)) as ArrayRef;
    let rewards: Vec<f64> = rows().map(|row| row as f64).collect();
    let done: Vec<bool> = rows().map(|row| row % 20 == 19).collect();
    let batch = RecordBatch::try_from_iter([
        ("observation.state", list(3)),
        ("action", list(2)),
        (
            "next.reward",
            Arc::new(Float64Array::from(rewards)) as ArrayRef,
        ),
        ("next.done", Arc::new(BooleanArray::from(done)) as ArrayRef),
        ("frame_index", numbers((0..20).collect())),
        ("episode_index", numbers(vec![episode; 20])),
        ("task_index", numbers(vec![0; 20])),
    ])
    .unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Everything that is recorded in a file.
pub(crate) fn episodes(path: &Path) -> Vec<RecordedEpisode> {
    let mut source = open_source(path.to_str().unwrap(), None, Contents::Everything).unwrap();
    std::iter::from_fn(|| source.next_episode().unwrap()).collect()
}

/// A Minari dataset of these episodes, without any check.
pub(crate) fn unchecked(
    root: &Path,
    recording: &Recording,
    episodes: &[RecordedEpisode],
) -> PathBuf {
    fn put(group: &H5Group, name: &str, node: &Node) {
        match node {
            Node::Array(array) => {
                let made = group
                    .new_dataset::<f32>()
                    .shape(array.shape())
                    .create(name)
                    .unwrap();
                let numbers: Vec<f32> = array.to_f64().iter().map(|&x| x as f32).collect();
                made.write_raw(&numbers).unwrap();
            }
            Node::Dict(parts) => {
                let inner = group.create_group(name).unwrap();
                for (name, part) in parts {
                    put(&inner, name, part);
                }
            }
            _ => panic!("a part that is not written"),
        }
    }
    let observations = recording.observation_space.space();
    let set = Minari::new(observations, recording.action_space.space());
    let steps = episodes[0].len();
    set.create(root, &recording.id, episodes.len(), steps, |file| {
        for (index, episode) in episodes.iter().enumerate() {
            let group = file
                .root_group()
                .create_group(&format!("episode_{index}"))
                .unwrap();
            put(&group, "observations", &episode.observations);
            put(&group, "actions", &episode.actions);
            put(&group, "rewards", &Node::Array(episode.rewards.clone()));
            for (name, flags) in [
                ("terminations", &episode.terminations),
                ("truncations", &episode.truncations),
            ] {
                let flags: Vec<u8> = flags.iter().map(|&flag| flag.into()).collect();
                let made = group
                    .new_dataset::<u8>()
                    .shape([flags.len()])
                    .create(name)
                    .unwrap();
                made.write_raw(&flags).unwrap();
            }
        }
    })
}

/// Episodes in memory as a source.
pub(crate) struct InMemory {
    recording: Recording,
    episodes: std::vec::IntoIter<RecordedEpisode>,
}

impl InMemory {
    pub(crate) fn new(recording: Recording, episodes: Vec<RecordedEpisode>) -> Self {
        Self {
            recording,
            episodes: episodes.into_iter(),
        }
    }
}

impl Source for InMemory {
    fn recording(&self) -> &Recording {
        &self.recording
    }

    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn next_episode(&mut self) -> Result<Option<RecordedEpisode>, Error> {
        Ok(self.episodes.next())
    }
}
