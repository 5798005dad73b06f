//! The newest steps of several environments, for on-policy learners.

use rtg_datasets::sample::Experience;
use serde::{Deserialize, Serialize};

use super::Fresh;
use crate::nn::state_dict::Entry;
use crate::random::Stream;

/// T steps of each of E environments stepped together: row t E + e is environment e's step t.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trajectories {
    /// E, the number of environments.
    pub environments: usize,
    /// Rows x S.
    pub observations: Vec<f32>,
    /// Rows x A, the policy's choices in its network's units.
    pub actions: Vec<f32>,
    /// Rows.
    pub rewards: Vec<f32>,
    /// Rows x S, the observation after the step; at an episode's end its last observation.
    pub next_observations: Vec<f32>,
    /// Rows: 1 where the step reached a terminal state, else 0.
    pub terminated: Vec<f32>,
    /// Rows: 1 where the episode was truncated, else 0.
    pub truncated: Vec<f32>,
}

impl Trajectories {
    /// Number of steps.
    pub fn rows(&self) -> usize {
        self.rewards.len()
    }

    /// Adds a step without its action.
    fn push(&mut self, step: &Experience<'_>) {
        let numbers = |numbers: &[f64]| -> Vec<f32> { numbers.iter().map(|&x| x as f32).collect() };
        let flag = |is_set: bool| f32::from(u8::from(is_set));
        self.observations.extend(numbers(step.observation));
        self.rewards.push(step.reward as f32);
        self.next_observations
            .extend(numbers(step.next_observation));
        self.terminated.push(flag(step.terminated));
        self.truncated.push(flag(step.truncated));
    }

    fn columns(&mut self) -> [(&'static str, &mut Vec<f32>); 6] {
        [
            ("observations", &mut self.observations),
            ("actions", &mut self.actions),
            ("rewards", &mut self.rewards),
            ("next_observations", &mut self.next_observations),
            ("terminated", &mut self.terminated),
            ("truncated", &mut self.truncated),
        ]
    }
}

/// Collects [`Trajectories`] until they are complete.
pub struct FreshSource {
    needs: Fresh,
    trajectories: Trajectories,
    pub(super) stream: Stream,
}

/// The sizes of its state in a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreshInfo {
    /// S, numbers in an observation.
    observation: usize,
    /// A, numbers in an action.
    action: usize,
    /// Steps.
    rows: usize,
}

impl FreshSource {
    /// An empty source. `stream` is for the learner's random numbers.
    pub fn new(needs: Fresh, stream: Stream) -> Self {
        Self {
            trajectories: Trajectories {
                environments: needs.environments,
                ..Trajectories::default()
            },
            needs,
            stream,
        }
    }

    /// Adds a step without its action, which is added by [`FreshSource::chosen`].
    pub fn push(&mut self, step: &Experience<'_>) {
        self.trajectories.push(step);
    }

    /// Adds the actions of the steps that were pushed last: see
    /// [`Policy::chosen`](crate::policy::Policy::chosen).
    pub fn chosen(&mut self, actions: &[f32]) {
        self.trajectories.actions.extend_from_slice(actions);
    }

    /// Whether it has all steps of an update.
    pub fn is_complete(&self) -> bool {
        self.trajectories.rows() == self.needs.environments * self.needs.steps
    }

    /// The steps, and the generator of random numbers drawn while learning from them.
    pub fn parts(&mut self) -> (&Trajectories, &mut Stream) {
        (&self.trajectories, &mut self.stream)
    }

    /// Discards the steps.
    pub fn clear(&mut self) {
        for (_, column) in self.trajectories.columns() {
            column.clear();
        }
    }

    /// Its state, for a checkpoint.
    pub fn state(&self) -> (Vec<Entry>, FreshInfo) {
        let mut trajectories = self.trajectories.clone();
        let rows = trajectories.rows();
        let width = |numbers: &[f32]| numbers.len().checked_div(rows).unwrap_or_default();
        let info = FreshInfo {
            observation: width(&trajectories.observations),
            action: width(&trajectories.actions),
            rows,
        };
        let columns = trajectories.columns();
        let entries = columns.map(|(name, values)| Entry::vector(&tensor(name), values));
        (entries.into(), info)
    }

    /// Restores a state with observations of this width; `column` reads one of its tensors. Returns
    /// none if the sizes do not fit.
    ///
    /// # Errors
    /// Those of `column`.
    pub fn restore<E>(
        &mut self,
        info: FreshInfo,
        observation: usize,
        mut column: impl FnMut(&str) -> Result<Vec<f32>, E>,
    ) -> Result<Option<()>, E> {
        let most = self.needs.environments * self.needs.steps;
        let mut fits = info.rows <= most && (info.observation == observation || info.rows == 0);
        for (name, values) in self.trajectories.columns() {
            *values = column(&tensor(name))?;
            let width = match name {
                "observations" | "next_observations" => info.observation,
                "actions" => info.action,
                _ => 1,
            };
            fits &= values.len() == info.rows * width;
        }
        Ok(fits.then_some(()))
    }
}

/// A column in a checkpoint.
fn tensor(column: &str) -> String {
    format!("rtg.trajectories.{column}")
}
