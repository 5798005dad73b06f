//! The computation of a greedy policy, from an environment's observations to its actions: all that
//! an export needs.

use rtg_datasets::Normaliser;

use super::ActionCodec;
use super::actor_policy::Decision;
use super::networks::Shared;
use crate::nn::state_dict::{Entry, Naming};
use rtg_kernels::decision_transformer::{self, position};
use rtg_kernels::mlp;

/// The computation of a greedy policy.
#[derive(Clone, Debug)]
pub enum Computation {
    /// From the last observations.
    Perceptron(Perceptron),
    /// From the last observations, actions and returns-to-go.
    Sequence(Sequence),
}

impl Computation {
    /// With a network whose last input is the target over `divisor`.
    pub(super) fn with_target(mut self, divisor: f64) -> Self {
        if let Self::Perceptron(perceptron) = &mut self {
            perceptron.target_divisor = Some(divisor);
        }
        self
    }

    /// The number of parameters.
    pub fn parameters(&self) -> usize {
        match self {
            Self::Perceptron(perceptron) => perceptron.parameters.len(),
            Self::Sequence(sequence) => sequence.parameters.len(),
        }
    }
}

/// A small network with its pre- and postprocessing.
#[derive(Clone, Debug)]
pub struct Perceptron {
    /// Sizes of the network. Its input is as many observations as fit, the newest last; those
    /// before an episode's first are zeros, after normalisation.
    pub shape: mlp::Shape,
    /// Its weights, see [`mlp::Layout`].
    pub parameters: Vec<f32>,
    /// Numbers in an observation.
    pub observation: usize,
    /// Of observations.
    pub normaliser: Option<Normaliser>,
    /// How outputs become actions in the network's units.
    pub rule: Rule,
    /// Converts those to the environment's units.
    pub actions: ActionCodec,
    /// The bounds of an action, if outputs may exceed them.
    pub bounds: Option<[Vec<f64>; 2]>,
    /// The target divided by this is the network's last input, for policies with a target.
    pub target_divisor: Option<f64>,
}

/// How outputs become greedy actions: the numbers of a box, or a value for each discrete action, of
/// which the largest is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// The outputs are the actions.
    Outputs,
    /// `scale` tanh of the first A outputs.
    Tanh {
        /// The largest action.
        scale: f32,
    },
    /// Values of actions, each the mean of its quantiles, A x N; or A advantages and a state value:
    /// V + adv - mean adv.
    Values {
        /// N.
        quantiles: usize,
        /// Whether the outputs are advantages and a state value.
        dueling: bool,
    },
    /// The first member's values of those actions that are likely enough according to the second
    /// member.
    Constrained {
        /// The least likelihood, relative to the likeliest action.
        threshold: f64,
        /// The value of other actions.
        ruled_out: f32,
    },
}

/// A Decision Transformer with its pre- and postprocessing.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Sizes of the network.
    pub shape: decision_transformer::Shape,
    /// Its weights, see [`decision_transformer::Layout`].
    pub parameters: Vec<f32>,
    /// Weights of the published code that are not trained.
    pub untrained: Vec<Entry>,
    /// Names of the published code.
    pub naming: Naming,
    /// Of observations.
    pub normaliser: Normaliser,
    /// Returns-to-go are divided by this.
    pub return_scale: f64,
    /// Timesteps are clamped to the last one below this.
    pub episode_length: usize,
    /// Whether rewards are not subtracted from the target.
    pub constant_target: bool,
    /// Actions.
    pub actions: ActionCodec,
}

impl Sequence {
    /// The same computation without a vector that every token gets: it is in the bias of the
    /// embedding's norm.
    #[must_use]
    pub fn merged(&self) -> Self {
        let (shape, parameters) = position::merged(&self.shape, &self.parameters);
        Self {
            shape,
            parameters,
            ..self.clone()
        }
    }
}

/// The computation of an actor, if its decision can be expressed as a [`Rule`].
pub(super) fn of_actor(
    (actor, decision): (&Shared, &impl Decision),
    observation: usize,
    normaliser: Option<&Normaliser>,
    actions: &ActionCodec,
    bounds: Option<&[Vec<f64>; 2]>,
) -> Option<Computation> {
    let rule = decision.rule()?;
    let network = actor.lock();
    Some(Computation::Perceptron(Perceptron {
        shape: network.shape().clone(),
        parameters: network.parameters().to_vec(),
        observation,
        normaliser: normaliser.cloned(),
        rule,
        actions: actions.clone(),
        bounds: bounds.cloned(),
        target_divisor: None,
    }))
}
