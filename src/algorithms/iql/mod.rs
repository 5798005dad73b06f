//! IQL, implicit Q-learning (Kostrikov, Nair and Levine 2021): values of the best actions that the
//! data hold, without ever asking a critic for another action.
//!
//! Twin critics Q with targets Q', a value function V and an actor pi are perceptrons. With t the
//! expectile and A = `min_j` `Q_j'(s, a)` - V(s), an update computes
//!
//! ```text
//! L_V  = mean |t - 1[A < 0]| A^2
//! y    = r + gamma (1 - terminated) V(s')
//! L_Q  = c (mean (Q_1(s, a) - y)^2 + mean (Q_2(s, a) - y)^2)
//! w    = min(exp(beta A), 100)
//! L_pi = mean w (-log pi(a | s))         or, of a deterministic actor, mean w |pi(s) - a|^2
//! ```
//!
//! A Gaussian actor has the mean tanh(network) and standard deviations that are parameters. Two
//! published codes differ in more than numbers:
//!
//! | | `corl` | `paper` |
//! |---|---|---|
//! | order | V, critics, actor | V, actor, critics |
//! | V in critics and actor | of before the update | the new one |
//! | c | 1/2 | 1 |
//! | initial weights | PyTorch's | orthogonal with gain sqrt 2, biases 0 |
//!
//! After CORL's `algorithms/offline/iql.py` and `ikostrikov/implicit_q_learning`. Nothing is drawn
//! in an update but the batch and, if asked for, the actor's dropout.

pub mod config;
mod learner;
mod model;
mod update;

use self::config::{Config, Conventions};
pub use self::learner::Learner;
pub use self::model::Model;
use super::{Algorithm, Card, Error, Facts, Input, Saved, Setup};
use crate::keys::{self, Keys, PlanError, Table, Value};

/// IQL's entry in the table of algorithms.
pub struct Iql;

const NAME: &str = "iql";

impl Algorithm for Iql {
    fn card(&self) -> Card {
        Card {
            name: NAME,
            summary: "IQL: an expectile of the data's values, and cloning weighted by advantage",
            input: Input::Transitions,
            continuous: true,
            discrete: false,
            takes_target: false,
            cuda: false,
            recipes: Conventions::RECIPES,
            former_tables: &[],
        }
    }

    fn tables(&self) -> Vec<Keys> {
        vec![Config::KEYS]
    }

    fn defaults(&self, recipe: &str) -> Result<Table, PlanError> {
        let mut plan = Table::new();
        keys::write(&mut plan, NAME, &Config::of(Conventions::named(recipe)))?;
        let dataset = "builtin/pendulum/mixed".to_owned();
        let general = [
            ("dataset", Value::String(dataset)),
            ("steps", Value::Integer(10_000)),
            ("checkpoint_every", Value::Integer(5000)),
        ];
        plan.extend(general.map(|(key, value)| (key.to_owned(), value)));
        let logging = [("every", 100), ("histograms_every", 1000)];
        let logging = logging.map(|(key, every)| (key.to_owned(), Value::Integer(every)));
        let logging = logging.into_iter().collect();
        plan.insert("logging".to_owned(), Value::Table(logging));
        Ok(plan)
    }

    fn resolve(&self, plan: &mut Table, facts: &Facts) -> Result<(), PlanError> {
        let Some(data) = facts.data else {
            return Ok(());
        };
        let mut config: Config = keys::read(plan, NAME)?;
        config.reward_scale = Some(config.reward_scale_for(data)?);
        keys::write(plan, NAME, &config)
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
