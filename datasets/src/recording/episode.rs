//! One recorded episode, and how an [`Episode`] of plain numbers becomes one.

use rtg_envs::{Dtype, Space};
use serde_json::{Map, Value, json};

use super::{Array, Node, Recording};
use crate::{Episode, EpisodeColumn, Error};

/// An episode of `T` steps as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedEpisode {
    /// `T + 1` rows: row `t` is the one before step `t`, the last row after the last step.
    pub observations: Node,
    /// `T` rows.
    pub actions: Node,
    /// `T` numbers in the type in which they were stored.
    pub rewards: Array,
    /// Whether each step reached a terminal state.
    pub terminations: Vec<bool>,
    /// Whether each step was cut off.
    pub truncations: Vec<bool>,
    /// The environment's infos; usually `T + 1` rows a column.
    pub infos: Option<Node>,
    /// The seed of the environment's reset, where it is known.
    pub seed: Option<u64>,
    /// Everything else that is stored for an episode, by path: reset options under `options/`,
    /// summaries such as `rewards_sum`.
    pub attributes: Vec<(String, Attribute)>,
}

/// A value that is stored once for an episode.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A number or an array of numbers.
    Array(Array),
    /// A text.
    Text(String),
    /// Anything else in JSON formats: null, or a mixed list.
    Json(Value),
}

impl RecordedEpisode {
    /// The number of steps.
    pub fn len(&self) -> usize {
        self.terminations.len()
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.terminations.is_empty()
    }

    /// A column of the infos by its path, such as `robot/contacts`.
    pub fn info(&self, path: &str) -> Option<&Node> {
        self.infos.as_ref()?.at(path)
    }

    /// An attribute by its path.
    pub fn attribute(&self, path: &str) -> Option<&Attribute> {
        let (_, value) = self.attributes.iter().find(|(name, _)| name == path)?;
        Some(value)
    }

    /// The options of the environment's reset as nested JSON; `None` if there are none.
    pub fn options(&self) -> Option<Value> {
        if let Some(Attribute::Json(options)) = self.attribute("options") {
            return Some(options.clone());
        }
        let mut options = Map::new();
        for (path, value) in &self.attributes {
            if let Some(path) = path.strip_prefix("options/") {
                insert(&mut options, path, value.to_json());
            }
        }
        (!options.is_empty()).then_some(Value::Object(options))
    }

    /// An episode of plain numbers in the types of the recording's spaces, rewards as `float64`.
    ///
    /// Rows are as [`Space`] lays them out: the parts of a Dict or Tuple one after the other. Texts
    /// are not numbers, so a space with a text in it is an error.
    pub fn of(episode: &Episode, recording: &Recording) -> Result<Self, Error> {
        let steps = episode.len();
        let observations = recording.observation_space.space();
        let actions = recording.action_space.space();
        for (column, numbers, expected) in [
            (
                EpisodeColumn::Observation,
                &episode.observations,
                (steps + 1) * observations.width(),
            ),
            (
                EpisodeColumn::Action,
                &episode.actions,
                steps * actions.width(),
            ),
        ] {
            if numbers.len() != expected {
                return Err(Error::Width {
                    episode: 0,
                    column,
                    found: numbers.len(),
                    expected,
                });
            }
        }
        let mut terminations = vec![false; steps];
        let mut truncations = vec![false; steps];
        if let (Some(terminated), Some(truncated)) =
            (terminations.last_mut(), truncations.last_mut())
        {
            (*terminated, *truncated) = (episode.terminated, episode.truncated);
        }
        Ok(Self {
            observations: unflatten(observations, &episode.observations, steps + 1, 0)?,
            actions: unflatten(actions, &episode.actions, steps, 0)?,
            rewards: Array::of(Dtype::Float64, vec![steps], &episode.rewards),
            terminations,
            truncations,
            infos: None,
            seed: episode.seed,
            attributes: Vec::new(),
        })
    }
}

