//! Datasets that are generated on demand, so that a first run needs no download.
//!
//! `builtin/<env>/<kind>`: built-in behaviour policies act in the environment. `random` draws every
//! action, `expert` is the hand-written controller, `mixed` has both and two noise levels in
//! between, so that returns from bad to best are covered. `keytodoor` has random walks alone, 1,000
//! or 10,000 episodes of them, as in the Decision Transformer paper. `maze/paths` has short walks
//! in a maze (`maze`). The same id and seed give the same bytes.

mod maze;

use rtg_datasets::{Dataset, EnvSpec, Info};
use rtg_envs::registry;

use crate::behaviour;
use crate::behaviour::mixture::{self, Part, RANDOM};
use crate::error::Error;
use crate::policy::{Policy, Start};
use crate::random::derive;
use crate::rollout::{CollectionSize, Rollout};

/// What the ids of built-in datasets begin with.
pub const PREFIX: &str = "builtin/";
/// The seed of the datasets opened by id.
pub const SEED: u64 = 0;

/// Environments with behaviour policies: name in the id, environment, datasets.
const WORLDS: [(&str, &str, &[Kind]); 7] = [
    ("cartpole", "CartPole-v1", &GRADED),
    ("pendulum", "Pendulum-v1", &GRADED),
    ("mountaincar", "MountainCar-v0", &GRADED),
    ("mountaincarcontinuous", "MountainCarContinuous-v0", &GRADED),
    ("acrobot", "Acrobot-v1", &GRADED),
    ("keytodoor", "KeyToDoor-v0", &RANDOM_WALKS),
    ("maze", "StitchingMaze-v0", &PATHS),
];

/// A dataset of an environment.
struct Kind {
    name: &'static str,
    contents: Contents,
}

/// Its parts.
enum Contents {
    /// Episodes of the environment.
    Played(CollectionSize, &'static [Part]),
    /// Short walks in the maze.
    Paths,
}

const STEPS: CollectionSize = CollectionSize::Steps(60_000);

const GRADED: [Kind; 3] = [
    Kind {
        name: "random",
        contents: Contents::Played(STEPS, RANDOM),
    },
    Kind {
        name: "mixed",
        contents: Contents::Played(STEPS, mixture::MIXED),
    },
    Kind {
        name: "expert",
        contents: Contents::Played(STEPS, mixture::EXPERT),
    },
];

const RANDOM_WALKS: [Kind; 2] = [
    Kind {
        name: "random-1k",
        contents: Contents::Played(CollectionSize::Episodes(1_000), RANDOM),
    },
    Kind {
        name: "random-10k",
        contents: Contents::Played(CollectionSize::Episodes(10_000), RANDOM),
    },
];

const PATHS: [Kind; 1] = [Kind {
    name: "paths",
    contents: Contents::Paths,
}];

/// Episodes that are played at once.
const ROWS: usize = 16;

/// The ids of all built-in datasets.
pub fn ids() -> impl Iterator<Item = String> {
    WORLDS.iter().flat_map(|(world, _, kinds)| {
        kinds
            .iter()
            .map(move |kind| format!("{PREFIX}{world}/{}", kind.name))
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
    let (world, name) = id
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once('/'))
        .ok_or_else(unknown)?;
    let &(_, env_id, kinds) = WORLDS
        .iter()
        .find(|(name, ..)| *name == world)
        .ok_or_else(unknown)?;
    let kind = kinds
        .iter()
        .find(|kind| kind.name == name)
        .ok_or_else(unknown)?;
    let spec = registry::spec(env_id)?;
    let mut data = Dataset::new(Info {
        env_spec: Some(EnvSpec {
            max_episode_steps: spec.max_episode_steps,
            ..EnvSpec::new(env_id)
        }),
        max_episode_steps: spec.max_episode_steps,
        provenance: format!(
            "rtg {} behaviour policies, seed {seed}",
            env!("CARGO_PKG_VERSION")
        ),
        ..Info::new(
            id,
            spec.observation_space.clone(),
            spec.action_space.clone(),
        )
    });
    let Contents::Played(amount, parts) = kind.contents else {
        maze::walk(&mut data, env_id, derive(seed, id))?;
        return Ok(data);
    };
    for (part, &(share, noise)) in parts.iter().enumerate() {
        let mut policy: Box<dyn Policy> = match noise {
            None => Box::new(behaviour::Random::new(&spec.action_space, ROWS)),
            Some(noise) => behaviour::controller(env_id, noise, ROWS).ok_or_else(unknown)?,
        };
        let first_seed = derive(seed, &format!("{id} part {part}")) >> 32;
        let rollout = Rollout::open(env_id, ROWS, 1, move |index| {
            let seed = first_seed + index as u64;
            Some(Start { seed, target: None })
        })?;
        rollout.collect(&mut *policy, portion(amount, share), &mut |episode| {
            data.push(episode)
        })?;
    }
    Ok(data)
}

/// A share of an amount.
fn portion(whole: CollectionSize, share: f64) -> CollectionSize {
    let part = |count: usize| (count as f64 * share) as usize;
    match whole {
        CollectionSize::Steps(steps) => CollectionSize::Steps(part(steps)),
        CollectionSize::Episodes(episodes) => CollectionSize::Episodes(part(episodes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_walks_through_key_to_door_are_as_many_as_the_name_says() {
        let data = make("builtin/keytodoor/random-1k", SEED).unwrap();
        assert_eq!(data.episodes(), 1000);
        let successes = data
            .iter()
            .filter(|episode| episode.return_() > 0.0)
            .count();
        // 3.15 % of 1000, within three standard deviations.
        assert!((15..=48).contains(&successes), "{successes} succeed");
        assert!(data.iter().all(|episode| episode.len() <= 24));
        let again = make("builtin/keytodoor/random-1k", SEED).unwrap();
        assert_eq!(data.hash(), again.hash());
    }
}
