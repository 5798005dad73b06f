//! Adapters to and from the crate `gymnasium-rs` 0.1.1 (feature `gymnasium-rs`, off by default: its
//! pyo3 needs a Python interpreter at build time).
//!
//! [`Imported`] makes any of its environments an [`Env`]; [`Exported`] makes any [`Env`] one of its
//! environments. The `CartPole` that comes with it is not used here because its dynamics are not
//! Gymnasium's: it counts the total mass as 1.0 instead of 1.1, leaves the pole's mass out of the
//! cart's acceleration, rewards the last step with 0 and leaves its own observation space when the
//! pole falls.

use crate::{BoxSpace, Dtype, Env, Error, Frame, Space, Spec, Step};
use ::gymnasium_rs::core as foreign;
use ndarray::{Array1, Array3};
use std::{
    collections::HashMap,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// An action of `gymnasium-rs`: `i32` for a discrete one, `Array1<f32>` for a box.
pub trait Action {
    /// From the numbers of a row.
    fn from_row(row: &[f64]) -> Self;
    /// Into the numbers of a row.
    fn write_row(&self, row: &mut [f64]);
}

impl Action for i32 {
    fn from_row(row: &[f64]) -> Self {
        row[0] as Self
    }

    fn write_row(&self, row: &mut [f64]) {
        row[0] = f64::from(*self);
    }
}

impl Action for Array1<f32> {
    fn from_row(row: &[f64]) -> Self {
        row.iter().map(|&number| number as f32).collect()
    }

    fn write_row(&self, row: &mut [f64]) {
        write(self, row);
    }
}

fn write(numbers: &Array1<f32>, row: &mut [f64]) {
    row.iter_mut()
        .zip(numbers)
        .for_each(|(slot, &number)| *slot = f64::from(number));
}

/// An environment of `gymnasium-rs` as an [`Env`]. It exposes no state, so [`Env::state`] is empty.
pub struct Imported<E, A> {
    env: E,
    spec: Spec,
    observation: Array1<f32>,
    action: PhantomData<fn(A)>,
}

impl<E: foreign::Env<Array1<f32>, A> + Send, A: Action> Imported<E, A> {
    /// Wraps an environment under any id and resets it with seed 0.
    pub fn new(id: &str, mut env: E) -> Result<Self, Error> {
        let spec = Spec {
            id: id.to_owned(),
            observation_space: import(&env.observation_space())?,
            action_space: import(&env.action_space())?,
            max_episode_steps: None,
            reward_threshold: None,
            reference_returns: None,
        };
        let (observation, _) = env.reset_seed(0);
        Ok(Self {
            env,
            spec,
            observation,
            action: PhantomData,
        })
    }
}

impl<E: foreign::Env<Array1<f32>, A> + Send, A: Action> Env for Imported<E, A> {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Its seeds have 31 bits; of a larger one the lowest 31 bits count.
    fn reset(&mut self, seed: Option<u64>, observation: &mut [f64]) {
        let seed = seed.map(|seed| (seed & i32::MAX as u64) as i32);
        (self.observation, _) = self.env.reset(seed, HashMap::new());
        write(&self.observation, observation);
    }

    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Step {
        let (seen, reward, terminated, truncated, _) = self.env.step(A::from_row(action));
        self.observation = seen;
        write(&self.observation, observation);
        Step {
            reward: f64::from(reward),
            terminated,
            truncated,
        }
    }

    fn observe(&self, observation: &mut [f64]) {
        write(&self.observation, observation);
    }

    fn state(&self) -> Vec<f64> {
        Vec::new()
    }

    fn set_state(&mut self, _: &[f64]) -> Result<(), Error> {
        Err(Error::StateHidden {
            id: self.spec.id.clone(),
        })
    }

    /// Its environments may panic if they cannot draw; then there is no picture.
    fn render(&self) -> Option<Frame> {
        let picture = catch_unwind(AssertUnwindSafe(|| self.env.render()))
            .ok()
            .flatten()?;
        let (height, width, channels) = picture.dim();
        (channels == 3).then(|| Frame {
            width,
            height,
            pixels: picture.iter().copied().collect(),
        })
    }
}

/// An [`Env`] as an environment of `gymnasium-rs`. Observations and rewards become float32 there.
pub struct Exported<E> {
    env: E,
    observation_space: foreign::Space,
    action_space: foreign::Space,
    observation: Vec<f64>,
    action: Vec<f64>,
}

impl<E: Env> Exported<E> {
    /// Wraps an environment whose spaces `gymnasium-rs` can express: boxes and discrete spaces that
    /// start at 0.
    pub fn new(env: E) -> Result<Self, Error> {
        let spec = env.spec();
        let (observation_space, action_space) = (
            export(&spec.observation_space)?,
            export(&spec.action_space)?,
        );
        let (observation, action) = (
            vec![0.0; spec.observation_space.width()],
            vec![0.0; spec.action_space.width()],
        );
        Ok(Self {
            env,
            observation_space,
            action_space,
            observation,
            action,
        })
    }

    fn seen(&self) -> Array1<f32> {
        Action::from_row(&self.observation)
    }
}

impl<E: Env, A: Action> foreign::Env<Array1<f32>, A> for Exported<E> {
    fn observation_space(&self) -> foreign::Space {
        self.observation_space.clone()
    }

    fn action_space(&self) -> foreign::Space {
        self.action_space.clone()
    }

    fn reset(&mut self, seed: Option<i32>, _: foreign::Options) -> (Array1<f32>, foreign::Info) {
        self.env.reset(
            seed.map(|seed| u64::from(seed.cast_unsigned())),
            &mut self.observation,
        );
        (self.seen(), HashMap::new())
    }

    fn step(&mut self, action: A) -> (Array1<f32>, foreign::Reward, bool, bool, foreign::Info) {
        action.write_row(&mut self.action);
        let step = self.env.step(&self.action, &mut self.observation);
        (
            self.seen(),
            step.reward as f32,
            step.terminated,
            step.truncated,
            HashMap::new(),
        )
    }

    fn render(&self) -> Option<Array3<u8>> {
        let frame = self.env.render()?;
        Array3::from_shape_vec((frame.height, frame.width, 3), frame.pixels).ok()
    }

    fn close(&mut self) {}
}

fn inexpressible(space: &impl std::fmt::Debug, target: &'static str) -> Error {
    Error::Inexpressible {
        what: format!("{space:?}"),
        target,
    }
}

fn import(space: &foreign::Space) -> Result<Space, Error> {
    let refused = || inexpressible(space, "a space of this crate");
    match space {
        foreign::Space::Discrete(n) => Ok(Space::Discrete {
            n: usize::try_from(*n).map_err(|_| refused())?,
            start: 0,
        }),
        foreign::Space::Box { low, high } if low.len() == high.len() => {
            let numbers = |bounds: &Array1<f32>| bounds.iter().copied().map(f64::from).collect();
            let (low, high): (Vec<f64>, Vec<f64>) = (numbers(low), numbers(high));
            Ok(Space::Box(BoxSpace {
                shape: vec![low.len()],
                low,
                high,
                dtype: Dtype::Float32,
            }))
        }
        foreign::Space::Box { .. } => Err(refused()),
    }
}

fn export(space: &Space) -> Result<foreign::Space, Error> {
    let refused = || inexpressible(space, "gymnasium-rs");
    match space {
        Space::Discrete { n, start: 0 } => Ok(foreign::Space::Discrete(
            i32::try_from(*n).map_err(|_| refused())?,
        )),
        Space::Box(BoxSpace { low, high, .. }) => Ok(foreign::Space::Box {
            low: Action::from_row(low),
            high: Action::from_row(high),
        }),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check::check_env, make};
    use ::gymnasium_rs::envs::cartpole::CartPole as TheirCartPole;

    #[test]
    fn a_round_trip_changes_nothing_but_hides_the_state() {
        let exported = Exported::new(make("CartPole-v1").unwrap()).unwrap();
        let mut travelled: Imported<_, i32> = Imported::new("CartPole-v1", exported).unwrap();
        let mut native = make("CartPole-v1").unwrap();
        let (mut ours, mut theirs) = ([0.0; 4], [0.0; 4]);
        native.reset(Some(3), &mut ours);
        travelled.reset(Some(3), &mut theirs);
        for count in 0..20 {
            assert_eq!(ours.map(f64::to_bits), theirs.map(f64::to_bits));
            let action = [f64::from(count % 3 == 0)];
            assert_eq!(
                native.step(&action, &mut ours),
                travelled.step(&action, &mut theirs)
            );
        }
        assert_eq!(native.render(), travelled.render());
        assert_eq!(
            travelled.set_state(&[0.0; 4]),
            Err(Error::StateHidden {
                id: "CartPole-v1".into()
            })
        );
        assert_eq!(
            native.spec().observation_space,
            travelled.spec().observation_space
        );
    }

    #[test]
    fn a_continuous_environment_keeps_the_contract_over_an_episode() {
        let exported = Exported::new(make("Pendulum-v1").unwrap()).unwrap();
        let mut travelled: Imported<_, Array1<f32>> =
            Imported::new("Pendulum-v1", exported).unwrap();
        assert_eq!(check_env(&mut travelled), Ok(()));
    }

    #[test]
    fn their_environments_run_here_and_the_checker_finds_the_fault_of_their_cartpole() {
        let mut env: Imported<_, i32> =
            Imported::new("gymnasium-rs/CartPole", TheirCartPole::new()).unwrap();
        assert_eq!(env.spec().action_space, Space::Discrete { n: 2, start: 0 });
        let findings = check_env(&mut env).unwrap_err();
        assert!(
            findings
                .iter()
                .all(|finding| finding.contains("outside its space")),
            "{findings:?}"
        );
        assert_eq!(env.render(), None);
    }

    #[test]
    fn a_space_without_counterpart_is_an_error() {
        assert!(matches!(
            export(&Space::MultiBinary { shape: vec![2] }),
            Err(Error::Inexpressible { .. })
        ));
        assert!(import(&foreign::Space::Discrete(-1)).is_err());
    }
}
