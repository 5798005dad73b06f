//! Minari datasets, sound and unsound.

use std::path::{Path, PathBuf};

use rtg_datasets::recording::RecordingSpace;
use rtg_envs::{BoxSpace, Dtype, Space};
use rust_hdf5::{H5File, H5Group};
use serde_json::{Map, Value, json};

pub(crate) fn unbounded(width: usize) -> Space {
    Space::Box(BoxSpace {
        dtype: Dtype::Float32,
        ..BoxSpace::unbounded(width)
    })
}

/// A Minari dataset whose parts need not fit each other.
pub(crate) struct Minari {
    pub(crate) observation_space: String,
    pub(crate) action_space: String,
    pub(crate) env_spec: Value,
    pub(crate) others: Map<String, Value>,
    width: usize,
}

impl Minari {
    pub(crate) fn new(observations: &Space, actions: &Space) -> Self {
        Self {
            observation_space: RecordingSpace::from(observations.clone()).text().to_owned(),
            action_space: RecordingSpace::from(actions.clone()).text().to_owned(),
            env_spec: json!({"id": "My/Env-v0", "max_episode_steps": 50}),
            others: Map::new(),
            width: observations.width(),
        }
    }

    /// The entries of the metadata.
    pub(crate) fn entries(&self, episodes: usize, steps: usize) -> Map<String, Value> {
        let mut entries = json!({
            "dataset_id": "made-v0",
            "total_episodes": episodes,
            "total_steps": episodes * steps,
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "env_spec": self.env_spec.to_string(),
            "minari_version": "0.5.3",
        });
        let entries = entries.as_object_mut().unwrap();
        entries.extend(self.others.clone());
        entries.clone()
    }

    /// Writes an episode of zeros; discrete actions.
    pub(crate) fn episode(&self, file: &H5File, index: usize, steps: usize) {
        let group = file
            .root_group()
            .create_group(&format!("episode_{index}"))
            .unwrap();
        let shape = [steps + 1, self.width];
        let made = group
            .new_dataset::<f32>()
            .shape(shape)
            .create("observations")
            .unwrap();
        made.write_raw(&vec![0.0_f32; (steps + 1) * self.width])
            .unwrap();
        Self::rest(&group, steps);
    }

    /// Writes all of an episode but its observations.
    pub(crate) fn rest(group: &H5Group, steps: usize) {
        let put = |name: &str| {
            group
                .new_dataset::<u8>()
                .shape([steps])
                .create(name)
                .unwrap()
        };
        for name in ["actions", "rewards", "terminations", "truncations"] {
            put(name).write_raw(&vec![0_u8; steps]).unwrap();
        }
    }

    /// The directory of a dataset whose HDF5 file `fill` writes.
    pub(crate) fn create(
        &self,
        root: &Path,
        id: &str,
        episodes: usize,
        steps: usize,
        fill: impl FnOnce(&H5File),
    ) -> PathBuf {
        let data = root.join(id).join("data");
        std::fs::create_dir_all(&data).unwrap();
        let text = Value::Object(self.entries(episodes, steps)).to_string();
        std::fs::write(data.join("metadata.json"), text).unwrap();
        let file = H5File::create(data.join("main_data.hdf5")).unwrap();
        fill(&file);
        file.close().unwrap();
        root.join(id)
    }
}
