//! Batch-constrained Q-learning with discrete actions (Fujimoto et al. 2019): offline double DQN
//! restricted to actions that are frequent enough in the data.
//!
//! A Q-network and a network G that imitates the data's policy are perceptrons of the same shape.
//! With p = softmax G, an action b is allowed at s where `p_b` / max p > threshold, and
//!
//! ```text
//! a* = argmax over allowed b of Q(s', b)
//! y  = r + gamma (1 - terminated) Q'(s', a*)
//! L  = mean h(Q(s, a) - y) - mean log p(a|s) + w mean G(s)^2
//! ```
//!
//! where h is Huber's loss and the last mean is over rows and actions. The greedy action is the
//! best of the allowed ones.
//!
//! After `sfujim/BCQ`, `discrete_BCQ/discrete_BCQ.py` (`FC_Q`). Only the batch is drawn at random
//! in an update.

pub mod config;
mod learner;
mod model;
mod update;

use self::config::{Config, Defaults};
pub use self::learner::Learner;
pub use self::model::Model;
use super::{Algorithm, Card, Error, Input, Saved, Setup};
use crate::keys::{self, Keys, PlanError, Table};

/// Discrete BCQ's entry in the table of algorithms.
pub struct DiscreteBcq;

const NAME: &str = "discrete_bcq";

impl Algorithm for DiscreteBcq {
    fn card(&self) -> Card {
        Card {
            name: NAME,
            summary: "discrete BCQ: offline double DQN, restricted to actions that the data contain",
            input: Input::Transitions,
            continuous: false,
            discrete: true,
            takes_target: false,
            cuda: false,
            recipes: Defaults::RECIPES,
            former_tables: &[],
        }
    }

    fn tables(&self) -> Vec<Keys> {
        vec![Config::KEYS]
    }

    fn defaults(&self, _recipe: &str) -> Result<Table, PlanError> {
        let mut plan = super::general(10_000, 5000, 100);
        keys::write(&mut plan, NAME, &Config::of(Defaults::Authors))?;
        Ok(plan)
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
