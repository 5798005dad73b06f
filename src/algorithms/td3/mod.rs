//! TD3 (Fujimoto, van Hoof and Meger 2018): off-policy learning of a deterministic policy, with
//! twin critics, a delayed actor and smoothed targets.
//!
//! Actor pi and twin critics Q are perceptrons; each has a target, marked by '. With actions mapped
//! onto [-1, 1] and e from N(0, 1), update k (from 1) computes
//!
//! ```text
//! a'   = clip(pi'(s') + clip(0.2 e, -0.5, 0.5), -1, 1)
//! y    = r + gamma (1 - terminated) min_j Q_j'(s', a')
//! L_Q  = mean (Q_1(s, a) - y)^2 + mean (Q_2(s, a) - y)^2
//! L_pi = -mean Q_1(s, pi(s))
//! ```
//!
//! and steps the critics; if `policy_delay` divides k it steps the actor, with the new critics, and
//! moves the targets. It explores with clip(pi(s) + 0.1 e, -1, 1), or with noise that is correlated
//! in time ([`NoiseProcess::OrnsteinUhlenbeck`]), which is added to the random actions of the
//! warm-up too.
//!
//! After `CleanRL`'s `td3_continuous_action.py` and Stable-Baselines3's `td3.py`. The input of
//! `cleanrl`'s critics is the environment's action, that of `sb3`'s critics the action in -1..1;
//! layers, learning rates and the warm-up differ too: see [`config`]. `CleanRL` clips all numbers
//! of a' at the bounds of the first one; here each number has its own bounds. Noise: rows x A at
//! the next observations.

pub mod config;
mod update;

use self::config::{Config, OnlineConventions};
use self::update::{Scratch, Step};
use super::actor_critic::deterministic::{self, Tanh};
use super::actor_critic::squashed::Units;
use super::actor_critic::{self, Initial, MadeOf, Method, Noise, Parts, Work};
use super::networks::{Products, Trained};
use super::vector::TrainedVector;
use super::{Card, Facts, Input, Interaction, Needs, Update};
use crate::behaviour::{ActionNoise, NoiseProcess};
use crate::keys::{Keys, PlanError, Table};
use crate::random::Stream;
use rtg_datasets::sample::{RewardTransform, TransitionConfig};
use rtg_kernels::mlp::Shape;

/// TD3.
pub struct Td3;

/// Trains TD3's networks.
pub type Learner = actor_critic::Learner<Td3>;

impl Method for Td3 {
    type Config = Config;
    type Decision = Tanh;
    type Networks = [Trained; 2];
    type Vectors = [TrainedVector; 0];
    type Scratch = Scratch;

    const CARD: Card = Card {
        name: "td3",
        summary: "TD3: online, a deterministic actor, twin critics with smoothed targets",
        input: Input::Environment,
        continuous: true,
        discrete: false,
        takes_target: false,
        cuda: false,
        recipes: OnlineConventions::RECIPES,
        former_tables: &[],
    };
    const NOISE: &'static str = "target noise";

    fn keys() -> Keys {
        Config::KEYS
    }

    fn config(recipe: &str) -> Config {
        Config::of(OnlineConventions::named(recipe))
    }

    /// A checkpoint contains the replay buffer, and one is written at every evaluation as well.
    fn general() -> Table {
        super::general(10_000, 10_000, 200)
    }

    fn resolve(config: &mut Config, facts: &Facts) -> Result<(), PlanError> {
        config.resolve(OnlineConventions::named(facts.recipe), facts.steps);
        facts.fit_into("td3.capacity", config.capacity)
    }

    /// Gaussian noise is the decision's.
    fn action_noise(config: &Config) -> Option<ActionNoise> {
        let process = config.exploration;
        (process != NoiseProcess::Gaussian).then_some(ActionNoise {
            process,
            sigma: config.exploration_noise,
        })
    }

    fn needs(made_of: &MadeOf<Config>) -> Needs<'_> {
        let config = &made_of.config;
        let learning_starts = config.learning_starts.unwrap_or_default();
        Needs::Environment(Interaction {
            transitions: TransitionConfig {
                n_step: config.n_step,
                discount: config.discount,
                reward: RewardTransform {
                    scale: config.reward_scale,
                    shift: config.reward_shift,
                },
                action_map: OnlineConventions::named(&made_of.recipe).action_map(&made_of.actions),
                ..TransitionConfig::default()
            },
            normaliser: None,
            rows: config.batch_size,
            dataset_rows: 0,
            environments: config.environments,
            capacity: config.capacity,
            learning_starts,
            random_steps: learning_starts,
            action_noise: Self::action_noise(config),
            update_every: config.update_every,
            updates: config.updates,
        })
    }

    fn actor(made_of: &MadeOf<Config>) -> Shape {
        let [s, a] = made_of.widths();
        Shape::new(&[s], &made_of.config.hidden, a)
    }

    fn parts(made_of: &MadeOf<Config>, initial: &mut Initial<'_>) -> Parts<Self> {
        deterministic::parts(&Self::actor(made_of), &critics(made_of), initial)
    }

    fn decision(made_of: &MadeOf<Config>, _vectors: &[Vec<f32>]) -> Tanh {
        let config = &made_of.config;
        Tanh {
            scale: made_of.max_action(),
            noise: match Self::action_noise(config) {
                Some(_) => 0.0,
                None => config.exploration_noise as f32,
            },
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

    /// The critics' loss on the batch, with the same noise every time.
    fn validate(
        work: &Work<Self>,
        parts: &mut Parts<Self>,
        scratch: &mut Scratch,
    ) -> Vec<(&'static str, f64)> {
        let mut stream = Stream::new(0, "validation");
        let noise = &mut actor_critic::draws(&mut stream);
        let report = Step::of(work, parts).measure(noise, scratch);
        let metrics = report.metrics().iter();
        metrics.map(|metric| (metric.name, metric.value)).collect()
    }

    /// Of the first layers' inputs, only the actions need a gradient.
    fn operations(made_of: &MadeOf<Config>) -> f64 {
        let actor = Products::of(&Self::actor(made_of));
        let critic = Products::of(&critics(made_of));
        let [s, a] = made_of.widths().map(|width| width as f64);
        let targets = actor.all + 2.0 * critic.all;
        let policy = actor.learning() + critic.to_input(a / (s + a));
        let delayed = policy / made_of.config.policy_delay as f64;
        let each = targets + 2.0 * critic.learning() + delayed;
        2.0 * made_of.config.batch_size as f64 * each
    }
}

fn critics(made_of: &MadeOf<Config>) -> Shape {
    Shape::new(&made_of.widths(), &made_of.config.hidden, 1).ensemble(2)
}

/// Converts actions in [-1, 1] to the critics' units: in `CleanRL`, the environment's.
fn units(made_of: &MadeOf<Config>) -> Units {
    match OnlineConventions::named(&made_of.recipe) {
        OnlineConventions::CleanRl => Units::environment(&made_of.actions),
        OnlineConventions::Sb3 => Units::identity(made_of.actions.width()),
    }
}
