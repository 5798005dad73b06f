//! The configuration of a Decision Transformer, with the values of the published recipes.

use rtg_datasets::{Dataset, LabelKind, Labels, ReturnSummary};
use rtg_envs::{Space, Spec, registry};
use serde::{Deserialize, Serialize};

use super::recipe::Recipe;
use crate::algorithms::PublishedCode;
use crate::keys::{KeyError, Range, keys};
use crate::nn::initialise::StepFill;
use crate::nn::state_dict::GPT2_POSITIONS;
use rtg_kernels::decision_transformer::{
    Condition, Estimate, MixerKind, NormPlacement, Prediction,
};
use rtg_kernels::layer_norm::EPSILON;
use rtg_kernels::{Activation, Deviation, Precision};

/// The implementation of a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// rtg's kernels, as one node on dfdx's tape.
    Fused,
    /// dfdx's own operations: slow, readable, the reference.
    Composed,
}

/// The names of activations in a file.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Activation", rename_all = "lowercase")]
enum ActivationName {
    Relu,
    Gelu,
}

/// Where the return-to-go enters, by its name in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConditionName {
    /// [`Condition::Token`], with `condition_dropout` [`Condition::Nullable`].
    #[default]
    Token,
    /// [`Condition::Adaln`].
    Adaln,
    /// [`Condition::Predicted`].
    Predicted,
}

impl ConditionName {
    /// Its name.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Adaln => "adaln",
            Self::Predicted => "predicted",
        }
    }
}

/// What gives continuous actions, by its name in a file; discrete ones have logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionHead {
    /// The largest of the logits of discrete actions.
    Logits,
    /// tanh of a linear layer.
    Tanh,
    /// [`Deviation::Squashed`].
    SquashedGaussian,
    /// [`Deviation::Free`].
    Gaussian,
}

impl ActionHead {
    /// Its name.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Tanh => "tanh",
            Self::SquashedGaussian => "squashed_gaussian",
            Self::Gaussian => "gaussian",
        }
    }

    /// How its deviation is computed; none of a deterministic one.
    pub fn deviation(self) -> Option<Deviation> {
        match self {
            Self::Logits | Self::Tanh => None,
            Self::SquashedGaussian => Some(Deviation::Squashed),
            Self::Gaussian => Some(Deviation::Free),
        }
    }
}

/// The temperature and its learning rate of plans written before the keys existed.
fn initial_alpha() -> f64 {
    ModelConfig::of(Recipe::Corl).initial_alpha
}

/// See [`initial_alpha`].
fn alpha_learning_rate() -> f64 {
    ModelConfig::of(Recipe::Corl).alpha_learning_rate
}

/// The epsilon of plans written before the key existed.
fn norm_epsilon() -> f32 {
    EPSILON
}

/// The expectile of plans written before the key existed.
fn expectile() -> f32 {
    ModelConfig::of(Recipe::Corl).expectile
}

/// See [`expectile`].
fn optimism() -> f32 {
    ModelConfig::of(Recipe::Corl).optimism
}

/// See [`expectile`].
fn return_weight() -> f32 {
    ModelConfig::of(Recipe::Corl).return_weight
}

/// The guidance of plans written before the key existed.
fn guidance() -> f32 {
    ModelConfig::of(Recipe::Corl).guidance
}

/// The names of mixers in a file.
#[derive(Serialize, Deserialize)]
#[serde(remote = "MixerKind", rename_all = "lowercase")]
pub(crate) enum MixerName {
    Attention,
    Convolution,
    Scan,
    Linear,
    Lstm,
}

/// The names of placements in a file.
#[derive(Serialize, Deserialize)]
#[serde(remote = "NormPlacement", rename_all = "lowercase")]
enum NormPlacementName {
    Pre,
    Post,
}

