//! The five classic control environments, one file each.
//!
//! A file holds the physics and nothing else: a type with [`Dynamics`]. [`ClassicControl`] makes an environment of it: it owns the generator, the
//! description and the checks. The order of operations is Gymnasium's, without fused multiply-add, so that every bit is the same.

use crate::{Env, Error, Frame, Space, Spec, Step, random::NumpyRng};
use std::{hint::black_box, sync::Arc};

mod acrobot;
mod cartpole;
mod hill;
mod mountain_car;
mod mountain_car_continuous;
mod pendulum;

/// `CartPole-v1`.
pub type CartPole = ClassicControl<cartpole::CartPole>;
/// `MountainCar-v0`.
pub type MountainCar = ClassicControl<mountain_car::MountainCar>;
/// `MountainCarContinuous-v0`.
pub type MountainCarContinuous = ClassicControl<mountain_car_continuous::MountainCarContinuous>;
/// `Acrobot-v1`.
pub type Acrobot = ClassicControl<acrobot::Acrobot>;
/// `Pendulum-v1`.
pub type Pendulum = ClassicControl<pendulum::Pendulum>;

/// The physics of one world.
pub trait Dynamics: Default + Send {
    /// Gymnasium's id.
    const ID: &'static str;

    /// The observation space and the action space.
    fn spaces() -> (Space, Space);

    /// Draws a start state.
    fn start(&mut self, rng: &mut NumpyRng);

    /// One time step: the reward and whether the world has ended.
    fn advance(&mut self, action: &[f64]) -> (f64, bool);

    /// Writes the observation of the present state.
    fn observe(&self, observation: &mut [f64]);

    /// The physical state.
    fn state(&self) -> &[f64];

    /// Takes over a state that has been checked: right width, finite.
    fn restore(&mut self, state: &[f64]);

    /// Draws the present state.
    fn draw(&self) -> Frame;
}

/// An environment made of one world's physics, still without a time limit ([`make`](crate::make) adds it).
#[derive(Clone, Debug)]
pub struct ClassicControl<D> {
    dynamics: D,
    rng: NumpyRng,
    spec: Arc<Spec>,
}

impl<D: Dynamics> Default for ClassicControl<D> {
    fn default() -> Self {
        let (observation_space, action_space) = D::spaces();
        let spec = Spec {
            id: D::ID.to_owned(),
            observation_space,
            action_space,
            max_episode_steps: None,
            reward_threshold: None,
            reference_returns: None,
        };
        let (mut dynamics, mut rng) = (D::default(), NumpyRng::from_seed(0));
        dynamics.start(&mut rng);
        Self { dynamics, rng, spec: Arc::new(spec) }
    }
}

impl<D: Dynamics> Env for ClassicControl<D> {
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
        let (reward, terminated) = self.dynamics.advance(action);
        self.dynamics.observe(observation);
        Step { reward, terminated, truncated: false }
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
            return Err(Error::StateWidth { id: id(), expected, got });
        }
        if let Some(index) = state.iter().position(|number| !number.is_finite()) {
            return Err(Error::StateNotFinite { id: id(), index, value: state[index] });
        }
        self.dynamics.restore(state);
        Ok(())
    }

    fn render(&self) -> Option<Frame> {
        Some(self.dynamics.draw())
    }
}

/// The choice that a discrete action's number stands for: the nearest of `0 .. n`.
#[inline]
fn choice(action: f64, n: usize) -> usize {
    (action as usize).min(n - 1)
}

/// The value as a float32 observation.
#[inline]
fn float32(value: f64) -> f64 {
    f64::from(value as f32)
}

/// Whether both ways of holding the value are the same: a state that Gymnasium keeps as float32.
#[inline]
fn is_float32(value: f64) -> bool {
    float32(value).to_bits() == value.to_bits()
}

/// Python's `x ** 2`. It calls the C library's `pow`, which differs from `x * x` in the last bit for one number in a thousand; the exponent is hidden from
/// the compiler, which would make a product of it.
#[inline]
fn pow2(x: f64) -> f64 {
    x.powf(black_box(2.0))
}
