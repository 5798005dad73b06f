//! The configuration of RvS-R, with the published values.

use crate::keys::{Range, keys};

/// Whose defaults are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defaults {
    /// rtg's: a network and a batch for a CPU, and normalised observations.
    Rtg,
    /// The authors', for a GPU.
    Authors,
}

impl Defaults {
    /// Their names in plans, the default first.
    pub const RECIPES: &'static [&'static str] = &["rtg", "authors"];

    /// The defaults of `recipe`, one of [`Self::RECIPES`].
    pub fn named(recipe: &str) -> Self {
        if recipe == "authors" {
            Self::Authors
        } else {
            Self::Rtg
        }
    }
}

keys! {
    /// RvS-R's network, inputs and optimiser.
    pub struct Config = "rvs", defaults: Defaults;

    /// Units in each hidden layer.
    width: usize = match defaults {
        Defaults::Rtg => 256,
        Defaults::Authors => 1024,
    }, Range::WIDTH, "", "1024";
    /// Hidden layers.
    layers: usize = 2, Range::LAYERS, "", "2";
    /// Dropout after each hidden layer.
    dropout: f32 = 0.0, Range::BELOW_ONE, "", "0 in locomotion and antmaze, 0.1 in kitchen";
    /// Steps in a batch.
    batch_size: usize = match defaults {
        Defaults::Rtg => 256,
        Defaults::Authors => 16_384,
    }, Range::ROWS, "steps", "16384; 256 in kitchen";
    /// Adam's learning rate.
    learning_rate: f64 = 1e-3, Range::POSITIVE, "", "1e-3";
    /// Horizon of an episode, over whose remaining steps future rewards are averaged: at step t
    /// they are divided by `horizon` - t, at least 1. Default: the length of the data's longest
    /// episode; 1 where labels are advantages.
    horizon: Option<usize> = None, Range::at_least(1), "steps", "the data's longest episode";
    /// Average rewards are divided by this in the network's input: choose their order of magnitude
    /// if it is far from 1.
    outcome_scale: f64 = 1.0, Range::POSITIVE, "reward a step", "1";
    /// Whether observations are normalised by mean and standard deviation (plus 1e-6) of the data.
    normalise: bool = defaults == Defaults::Rtg, Range::Any, "", "false";
}
