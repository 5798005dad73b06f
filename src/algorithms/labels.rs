//! Labels from a critic: what a model that is conditioned on returns learns from in place of the
//! sum of an episode's rewards.
//!
//! With V the value of a trained critic, T the steps of an episode and r its rewards:
//!
//! ```text
//! qdt        R[T-1] = r[T-1],  R[t] = r[t] + max(R[t+1], V(s[t+1]))
//! advantage  delta[t] = r[t] + gamma V(s[t+1]) - V(s[t]),  A[t] = delta[t] + gamma lambda A[t+1]
//! ```
//!
//! `qdt` is that of the Q-learning Decision Transformer (Yamagata et al. 2023), after
//! `takuyamagata/qdt_simple`, `train_cql_dt-model-v1.py`: where a critic knows a better
//! continuation than the episode had, its value takes the place of what followed. `advantage` is
//! the condition of the Advantage-Conditioned Transformer (Gao et al. 2024), after `LAMDA-RL/ACT`,
//! `acsl/buffer/act_buffer.py`: generalised advantage estimates. A terminal state has the value 0;
//! an episode that was truncated ends with the value of its last observation.

use std::path::PathBuf;

use rtg_datasets::{EpisodeView, LabelKind};
use serde::{Deserialize, Serialize};

use super::Critic;
use crate::keys::{Range, keys};
use rtg_kernels::mlp::Pool;

/// How labels are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelRule {
    /// Returns-to-go in which the critic's value replaces what followed, if it is larger.
    Qdt,
    /// Advantages of the episode's actions.
    Advantage,
}

keys! {
    /// Labels of a critic in place of returns-to-go, for algorithms that take targets.
    pub struct LabelsConfig = "labels", _any: ();

    /// The run of IQL or CQL on the same data whose last checkpoint is the critic. Required.
    critic: Option<PathBuf> = None, Range::Any, "", "";
    /// A hash of the critic's model and weights; another critic is refused. Default: measured.
    critic_hash: Option<String> = None, Range::Any, "", "";
    /// `qdt`: returns-to-go in which the value of a state replaces what followed it, if it is
    /// larger. `advantage`: generalised advantages; they and the targets stay constant in acting.
    rule: LabelRule = LabelRule::Qdt, Range::Words(&["qdt", "advantage"]), "",
        "qdt; advantage (ACT)";
    /// With `qdt`, whether only the last step of a window has its own label, and each step before
    /// it its reward plus the label after it. Not on a GPU.
    consistent: bool = true, Range::Any, "", "true (qdt)";
    /// With `advantage`, the decay of later differences: 0 is the difference of one step, 1 that of
    /// the rest of the episode.
    lambda: f64 = 0.0, Range::UNIT, "", "0 (ACT)";
}

impl LabelsConfig {
    /// What the labels are.
    pub fn kind(&self) -> LabelKind {
        match self.rule {
            LabelRule::Qdt => LabelKind::Return {
                consistent: self.consistent,
            },
            LabelRule::Advantage => LabelKind::Constant,
        }
    }

    /// The labels of an episode's steps, in units of its rewards.
    pub fn of_episode(&self, episode: EpisodeView, critic: &mut Critic, pool: &Pool) -> Vec<f64> {
        let values = critic.values(pool, episode.observations);
        let scale = critic.reward.scale;
        match self.rule {
            LabelRule::Qdt => {
                let values: Vec<f64> = values.iter().map(|value| value / scale).collect();
                raised_returns(episode.rewards, &values)
            }
            LabelRule::Advantage => {
                let rewards = episode.rewards.iter();
                let shift = critic.reward.shift;
                let rewards: Vec<f64> = rewards.map(|reward| scale * (reward + shift)).collect();
                let decays = (critic.discount, self.lambda);
                let advantages = advantages(&rewards, &values, episode.terminated, decays);
                advantages.into_iter().map(|label| label / scale).collect()
            }
        }
    }
}

