//! AWAC, advantage-weighted actor-critic (Nair et al. 2020): critics of the actor's own actions,
//! and an actor that clones the data's actions, weighted by their advantages.
//!
//! Twin critics Q with targets Q' and a Gaussian actor pi are perceptrons; the actor's mean is its
//! network's output, its standard deviations are free parameters. With a' and a~ drawn from pi(s')
//! and pi(s) and clipped to [-1, 1], an update computes
//!
//! ```text
//! y    = r + gamma (1 - terminated) min_j Q_j'(s', a')
//! L_Q  = mean (Q_1(s, a) - y)^2 + mean (Q_2(s, a) - y)^2
//! A    = min_j Q_j(s, a) - min_j Q_j(s, a~)         with the critics after their step
//! w    = min(exp(A / lambda), 100)        or, of the softmax, rows softmax(A / lambda)
//! L_pi = mean w (-log pi(a | s))
//! ```
//!
//! and moves the targets. Noise: rows x A at the next observations, then at the observations. After
//! CORL's `algorithms/offline/awac.py`; the authors' code in rlkit uses the softmax. The greedy
//! action is the mean, which may be outside [-1, 1]; the environment decides what it does then.
//!
//! d3rlpy (`d3rlpy/algos/qlearning/torch/awac_impl.py`) differs in more than default values:
//!
//! | | `corl` | `d3rlpy` |
//! |---|---|---|
//! | mean | the outputs z | tanh z |
//! | log sigma | p, clamped to -20..2 | -6 + 6 sigmoid(p) |
//! | a' | clip(mean + sigma e) | tanh(z + sigma e) |
//! | y | as above | of SAC: `min_j Q_j'(s', a')` - log pi(a'|s'), a temperature of 1 |
//! | `L_pi` | the mean over the batch | the sum |
//!
//! The entropy in d3rlpy's target comes from the class that it inherits from: its log-temperature
//! is a dummy, 0. d3rlpy 1 had a temperature of 1e-20 instead.

pub mod config;
mod update;

use self::config::Config;
use self::update::{Scratch, Step};
use super::actor_critic::gaussian::{GaussianDecision, LOG_SIGMA};
use super::actor_critic::update::beside_data;
use super::actor_critic::{self, ACTOR, Initial, MadeOf, Method, Noise, Parts, Work};
use super::conventions::OfflineConventions;
use super::networks::{Products, Trained};
use super::vector::TrainedVector;
use super::{Card, Input, Needs, Update};
use crate::keys::Keys;
use crate::nn::initialise::LayerFill;
use rtg_kernels::mlp::Shape;
use rtg_kernels::mlp::heads::gaussian::{Bound, Gaussian};

/// AWAC.
pub struct Awac;

/// Trains AWAC's networks.
pub type Learner = actor_critic::Learner<Awac>;

fn code(made_of: &MadeOf<Config>) -> OfflineConventions {
    OfflineConventions::named(&made_of.recipe)
}

fn gaussian(code: OfflineConventions) -> Gaussian {
    match code {
        OfflineConventions::Corl => Gaussian {
            low: -20.0,
            high: 2.0,
            bound: Bound::Clamp,
        },
        OfflineConventions::D3rlpy => Gaussian {
            low: -6.0,
            high: 0.0,
            bound: Bound::Sigmoid,
        },
    }
}

impl Method for Awac {
    type Config = Config;
    type Decision = GaussianDecision;
    type Networks = [Trained; 2];
    /// The actor's log standard deviations.
    type Vectors = [TrainedVector; 1];
    type Scratch = Scratch;

    const CARD: Card = Card {
        name: "awac",
        summary: "AWAC: twin critics of the actor, and cloning weighted by advantage",
        input: Input::Transitions,
        continuous: true,
        discrete: false,
        takes_target: false,
        cuda: false,
        recipes: OfflineConventions::RECIPES,
        former_tables: &[],
    };
    const NOISE: &'static str = "policy noise";

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
        actor_critic::offline!(made_of, made_of.config.reward_scale,)
    }

    fn actor(made_of: &MadeOf<Config>) -> Shape {
        let Config { width, layers, .. } = made_of.config;
        made_of.of_observations(width, layers, made_of.actions.width())
    }

    fn parts(made_of: &MadeOf<Config>, initial: &mut Initial<'_>) -> Parts<Self> {
        let mut network = |name, shape: Shape, target| {
            let parameters = initial(&shape, [LayerFill::DEFAULT; 2]);
            Trained::new(name, &shape, parameters, target)
        };
        Parts {
            networks: [
                network(ACTOR, Self::actor(made_of), false),
                network("critic", critics(made_of), true),
            ],
            vectors: [TrainedVector::new(
                LOG_SIGMA,
                vec![0.0; made_of.actions.width()],
            )],
        }
    }

    fn policy_vectors(made_of: &MadeOf<Config>) -> Vec<(&'static str, usize)> {
        vec![(LOG_SIGMA, made_of.actions.width())]
    }

    fn decision(made_of: &MadeOf<Config>, vectors: &[Vec<f32>]) -> GaussianDecision {
        GaussianDecision {
            squash: code(made_of) == OfflineConventions::D3rlpy,
            noise: vectors
                .first()
                .map(|values| (gaussian(code(made_of)), values.clone())),
        }
    }

    fn update(
        work: &Work<Self>,
        parts: &mut Parts<Self>,
        noise: &mut Noise<'_>,
        scratch: &mut Scratch,
    ) -> Update {
        Step::of(work, parts).run(noise, scratch)
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

    fn operations(made_of: &MadeOf<Config>) -> f64 {
        let actor = Products::of(&Self::actor(made_of));
        let critic = Products::of(&critics(made_of));
        let targets = actor.all + 2.0 * critic.all;
        let learning = 2.0 * critic.learning() + actor.learning();
        let advantages = 4.0 * critic.all;
        2.0 * made_of.config.batch_size as f64 * (targets + learning + advantages)
    }
}

fn critics(made_of: &MadeOf<Config>) -> Shape {
    made_of.critics(made_of.config.width, made_of.config.layers, 2)
}
