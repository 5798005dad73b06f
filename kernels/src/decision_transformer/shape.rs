//! The sizes of the model.

use super::bins;
use crate::activation::Activation;
use crate::layer_norm::EPSILON;
use crate::likelihood::Deviation;
use crate::loss::Head;

/// The sizes of the model. `width` must be a multiple of `heads`, and none may be zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// S, numbers in an observation
    pub observation: usize,
    /// A, numbers in an action (discrete: the number of actions)
    pub action: usize,
    /// K, steps in a window
    pub context: usize,
    /// C, numbers in a token
    pub width: usize,
    /// H; 1 without attention
    pub heads: usize,
    /// L
    pub layers: usize,
    /// rows of the timestep table; every timestep is below this
    pub timesteps: usize,
    /// between the two layers of an MLP
    pub activation: Activation,
    /// the function applied to the head's outputs
    pub head: Head,
    /// where the return-to-go enters
    pub condition: Condition,
    /// how tokens are mixed
    pub mixer: MixerKind,
    /// how the standard deviation of continuous actions is computed, if the policy is stochastic;
    /// the head gives its mean
    pub deviation: Option<Deviation>,
    /// rows of a table of positions whose first row is added to every token, behind the
    /// embedding's norm ([`position`](super::position)); 0 without it
    pub positions: usize,
    /// where the norms of blocks are
    pub norm_placement: NormPlacement,
    /// added to the variance in the norms of the blocks and in the last norm; the embedding's norm
    /// has [`EPSILON`]
    pub norm_epsilon: f32,
    /// the weight of the loss of next observations, if they are predicted
    pub next_observation: Option<f32>,
}

impl Shape {
    /// Whether a GPU has kernels for this model.
    pub fn runs_on_devices(&self) -> bool {
        self.has_return_tokens_and_attention()
            && self.deviation.is_none()
            && self.positions == 0
            && self.norm_placement == NormPlacement::Pre
            && self.norm_epsilon.to_bits() == EPSILON.to_bits()
            && self.next_observation.is_none()
    }

    /// Whether this is the network of Chen et al. 2021.
    pub fn has_return_tokens_and_attention(&self) -> bool {
        self.condition == Condition::Token && self.mixer == MixerKind::Attention
    }

    /// The largest action that the head gives; 1 for logits.
    pub fn largest_action(&self) -> f32 {
        match self.head {
            Head::Tanh { scale } => scale,
            Head::Logits => 1.0,
        }
    }
}

/// How the tokens of a window are mixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MixerKind {
    /// Causal attention (Chen et al. 2021).
    #[default]
    Attention,
    /// Depthwise causal convolution, a filter for each kind of token (Decision ConvFormer, Kim et
    /// al. 2024).
    Convolution,
    /// A selective scan (Mamba-1, Gu and Dao 2023; Decision Mamba, Ota 2024).
    Scan,
    /// Causal linear attention: features instead of a softmax (Katharopoulos et al. 2020).
    Linear,
    /// A long short-term memory (Hochreiter and Schmidhuber 1997), as PyTorch's `nn.LSTM`.
    Lstm,
}

impl MixerKind {
    /// Whether it has heads, with a key and a value of each token.
    pub const fn attends(self) -> bool {
        matches!(self, Self::Attention | Self::Linear)
    }
}

/// Where the norms of blocks are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NormPlacement {
    /// In front of each mixer and MLP, whose output is added to what the norm was given (GPT-2).
    #[default]
    Pre,
    /// Behind each sum (Vaswani et al. 2017): mixers and MLPs are added to normed tokens.
    Post,
}

