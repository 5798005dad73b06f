//! The five classic control environments, one file each.
//!
//! A file holds the physics and nothing else: a type with [`Dynamics`]. [`ClassicControl`] makes an
//! environment of it: it owns the generator, the description and the checks. The order of
//! operations is Gymnasium's, without fused multiply-add, so that every bit is the same.

use crate::{Env, Error, Frame, Space, Spec, Step, random::NumpyRng};
use std::{hint::black_box, sync::Arc};

mod acrobot;
pub(crate) mod cartpole;
mod hill;
mod mountain_car;
mod mountain_car_continuous;
pub(crate) mod pendulum;
mod sine;
mod widest;

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

/// `KeyToDoor-v0`: not of classic control, but made the same way.
pub type KeyToDoor = ClassicControl<crate::key_to_door::KeyToDoor>;
/// `StitchingMaze-v0`, likewise.
pub type StitchingMaze = ClassicControl<crate::stitching_maze::StitchingMaze>;

/// The physics of one world.
pub trait Dynamics: Default + Send {
    /// Gymnasium's id.
    const ID: &'static str;

    /// Steps in a second of the world's own time: Gymnasium's `render_fps`.
    const STEPS_PER_SECOND: f64 = 30.0;

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

/// An environment made of one world's physics, still without a time limit ([`make`](crate::make)
/// adds it).
#[derive(Clone, Debug)]
pub struct ClassicControl<D> {
    dynamics: D,
    rng: NumpyRng,
    spec: Arc<Spec>,
}

impl<D: Dynamics> ClassicControl<D> {
    #[inline]
    pub(crate) fn dynamics(&self) -> &D {
        &self.dynamics
    }

    /// What became of one time step, which gives what [`Dynamics::advance`] gives.
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
        Self {
            dynamics,
            rng,
            spec: Arc::new(spec),
        }
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

/// The choice that a discrete action's number stands for: the nearest of `0 .. n`.
#[inline]
pub(crate) fn choice(action: f64, n: usize) -> usize {
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

/// Python's `x ** 2`. It calls the C library's `pow`, which differs from `x * x` in the last bit for
/// one number in a thousand.
///
/// `pow` takes ten times as long, so it is asked only where it may differ. glibc's is right to 0.511
/// units in the last place and `6.4e-5 |log2 x|` more; what rounding cuts off the exact square of
/// the 53 bits is nearly always further from half a unit than that.
#[inline]
pub(crate) fn pow2(x: f64) -> f64 {
    let (square, is_certain) = pow2_guess(x);
    if is_certain { square } else { pow2_in_full(x) }
}

/// [`pow2`], and whether it is.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "loops over columns must end up in the function that is compiled for the CPU's features"
)]
fn pow2_guess(x: f64) -> (f64, bool) {
    let square = x * x;
    // What rounding cut off, exactly: of the product of two halves of 26 bits nothing is lost.
    let split = x * 134_217_729.0; // 2^27 + 1
    let high = split - (split - x);
    let low = x - high;
    let cut_off = ((high * high - square) + 2.0 * high * low) + low * low;
    // 0.0127 units away from the middle, enough down to 2^-16 and up to 2^16.
    let is_far = cut_off.abs() < 0.487 * sine::unit_below(square);
    let (is_large, is_small) = (square > 1e-9, square < 1e9);
    (square, is_far & is_large & is_small)
}

#[cold]
#[inline(never)]
fn pow2_in_full(x: f64) -> f64 {
    // The exponent is hidden from the compiler, which would make a product of it.
    x.powf(black_box(2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pow2_is_the_c_librarys_pow() {
        let mut rng = NumpyRng::from_seed(0);
        let mut products = 0;
        for _ in 0..1_000_000 {
            let x = rng.uniform(-10.0, 10.0) * 10_f64.powf(rng.uniform(-3.0, 3.0));
            let pow = x.powf(black_box(2.0));
            assert_eq!(pow2(x).to_bits(), pow.to_bits(), "{x}");
            products += u32::from((x * x).to_bits() != pow.to_bits());
        }
        if cfg!(all(target_os = "linux", target_env = "gnu")) {
            assert!(products > 0, "x * x would do");
        }
        for x in [0.0, -0.0, 1e-200, 1e200, f64::INFINITY] {
            assert_eq!(pow2(x).to_bits(), x.powf(black_box(2.0)).to_bits(), "{x}");
        }
    }

    #[test]
    fn a_state_that_makes_no_sense_is_refused() {
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

    #[test]
    fn states_that_no_episode_reaches_do_no_harm() {
        let mut observation = [0.0; 6];
        let mut env = Acrobot::default();
        env.set_state(&[1e300, -1e300, 1e300, 0.0]).unwrap();
        env.step(&[2.0], &mut observation);
        assert!(env.render().is_some());
    }
}
