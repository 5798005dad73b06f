//! How environments of one kind are made.

use crate::{
    Env, Error, ReferenceReturns, Spec, TimeLimit,
    config::Arguments,
    mujoco::{self, MujocoEnv, Task},
    options::{changed, configured, defaults},
    vector::{Batch, Columns, InColumns},
    world::{self, Dynamics, World},
};
use std::sync::Arc;

/// All facts of an environment.
pub(super) struct Entry {
    pub(super) id: &'static str,
    /// Module and class under `gymnasium.envs`; `None` for custom environments.
    pub(super) module: Option<&'static str>,
    pub(super) max_episode_steps: usize,
    pub(super) reward_threshold: Option<f64>,
    pub(super) reference_returns: Option<ReferenceReturns>,
    pub(super) needs_mujoco: bool,
    pub(super) kind: Kind,
}

pub(super) type Made<T> = Result<T, Error>;

/// Makes several environments, or rows of them, from the arguments that differ from the default
/// values, under a complete description.
type Make<T> = fn(&Arguments, Arc<Spec>, usize) -> Made<T>;

/// How an environment is made from the arguments that differ from the default values, under a
/// complete description.
pub(super) struct Kind {
    /// All options with their default values.
    pub(super) options: fn() -> Arguments,
    /// The description without the time limit, and the arguments that differ from the default
    /// values.
    pub(super) describe: fn(&str, &Arguments) -> Made<(Spec, Arguments)>,
    pub(super) several: Make<Vec<Box<dyn Env>>>,
    pub(super) rows: Make<Box<dyn Batch>>,
}

impl Entry {
    const fn new(id: &'static str, max_episode_steps: usize, kind: Kind) -> Self {
        Self {
            id,
            module: None,
            max_episode_steps,
            reward_threshold: None,
            reference_returns: None,
            needs_mujoco: false,
            kind,
        }
    }

    /// An environment with dynamics of this crate.
    pub(super) const fn world<D: Dynamics + 'static>(id: &'static str, limit: usize) -> Self {
        Self::new(id, limit, Kind::world::<D>())
    }

    /// The same, with rows stepped in columns.
    pub(super) const fn columns<D: InColumns + 'static>(id: &'static str, limit: usize) -> Self {
        let kind = Kind {
            rows: |arguments, spec, rows| {
                let envs = worlds(arguments, &spec, rows)?;
                Ok(Box::new(Columns::<D>::new(envs)))
            },
            ..Kind::world::<D>()
        };
        Self::new(id, limit, kind)
    }

    /// A task for a `MuJoCo` model.
    pub(super) const fn mujoco<T: Task + 'static>(id: &'static str, limit: usize) -> Self {
        Self {
            needs_mujoco: true,
            ..Self::new(id, limit, Kind::task::<T>())
        }
    }

    /// Module and class in Gymnasium.
    pub(super) const fn of(self, module: &'static str) -> Self {
        Self {
            module: Some(module),
            ..self
        }
    }

    /// The mean return above which the task counts as solved.
    pub(super) const fn solved(self, reward_threshold: f64) -> Self {
        Self {
            reward_threshold: Some(reward_threshold),
            ..self
        }
    }

    /// The mean returns of a random and of an expert policy.
    pub(super) const fn returns(self, random: f64, expert: f64) -> Self {
        Self {
            reference_returns: Some(ReferenceReturns { random, expert }),
            ..self
        }
    }
}

impl Kind {
    const fn world<D: Dynamics + 'static>() -> Self {
        Self {
            options: defaults::<D>,
            describe: |id, arguments| {
                let dynamics = configured::<D>(id, arguments)?;
                Ok((world::spec::<D>(), changed(&dynamics)))
            },
            several: |arguments, spec, count| {
                let worlds = worlds::<D>(arguments, &spec, count)?;
                Ok(worlds.into_iter().map(boxed).collect())
            },
            rows: |arguments, spec, rows| Ok(Box::new(worlds::<D>(arguments, &spec, rows)?)),
        }
    }

    const fn task<T: Task + 'static>() -> Self {
        Self {
            options: defaults::<T>,
            describe: |id, arguments| {
                let task = configured::<T>(id, arguments)?;
                Ok((mujoco::spec(&task), changed(&task)))
            },
            several: |arguments, spec, count| {
                let tasks = tasks::<T>(arguments, &spec, count)?;
                Ok(tasks.into_iter().map(boxed).collect())
            },
            rows: |arguments, spec, rows| Ok(Box::new(tasks::<T>(arguments, &spec, rows)?)),
        }
    }
}

fn boxed<E: Env + 'static>(env: E) -> Box<dyn Env> {
    Box::new(env)
}

fn worlds<D: Dynamics>(
    arguments: &Arguments,
    spec: &Arc<Spec>,
    count: usize,
) -> Made<Vec<TimeLimit<World<D>>>> {
    let dynamics = configured::<D>(&spec.id, arguments)?;
    let world = |_| TimeLimit::with_spec(World::new(dynamics.clone()), Arc::clone(spec));
    Ok((0..count).map(world).collect())
}

/// They share one model.
fn tasks<T: Task>(
    arguments: &Arguments,
    spec: &Arc<Spec>,
    count: usize,
) -> Made<Vec<TimeLimit<MujocoEnv<T>>>> {
    let first = MujocoEnv::new(configured::<T>(&spec.id, arguments)?)?;
    let limited = |env| TimeLimit::with_spec(env, Arc::clone(spec));
    let mut envs = Vec::with_capacity(count);
    for _ in 1..count {
        envs.push(limited(first.twin()?));
    }
    envs.push(limited(first));
    envs.truncate(count);
    Ok(envs)
}
