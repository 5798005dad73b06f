//! The table of all environments.
//!
//! # Sources of the reference returns
//!
//! For classic control, `KeyToDoor` and `StitchingMaze`, both are mean returns over the 1000
//! episodes with reset seeds 0 to 999, measured with this crate's environments (time limit
//! included).
//!
//! - *random*: each action is drawn by [`Space::sample`](crate::Space::sample) from
//!   [`NumpyRng::for_actions`](crate::random::NumpyRng::for_actions) of the episode's seed; a test
//!   recomputes it.
//! - *expert*: the hand-written controller for that environment, without noise. A policy that does
//!   better scores above 100; in `CartPole-v1` none can, since 500 is the maximum.
//!
//! They belong to the environment with the bare id. With an option, a time limit or a wrapper it is
//! a different environment, without reference returns.
//!
//! For `Hopper`, `HalfCheetah`, `Walker2d` and `Ant` they are those of D4RL (`d4rl/infos.py`, for
//! all datasets of an environment), on which published scores are based. D4RL measured them in
//! older versions of the same environments.
//!
//! For `InvertedPendulum` and `InvertedDoublePendulum` they are measured like those of classic
//! control, with `MuJoCo` 4.0.0; their experts are linear feedback, which keeps every pole upright
//! to the time limit. The other `MuJoCo` environments have none, because there is no established
//! expert.
//!
//! # Options
//!
//! Wherever an environment is named, its id may be followed by arguments of Gymnasium's
//! constructor, a time limit and wrappers, as [`config`](crate::config) has it:
//! `Hopper-v5?frame_skip=8`. [`resolve`] returns the canonical text, which omits everything that
//! equals the defaults; it is the id in the [`Spec`].
//!
//! # Delayed reward
//!
//! `delayed/` before any id is that environment with an episode's whole reward at its last step
//! ([`DelayedReward`]). Returns are the same, so are the reference returns.

mod entry;
mod table;

use crate::{
    Autoreset, DelayedReward, Env, Error, Spec, VecEnv,
    config::{Arguments, EnvConfig},
    vector::Batch,
    wrappers::Wrappers,
};
use entry::{Entry, Made};
use std::sync::Arc;
use table::TABLE;

pub use crate::config::DELAYED;
pub use crate::names::nearest;

/// The longest time limit: rows of a table of time steps, numbers of an episode, have to be in
/// memory.
pub const LONGEST: usize = 1_000_000;

/// The ids of all environments, in the order of the table; each may have [`DELAYED`] before it and
/// options after it.
pub fn ids() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|entry| entry.id)
}

/// The id without [`DELAYED`].
pub fn undelayed(id: &str) -> &str {
    id.strip_prefix(DELAYED).unwrap_or(id)
}

/// Whether an id has delayed reward.
pub fn is_delayed(id: &str) -> bool {
    id.starts_with(DELAYED)
}

/// The registered id alone: without [`DELAYED`] and without options.
pub fn base_id(id: &str) -> &str {
    let id = undelayed(id);
    id.split_once('?').map_or(id, |(base, _)| base)
}

/// Whether an environment can be made only where `MuJoCo` is installed; see
/// [`mujoco::find`](crate::mujoco::find). False for an unknown id.
pub fn needs_mujoco(id: &str) -> bool {
    entry(id).is_some_and(|entry| entry.needs_mujoco)
}

/// Whether an environment is a custom one: Gymnasium has none of this id.
pub fn is_own(id: &str) -> bool {
    entry(id).is_some_and(|entry| entry.module.is_none())
}

/// The path of an environment's class in Gymnasium, such as
/// `gymnasium.envs.classic_control.cartpole:CartPoleEnv`, so that Python makes the same one.
pub fn entry_point(id: &str) -> Option<String> {
    let module = entry(id)?.module?;
    Some(format!("gymnasium.envs.{module}"))
}

/// The options of an environment and their default values; empty for an unknown id.
pub fn options(id: &str) -> Arguments {
    entry(id).map_or_else(Vec::new, |entry| (entry.kind.options)())
}

/// The canonical description: options and a time limit only where they differ from the registry's,
/// in its order, and the wrappers that have an effect.
///
/// # Errors
/// Those of [`make`], except a missing `MuJoCo`.
pub fn resolve(env: &str) -> Result<EnvConfig, Error> {
    find(env).map(|found| found.config)
}