impl Attribute {
    /// The value as JSON: arrays become nested lists.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.clone()),
            Self::Json(value) => value.clone(),
            Self::Array(array) => {
                let numbers = integers(array)
                    .unwrap_or_else(|| array.to_f64().into_iter().map(crate::json::of).collect());
                nest(&mut numbers.into_iter(), array.shape())
            }
        }
    }

    /// The value of a JSON document. Numbers, flags and lists of them become arrays: integers of 64
    /// bits, floats of double precision.
    pub fn of_json(value: &Value) -> Self {
        if let Value::String(text) = value
            && crate::json::number(value).is_none()
        {
            return Self::Text(text.clone());
        }
        let mut shape = Vec::new();
        let mut level = value;
        while let Value::Array(items) = level {
            shape.push(items.len());
            match items.first() {
                Some(first) => level = first,
                None => break,
            }
        }
        let mut leaves = Vec::new();
        if shape.contains(&0) || !collect(value, &shape, &mut leaves) || leaves.is_empty() {
            return Self::Json(value.clone());
        }
        let all = |test: &dyn Fn(&Value) -> bool| leaves.iter().all(|leaf| test(leaf));
        let array = if all(&Value::is_boolean) {
            let bytes = leaves
                .iter()
                .map(|leaf| (*leaf == &Value::Bool(true)).into());
            Array::new(Dtype::Bool, shape, bytes.collect())
        } else if all(&Value::is_i64) {
            let integers = leaves.iter().filter_map(|leaf| leaf.as_i64());
            Array::new(
                Dtype::Int64,
                shape,
                integers.flat_map(i64::to_le_bytes).collect(),
            )
        } else if all(&Value::is_u64) {
            let integers = leaves.iter().filter_map(|leaf| leaf.as_u64());
            Array::new(
                Dtype::Uint64,
                shape,
                integers.flat_map(u64::to_le_bytes).collect(),
            )
        } else {
            let numbers: Vec<f64> = leaves
                .iter()
                .filter_map(|leaf| crate::json::number(leaf))
                .collect();
            if numbers.len() != leaves.len() {
                return Self::Json(value.clone());
            }
            Ok(Array::of(Dtype::Float64, shape, &numbers))
        };
        array.map_or_else(|_| Self::Json(value.clone()), Self::Array)
    }
}

/// Integers and flags as JSON, exactly; `None` for floats.
fn integers(array: &Array) -> Option<Vec<Value>> {
    let bytes = array.bytes();
    Some(match array.dtype() {
        Dtype::Bool => bytes.iter().map(|&byte| Value::Bool(byte != 0)).collect(),
        Dtype::Int64 => {
            let (items, _) = bytes.as_chunks::<8>();
            items
                .iter()
                .map(|&item| json!(i64::from_le_bytes(item)))
                .collect()
        }
        Dtype::Uint64 => {
            let (items, _) = bytes.as_chunks::<8>();
            items
                .iter()
                .map(|&item| json!(u64::from_le_bytes(item)))
                .collect()
        }
        dtype if dtype.is_float() => return None,
        // At most 32 bits, which an f64 represents exactly.
        _ => array
            .to_f64()
            .into_iter()
            .map(|number| json!(number as i64))
            .collect(),
    })
}

fn nest(numbers: &mut dyn Iterator<Item = Value>, shape: &[usize]) -> Value {
    match shape.split_first() {
        None => numbers.next().unwrap_or(Value::Null),
        Some((&rows, rest)) => (0..rows).map(|_| nest(numbers, rest)).collect(),
    }
}

/// Collects the leaves of nested lists of that shape; false if they have another.
fn collect<'a>(value: &'a Value, shape: &[usize], leaves: &mut Vec<&'a Value>) -> bool {
    match (value, shape.split_first()) {
        (Value::Array(items), Some((&rows, rest))) => {
            items.len() == rows && items.iter().all(|item| collect(item, rest, leaves))
        }
        (Value::Array(_) | Value::Object(_) | Value::Null, _) | (_, Some(_)) => false,
        (leaf, None) => {
            leaves.push(leaf);
            true
        }
    }
}

