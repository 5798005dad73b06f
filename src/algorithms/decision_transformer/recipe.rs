//! The named recipes: which switches are set, and whose conventions are followed otherwise.

use rtg_datasets::Normaliser;
use rtg_datasets::sample::WindowConfig;
use rtg_envs::Spec;
use serde::{Deserialize, Serialize};

use super::config::body;
use super::preprocessing::Preprocessing;
use crate::algorithms::PublishedCode;
use crate::nn::initialise::Initialisation;
use crate::nn::state_dict::Naming;
use crate::optimise::{OptimiserConfig, OptimiserMethod};
use rtg_kernels::Denominator;

/// A published variant of the Decision Transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipe {
    /// corl-team/CORL, `algorithms/offline/dt.py`.
    Corl,
    /// kzl/decision-transformer, `gym/` (Chen et al. 2021).
    Official,
    /// beanie00/Decision-ConvFormer, `gym/` (Kim et al. 2024): the official code with a
    /// convolution.
    Convformer,
    /// The Decoupled Decision Transformer: the official code with the return-to-go outside the
    /// sequence. It follows the paper's formula; no code is published.
    Ddt,
    /// Dragon-Zhuang/Reinformer (Zhuang et al. 2024): post-norm and returns-to-go behind the
    /// observations, predicted by expectile regression, at the published sizes.
    Reinformer,
    /// kristery/Elastic-DT (Wu et al. 2023): post-norm, the bin of the return-to-go predicted, with
    /// an expectile beside it and the next observation, at the published sizes.
    #[serde(rename = "elastic_dt")]
    ElasticDt,
    /// The Q-learning Decision Transformer (Yamagata et al. 2023): the official code with labels
    /// of a critic, after `takuyamagata/qdt_simple`.
    Qdt,
    /// facebookresearch/online-dt (Zheng et al. 2022): the official code with a squashed Gaussian,
    /// without positions, at the published sizes.
    #[serde(rename = "online_dt")]
    OnlineDt,
    /// Toshihiro-Ota/decision-mamba, `gym/` (Ota 2024): the official code with a selective scan.
    #[serde(rename = "decision_mamba")]
    DecisionMamba,
    /// huggingface/transformers, `DecisionTransformerModel`: the official network with one more
    /// vector and initial weights of its own. The class has no training; it is the official one.
    HuggingFace,
    /// takuseno/d3rlpy, `DecisionTransformer` as `reproductions/offline/decision_transformer.py`
    /// configures it.
    D3rlpy,
}