/// Makes an environment with its time limit: an id, which [options](self#options) may follow.
///
/// ```
/// let env = rtg_envs::make("Pendulum-v1?g=2&max_episode_steps=50")?;
/// assert_eq!(env.spec().max_episode_steps, Some(50));
/// let error = rtg_envs::make("Pendulum-v1?gravity=2").err().unwrap();
/// assert_eq!(error.to_string(), "Pendulum-v1 has no option 'gravity'; the nearest are g");
/// # Ok::<(), rtg_envs::Error>(())
/// ```
///
/// # Errors
/// An unknown id or option (with the nearest known ones), a value that is not allowed, a wrapper
/// that is not simulated, a missing `MuJoCo` (with how to install it).
pub fn make(env: &str) -> Result<Box<dyn Env>, Error> {
    let found = find(env)?;
    let env = found.inside(1)?.remove(0);
    Ok(found.outside(env))
}

/// `rows` copies of an environment, time limit included, reset with seeds 0, 1, 2 ...
///
/// # Errors
/// Those of [`make`], and if there are no rows.
pub fn make_vec(env: &str, rows: usize, autoreset: Autoreset) -> Result<VecEnv, Error> {
    let found = find(env)?;
    let batch: Box<dyn Batch> = if found.is_bare() {
        (found.entry.kind.rows)(&found.config.kwargs, found.inside_spec(), rows)?
    } else {
        let envs = found.inside(rows)?.into_iter();
        Box::new(envs.map(|env| found.outside(env)).collect::<Vec<_>>())
    };
    VecEnv::from_batch(batch, rows, autoreset)
}

/// The description of an environment; that of a `MuJoCo` environment needs no `MuJoCo`.
///
/// # Errors
/// Those of [`resolve`].
pub fn spec(env: &str) -> Result<Spec, Error> {
    find(env).map(|found| Spec {
        id: found.config.to_string(),
        ..found.wrappers.spec
    })
}

/// An environment that can be made.
struct Found {
    entry: &'static Entry,
    config: EnvConfig,
    wrappers: Wrappers,
}

impl Found {
    fn inside_spec(&self) -> Arc<Spec> {
        Arc::new(self.wrappers.inside())
    }

    /// Whether it has no wrapper but its time limit.
    fn is_bare(&self) -> bool {
        self.wrappers.is_empty() && !self.config.is_delayed
    }

    /// The environment inside the wrappers.
    fn inside(&self, count: usize) -> Made<Vec<Box<dyn Env>>> {
        (self.entry.kind.several)(&self.config.kwargs, self.inside_spec(), count)
    }

    fn outside(&self, mut env: Box<dyn Env>) -> Box<dyn Env> {
        if !self.wrappers.is_empty() {
            env = Box::new(self.wrappers.around(env));
        }
        if self.config.is_delayed {
            env = Box::new(DelayedReward::new(env));
        }
        env
    }
}

fn find(env: &str) -> Result<Found, Error> {
    let asked: EnvConfig = env.parse()?;
    let entry = entry(&asked.id).ok_or_else(|| unknown(&asked))?;
    let (bare, kwargs) = (entry.kind.describe)(entry.id, &asked.kwargs)?;
    let limited = Spec {
        max_episode_steps: Some(asked.max_episode_steps.unwrap_or(entry.max_episode_steps)),
        reward_threshold: entry.reward_threshold,
        ..bare
    };
    let mut wrappers = Wrappers::new(&asked.wrappers, limited)?;
    let limit = wrappers.spec.max_episode_steps.unwrap_or(LONGEST);
    if limit > LONGEST {
        return Err(Error::TimeLimit {
            limit,
            longest: LONGEST,
        });
    }
    let config = EnvConfig {
        is_delayed: asked.is_delayed,
        kwargs,
        max_episode_steps: (limit != entry.max_episode_steps).then_some(limit),
        wrappers: wrappers.named.clone(),
        ..EnvConfig::new(entry.id)
    };
    let returns = entry.reference_returns.filter(|_| config.is_plain());
    wrappers.describe(undelayed(&config.to_string()), returns);
    Ok(Found {
        entry,
        config,
        wrappers,
    })
}

/// The row of the table that an environment is made by.
fn entry(env: &str) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.id == base_id(env))
}

fn unknown(asked: &EnvConfig) -> Error {
    let prefix = if asked.is_delayed { DELAYED } else { "" };
    let nearest = nearest(&asked.id, ids());
    Error::UnknownId {
        id: format!("{prefix}{}", asked.id),
        nearest: nearest.iter().map(|id| format!("{prefix}{id}")).collect(),
    }
}

#[cfg(test)]
mod tests;
