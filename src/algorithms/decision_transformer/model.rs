//! A Decision Transformer, trained or new.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::checks::{check_guidance, check_heads, check_predicted};
use super::config::ModelConfig;
use super::policy;
use super::preprocessing::Preprocessing;
use super::recipe::Recipe;
use super::search::HistorySearch;
use crate::algorithms::{self, Computation, Error, Saved, Sequence};
use crate::nn::initialise::initialise;
use crate::nn::state_dict::{self, Entry, Naming, StateDictError, TensorFile, untrained};
use crate::policy::{ActingMode, Mode, Policy};
use crate::random::Stream;
use rtg_kernels::decision_transformer::{Condition, Layout, Memory, NormPlacement, Shape};
use rtg_kernels::{Head, device};

/// A Decision Transformer, trained or new.
#[derive(Clone, Debug)]
pub struct Model {
    /// Which member of the family it is.
    pub recipe: Recipe,
    /// Its configuration.
    pub config: ModelConfig,
    /// Sizes of the network, from the configuration and the data.
    pub shape: Shape,
    /// The trained weights, see [`Layout`].
    pub parameters: Vec<f32>,
    /// Weights of the peer's state dict that are never trained.
    pub untrained: Vec<Entry>,
    /// From raw values to the network's inputs, and from its outputs to actions.
    pub preprocessing: Preprocessing,
}

impl Model {
    /// A new model with the recipe's initialisation.
    pub fn new(
        recipe: Recipe,
        config: &ModelConfig,
        preprocessing: Preprocessing,
        seed: u64,
    ) -> Self {
        let shape = shape(recipe, config, &preprocessing);
        let mut stream = Stream::new(seed, "initialisation");
        let parameters = initialise(
            &Layout::new(&shape),
            (recipe.initialisation(), config.step_initialisation),
            &mut stream,
        );
        let untrained = untrained(naming(recipe, &shape), &shape, &mut stream);
        Self {
            recipe,
            config: config.clone(),
            shape,
            parameters,
            untrained,
            preprocessing,
        }
    }

    /// The model of a checkpoint.
    ///
    /// # Errors
    /// Metadata or weights that do not fit.
    pub fn saved(saved: &Saved) -> Result<Self, Error> {
        let MadeOf {
            model: config,
            preprocessing,
        } = saved.made_of()?;
        check_heads(config.width, config.heads)
            .and_then(|()| check_guidance(&config))
            .and_then(|()| check_predicted(&config))
            .map_err(|error| Error::Notes(error.to_string()))?;
        let recipe = Recipe::named(saved.recipe);
        let mut model = Self {
            recipe,
            shape: shape(recipe, &config, &preprocessing),
            config,
            parameters: Vec::new(),
            untrained: Vec::new(),
            preprocessing,
        };
        model.load_weights(saved.tensors)?;
        Ok(model)
    }

    /// Replaces the weights by those of a file with the recipe's names.
    ///
    /// # Errors
    /// Weights of another model; this one is unchanged then.
    pub fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError> {
        let layout = Layout::new(&self.shape);
        let mut parameters = state_dict::room(layout.len(), file)?;
        let naming = self.naming();
        self.untrained = state_dict::import(naming, &self.shape, &layout, file, &mut parameters)?;
        self.parameters = parameters;
        Ok(())
    }

    /// Weight names in files.
    pub fn naming(&self) -> Naming {
        naming(self.recipe, &self.shape)
    }

    /// The network of the greedy policy with returns-to-go: of a stochastic model, that of its
    /// mean.
    pub(super) fn greedy_network(&self) -> (Shape, Vec<f32>) {
        let shape = Shape {
            deviation: None,
            next_observation: None,
            condition: match self.shape.condition {
                Condition::Nullable => Condition::Token,
                condition => condition,
            },
            ..self.shape
        };
        (shape, self.parameters_of(&shape))
    }

    /// The network whose outputs guidance combines: as the greedy one, with the null, and without
    /// the function that makes actions of its outputs.
    pub(super) fn guided_network(&self) -> (Shape, Vec<f32>) {
        let shape = Shape {
            deviation: None,
            next_observation: None,
            head: Head::Logits,
            ..self.shape
        };
        (shape, self.parameters_of(&shape))
    }

    /// The parameters of a network that has fewer of them: no deviation, no next observations, or
    /// no null.
    fn parameters_of(&self, shape: &Shape) -> Vec<f32> {
        let (all, fewer) = (Layout::new(&self.shape), Layout::new(shape));
        let trained_only = ["log_sigma", "next_observation"];
        let shared = (all.views()).filter(|view| {
            let mut names = trained_only.iter();
            !names.any(|name| view.name.starts_with(name))
        });
        // Both have the same order, and the null is the last row of its weight.
        let parameters = (shared.zip(fewer.views()))
            .flat_map(|(all, fewer)| &self.parameters[all.range.start..][..fewer.range.len()]);
        parameters.copied().collect()
    }