/// The word for a mixer.
pub(super) fn mixer_word(mixer: MixerKind) -> &'static str {
    match mixer {
        MixerKind::Attention => "attention",
        MixerKind::Convolution => "convolution",
        MixerKind::Scan => "scan",
        MixerKind::Linear => "linear",
        MixerKind::Lstm => "lstm",
    }
}

/// The names of a scan's step initialisations in a file.
#[derive(Serialize, Deserialize)]
#[serde(remote = "StepFill", rename_all = "lowercase")]
enum StepFillName {
    Package,
    Ota,
}

/// The names of precisions in a file.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Precision", rename_all = "lowercase")]
enum PrecisionName {
    F32,
    Tf32,
    Bf16,
}

keys! {
    /// The Decision Transformer's network and the scales of its inputs.
    pub struct ModelConfig = "decision_transformer", recipe: Recipe;

    /// Steps that the model sees, K; three tokens each, or two with `adaln`.
    context: usize = match recipe {
        Recipe::Reinformer => 5,
        _ => 20,
    }, Range::WIDTH, "steps", "20; 5 (reinformer)";
    /// Channels of a token, C.
    width: usize = match recipe {
        Recipe::OnlineDt | Recipe::ElasticDt => 512,
        Recipe::Reinformer => 256,
        _ => 128,
    }, Range::WIDTH, "", "128; 256 (reinformer); 512 (online_dt, elastic_dt)";
    /// Transformer blocks, L.
    layers: usize = match recipe {
        Recipe::OnlineDt | Recipe::Reinformer | Recipe::ElasticDt => 4,
        _ => 3,
    }, Range::LAYERS, "", "3; 4 (reinformer, online_dt, elastic_dt)";
    /// Attention heads, H; divides the width. Without attention of either kind, 1.
    heads: usize = match recipe {
        Recipe::OnlineDt | Recipe::ElasticDt => 4,
        Recipe::Reinformer => 8,
        _ => 1,
    }, Range::WIDTH, "", "1; 8 (reinformer); 4 (online_dt, elastic_dt)";
    /// Activation between the two layers of a block's MLP: `relu` or `gelu`.
    activation: Activation as serde(with = "ActivationName") = match recipe {
        Recipe::Corl
        | Recipe::Convformer
        | Recipe::Reinformer
        | Recipe::ElasticDt
        | Recipe::DecisionMamba => Activation::Gelu,
        _ => Activation::Relu,
    }, Range::Words(&["relu", "gelu"]), "",
        "gelu (corl, convformer, reinformer, elastic_dt, decision_mamba), relu (all others)";
    /// Where the return-to-go enters: as a `token` of each step, outside the sequence, through an
    /// adaptive layer norm before the action head (`adaln`: DDT), or `predicted`: as a token after
    /// the observation, from which the model predicts it; then the policy takes no target.
    condition: ConditionName as serde(default) = match recipe {
        Recipe::Ddt => ConditionName::Adaln,
        Recipe::Reinformer | Recipe::ElasticDt => ConditionName::Predicted,
        _ => ConditionName::Token,
    }, Range::Words(&["token", "adaln", "predicted"]), "",
        "token; adaln (ddt); predicted (reinformer, elastic_dt)";
    /// With `condition = "token"`: the part of the windows that are learned without their
    /// returns-to-go, with a learned vector in place of each.
    condition_dropout: f32 as serde(default) = 0.0, Range::BELOW_ONE, "", "0";
    /// With `condition_dropout`: how far actions follow the target, g. The head's outputs with the
    /// target, z, and without, z0, are combined to z0 + g (z - z0), and an action follows from the
    /// result: 0 ignores the target, 1 acts as the model alone, more exaggerates the target. Other
    /// values than 1 compute two windows a decision. Rollouts that explore are not guided.
    guidance: f32 as serde(default = "guidance") = 1.0, Range::NOT_NEGATIVE, "", "1";
    /// With `condition = "predicted"`: which expectile of the return-to-go is predicted. 0.5 is the
    /// mean; the nearer it is to 1, the nearer to the largest return that followed such a past.
    expectile: f32 as serde(default = "expectile") = 0.99, Range::BELOW_ONE, "",
        "0.99 (reinformer, elastic_dt)";
    /// With `condition = "predicted"`: the number of bins of equal width that returns-to-go are
    /// divided into (Multi-Game Decision Transformers, Elastic Decision Transformer). Their
    /// distribution is predicted instead of an expectile. 0: no bins.
    return_bins: usize as serde(default) = match recipe {
        Recipe::ElasticDt => 60,
        _ => 0,
    }, Range::between(0.0, 4096.0), "", "0; 60 (elastic_dt)";
    /// With `return_bins`: the returns-to-go that they cover; others are in the first or the last
    /// bin. Default: those of the data; with `elastic_dt`, D4RL's reference returns where they are
    /// known.
    return_bin_range: Option<[f64; 2]> as serde(default) = None, Range::FINITE, "reward",
        "the data's range; D4RL's reference returns (elastic_dt)";
    /// With `return_bins`: before the median of the predicted distribution is taken, the odds of
    /// the last bin against the first are multiplied by exp(optimism), those of the others by less.
    optimism: f32 as serde(default = "optimism") = match recipe {
        Recipe::ElasticDt => 25.0,
        _ => 10.0,
    }, Range::NOT_NEGATIVE, "", "10; 25 (elastic_dt; HalfCheetah 11)";
    /// With `condition = "predicted"`: the weight of the prediction's loss beside the action's.
    return_weight: f32 as serde(default = "return_weight") = match recipe {
        Recipe::ElasticDt => 1e-3,
        _ => 1.0,
    }, Range::POSITIVE, "", "1; 1e-3 (elastic_dt)";
    /// With `return_bins`: the weight of the loss of an expectile of the return-to-go that is
    /// predicted beside the bins, and by which the acting mode `search` compares histories (Elastic
    /// Decision Transformer). 0: none.
    expectile_weight: f32 as serde(default) = match recipe {
        Recipe::ElasticDt => 0.5,
        _ => 0.0,
    }, Range::NOT_NEGATIVE, "", "0; 0.5 (elastic_dt)";
    /// The weight of the mean squared error of each step's next observation, which a head predicts
    /// from the token and the action that the model predicts; for deterministic heads. It has no
    /// part in acting (Elastic Decision Transformer). 0: no such head.
    next_observation_weight: f32 as serde(default) = match recipe {
        Recipe::ElasticDt => 1.0,
        _ => 0.0,
    }, Range::NOT_NEGATIVE, "", "0; 1 (elastic_dt)";
    /// With `condition = "predicted"` and `mixer = "attention"`: whether no token sees a
    /// return-to-go but the first of the window. A prediction then does not follow from the
    /// predictions before it (Multi-Game Decision Transformers, Elastic Decision Transformer).
    hide_returns: bool as serde(default) = recipe == Recipe::ElasticDt,
        Range::Any, "", "true (elastic_dt)";
    /// What gives an action. `tanh`: the function of a linear layer, for continuous actions;
    /// `logits`: the largest, for discrete ones. Continuous ones can have a distribution that is
    /// learned by its likelihood: `squashed_gaussian`, whose mean and deviation depend on the past
    /// (Online Decision Transformer), or `gaussian`, around tanh of a linear layer with one
    /// deviation for all pasts (Reinformer). Evaluations take its mean. Default: the recipe's for
    /// continuous actions, which is `tanh` where it is not a Gaussian.
    action_head: Option<ActionHead> as serde(default) = match recipe {
        Recipe::OnlineDt => Some(ActionHead::SquashedGaussian),
        _ => None,
    }, Range::Words(&["tanh", "logits", "squashed_gaussian", "gaussian"]), "",
        "tanh; squashed_gaussian (online_dt); gaussian (reinformer)";
    /// With a Gaussian head: the weight of its entropy in the loss before the first update, alpha.
    initial_alpha: f64 as serde(default = "initial_alpha") = 0.1, Range::POSITIVE, "", "0.1";
    /// With a Gaussian head: Adam's learning rate of alpha's logarithm; 0 keeps alpha constant.
    alpha_learning_rate: f64 as serde(default = "alpha_learning_rate") = 1e-4,
        Range::NOT_NEGATIVE, "", "1e-4";
    /// With a Gaussian head: the entropy to which alpha is adapted. Default: minus the number of
    /// action dimensions.
    target_entropy: Option<f64> as serde(default) = None, Range::FINITE, "nats",
        "minus the action dimensions";
    /// How tokens are mixed: causal `attention`, a causal `convolution` over six tokens (Decision
    /// ConvFormer), a selective `scan` (Mamba-1, Decision Mamba), `linear` attention, without a
    /// softmax, or an `lstm` (a long short-term memory, as `torch.nn.LSTM`).
    mixer: MixerKind as serde(with = "MixerName", default) = match recipe {
        Recipe::Convformer => MixerKind::Convolution,
        Recipe::DecisionMamba => MixerKind::Scan,
        _ => MixerKind::Attention,
    }, Range::Words(&["attention", "convolution", "scan", "linear", "lstm"]), "",
        "attention; convolution (convformer); scan (decision_mamba)";
    /// With `mixer = "scan"`, how its steps start: `package`, between 0.001 and 0.1 as in
    /// `mamba_ssm`, or `ota`, near 0.69, to which Ota's code resets them.
    step_initialisation: StepFill as serde(with = "StepFillName", default) = match recipe {
        Recipe::DecisionMamba => StepFill::Ota,
        _ => StepFill::Package,
    }, Range::Words(&["package", "ota"]), "", "ota (decision_mamba)";
    /// Rows of a table of positions, of which the first is added to every token behind the
    /// embedding's norm: `transformers` looks up position 0 for each (`wpe`, `n_positions`). 0: no
    /// table; 1 has the same outputs as more rows.
    positions: usize as serde(default) = match recipe {
        Recipe::HuggingFace => GPT2_POSITIONS,
        _ => 0,
    }, Range::between(0.0, 65_536.0), "rows", "1024 (huggingface)";
    /// Where the norms of a block are: in front of its mixer and MLP (`pre`), or behind the sums of
    /// what these give and what they were given (`post`), where no norm is left for the end.
    norm_placement: NormPlacement as serde(with = "NormPlacementName", default) = match recipe {
        Recipe::Reinformer | Recipe::ElasticDt => NormPlacement::Post,
        _ => NormPlacement::Pre,
    }, Range::Words(&["pre", "post"]), "", "pre; post (reinformer, elastic_dt)";
    /// Added to the variance in the norms of blocks and in the last norm; in the embedding's it is
    /// 1e-5.
    norm_epsilon: f32 as serde(default = "norm_epsilon") = match recipe {
        Recipe::D3rlpy => 3e-3,
        _ => EPSILON,
    }, Range::POSITIVE, "", "1e-5; 0.003 (d3rlpy)";
    /// Dropout on attention probabilities.
    attention_dropout: f32 = 0.1, Range::BELOW_ONE, "", "0.1";
    /// Dropout on the outputs of a block's mixer and MLP; none on that of a convolution, a scan or
    /// an LSTM.
    residual_dropout: f32 = 0.1, Range::BELOW_ONE, "", "0.1";
    /// Dropout on the embedded tokens.
    embedding_dropout: f32 = match recipe {
        Recipe::Reinformer | Recipe::ElasticDt => 0.0,
        _ => 0.1,
    }, Range::BELOW_ONE, "", "0.1; 0 (reinformer, elastic_dt)";
    /// Returns-to-go are divided by this. Default: the published one for a known environment, else
    /// the power of ten nearest to a quarter of the data's largest absolute return (1 if all are
    /// zero); for advantages half of their standard deviation.
    return_scale: Option<f64> = None, Range::POSITIVE, "reward",
        "1000 in Hopper, HalfCheetah and Walker2d";
    /// Longest episode that the timestep embedding covers. Default: the environment's time limit,
    /// or the longest episode of the data where that is longer. Except with the recipe `corl` it
    /// may be less; at 1 all steps have the same embedding, and the model no positions.
    episode_length: Option<usize> = match recipe {
        Recipe::OnlineDt => Some(1),
        _ => None,
    }, Range::between(1.0, 16_777_216.0), "steps", "1000; no positions (online_dt)";
    /// Implementation of a training step: `fused` (rtg's kernels) or `composed` (dfdx's operations:
    /// slow, the reference).
    engine: EngineKind = EngineKind::Fused, Range::Words(&["fused", "composed"]), "", "";
    /// Number format of the factors of the fused engine's large products: `f32`, `bf16` (a GPU, or
    /// a CPU with AVX512-BF16; on Intel's also AMX) or `tf32` (a GPU); sums, weights, gradients and
    /// moments stay f32.
    precision: Precision as serde(with = "PrecisionName", default) = Precision::F32,
        Range::Words(&["f32", "bf16", "tf32"]), "", "f32";
}

