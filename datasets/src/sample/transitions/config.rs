//! Which rows an episode has, and their content.

use serde::{Deserialize, Serialize};

use crate::sample::actions::{ActionMap, ActionUnits};
use crate::{Dataset, EpisodeView, Error, Normaliser};

/// More steps than this are not summed up in one transition.
const MAX_N_STEP: usize = 1000;

/// How to treat the last step of an episode that did not end in a terminal state: a time limit cut
/// it off, or its recording stops there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TruncatedLast {
    /// It is a row like any other, with the observation after it as the next one. Only where the
    /// file has no such observation (D4RL without `next_observations`, d3rlpy) is it omitted.
    #[default]
    Keep,
    /// It is omitted, as in D4RL's `qlearning_dataset`, which CORL and the authors' codes use; also
    /// if a terminal state was reached in the same step.
    Drop,
}

/// `scale * (reward + shift)`. `AntMaze`'s usual `r - 1` is a shift of -1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewardTransform {
    /// Multiplies the shifted reward; not 0.
    pub scale: f64,
    /// Is added first.
    pub shift: f64,
}

impl Default for RewardTransform {
    fn default() -> Self {
        Self {
            scale: 1.0,
            shift: 0.0,
        }
    }
}

impl RewardTransform {
    pub(in crate::sample) fn apply(self, reward: f64) -> f64 {
        self.scale * (reward + self.shift)
    }
}

/// The discounted return from each row on, which Cal-QL takes as a lower bound of its values
/// (Nakamoto et al. 2023). Of the transformed rewards, over the rows that are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReturnsToGo {
    /// Not in the batch.
    #[default]
    Off,
    /// The discounted sum up to the end of the episode.
    Discounted,
    /// The same, but `r / (1 - discount)` in an episode in which every reward is `r`, the least of
    /// the dataset: one that never succeeds in a task of sparse rewards would continue to fail.
    Sparse,
}

/// How transitions are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransitionConfig {
    /// Whether the last step of a truncated episode is a row.
    pub truncated_last: TruncatedLast,
    /// Steps whose rewards are summed up in a transition, from 1 to 1000; fewer where the episode
    /// ends before.
    pub n_step: usize,
    /// The discount of one step, 0 to 1.
    pub discount: f64,
    /// Applied to each reward before anything is summed up.
    pub reward: RewardTransform,
    /// Actions are cut off at plus and minus this, in the model's units; not for discrete ones.
    /// IQL's authors use `1 - 1e-5`, since the inverse of tanh is infinite at 1.
    pub action_clip: Option<f64>,
    /// Whether the batch has the action after each transition (`ReBRAC`). The last step of a
    /// truncated episode has none and is then omitted.
    pub next_actions: bool,
    /// Whether the batch has returns-to-go.
    pub returns_to_go: ReturnsToGo,
    /// The map of continuous actions into the model's units. `None`: as they are stored.
    pub action_map: Option<ActionMap>,
}

impl Default for TransitionConfig {
    fn default() -> Self {
        Self {
            truncated_last: TruncatedLast::Keep,
            n_step: 1,
            discount: 0.99,
            reward: RewardTransform::default(),
            action_clip: None,
            next_actions: false,
            returns_to_go: ReturnsToGo::Off,
            action_map: None,
        }
    }
}

impl TransitionConfig {
    /// The statistics of the observations of the rows that are used, as CORL computes them: mean
    /// and population standard deviation, plus [`Normaliser::TRANSITION_EPSILON`]. Next
    /// observations do not count.
    pub fn normaliser(&self, dataset: &Dataset) -> Normaliser {
        Normaliser::of_rows(
            dataset,
            Normaliser::TRANSITION_EPSILON,
            &self.lengths(dataset),
        )
    }

    /// How many rows, from its first step on, each episode has.
    pub(in crate::sample) fn lengths(&self, dataset: &Dataset) -> Vec<usize> {
        let s = dataset.observation_width();
        let mut findings = dataset.findings().iter();
        let repeats = findings.any(|finding| finding.code == "repeated-final-observation");
        // A reader without the last observation repeats the one before it.
        let is_real = |episode: &EpisodeView<'_>| {
            let last = &episode.observations[(episode.len() - 1) * s..];
            let (before, after) = last.split_at(s);
            !repeats || before != after
        };
        let is_row = |episode: &EpisodeView<'_>| match self.truncated_last {
            TruncatedLast::Drop => episode.terminated && !episode.truncated,
            TruncatedLast::Keep => episode.terminated || !self.next_actions && is_real(episode),
        };
        let length = |episode: EpisodeView<'_>| episode.len() - usize::from(!is_row(&episode));
        dataset.iter().map(length).collect()
    }

    /// Checks the numbers.
    pub(in crate::sample) fn check(&self, actions: &ActionUnits) -> Result<(), Error> {
        let fail = |reason: String| Err(Error::Sampling(reason));
        let RewardTransform { scale, shift } = self.reward;
        if !(1..=MAX_N_STEP).contains(&self.n_step) {
            return fail(format!(
                "n_step must be between 1 and {MAX_N_STEP}, not {}",
                self.n_step
            ));
        }
        if !(0.0..=1.0).contains(&self.discount) {
            return fail(format!(
                "discount must be between 0 and 1, not {}",
                self.discount
            ));
        }
        if !scale.is_finite() || scale == 0.0 || !shift.is_finite() {
            return fail(format!(
                "rewards have the scale {scale} and the shift {shift}"
            ));
        }
        if self.returns_to_go == ReturnsToGo::Sparse && self.discount >= 1.0 {
            return fail("sparse returns-to-go need a discount below 1".into());
        }
        match self.action_clip {
            Some(bound) if !(bound > 0.0 && bound.is_finite()) => {
                fail(format!("actions are cut off at {bound}"))
            }
            Some(_) if actions.is_discrete() => fail("discrete actions cannot be cut off".into()),
            _ => Ok(()),
        }
    }

    /// Cuts actions in the model's units off.
    pub(in crate::sample) fn clip(&self, actions: &mut [f32]) {
        if let Some(bound) = self.action_clip {
            let bound = bound as f32;
            for action in actions {
                *action = action.clamp(-bound, bound);
            }
        }
    }
}
