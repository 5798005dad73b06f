//! Discrete AWAC: advantage-weighted actor-critic (Nair et al. 2020) for a choice among actions,
//! where the expectations over the actor's actions are sums. No published code has it (CRR of Wang
//! et al. 2020 is near); what is AWAC's stays AWAC's, and this is ours:
//!
//! Twin critics Q give the values of all A actions at once and have targets Q'; the actor's softmax
//! is pi.
//!
//! ```text
//! y    = r + gamma (1 - terminated) sum_b pi(b | s') min_j Q_j'(s', b)
//! L_Q  = mean (Q_1(s, a) - y)^2 + mean (Q_2(s, a) - y)^2
//! A    = min_j Q_j(s, a) - sum_b pi(b | s) min_j Q_j(s, b)     with the critics after their step
//! w    = min(exp(A / lambda), 100)
//! L_pi = mean w (-log pi(a | s))
//! ```
//!
//! and the targets follow. Nothing is drawn in an update but the batch.

pub mod config;
mod update;

use self::config::Config;
use self::update::Scratch;
use super::actor_critic::categorical::{Categorical, beside_data};
use super::actor_critic::{self, ACTOR, Initial, MadeOf, Method, Noise, Parts, Work};
use super::networks::{Products, Trained};
use super::vector::TrainedVector;
use super::{Card, Input, Needs, Update};
use crate::kernels::mlp::Shape;
use crate::keys::{Keys, Table};
use crate::nn::initialise::LayerFill;

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
        summary: "discrete AWAC, ours: twin critics of the actor, and cloning weighted by advantage",
        input: Input::Transitions,
        continuous: false,
        discrete: true,
        takes_target: false,
        cuda: false,
        recipes: &["rtg"],
        former_tables: &[],
    };
    /// Nothing is drawn.
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

    /// How likely the data's actions are, and what the first critic thinks of them.
    fn validate(
        work: &Work<Self>,
        parts: &mut Parts<Self>,
        _scratch: &mut Scratch,
    ) -> Vec<(&'static str, f64)> {
        let [actor, critics] = &parts.networks;
        let [cloning_loss, q] = beside_data(work, [actor, critics]);
        vec![("cloning_loss", cloning_loss), ("q", q)]
    }

    /// Actor and each critic have one shape; the first layers' inputs need no gradient.
    fn operations(made_of: &MadeOf<Config>) -> f64 {
        let actor = Products::of(&Self::actor(made_of));
        let targets = 3.0 * actor.all;
        let advantages = 2.0 * actor.all;
        let each = targets + advantages + 3.0 * actor.learning();
        2.0 * made_of.config.batch_size as f64 * each
    }
}
