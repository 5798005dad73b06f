//! Causal attention as a mixer: queries, keys and values from the normed tokens, and an output
//! projection.
//!
//! ```text
//! q  = n Wq + bq          queries x C; the last layer's queries are the observations
//! kv = n Wkv + bkv        M x 2 C
//! mix(n) = attention(q, kv) Wo + bo
//! ```
//!
//! The heads are computed by the op [`kernels::attention`](crate::kernels::attention); here are the
//! products with the weights. In training the last layer usually attends to n directly, without
//! keys and values ([`direct`]).

pub(super) mod acting;
pub(super) mod backward;
pub(super) mod cuda;
pub(crate) mod direct;
pub(super) mod forward;
pub(super) mod reference;
mod weights;

pub(super) use weights::Weights;

use super::Layer;
use crate::kernels::attention::{self, Visible, cpu::Masked, cpu::Problem};
use crate::kernels::buffer::Buffer;
use crate::kernels::decision_transformer::group::Sequence;
use crate::kernels::decision_transformer::network::Network;
use crate::kernels::decision_transformer::shape::{Condition, Shape};
use crate::kernels::linear::cpu::Panels;
use crate::kernels::parameters::{Pair, Places};

/// Where the parameters are stored.
#[derive(Clone, Debug)]
pub(crate) struct Parameters {
    pub(super) heads: usize,
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
}

impl Parameters {
    pub(super) fn new(places: &mut Places, block: &str, shape: &Shape) -> Self {
        let c = shape.width;
        Self {
            heads: shape.heads,
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
fn problem<'a>(layer: Layer<'a>, sequence: &Sequence) -> Problem<'a> {
    let dropout = (layer.dropout).filter(|dropout| dropout.probability_attention > 0.0);
    Problem {
        queries: sequence.outputs(layer.last).len(),
        keys: sequence.token_rows().len(),
        width: layer.network.shape.width,
        heads: layer.network.shape.heads,
        visible: visible(layer),
        masked: dropout.map(|dropout| Masked {
            dropout,
            layer: layer.index,
            window: sequence.window,
            first: sequence.first_token,
        }),
    }
}

/// q = x Wq + bq, for as many rows as q has.
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
}

/// kv = x Wkv + bkv, for as many rows as kv has.
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
}
