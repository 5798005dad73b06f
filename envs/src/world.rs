//! An environment made from dynamics.
//!
//! A type with [`Dynamics`] holds the physics and nothing else. [`World`] makes an environment of
//! it: it owns the generator, the description and the checks.

use crate::{Env, Error, Frame, Space, Spec, Step, options::Options, random::NumpyRng};
use std::sync::Arc;

/// The physics of one environment.
pub trait Dynamics: Options + Send {
    /// Gymnasium's id.
    const ID: &'static str;

    /// Steps in a second of simulated time: Gymnasium's `render_fps`.
    const STEPS_PER_SECOND: f64 = 30.0;

    /// The observation space and the action space.
    fn spaces() -> (Space, Space);

    /// Draws a start state. The options stay as they are.
    fn start(&mut self, rng: &mut NumpyRng);

    /// One time step: the reward and whether the episode has terminated.
    fn advance(&mut self, action: &[f64]) -> (f64, bool);

    /// Writes the observation of the current state.
    fn observe(&self, observation: &mut [f64]);

    /// The physical state.
    fn state(&self) -> &[f64];

    /// Takes over a state that has been checked: right width, finite.
    fn restore(&mut self, state: &[f64]);

    /// Draws the current state.
    fn draw(&self) -> Frame;
}

/// An environment made from dynamics, still without a time limit ([`make`](crate::make) adds it).
#[derive(Clone, Debug)]
pub struct World<D> {
    dynamics: D,
    rng: NumpyRng,
    spec: Arc<Spec>,
}

impl<D: Dynamics> World<D> {
    /// The environment with these options, at the start state of seed 0.
    pub fn new(mut dynamics: D) -> Self {
        let mut rng = NumpyRng::from_seed(0);
        dynamics.start(&mut rng);
        Self {
            dynamics,
            rng,
            spec: Arc::new(spec::<D>()),
        }
    }

    #[inline]
    pub(crate) fn dynamics(&self) -> &D {
        &self.dynamics
    }

    /// Stores the result of one time step, as [`Dynamics::advance`] returns it.
    #[inline]
    pub(crate) fn moved(&mut self, step: impl FnOnce(&mut D) -> (f64, bool)) -> Step {
        let (reward, terminated) = step(&mut self.dynamics);
        Step {
            reward,
            terminated,
            truncated: false,
        }
    }
}

impl<D: Dynamics> Default for World<D> {
    fn default() -> Self {
        Self::new(D::default())
    }
}

/// The description of an environment, without its time limit.
pub(crate) fn spec<D: Dynamics>() -> Spec {
    let (observation_space, action_space) = D::spaces();
    Spec {
        id: D::ID.to_owned(),
        observation_space,
        action_space,
        max_episode_steps: None,
        reward_threshold: None,
        reference_returns: None,
    }
}

impl<D: Dynamics> Env for World<D> {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn reset(&mut self, seed: Option<u64>, observation: &mut [f64]) {
        if let Some(seed) = seed {
            self.rng = NumpyRng::from_seed(seed);
        }
        self.dynamics.start(&mut self.rng);
        self.dynamics.observe(observation);
    }

    #[inline]
    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Step {
        let step = self.moved(|dynamics| dynamics.advance(action));
        self.dynamics.observe(observation);
        step
    }

    fn observe(&self, observation: &mut [f64]) {
        self.dynamics.observe(observation);
    }

    fn state(&self) -> Vec<f64> {
        self.dynamics.state().to_vec()
    }

    fn set_state(&mut self, state: &[f64]) -> Result<(), Error> {
        let id = || D::ID.to_owned();
        let (expected, got) = (self.dynamics.state().len(), state.len());
        if got != expected {
            return Err(Error::StateWidth {
                id: id(),
                expected,
                got,
            });
        }
        if let Some(index) = state.iter().position(|number| !number.is_finite()) {
            return Err(Error::StateNotFinite {
                id: id(),
                index,
                value: state[index],
            });
        }
        self.dynamics.restore(state);
        Ok(())
    }

    fn render(&self) -> Option<Frame> {
        Some(self.dynamics.draw())
    }

    fn steps_per_second(&self) -> f64 {
        D::STEPS_PER_SECOND
    }
}

/// The choice of a discrete action's number: the nearest of `0 .. n`.
#[inline]
pub(crate) fn choice(action: f64, n: usize) -> usize {
    (action as usize).min(n - 1)
}

/// The value as a float32 observation.
#[inline]
pub(crate) fn float32(value: f64) -> f64 {
    f64::from(value as f32)
}

/// Whether float32 holds the value exactly: a state that Gymnasium keeps as float32.
#[inline]
pub(crate) fn is_float32(value: f64) -> bool {
    float32(value).to_bits() == value.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classic_control::Pendulum;

    #[test]
    fn an_invalid_state_is_refused() {
        let mut env = Pendulum::default();
        let before = env.state();
        assert!(matches!(
            env.set_state(&[0.0]),
            Err(Error::StateWidth {
                expected: 2,
                got: 1,
                ..
            })
        ));
        assert!(matches!(
            env.set_state(&[0.0, f64::NAN]),
            Err(Error::StateNotFinite { index: 1, .. })
        ));
        assert_eq!(env.state(), before);
    }

    #[test]
    fn a_choice_out_of_range_counts_as_the_nearest() {
        assert_eq!(
            [-1.0, 0.0, 2.0, 7.0, f64::NAN].map(|action| choice(action, 3)),
            [0, 0, 2, 2, 0]
        );
    }
}
