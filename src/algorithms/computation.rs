//! What a greedy policy computes, from an environment's numbers to its actions: all that another
//! program's format needs.

use rtg_datasets::Normaliser;

use super::ActionCodec;
use super::actor_policy::Decision;
use super::networks::Shared;
use crate::kernels::{decision_transformer, mlp};
use crate::nn::state_dict::{Entry, Naming};

/// What a greedy policy computes.
#[derive(Clone, Debug)]
pub enum Computation {
    /// From the last observations.
    Perceptron(Perceptron),
    /// From the last observations, actions and returns-to-go.
    Sequence(Sequence),
}

impl Computation {
    /// How many numbers its parameters are.
    pub fn parameters(&self) -> usize {
        match self {
            Self::Perceptron(perceptron) => perceptron.parameters.len(),
            Self::Sequence(sequence) => sequence.parameters.len(),
        }
    }
}

/// A small network with what stands before and behind it.
#[derive(Clone, Debug)]
pub struct Perceptron {
    /// Sizes of the network. It takes as many observations as its input holds, the newest last;
    /// those before an episode's first are zeros behind the normaliser.
    pub shape: mlp::Shape,
    /// Its weights, see [`mlp::Layout`].
    pub parameters: Vec<f32>,
    /// Numbers in an observation.
    pub observation: usize,
    /// Of observations.
    pub normaliser: Option<Normaliser>,
    /// From outputs to actions in the network's units.
    pub rule: Rule,
    /// From there to the environment's.
    pub actions: ActionCodec,
    /// The least and the largest numbers of an action, where choices may lie beyond.
    pub bounds: Option<[Vec<f64>; 2]>,
}

/// How outputs become greedy actions: numbers of a box, or one number for each choice, of which the
/// largest is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// The outputs are the actions.
    Outputs,
    /// `scale` tanh of the first A outputs.
    Tanh {
        /// The largest action.
        scale: f32,
    },
    /// Values of actions, each the mean of some quantiles, A x N; or A advantages and a value of the
    /// state, V + adv - mean adv.
    Values {
        /// N.
        quantiles: usize,
        /// Advantages and a value.
        dueling: bool,
    },
    /// The first member's values of actions that the second holds to be at least so likely beside the
    /// likeliest.
    Constrained {
        /// Likelihoods must lie above.
        threshold: f64,
        /// The value of other actions.
        ruled_out: f32,
    },
}

/// A Decision Transformer with what stands before and behind it.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Sizes of the network.
    pub shape: decision_transformer::Shape,
    /// Its weights, see [`decision_transformer::Layout`].
    pub parameters: Vec<f32>,
    /// Weights of the published code that are never trained.
    pub untrained: Vec<Entry>,
    /// Names of the published code.
    pub naming: Naming,
    /// Of observations.
    pub normaliser: Normaliser,
    /// Returns-to-go are divided by this.
    pub return_scale: f64,
    /// Time steps are below this; later ones count as the last.
    pub episode_length: usize,
    /// Actions.
    pub actions: ActionCodec,
}

/// What an actor computes, if its rule is one of [`Rule`].
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
    }))
}
