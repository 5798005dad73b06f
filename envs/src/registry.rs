//! One table of all environments.
//!
//! # Where the reference returns come from
//!
//! Of the classic control environments and our own, both are mean returns over the 1000 episodes with reset seeds 0 to 999, measured with this
//! crate's environments (time limit included).
//!
//! - *random*: each action is drawn by [`Space::sample`](crate::Space::sample) from
//!   [`NumpyRng::for_actions`](crate::random::NumpyRng::for_actions) of the episode's seed; a test
//!   recomputes it.
//! - *expert*: the hand-written controller for that environment, without noise. A policy that does
//!   better scores above 100; in `CartPole-v1` none can, 500 is the most there is.
//!
//! Of `Hopper`, `HalfCheetah`, `Walker2d` and `Ant` they are those of D4RL (`d4rl/infos.py`, for all
//! datasets of an environment), which published scores are made with. D4RL measured them in older
//! versions of the same environments.
//!
//! Of `InvertedPendulum` and `InvertedDoublePendulum` they are measured like those of classic
//! control, with `MuJoCo` 4.0.0; their experts are linear feedback, which keeps every pole upright to
//! the time limit. The other `MuJoCo` environments have none: nobody's expert is the measure there.
//!
//! # Delayed reward
//!
//! `delayed/` before any id is that environment with all of an episode's reward on its last step
//! ([`DelayedReward`]). Returns are the same, so are the reference returns.

use crate::{
    DelayedReward, Env, Error, ReferenceReturns, Spec, TimeLimit,
    classic_control::{
        Acrobot, ClassicControl, KeyToDoor, MountainCar, MountainCarContinuous, StitchingMaze,
        cartpole, pendulum,
    },
    key_to_door::STEPS as KEY_TO_DOOR,
    mujoco::{
        self, Ant, HalfCheetah, Hopper, Humanoid, InvertedDoublePendulum, InvertedPendulum,
        MujocoEnv, Pusher, Reacher, Swimmer, Task, V4, Walker2d,
    },
    vector::{Batch, Columns, InColumns},
};
use std::sync::Arc;

#[rustfmt::skip]
const TABLE: [Entry; 21] = [
    //                              id                          limit  threshold      random          expert
    columns::<cartpole::CartPole>(  "CartPole-v1",              500,   Some(475.0),   (22.235,         500.0)),
    classic::<MountainCar>(         "MountainCar-v0",           200,   Some(-110.0),  (-200.0,         -108.121)),
    classic::<MountainCarContinuous>("MountainCarContinuous-v0", 999,  Some(90.0),    (-33.344_411,    98.589_980)),
    classic::<Acrobot>(             "Acrobot-v1",               500,   Some(-100.0),  (-499.425,       -75.857)),
    columns::<pendulum::Pendulum>(  "Pendulum-v1",              200,   None,          (-1_215.772_602, -146.841_254)),
    own::<KeyToDoor>(               "KeyToDoor-v0",       KEY_TO_DOOR,   None,          (0.034,          1.0)),
    own::<StitchingMaze>(           "StitchingMaze-v0",         300,   None,          (0.0,            1.0)),
    mujoco::<Hopper>(               "Hopper-v5",                1000,  Some(3800.0),  Some((-20.272_305,  3234.3))),
    mujoco::<HalfCheetah>(          "HalfCheetah-v5",           1000,  Some(4800.0),  Some((-280.178_953, 12_135.0))),
    mujoco::<Walker2d>(             "Walker2d-v5",              1000,  None,          Some((1.629_008,    4592.3))),
    mujoco::<Ant>(                  "Ant-v5",                   1000,  Some(6000.0),  Some((-325.6,       3879.7))),
    mujoco::<Humanoid>(             "Humanoid-v5",              1000,  None,          None),
    mujoco::<Swimmer>(              "Swimmer-v5",               1000,  Some(360.0),   None),
    mujoco::<Reacher>(              "Reacher-v5",               50,    Some(-3.75),   None),
    mujoco::<InvertedPendulum>(     "InvertedPendulum-v5",      1000,  Some(950.0),   Some((5.073,        1000.0))),
    mujoco::<InvertedDoublePendulum>("InvertedDoublePendulum-v5", 1000, Some(9100.0), Some((48.146_550, 9_359.865_377))),
    mujoco::<Pusher>(               "Pusher-v5",                100,   Some(0.0),     None),
    mujoco::<V4<Hopper>>(           "Hopper-v4",                1000,  Some(3800.0),  Some((-20.272_305,  3234.3))),
    mujoco::<V4<HalfCheetah>>(      "HalfCheetah-v4",           1000,  Some(4800.0),  Some((-280.178_953, 12_135.0))),
    mujoco::<V4<Walker2d>>(         "Walker2d-v4",              1000,  None,          Some((1.629_008,    4592.3))),
    mujoco::<V4<Ant>>(              "Ant-v4",                   1000,  Some(6000.0),  Some((-325.6,       3879.7))),
];

