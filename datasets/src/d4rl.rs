//! D4RL datasets: one HDF5 file of flat columns, cut into episodes by flags.
//!
//! | array | shape | |
//! |---|---|---|
//! | `observations` | N x S | before each step |
//! | `actions`, `rewards` | N x A, N | rewards also N x 1 |
//! | `terminals` | N | a terminal state was reached |
//! | `timeouts` | N, optional | the time limit cut the episode off |
//! | `next_observations` | N x S, optional | after each step |
//!
//! An episode ends where either flag is set. Without `timeouts` it also ends, truncated, when it
//! is as long as its environment allows: by the file's name as in `WORLDS`, else 1000 steps. Rows
//! after the last end are an unfinished episode and are dropped, as D4RL's own splitter and the
//! Decision Transformer's do; only if no row ends an episode, all rows are one unfinished episode.
//! The observation after the last step comes from `next_observations`;
//! without them the last observation is repeated. No window contains that row, so training is the
//! same; the doctor reports each of these decisions.
//!
//! d3rlpy's first layout is the same but for `episode_terminals` in place of `timeouts`: true where an
//! episode ends for whatever reason.
//!
//! A conversion also keeps other arrays of N rows, as infos (those in the group `infos` under their
//! own names, others likewise), and texts and single numbers, as entries `d4rl/...` of the metadata.
//! Weights of policies and everything under `virtual` are left out, which the summary says.
//!
//! A file does not say its spaces. Observations count as unbounded. Actions of an integer type
//! are one choice of `max + 1`; others lie in [-1, 1], as in all of D4RL's environments, or up to
//! the largest absolute value if that is more.

mod sink;

use std::path::Path;

use rtg_envs::Dtype;
use serde_json::json;

pub(crate) use self::sink::D4rlSink;
use crate::flat::{Columns, Extras, FlatSource};
use crate::hdf5::{Group, Variable};
use crate::recording::Array;
use crate::{Contents, Error};

/// A family of files: how its names begin, its time limit, and the environment that continues it.
struct World {
    prefix: &'static str,
    max_episode_steps: usize,
    env_id: Option<&'static str>,
}

const fn world(
    prefix: &'static str,
    max_episode_steps: usize,
    env_id: Option<&'static str>,
) -> World {
    World {
        prefix,
        max_episode_steps,
        env_id,
    }
}

/// D4RL's time limits; the first prefix that fits counts.
const WORLDS: [World; 18] = [
    world("hopper", 1000, Some("Hopper-v5")),
    world("halfcheetah", 1000, Some("HalfCheetah-v5")),
    world("walker2d", 1000, Some("Walker2d-v5")),
    world("antmaze-umaze", 700, None),
    world("ant-maze-u-maze", 700, None),
    world("ant", 1000, None),
    world("maze2d-open", 150, None),
    world("maze2d-umaze", 300, None),
    world("maze2d-medium", 600, None),
    world("maze2d-large", 800, None),
    world("pen", 100, None),
    world("hammer", 200, None),
    world("door", 200, None),
    world("relocate", 200, None),
    world("mini-kitchen", 280, None),
    world("kitchen", 280, None),
    world("cartpole", 500, Some("CartPole-v1")),
    world("pendulum", 200, Some("Pendulum-v1")),
];

/// The time limit where the name says nothing.
const DEFAULT_MAX_EPISODE_STEPS: usize = 1000;

/// Opens the file whose root group is `root`; `path` gives the name.
pub(crate) fn source(root: &Group, path: &Path, contents: Contents) -> Result<FlatSource, Error> {
    let columns = columns(root, contents)?;
    let mut source = FlatSource::new(path, "D4RL file", columns)?;
    let lower = source.name().to_lowercase().replace('_', "-");
    let known = WORLDS.iter().find(|world| lower.starts_with(world.prefix));
    let limit = known.map_or(DEFAULT_MAX_EPISODE_STEPS, |world| world.max_episode_steps);
    if known.is_some() {
        let env_id = known.and_then(|world| world.env_id);
        // Gymnasium fills in what is missing from its registry when the spec is made again.
        let env_spec = json!({"id": env_id, "max_episode_steps": limit});
        source.set_entry("env_spec", env_spec.to_string());
    }
    source.cut(Some(limit));
    Ok(source)
}

