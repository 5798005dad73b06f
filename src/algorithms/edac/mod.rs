//! EDAC and SAC-N (An et al. 2021): SAC on a dataset with N critics, of which the minimum is used;
//! EDAC also diversifies the critics' gradients with respect to the data's actions, so that fewer
//! critics are enough.
//!
//! N critics Q with targets Q' and a squashed Gaussian actor pi are perceptrons. With a^ and a~
//! from pi(s), a' from pi(s'), `g_n` the gradient of `Q_n` at the data's action and `h_n` = `g_n` /
//! (|`g_n`| + 1e-10), an update takes these steps in order, each with the results of the steps
//! before it,
//!
//! ```text
//! L_alpha = -log alpha mean (log pi(a^|s) + H)
//! L_pi    = mean (alpha log pi(a~|s) - min_n Q_n(s, a~))
//! y       = r + gamma (1 - terminated) (min_n Q_n'(s', a') - alpha log pi(a'|s'))
//! L_Q     = sum_n mean (Q_n(s, a) - y)^2 + eta mean sum_{n != m} h_n h_m / (N - 1)
//! ```
//!
//! and moves the targets. The order is the reverse of the usual one, as in the authors' code.
//! Noise, rows x A each: at the observations for the temperature, at the observations for the
//! actor, at the next observations. After CORL's `algorithms/offline/edac.py` and `sac_n.py`. There
//! the first critic layers are initialised with the bound of their outputs instead of their inputs,
//! 1/sqrt(256), and here as well.

pub mod config;
mod diversity;
mod update;

use self::config::{Config, Variant};
use self::update::{Scratch, Step};
use super::actor_critic::update::beside_data;
use super::actor_critic::{self, ACTOR, Initial, MadeOf, Method, Noise, Parts, Work, temperature};
use super::networks::{Products, Trained};
use super::vector::TrainedVector;
use super::{Card, Facts, Input, Needs, Update};
use crate::keys::{Keys, PlanError};
use crate::nn::initialise::{BiasFill, LayerFill, WeightFill};
use rtg_kernels::mlp::Shape;
use rtg_kernels::mlp::heads::squashed::{LogProbability, LogSigma, Squashed};

/// EDAC and SAC-N.
pub struct Edac;

/// Trains the networks of EDAC and SAC-N.
pub type Learner = actor_critic::Learner<Edac>;

impl Method for Edac {
    type Config = Config;
    type Decision = Squashed;
    type Networks = [Trained; 2];
    /// The temperature's logarithm.
    type Vectors = [TrainedVector; 1];
    type Scratch = Scratch;

    const CARD: Card = Card {
        name: "edac",
        summary: "EDAC and SAC-N: SAC on a dataset with the minimum of many critics",
        input: Input::Transitions,
        continuous: true,
        discrete: false,
        takes_target: false,
        cuda: false,
        recipes: Variant::RECIPES,
        former_tables: &[],
    };
    const NOISE: &'static str = "policy noise";

    fn keys() -> Keys {
        Config::KEYS
    }

    fn config(recipe: &str) -> Config {
        Config::of(Variant::named(recipe))
    }

    fn resolve(config: &mut Config, facts: &Facts) -> Result<(), PlanError> {
        let action = facts.spec.action_space.width();
        config.target_entropy.get_or_insert(-(action as f64));
        Ok(())
    }

    fn normalises(config: &Config) -> bool {
        config.normalise
    }

    /// The diversity term needs the activations of whole batches.
    fn whole_batches(config: &Config) -> Option<&'static str> {
        (config.eta > 0.0).then_some("edac.eta above 0")
    }

    fn needs(made_of: &MadeOf<Config>) -> Needs<'_> {
        actor_critic::offline!(made_of, made_of.config.reward_scale,)
    }

    /// A row of the outputs has A means, then A raw log sigmas.
    fn actor(made_of: &MadeOf<Config>) -> Shape {
        let Config { width, layers, .. } = made_of.config;
        made_of.of_observations(width, layers, 2 * made_of.actions.width())
    }

    fn parts(made_of: &MadeOf<Config>, initial: &mut Initial<'_>) -> Parts<Self> {
        let uniform = |bound: f32| LayerFill {
            weight: WeightFill::Uniform(bound),
            bias: BiasFill::Uniform(bound),
        };
        let hidden = |weight| LayerFill {
            weight,
            bias: BiasFill::Constant(0.1),
        };
        let mut network = |name, shape: Shape, fills, target| {
            Trained::new(name, &shape, initial(&shape, fills), target)
        };
        let of_outputs = (made_of.config.width as f32).sqrt().recip();
        let actor = [hidden(WeightFill::Default), uniform(1e-3)];
        let critic = [hidden(WeightFill::Uniform(of_outputs)), uniform(3e-3)];
        Parts {
            networks: [
                network(ACTOR, Self::actor(made_of), actor, false),
                network("critic", critics(made_of), critic, true),
            ],
            vectors: [temperature::new(made_of.config.initial_alpha)],
        }
    }

    fn decision(made_of: &MadeOf<Config>, _vectors: &[Vec<f32>]) -> Squashed {
        Squashed {
            action: made_of.actions.width(),
            log_sigma: LogSigma::Clamp {
                low: -5.0,
                high: 2.0,
            },
            log_probability: LogProbability::Floored,
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

    /// Only the smallest critic has a gradient with respect to the policy's action. The diversity
    /// term's tangents are one more forward pass; its gradient needs no products beyond those of
    /// the squared error.
    fn operations(made_of: &MadeOf<Config>) -> f64 {
        let Config {
            members,
            eta,
            batch_size,
            ..
        } = made_of.config;
        let actor = Products::of(&Self::actor(made_of));
        let critic = Products::of(&critics(made_of));
        let [s, a] = made_of.widths().map(|width| width as f64);
        let members = members as f64;
        let targets = actor.all + members * critic.all;
        let rest = critic.to_input(a / (s + a)) - critic.all;
        let policy = 2.0 * actor.all + actor.learning() + members * critic.all + rest;
        let tangents = if eta > 0.0 { critic.all } else { 0.0 };
        let learning = members * (critic.learning() + tangents);
        2.0 * batch_size as f64 * (targets + policy + learning)
    }
}

fn critics(made_of: &MadeOf<Config>) -> Shape {
    let Config {
        width,
        layers,
        members,
        ..
    } = made_of.config;
    made_of.critics(width, layers, members)
}
