//! The mixer of a block: the half that lets the tokens of a sequence see each other.
//!
//! A block gives its mixer the normed tokens n, M x C, and takes the branch that goes beside the residual stream:
//!
//! ```text
//! y = x + drop(mix(n))        M x C, and drop only for members that ask for it; in the last layer only the rows of the observations
//! ```
//!
//! A mixer is a folder, as an op is, and one arm in each function of [`Mixer`]; the members are
//! [`attention`](self::attention) and [`convolution`](self::convolution). What a member has to give:
//!
//! - `Parameters`: its places in the flat buffer, and `Weights`: how its products read them, packed once a call.
//! - `forward` for a group of sequences, which fills its `Tape`, and `backward`, which reads it.
//! - `reference`: both once more, naively, for one sequence.
//! - `acting`: its `Cache` of a running episode, and the newest tokens' rows from that.
//! - `cuda`: its memory and its launches; or `Shape::runs_on_devices` says that it has none.
//!
//! No member may let a token see a later one. The members' memory is a field each, and the fields of those that a
//! model does not have stay empty. Calls are chosen once for a layer and a group, never for an element.

pub(crate) mod acting;
pub(crate) mod attention;
pub(crate) mod convolution;
pub(crate) mod cuda;
pub(crate) mod reference;

use super::group::Group;
use super::network::branch::{Branch, Gradients};
use super::network::packing::Packing;
use super::network::{Factors, Network};
use super::shape::{MixerKind, Shape};
use crate::kernels::dropout::Dropout;
use crate::kernels::parameters::Places;
use crate::kernels::precision::Precision;

/// Which mixer a block has, and where its parameters are stored.
#[derive(Clone, Debug)]
pub(crate) enum Mixer {
    Attention(attention::Parameters),
    Convolution(convolution::Parameters),
}

/// Packed weights.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    attention: attention::Weights,
}

/// What forward keeps for backward.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    attention: attention::Tape,
}

/// Memory of a thread while it works on one layer.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    attention: attention::Scratch,
}

/// One layer's work on a group.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'a> {
    pub(crate) network: Network<'a>,
    pub(crate) group: &'a Group,
    pub(crate) dropout: Option<&'a Dropout>,
    /// Which layer, and whether it is the last: only the observations' rows go on.
    pub(crate) index: usize,
    pub(crate) last: bool,
}

impl Mixer {
    /// The mixer of `block` in a model of this shape.
    pub(crate) fn new(places: &mut Places, block: &str, shape: &Shape) -> Self {
        match shape.mixer {
            MixerKind::Attention => {
                Self::Attention(attention::Parameters::new(places, block, shape))
            }
            MixerKind::Convolution => {
                Self::Convolution(convolution::Parameters::new(places, block, shape))
            }
        }
    }

    /// Is anything of its branch dropped in training?
    pub(crate) fn drops(&self) -> bool {
        matches!(self, Self::Attention(_))
    }

    /// How many tokens before itself a token sees; nothing where that grows with the window.
    pub(crate) fn reach(&self) -> Option<usize> {
        match self {
            Self::Attention(_) => None,
            Self::Convolution(_) => Some(convolution::REACH),
        }
    }

    /// Has it a shorter way through the last layer in training?
    pub(crate) fn has_shortcut(&self, precision: Precision, shape: &Shape) -> bool {
        match self {
            Self::Attention(_) => attention::direct::pays(precision, shape),
            Self::Convolution(_) => false,
        }
    }

    /// Packs its weights, those of the last layer or of another.
    pub(crate) fn pack(
        &self,
        packing: Packing,
        last: bool,
        parameters: &[f32],
        weights: &mut Weights,
    ) {
        match self {
            Self::Attention(at) => weights.attention.pack(at, packing, last, parameters),
            // Its weights are read where they are.
            Self::Convolution(_) => {}
        }
    }

    /// Fills `tape`, and the branch from `normed`.
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
        }
    }

    /// The gradients, with `tape` as forward left it for `normed`.
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
        }
    }
}
