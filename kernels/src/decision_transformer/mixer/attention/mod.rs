//! Causal attention as a mixer: queries, keys and values from the normed tokens, and an output
//! projection.
//!
//! ```text
//! q  = n Wq + bq          queries x C; the last layer's queries are the observations
//! kv = n Wkv + bkv        M x 2 C
//! mix(n) = attention(q, kv) Wo + bo
//! ```
//!
//! The heads are computed by the op [`kernels::attention`](crate::attention), or with
//! `mixer = "linear"` by [`kernels::linear_attention`](crate::linear_attention), which has
//! the same parameters and no dropout of its weights; here are the products with the weights. In
//! training the last layer of softmax attention usually attends to n directly, without keys and
//! values ([`direct`]).

pub(super) mod acting;
pub(super) mod backward;
pub(super) mod cuda;
pub(crate) mod direct;
pub(super) mod forward;
pub(super) mod reference;
mod weights;

pub(super) use weights::Weights;

use super::Layer;
use crate::attention::{self, Visible, cpu::Masked, cpu::Problem};
use crate::buffer::Buffer;
use crate::decision_transformer::group::Sequence;
use crate::decision_transformer::network::Network;
use crate::decision_transformer::shape::{Condition, MixerKind, Shape};
use crate::dropout::Dropout;
use crate::linear::cpu::Panels;
use crate::linear_attention;
use crate::parameters::{Pair, Places};

/// Where the parameters are stored.
#[derive(Clone, Debug)]
pub(crate) struct Parameters {
    pub(super) heads: usize,
    /// Whether the attention is linear, with features instead of a softmax. Queries and keys are
    /// stored as features then.
    pub(super) linear: bool,
    /// The first key that is hidden from all queries, if one is, and the distance to the next.
    hidden: Option<(usize, usize)>,
    /// C x 3 C: queries, keys, values.
    pub(crate) qkv: Pair,
    pub(crate) projection: Pair,
}

/// What the forward pass stores.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    /// In the last layer: the rows of n that are observations.
    query_rows: Buffer,
    q: Buffer,
    kv: Buffer,
    attended: Buffer,
    logs: Buffer,
    /// If the layer attends directly: u, a and r of `kernels::attention::direct`; q is divided by
    /// sqrt d then.
    asked: Buffer,
    gathered: Buffer,
    sums: Buffer,
}

/// The gradients of what [`Tape`] stores, and the scratch memory of the op.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    attended: Buffer,
    q: Buffer,
    kv: Buffer,
    asked: Buffer,
    gathered: Buffer,
    sums: Buffer,
    heads: attention::cpu::Scratch,
    linear: linear_attention::cpu::Scratch,
}

impl Parameters {
    pub(super) fn new(places: &mut Places, block: &str, shape: &Shape) -> Self {
        let c = shape.width;
        Self {
            heads: shape.heads,
            linear: shape.mixer == MixerKind::Linear,
            hidden: shape.condition.hidden_tokens(),
            qkv: places.pair(&format!("{block}.attention.qkv"), &[c, 3 * c]),
            projection: places.pair(&format!("{block}.attention.projection"), &[c, c]),
        }
    }

    /// C, channels.
    fn width(&self) -> usize {
        self.projection.bias.len()
    }
}

/// Only the observation of each step is a query.
fn observations(condition: Condition) -> Visible {
    Visible::every(condition.stride(), condition.predicting_token() + 1)
}

/// Which keys a layer's queries attend to.
fn visible(layer: Layer<'_>) -> Visible {
    if layer.last {
        observations(layer.network.shape.condition)
    } else {
        Visible::TOKENS
    }
}

/// The attention problem of one sequence.
fn problem<'a>(at: &Parameters, layer: Layer<'a>, sequence: &Sequence) -> Problem<'a> {
    let drops = |dropout: &&Dropout| dropout.probability_attention > 0.0 && !at.linear;
    let dropout = layer.dropout.filter(drops);
    Problem {
        queries: sequence.outputs(layer.last).len(),
        keys: sequence.token_rows().len(),
        width: layer.network.shape.width,
        heads: layer.network.shape.heads,
        visible: visible(layer).hiding(at.hidden),
        masked: dropout.map(|dropout| Masked {
            dropout,
            layer: layer.index,
            window: sequence.window,
            first: sequence.first_token,
        }),
    }
}

/// q = x Wq + bq, for as many rows as q has; its features, if the attention is linear.
fn project_queries(
    at: &Parameters,
    network: Network<'_>,
    query: &Panels,
    x: &[f32],
    q: &mut [f32],
) {
    let c = at.width();
    let bias = &network.of(&at.qkv.bias)[..c];
    network.linear((x, c), query.all(), bias, q);
    if at.linear {
        linear_attention::cpu::features(network.level, q, c, c);
    }
}

/// kv = x Wkv + bkv, for as many rows as kv has; with the keys' features, if the attention is
/// linear.
fn project_keys_values(
    at: &Parameters,
    network: Network<'_>,
    keys_values: &Panels,
    x: &[f32],
    kv: &mut [f32],
) {
    let c = at.width();
    let bias = &network.of(&at.qkv.bias)[c..];
    network.linear((x, c), keys_values.all(), bias, kv);
    if at.linear {
        linear_attention::cpu::features(network.level, kv, 2 * c, c);
    }
}
