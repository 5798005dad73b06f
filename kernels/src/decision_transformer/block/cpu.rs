//! A block for a group of windows.

use super::Parameters;
use crate::buffer::Buffer;
use crate::decision_transformer::embedding::cpu::add;
use crate::decision_transformer::group::{pieces, rate, rows_at_a_time, undrop};
use crate::decision_transformer::mixer::{self, Layer};
use crate::decision_transformer::mlp::cpu as mlp;
use crate::decision_transformer::network::Factors;
use crate::decision_transformer::network::branch::{Branch, Gradients};
use crate::decision_transformer::network::packing::Packing;
use crate::decision_transformer::shape::NormPlacement;
use crate::dropout::Site;
use crate::dropout::cpu::{Masks, Row};
use crate::simd::Level;

/// Packed weights.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    pub(crate) mixer: mixer::Weights,
    pub(crate) mlp: mlp::Weights,
}

/// What the forward pass stores.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    statistics_1: Vec<[f32; 2]>,
    normed_1: Buffer,
    mixer: mixer::Tape,
    mixer_rows: Vec<Row>,
    /// In the last block: the rows of x that are observations.
    observations: Buffer,
    middle: Buffer,
    statistics_2: Vec<[f32; 2]>,
    normed_2: Buffer,
    mlp: mlp::Tape,
    mlp_rows: Vec<Row>,
}

/// Scratch memory of a thread.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The gradient with respect to the residual stream.
    pub(crate) stream: Buffer,
    pub(crate) branch: Buffer,
    pub(crate) normed: Buffer,
    pub(crate) factors: Factors,
    mixer: mixer::Scratch,
    mlp: mlp::Scratch,
}

impl Weights {
    /// Packs the weights of a block, the last one or another.
    pub(crate) fn pack(
        &mut self,
        at: &Parameters,
        packing: Packing,
        last: bool,
        parameters: &[f32],
    ) {
        (at.mixer).pack(packing, last, parameters, &mut self.mixer);
        self.mlp.pack(&at.mlp, packing, parameters);
    }
}

/// Writes x', from x; fills `tape`.
pub(crate) fn forward(
    at: &Parameters,
    layer: Layer<'_>,
    weights: &Weights,
    x: &[f32],
    (tape, scratch): (&mut Tape, &mut Scratch),
    behind: &mut Buffer,
) {
    let Layer {
        network,
        group,
        dropout,
        index,
        last,
    } = layer;
    let [mix, mlp] = [
        Site::Projection { layer: index },
        Site::Mlp { layer: index },
    ];
    if let Some(dropout) = dropout {
        group.rows(dropout, mix, last, &mut tape.mixer_rows);
        group.rows(dropout, mlp, last, &mut tape.mlp_rows);
    }
    if let Some(norm) = &at.norm_1 {
        network.norm(norm, x, &mut tape.normed_1, &mut tape.statistics_1);
    }
    let normed = at.mixed(x, &tape.normed_1);
    let residual = at.residual(x, normed);
    let residual = if last {
        group.gather_observations(residual, network.shape.width, &mut tape.observations);
        &tape.observations
    } else {
        residual
    };
    tape.middle.resize(residual.len());
    let branch = Branch {
        masks: masks(layer, mix, &tape.mixer_rows).filter(|_| at.mixer.drops()),
        residual,
        to: &mut tape.middle,
    };
    let memory = (&mut tape.mixer, &mut scratch.mixer);
    (at.mixer).forward(layer, &weights.mixer, normed, memory, branch);
    transform(at, layer, &weights.mlp, tape, behind);
}

/// The second half of a block: writes x' from the rows in the middle.
fn transform(
    at: &Parameters,
    layer: Layer<'_>,
    weights: &mlp::Weights,
    tape: &mut Tape,
    behind: &mut Buffer,
) {
    let Layer { network, index, .. } = layer;
    let (c, shape) = (network.shape.width, network.shape);
    let rows = tape.middle.len() / c;
    tape.normed_2.resize(tape.middle.len());
    tape.statistics_2.resize(rows, [0.0; 2]);
    tape.mlp.resize_to_learn(&at.mlp, shape.activation, rows);
    behind.resize(tape.middle.len());
    for rows in pieces(rows, rows_at_a_time(shape)) {
        let numbers = rows.start * c..rows.end * c;
        let middle = &tape.middle[numbers.clone()];
        let normed = &mut tape.normed_2[numbers.clone()];
        let statistics = &mut tape.statistics_2[rows.clone()];
        network.norm_into(&at.norm_2, middle, normed, statistics);
        let masks = masks(layer, Site::Mlp { layer: index }, &tape.mlp_rows);
        let branch = Branch {
            masks: masks.map(|masks| masks.of(rows.clone())),
            residual: at.residual(middle, normed),
            to: &mut behind[numbers],
        };
        let memory = (&mut tape.mlp, rows);
        mlp::forward(&at.mlp, network, weights, normed, memory, branch);
    }
}

