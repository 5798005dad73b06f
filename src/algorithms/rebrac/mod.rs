//! ReBRAC (Tarasov et al. 2023): TD3+BC with separate penalties on deviating from the data in the
//! actor's loss and in the critics' target, and layer norms in the critics.
//!
//! Actor pi and twin critics Q are perceptrons; each has a target, marked by '. A critic's hidden
//! layer is linear, `ReLU`, `LayerNorm`. With a+ the action that follows in the data and e from
//! N(0, 1), an update computes
//!
//! ```text
//! a'   = clip(pi'(s') + clip(0.2 e, -0.5, 0.5), -1, 1)
//! y    = r + gamma (1 - terminated) (min_j Q_j'(s', a') - beta_2 |a' - a+|^2)
//! L_Q  = mean (Q_1(s, a) - y)^2 + mean (Q_2(s, a) - y)^2
//! L_pi = mean (beta_1 |pi(s) - a|^2 - lambda min_j Q_j(s, pi(s))),  lambda = 1 / mean |min_j Q_j|
//! ```
//!
//! and steps the critics. The first of every `policy_delay` updates also steps the actor, with the
//! new critics, and moves the targets: the critics' towards the new critics, the actor's towards
//! the actor as it was before its step. That lag is in the published code (`DT6A/ReBRAC`, CORL's
//! `algorithms/offline/rebrac.py`), so it is reproduced. Noise: rows x A in each update.
//!
//! d3rlpy (`d3rlpy/algos/qlearning/torch/rebrac_impl.py`) has no lag, adds 1e-5 to the variance in
//! its layer norms (CORL 1e-6), and starts with PyTorch's weights instead of small last layers.

pub mod config;
mod update;

use self::config::Config;
use self::update::{Scratch, Step};
use super::actor_critic::deterministic::Tanh;
use super::actor_critic::update::beside_data;
use super::actor_critic::{self, ACTOR, Initial, MadeOf, Method, Noise, Parts, Work};
use super::conventions::OfflineConventions;
use super::networks::{Products, Trained};
use super::vector::TrainedVector;
use super::{Card, Input, Needs, Update};
use crate::keys::Keys;
use crate::nn::initialise::{BiasFill, LayerFill, WeightFill};
use rtg_kernels::mlp::{Norm, Place, Shape};

/// ReBRAC.
pub struct Rebrac;

/// Trains ReBRAC's networks.
pub type Learner = actor_critic::Learner<Rebrac>;

/// Added to a layer norm's variance: Flax's default, and PyTorch's.
fn epsilon(code: OfflineConventions) -> f32 {
    code.pick(1e-6, 1e-5)
}

fn code(made_of: &MadeOf<Config>) -> OfflineConventions {
    OfflineConventions::named(&made_of.recipe)
}

impl Method for Rebrac {
    type Config = Config;
    type Decision = Tanh;
    type Networks = [Trained; 2];
    type Vectors = [TrainedVector; 0];
    type Scratch = Scratch;

    const CARD: Card = Card {
        name: "rebrac",
        summary: "ReBRAC: TD3+BC with penalties in actor and critics, and layer norms",
        input: Input::Transitions,
        continuous: true,
        discrete: false,
        takes_target: false,
        cuda: false,
        recipes: OfflineConventions::RECIPES,
        former_tables: &[],
    };
    const NOISE: &'static str = "target noise";

    fn keys() -> Keys {
        Config::KEYS
    }

    fn config(recipe: &str) -> Config {
        Config::of(recipe)
    }

    fn normalises(config: &Config) -> bool {
        config.normalise
    }

    fn needs(made_of: &MadeOf<Config>) -> Needs<'_> {
        actor_critic::offline!(made_of, made_of.config.reward_scale, next_actions: true,)
    }

    fn actor(made_of: &MadeOf<Config>) -> Shape {
        let Config { width, layers, .. } = made_of.config;
        made_of.of_observations(width, layers, made_of.actions.width())
    }

    fn parts(made_of: &MadeOf<Config>, initial: &mut Initial<'_>) -> Parts<Self> {
        let fill = |bound| match code(made_of) {
            OfflineConventions::Corl => [
                LayerFill {
                    weight: WeightFill::Default,
                    bias: BiasFill::Constant(0.1),
                },
                LayerFill {
                    weight: WeightFill::Uniform(bound),
                    bias: BiasFill::Uniform(bound),
                },
            ],
            OfflineConventions::D3rlpy => [LayerFill::DEFAULT; 2],
        };
        let mut network = |name, shape: Shape, bound| {
            Trained::new(name, &shape, initial(&shape, fill(bound)), true)
        };
        let actor = network(ACTOR, Self::actor(made_of), 1e-3);
        Parts {
            networks: [actor, network("critic", critics(made_of), 3e-3)],
            vectors: [],
        }
    }

    fn decision(made_of: &MadeOf<Config>, _vectors: &[Vec<f32>]) -> Tanh {
        Tanh {
            scale: 1.0,
            noise: made_of.config.exploration_noise as f32,
        }
    }

    fn update(
        work: &Work<Self>,
        parts: &mut Parts<Self>,
        noise: &mut Noise<'_>,
        scratch: &mut Scratch,
    ) -> Update {
        Step { work, parts }.run(noise, scratch)
    }

    /// The actor's distance from the data's actions, and the first critic's values of both.
    fn validate(
        work: &Work<Self>,
        parts: &mut Parts<Self>,
        _scratch: &mut Scratch,
    ) -> Vec<(&'static str, f64)> {
        let [actor, critics] = &parts.networks;
        let decision = Self::decision(work.made_of, &[]);
        let [error, q, q_policy] = beside_data(work, [actor, critics], &decision);
        vec![("squared_error", error), ("q", q), ("q_policy", q_policy)]
    }

    /// Only the smaller of the two critics has a gradient with respect to the action.
    fn operations(made_of: &MadeOf<Config>) -> f64 {
        let actor = Products::of(&Self::actor(made_of));
        let critic = Products::of(&critics(made_of));
        let [s, a] = made_of.widths().map(|width| width as f64);
        let targets = actor.all + 2.0 * critic.all;
        let policy = actor.learning() + critic.all + critic.to_input(a / (s + a));
        let each = targets + 2.0 * critic.learning() + policy / made_of.config.policy_delay as f64;
        2.0 * made_of.config.batch_size as f64 * each
    }
}

fn critics(made_of: &MadeOf<Config>) -> Shape {
    let Config {
        width,
        layers,
        critic_norm,
        ..
    } = made_of.config;
    Shape {
        norm: critic_norm.then_some(Norm {
            place: Place::AfterActivation,
            epsilon: epsilon(code(made_of)),
        }),
        ..made_of.critics(width, layers, 2)
    }
}
