//! Episodes out of `main_data.hdf5`.

use std::path::{Path, PathBuf};

use super::{catalogue, metadata};
use crate::budget::ITEM_BYTES;
use crate::hdf5::{File, Group};
use crate::recording::{Array, Layout, Node, RecordedEpisode, Recording, Source};
use crate::{Budget, Contents, Error, Finding};

/// Reads `/episode_0`, `/episode_1` ... in numeric order.
pub(crate) struct Hdf5Source {
    root: Group,
    path: PathBuf,
    recording: Recording,
    contents: Contents,
    next: usize,
    findings: Vec<Finding>,
    budget: Budget,
}

impl Hdf5Source {
    /// Opens the file; without a recording its root attributes are the metadata, as in version 0.4.
    pub(crate) fn open(
        path: &Path,
        recording: Option<Recording>,
        contents: Contents,
        budget: &Budget,
    ) -> Result<Self, Error> {
        let open = || {
            let root = File::open(path, budget)?.root()?;
            let recording = match recording {
                Some(recording) => recording,
                None => metadata::recording(&metadata::of_root(&root)?, budget)?,
            };
            Ok((root, recording))
        };
        let (root, recording) = open().map_err(|error: Error| error.at(path))?;
        let mut findings = Vec::new();
        if !catalogue::folder_fits(path, &recording.id) {
            findings.push(Finding::note(
                "misplaced",
                1,
                format!(
                    "the folder does not end in the dataset's id {}: Python's minari would not \
                        list it",
                    recording.id
                ),
            ));
        }
        Ok(Self {
            root,
            path: path.to_path_buf(),
            recording,
            contents,
            next: 0,
            findings,
            budget: budget.clone(),
        })
    }

    fn read(&self, index: usize, total: usize) -> Result<RecordedEpisode, Error> {
        let name = format!("episode_{index}");
        let group = self.root.group(&name)?;
        let group = group.ok_or_else(|| Error::Missing(format!("/{name} of {total} episodes")))?;
        let budget = &self.budget.fork();
        let rewards = numbers(&group, "rewards", budget)?;
        let steps = rewards.numbers();
        let node = |name: &str, layout: &Layout| {
            let node = group.node(name, budget)?;
            let path = format!("{}/{name}", group.path());
            let node = node.ok_or_else(|| Error::Missing(path.clone()))?;
            shaped(node, layout, &path, budget)
        };
        let (mut attributes, mut infos) = (Vec::new(), None);
        if self.contents == Contents::Everything {
            attributes = group.attributes()?;
            infos = group.node("infos", budget)?;
        }
        attributes.retain(|(name, _)| !["id", "total_steps", "seed"].contains(&name.as_str()));
        Ok(RecordedEpisode {
            observations: node("observations", self.recording.observation_space.layout())?,
            actions: node("actions", self.recording.action_space.layout())?,
            terminations: flags(&group, "terminations", steps, budget)?,
            truncations: flags(&group, "truncations", steps, budget)?,
            infos: infos.filter(|infos| *infos != Node::Dict(Vec::new())),
            seed: group.unsigned_attribute("seed"),
            attributes,
            rewards,
        })
    }
}

impl Source for Hdf5Source {
    fn budget(&self) -> Budget {
        self.budget.clone()
    }

    fn recording(&self) -> &Recording {
        &self.recording
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn next_episode(&mut self) -> Result<Option<RecordedEpisode>, Error> {
        let total = self.recording.total_episodes.unwrap_or(0);
        if self.next >= total {
            return Ok(None);
        }
        let episode = self
            .read(self.next, total)
            .map_err(|error| error.in_episode(self.next).at(&self.path))?;
        self.next += 1;
        Ok(Some(episode))
    }

    fn findings(&self) -> Vec<Finding> {
        self.findings.clone()
    }
}

fn numbers(group: &Group, name: &str, budget: &Budget) -> Result<Array, Error> {
    let array = group.required_array(name)?;
    match *array.shape() {
        [_] | [_, 1] => array.read(budget),
        _ => Err(Error::Shape {
            what: array.path().to_owned(),
            found: array.shape().to_vec(),
            expected: "one number a step".into(),
        }),
    }
}

fn flags(group: &Group, name: &str, steps: usize, budget: &Budget) -> Result<Vec<bool>, Error> {
    let flags = numbers(group, name, budget)?;
    budget.take_items(&[flags.numbers()], 9, name)?;
    if flags.numbers() != steps {
        return Err(Error::Shape {
            what: format!("{}/{name}", group.path()),
            found: flags.shape().to_vec(),
            expected: format!("{steps} flags"),
        });
    }
    Ok(flags.to_f64().into_iter().map(|flag| flag != 0.0).collect())
}

/// The tree as its space has it: groups of `_index_0` ... are tuples, rows of bytes are JPEG files.
fn shaped(node: Node, layout: &Layout, path: &str, budget: &Budget) -> Result<Node, Error> {
    let missing = |name: &str| Error::Missing(format!("{path}/{name}"));
    match (node, layout) {
        (Node::Dict(mut parts), Layout::Dict(layouts)) => {
            let mut take = |name: &str, layout| {
                let at = parts.iter().position(|(key, _)| key == name);
                let (_, part) = parts.swap_remove(at.ok_or_else(|| missing(name))?);
                shaped(part, layout, &format!("{path}/{name}"), budget)
            };
            let parts = layouts
                .iter()
                .map(|(name, layout)| Ok((name.clone(), take(name, layout)?)));
            Ok(Node::Dict(parts.collect::<Result<_, Error>>()?))
        }
        (Node::Dict(mut parts), Layout::Tuple(layouts)) => {
            let parts = layouts.iter().enumerate().map(|(index, layout)| {
                let name = format!("_index_{index}");
                let at = parts.iter().position(|(key, _)| *key == name);
                let (_, part) = parts.swap_remove(at.ok_or_else(|| missing(&name))?);
                shaped(part, layout, &format!("{path}/{name}"), budget)
            });
            Ok(Node::Tuple(parts.collect::<Result<_, _>>()?))
        }
        (Node::Array(array), Layout::Image { shape })
            if array.shape().len() == 2 && shape.len() != 1 =>
        {
            // The array was charged for itself, not for its rows as vectors.
            budget.take_items(&[array.rows()], ITEM_BYTES, path)?;
            budget.take_items(&[array.bytes().len()], 1, path)?;
            let images = array.bytes().chunks_exact(array.row_numbers().max(1));
            Ok(Node::Images(images.map(<[u8]>::to_vec).collect()))
        }
        (node, _) => Ok(node),
    }
}