/// Reads the columns. Most of the work is to inflate the observations: a thread of its own does it.
fn columns(root: &Group, contents: Contents) -> Result<Columns, Error> {
    let observations = root.required_array("observations")?;
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| observations.read());
        let read = || {
            let panicked = || Error::Damaged("the observations make no sense".into());
            reading.join().unwrap_or_else(|_| Err(panicked()))
        };
        assemble(root, contents, &observations, read)
    })
}

/// Reads the other columns, and takes the observations last.
fn assemble(
    root: &Group,
    contents: Contents,
    observations: &Variable,
    read: impl FnOnce() -> Result<Array, Error>,
) -> Result<Columns, Error> {
    let actions = root.required_array("actions")?;
    let rows = observations.shape().first().copied().unwrap_or(0);
    let observation_shape = row_shape(observations, rows)?;
    row_shape(&actions, rows)?;
    let single = |name: &str| -> Result<Option<Array>, Error> {
        let Some(array) = root.array(name)? else {
            return Ok(None);
        };
        if !matches!(row_shape(&array, rows)?, [] | [1]) {
            return Err(misshapen(&array, format!("({rows},)")));
        }
        array.read()?.reshaped(vec![rows]).map(Some)
    };
    let flags = |name: &str| -> Result<Option<Vec<bool>>, Error> {
        let array = single(name)?;
        Ok(array.map(|array| match array.dtype() {
            Dtype::Bool => array.bytes().iter().map(|&flag| flag != 0).collect(),
            _ => array.to_f64().into_iter().map(|flag| flag != 0.0).collect(),
        }))
    };
    let next_observations = match root.array("next_observations")? {
        Some(array)
            if row_shape(&array, rows)? == observation_shape
                && array.dtype() == observations.dtype() =>
        {
            Some(array.read()?)
        }
        Some(array) => {
            let shape = observations.shape();
            return Err(misshapen(
                &array,
                format!("{shape:?}, as the observations have"),
            ));
        }
        None => None,
    };
    let terminals = flags("terminals")?;
    let mut timeouts = flags("timeouts")?;
    if let (None, Some(terminals), Some(ends)) =
        (&timeouts, &terminals, flags("episode_terminals")?)
    {
        // d3rlpy's first layout: what ends without a terminal state was cut off.
        let cut_off = ends
            .iter()
            .zip(terminals)
            .map(|(&end, &terminal)| end && !terminal);
        timeouts = Some(cut_off.collect());
    }
    let mut actions = actions.read()?;
    if !actions.dtype().is_float() && *actions.row_shape() == [1] {
        actions = actions.reshaped(vec![rows])?;
    }
    let rewards = single("rewards")?.ok_or_else(|| Error::Missing("/rewards".into()))?;
    Ok(Columns {
        observations: read()?,
        next_observations,
        actions,
        rewards,
        terminals,
        timeouts,
        ends: None,
        extras: match contents {
            Contents::Everything => Extras::read(root, rows)?,
            Contents::Steps => Extras::default(),
        },
    })
}

/// The shape of a row of an array that must have `rows` rows.
fn row_shape(array: &Variable, rows: usize) -> Result<&[usize], Error> {
    match array.shape() {
        [found, row @ ..] if *found == rows && !row.contains(&0) => Ok(row),
        _ => Err(misshapen(array, format!("{rows} rows of numbers"))),
    }
}

fn misshapen(array: &Variable, expected: String) -> Error {
    Error::Shape {
        what: array.path().to_owned(),
        found: array.shape().to_vec(),
        expected,
    }
}

#[cfg(test)]
mod tests;
