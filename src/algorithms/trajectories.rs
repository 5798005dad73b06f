//! The newest steps of some environments, for learners that learn from each step once.

use rtg_datasets::sample::Experience;
use serde::{Deserialize, Serialize};

use super::Fresh;
use crate::nn::state_dict::Entry;
use crate::random::Stream;

/// T steps of each of E environments that step in turns: row t E + e is environment e's step t.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trajectories {
    /// E.
    pub environments: usize,
    /// Rows x S.
    pub observations: Vec<f32>,
    /// Rows x A, as the policy chose them, in its network's units.
    pub actions: Vec<f32>,
    /// Rows.
    pub rewards: Vec<f32>,
    /// Rows x S: what came of the step, at an episode's end its last observation.
    pub next_observations: Vec<f32>,
    /// Rows: 1 where the step reached a terminal state, else 0.
    pub terminated: Vec<f32>,
    /// Rows: 1 where the episode was cut off, else 0.
    pub truncated: Vec<f32>,
}

impl Trajectories {
    /// Steps that it holds.
    pub fn rows(&self) -> usize {
        self.rewards.len()
    }

    /// Adds a step, but for its action.
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

/// Fills [`Trajectories`], and hands them out when they are complete.
pub struct FreshSource {
    needs: Fresh,
    trajectories: Trajectories,
    pub(super) stream: Stream,
}

/// The sizes of what a checkpoint holds of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreshInfo {
    /// S.
    observation: usize,
    /// A.
    action: usize,
    /// Steps.
    rows: usize,
}

impl FreshSource {
    /// An empty one. `stream` is for what the learner draws.
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

    /// Adds a step, but for its action: see [`FreshSource::chosen`].
    pub fn push(&mut self, step: &Experience<'_>) {
        self.trajectories.push(step);
    }

    /// Adds the actions of the steps that were pushed last: see
    /// [`Policy::chosen`](crate::policy::Policy::chosen).
    pub fn chosen(&mut self, actions: &[f32]) {
        self.trajectories.actions.extend_from_slice(actions);
    }

    /// Whether it holds all steps of an update.
    pub fn is_complete(&self) -> bool {
        self.trajectories.rows() == self.needs.environments * self.needs.steps
    }

    /// The steps, and the generator of what is drawn while learning from them.
    pub fn parts(&mut self) -> (&Trajectories, &mut Stream) {
        (&self.trajectories, &mut self.stream)
    }

    /// Throws the steps away.
    pub fn clear(&mut self) {
        for (_, column) in self.trajectories.columns() {
            column.clear();
        }
    }

    /// What a checkpoint holds of it.
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

    /// Takes on a state of observations of this width; `column` reads a tensor of it. None if the
    /// sizes do not fit.
    ///
    /// # Errors
    /// What `column` says.
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
