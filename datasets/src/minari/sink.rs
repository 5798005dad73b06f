//! Writing Minari datasets that Python's minari loads.

use std::fs;
use std::path::{Path, PathBuf};

use rtg_envs::Dtype;

use super::metadata::{self, Totals};
use super::{catalogue, table_sink};
use crate::hdf5::writer::Writer;
use crate::recording::{Array, Attribute, Layout, Node, RecordedEpisode, Recording, Sink};
use crate::staging::{self, Staging};
use crate::table::TableFormat;
use crate::{EnvSpec, Error, MinariFormat};

/// Writes one dataset.
pub(crate) struct MinariSink {
    staging: Staging,
    recording: Recording,
    format: MinariFormat,
    body: Body,
    /// The directories from the root down to the dataset, whose namespaces need a file each.
    namespaces: Vec<PathBuf>,
    episodes: usize,
    steps: usize,
    /// Whether images come as JPEG files; all must come alike.
    jpeg: Option<bool>,
    left_out: Vec<String>,
}

enum Body {
    Hdf5(Writer),
    Table(TableFormat),
}

impl MinariSink {
    /// Begins the dataset `id` under `root`.
    pub(crate) fn create(
        root: &Path,
        id: &str,
        format: MinariFormat,
        mut recording: Recording,
    ) -> Result<Self, Error> {
        if !catalogue::is_versioned_id(id) {
            return Err(Error::BadId(id.to_owned()));
        }
        id.clone_into(&mut recording.id);
        let mut left_out = Vec::new();
        let spec = recording.text("env_spec").map(EnvSpec::parse);
        if spec.is_some_and(|spec| !spec.is_some_and(|spec| spec.has_sound_id())) {
            // Python's minari would not open the dataset.
            recording.entries.remove("env_spec");
            left_out.push("the environment, whose id Gymnasium does not take".to_owned());
        }
        let mut namespaces = Vec::new();
        let mut namespace = root.to_path_buf();
        let parts: Vec<&str> = id.split('/').collect();
        for part in &parts[..parts.len() - 1] {
            namespace.push(part);
            namespaces.push(namespace.clone());
        }
        let staging = Staging::begin(&root.join(id))?;
        let data = staging.content().join("data");
        fs::create_dir_all(&data)?;
        let body = match format {
            MinariFormat::Hdf5 => Body::Hdf5(Writer::create(&data.join("main_data.hdf5"))?),
            MinariFormat::Arrow => Body::Table(TableFormat::Arrow),
            MinariFormat::Parquet => Body::Table(TableFormat::Parquet),
        };
        Ok(Self {
            staging,
            recording,
            format,
            body,
            namespaces,
            episodes: 0,
            steps: 0,
            jpeg: None,
            left_out,
        })
    }

    /// Checks that the episode fits together and that its images come as those before did.
    fn check(&mut self, episode: &RecordedEpisode) -> Result<(), Error> {
        let steps = episode.len();
        let rows = episode.observations.rows();
        if rows.is_some_and(|rows| rows != steps + 1) {
            return Err(Error::ObservationRows {
                episode: self.episodes,
                rows: rows.unwrap_or(0),
                steps,
            });
        }
        if episode.rewards.numbers() != steps || episode.truncations.len() != steps {
            return Err(Error::Writing(format!(
                "episode {} has {} rewards and {} flags for {steps} steps",
                self.episodes,
                episode.rewards.numbers(),
                episode.truncations.len()
            )));
        }
        for (node, layout) in [
            (
                &episode.observations,
                self.recording.observation_space.layout(),
            ),
            (&episode.actions, self.recording.action_space.layout()),
        ] {
            if let Some(encoded) = encoded(node, layout)?
                && *self.jpeg.get_or_insert(encoded) != encoded
            {
                return Err(Error::Unsupported(
                    "a dataset of images of which some are JPEG files and some are not".into(),
                ));
            }
        }
        Ok(())
    }
}

