//! TD3+BC (Fujimoto and Gu 2021): TD3 on a dataset, with behaviour cloning in the actor's loss.
//!
//! Actor pi and twin critics Q are perceptrons; each has a target, marked by '. With m the largest
//! action and e from N(0, 1), update k (from 1) computes
//!
//! ```text
//! a' = clip(pi'(s') + clip(0.2 m e, -0.5 m, 0.5 m), -m, m)
//! y  = r + gamma (1 - terminated) min_j Q_j'(s', a')
//! L_Q  = mean (Q_1(s, a) - y)^2 + mean (Q_2(s, a) - y)^2
//! L_pi = -lambda mean Q_1(s, pi(s)) + mean (pi(s) - a)^2,   lambda = alpha / mean |Q_1(s, pi(s))|
//! ```
//!
//! and steps the critics; if `policy_delay` divides k it steps the actor, with the new critics, and
//! moves the targets. After `sfujim/TD3_BC` and CORL's `algorithms/offline/td3_bc.py`, which agree.
//! d3rlpy (`d3rlpy/algos/qlearning/torch/td3_plus_bc_impl.py`) counts updates from 0, so that the
//! first one moves the actor, and its actions are always mapped onto [-1, 1]: m = 1.

pub mod config;
mod update;

use self::config::Config;
use self::update::{Scratch, Step};
use super::action_codec::BoxUnits;
use super::actor_critic::deterministic::{self, Tanh};
use super::actor_critic::update::beside_data;
use super::actor_critic::{self, Initial, MadeOf, Method, Noise, Parts, Work};
use super::conventions::OfflineConventions;
use super::networks::{Products, Trained};
use super::vector::TrainedVector;
use super::{Card, Input, Needs, Update};
use crate::keys::Keys;
use rtg_kernels::mlp::Shape;

/// TD3+BC.
pub struct Td3Bc;

/// Trains TD3+BC's networks.
pub type Learner = actor_critic::Learner<Td3Bc>;

impl Method for Td3Bc {
    type Config = Config;
    type Decision = Tanh;
    type Networks = [Trained; 2];
    type Vectors = [TrainedVector; 0];
    type Scratch = Scratch;

    const CARD: Card = Card {
        name: "td3_bc",
        summary: "TD3+BC: TD3 on a dataset, with behaviour cloning in the actor's loss",
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

    fn units(recipe: &str) -> BoxUnits {
        OfflineConventions::named(recipe).pick(BoxUnits::Symmetric, BoxUnits::Unit)
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
        deterministic::parts(&Self::actor(made_of), &critics(made_of), initial)
    }

    fn decision(made_of: &MadeOf<Config>, _vectors: &[Vec<f32>]) -> Tanh {
        Tanh {
            scale: made_of.max_action(),
            noise: made_of.config.exploration_noise as f32,
        }
    }

    /// The noise is the target policy's, rows x A.
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
        vec![("cloning_loss", error), ("q", q), ("q_policy", q_policy)]
    }

    /// Of the first layers' inputs, only the actions need a gradient.
    fn operations(made_of: &MadeOf<Config>) -> f64 {
        let actor = Products::of(&Self::actor(made_of));
        let critic = Products::of(&critics(made_of));
        let [s, a] = made_of.widths().map(|width| width as f64);
        let targets = actor.all + 2.0 * critic.all;
        let critics = 2.0 * critic.learning();
        let policy = actor.learning() + critic.to_input(a / (s + a));
        let each = targets + critics + policy / made_of.config.policy_delay as f64;
        2.0 * made_of.config.batch_size as f64 * each
    }
}

fn critics(made_of: &MadeOf<Config>) -> Shape {
    made_of.critics(made_of.config.width, made_of.config.layers, 2)
}
