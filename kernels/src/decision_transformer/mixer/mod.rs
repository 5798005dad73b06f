//! The mixer of a block: the half in which information passes between the tokens of a sequence.
//!
//! A mixer computes from a block's normed tokens n, M x C, the branch that is added to the residual
//! stream:
//!
//! ```text
//! y = x + drop(mix(n))        M x C; dropout for some mixers only; in the last layer only the
//!                             observations' rows
//! ```
//!
//! A mixer is a folder, as an op is, and one arm in each function of [`Mixer`]; the members are
//! [`attention`](self::attention), which includes linear attention,
//! [`convolution`](self::convolution), [`lstm`](self::lstm) and [`scan`](self::scan).
//! What a member has to give:
//!
//! - `Parameters`: its ranges in the flat buffer, and `Weights`: the same, packed for products once
//!   a call.
//! - `forward` for a group of sequences, which fills its `Tape`, and `backward`, which reads it.
//! - `reference`: naive versions of both, for one sequence.
//! - `acting`: its `Cache` of a running episode, and the branch of the newest tokens from that.
//! - `cuda`: its memory and its launches; or `Shape::runs_on_devices` returns false.
//!
//! In no mixer may a token depend on a later one. Each mixer's memory is a field, which stays empty
//! in models without that mixer. Dispatch happens once for a layer and a group, never per element.

pub(crate) mod acting;
pub(crate) mod attention;
pub(crate) mod convolution;
pub(crate) mod cuda;
pub(crate) mod lstm;
pub(crate) mod reference;
mod rows;
pub(crate) mod scan;

use super::group::Group;
use super::network::branch::{Branch, Gradients};
use super::network::packing::Packing;
use super::network::{Factors, Network};
use super::shape::{MixerKind, Shape};
use crate::dropout::Dropout;
use crate::parameters::Places;
use crate::precision::Precision;

impl Shape {
    /// Whether the last layer's attention takes fewer multiply-adds without keys and values.
    pub fn attends_directly(&self, precision: Precision) -> bool {
        attention::direct::pays(precision, self)
    }

    /// Of a scan: its channels, and the rank of the matrix that gives its steps.
    pub fn scan_sizes(&self) -> [usize; 2] {
        [scan::EXPANSION * self.width, scan::rank(self.width)]
    }
}

/// A block's mixer, and where its parameters are stored.
#[derive(Clone, Debug)]
pub(crate) enum Mixer {
    Attention(attention::Parameters),
    Convolution(convolution::Parameters),
    Scan(scan::Parameters),
    Lstm(lstm::Parameters),
}

/// Packed weights.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    attention: attention::Weights,
    scan: scan::Weights,
    lstm: lstm::Weights,
}

/// What the forward pass stores for the backward pass.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    attention: attention::Tape,
    scan: scan::Tape,
    lstm: lstm::Tape,
}

/// Scratch memory of a thread in one layer.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    attention: attention::Scratch,
    scan: scan::Scratch,
    lstm: lstm::Scratch,
}

/// One layer and the group that it processes.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'a> {
    pub(crate) network: Network<'a>,
    pub(crate) group: &'a Group,
    pub(crate) dropout: Option<&'a Dropout>,
    /// The layer's index, and whether it is the last, after which only the observations' rows
    /// continue.
    pub(crate) index: usize,
    pub(crate) last: bool,
}

impl Mixer {
    /// The mixer of `block` in a model of this shape.
    pub(crate) fn new(places: &mut Places, block: &str, shape: &Shape) -> Self {
        match shape.mixer {
            MixerKind::Attention | MixerKind::Linear => {
                Self::Attention(attention::Parameters::new(places, block, shape))
            }
            MixerKind::Convolution => {
                Self::Convolution(convolution::Parameters::new(places, block, shape))
            }
            MixerKind::Scan => Self::Scan(scan::Parameters::new(places, block, shape)),
            MixerKind::Lstm => Self::Lstm(lstm::Parameters::new(places, block, shape)),
        }
    }

    /// Whether its branch has dropout in training.
    pub(crate) fn drops(&self) -> bool {
        matches!(self, Self::Attention(_))
    }

    /// How many tokens a token reaches back; none if that grows with the window.
    pub(crate) fn reach(&self) -> Option<usize> {
        match self {
            Self::Attention(_) | Self::Scan(_) | Self::Lstm(_) => None,
            Self::Convolution(_) => Some(convolution::REACH),
        }
    }

    /// Whether it has a shortcut through the last layer in training.
    pub(crate) fn has_shortcut(&self, precision: Precision, shape: &Shape) -> bool {
        match self {
            Self::Attention(at) => !at.linear && attention::direct::pays(precision, shape),
            Self::Convolution(_) | Self::Scan(_) | Self::Lstm(_) => false,
        }
    }

    /// Packs its weights, for the last layer or another one.
    pub(crate) fn pack(
        &self,
        packing: Packing,
        last: bool,
        parameters: &[f32],
        weights: &mut Weights,
    ) {
        match self {
            Self::Attention(at) => weights.attention.pack(at, packing, last, parameters),
            // Its weights are read in place.
            Self::Convolution(_) => {}
            Self::Scan(at) => weights.scan.pack(at, packing, parameters),
            Self::Lstm(at) => weights.lstm.pack(at, packing, parameters),
        }
    }

    /// Computes the branch from `normed`, and fills `tape`.
    pub(crate) fn forward(
        &self,
        layer: Layer<'_>,
        weights: &Weights,
        normed: &[f32],
        (tape, scratch): (&mut Tape, &mut Scratch),
        branch: Branch<'_>,
    ) {
        match self {
            Self::Attention(at) => attention::forward::forward(
                at,
                layer,
                &weights.attention,
                normed,
                (&mut tape.attention, &mut scratch.attention),
                branch,
            ),
            Self::Convolution(at) => convolution::forward(at, layer, normed, branch),
            Self::Scan(at) => scan::forward::forward(
                at,
                layer,
                &weights.scan,
                normed,
                (&mut tape.scan, &mut scratch.scan),
                branch,
            ),
            Self::Lstm(at) => {
                let (weights, tape) = (&weights.lstm, &mut tape.lstm);
                lstm::forward::forward(at, layer, weights, normed, tape, branch);
            }
        }
    }

    /// Computes the gradients; `tape` is that of the forward pass of `normed`.
    pub(crate) fn backward(
        &self,
        layer: Layer<'_>,
        weights: &Weights,
        (normed, tape): (&[f32], &Tape),
        (scratch, factors): (&mut Scratch, &mut Factors),
        gradients: Gradients<'_>,
    ) {
        match self {
            Self::Attention(at) => attention::backward::backward(
                at,
                layer,
                &weights.attention,
                (normed, &tape.attention),
                (&mut scratch.attention, factors),
                gradients,
            ),
            Self::Convolution(at) => convolution::backward(at, layer, normed, gradients),
            Self::Scan(at) => scan::backward::backward(
                at,
                layer,
                &weights.scan,
                (normed, &tape.scan),
                (&mut scratch.scan, factors),
                gradients,
            ),
            Self::Lstm(at) => {
                let memory = (&mut scratch.lstm, factors);
                lstm::backward::backward(at, layer, &weights.lstm, &tape.lstm, memory, gradients);
            }
        }
    }
}
