//! One table of all environments.
//!
//! # Where the reference returns come from
//!
//! Both are mean returns over the 1000 episodes with reset seeds 0 to 999, measured with this
//! crate's environments (time limit included).
//!
//! - *random*: each action is drawn by [`Space::sample`](crate::Space::sample) from
//!   [`NumpyRng::for_actions`](crate::random::NumpyRng::for_actions) of the episode's seed; a test
//!   recomputes it.
//! - *expert*: the hand-written controller for that environment, without noise. A policy that does
//!   better scores above 100; in `CartPole-v1` none can, 500 is the most there is.

use crate::{
    Env, Error, ReferenceReturns, Spec, TimeLimit,
    classic_control::{Acrobot, CartPole, MountainCar, MountainCarContinuous, Pendulum},
    vector::Batch,
};
use std::sync::Arc;

#[rustfmt::skip]
const TABLE: [Entry; 5] = [
    //                             id                          limit  threshold      random          expert
    entry::<CartPole>(             "CartPole-v1",              500,   Some(475.0),   22.235,         500.0),
    entry::<MountainCar>(          "MountainCar-v0",           200,   Some(-110.0),  -200.0,         -108.121),
    entry::<MountainCarContinuous>("MountainCarContinuous-v0", 999,   Some(90.0),    -33.344_411,    98.589_980),
    entry::<Acrobot>(              "Acrobot-v1",               500,   Some(-100.0),  -499.425,       -75.857),
    entry::<Pendulum>(             "Pendulum-v1",              200,   None,          -1_215.772_602, -146.841_254),
];

struct Entry {
    id: &'static str,
    max_episode_steps: usize,
    reward_threshold: Option<f64>,
    reference_returns: ReferenceReturns,
    /// The bare world's description.
    bare: fn() -> Spec,
    one: fn(Arc<Spec>) -> Box<dyn Env>,
    rows: fn(Arc<Spec>, usize) -> Box<dyn Batch>,
}

const fn entry<E: Env + Default + 'static>(
    id: &'static str,
    max_episode_steps: usize,
    reward_threshold: Option<f64>,
    random: f64,
    expert: f64,
) -> Entry {
    Entry {
        id,
        max_episode_steps,
        reward_threshold,
        reference_returns: ReferenceReturns { random, expert },
        bare: || E::default().spec().clone(),
        one: |spec| Box::new(TimeLimit::with_spec(E::default(), spec)),
        rows: |spec, rows| {
            Box::new(
                (0..rows)
                    .map(|_| TimeLimit::with_spec(E::default(), Arc::clone(&spec)))
                    .collect::<Vec<_>>(),
            )
        },
    }
}

impl Entry {
    fn spec(&self) -> Spec {
        Spec {
            max_episode_steps: Some(self.max_episode_steps),
            reward_threshold: self.reward_threshold,
            reference_returns: Some(self.reference_returns),
            ..(self.bare)()
        }
    }
}

/// The ids of all environments, in the order of the table.
pub fn ids() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|entry| entry.id)
}

/// Makes an environment with its time limit. An unknown id is an error that names the nearest ones.
pub fn make(id: &str) -> Result<Box<dyn Env>, Error> {
    let entry = find(id)?;
    Ok((entry.one)(Arc::new(entry.spec())))
}

/// The description of an environment.
pub fn spec(id: &str) -> Result<Spec, Error> {
    Ok(find(id)?.spec())
}

/// Many copies of an environment behind one virtual call a batch.
pub(crate) fn rows(id: &str, rows: usize) -> Result<Box<dyn Batch>, Error> {
    let entry = find(id)?;
    Ok((entry.rows)(Arc::new(entry.spec()), rows))
}

fn find(id: &str) -> Result<&'static Entry, Error> {
    TABLE
        .iter()
        .find(|entry| entry.id == id)
        .ok_or_else(|| Error::UnknownId {
            id: id.to_owned(),
            nearest: nearest(id, ids()),
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
            assert_eq!(make(id).unwrap().spec(), &spec(id).unwrap());
            assert_eq!(spec(id).unwrap().id, id);
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