/// Where the return-to-go enters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Condition {
    /// A token before each observation: return-to-go, observation, action (Chen et al. 2021).
    #[default]
    Token,
    /// As `Token`, with a second number for each step: 0 with a return-to-go, and 1 without, where
    /// the first is 0. A token without it is the null, whose vector is learned (Ho and Salimans
    /// 2022).
    Nullable,
    /// Outside the sequence of observations and actions: gain and bias of the last norm depend on
    /// it (DDT).
    Adaln,
    /// A token behind each observation, from which it is predicted (Reinformer, Zhuang et al.
    /// 2024): observation, return-to-go, action.
    Predicted {
        /// What is predicted of it.
        prediction: Prediction,
        /// The weight of the prediction's loss beside that of the action.
        weight: f32,
        /// Whether no token attends to a return-to-go but the window's first: each of the others
        /// reaches its own action alone, and no prediction.
        hides: bool,
    },
}

/// What is predicted of a return-to-go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Prediction {
    /// Of the returns that follow the same past, this expectile: in (0, 1), 1 being the largest
    /// (Reinformer).
    Expectile(f32),
    /// In which of these [`bins`] it is (Multi-Game Decision Transformers, Lee et al. 2022).
    Bins {
        /// N, at least one
        bins: usize,
        /// how much more likely the upper bins are made before one is chosen
        optimism: f32,
        /// what is predicted beside the bins, if something is
        estimate: Option<Estimate>,
    },
}

/// An expectile that is predicted beside bins: not acted for, but what histories are compared by
/// (Elastic Decision Transformer, Wu et al. 2023).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// in (0, 1)
    pub expectile: f32,
    /// the weight of its loss beside that of the action
    pub weight: f32,
}

impl Prediction {
    /// Numbers that the head for it gives.
    pub const fn numbers(self) -> usize {
        match self {
            Self::Expectile(_) => 1,
            Self::Bins { bins, estimate, .. } => bins + estimate.is_some() as usize,
        }
    }

    /// What is predicted beside bins, if something is.
    pub const fn estimate(self) -> Option<Estimate> {
        match self {
            Self::Expectile(_) => None,
            Self::Bins { estimate, .. } => estimate,
        }
    }

    /// The return-to-go to act for, from these numbers.
    pub(crate) fn chosen(self, numbers: &[f32]) -> f32 {
        match self {
            Self::Expectile(_) => numbers[0],
            Self::Bins { bins, optimism, .. } => {
                bins::number(bins::chosen(&numbers[..bins], optimism), bins)
            }
        }
    }

    /// What histories are compared by: the estimate beside bins, else the return-to-go acted for.
    pub(crate) fn promised(self, numbers: &[f32]) -> f32 {
        match self {
            Self::Bins {
                bins,
                estimate: Some(_),
                ..
            } => numbers[bins],
            _ => self.chosen(numbers),
        }
    }
}

impl Condition {
    /// A return-to-go whose expectile is predicted.
    pub const fn expectile(expectile: f32) -> Self {
        Self::Predicted {
            prediction: Prediction::Expectile(expectile),
            weight: 1.0,
            hides: false,
        }
    }

    /// Tokens per step.
    pub const fn stride(self) -> usize {
        match self {
            Self::Token | Self::Nullable | Self::Predicted { .. } => 3,
            Self::Adaln => 2,
        }
    }

    /// Numbers in a step's return-to-go, R.
    pub const fn numbers(self) -> usize {
        match self {
            Self::Nullable => 2,
            Self::Token | Self::Adaln | Self::Predicted { .. } => 1,
        }
    }

    /// From which of a step's tokens its action is predicted: the one in front of the action.
    pub const fn predicting_token(self) -> usize {
        self.stride() - 2
    }

    /// What is predicted of the return-to-go, if it is.
    pub const fn prediction(self) -> Option<Prediction> {
        match self {
            Self::Predicted { prediction, .. } => Some(prediction),
            Self::Token | Self::Nullable | Self::Adaln => None,
        }
    }

    /// The tokens of a window that no token attends to, if there are any: the first, and the
    /// distance to the next.
    pub const fn hidden_tokens(self) -> Option<(usize, usize)> {
        match self {
            Self::Predicted { hides: true, .. } => Some((self.stride() + 1, self.stride())),
            _ => None,
        }
    }

    /// Tokens of a sequence of steps: all but its last action.
    pub const fn tokens(self, steps: usize) -> usize {
        (self.stride() * steps).saturating_sub(1)
    }
}
