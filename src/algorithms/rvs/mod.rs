//! RvS-R, reinforcement learning via supervised learning on returns (Emmons et al. 2022): behaviour
//! cloning by a perceptron with one more input: the average reward from a step to the end of its
//! episode.
//!
//! With `R_t` the sum of the rewards from step t (0 at the start) to the end of the episode and T
//! the length of the data's longest episode:
//!
//! ```text
//! outcome_t = R_t / (T - t)
//! mu, log sigma = network(s_t, outcome_t), free parameters
//! L = mean over the batch of -log N(a_t; mu, sigma^2)     or, for discrete actions, cross-entropy
//! ```
//!
//! The input has neither time nor history, so it is the baseline for the benefit of a sequence
//! model. In acting, a target return R becomes the outcome R / T, constant through the episode; the
//! action is the mean, clipped to the bounds. After the authors' `rvs` (`policies.py`,
//! `dataset.py`): Adam, `ReLU`, orthogonal weights (gain sqrt 2, the last layer 0.01), biases and
//! log sigma from
//! 0. Boxes are mapped onto [-1, 1] here; those of the authors' environments have these bounds.

pub mod config;
mod learner;
mod model;

use rtg_datasets::{Dataset, LabelKind, Labels};

use self::config::{Config, Defaults};
pub use self::learner::Learner;
pub use self::model::Model;
use super::{Algorithm, Card, Error, Facts, Input, Saved, Setup};
use crate::keys::{self, Keys, PlanError, Table};

/// T for these data: the length of the longest episode. Advantages are not divided by the remaining
/// steps.
fn horizon(data: &Dataset) -> usize {
    if data.labels().map(Labels::kind) == Some(LabelKind::Constant) {
        return 1;
    }
    data.iter().map(|episode| episode.len()).max().unwrap_or(1)
}

/// RvS-R's entry in the table of algorithms.
pub struct Rvs;

const NAME: &str = "rvs";

impl Algorithm for Rvs {
    fn card(&self) -> Card {
        Card {
            name: NAME,
            summary: "RvS-R: behaviour cloning conditioned on the average future reward",
            input: Input::Windows,
            continuous: true,
            discrete: true,
            takes_target: true,
            cuda: false,
            recipes: Defaults::RECIPES,
            former_tables: &[],
        }
    }

    fn tables(&self) -> Vec<Keys> {
        vec![Config::KEYS]
    }

    fn defaults(&self, recipe: &str) -> Result<Table, PlanError> {
        let mut plan = super::general(10_000, 1000, 100);
        keys::write(&mut plan, NAME, &Config::of(Defaults::named(recipe)))?;
        Ok(plan)
    }

    fn resolve(&self, plan: &mut Table, facts: &Facts) -> Result<(), PlanError> {
        let mut config: Config = keys::read(plan, NAME)?;
        config.horizon = config.horizon.or_else(|| facts.data.map(horizon));
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
