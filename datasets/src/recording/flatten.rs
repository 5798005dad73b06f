//! From recorded trees to flat `f64` rows, by Gymnasium's `flatten_space` rule.
//!
//! | space | in a row |
//! |---|---|
//! | Box, `MultiBinary` | its numbers in row-major order; images are decoded |
//! | Discrete | one-hot, `n` numbers |
//! | `MultiDiscrete` | one one-hot a choice |
//! | Text | each character's place in the character set, filled up to the longest text with the number of characters |
//! | Dict, Tuple | the parts one after the other; a Dict's by key, as Gymnasium sorts them |
//!
//! One exception: an observation or action space that *is* a Discrete stays one number, the choice
//! itself, since discrete actions are learned as classes and [`Space::Discrete`] keeps `n`.

use std::collections::HashMap;

use rtg_envs::{BoxSpace, Dtype, Space};

use super::{Array, Node, Recording, image};
use crate::{Budget, Dataset, Defects, Episode, EpisodeColumn, Error, RecordedEpisode};

/// Flattens the episodes of a recording.
pub(crate) struct Flattener {
    observations: Space,
    actions: Space,
}

impl Flattener {
    pub(crate) fn new(recording: &Recording) -> Self {
        Self {
            observations: recording.observation_space.space().clone(),
            actions: recording.action_space.space().clone(),
        }
    }

    /// An empty dataset for these episodes.
    pub(crate) fn dataset(
        &self,
        recording: &Recording,
        defects: Defects,
        budget: &Budget,
    ) -> Result<Dataset, Error> {
        for (space, name) in [
            (&self.observations, "an observation"),
            (&self.actions, "an action"),
        ] {
            let width = flat_width(space).unwrap_or(usize::MAX);
            // Bounds, and their copies in the dataset.
            budget.take_items(&[width], 64, name)?;
        }
        let info = recording.info(flat_space(&self.observations)?, flat_space(&self.actions)?);
        Ok(Dataset::with(info, defects))
    }

    /// The episode as plain numbers. Its observations may lack their last row.
    pub(crate) fn episode(
        &self,
        recorded: &RecordedEpisode,
        index: usize,
        budget: &Budget,
    ) -> Result<Episode, Error> {
        let flatten = || self.flat(recorded, index, budget);
        flatten().map_err(|error| error.in_episode(index))
    }

    /// Whether an episode fits its spaces: checks what [`Flattener::episode`] would refuse, and
    /// rows missing at its end.
    pub(crate) fn check(
        &self,
        recorded: &RecordedEpisode,
        index: usize,
        budget: &Budget,
    ) -> Result<(), Error> {
        let steps = recorded.len();
        if steps == 0 {
            return Err(Error::EmptyEpisode { episode: index });
        }
        match recorded.observations.rows() {
            Some(rows) if rows != steps + 1 => Err(Error::ObservationRows {
                episode: index,
                rows,
                steps,
            }),
            _ => self.episode(recorded, index, budget).map(drop),
        }
    }

    fn flat(
        &self,
        recorded: &RecordedEpisode,
        index: usize,
        budget: &Budget,
    ) -> Result<Episode, Error> {
        let steps = recorded.len();
        let rows = match recorded.observations.rows() {
            Some(rows) if rows == steps || rows == steps + 1 => rows,
            Some(rows) => {
                return Err(Error::ObservationRows {
                    episode: index,
                    rows,
                    steps,
                });
            }
            None => steps + 1,
        };
        if recorded.rewards.numbers() != steps {
            return Err(Error::Width {
                episode: index,
                column: EpisodeColumn::Reward,
                found: recorded.rewards.numbers(),
                expected: steps,
            });
        }
        Ok(Episode {
            observations: whole(
                &self.observations,
                &recorded.observations,
                rows,
                "observations",
                budget,
            )?,
            actions: whole(&self.actions, &recorded.actions, steps, "actions", budget)?,
            rewards: recorded.rewards.to_f64(),
            terminated: recorded.terminations.last().copied().unwrap_or(false),
            truncated: recorded.truncations.last().copied().unwrap_or(false),
            seed: recorded.seed,
        })
    }
}

/// The space of flat rows.
pub(crate) fn flat_space(space: &Space) -> Result<Space, Error> {
    Ok(match space {
        Space::Box(_) | Space::Discrete { .. } | Space::MultiBinary { .. } => space.clone(),
        composite => Space::Box(flat_box(composite)?),
    })
}