impl ModelConfig {
    /// What the kernels make of the return-to-go.
    pub fn condition(&self) -> Condition {
        match self.condition {
            ConditionName::Token if self.condition_dropout > 0.0 => Condition::Nullable,
            ConditionName::Token => Condition::Token,
            ConditionName::Adaln => Condition::Adaln,
            ConditionName::Predicted => Condition::Predicted {
                prediction: match self.return_bins {
                    0 => Prediction::Expectile(self.expectile),
                    bins => Prediction::Bins {
                        bins,
                        optimism: self.optimism,
                        estimate: (self.expectile_weight > 0.0).then_some(Estimate {
                            expectile: self.expectile,
                            weight: self.expectile_weight,
                        }),
                    },
                },
                weight: self.return_weight,
                hides: self.hide_returns,
            },
        }
    }

    /// The weight of the loss of predicted next observations, if they are predicted.
    pub fn next_observation(&self) -> Option<f32> {
        Some(self.next_observation_weight).filter(|weight| *weight > 0.0)
    }

    /// Fills in the range of bins: the published one, or that of the returns-to-go of this data.
    ///
    /// # Errors
    /// A range that is empty or reversed.
    pub fn resolve_bins(
        &mut self,
        published: Option<[f64; 2]>,
        data: &Dataset,
    ) -> Result<(), KeyError> {
        if self.return_bins == 0 {
            return Ok(());
        }
        let range = self.return_bin_range.or(published);
        let [low, high] = *self.return_bin_range.insert(range.unwrap_or_else(|| {
            let all = data.returns_to_go().into_iter();
            all.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], x| {
                [low.min(x), high.max(x)]
            })
        }));
        // A range of the data may be one number.
        if low <= high && (high - low).is_finite() {
            return Ok(());
        }
        let key = Self::KEYS.path("return_bin_range");
        let expected = "two numbers, the smaller one first";
        Err(KeyError::new(&key, format!("[{low}, {high}]"), expected))
    }

    /// Whether actions differ from the model's own.
    pub fn is_guided(&self) -> bool {
        self.guidance.to_bits() != 1.0_f32.to_bits()
    }

    /// How the standard deviation of actions is computed, if there is one.
    pub fn deviation(&self) -> Option<Deviation> {
        self.action_head.and_then(ActionHead::deviation)
    }

    /// Fills in a Gaussian head and its target entropy for this action space. Deterministic ones
    /// follow from the space.
    ///
    /// # Errors
    /// A head for other actions.
    pub fn resolve_head(&mut self, recipe: Recipe, space: &Space) -> Result<(), KeyError> {
        let is_discrete = matches!(space, Space::Discrete { .. });
        if recipe == Recipe::Reinformer && !is_discrete {
            self.action_head.get_or_insert(ActionHead::Gaussian);
        }
        let Some(head) = self.action_head else {
            return Ok(());
        };
        if (head == ActionHead::Logits) != is_discrete {
            let expected = if is_discrete {
                "logits with discrete actions"
            } else {
                "tanh, squashed_gaussian or gaussian with continuous actions"
            };
            let key = Self::KEYS.path("action_head");
            return Err(KeyError::new(&key, head.word(), expected));
        }
        if head.deviation().is_some() {
            self.target_entropy.get_or_insert(-(space.width() as f64));
        }
        Ok(())
    }

    /// The divisor of returns-to-go for this data.
    pub fn return_scale_for(&self, recipe: Recipe, env_id: &str, data: &Dataset) -> f64 {
        let summary = || ReturnSummary::over(&data.conditions());
        let measured = || {
            if data.labels().map(Labels::kind) == Some(LabelKind::Constant) {
                // As in ACT, their spread is 2 in the network.
                Some(0.5 * summary().std).filter(|scale| scale.is_normal())
            } else {
                let published = recipe.return_scale(env_id);
                Some(published.unwrap_or_else(|| summary().suggested_scale()))
            }
        };
        self.return_scale.or_else(measured).unwrap_or(1.0)
    }

    /// The longest episode for this data.
    ///
    /// # Errors
    /// A length below the data's longest episode where timesteps are not clamped, as in CORL.
    pub fn episode_length_for(
        &self,
        published: PublishedCode,
        spec: &Spec,
        data: &Dataset,
    ) -> Result<usize, KeyError> {
        let longest = data.iter().map(|episode| episode.len()).max().unwrap_or(1);
        match self.episode_length {
            None => Ok(longest.max(spec.max_episode_steps.unwrap_or(0))),
            Some(length) if length < longest && published == PublishedCode::Corl => {
                let key = Self::KEYS.path("episode_length");
                let expected = format!("at least {longest}, the longest episode of the data");
                Err(KeyError::new(&key, length, expected))
            }
            Some(length) => Ok(length),
        }
    }
}

