//! TD3+BC (Fujimoto and Gu 2021): TD3 on a dataset, with a term that holds the actor to the data.
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

pub mod config;
mod learner;
mod model;

use self::config::Config;
pub use self::learner::Learner;
pub use self::model::Model;
use super::{Algorithm, Card, Error, Input, Saved, Setup};
use crate::keys::{self, Keys, PlanError, Table, Value};

/// TD3+BC's entry in the table of algorithms.
pub struct Td3Bc;

const NAME: &str = "td3_bc";

impl Algorithm for Td3Bc {
    fn card(&self) -> Card {
        Card {
            name: NAME,
            summary: "TD3+BC: twin critics, and an actor that is held to the data",
            input: Input::Transitions,
            continuous: true,
            discrete: false,
            takes_target: false,
            cuda: false,
            recipes: &["corl"],
            former_tables: &[],
        }
    }

    fn tables(&self) -> Vec<Keys> {
        vec![Config::KEYS]
    }

    fn defaults(&self, recipe: &str) -> Result<Table, PlanError> {
        let mut plan = Table::new();
        keys::write(&mut plan, NAME, &Config::of(recipe))?;
        let general = [
            (
                "dataset",
                Value::String("builtin/pendulum/mixed".to_owned()),
            ),
            ("steps", Value::Integer(10_000)),
            ("checkpoint_every", Value::Integer(5000)),
        ];
        plan.extend(general.map(|(key, value)| (key.to_owned(), value)));
        let mut logging = Table::new();
        logging.insert("every".to_owned(), Value::Integer(100));
        logging.insert("histograms_every".to_owned(), Value::Integer(1000));
        plan.insert("logging".to_owned(), Value::Table(logging));
        Ok(plan)
    }

    fn build(
        &self,
        setup: &Setup,
        saved: Option<&Saved>,
    ) -> Result<Box<dyn super::Learner>, Error> {
        let config: Config = keys::read(setup.plan, NAME)?;
        let learner = match saved {
            Some(saved) => Learner::saved(saved, config, setup.threads)?,
            None => Learner::new(setup, config)?,
        };
        Ok(Box::new(learner))
    }

    fn model(&self, saved: &Saved) -> Result<Box<dyn super::Model>, Error> {
        Ok(Box::new(Model::saved(saved)?))
    }
}