/// Numbers in a flat row; `None` if there are more than a machine can count.
pub(crate) fn flat_width(space: &Space) -> Option<usize> {
    match space {
        Space::Box(space) => Some(space.low.len()),
        Space::Discrete { n, .. } => Some(*n),
        Space::MultiDiscrete { nvec, .. } => sum(nvec.iter().copied().map(Some)),
        Space::MultiBinary { shape } => super::product(shape),
        Space::Text { max_length, .. } => Some(*max_length),
        Space::Dict(parts) => sum(parts.iter().map(|(_, part)| flat_width(part))),
        Space::Tuple(parts) => sum(parts.iter().map(flat_width)),
    }
}

fn sum(mut widths: impl Iterator<Item = Option<usize>>) -> Option<usize> {
    widths.try_fold(0_usize, |sum, width| sum.checked_add(width?))
}

fn flat_box(space: &Space) -> Result<BoxSpace, Error> {
    let binary = |width: usize, dtype| BoxSpace {
        low: vec![0.0; width],
        high: vec![1.0; width],
        shape: vec![width],
        dtype,
    };
    let joined = |parts: Vec<BoxSpace>| {
        let dtypes: Vec<Dtype> = parts.iter().map(|part| part.dtype).collect();
        let low: Vec<f64> = parts.iter().flat_map(|part| part.low.clone()).collect();
        let high = parts.iter().flat_map(|part| part.high.clone()).collect();
        BoxSpace {
            shape: vec![low.len()],
            low,
            high,
            dtype: promoted(&dtypes),
        }
    };
    Ok(match space {
        Space::Box(space) => BoxSpace {
            shape: vec![space.low.len()],
            ..space.clone()
        },
        Space::Discrete { n, .. } if *n > crate::recording::spaces::MAX_WIDTH => {
            return Err(Error::Unsupported(format!("a part with {n} choices")));
        }
        Space::Discrete { n, .. } => binary(*n, Dtype::Int64),
        Space::MultiDiscrete { nvec, .. } => {
            let width = nvec.iter().try_fold(0_usize, |sum, &n| sum.checked_add(n));
            let width = width.filter(|&width| width <= crate::recording::spaces::MAX_WIDTH);
            let width = width.ok_or_else(|| Error::Unsupported(format!("{nvec:?} choices")))?;
            binary(width, Dtype::Int64)
        }
        Space::MultiBinary { shape } => binary(shape.iter().product(), Dtype::Int8),
        Space::Text {
            max_length,
            charset,
            ..
        } => {
            let characters = unique(charset).len() as f64;
            BoxSpace {
                low: vec![0.0; *max_length],
                high: vec![characters; *max_length],
                shape: vec![*max_length],
                dtype: Dtype::Int32,
            }
        }
        Space::Dict(parts) => {
            let parts = parts.iter().map(|(_, part)| flat_box(part));
            joined(parts.collect::<Result<_, _>>()?)
        }
        Space::Tuple(parts) => joined(parts.iter().map(flat_box).collect::<Result<_, _>>()?),
    })
}

/// NumPy's `result_type`.
pub(crate) fn promoted(dtypes: &[Dtype]) -> Dtype {
    let mut types = dtypes.iter().copied();
    let first = types.next().unwrap_or(Dtype::Float64);
    types.fold(first, |a, b| {
        if a == b {
            return a;
        }
        // Bits of the type, and the kind: 0 flags, 1 unsigned, 2 signed, 3 float.
        let rank = |dtype: Dtype| match dtype {
            Dtype::Bool => (0, 8),
            Dtype::Uint8 => (1, 8),
            Dtype::Uint16 => (1, 16),
            Dtype::Uint32 => (1, 32),
            Dtype::Uint64 => (1, 64),
            Dtype::Int8 => (2, 8),
            Dtype::Int16 => (2, 16),
            Dtype::Int32 => (2, 32),
            Dtype::Int64 => (2, 64),
            Dtype::Float16 => (3, 16),
            Dtype::Float32 => (3, 32),
            Dtype::Float64 => (3, 64),
        };
        let ((low_kind, low_bits), (high_kind, high_bits)) = if rank(a) <= rank(b) {
            (rank(a), rank(b))
        } else {
            (rank(b), rank(a))
        };
        match (low_kind, high_kind) {
            (0, _) | (1, 1) | (2, 2) | (3, 3) => {
                if rank(a) <= rank(b) {
                    b
                } else {
                    a
                }
            }
            (1, 2) => match (low_bits * 2).max(high_bits) {
                16 => Dtype::Int16,
                32 => Dtype::Int32,
                64 => Dtype::Int64,
                _ => Dtype::Float64,
            },
            // An integer needs a float with enough bits.
            _ => match (low_bits * 2).max(high_bits) {
                16 => Dtype::Float16,
                32 => Dtype::Float32,
                _ => Dtype::Float64,
            },
        }
    })
}

