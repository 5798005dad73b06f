//! A batch of transitions.

use crate::sample::actions::{ActionUnits, one_hot};

/// `B` transitions. Reuse one batch: it allocates when it grows only.
///
/// The target of a value function is `rewards + discounts * (1 - terminated) * V(next)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transitions {
    /// `B x S`, normalised.
    pub observations: Vec<f32>,
    /// `B x A` in the model's units; for discrete actions one-hot rows, `A = n`.
    pub actions: Vec<f32>,
    /// `B`: the index of each discrete action. Empty for continuous ones.
    pub labels: Vec<u32>,
    /// `B`: transformed rewards, summed up with the discount over the steps of the transition.
    pub rewards: Vec<f32>,
    /// `B x S`, normalised: the observation after the last of these steps.
    pub next_observations: Vec<f32>,
    /// `B`: 1 where that observation is of a terminal state, else 0. 0 for a time limit.
    pub terminated: Vec<f32>,
    /// `B`: the discount to the power of the number of steps.
    pub discounts: Vec<f32>,
    /// `B x A`: the action that followed, 0 after a terminal state. Empty if not requested.
    pub next_actions: Vec<f32>,
    /// `B`: the discounted return from the row on. Empty if not requested.
    pub returns_to_go: Vec<f32>,
    /// `B`.
    pub rows: usize,
}

/// The columns of a batch.
#[derive(Clone, Debug)]
pub(in crate::sample) struct Shape {
    /// `S`.
    pub(in crate::sample) observation: usize,
    pub(in crate::sample) actions: ActionUnits,
    pub(in crate::sample) has_next_actions: bool,
    pub(in crate::sample) has_returns: bool,
}

impl Transitions {
    /// Appends the rows of another batch, as of a second sampler.
    ///
    /// # Panics
    /// If both have rows, and not the same columns and widths.
    pub fn append(&mut self, other: &Self) {
        let widths = |batch: &Self| {
            [
                batch.observations.len(),
                batch.actions.len(),
                batch.labels.len(),
                batch.next_actions.len(),
                batch.returns_to_go.len(),
            ]
            .map(|numbers| numbers.checked_div(batch.rows))
        };
        assert!(
            self.rows == 0 || other.rows == 0 || widths(self) == widths(other),
            "batches of one kind"
        );
        self.observations.extend(&other.observations);
        self.actions.extend(&other.actions);
        self.labels.extend(&other.labels);
        self.rewards.extend(&other.rewards);
        self.next_observations.extend(&other.next_observations);
        self.terminated.extend(&other.terminated);
        self.discounts.extend(&other.discounts);
        self.next_actions.extend(&other.next_actions);
        self.returns_to_go.extend(&other.returns_to_go);
        self.rows += other.rows;
    }

    /// Resizes the batch, without allocation if it has had these sizes before.
    pub(in crate::sample) fn shape(&mut self, rows: usize, shape: &Shape) {
        let (s, a) = (shape.observation, shape.actions.width());
        let if_asked = |asked: bool, numbers: usize| if asked { numbers } else { 0 };
        self.observations.resize(rows * s, 0.0);
        self.actions.resize(rows * a, 0.0);
        let labels = if_asked(shape.actions.is_discrete(), rows);
        self.labels.resize(labels, 0);
        self.rewards.resize(rows, 0.0);
        self.next_observations.resize(rows * s, 0.0);
        self.terminated.resize(rows, 0.0);
        self.discounts.resize(rows, 0.0);
        let next_actions = if_asked(shape.has_next_actions, rows * a);
        self.next_actions.resize(next_actions, 0.0);
        let returns = if_asked(shape.has_returns, rows);
        self.returns_to_go.resize(returns, 0.0);
        self.rows = rows;
    }

    /// Writes an action in the model's units, a discrete one as the index of its choice.
    pub(in crate::sample) fn put_action(
        &mut self,
        row: usize,
        action: &[f32],
        units: &ActionUnits,
    ) {
        let a = units.width();
        let own = &mut self.actions[row * a..(row + 1) * a];
        if units.is_discrete() {
            one_hot(action[0], own);
            self.labels[row] = action[0] as u32;
        } else {
            own.copy_from_slice(action);
        }
    }
}
