//! DQN (Mnih et al. 2015): online Q-learning of discrete actions with a replay buffer and a target
//! network.
//!
//! ```text
//! y = r + gamma (1 - terminated) max_b Q'(s', b)
//! L = mean l(Q(s, a) - y)
//! ```
//!
//! `double` (van Hasselt et al. 2016), `dueling` (Wang et al. 2016) and `n_step` are keys; neither
//! published code has the first two. Actions are random with a probability epsilon, which decays
//! linearly, else greedy.
//!
//! | | `cleanrl`: `dqn.py` | `sb3`: `dqn.py` |
//! |---|---|---|
//! | l | the square | Huber's loss; gradients of at most norm 10 |
//! | before the first update | epsilon-greedy actions | random actions |
//! | the target is copied | after the update of its step | before it |
//!
//! Networks, learning rates and frequencies differ too: see [`config`].

pub mod config;

use self::config::{Config, OnlineConventions};
use super::q_learning::{Learner, Model};
use super::{Algorithm, Card, Error, Facts, Input, Saved, Setup};
use crate::keys::{self, Keys, PlanError, Table};

/// DQN's entry in the table of algorithms.
pub struct Dqn;

const NAME: &str = "dqn";

impl Algorithm for Dqn {
    fn card(&self) -> Card {
        Card {
            name: NAME,
            summary: "DQN: online Q-learning, epsilon-greedy; double, dueling, n-step",
            input: Input::Environment,
            continuous: false,
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
        // A checkpoint contains the replay buffer, and one is written at every evaluation as well.
        let mut plan = super::general(50_000, 10_000, 500);
        keys::write(
            &mut plan,
            NAME,
            &Config::of(OnlineConventions::named(recipe)),
        )?;
        Ok(plan)
    }

    fn resolve(&self, plan: &mut Table, facts: &Facts) -> Result<(), PlanError> {
        let mut config: Config = keys::read(plan, NAME)?;
        config.resolve(OnlineConventions::named(facts.recipe), facts.steps);
        facts.fit_into("dqn.capacity", config.capacity)?;
        keys::write(plan, NAME, &config)
    }

    fn build(
        &self,
        setup: &Setup,
        saved: Option<&Saved>,
    ) -> Result<Box<dyn super::Learner>, Error> {
        let code = OnlineConventions::named(setup.recipe);
        let config: Config = keys::read(setup.plan, NAME)?;
        let method = config.method(code, setup.steps);
        let learner = match saved {
            Some(saved) => Learner::saved(saved, setup, method)?,
            None => Learner::new(setup, method)?,
        };
        Ok(Box::new(learner))
    }

    fn model(&self, saved: &Saved) -> Result<Box<dyn super::Model>, Error> {
        Ok(Box::new(Model::saved(saved)?))
    }
}