struct Entry {
    id: &'static str,
    max_episode_steps: usize,
    reward_threshold: Option<f64>,
    /// Of a random and of an expert policy.
    reference_returns: Option<(f64, f64)>,
    needs_mujoco: bool,
    /// Gymnasium has none of this id.
    own: bool,
    /// The bare world's description.
    bare: fn() -> Spec,
    one: fn(Arc<Spec>) -> Made<dyn Env>,
    rows: fn(Arc<Spec>, usize) -> Made<dyn Batch>,
}

type Made<T> = Result<Box<T>, Error>;

const fn classic<E: Env + Default + 'static>(
    id: &'static str,
    max_episode_steps: usize,
    reward_threshold: Option<f64>,
    reference_returns: (f64, f64),
) -> Entry {
    Entry {
        id,
        max_episode_steps,
        reward_threshold,
        reference_returns: Some(reference_returns),
        needs_mujoco: false,
        own: false,
        bare: || E::default().spec().clone(),
        one: |spec| Ok(Box::new(TimeLimit::with_spec(E::default(), spec))),
        rows: |spec, rows| {
            Ok(Box::new(
                (0..rows)
                    .map(|_| TimeLimit::with_spec(E::default(), Arc::clone(&spec)))
                    .collect::<Vec<_>>(),
            ))
        },
    }
}

/// A classic world whose rows are stepped in columns.
const fn columns<D: InColumns + 'static>(
    id: &'static str,
    max_episode_steps: usize,
    reward_threshold: Option<f64>,
    reference_returns: (f64, f64),
) -> Entry {
    Entry {
        rows: |spec, rows| {
            let env = || TimeLimit::with_spec(ClassicControl::default(), Arc::clone(&spec));
            let envs = (0..rows).map(|_| env()).collect();
            Ok(Box::new(Columns::<D>::new(envs)))
        },
        ..classic::<ClassicControl<D>>(id, max_episode_steps, reward_threshold, reference_returns)
    }
}

const fn own<E: Env + Default + 'static>(
    id: &'static str,
    max_episode_steps: usize,
    reward_threshold: Option<f64>,
    reference_returns: (f64, f64),
) -> Entry {
    Entry {
        own: true,
        ..classic::<E>(id, max_episode_steps, reward_threshold, reference_returns)
    }
}

const fn mujoco<T: Task + Default + 'static>(
    id: &'static str,
    max_episode_steps: usize,
    reward_threshold: Option<f64>,
    reference_returns: Option<(f64, f64)>,
) -> Entry {
    Entry {
        id,
        max_episode_steps,
        reward_threshold,
        reference_returns,
        needs_mujoco: true,
        own: false,
        bare: || mujoco::spec(&T::default()),
        one: |spec| {
            let env = MujocoEnv::new(T::default())?;
            Ok(Box::new(TimeLimit::with_spec(env, spec)))
        },
        rows: |spec, rows| {
            let first = MujocoEnv::new(T::default())?;
            let limited = |env| TimeLimit::with_spec(env, Arc::clone(&spec));
            let rows: Vec<_> = (0..rows)
                .map(|_| first.twin().map(limited))
                .collect::<Result<_, _>>()?;
            Ok(Box::new(rows))
        },
    }
}

