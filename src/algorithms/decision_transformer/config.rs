//! Every choice of a Decision Transformer, with the values of the two published recipes.

use rtg_datasets::{Dataset, ReturnSummary};
use rtg_envs::{Spec, registry};
use serde::{Deserialize, Serialize};

use crate::kernels::adamw::{self, AdamW};
use crate::kernels::{Activation, Denominator, Precision};
use crate::nn::initialise::Initialisation;
use crate::nn::state_dict::Naming;

/// Which published code is followed where the two differ: padding, initialisation, activation,
/// loss denominator, time-step table and weight names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipe {
    /// kzl/decision-transformer, `gym/` (Chen et al. 2021).
    Official,
    /// corl-team/CORL, `algorithms/offline/dt.py` (its dataclass defaults: batch 64, lr 1e-4).
    Corl,
}

/// What computes a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// Our kernels, one node on dfdx's tape.
    Fused,
    /// dfdx's own operations: slow, readable, the reference.
    Composed,
}

/// How an activation is called in a file.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Activation", rename_all = "lowercase")]
enum ActivationName {
    Relu,
    Gelu,
}

/// How a precision is called in a file.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Precision", rename_all = "lowercase")]
enum PrecisionName {
    F32,
    Tf32,
    Bf16,
}

/// How the learning rate goes on after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// It stays (both recipes).
    Constant,
    /// It falls along half a cosine, to zero at the last step.
    Cosine,
}

/// The network and how data enters it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Steps that the model sees, K; three tokens each. Both recipes: 20.
    pub context: usize,
    /// Channels of a token, C. Both recipes: 128.
    pub width: usize,
    /// Transformer blocks, L. Both recipes: 3.
    pub layers: usize,
    /// Attention heads, H; divides the width. Both recipes: 1.
    pub heads: usize,
    /// Between the two layers of a block's MLP. Official: relu; corl: gelu.
    #[serde(with = "ActivationName")]
    pub activation: Activation,
    /// Dropout on attention probabilities. Both recipes: 0.1.
    pub attention_dropout: f32,
    /// Dropout on the two outputs of a block. Both recipes: 0.1.
    pub residual_dropout: f32,
    /// Dropout on the embedded tokens. Both recipes: 0.1.
    pub embedding_dropout: f32,
    /// Returns-to-go are divided by this. Default: the recipe's for a known environment, else the
    /// power of ten nearest to a quarter of the data's largest absolute return (1 if all are zero).
    pub return_scale: Option<f64>,
    /// Longest episode that the time-step table covers. Default: the environment's time limit, or
    /// the longest episode of the data where that is longer.
    pub episode_length: Option<usize>,
    /// What computes a training step.
    pub engine: EngineKind,
    /// Factors of the fused engine's large products: `f32`, `bf16` (a GPU, or a CPU with AVX512-BF16) or
    /// `tf32` (a GPU); sums, weights, gradients and moments stay f32. Both recipes: f32.
    #[serde(with = "PrecisionName", default)]
    pub precision: Precision,
}

/// AdamW and its schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimiserConfig {
    /// Windows in a batch. Both recipes: 64 (CORL's locomotion files: 4096).
    pub batch_size: usize,
    /// Batches whose gradients are averaged for one step. Both recipes: 1.
    pub accumulation: usize,
    /// Peak learning rate. Both recipes: 1e-4 (CORL's locomotion files: 8e-4).
    pub learning_rate: f64,
    /// Decoupled weight decay on every trained parameter. Both recipes: 1e-4.
    pub weight_decay: f64,
    /// Decay of the gradient's running mean. Both recipes: 0.9.
    pub beta_1: f64,
    /// Decay of the squared gradient's running mean. Both recipes: 0.999.
    pub beta_2: f64,
    /// Added to the denominator. Both recipes: 1e-8.
    pub epsilon: f64,
    /// Steps of linear warm-up. Both recipes: 10,000; default here: that, or a tenth of the run if
    /// the run is shorter than ten times that.
    pub warmup_steps: Option<u64>,
    /// After the warm-up.
    pub schedule: Schedule,
    /// Largest global L2 norm of the gradient; 0 switches clipping off. Both recipes: 0.25.
    pub gradient_clip: f64,
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self {
            batch_size: 64,
            accumulation: 1,
            learning_rate: 1e-4,
            weight_decay: 1e-4,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            warmup_steps: None,
            schedule: Schedule::Constant,
            gradient_clip: 0.25,
        }
    }
}

impl OptimiserConfig {
    /// The optimiser's own constants.
    pub fn adamw(&self) -> AdamW {
        AdamW {
            beta_1: self.beta_1,
            beta_2: self.beta_2,
            epsilon: self.epsilon,
            decay: self.weight_decay,
        }
    }

    /// The factor for a gradient of this norm: no more than `gradient_clip` is left, if that is above 0.
    pub fn clip(&self, norm: f64) -> f64 {
        if self.gradient_clip > 0.0 {
            adamw::clip(norm, self.gradient_clip)
        } else {
            1.0
        }
    }

