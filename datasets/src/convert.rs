//! Conversion from one storage format to another.
//!
//! [`open_source`] reads the episodes of a name or path, [`create_sink`] writes them, [`convert`]
//! connects the two. Nothing is computed in between: types, infos, seeds, reset options and
//! metadata stay as they are, JPEG images are copied as bytes. What the target's format cannot
//! represent is listed in the [`Summary`].

use std::path::{Component, Path, PathBuf};

use crate::d4rl::D4rlSink;
use crate::minari::{self, MinariSink};
use crate::recording::{Flattener, Recording, Sink, Source};
use crate::{Contents, Defects, Error, Finding, MinariFormat, open_source, staging};

/// Where a dataset is to be written. Nothing may exist there yet.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// The Minari dataset `id` under `root`, see [`datasets_root`](crate::datasets_root).
    Minari {
        /// The directory of all Minari datasets.
        root: PathBuf,
        /// The new dataset's id.
        id: String,
        /// How it is stored.
        format: MinariFormat,
    },
    /// A D4RL file.
    D4rl {
        /// The new file.
        path: PathBuf,
    },
}

impl Target {
    /// The target that a user names: for Minari's formats an id below `minari_root`, or the path of
    /// a new directory, which begins with `/` or `./`; for D4RL's the path of a new file.
    pub fn named(name: &str, format: Option<MinariFormat>, minari_root: &Path) -> Self {
        let path = Path::new(name);
        let is_path = path.is_absolute() || name.starts_with("./");
        match (
            format,
            path.parent(),
            path.file_name().and_then(|name| name.to_str()),
        ) {
            (None, ..) => Self::D4rl { path: path.into() },
            (Some(format), Some(parent), Some(id)) if is_path => Self::Minari {
                root: parent.to_path_buf(),
                id: id.to_owned(),
                format,
            },
            (Some(format), ..) => Self::Minari {
                root: minari_root.to_path_buf(),
                id: name.to_owned(),
                format,
            },
        }
    }

    /// The directory or file to be.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Minari { root, id, .. } => root.join(id),
            Self::D4rl { path } => path.clone(),
        }
    }

    /// Refuses a target that cannot be written, before any work is done. Removes what killed
    /// writers of the same target have left.
    pub fn check(&self) -> Result<(), Error> {
        let path = self.path();
        if let Self::Minari { root, id, .. } = self {
            let goes_up = root.components().any(|part| part == Component::ParentDir);
            if goes_up || !minari::is_versioned_id(id) {
                return Err(Error::BadId(path.display().to_string()));
            }
        }
        if path.file_name().is_none() {
            return Err(Error::BadId(path.display().to_string()));
        }
        staging::clear(&path);
        // Not `exists`: a dangling link counts, too.
        if path.symlink_metadata().is_ok() {
            return Err(Error::Exists.at(&path));
        }
        Ok(())
    }
}

/// The result of a conversion.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Episodes written.
    pub episodes: usize,
    /// Steps written.
    pub steps: usize,
    /// What the reader had to decide, such as rows that belong to no finished episode.
    pub findings: Vec<Finding>,
    /// What the target's format could not represent, a sentence each.
    pub left_out: Vec<String>,
}

/// Begins a dataset. Nothing is visible at the target before [`Sink::finish`].
pub fn create_sink(target: &Target, recording: &Recording) -> Result<Box<dyn Sink>, Error> {
    match target {
        Target::Minari { root, id, format } => {
            let sink = MinariSink::create(root, id, *format, recording.clone())?;
            Ok(Box::new(sink))
        }
        Target::D4rl { path } => Ok(Box::new(D4rlSink::create(path, recording)?)),
    }
}

/// Whether two sources have the same episodes, number for number.
pub fn same_episodes(a: &mut dyn Source, b: &mut dyn Source) -> Result<bool, Error> {
    let (flat_a, flat_b) = (Flattener::new(a.recording()), Flattener::new(b.recording()));
    for index in 0.. {
        let (next_a, next_b) = match (a.next_episode()?, b.next_episode()?) {
            (None, None) => return Ok(true),
            (Some(a), Some(b)) => (a, b),
            _ => return Ok(false),
        };
        let flat_a = flat_a.episode(&next_a, index, &a.budget().fork())?;
        let flat_b = flat_b.episode(&next_b, index, &b.budget().fork())?;
        if [&flat_a.observations, &flat_a.actions, &flat_a.rewards]
            != [&flat_b.observations, &flat_b.actions, &flat_b.rewards]
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Converts a dataset. `progress` is called after each episode with the number done and the total,
/// if that is known.
///
/// The target appears whole or not at all, even if the process is killed.
pub fn convert(
    id_or_path: &str,
    minari_root: Option<&Path>,
    target: &Target,
    progress: &mut dyn FnMut(usize, Option<usize>),
) -> Result<Summary, Error> {
    let mut source = open_source(id_or_path, minari_root, Contents::Everything)?;
    copy(&mut *source, target, progress)
}

/// Writes all episodes of a source; see [`convert`].
pub fn copy(
    source: &mut dyn Source,
    target: &Target,
    progress: &mut dyn FnMut(usize, Option<usize>),
) -> Result<Summary, Error> {
    // Episodes that cannot be read as a dataset are not written: `inspect` would refuse them.
    let flattener = Flattener::new(source.recording());
    let budget = source.budget();
    flattener
        .dataset(source.recording(), Defects::Keep, &budget.fork())
        .map_err(|error| error.at(source.path()))?;
    target.check()?;
    let mut sink = create_sink(target, source.recording())?;
    let total = source.recording().total_episodes;
    let (mut episodes, mut steps) = (0, 0);
    let place = target.path();
    loop {
        let next = source
            .next_episode()
            .map_err(|error| error.at(source.path()))?;
        let Some(episode) = next else { break };
        flattener
            .check(&episode, episodes, &budget.fork())
            .map_err(|error| error.at(source.path()))?;
        let written = sink.write(&episode);
        written.map_err(|error| error.in_episode(episodes).at(&place))?;
        episodes += 1;
        steps += episode.len();
        progress(episodes, total);
    }
    let mut left_out = source.left_out();
    left_out.extend(sink.finish().map_err(|error| error.at(&place))?);
    Ok(Summary {
        episodes,
        steps,
        findings: source.findings(),
        left_out,
    })
}