impl Entry {
    fn spec(&self) -> Spec {
        Spec {
            max_episode_steps: Some(self.max_episode_steps),
            reward_threshold: self.reward_threshold,
            reference_returns: self
                .reference_returns
                .map(|(random, expert)| ReferenceReturns { random, expert }),
            ..(self.bare)()
        }
    }
}

/// Before an id: that environment with [`DelayedReward`].
pub const DELAYED: &str = "delayed/";

/// The ids of all environments, in the order of the table; each may have [`DELAYED`] before it.
pub fn ids() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|entry| entry.id)
}

/// The id without [`DELAYED`].
pub fn undelayed(id: &str) -> &str {
    id.strip_prefix(DELAYED).unwrap_or(id)
}

/// Whether an id asks for delayed reward.
pub fn is_delayed(id: &str) -> bool {
    id.starts_with(DELAYED)
}

/// Whether an environment can be made only where `MuJoCo` is installed; see
/// [`mujoco::find`]. False for an unknown id.
pub fn needs_mujoco(id: &str) -> bool {
    find(id).is_ok_and(|entry| entry.needs_mujoco)
}

/// Whether an environment is of our own making: Gymnasium has none of this id to compare with.
pub fn is_own(id: &str) -> bool {
    find(id).is_ok_and(|entry| entry.own)
}

/// Makes an environment with its time limit. An unknown id is an error that names the nearest ones,
/// a missing `MuJoCo` one that says how to get it.
pub fn make(id: &str) -> Result<Box<dyn Env>, Error> {
    let entry = find(id)?;
    let env = (entry.one)(Arc::new(entry.spec()))?;
    Ok(if is_delayed(id) {
        Box::new(DelayedReward::new(env))
    } else {
        env
    })
}

/// The description of an environment; that of a `MuJoCo` environment needs no `MuJoCo`.
pub fn spec(id: &str) -> Result<Spec, Error> {
    Ok(Spec {
        id: id.to_owned(),
        ..find(id)?.spec()
    })
}

/// Many copies of an environment behind one virtual call a batch.
pub(crate) fn rows(id: &str, rows: usize) -> Result<Box<dyn Batch>, Error> {
    let entry = find(id)?;
    let spec = Arc::new(entry.spec());
    if !is_delayed(id) {
        return (entry.rows)(spec, rows);
    }
    let row = |_| (entry.one)(Arc::clone(&spec)).map(DelayedReward::new);
    let rows: Vec<_> = (0..rows).map(row).collect::<Result<_, _>>()?;
    Ok(Box::new(rows))
}

fn find(id: &str) -> Result<&'static Entry, Error> {
    TABLE
        .iter()
        .find(|entry| entry.id == undelayed(id))
        .ok_or_else(|| {
            let prefix = if is_delayed(id) { DELAYED } else { "" };
            let nearest = nearest(undelayed(id), ids());
            Error::UnknownId {
                id: id.to_owned(),
                nearest: nearest.iter().map(|id| format!("{prefix}{id}")).collect(),
            }
        })
}

/// The up to three known names that are most like `name`, nearest first: what to offer to someone
/// who mistyped.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let likeness = |known: &str| strsim::jaro_winkler(&known.to_lowercase(), &name.to_lowercase());
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    known.into_iter().take(3).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_makes_an_environment_of_that_id() {
        for id in ids() {
            assert_eq!(spec(id).unwrap().id, id);
            if !needs_mujoco(id) || mujoco::is_here(id) {
                assert_eq!(make(id).unwrap().spec(), &spec(id).unwrap());
            }
        }
    }

    #[test]
    fn an_unknown_id_names_the_nearest() {
        let Err(Error::UnknownId { id, nearest }) = make("mountaincar") else {
            panic!("no such environment")
        };
        assert_eq!(id, "mountaincar");
        assert_eq!(nearest[..2], ["MountainCar-v0", "MountainCarContinuous-v0"]);
        assert_eq!(
            make("CartPole-v0")
                .err()
                .unwrap()
                .to_string()
                .split(',')
                .next()
                .unwrap(),
            "unknown environment `CartPole-v0`; the nearest are CartPole-v1"
        );
    }
}