/// The rows of a whole observation or action.
fn whole(
    space: &Space,
    node: &Node,
    rows: usize,
    path: &str,
    budget: &Budget,
) -> Result<Vec<f64>, Error> {
    if let (
        Space::Box(_) | Space::Discrete { .. } | Space::MultiBinary { .. },
        Node::Array(array),
    ) = (space, node)
    {
        expect(array, rows, space.width(), path)?;
        budget.take_items(&[array.numbers()], 8, path)?;
        return Ok(array.to_f64());
    }
    let width = flat_width(space).unwrap_or(usize::MAX);
    budget.take_items(&[rows, width], 8, path)?;
    let mut flat = vec![0.0; rows * width];
    part(space, node, rows, (width, 0), &mut flat, path)?;
    Ok(flat)
}

/// Writes a part of the rows: numbers from `offset` on in rows of `width`.
fn part(
    space: &Space,
    node: &Node,
    rows: usize,
    (width, offset): (usize, usize),
    flat: &mut [f64],
    path: &str,
) -> Result<(), Error> {
    let mut put = |row: usize, index: usize, value: f64| flat[row * width + offset + index] = value;
    match (space, node) {
        (Space::Box(_) | Space::MultiBinary { .. }, Node::Array(array)) => {
            let own = space.width();
            expect(array, rows, own, path)?;
            for (index, number) in array.to_f64().into_iter().enumerate() {
                put(index / own, index % own, number);
            }
        }
        (Space::Box(space), Node::Images(images)) => {
            count(images.len(), rows, path)?;
            for (row, bytes) in images.iter().enumerate() {
                for (index, &pixel) in image::decode(bytes, &space.shape)?.iter().enumerate() {
                    put(row, index, f64::from(pixel));
                }
            }
        }
        (Space::Discrete { n, start }, Node::Array(array)) => {
            expect(array, rows, 1, path)?;
            for (row, choice) in array.to_f64().into_iter().enumerate() {
                put(row, choice_of(choice, *n, *start, path)?, 1.0);
            }
        }
        (Space::MultiDiscrete { nvec, start }, Node::Array(array)) => {
            expect(array, rows, nvec.len(), path)?;
            let numbers = array.to_f64();
            for (row, choices) in numbers.chunks_exact(nvec.len().max(1)).enumerate() {
                let mut at = 0;
                for ((&choice, &n), &start) in choices.iter().zip(nvec).zip(start) {
                    put(row, at + choice_of(choice, n, start, path)?, 1.0);
                    at += n;
                }
            }
        }
        (
            Space::Text {
                max_length,
                charset,
                ..
            },
            Node::Text(texts),
        ) => {
            count(texts.len(), rows, path)?;
            let characters = unique(charset);
            for (row, text) in texts.iter().enumerate() {
                for index in 0..*max_length {
                    put(row, index, characters.len() as f64);
                }
                for (index, character) in text.iter().flat_map(|text| text.chars()).enumerate() {
                    match characters.get(&character) {
                        Some(&place) if index < *max_length => put(row, index, place as f64),
                        _ => {
                            return Err(Error::Damaged(format!(
                                "a text of {path} is outside its space"
                            )));
                        }
                    }
                }
            }
        }
        (Space::Dict(spaces), Node::Dict(_)) => {
            let mut at = offset;
            for (name, space) in spaces {
                let path = format!("{path}/{name}");
                let node = node.at(name).ok_or_else(|| Error::Missing(path.clone()))?;
                part(space, node, rows, (width, at), flat, &path)?;
                at += flat_width(space).unwrap_or(0);
            }
        }
        (Space::Tuple(spaces), Node::Tuple(nodes)) if spaces.len() == nodes.len() => {
            let mut at = offset;
            for (index, (space, node)) in spaces.iter().zip(nodes).enumerate() {
                part(
                    space,
                    node,
                    rows,
                    (width, at),
                    flat,
                    &format!("{path}/{index}"),
                )?;
                at += flat_width(space).unwrap_or(0);
            }
        }
        _ => return Err(Error::Damaged(format!("{path} do not fit their space"))),
    }
    Ok(())
}

fn choice_of(number: f64, n: usize, start: i64, path: &str) -> Result<usize, Error> {
    let choice = number - start as f64;
    if choice >= 0.0 && choice < n as f64 {
        return Ok(choice as usize);
    }
    Err(Error::Damaged(format!(
        "{path} contain the choice {number}, which is not one of {n} from {start} on"
    )))
}

