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
//! Other names for the same columns are known too, see `flat/roles.rs`. An episode ends where
//! either flag is set. Where no column states truncations, it also ends, truncated, when it is as
//! long as its environment allows: by the file's name as in `WORLDS`, else 1000 steps. Rows after
//! the last end are an unfinished episode and are dropped, as D4RL's own splitter and the Decision
//! Transformer's do; only if no row ends an episode, all rows are one unfinished episode. The
//! observation after the last step comes from `next_observations`; without them the last
//! observation is repeated. No window contains that row, so training is the same; the doctor
//! reports each of these decisions.
//!
//! d3rlpy's first layout is the same but for `episode_terminals` in place of `timeouts`: true where
//! an episode ends for whatever reason.
//!
//! A conversion also keeps other arrays of N rows, as infos (those in the group `infos` under their
//! own names, others likewise), and texts and single numbers, as entries `d4rl/...` of the
//! metadata. Weights of policies and everything under `virtual` are omitted, which the summary
//! says.
//!
//! D4RL's files do not state their environment and spaces. Those of this crate do, as texts in the
//! group `metadata`. Elsewhere the environment follows from the name, observations count as
//! unbounded, actions of an integer type are choices, and others are in [-1, 1], as in all of
//! D4RL's environments, or up to the largest absolute value if that is more.

mod sink;

use std::path::Path;

use rtg_envs::Dtype;

pub(crate) use self::sink::D4rlSink;
use crate::flat::{Columns, Extras, FlatSource, Marks, Role, best, squeezed};
use crate::hdf5::{Group, Variable};
use crate::recording::{MAX_EPISODE_STEPS, Node, RecordingSpace};
use crate::{Budget, Contents, EnvSpec, Error};

/// Where files of this crate state their environment and spaces, in the group `metadata`.
const ENV_SPEC: &str = "env_spec";
const SPACES: [&str; 2] = ["observation_space", "action_space"];

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

/// D4RL's time limits; the first that fits counts. A name begins with whole words: `pendulum` is
/// no `pen`.
const WORLDS: [World; 21] = [
    world("hopper", 1000, Some("Hopper-v5")),
    world("halfcheetah", 1000, Some("HalfCheetah-v5")),
    world("walker2d", 1000, Some("Walker2d-v5")),
    world("antmaze-umaze", 700, None),
    world("ant-maze-u-maze", 700, None),
    world("ant", 1000, None),
    world("antmaze", 1000, None),
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
    world("acrobot", 500, Some("Acrobot-v1")),
    world("mountaincar", 200, Some("MountainCar-v0")),
];

/// The family of a file's name.
fn world_of(name: &str) -> Option<&'static World> {
    let plain = name
        .to_lowercase()
        .replace(|letter: char| !letter.is_alphanumeric(), "-");
    WORLDS.iter().find(|world| {
        let rest = plain.strip_prefix(world.prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    })
}

/// The time limit where the name does not determine it.
const DEFAULT_MAX_EPISODE_STEPS: usize = 1000;

/// Whether a file with these names in its root holds flat columns.
pub(crate) fn has_columns(names: &[String]) -> bool {
    let has = |role| best(names.iter().map(String::as_str), role).is_some();
    has(Role::Observations) && has(Role::Actions)
}

/// Opens the file whose root group is `root`; `path` has the name.
pub(crate) fn source(
    root: &Group,
    path: &Path,
    contents: Contents,
    budget: &Budget,
) -> Result<FlatSource, Error> {
    let columns = columns(root, contents, budget)?;
    let mut source = FlatSource::new(path, "D4RL file", columns, budget)?;
    let own = Own::read(root, budget)?;
    let limit = match (own.spec, world_of(source.name())) {
        (Some(spec), _) => {
            source.set_entry("env_spec", spec.to_text());
            spec.max_episode_steps
        }
        (None, Some(world)) => {
            match world.env_id {
                // Gymnasium fills in what is missing from its registry when the environment is
                // recreated.
                Some(id) => {
                    let spec = EnvSpec {
                        max_episode_steps: Some(world.max_episode_steps),
                        ..EnvSpec::new(id)
                    };
                    source.set_entry("env_spec", spec.to_text());
                }
                None => source.set_entry(MAX_EPISODE_STEPS, world.max_episode_steps),
            }
            Some(world.max_episode_steps)
        }
        (None, None) => None,
    };
    if let Some(spaces) = own.spaces {
        source.set_spaces(spaces);
    }
    source.cut(Some(limit.unwrap_or(DEFAULT_MAX_EPISODE_STEPS)));
    Ok(source)
}

/// The metadata of files written by this crate.
struct Own {
    spec: Option<EnvSpec>,
    spaces: Option<(RecordingSpace, RecordingSpace)>,
}