impl Recipe {
    /// The names of the recipes, the default first.
    pub const NAMES: &'static [&'static str] = &[
        "corl",
        "official",
        "convformer",
        "ddt",
        "reinformer",
        "elastic_dt",
        "decision_mamba",
        "online_dt",
        "qdt",
        "huggingface",
        "d3rlpy",
    ];

    /// The recipe of this name; CORL's if the name is unknown.
    pub fn named(name: &str) -> Self {
        match name {
            "official" => Self::Official,
            "convformer" => Self::Convformer,
            "ddt" => Self::Ddt,
            "reinformer" => Self::Reinformer,
            "elastic_dt" => Self::ElasticDt,
            "online_dt" => Self::OnlineDt,
            "qdt" => Self::Qdt,
            "decision_mamba" => Self::DecisionMamba,
            "huggingface" => Self::HuggingFace,
            "d3rlpy" => Self::D3rlpy,
            _ => Self::Corl,
        }
    }

    /// The code that it follows where it has nothing of its own.
    pub fn published(self) -> PublishedCode {
        match self {
            Self::Corl => PublishedCode::Corl,
            Self::Official
            | Self::Convformer
            | Self::Ddt
            | Self::Reinformer
            | Self::ElasticDt
            | Self::DecisionMamba
            | Self::OnlineDt
            | Self::Qdt
            | Self::HuggingFace
            | Self::D3rlpy => PublishedCode::Official,
        }
    }

    /// Weight names in files of a network with pre-norm.
    pub fn naming(self) -> Naming {
        match self {
            Self::Convformer => Naming::Convformer,
            Self::DecisionMamba => Naming::Mamba,
            Self::HuggingFace => Naming::HuggingFace,
            Self::D3rlpy => Naming::D3rlpy,
            _ => self.published().naming(),
        }
    }

    /// How the weights of a new model are initialised.
    pub fn initialisation(self) -> Initialisation {
        match (self, self.published()) {
            (Self::HuggingFace, _) => Initialisation::HuggingFace,
            (Self::D3rlpy, _) => Initialisation::D3rlpy,
            (Self::Reinformer | Self::ElasticDt, _) => Initialisation::PyTorch,
            (_, PublishedCode::Official) => Initialisation::Official,
            (_, PublishedCode::Corl) => Initialisation::Corl,
        }
    }

    /// `official` averages the loss over valid steps, `corl` over padded steps too, `d3rlpy` over
    /// all steps, of which each counts the sum over the numbers of its action.
    pub fn denominator(self) -> Denominator {
        match (self, self.published()) {
            (Self::D3rlpy, _) => Denominator::Steps,
            (_, PublishedCode::Official) => Denominator::Valid,
            (_, PublishedCode::Corl) => Denominator::All,
        }
    }

    /// How windows are cut, in the model's units.
    pub fn windows(self, context: usize, preprocessing: &Preprocessing) -> WindowConfig {
        let (scale, length) = (preprocessing.return_scale, preprocessing.episode_length);
        let config = match (self, self.published()) {
            (Self::D3rlpy, _) => WindowConfig::d3rlpy(context, scale, length),
            (_, PublishedCode::Official) => WindowConfig::official(context, scale, length),
            (_, PublishedCode::Corl) => WindowConfig::corl(context, scale),
        };
        WindowConfig {
            action_map: preprocessing.actions.action_map(),
            ..config
        }
    }

    /// The timestep of an episode's first step: d3rlpy counts from 1, and 0 is padding.
    pub fn first_timestep(self) -> u32 {
        u32::from(self == Self::D3rlpy)
    }

    /// Rows of the timestep table. CORL's right padding runs past the episode's end.
    pub fn timesteps(self, episode_length: usize, context: usize) -> usize {
        let beyond = match self.published() {
            PublishedCode::Official => self.first_timestep() as usize,
            PublishedCode::Corl => context,
        };
        episode_length.saturating_add(beyond)
    }

    /// Added to the standard deviations that observations are divided by.
    pub fn normaliser_epsilon(self) -> f64 {
        match self {
            Self::D3rlpy => Normaliser::TRANSITION_EPSILON,
            _ => Normaliser::EPSILON,
        }
    }

    /// The optimiser's defaults.
    pub fn optimiser(self) -> OptimiserConfig {
        let mut config = OptimiserConfig::default();
        match self {
            Self::Convformer | Self::DecisionMamba => config.learning_rate = 1e-3,
            Self::OnlineDt => {
                config.method = OptimiserMethod::Lamb;
                config.batch_size = 256;
                config.weight_decay = 5e-4;
                config.warmup_steps = Some(10_000);
            }
            Self::Reinformer => {
                config.method = OptimiserMethod::Lamb;
                config.batch_size = 128;
                config.warmup_steps = Some(5000);
            }
            Self::ElasticDt => {
                config.batch_size = 256;
                config.warmup_steps = Some(10_000);
            }
            _ => {}
        }
        config
    }

    /// Between which returns of this environment the published code divides them into bins: D4RL's
    /// reference returns, `decision_transformer/d4rl_infos.py`.
    pub fn return_bin_range(self, spec: &Spec) -> Option<[f64; 2]> {
        let known = ["Hopper", "HalfCheetah", "Walker2d", "Ant"];
        if self != Self::ElasticDt || !known.contains(&body(&spec.id)) {
            return None;
        }
        let reference = spec.reference_returns?;
        Some([reference.random, reference.expert])
    }

    /// What the published code divides returns of this environment by.
    pub fn return_scale(self, env_id: &str) -> Option<f64> {
        match (self, body(env_id)) {
            (Self::Reinformer, "HalfCheetah") => Some(5000.0),
            _ => PublishedCode::return_scale(env_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtg_envs::registry;

    #[test]
    fn bins_cover_the_reference_returns_of_the_environments_that_the_source_knows() {
        let range =
            |recipe: Recipe, id: &str| recipe.return_bin_range(&registry::spec(id).unwrap());
        let hopper = Some([-20.272_305, 3234.3]);
        assert_eq!(range(Recipe::ElasticDt, "Hopper-v5"), hopper);
        assert_eq!(range(Recipe::ElasticDt, "CartPole-v1"), None);
        assert_eq!(range(Recipe::Reinformer, "Hopper-v5"), None);
    }
}
