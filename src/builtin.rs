//! Datasets that are made on the spot, so that a first run needs no download.
//!
//! `builtin/<env>/<kind>`: behaviour policies of our own play the environment. `random` draws every
//! action, `expert` is the hand-written controller, `mixed` has both and two degrees of noise in
//! between, so that a policy can be asked for returns from bad to best. The same id and seed give the
//! same bytes.

use rtg_datasets::{Dataset, Info};
use rtg_envs::registry;
use rtg_envs::vector::{Autoreset, VecEnv};

use crate::behaviour;
use crate::error::Error;
use crate::policy::{Policy, Start};
use crate::random::derive;
use crate::rollout::{Record, roll_out};

/// What the ids of built-in datasets begin with.
pub const PREFIX: &str = "builtin/";
/// The seed of the datasets that everyone gets by id.
pub const SEED: u64 = 0;

/// Environments with behaviour policies: name in the id, environment, steps of a dataset.
const WORLDS: [(&str, &str, usize); 5] = [
    ("cartpole", "CartPole-v1", 60_000),
    ("pendulum", "Pendulum-v1", 60_000),
    ("mountaincar", "MountainCar-v0", 60_000),
    ("mountaincarcontinuous", "MountainCarContinuous-v0", 60_000),
    ("acrobot", "Acrobot-v1", 60_000),
];

/// A part of a dataset: its share of the steps, and the controller's noise; `None` is the random
/// policy.
type Part = (f64, Option<f64>);

/// Kinds of datasets: name and parts.
const KINDS: [(&str, &[Part]); 3] = [
    ("random", &[(1.0, None)]),
    (
        "mixed",
        &[
            (0.1, None),
            (0.25, Some(0.5)),
            (0.25, Some(0.2)),
            (0.4, Some(0.0)),
        ],
    ),
    ("expert", &[(1.0, Some(0.0))]),
];

/// Episodes that are played at once.
const ROWS: usize = 16;

/// The ids of all built-in datasets.
pub fn ids() -> impl Iterator<Item = String> {
    WORLDS.iter().flat_map(|(world, ..)| {
        KINDS
            .iter()
            .map(move |(kind, _)| format!("{PREFIX}{world}/{kind}"))
    })
}

/// Makes the dataset called `id`.
///
/// # Errors
/// An id that does not exist, with the nearest that do.
pub fn make(id: &str, seed: u64) -> Result<Dataset, Error> {
    let unknown = || Error::UnknownBuiltin {
        id: id.to_owned(),
        nearest: registry::nearest(id, ids().collect::<Vec<_>>().iter().map(String::as_str)),
    };
    let (world, kind) = id
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once('/'))
        .ok_or_else(unknown)?;
    let &(_, env_id, steps) = WORLDS
        .iter()
        .find(|(name, ..)| *name == world)
        .ok_or_else(unknown)?;
    let (_, parts) = KINDS
        .iter()
        .find(|(name, _)| *name == kind)
        .ok_or_else(unknown)?;
    let spec = registry::spec(env_id)?;
    let mut data = Dataset::new(Info {
        id: id.to_owned(),
        env_id: Some(env_id.to_owned()),
        max_episode_steps: spec.max_episode_steps,
        observation_space: spec.observation_space.clone(),
        action_space: spec.action_space.clone(),
        provenance: format!(
            "rtg {} behaviour policies, seed {seed}",
            env!("CARGO_PKG_VERSION")
        ),
    });
    for (part, &(share, noise)) in parts.iter().enumerate() {
        let mut policy: Box<dyn Policy> = match noise {
            None => Box::new(behaviour::Random::new(&spec.action_space, ROWS)),
            Some(noise) => behaviour::controller(env_id, noise, ROWS).ok_or_else(unknown)?,
        };
        let first_seed = derive(seed, &format!("{id} part {part}")) >> 32;
        play(
            &mut data,
            env_id,
            policy.as_mut(),
            first_seed,
            (steps as f64 * share) as usize,
        )?;
    }
    Ok(data)
}

/// Adds whole episodes until the part has at least `steps` steps.
fn play(
    data: &mut Dataset,
    env_id: &str,
    policy: &mut dyn Policy,
    first_seed: u64,
    steps: usize,
) -> Result<(), Error> {
    let mut envs = VecEnv::new(env_id, ROWS, Autoreset::Disabled)?;
    let goal = data.steps() + steps;
    let mut seed = first_seed;
    while data.steps() < goal {
        let starts: Vec<Start> = (seed..seed + ROWS as u64)
            .map(|seed| Start { seed, target: None })
            .collect();
        seed += ROWS as u64;
        for outcome in roll_out(&mut envs, policy, &starts, Record::Episodes, &mut ()) {
            if let Some(episode) = outcome.episode.filter(|_| data.steps() < goal) {
                data.push(episode)?;
            }
        }
    }
    Ok(())
}
