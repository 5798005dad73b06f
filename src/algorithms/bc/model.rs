//! A behaviour cloning model, trained or new.

use rtg_datasets::Normaliser;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::BcConfig;
use crate::algorithms::actor_policy::{ActorPolicy, Decision};
use crate::algorithms::networks::Shared;
use crate::algorithms::{
    self, ActionCodec, Computation, Error, PublishedCode, Rule, Saved, computation,
};
use crate::nn::initialise::{LayerFill, initialise_mlp};
use crate::nn::state_dict::{self, Entry, StateDictError, TensorFile};
use crate::policy::{Mode, Policy};
use crate::random::Stream;
use rtg_kernels::Head;
use rtg_kernels::mlp::heads::tanh;
use rtg_kernels::mlp::{Layout, Network, Shape};

/// A behaviour cloning model, trained or new.
#[derive(Debug)]
pub struct Model {
    /// Which code's conventions it follows.
    pub recipe: PublishedCode,
    /// Its configuration.
    pub config: BcConfig,
    pub(super) network: Shared,
    /// Observations: (x - mean) / std.
    pub normaliser: Normaliser,
    /// Actions.
    pub actions: ActionCodec,
}

impl Model {
    fn with(
        (recipe, config): (PublishedCode, BcConfig),
        normaliser: Normaliser,
        actions: ActionCodec,
        (shape, parameters): (Shape, Vec<f32>),
    ) -> Self {
        Self {
            network: Shared::new(Network::new(&shape, parameters)),
            recipe,
            config,
            normaliser,
            actions,
        }
    }

    /// A model with new weights, from the default distribution of PyTorch's `Linear`, as in both
    /// published codes.
    pub fn new(
        published: (PublishedCode, BcConfig),
        normaliser: Normaliser,
        actions: ActionCodec,
        seed: u64,
    ) -> Self {
        let fill = LayerFill::DEFAULT;
        let mut stream = Stream::new(seed, "initialisation");
        let shape = shape(&published.1, &normaliser, &actions);
        let parameters = initialise_mlp(&shape, fill, fill, &mut stream);
        Self::with(published, normaliser, actions, (shape, parameters))
    }

    /// The model of a checkpoint.
    ///
    /// # Errors
    /// Metadata or weights that do not fit.
    pub fn saved(saved: &Saved) -> Result<Self, Error> {
        let MadeOf {
            bc,
            normaliser,
            actions,
        } = saved.made_of()?;
        let shape = shape(&bc, &normaliser, &actions);
        let zeros = state_dict::room(Layout::new(&shape).len(), saved.tensors)?;
        let published = (PublishedCode::named(saved.recipe), bc);
        let mut model = Self::with(published, normaliser, actions, (shape, zeros));
        model.load_weights(saved.tensors)?;
        Ok(model)
    }

    /// Replaces the weights by those of a file with the recipe's names.
    ///
    /// # Errors
    /// Weights of another model; this one is unchanged then.
    pub fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError> {
        let mut network = self.network.lock();
        let parameters = state_dict::import_mlp(self.recipe.naming(), network.layout(), file)?;
        network.parameters_mut().copy_from_slice(&parameters);
        Ok(())
    }
}

/// Sizes of the network that the configuration and the data determine.
fn shape(config: &BcConfig, normaliser: &Normaliser, actions: &ActionCodec) -> Shape {
    let inputs = config.context.saturating_mul(normaliser.width());
    let hidden = vec![config.width; config.layers];
    Shape {
        dropout: config.dropout,
        ..Shape::new(&[inputs], &hidden, actions.width())
    }
}

/// A model without its weights, as a checkpoint's metadata has it.
#[derive(Serialize, Deserialize)]
struct MadeOf {
    bc: BcConfig,
    normaliser: Normaliser,
    actions: ActionCodec,
}

impl algorithms::Model for Model {
    /// Both modes are the same: no action is drawn at random.
    fn policy(&self, _: Mode, rows: usize, threads: usize) -> Box<dyn Policy> {
        Box::new(ActorPolicy::new(
            (self.network.clone(), self.actions.head()),
            Some(self.normaliser.clone()),
            self.actions.clone(),
            Mode::Greedy,
            (rows, threads),
        ))
    }

    fn made_of(&self) -> Value {
        json!({ "bc": self.config, "normaliser": self.normaliser, "actions": self.actions })
    }

    fn weights(&self) -> Vec<Entry> {
        let network = self.network.lock();
        let naming = self.recipe.naming();
        state_dict::export_mlp(naming, network.layout(), network.parameters())
    }

    fn computation(&self) -> Option<Computation> {
        computation::of_actor(
            (&self.network, &self.actions.head()),
            self.normaliser.width(),
            Some(&self.normaliser),
            &self.actions,
            None,
        )
    }
}

impl Decision for Head {
    fn greedy(&self, outputs: &[f32], actions: &mut [f32]) {
        match self {
            Head::Tanh { scale } => tanh::forward(*scale, outputs, actions),
            Head::Logits => actions.copy_from_slice(outputs),
        }
    }

    fn explore(&self, outputs: &[f32], _: &[f32], actions: &mut [f32]) {
        self.greedy(outputs, actions);
    }

    fn rule(&self) -> Option<Rule> {
        Some(match *self {
            Head::Tanh { scale } => Rule::Tanh { scale },
            Head::Logits => Rule::Outputs,
        })
    }
}
