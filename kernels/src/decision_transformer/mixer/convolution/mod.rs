//! A causal convolution as a mixer (Decision ConvFormer, Kim et al. 2024): a token's output depends
//! on itself and the five tokens before it.
//!
//! ```text
//! mix(n) = causal_convolution(n)    one filter for each kind of token, no projection, no dropout
//! ```
//!
//! The op is [`causal_convolution`](crate::causal_convolution). Padding is not computed:
//! before a window's first valid step the input is zero, where the original reads padded steps.
//!
//! A token reaches back five tokens a layer, so acting caches only the newest normed tokens of each
//! layer ([`acting`]).

pub(super) mod acting;

use super::Layer;
use crate::causal_convolution::{self as op, ROWS, TAPS, TokenSelection};
use crate::decision_transformer::group::Sequence;
use crate::decision_transformer::network::Network;
use crate::decision_transformer::network::branch::{Branch, Gradients};
use crate::decision_transformer::network::reference::{self, Backward};
use crate::decision_transformer::shape::{Condition, Shape};
use crate::parameters::Places;
use crate::real::Real;
use std::ops::Range;

/// How many tokens a token reaches back.
pub(crate) const REACH: usize = TAPS - 1;

/// Where the parameters are stored.
#[derive(Clone, Debug)]
pub(crate) struct Parameters {
    width: usize,
    condition: Condition,
    /// A filter for each kind of token: [`ROWS`] x C.
    bank: Range<usize>,
}

impl Parameters {
    pub(super) fn new(places: &mut Places, block: &str, shape: &Shape) -> Self {
        let c = shape.width;
        let filters = match shape.condition {
            Condition::Token | Condition::Nullable => {
                &["return_to_go", "observation", "action"][..]
            }
            Condition::Adaln => &["observation", "action"],
            Condition::Predicted { .. } => &["observation", "return_to_go", "action"],
        };
        // In the order of a filter bank: each bias follows its taps.
        let filters: Vec<_> = (filters.iter())
            .map(|kind| places.pair(&format!("{block}.convolution.{kind}"), &[TAPS, c]))
            .collect();
        let start = filters.first().map_or(0, |filter| filter.weight.start);
        Self {
            width: c,
            condition: shape.condition,
            bank: start..start.saturating_add(filters.len() * ROWS * c),
        }
    }

    /// Some tokens, of which the last is the `newest`-th of its step.
    fn up_to(&self, tokens: &Range<usize>, newest: usize) -> TokenSelection {
        let stride = self.condition.stride();
        let before = tokens.len().saturating_sub(1) % stride;
        TokenSelection {
            first: tokens.start,
            stride: 1,
            kind: (newest + stride - before) % stride,
        }
    }

    /// The tokens that actions are predicted from, or all.
    fn selection(&self, last: bool) -> TokenSelection {
        if last {
            TokenSelection {
                first: self.condition.predicting_token(),
                stride: self.condition.stride(),
                kind: self.condition.predicting_token(),
            }
        } else {
            TokenSelection::ALL
        }
    }

    /// The branch of a sequence or of a part of one. It has no dropout, so masks are not applied.
    fn convolve(
        &self,
        network: Network<'_>,
        x: &[f32],
        selection: TokenSelection,
        branch: Branch<'_>,
    ) {
        let bank = network.of(&self.bank);
        let (beside, to) = (branch.residual, branch.to);
        op::cpu::forward(network.level, self.width, bank, x, selection, beside, to);
    }
}

/// The rows of a sequence before the mixer and after it, as ranges of numbers.
fn rows(layer: Layer<'_>, sequence: &Sequence) -> (Range<usize>, Range<usize>) {
    let c = layer.network.shape.width;
    let numbers = |rows: Range<usize>| rows.start * c..rows.end * c;
    let outputs = sequence.outputs(layer.last);
    (numbers(sequence.token_rows()), numbers(outputs))
}

/// Computes the branch from `normed`.
pub(super) fn forward(at: &Parameters, layer: Layer<'_>, normed: &[f32], branch: Branch<'_>) {
    let Branch { residual, to, .. } = branch;
    for sequence in &layer.group.sequences {
        let (tokens, outputs) = rows(layer, sequence);
        let branch = Branch {
            masks: None,
            residual: &residual[outputs.clone()],
            to: &mut to[outputs],
        };
        let selection = at.selection(layer.last);
        at.convolve(layer.network, &normed[tokens], selection, branch);
    }
}

/// The gradients.
pub(super) fn backward(
    at: &Parameters,
    layer: Layer<'_>,
    normed: &[f32],
    gradients: Gradients<'_>,
) {
    let network = layer.network;
    let Gradients {
        branch,
        normed: dnormed,
        parameters,
    } = gradients;
    dnormed.resize(normed.len());
    for sequence in &layer.group.sequences {
        let (tokens, outputs) = rows(layer, sequence);
        op::cpu::backward(
            network.level,
            at.width,
            network.of(&at.bank),
            &normed[tokens.clone()],
            at.selection(layer.last),
            &branch[outputs],
            &mut dnormed[tokens],
            &mut parameters[at.bank.clone()],
        );
    }
}

impl Parameters {
    /// The branch of one window's normed tokens: a naive reference.
    pub(super) fn reference_forward<R: Real>(
        &self,
        network: reference::Network<'_, R>,
        normed: &[R],
    ) -> Vec<R> {
        let (c, bank) = (self.width, &network.parameters[self.bank.clone()]);
        op::reference::forward(c, bank, normed, TokenSelection::ALL, normed.len() / c)
    }

    /// The gradient of the normed tokens, from that of the branch: a naive reference.
    pub(super) fn reference_backward<R: Real>(
        &self,
        back: &mut Backward<'_, R>,
        normed: &[R],
        branch: &[R],
    ) -> Vec<R> {
        let bank = &back.network.parameters[self.bank.clone()];
        let found = op::reference::backward(self.width, bank, normed, TokenSelection::ALL, branch);
        back.add(&self.bank, &found.bank);
        found.x
    }
}
