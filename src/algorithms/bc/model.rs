//! A trained (or new) clone.

use rtg_datasets::Normaliser;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::BcConfig;
use super::policy;
use crate::algorithms::{self, ActionCodec, Error, Published, Saved};
use crate::nn::mlp::Mlp;
use crate::nn::state_dict::{self, Entry, StateDictError, TensorFile};
use crate::policy::{Mode, Policy};
use crate::random::Stream;

/// A trained (or new) clone.
#[derive(Clone, Debug)]
pub struct Model {
    /// Which code's conventions it follows.
    pub recipe: Published,
    /// What it was made from.
    pub config: BcConfig,
    /// Sizes of the network, from the configuration and the data.
    pub network: Mlp,
    /// The trained weights.
    pub parameters: Vec<f32>,
    /// Observations: (x - mean) / std.
    pub normaliser: Normaliser,
    /// Actions.
    pub actions: ActionCodec,
}

impl Model {
    /// A model without weights yet.
    pub fn empty(
        recipe: Published,
        config: BcConfig,
        normaliser: Normaliser,
        actions: ActionCodec,
    ) -> Self {
        let mut sizes = vec![config.context * normaliser.width()];
        sizes.extend(vec![config.width; config.layers]);
        sizes.push(actions.width());
        Self {
            network: Mlp {
                sizes,
                head: actions.head(),
            },
            parameters: Vec::new(),
            recipe,
            config,
            normaliser,
            actions,
        }
    }

    /// The same with new weights.
    #[must_use]
    pub fn initialised(mut self, seed: u64) -> Self {
        let mut stream = Stream::new(seed, "initialisation");
        self.parameters = self.network.initialise(&mut stream);
        self
    }

    /// The model of a checkpoint.
    ///
    /// # Errors
    /// Notes or weights that do not fit.
    pub fn saved(saved: &Saved) -> Result<Self, Error> {
        let MadeOf {
            bc,
            normaliser,
            actions,
        } = saved.made_of()?;
        let mut model = Self::empty(Published::named(saved.recipe), bc, normaliser, actions);
        model.load_weights(saved.tensors)?;
        Ok(model)
    }

    /// Replaces the weights by those of a file with the recipe's names.
    ///
    /// # Errors
    /// Weights of another model; this one stays as it was.
    pub fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError> {
        self.parameters = state_dict::import_mlp(self.recipe.naming(), &self.network, file)?;
        Ok(())
    }
}

/// A model without its weights, as a checkpoint notes it.
#[derive(Serialize, Deserialize)]
struct MadeOf {
    bc: BcConfig,
    normaliser: Normaliser,
    actions: ActionCodec,
}

impl algorithms::Model for Model {
    /// It has one mode: no action is drawn at random.
    fn policy(&self, _: Mode, rows: usize, _: usize) -> Box<dyn Policy> {
        Box::new(policy::Clone::new(self, rows))
    }

    fn made_of(&self) -> Value {
        json!({ "bc": self.config, "normaliser": self.normaliser, "actions": self.actions })
    }

    fn weights(&self) -> Vec<Entry> {
        state_dict::export_mlp(self.recipe.naming(), &self.network, &self.parameters)
    }
}
