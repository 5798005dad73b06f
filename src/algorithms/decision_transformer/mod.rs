//! The Decision Transformer (Chen et al. 2021): behaviour cloning of windows of (return-to-go,
//! observation, action), conditioned on a target return at evaluation; and its variants, which
//! differ in a switch of [`config`].
//!
//! [`Learner`] trains; [`Model`] is the result: weights, sizes and preprocessing, all that a
//! [`policy`](Model::policy) needs. Recipes are in [`recipe`], their differences in [`config`].

pub mod checks;
mod condition_dropout;
pub mod config;
mod device;
mod learner;
mod model;
mod policy;
mod temperature;
pub mod preprocessing;
pub mod recipe;
mod return_encoding;
mod search;

use rtg_datasets::{LabelKind, Labels, Normaliser};

use self::checks::{check_acting, check_heads, check_precision, check_switches};
use self::config::{ConditionName, EngineKind, ModelConfig};
pub use self::device::DeviceLearner;
pub use self::learner::{Learner, windows};
pub use self::model::{Model, shape};
use self::preprocessing::Preprocessing;
use self::recipe::Recipe;
use super::action_codec::BoxUnits;
use super::labels::LabelsConfig;
use super::{
    ActionCodec, Algorithm, Card, Error, Facts, Input, PublishedCode, Saved, Setup, memory,
};
use crate::keys::{self, KeyError, Keys, PlanError, Table};
use crate::optimise::{OptimiserConfig, OptimiserMethod};
use crate::policy::Acting;

/// The Decision Transformer's entry in the table of algorithms.
pub struct DecisionTransformer;

const NAME: &str = "decision_transformer";
const NETWORK: &str = ModelConfig::KEYS.table;
const OPTIMISER: &str = OptimiserConfig::KEYS.table;

impl Algorithm for DecisionTransformer {
    fn card(&self) -> Card {
        Card {
            name: NAME,
            summary: "Decision Transformer: a causal transformer conditioned on a target return",
            input: Input::Windows,
            continuous: true,
            discrete: true,
            takes_target: true,
            cuda: true,
            recipes: Recipe::NAMES,
            former_tables: &[("model", NETWORK)],
        }
    }

    fn tables(&self) -> Vec<Keys> {
        vec![ModelConfig::KEYS, OptimiserConfig::KEYS]
    }

    fn defaults(&self, recipe: &str) -> Result<Table, PlanError> {
        let mut plan = Table::new();
        let recipe = Recipe::named(recipe);
        keys::write(&mut plan, NETWORK, &ModelConfig::of(recipe))?;
        keys::write(&mut plan, OPTIMISER, &recipe.optimiser())?;
        if recipe == Recipe::Qdt {
            keys::write(&mut plan, LabelsConfig::KEYS.table, &LabelsConfig::of(()))?;
        }
        Ok(plan)
    }

    fn check(&self, recipe: &str, plan: &Table, on_gpu: bool) -> Result<(), PlanError> {
        let config: ModelConfig = keys::read(plan, NETWORK)?;
        if on_gpu && Recipe::named(recipe) == Recipe::D3rlpy {
            let expected = "another on a GPU, where windows begin at the drawn step";
            return Err(KeyError::new("recipe", recipe, expected).into());
        }
        check_heads(config.width, config.heads)?;
        check_switches(&config, on_gpu)?;
        if !on_gpu {
            return Ok(check_precision(config.precision)?);
        }
        let optimiser: OptimiserConfig = keys::read(plan, OPTIMISER)?;
        if optimiser.method == OptimiserMethod::Lamb {
            let key = OptimiserConfig::KEYS.path("method");
            return Err(KeyError::new(&key, "lamb", "adamw on a GPU").into());
        }
        if config.engine == EngineKind::Composed {
            let key = ModelConfig::KEYS.path("engine");
            return Err(KeyError::new(&key, "composed", "fused on a GPU").into());
        }
        Ok(())
    }