    /// Warm-up steps of a run of `steps`.
    pub fn warmup(&self, steps: u64) -> u64 {
        /// `warmup_steps` of both recipes.
        const RECIPE: u64 = 10_000;
        self.warmup_steps.unwrap_or(RECIPE.min(steps / 10))
    }

    /// The learning rate of step `step` (from 0) of `steps`.
    pub fn learning_rate_at(&self, step: u64, steps: u64) -> f64 {
        let warmup = self.warmup(steps);
        if step < warmup {
            return self.learning_rate * (step + 1) as f64 / warmup as f64;
        }
        match self.schedule {
            Schedule::Constant => self.learning_rate,
            Schedule::Cosine => {
                let progress = (step - warmup) as f64 / (steps - warmup).max(1) as f64;
                self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
        }
    }
}

impl ModelConfig {
    /// The recipe's network.
    pub fn of(recipe: Recipe) -> Self {
        Self {
            context: 20,
            width: 128,
            layers: 3,
            heads: 1,
            activation: match recipe {
                Recipe::Official => Activation::Relu,
                Recipe::Corl => Activation::Gelu,
            },
            attention_dropout: 0.1,
            residual_dropout: 0.1,
            embedding_dropout: 0.1,
            return_scale: None,
            episode_length: None,
            engine: EngineKind::Fused,
            precision: Precision::F32,
        }
    }

    /// The divisor of returns-to-go for this data.
    pub fn return_scale_for(&self, env_id: &str, data: &Dataset) -> f64 {
        self.return_scale
            .or_else(|| Recipe::return_scale(env_id))
            .unwrap_or_else(|| ReturnSummary::of(data).suggested_scale())
    }

    /// The longest episode for this data.
    pub fn episode_length_for(&self, spec: &Spec, data: &Dataset) -> usize {
        self.episode_length.unwrap_or_else(|| {
            let longest = data.iter().map(|episode| episode.len()).max().unwrap_or(1);
            longest.max(spec.max_episode_steps.unwrap_or(0))
        })
    }
}

impl Recipe {
    /// Weight names in files.
    pub fn naming(self) -> Naming {
        match self {
            Recipe::Official => Naming::Official,
            Recipe::Corl => Naming::Corl,
        }
    }

    /// How a new model is filled.
    pub fn initialisation(self) -> Initialisation {
        match self {
            Recipe::Official => Initialisation::Official,
            Recipe::Corl => Initialisation::Corl,
        }
    }

    /// Official averages the loss over valid steps, CORL over padding too.
    pub fn denominator(self) -> Denominator {
        match self {
            Recipe::Official => Denominator::Valid,
            Recipe::Corl => Denominator::All,
        }
    }

    /// Rows of the time-step table. CORL's right padding runs past the episode's end.
    pub fn timesteps(self, episode_length: usize, context: usize) -> usize {
        match self {
            Recipe::Official => episode_length,
            Recipe::Corl => episode_length + context,
        }
    }

    /// kzl's `experiment.py` and CORL's locomotion files divide returns of these bodies by 1000.
    fn return_scale(env_id: &str) -> Option<f64> {
        ["Hopper", "HalfCheetah", "Walker2d"]
            .contains(&body(env_id))
            .then_some(1000.0)
    }

    /// Target returns that both recipes ask for, largest first.
    pub fn targets(env_id: &str) -> Option<Vec<f64>> {
        match body(env_id) {
            "Hopper" => Some(vec![3600.0, 1800.0]),
            "HalfCheetah" => Some(vec![12_000.0, 6000.0]),
            "Walker2d" => Some(vec![5000.0, 2500.0]),
            _ => None,
        }
    }
}

/// `Hopper` of `Hopper-v5` and of `delayed/Hopper-v4`.
fn body(env_id: &str) -> &str {
    let id = registry::undelayed(env_id);
    id.split_once('-').map_or(id, |(body, _)| body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_linearly_and_then_stays_or_falls_to_zero() {
        let mut config = OptimiserConfig {
            warmup_steps: Some(10),
            learning_rate: 1.0,
            ..OptimiserConfig::default()
        };
        assert!((config.learning_rate_at(0, 100) - 0.1).abs() < 1e-12);
        assert!((config.learning_rate_at(9, 100) - 1.0).abs() < 1e-12);
        assert!((config.learning_rate_at(99, 100) - 1.0).abs() < 1e-12);
        config.schedule = Schedule::Cosine;
        assert!((config.learning_rate_at(55, 100) - 0.5).abs() < 1e-12);
        assert!(config.learning_rate_at(99, 100) < 1e-3);
    }

    #[test]
    fn a_body_has_its_targets_with_delayed_reward_too() {
        assert_eq!(
            Recipe::targets("delayed/Hopper-v5"),
            Recipe::targets("Hopper-v4")
        );
        assert_eq!(Recipe::return_scale("delayed/Hopper-v5"), Some(1000.0));
        assert_eq!(Recipe::return_scale("delayed/CartPole-v1"), None);
    }

    #[test]
    fn a_short_run_warms_up_for_a_tenth_of_its_steps() {
        let config = OptimiserConfig::default();
        assert_eq!(config.warmup(2000), 200);
        assert_eq!(config.warmup(100_000), 10_000);
        assert_eq!(config.warmup(1_000_000), 10_000);
    }
}
