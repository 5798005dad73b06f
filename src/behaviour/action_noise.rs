//! Noise that is added to a policy's actions while it explores.

use serde::{Deserialize, Serialize};

use crate::policy::{Policy, Start};
use crate::random::Stream;
use rtg_kernels::device;

/// How the noise of a step depends on that of the step before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseProcess {
    /// It does not: N(0, sigma^2).
    #[default]
    Gaussian,
    /// x = x' - theta x' dt + sigma sqrt(dt) N(0, 1), where x' is that of the step before, 0 at an
    /// episode's first. After Stable-Baselines3's `OrnsteinUhlenbeckActionNoise`.
    OrnsteinUhlenbeck,
}

impl NoiseProcess {
    /// Their names in plans.
    pub const NAMES: &'static [&'static str] = &["gaussian", "ornstein_uhlenbeck"];
}

/// The rate at which an Ornstein-Uhlenbeck process returns to 0, Stable-Baselines3's default.
const THETA: f64 = 0.15;
/// Its time between two steps, Stable-Baselines3's default.
const STEP: f64 = 0.01;

/// The distribution of the noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActionNoise {
    /// How it depends on time.
    pub process: NoiseProcess,
    /// Its scale, sigma, in halves of an action number's range.
    pub sigma: f64,
}

impl ActionNoise {
    /// The noise that follows `last`; `normal` is drawn from N(0, 1).
    fn next(self, last: f64, normal: f32) -> f64 {
        let normal = f64::from(normal);
        match self.process {
            NoiseProcess::Gaussian => self.sigma * normal,
            NoiseProcess::OrnsteinUhlenbeck => {
                last - THETA * last * STEP + self.sigma * STEP.sqrt() * normal
            }
        }
    }
}

/// Adds noise to the actions of another policy and clips the sums to the bounds.
///
/// A row's noise follows from its episode's start alone, whichever policy it is added to.
pub struct WithActionNoise {
    policy: Box<dyn Policy>,
    noise: ActionNoise,
    /// The lower bounds of an action's numbers, and the upper ones, all finite.
    bounds: [Vec<f64>; 2],
    rows: Vec<Row>,
    normals: Vec<f32>,
}

/// The state of a row's noise.
#[derive(Clone)]
struct Row {
    stream: Stream,
    last: Vec<f64>,
}

impl Row {
    fn begin(seed: u64, width: usize) -> Self {
        Self {
            stream: Stream::new(seed, "action noise"),
            last: vec![0.0; width],
        }
    }
}

impl WithActionNoise {
    /// Adds noise to the actions of `policy`, which acts in up to `rows` rows and has no state of
    /// its own for a checkpoint.
    pub fn new(
        policy: Box<dyn Policy>,
        noise: ActionNoise,
        bounds: [Vec<f64>; 2],
        rows: usize,
    ) -> Self {
        let width = bounds[0].len();
        Self {
            policy,
            noise,
            rows: vec![Row::begin(0, width); rows],
            normals: vec![0.0; width],
            bounds,
        }
    }
}

impl Policy for WithActionNoise {
    fn takes_target(&self) -> bool {
        self.policy.takes_target()
    }

    fn failure(&mut self) -> Option<device::Error> {
        self.policy.failure()
    }

    fn begin(&mut self, row: usize, start: &Start) {
        self.policy.begin(row, start);
        self.rows[row] = Row::begin(start.seed, self.normals.len());
    }