/// Returns-to-go in which the value of the next state replaces those that are smaller: T numbers.
/// Of `values`, one for each observation, the first and the last do not matter.
pub fn raised_returns(rewards: &[f64], values: &[f64]) -> Vec<f64> {
    let mut returns = rewards.to_vec();
    for step in (1..returns.len()).rev() {
        returns[step - 1] += returns[step].max(values[step]);
    }
    returns
}

/// Generalised advantage estimates, T numbers, from the T + 1 values of an episode's observations;
/// (gamma, lambda).
pub fn advantages(
    rewards: &[f64],
    values: &[f64],
    terminated: bool,
    (discount, lambda): (f64, f64),
) -> Vec<f64> {
    let mut advantages = vec![0.0; rewards.len()];
    let (mut later, mut next) = (0.0, values.last().copied().unwrap_or(0.0));
    if terminated {
        next = 0.0;
    }
    let steps = advantages.iter_mut().zip(rewards).zip(values).rev();
    for ((advantage, reward), value) in steps {
        later = reward + discount * next - value + discount * lambda * later;
        *advantage = later;
        next = *value;
    }
    advantages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn a_value_replaces_what_followed_where_it_is_larger() {
        let rewards = [1.0, 0.0, 0.0, 0.0, 0.0, 5.0];
        let values = [0.0, 9.0, 0.0, 0.0, 0.0, 0.0, 99.0];
        let labels = raised_returns(&rewards, &values);
        assert_eq!(labels, [10.0, 5.0, 5.0, 5.0, 5.0, 5.0]);
        let none = raised_returns(&rewards, &[f64::NEG_INFINITY; 7]);
        assert_eq!(none, rtg_datasets::returns_to_go(&rewards, 1.0));
        assert_eq!(raised_returns(&[], &[1.0]), [0.0; 0]);
    }

    /// R[t] is the largest of the rewards up to some later state plus that state's value, or of all
    /// rewards.
    #[test]
    fn raised_returns_are_the_best_place_to_stop() {
        let mut stream = Stream::new(3, "labels");
        for steps in 1..12 {
            let mut numbers = vec![0.0; 2 * steps + 1];
            stream.fill_normal(&mut numbers);
            let numbers: Vec<f64> = numbers.into_iter().map(f64::from).collect();
            let (rewards, values) = numbers.split_at(steps);
            let labels = raised_returns(rewards, values);
            for (step, label) in labels.iter().enumerate() {
                let sum = |end: usize| rewards[step..end].iter().sum::<f64>();
                let stops = (step + 1..steps).map(|end| sum(end) + values[end]);
                let best = stops.fold(sum(steps), f64::max);
                assert!((label - best).abs() < 1e-12, "{steps} {step}");
            }
        }
    }

    #[test]
    fn advantages_are_weighted_sums_of_one_step_differences() {
        let mut stream = Stream::new(4, "labels");
        let (steps, discount) = (7, 0.9);
        let mut numbers = vec![0.0; 2 * steps + 1];
        stream.fill_normal(&mut numbers);
        let numbers: Vec<f64> = numbers.into_iter().map(f64::from).collect();
        let (rewards, values) = numbers.split_at(steps);
        for (terminated, lambda) in [(false, 0.0), (true, 0.7), (false, 1.0)] {
            let found = advantages(rewards, values, terminated, (discount, lambda));
            let mut values = values.to_vec();
            if terminated {
                values[steps] = 0.0;
            }
            for (step, found) in found.iter().enumerate() {
                let differences = (step..steps).map(|at| {
                    let difference = rewards[at] + discount * values[at + 1] - values[at];
                    (discount * lambda).powi((at - step) as i32) * difference
                });
                assert!((found - differences.sum::<f64>()).abs() < 1e-12);
            }
        }
        // With lambda 1: the return of the rest, and the value at its end, less the value here.
        let all = advantages(&[1.0, 2.0], &[10.0, 20.0, 30.0], false, (0.5, 1.0));
        assert_eq!(all, [1.0 + 1.0 + 7.5 - 10.0, 2.0 + 15.0 - 20.0]);
    }
}