    /// A policy for up to `rows` episodes at once, conditioned on each episode's target return. Its
    /// actions have the same bits for any number of rows and threads.
    pub fn policy(&self, acting: ActingMode, rows: usize, threads: usize) -> Box<dyn Policy> {
        let memory = match acting {
            ActingMode::Exact => Memory::Exact,
            ActingMode::Streaming => Memory::Streaming,
            ActingMode::Search => return Box::new(HistorySearch::new(self, rows, threads)),
        };
        Box::new(policy::TargetReturn::new(self, memory, rows, threads))
    }
}

/// A model without its weights, as a checkpoint's metadata has it.
#[derive(Serialize, Deserialize)]
struct MadeOf {
    model: ModelConfig,
    preprocessing: Preprocessing,
}

impl algorithms::Model for Model {
    /// A deterministic model acts alike in both modes.
    fn policy(&self, mode: Mode, rows: usize, threads: usize) -> Box<dyn Policy> {
        if mode == Mode::Explore && self.shape.deviation.is_some() {
            return Box::new(policy::TargetReturn::exploring(self, rows, threads));
        }
        self.policy(ActingMode::Exact, rows, threads)
    }

    fn greedy(&self, acting: ActingMode, rows: usize, threads: usize) -> Box<dyn Policy> {
        self.policy(acting, rows, threads)
    }

    fn on_gpu(&self, ordinal: usize, rows: usize) -> Result<Box<dyn Policy>, algorithms::Error> {
        let backend = device::open(ordinal)?;
        Ok(Box::new(policy::TargetReturn::on_device(
            self, backend, rows,
        )?))
    }

    fn guided(&self, guidance: f32) -> Option<Box<dyn algorithms::Model>> {
        let mut model = self.clone();
        model.config.guidance = guidance;
        check_guidance(&model.config).ok()?;
        Some(Box::new(model))
    }

    fn optimistic(&self, optimism: f32) -> Option<Box<dyn algorithms::Model>> {
        if self.config.return_bins == 0 {
            return None;
        }
        let config = ModelConfig {
            optimism,
            ..self.config.clone()
        };
        Some(Box::new(Self {
            shape: shape(self.recipe, &config, &self.preprocessing),
            config,
            ..self.clone()
        }))
    }

    fn made_of(&self) -> Value {
        json!({ "model": self.config, "preprocessing": self.preprocessing })
    }

    fn weights(&self) -> Vec<Entry> {
        let layout = Layout::new(&self.shape);
        let mut entries = state_dict::export(self.naming(), &layout, &self.parameters);
        entries.extend(self.untrained.iter().cloned());
        entries
    }

    fn computation(&self) -> Option<Computation> {
        if self.config.is_guided() {
            return None;
        }
        let Preprocessing {
            normaliser,
            return_scale,
            episode_length,
            constant_target,
            actions,
        } = self.preprocessing.clone();
        let (mut shape, mut parameters) = self.greedy_network();
        // Exported policies count timesteps from 0. The table comes first.
        let before = self.recipe.first_timestep() as usize;
        shape.timesteps -= before;
        parameters.drain(..before * shape.width);
        Some(Computation::Sequence(Sequence {
            shape,
            parameters,
            untrained: self.untrained.clone(),
            naming: self.naming(),
            normaliser,
            return_scale,
            episode_length,
            constant_target,
            actions,
        }))
    }
}

/// Weight names in files: those of the recipe's source where the network has its norms.
fn naming(recipe: Recipe, shape: &Shape) -> Naming {
    match shape.norm_placement {
        NormPlacement::Pre => recipe.naming(),
        NormPlacement::Post => Naming::MinDt,
    }
}

/// Sizes of the network that the configuration and the data determine.
pub fn shape(recipe: Recipe, config: &ModelConfig, preprocessing: &Preprocessing) -> Shape {
    Shape {
        observation: preprocessing.normaliser.mean.len(),
        action: preprocessing.actions.width(),
        context: config.context,
        width: config.width,
        heads: config.heads,
        layers: config.layers,
        timesteps: recipe.timesteps(preprocessing.episode_length, config.context),
        activation: config.activation,
        head: preprocessing.actions.head(),
        condition: config.condition(),
        mixer: config.mixer,
        deviation: config.deviation(),
        positions: config.positions,
        norm_placement: config.norm_placement,
        norm_epsilon: config.norm_epsilon,
        next_observation: config.next_observation(),
    }
}