impl Own {
    fn read(root: &Group, budget: &Budget) -> Result<Self, Error> {
        let mut own = Self {
            spec: None,
            spaces: None,
        };
        let Some(metadata) = root.group("metadata")? else {
            return Ok(own);
        };
        let text = |name: &str| match metadata.node(name, budget) {
            Ok(Some(Node::Text(texts))) => texts.into_iter().flatten().next(),
            _ => None,
        };
        own.spec = text(ENV_SPEC).and_then(|text| EnvSpec::parse(&text));
        let [observations, actions] = SPACES;
        if let (Some(seen), Some(done)) = (text(observations), text(actions)) {
            let parse = |text: &str, name: &str| RecordingSpace::parse(text, name, budget);
            own.spaces = Some((parse(&seen, observations)?, parse(&done, actions)?));
        }
        Ok(own)
    }
}

/// Reads the columns. Most of the work is to inflate the observations: a separate thread does it.
fn columns(root: &Group, contents: Contents, budget: &Budget) -> Result<Columns, Error> {
    let names = root.names(budget)?;
    let find = |role: Role, usual: &str| -> Result<Variable, Error> {
        let name = best(names.iter().map(String::as_str), role);
        root.required_array(name.unwrap_or(usual))
    };
    let found = Found {
        observations: find(Role::Observations, "observations")?,
        actions: find(Role::Actions, "actions")?,
        rewards: find(Role::Rewards, "rewards")?,
        next: best(names.iter().map(String::as_str), Role::NextObservations)
            .map(|name| root.required_array(name))
            .transpose()?,
    };
    let mut marks = Marks::default();
    let used: Vec<String> = found.paths();
    let others = names.iter().filter(|name| !used.contains(name));
    let mut marking = used.clone();
    for name in others {
        if flat_role(name) {
            let flags = flags(root, name, found.rows(), budget)?;
            if flags.is_some_and(|flags| marks.add(name, || flags)) {
                marking.push(name.clone());
                continue;
            }
        }
        marks.pass_over(name);
    }
    let own = SPACES.iter().chain([&ENV_SPEC]);
    marking.extend(own.map(|name| format!("metadata/{name}")));
    let extras = match contents {
        Contents::Everything => Extras::read(root, found.rows(), &marking, budget)?,
        Contents::Steps => Extras::default(),
    };
    let observations = &found.observations;
    let (read, actions, rewards, next) = std::thread::scope(|scope| {
        let reading = std::thread::Builder::new().spawn_scoped(scope, || observations.read(budget));
        let actions = found.actions.read(budget);
        let rewards = found.rewards.read(budget);
        let next = found
            .next
            .as_ref()
            .map(|next| next.read(budget))
            .transpose();
        let read = match reading {
            Ok(reading) => reading
                .join()
                .unwrap_or_else(|_| Err(Error::Damaged("the observations cannot be read".into()))),
            // No thread could be started: this one reads them.
            Err(_) => observations.read(budget),
        };
        (read, actions, rewards, next)
    });
    let rewards = rewards?;
    if !matches!(rewards.row_shape(), [] | [1]) {
        return Err(misshapen(&found.rewards, "one number a row"));
    }
    let steps = rewards.numbers();
    Ok(Columns {
        observations: read?,
        next_observations: next?,
        actions: actions.and_then(|actions| match actions.shape().len() {
            // A single continuous action is a row of one.
            _ if actions.dtype().is_float() => Ok(actions),
            _ => squeezed(actions),
        })?,
        rewards: rewards.reshaped(vec![steps])?,
        marks,
        extras,
    })
}

/// The arrays of a file's steps.
struct Found {
    observations: Variable,
    actions: Variable,
    rewards: Variable,
    next: Option<Variable>,
}

impl Found {
    fn rows(&self) -> usize {
        self.rewards.shape().first().copied().unwrap_or(0)
    }

    /// The names in the root.
    fn paths(&self) -> Vec<String> {
        [
            Some(&self.observations),
            Some(&self.actions),
            Some(&self.rewards),
            self.next.as_ref(),
        ]
        .into_iter()
        .flatten()
        .map(|variable| variable.path().trim_start_matches('/').to_owned())
        .collect()
    }
}

/// Whether a column marks ends of episodes, by its name.
fn flat_role(name: &str) -> bool {
    matches!(
        crate::flat::role(name),
        Some((
            Role::Terminal | Role::Timeout | Role::End | Role::Start | Role::Episode,
            _
        ))
    )
}

/// A column of one number a row; `None` if it is something else.
fn flags(
    root: &Group,
    name: &str,
    rows: usize,
    budget: &Budget,
) -> Result<Option<Vec<f64>>, Error> {
    let array = match root.array(name) {
        Ok(Some(array)) if matches!(*array.shape(), [found] | [found, 1] if found == rows) => array,
        Ok(_) | Err(Error::Unsupported(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    budget.take_items(&[rows], 8, name)?;
    let flags = array.read(budget)?;
    Ok(Some(match flags.dtype() {
        Dtype::Bool => flags
            .bytes()
            .iter()
            .map(|&flag| f64::from(flag != 0))
            .collect(),
        _ => flags.to_f64(),
    }))
}

fn misshapen(array: &Variable, expected: &str) -> Error {
    Error::Shape {
        what: array.path().to_owned(),
        found: array.shape().to_vec(),
        expected: expected.into(),
    }
}

#[cfg(test)]
mod tests;