impl Sink for MinariSink {
    fn write(&mut self, episode: &RecordedEpisode) -> Result<(), Error> {
        self.check(episode)?;
        let write = match &self.body {
            Body::Hdf5(writer) => write_hdf5(writer, self.episodes, episode),
            Body::Table(format) => {
                let data = self.staging.content().join("data");
                table_sink::write(&data, *format, self.episodes, &self.recording, episode)
            }
        };
        write.map_err(|error| error.at(&self.staging.content()))?;
        self.episodes += 1;
        self.steps += episode.len();
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<String>, Error> {
        let data = self.staging.content().join("data");
        if let Body::Hdf5(writer) = self.body {
            writer.close()?;
        }
        let totals = Totals {
            format: self.format.name(),
            episodes: self.episodes,
            steps: self.steps,
            // Python reads an absent key as true, so a dataset without images has the key too.
            jpeg_encoding: self.jpeg.unwrap_or(true),
            bytes: size(&data)?,
        };
        let text = metadata::to_text(&self.recording, &totals);
        staging::write(&data.join("metadata.json"), text.as_bytes())?;
        for namespace in self.namespaces {
            let file = namespace.join("namespace_metadata.json");
            if !file.exists() {
                staging::write(&file, b"{}")?;
            }
        }
        self.staging.commit()?;
        Ok(self.left_out)
    }
}

/// Whether the images in a tree are JPEG files; `None` if there are no images.
fn encoded(node: &Node, layout: &Layout) -> Result<Option<bool>, Error> {
    let mixed = || Error::Unsupported("an episode of images of which some are JPEG files".into());
    let mut found = None;
    let mut join = |part: Option<bool>| match (found, part) {
        (Some(a), Some(b)) if a != b => Err(mixed()),
        (None, part) => {
            found = part;
            Ok(())
        }
        _ => Ok(()),
    };
    match (node, layout) {
        (Node::Images(_), _) => join(Some(true))?,
        (_, Layout::Image { .. }) => join(Some(false))?,
        (Node::Dict(_), Layout::Dict(layouts)) => {
            for (name, layout) in layouts {
                if let Some(part) = node.at(name) {
                    join(encoded(part, layout)?)?;
                }
            }
        }
        (Node::Tuple(parts), Layout::Tuple(layouts)) => {
            for (part, layout) in parts.iter().zip(layouts) {
                join(encoded(part, layout)?)?;
            }
        }
        _ => {}
    }
    Ok(found)
}

fn write_hdf5(writer: &Writer, index: usize, episode: &RecordedEpisode) -> Result<(), Error> {
    // All 64 bits, which an f64 would not keep.
    let number =
        |dtype, bytes: [u8; 8]| Array::new(dtype, Vec::new(), bytes.to_vec()).map(Attribute::Array);
    let group = writer.root()?.create_group(&format!("episode_{index}"))?;
    let id = number(Dtype::Int64, (index as i64).to_le_bytes())?;
    group.set_attribute("id", &id)?;
    let steps = number(Dtype::Int64, (episode.len() as i64).to_le_bytes())?;
    group.set_attribute("total_steps", &steps)?;
    if let Some(seed) = episode.seed {
        // Python stores what fits as signed.
        let dtype = match i64::try_from(seed) {
            Ok(_) => Dtype::Int64,
            Err(_) => Dtype::Uint64,
        };
        group.set_attribute("seed", &number(dtype, seed.to_le_bytes())?)?;
    }
    for (name, value) in &episode.attributes {
        group.set_attribute(name, value)?;
    }
    group.write("observations", &episode.observations)?;
    group.write("actions", &episode.actions)?;
    group.write_array("rewards", &episode.rewards)?;
    for (name, flags) in [
        ("terminations", &episode.terminations),
        ("truncations", &episode.truncations),
    ] {
        group.write_array(name, &Array::of_flags(flags))?;
    }
    if let Some(infos) = &episode.infos {
        group.write("infos", infos)?;
    }
    Ok(())
}

/// The bytes of all files below a directory.
fn size(directory: &Path) -> Result<u64, Error> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            size(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}
