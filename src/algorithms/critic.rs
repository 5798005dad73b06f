//! A trained critic as a value function of states.

use rtg_datasets::Normaliser;
use rtg_datasets::sample::{RewardTransform, TransitionConfig};

use rtg_kernels::mlp::{Network, Pool};

/// Computes the values of rows of observations, one for each row.
pub(super) type Compute = dyn FnMut(&Pool, &[f32], usize) -> Vec<f32>;

/// The value function of a trained critic.
pub struct Critic {
    /// The discount of one step.
    pub discount: f64,
    /// The transformation of the rewards whose discounted sum the values are.
    pub reward: RewardTransform,
    /// Numbers in an observation.
    observation: usize,
    normaliser: Option<Normaliser>,
    compute: Box<Compute>,
}

impl Critic {
    /// The values that `compute` returns for normalised observations, learned from transitions of
    /// this form.
    pub(super) fn new(
        transitions: &TransitionConfig,
        (observation, normaliser): (usize, Option<Normaliser>),
        compute: Box<Compute>,
    ) -> Self {
        Self {
            discount: transitions.discount,
            reward: transitions.reward,
            observation,
            normaliser,
            compute,
        }
    }

    /// The value of each row of observations as they are stored. A row's bits depend neither on the
    /// other rows nor on the number of threads.
    pub fn values(&mut self, pool: &Pool, observations: &[f64]) -> Vec<f64> {
        let rows = observations.len() / self.observation.max(1);
        let mut seen = vec![0.0; observations.len()];
        match &self.normaliser {
            Some(normaliser) => normaliser.apply(observations, &mut seen),
            None => Normaliser::identity(self.observation).apply(observations, &mut seen),
        }
        let values = (self.compute)(pool, &seen, rows);
        values.into_iter().map(f64::from).collect()
    }
}

/// The values of a network of the observation alone with one output.
pub(super) fn of_network(mut network: Network) -> Box<Compute> {
    Box::new(move |pool, observations, rows| {
        let mut values = vec![0.0; rows];
        network.infer(pool, &[observations], &mut values);
        values
    })
}