/// Puts a value at a path of nested objects.
pub(crate) fn insert(object: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('/') {
        None => {
            object.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = object.entry(first).or_insert_with(|| json!({}));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// The column of `space` out of flat rows in which it begins at `offset`.
fn unflatten(space: &Space, flat: &[f64], rows: usize, offset: usize) -> Result<Node, Error> {
    // The whole row's width follows from the sizes.
    let width = flat.len().checked_div(rows).unwrap_or(0);
    let own = space.width();
    let column = |dtype: Dtype, shape: &[usize]| {
        let mut numbers = Vec::with_capacity(rows * own);
        for row in flat.chunks_exact(width.max(1)) {
            numbers.extend_from_slice(&row[offset..offset + own]);
        }
        let shape = [&[rows], shape].concat();
        Node::Array(Array::of(dtype, shape, &numbers))
    };
    Ok(match space {
        Space::Box(space) => column(space.dtype, &space.shape),
        Space::Discrete { .. } => column(Dtype::Int64, &[]),
        Space::MultiDiscrete { nvec, .. } => column(Dtype::Int64, &[nvec.len()]),
        Space::MultiBinary { shape } => column(Dtype::Int8, shape),
        Space::Dict(parts) => {
            let mut at = offset;
            let mut named = Vec::with_capacity(parts.len());
            for (name, part) in parts {
                named.push((name.clone(), unflatten(part, flat, rows, at)?));
                at += part.width();
            }
            Node::Dict(named)
        }
        Space::Tuple(parts) => {
            let mut at = offset;
            let mut numbered = Vec::with_capacity(parts.len());
            for part in parts {
                numbered.push(unflatten(part, flat, rows, at)?);
                at += part.width();
            }
            Node::Tuple(numbered)
        }
        Space::Text { .. } => {
            return Err(Error::Unsupported("recording a text from numbers".into()));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_numbers_take_the_types_of_their_spaces() {
        let parts = vec![
            ("choice".into(), Space::Discrete { n: 3, start: 0 }),
            ("bits".into(), Space::MultiBinary { shape: vec![2] }),
        ];
        let recording = Recording::new(
            "a-v0",
            Space::Dict(parts),
            Space::Discrete { n: 2, start: 0 },
        );
        let episode = Episode {
            observations: vec![2.0, 0.0, 1.0, 1.0, 1.0, 0.0],
            actions: vec![1.0],
            rewards: vec![0.5],
            truncated: true,
            seed: Some(7),
            ..Episode::default()
        };
        let recorded = RecordedEpisode::of(&episode, &recording).unwrap();
        let array = |path: &str| {
            recorded
                .observations
                .at(path)
                .and_then(Node::array)
                .unwrap()
        };
        assert_eq!(array("choice").to_f64(), [2.0, 1.0]);
        assert_eq!(array("choice").dtype(), Dtype::Int64);
        assert_eq!(array("bits").to_f64(), [0.0, 1.0, 1.0, 0.0]);
        assert_eq!((recorded.len(), recorded.seed), (1, Some(7)));
        assert_eq!(
            (&recorded.terminations[..], &recorded.truncations[..]),
            (&[false][..], &[true][..])
        );
        let wrong = Episode {
            observations: vec![0.0; 5],
            ..episode
        };
        assert!(RecordedEpisode::of(&wrong, &recording).is_err());
    }

    #[test]
    fn attributes_survive_json() {
        let value = json!({"a": [[1, 2], [3, 4]], "b": true, "c": 0.5, "d": "text"});
        for value in value.as_object().unwrap().values() {
            let attribute = Attribute::of_json(value);
            assert!(!matches!(attribute, Attribute::Json(_)), "{value}");
            assert_eq!(attribute.to_json(), *value);
        }
        for value in [
            json!(null),
            json!([1, "x"]),
            json!([[1], [2, 3]]),
            json!([]),
        ] {
            assert_eq!(Attribute::of_json(&value), Attribute::Json(value.clone()));
        }
        let large = json!([9_007_199_254_740_993_i64, -1]);
        assert_eq!(Attribute::of_json(&large).to_json(), large);
    }

    #[test]
    fn options_are_nested_again() {
        let one = Attribute::of_json(&json!(1));
        let episode = RecordedEpisode {
            observations: Node::Dict(vec![]),
            actions: Node::Dict(vec![]),
            rewards: Array::of_flags(&[]),
            terminations: vec![],
            truncations: vec![],
            infos: None,
            seed: None,
            attributes: vec![
                ("options/a/b".into(), one.clone()),
                ("rewards_sum".into(), one),
            ],
        };
        assert_eq!(episode.options(), Some(json!({"a": {"b": 1}})));
    }
}