    fn act(
        &mut self,
        active: &[usize],
        observations: &[f64],
        last_rewards: &[f64],
        actions: &mut [f64],
    ) {
        self.policy.act(active, observations, last_rewards, actions);
        let width = self.normals.len();
        let [low, high] = &self.bounds;
        for &row in active {
            let Row { stream, last } = &mut self.rows[row];
            stream.fill_normal(&mut self.normals);
            let action = actions[row * width..][..width].iter_mut();
            for (at, (number, last)) in action.zip(last).enumerate() {
                *last = self.noise.next(*last, self.normals[at]);
                let half = 0.5 * (high[at] - low[at]);
                *number = (*number + half * *last).clamp(low[at], high[at]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Zeros in every row.
    struct Still;

    impl Policy for Still {
        fn begin(&mut self, _: usize, _: &Start) {}

        fn act(&mut self, _: &[usize], _: &[f64], _: &[f64], actions: &mut [f64]) {
            actions.fill(0.0);
        }
    }

    fn noisy(process: NoiseProcess, sigma: f64, bound: f64) -> WithActionNoise {
        let noise = ActionNoise { process, sigma };
        let bounds = [vec![-bound; 2], vec![bound; 2]];
        WithActionNoise::new(Box::new(Still), noise, bounds, 2)
    }

    fn begin(policy: &mut WithActionNoise, row: usize, seed: u64) {
        policy.begin(row, &Start { seed, target: None });
    }

    fn act(policy: &mut WithActionNoise, active: &[usize]) -> [f64; 4] {
        let mut actions = [0.0; 4];
        policy.act(active, &[], &[], &mut actions);
        actions
    }

    #[test]
    fn a_step_is_that_of_stable_baselines3() {
        let process = NoiseProcess::OrnsteinUhlenbeck;
        let noise = ActionNoise {
            process,
            sigma: 0.5,
        };
        // 0.8 + 0.15 (0 - 0.8) 0.01 + 0.5 sqrt(0.01) (-2)
        assert!((noise.next(0.8, -2.0) - 0.6988).abs() < 1e-12);
        let process = NoiseProcess::Gaussian;
        let noise = ActionNoise { process, ..noise };
        assert!((noise.next(0.8, -2.0) + 1.0).abs() < 1e-12);
    }

    #[test]
    fn it_has_the_moments_of_its_process() {
        // After k steps of x' = c x + s n the variance is s^2 (1 - c^2k) / (1 - c^2).
        let (keep, spread): (f64, f64) = (1.0 - 0.15 * 0.01, 0.5 * 0.1);
        let (episodes, steps) = (4000, 100);
        let (mut now, mut product) = (0.0, 0.0);
        let mut policy = noisy(NoiseProcess::OrnsteinUhlenbeck, 0.5, 100.0);
        for seed in 0..episodes {
            begin(&mut policy, 0, seed);
            let mut last = [0.0; 4];
            for step in 0..steps {
                let next = act(&mut policy, &[0]);
                if step == steps - 1 {
                    now += (next[0] / 100.0).powi(2);
                    product += next[0] * last[0] / 1e4;
                }
                last = next;
            }
        }
        let variance = |k: i32| spread.powi(2) * (1.0 - keep.powi(2 * k)) / (1.0 - keep.powi(2));
        let count = episodes as f64;
        // Six standard errors of a variance from 4000 numbers: 6 sqrt(2 / 4000).
        assert!((now / count / variance(steps) - 1.0).abs() < 0.135);
        assert!((product / count / (keep * variance(steps - 1)) - 1.0).abs() < 0.135);
    }

    #[test]
    fn a_row_follows_from_its_start_alone() {
        for process in [NoiseProcess::Gaussian, NoiseProcess::OrnsteinUhlenbeck] {
            let mut policy = noisy(process, 0.5, 1.0);
            begin(&mut policy, 0, 7);
            begin(&mut policy, 1, 8);
            let first: Vec<_> = (0..5).map(|_| act(&mut policy, &[0, 1])).collect();
            // The same episode in the other row, while the first one rests or plays another.
            begin(&mut policy, 1, 7);
            begin(&mut policy, 0, 9);
            for (step, expected) in first.iter().enumerate() {
                let active: &[usize] = if step % 2 == 0 { &[1] } else { &[0, 1] };
                let found = act(&mut policy, active);
                assert_eq!(found[2..], expected[..2], "{process:?}, step {step}");
            }
            assert_ne!(first[0][..2], first[0][2..], "each row has its own");
        }
    }

    #[test]
    fn actions_stay_within_their_bounds() {
        let noise = ActionNoise {
            process: NoiseProcess::Gaussian,
            sigma: 10.0,
        };
        let bounds = [vec![-1.0, 0.5], vec![3.0, 0.5]];
        let mut policy = WithActionNoise::new(Box::new(Still), noise, bounds, 1);
        begin(&mut policy, 0, 1);
        let mut reached = [false; 2];
        for _ in 0..50 {
            let mut actions = [0.0; 2];
            policy.act(&[0], &[], &[], &mut actions);
            assert!((-1.0..=3.0).contains(&actions[0]));
            assert!((actions[1] - 0.5).abs() < 1e-12, "a number without a range");
            reached[0] |= actions[0] <= -1.0;
            reached[1] |= actions[0] >= 3.0;
        }
        assert_eq!(reached, [true; 2]);
    }
}