impl PublishedCode {
    /// kzl's `experiment.py` and CORL's locomotion files divide these robots' returns by 1000.
    pub(super) fn return_scale(env_id: &str) -> Option<f64> {
        ["Hopper", "HalfCheetah", "Walker2d"]
            .contains(&body(env_id))
            .then_some(1000.0)
    }

    /// The target returns of both codes, largest first.
    pub fn targets(env_id: &str) -> Option<Vec<f64>> {
        match body(env_id) {
            "Hopper" => Some(vec![3600.0, 1800.0]),
            "HalfCheetah" => Some(vec![12_000.0, 6000.0]),
            "Walker2d" => Some(vec![5000.0, 2500.0]),
            _ => None,
        }
    }
}

/// `Hopper` of `Hopper-v5` and of `delayed/Hopper-v4`; nothing of `Hopper-v5?frame_skip=8`, for
/// which no numbers are published.
pub(super) fn body(env_id: &str) -> &str {
    let id = registry::undelayed(env_id);
    if registry::base_id(id) != id {
        return "";
    }
    id.split_once('-').map_or(id, |(body, _)| body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_its_targets_with_delayed_reward_too() {
        assert_eq!(
            PublishedCode::targets("delayed/Hopper-v5"),
            PublishedCode::targets("Hopper-v4")
        );
        assert_eq!(
            PublishedCode::return_scale("delayed/Hopper-v5"),
            Some(1000.0)
        );
        assert_eq!(PublishedCode::return_scale("delayed/CartPole-v1"), None);
    }
}