    fn check_acting(&self, plan: &Table, acting: Acting) -> Result<(), PlanError> {
        Ok(check_acting(&keys::read(plan, NETWORK)?, acting)?)
    }

    fn resolve(&self, plan: &mut Table, facts: &Facts) -> Result<(), PlanError> {
        let Some(data) = facts.data else {
            return Ok(());
        };
        let mut config: ModelConfig = keys::read(plan, NETWORK)?;
        let recipe = Recipe::named(facts.recipe);
        config.return_scale = Some(config.return_scale_for(recipe, &facts.spec.id, data));
        let published = recipe.published();
        config.episode_length = Some(config.episode_length_for(published, facts.spec, data)?);
        config.resolve_head(recipe, &facts.spec.action_space)?;
        config.resolve_bins(recipe.return_bin_range(facts.spec), data)?;
        let mut optimiser: OptimiserConfig = keys::read(plan, OPTIMISER)?;
        optimiser.warmup_steps = Some(optimiser.warmup(facts.steps));
        keys::write(plan, NETWORK, &config)?;
        keys::write(plan, OPTIMISER, &optimiser)
    }

    fn takes_target(&self, plan: &Table) -> bool {
        let config = keys::read::<ModelConfig>(plan, NETWORK);
        !config.is_ok_and(|config| config.condition == ConditionName::Predicted)
    }

    fn targets(&self, env_id: &str) -> Option<Vec<f64>> {
        PublishedCode::targets(env_id)
    }

    fn numbers(&self, setup: &Setup) -> f64 {
        let read = keys::read::<ModelConfig>(setup.plan, NETWORK).ok();
        let optimiser = keys::read::<OptimiserConfig>(setup.plan, OPTIMISER).ok();
        let (Some(config), Some(optimiser)) = (read, optimiser) else {
            return 0.0;
        };
        let [width, layers, context] =
            [config.width, config.layers, config.context].map(|size| size as f64);
        let timesteps = config.episode_length.unwrap_or(1) as f64 + context;
        let step = (setup.spec.observation_space.width() + setup.spec.action_space.width()) as f64;
        let parameters = (timesteps + step + 12.0 * layers * width) * width;
        // A window's tokens in every layer, and its attention in one layer.
        let tokens = 3.0 * context;
        let window = tokens * width * layers + tokens * tokens;
        let batch = optimiser.batch_size as f64 * context * step;
        memory::of_parameters(parameters, batch + window)
    }

    fn build(
        &self,
        setup: &Setup,
        saved: Option<&Saved>,
    ) -> Result<Box<dyn super::Learner>, Error> {
        let config: ModelConfig = keys::read(setup.plan, NETWORK)?;
        let optimiser = keys::read(setup.plan, OPTIMISER)?;
        let model = match saved {
            Some(saved) => Model::saved(saved)?,
            None => new_model(setup, &config)?,
        };
        if model.config != config {
            return Err(Error::OtherModel { table: NETWORK });
        }
        let plan = (setup.seed, setup.steps, setup.threads);
        let mut learner = Learner::new(model, &config, &optimiser, plan);
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
fn new_model(setup: &Setup, config: &ModelConfig) -> Result<Model, Error> {
    let data = setup.dataset()?;
    let recipe = Recipe::named(setup.recipe);
    let published = recipe.published();
    let units = match published {
        PublishedCode::Official => BoxUnits::Unit,
        PublishedCode::Corl => BoxUnits::Symmetric,
    };
    let preprocessing = Preprocessing {
        normaliser: Normaliser::of(data, recipe.normaliser_epsilon()),
        return_scale: config.return_scale_for(recipe, &setup.spec.id, data),
        episode_length: config
            .episode_length_for(published, setup.spec, data)
            .map_err(PlanError::from)?,
        constant_target: data.labels().map(Labels::kind) == Some(LabelKind::Constant),
        actions: ActionCodec::of(units, &setup.spec.action_space).map_err(|found| {
            Error::ActionSpace {
                algorithm: NAME,
                found,
            }
        })?,
    };
    Ok(Model::new(recipe, config, preprocessing, setup.seed))
}
