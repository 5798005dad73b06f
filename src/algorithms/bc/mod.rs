//! Behaviour cloning: a perceptron imitates the data's actions, whatever their return.
//!
//! It is the baseline of the Decision Transformer paper. Trained on the best part of the data only,
//! with a plan's `selection.top_fraction`, it is the paper's %BC. The network is that of kzl's
//! `mlp_bc.py` or of CORL's `any_percent_bc.py` ([`config`]): the last K observations in, one
//! action out; squared error, or cross-entropy for discrete actions. Observations are normalised
//! with the statistics of the data that it learns from, as in CORL (kzl uses those of the whole
//! dataset).

pub mod config;
mod learner;
mod model;

use rtg_datasets::Normaliser;

use self::config::BcConfig;
pub use self::learner::Learner;
pub use self::model::Model;
use super::action_codec::BoxUnits;
use super::{ActionCodec, Algorithm, Card, Error, Facts, Input, PublishedCode, Saved, Setup};
use crate::keys::{self, Keys, PlanError, Table};
use crate::optimise::OptimiserConfig;

/// Behaviour cloning's entry in the table of algorithms.
pub struct BehaviourCloning;

const NAME: &str = "bc";
const NETWORK: &str = BcConfig::KEYS.table;
const OPTIMISER: &str = OptimiserConfig::KEYS.table;

impl Algorithm for BehaviourCloning {
    fn card(&self) -> Card {
        Card {
            name: NAME,
            summary: "Behaviour cloning; with selection.top_fraction, %BC",
            input: Input::Windows,
            continuous: true,
            discrete: true,
            takes_target: false,
            cuda: false,
            recipes: PublishedCode::RECIPES,
            former_tables: &[],
        }
    }

    fn tables(&self) -> Vec<Keys> {
        vec![BcConfig::KEYS, OptimiserConfig::KEYS]
    }

    fn defaults(&self, recipe: &str) -> Result<Table, PlanError> {
        let published = PublishedCode::named(recipe);
        let mut plan = Table::new();
        keys::write(&mut plan, NETWORK, &BcConfig::of(published))?;
        keys::write(&mut plan, OPTIMISER, &config::optimiser(published))?;
        Ok(plan)
    }

    fn resolve(&self, plan: &mut Table, facts: &Facts) -> Result<(), PlanError> {
        let mut optimiser: OptimiserConfig = keys::read(plan, OPTIMISER)?;
        optimiser.warmup_steps = Some(optimiser.warmup(facts.steps));
        keys::write(plan, OPTIMISER, &optimiser)
    }

    fn build(
        &self,
        setup: &Setup,
        saved: Option<&Saved>,
    ) -> Result<Box<dyn super::Learner>, Error> {
        let model = match saved {
            Some(saved) => Model::saved(saved)?,
            None => new_model(setup)?,
        };
        if model.config != keys::read(setup.plan, NETWORK)? {
            return Err(Error::OtherModel { table: NETWORK });
        }
        let optimiser = keys::read(setup.plan, OPTIMISER)?;
        let run = (setup.seed, setup.steps, setup.threads);
        let mut learner = Learner::new(model, optimiser, run);
        if let Some(saved) = saved {
            learner.restore(saved)?;
        }
        Ok(Box::new(learner))
    }

    fn model(&self, saved: &Saved) -> Result<Box<dyn super::Model>, Error> {
        Ok(Box::new(Model::saved(saved)?))
    }
}

/// A new model for this plan and data.
fn new_model(setup: &Setup) -> Result<Model, Error> {
    let published = PublishedCode::named(setup.recipe);
    let units = match published {
        PublishedCode::Official => BoxUnits::Unit,
        PublishedCode::Corl => BoxUnits::Symmetric,
    };
    let actions =
        ActionCodec::of(units, &setup.spec.action_space).map_err(|found| Error::ActionSpace {
            algorithm: NAME,
            found,
        })?;
    let config = keys::read(setup.plan, NETWORK)?;
    let normaliser = Normaliser::of(setup.dataset()?, Normaliser::EPSILON);
    Ok(Model::new(
        (published, config),
        normaliser,
        actions,
        setup.seed,
    ))
}