fn count(found: usize, rows: usize, path: &str) -> Result<(), Error> {
    if found == rows {
        return Ok(());
    }
    Err(Error::Shape {
        what: path.to_owned(),
        found: vec![found],
        expected: format!("{rows} rows"),
    })
}

fn expect(array: &Array, rows: usize, width: usize, path: &str) -> Result<(), Error> {
    if array.shape().first() == Some(&rows) && array.row_numbers() == width {
        return Ok(());
    }
    Err(Error::Shape {
        what: path.to_owned(),
        found: array.shape().to_vec(),
        expected: format!("{rows} rows of {width} numbers"),
    })
}

/// The index of each distinct character, in their order.
fn unique(charset: &str) -> HashMap<char, usize> {
    let mut characters = HashMap::new();
    for character in charset.chars() {
        let next = characters.len();
        characters.entry(character).or_insert(next);
    }
    characters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composite_rows_are_those_of_gymnasium() {
        // gymnasium.spaces.flatten(Dict(a=Discrete(3, start=-1), b=Text(3, charset="xy"),
        // c=Tuple((MultiDiscrete([2, 2]), Box(-1, 1, (2,))))), dict(a=1, b="y", c=([1, 0], [.5,
        // -1])))
        let boxed = Space::Box(BoxSpace::float32(&[-1.0, -1.0], &[1.0, 1.0]));
        let multi = Space::MultiDiscrete {
            nvec: vec![2, 2],
            start: vec![0, 0],
        };
        let text = Space::Text {
            min_length: 1,
            max_length: 3,
            charset: "xy".into(),
        };
        let space = Space::Dict(vec![
            ("a".into(), Space::Discrete { n: 3, start: -1 }),
            ("b".into(), text),
            ("c".into(), Space::Tuple(vec![multi, boxed])),
        ]);
        let array = |dtype, shape: &[usize], numbers: &[f64]| {
            Node::Array(Array::of(dtype, shape.to_vec(), numbers))
        };
        let node = Node::Dict(vec![
            ("a".into(), array(Dtype::Int64, &[1], &[1.0])),
            ("b".into(), Node::Text(vec![Some("y".into())])),
            (
                "c".into(),
                Node::Tuple(vec![
                    array(Dtype::Int64, &[1, 2], &[1.0, 0.0]),
                    array(Dtype::Float32, &[1, 2], &[0.5, -1.0]),
                ]),
            ),
        ]);
        let flat = whole(&space, &node, 1, "observations", &Budget::default()).unwrap();
        let expected = [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 0.0, 1.0, 1.0, 0.0, 0.5, -1.0];
        assert_eq!(flat, expected);
        let Space::Box(flat) = flat_space(&space).unwrap() else {
            panic!("a box")
        };
        assert_eq!(flat.dtype, Dtype::Float64);
        assert_eq!(
            flat.low,
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, -1.0]
        );
    }

    #[test]
    fn a_choice_outside_its_space_is_an_error() {
        let space = Space::MultiDiscrete {
            nvec: vec![2],
            start: vec![0],
        };
        let node = Node::Array(Array::of(Dtype::Int64, vec![1, 1], &[2.0]));
        assert!(whole(&space, &node, 1, "actions", &Budget::default()).is_err());
    }

    #[test]
    fn a_choice_alone_stays_one_number() {
        let space = Space::Discrete { n: 3, start: 0 };
        let node = Node::Array(Array::of(Dtype::Int64, vec![2], &[2.0, 0.0]));
        assert_eq!(
            whole(&space, &node, 2, "actions", &Budget::default()).unwrap(),
            [2.0, 0.0]
        );
        assert_eq!(flat_space(&space).unwrap(), space);
    }

    #[test]
    fn types_are_promoted_as_numpy_does() {
        for (types, expected) in [
            (vec![Dtype::Float32, Dtype::Int64], Dtype::Float64),
            (vec![Dtype::Float32, Dtype::Int16], Dtype::Float32),
            (vec![Dtype::Float32, Dtype::Int32], Dtype::Float64),
            (vec![Dtype::Float16, Dtype::Int8], Dtype::Float16),
            (
                vec![Dtype::Float16, Dtype::Uint8, Dtype::Bool],
                Dtype::Float16,
            ),
            (vec![Dtype::Uint8, Dtype::Int8], Dtype::Int16),
            (vec![Dtype::Uint64, Dtype::Int8], Dtype::Float64),
            (vec![Dtype::Uint32, Dtype::Int64], Dtype::Int64),
            (vec![Dtype::Bool, Dtype::Uint16], Dtype::Uint16),
        ] {
            assert_eq!(promoted(&types), expected, "{types:?}");
        }
    }
}
