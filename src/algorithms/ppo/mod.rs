//! PPO, proximal policy optimisation (Schulman et al. 2017): on-policy learning of an actor and a
//! critic with several passes over each collection of steps and clipped probability ratios.
//!
//! With rho = pi(a|s) / `pi_old(a|s)`, A the generalised advantage ([`advantages`]) normalised
//! within the minibatch, R = A + `V_old` before that, and H the entropy,
//!
//! ```text
//! L = mean max(-A rho, -A clip(rho, 1 - c, 1 + c)) - c_e mean H + c_v L_V
//! ```
//!
//! | | `cleanrl`: `ppo.py` | `sb3`: `ppo.py` |
//! |---|---|---|
//! | `L_V` | 1/2 mean max((V - R)^2, (V~ - R)^2) | mean (V - R)^2 |
//! | with value clip | V~ = `V_old` + clip(V - `V_old`) | mean (V~ - R)^2 |
//! | fraction of the run that remains at update i of I | 1 - (i - 1) / I | 1 - i / I |
//! | `target_kl` ends an update | after an epoch | before a step, at 1.5 times it |
//!
//! Actor and critic are two perceptrons with tanh. Discrete actions are categorical. Continuous
//! ones are Gaussian in the environment's units with free standard deviations; the environment gets
//! the action clipped to its bounds, the loss the unclipped one. Neither observations nor rewards
//! are normalised.

pub mod advantages;
pub mod config;
mod learner;
mod loss;
mod model;

use self::config::{Config, OnlineConventions};
pub use self::learner::Learner;
pub use self::model::Model;
use super::{Algorithm, Card, Error, Facts, Input, Saved, Setup};
use crate::keys::{self, KeyError, Keys, PlanError, Table};

/// PPO's entry in the table of algorithms.
pub struct Ppo;

const NAME: &str = "ppo";

impl Algorithm for Ppo {
    fn card(&self) -> Card {
        Card {
            name: NAME,
            summary: "PPO: online and on-policy, clipped probability ratios, advantages by GAE",
            input: Input::Environment,
            continuous: true,
            discrete: true,
            takes_target: false,
            cuda: false,
            recipes: OnlineConventions::RECIPES,
            former_tables: &[],
        }
    }

    fn tables(&self) -> Vec<Keys> {
        vec![Config::KEYS]
    }

    fn defaults(&self, recipe: &str) -> Result<Table, PlanError> {
        let mut plan = super::general(100_000, 20_000, 2048);
        keys::write(
            &mut plan,
            NAME,
            &Config::of(OnlineConventions::named(recipe)),
        )?;
        Ok(plan)
    }

    fn resolve(&self, _plan: &mut Table, facts: &Facts) -> Result<(), PlanError> {
        match facts.data {
            Some(data) => {
                let expected = "omitted: ppo learns from its own steps only";
                Err(KeyError::new("dataset", &data.info().id, expected).into())
            }
            None => Ok(()),
        }
    }

    fn build(
        &self,
        setup: &Setup,
        saved: Option<&Saved>,
    ) -> Result<Box<dyn super::Learner>, Error> {
        let config: Config = keys::read(setup.plan, NAME)?;
        let learner = match saved {
            Some(saved) => Learner::saved(saved, setup, config)?,
            None => Learner::new(setup, config)?,
        };
        Ok(Box::new(learner))
    }

    fn model(&self, saved: &Saved) -> Result<Box<dyn super::Model>, Error> {
        Ok(Box::new(Model::saved(saved)?))
    }
}
