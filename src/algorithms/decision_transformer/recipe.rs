//! The named recipes: which switches are set, and whose conventions are followed otherwise.

use serde::{Deserialize, Serialize};

use super::config::body;
use crate::algorithms::PublishedCode;
use crate::nn::state_dict::Naming;
use crate::optimise::{OptimiserConfig, OptimiserMethod};

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
    /// Dragon-Zhuang/Reinformer (Zhuang et al. 2024): the official code with returns-to-go behind
    /// the observations, predicted by expectile regression, at the published sizes.
    Reinformer,
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
}

impl Recipe {
    /// The names of the recipes, the default first.
    pub const NAMES: &'static [&'static str] = &[
        "corl",
        "official",
        "convformer",
        "ddt",
        "reinformer",
        "decision_mamba",
        "online_dt",
        "qdt",
    ];

    /// The recipe of this name; CORL's if the name is unknown.
    pub fn named(name: &str) -> Self {
        match name {
            "official" => Self::Official,
            "convformer" => Self::Convformer,
            "ddt" => Self::Ddt,
            "reinformer" => Self::Reinformer,
            "online_dt" => Self::OnlineDt,
            "qdt" => Self::Qdt,
            "decision_mamba" => Self::DecisionMamba,
            _ => Self::Corl,
        }
    }

    /// The code whose windows, loss and initial weights it uses.
    pub fn published(self) -> PublishedCode {
        match self {
            Self::Corl => PublishedCode::Corl,
            Self::Official
            | Self::Convformer
            | Self::Ddt
            | Self::Reinformer
            | Self::DecisionMamba
            | Self::OnlineDt
            | Self::Qdt => PublishedCode::Official,
        }
    }

    /// Weight names in files.
    pub fn naming(self) -> Naming {
        match self {
            Self::Convformer => Naming::Convformer,
            Self::DecisionMamba => Naming::Mamba,
            _ => self.published().naming(),
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
            Self::Corl | Self::Official | Self::Ddt | Self::Qdt => {}
        }
        config
    }

    /// What the published code divides returns of this environment by.
    pub fn return_scale(self, env_id: &str) -> Option<f64> {
        match (self, body(env_id)) {
            (Self::Reinformer, "HalfCheetah") => Some(5000.0),
            _ => PublishedCode::return_scale(env_id),
        }
    }
}
