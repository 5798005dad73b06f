//! SAC (Haarnoja et al. 2018): off-policy learning of a stochastic policy that keeps some entropy,
//! with a temperature that is learned too ("Soft Actor-Critic Algorithms and Applications").
//!
//! Actor pi and twin critics Q are perceptrons; the critics have targets, marked by '. With a' drawn
//! from pi(s'), a~ from pi(s), alpha the temperature and H the target entropy,
//!
//! ```text
//! y       = r + gamma (1 - terminated) (min_j Q_j'(s', a') - alpha log pi(a'|s'))
//! L_Q     = mean (Q_1(s, a) - y)^2 + mean (Q_2(s, a) - y)^2
//! L_pi    = mean (alpha log pi(a~|s) - min_j Q_j(s, a~))
//! L_alpha = -mean (alpha (log pi(a~|s) + H))
//! ```
//!
//! # Two published codes
//!
//! | | `cleanrl`: `sac_continuous_action.py` | `sb3`: `sac.py` |
//! |---|---|---|
//! | log sigma | -5 + 3.5 (tanh(raw) + 1) | raw, clamped to -20..2 |
//! | log pi | of the environment's action | of the action in -1..1 |
//! | critics see | the environment's action | the action in -1..1 |
//! | `L_Q` | as above | half of it |
//! | `L_alpha` | as above, with a sample of its own | log alpha for the first alpha, the actor's sample |
//! | order | Q; every second time, twice: actor, alpha | alpha, Q, actor, with the former alpha |
//!
//! Learning rates and the warm-up differ too: see [`config`]. Targets follow with every update.

pub mod config;
mod learner;
mod model;
mod temperature;
mod update;

use self::config::{Config, Conventions};
pub use self::learner::Learner;
pub use self::model::Model;
pub use self::update::Noise;
use super::{Algorithm, Card, Error, Facts, Input, Saved, Setup};
use crate::keys::{self, KeyError, Keys, PlanError, Table, Value};

/// SAC's entry in the table of algorithms.
pub struct Sac;

const NAME: &str = "sac";

impl Algorithm for Sac {
    fn card(&self) -> Card {
        Card {
            name: NAME,
            summary: "SAC: online, a stochastic actor and twin critics, temperature learned",
            input: Input::Environment,
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
        // A checkpoint holds the replay buffer; there is one at every evaluation as well.
        let general = [("steps", 10_000), ("checkpoint_every", 10_000)];
        plan.extend(general.map(|(key, value)| (key.to_owned(), Value::Integer(value))));
        let logging = [("every", 200), ("histograms_every", 2000)];
        let logging = logging.map(|(key, value)| (key.to_owned(), Value::Integer(value)));
        plan.insert(
            "logging".to_owned(),
            Value::Table(logging.into_iter().collect()),
        );
        Ok(plan)
    }

    fn resolve(&self, plan: &mut Table, facts: &Facts) -> Result<(), PlanError> {
        let mut config: Config = keys::read(plan, NAME)?;
        let code = Conventions::named(facts.recipe);
        config.resolve(code, facts.steps, facts.spec.action_space.width());
        if let Some(data) = facts.data
            && data.steps() > config.capacity
        {
            let expected = format!("at least {}, the steps of the dataset", data.steps());
            return Err(KeyError::new("sac.capacity", config.capacity, expected).into());
        }
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
