//! Discrete IQL: implicit Q-learning (Kostrikov, Nair and Levine 2021) for discrete actions. There
//! is no published code. It keeps IQL's conventions; the following is rtg's own:
//!
//! Twin critics Q output the values of all A actions and have targets Q', V is a value function,
//! and the actor's softmax is pi. With t the expectile and A = `min_j` `Q_j'(s, a)` - V(s),
//!
//! ```text
//! L_V  = mean |t - 1[A < 0]| A^2
//! y    = r + gamma (1 - terminated) V(s')
//! L_Q  = (mean (Q_1(s, a) - y)^2 + mean (Q_2(s, a) - y)^2) / 2
//! w    = min(exp(beta A), 100)
//! L_pi = mean w (-log pi(a | s))
//! ```
//!
//! in this order, all with V from before the update, as in CORL. The critics are evaluated at
//! actions of the data only. Only the batch is drawn at random in an update.

pub mod config;
mod update;

use self::config::Config;
use self::update::Scratch;
use super::actor_critic::categorical::{Categorical, beside_data};
use super::actor_critic::{self, ACTOR, Initial, MadeOf, Method, Noise, Parts, Work};
use super::critic::{self, Compute};
use super::networks::{self, Products, Trained};
use super::vector::TrainedVector;
use super::{Card, Error, Input, Needs, Saved, Update};
use crate::keys::{Keys, Table};
use crate::nn::initialise::LayerFill;
use rtg_kernels::mlp::{Network, Shape};

/// Discrete IQL.
pub struct DiscreteIql;

/// The name of V's weights in files.
const VALUE: &str = "value";

/// Trains discrete IQL's networks.
pub type Learner = actor_critic::Learner<DiscreteIql>;

impl Method for DiscreteIql {
    type Config = Config;
    type Decision = Categorical;
    /// Actor, critics, value function.
    type Networks = [Trained; 3];
    type Vectors = [TrainedVector; 0];
    type Scratch = Scratch;

    const CARD: Card = Card {
        name: "discrete_iql",
        summary: "discrete IQL (rtg's own): an expectile of the data's values, and weighted cloning",
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
        of_observations(made_of, made_of.actions.width())
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
                network(VALUE, of_observations(made_of, 1), false),
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
        let [actor, critics, _] = &parts.networks;
        let [cloning_loss, q] = beside_data(work, [actor, critics]);
        vec![("cloning_loss", cloning_loss), ("q", q)]
    }

    /// V(s).
    fn values(made_of: &MadeOf<Config>, saved: &Saved) -> Result<Option<Box<Compute>>, Error> {
        let shape = of_observations(made_of, 1);
        let parameters = networks::read(VALUE, &shape, saved.tensors)?;
        Ok(Some(critic::of_network(Network::new(&shape, parameters))))
    }

    /// The first layers' inputs need no gradient.
    fn operations(made_of: &MadeOf<Config>) -> f64 {
        // Actor and critics have the same shape.
        let actor = Products::of(&Self::actor(made_of));
        let value = Products::of(&of_observations(made_of, 1));
        let each = 2.0 * actor.all + 3.0 * actor.learning() + value.all + value.learning();
        2.0 * made_of.config.batch_size as f64 * each
    }
}

fn of_observations(made_of: &MadeOf<Config>, outputs: usize) -> Shape {
    let Config { width, layers, .. } = made_of.config;
    made_of.of_observations(width, layers, outputs)
}
