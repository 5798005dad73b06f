//! Conservative Q-learning with discrete actions (Kumar et al. 2020): offline double DQN with a
//! penalty on the values of actions outside the data.
//!
//! ```text
//! a* = argmax_b Q(s', b)
//! y  = r + gamma (1 - terminated) Q'(s', a*)
//! L  = mean h(Q(s, a) - y) + alpha mean (log sum_b e^Q(s, b) - Q(s, a))
//! ```
//!
//! where h is Huber's loss. With `quantiles` above 1 the network outputs quantiles of the return
//! and the first term is the quantile loss, as in QR-DQN; the second term uses their means. With
//! alpha 0 it is double DQN, or QR-DQN, on the data.
//!
//! After d3rlpy's `algos/qlearning/torch/cql_impl.py` and `dqn_impl.py`. Only the batch is drawn at
//! random in an update.

pub mod config;

use self::config::{Config, Defaults};
use super::q_learning::{Learner, Model};
use super::{Algorithm, Card, Critic, Error, Input, Saved, Setup};
use crate::keys::{self, Keys, PlanError, Table};

/// Discrete CQL's entry in the table of algorithms.
pub struct DiscreteCql;

const NAME: &str = "discrete_cql";

impl Algorithm for DiscreteCql {
    fn card(&self) -> Card {
        Card {
            name: NAME,
            summary: "discrete CQL: offline double DQN or QR-DQN with a conservative penalty",
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

    fn defaults(&self, recipe: &str) -> Result<Table, PlanError> {
        let mut plan = super::general(10_000, 5000, 100);
        keys::write(&mut plan, NAME, &Config::of(Defaults::named(recipe)))?;
        Ok(plan)
    }

    fn build(
        &self,
        setup: &Setup,
        saved: Option<&Saved>,
    ) -> Result<Box<dyn super::Learner>, Error> {
        let config: Config = keys::read(setup.plan, NAME)?;
        let learner = match saved {
            Some(saved) => Learner::saved(saved, setup, config.method())?,
            None => Learner::new(setup, config.method())?,
        };
        Ok(Box::new(learner))
    }

    fn model(&self, saved: &Saved) -> Result<Box<dyn super::Model>, Error> {
        Ok(Box::new(Model::saved(saved)?))
    }

    fn critic(&self, saved: &Saved, plan: &Table) -> Result<Option<Critic>, Error> {
        let config: Config = keys::read(plan, NAME)?;
        let model = Model::saved(saved)?;
        Ok(Some(model.into_critic(&config.method().transitions)))
    }
}