/// The dropout masks of a branch, if it has any.
fn masks<'a>(layer: Layer<'_>, site: Site, rows: &'a [Row]) -> Option<Masks<'a>> {
    rate(layer.dropout, site).map(|rate| Masks { rate, rows })
}

/// In `scratch.stream`: from the gradient with respect to x' to that of x; adds those of the
/// parameters to `gradient`.
pub(crate) fn backward(
    at: &Parameters,
    layer: Layer<'_>,
    weights: &Weights,
    (x, tape): (&[f32], &Tape),
    scratch: &mut Scratch,
    gradient: &mut [f32],
) {
    transform_backward(at, layer, &weights.mlp, tape, scratch, gradient);
    let Layer { network, index, .. } = layer;
    let Scratch {
        stream,
        branch,
        normed,
        factors,
        ..
    } = scratch;
    let masked = masks(layer, Site::Projection { layer: index }, &tape.mixer_rows)
        .filter(|_| at.mixer.drops());
    let gradients = Gradients {
        branch: undrop(network.level, masked, stream, branch),
        normed: &mut *normed,
        parameters: &mut *gradient,
    };
    let memory = (&mut scratch.mixer, factors);
    let given = (at.mixed(x, &tape.normed_1), &tape.mixer);
    (at.mixer).backward(layer, &weights.mixer, given, memory, gradients);
    if layer.last {
        // The residual path reaches the observations' rows only.
        let (c, group) = (network.shape.width, layer.group);
        branch.resize(group.tokens * c);
        branch.fill(0.0);
        for (row, d) in group.observations.iter().zip(stream.chunks(c)) {
            branch[row * c..(row + 1) * c].copy_from_slice(d);
        }
        std::mem::swap(stream, branch);
    }
    let Some(norm) = &at.norm_1 else {
        return add(network.level, normed, stream);
    };
    begin_behind(at.placement, network.level, normed, stream);
    let given = (x, &*tape.statistics_1);
    network.norm_backward(norm, given, normed, stream, gradient);
}

/// Of the second half, in `scratch.stream`.
fn transform_backward(
    at: &Parameters,
    layer: Layer<'_>,
    weights: &mlp::Weights,
    tape: &Tape,
    scratch: &mut Scratch,
    gradient: &mut [f32],
) {
    let Layer { network, index, .. } = layer;
    let (c, level) = (network.shape.width, network.level);
    let Scratch {
        stream,
        branch,
        normed,
        factors,
        mlp: memory,
        ..
    } = scratch;
    for rows in pieces(tape.statistics_2.len(), rows_at_a_time(network.shape)) {
        let numbers = rows.start * c..rows.end * c;
        let stream = &mut stream[numbers.clone()];
        let masks = masks(layer, Site::Mlp { layer: index }, &tape.mlp_rows);
        let masks = masks.map(|masks| masks.of(rows.clone()));
        let gradients = Gradients {
            branch: undrop(level, masks, stream, branch),
            normed: &mut *normed,
            parameters: &mut *gradient,
        };
        let given = (&tape.normed_2[numbers.clone()], &tape.mlp, rows.clone());
        let memory = (&mut *memory, &mut *factors);
        mlp::backward(&at.mlp, network, weights, given, memory, gradients);
        begin_behind(at.placement, level, normed, stream);
        let given = (&tape.middle[numbers], &tape.statistics_2[rows]);
        network.norm_backward(&at.norm_2, given, normed, stream, gradient);
    }
}

/// Where the residual connection begins behind the norm: moves the gradient with respect to it,
/// `stream`, to that of the normed rows.
fn begin_behind(placement: NormPlacement, level: Level, normed: &mut [f32], stream: &mut [f32]) {
    if placement == NormPlacement::Post {
        add(level, stream, normed);
        stream.fill(0.0);
    }
}
