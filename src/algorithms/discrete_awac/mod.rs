//! Discrete AWAC: advantage-weighted actor-critic (Nair et al. 2020) for discrete actions, where
//! the expectations over the actor's actions are sums. There is no published code (CRR of Wang et
//! al. 2020 is similar). It keeps AWAC's conventions; the following is rtg's own:
//!
//! Twin critics Q output the values of all A actions and have targets Q'; the actor's softmax is
//! pi.
//!
//! ```text
//! y    = r + gamma (1 - terminated) sum_b pi(b | s') min_j Q_j'(s', b)
//! L_Q  = mean (Q_1(s, a) - y)^2 + mean (Q_2(s, a) - y)^2
//! A    = min_j Q_j(s, a) - sum_b pi(b | s) min_j Q_j(s, b)     with the critics after their step
//! w    = min(exp(A / lambda), 100)
//! L_pi = mean w (-log pi(a | s))
//! ```
//!
//! and the targets move. Only the batch is drawn at random in an update.

pub mod config;
mod update;

use self::config::Config;
use self::update::Scratch;
use super::actor_critic::categorical::{Categorical, beside_data};
use super::actor_critic::{self, ACTOR, Initial, MadeOf, Method, Noise, Parts, Work};
use super::networks::{Products, Trained};
use super::vector::TrainedVector;
use super::{Card, Input, Needs, Update};
use crate::keys::{Keys, Table};
use crate::nn::initialise::LayerFill;
use rtg_kernels::mlp::Shape;

/// Discrete AWAC.
pub struct DiscreteAwac;

/// Trains discrete AWAC's networks.
pub type Learner = actor_critic::Learner<DiscreteAwac>;

impl Method for DiscreteAwac {
    type Config = Config;
    type Decision = Categorical;
    type Networks = [Trained; 2];
    type Vectors = [TrainedVector; 0];
    type Scratch = Scratch;

    const CARD: Card = Card {
        name: "discrete_awac",
        summary: "discrete AWAC (rtg's own): twin critics, and cloning weighted by advantage",
        input: Input::Transitions,
        continuous: false,
        discrete: true,
        takes_target: false,
        cuda: false,
        recipes: &["rtg"],
        former_tables: &[],
    };
    /// No noise is drawn.
    const NOISE: &'static str = "";

    fn keys() -> Keys {
        Config::KEYS
    }

    fn config(recipe: &str) -> Config {
        Config::of(recipe)
    }

    fn general() -> Table {
        super::general(10_000, 5000, 100)
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
                network("critic", Self::actor(made_of).ensemble(2), true),
            ],
            vectors: [],
        }
    }

    fn decision(made_of: &MadeOf<Config>, _vectors: &[Vec<f32>]) -> Categorical {
        Categorical(made_of.actions.width())
    }

    fn update(
        work: &Work<Self>,
        parts: &mut Parts<Self>,
        _noise: &mut Noise<'_>,
        scratch: &mut Scratch,
    ) -> Update {
        update::run(work, parts, scratch)
    }

    /// The likelihood of the data's actions, and the first critic's values of them.
    fn validate(
        work: &Work<Self>,
        parts: &mut Parts<Self>,
        _scratch: &mut Scratch,
    ) -> Vec<(&'static str, f64)> {
        let [actor, critics] = &parts.networks;
        let [cloning_loss, q] = beside_data(work, [actor, critics]);
        vec![("cloning_loss", cloning_loss), ("q", q)]
    }

    /// Actor and critics have the same shape; the first layers' inputs need no gradient.
    fn operations(made_of: &MadeOf<Config>) -> f64 {
        let actor = Products::of(&Self::actor(made_of));
        let targets = 3.0 * actor.all;
        let advantages = 2.0 * actor.all;
        let each = targets + advantages + 3.0 * actor.learning();
        2.0 * made_of.config.batch_size as f64 * each
    }
}
