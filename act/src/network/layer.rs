//! A block of a sequence model: x + mix(norm(x)), then x + mlp(norm(x)).

use alloc::vec::Vec;

use super::Activation;
use super::attention::{Attention, Working};
use super::convolution::Convolution;
use crate::error::Error;
use crate::product::{Linear, Scratch};
use crate::reader::{Memory, Pair, Reader};

/// A block with what its mixer keeps of the window's tokens.
pub(super) struct Layer {
    norm_1: Pair,
    mixer: Mixer,
    norm_2: Pair,
    up: Linear,
    down: Linear,
    /// Of both norms.
    epsilon: f32,
}

/// What lets tokens see the ones before them.
pub(super) enum Mixer {
    Attention(Attention),
    Convolution(Convolution),
}

/// Some consecutive tokens in front of a mixer.
#[derive(Clone, Copy)]
pub(super) struct Tokens<'a> {
    /// The place of the first in the window.
    pub(super) first: usize,
    /// Rows x C.
    pub(super) normed: &'a [f32],
    /// How many of them, counted from the last, have a row in the branch.
    pub(super) predicting: usize,
}

/// Memory for some tokens.
pub(super) struct Buffers {
    /// Rows x C: the residual stream.
    pub(super) stream: Vec<f32>,
    pub(super) normed: Vec<f32>,
    branch: Vec<f32>,
    /// Rows x 4C.
    hidden: Vec<f32>,
    attention: Working,
    pub(super) scratch: Scratch,
}

impl Buffers {
    /// For `rows` tokens at once of `tokens`, each of `width` channels, and products of at most
    /// `inputs` inputs.
    pub(super) fn new(
        memory: &mut Memory,
        (rows, tokens, width): (usize, usize, usize),
        inputs: usize,
    ) -> Result<Self, Error> {
        Ok(Self {
            stream: memory.zeros(&[rows, width])?,
            normed: memory.zeros(&[rows, width])?,
            branch: memory.zeros(&[rows, width])?,
            hidden: memory.zeros(&[rows, 4, width])?,
            attention: Working::new(memory, (rows, tokens, width))?,
            scratch: Scratch::new(memory, rows, inputs.max(4 * width))?,
        })
    }
}

impl Layer {
    pub(super) fn read(
        reader: &mut Reader<'_>,
        block: &str,
        mixer: Mixer,
        (width, epsilon): (usize, f32),
    ) -> Result<Self, Error> {
        let name = |part| [block, part].concat();
        Ok(Self {
            up: Linear::read(reader, &name(".mlp.up"), width, 4 * width)?,
            down: Linear::read(reader, &name(".mlp.down"), 4 * width, width)?,
            norm_1: reader.pair(&name(".norm_1"), &[width])?,
            norm_2: reader.pair(&name(".norm_2"), &[width])?,
            mixer,
            epsilon,
        })
    }

    /// The tokens of `buffers.stream`, of which the first is the window's `first`, through the
    /// block. The last `predicting` of them stay in the stream, and their count is returned.
    pub(super) fn forward(
        &mut self,
        bytes: &[u8],
        activation: Activation,
        (first, rows, predicting): (usize, usize, usize),
        buffers: &mut Buffers,
    ) -> usize {
        let Buffers {
            stream,
            normed,
            branch,
            hidden,
            attention,
            scratch,
        } = buffers;
        let width = self.down.outputs;
        let all = &mut normed[..rows * width];
        self.norm_1
            .norm(bytes, self.epsilon, &stream[..rows * width], all);
        let tokens = Tokens {
            first,
            normed: all,
            predicting,
        };
        let branch = &mut branch[..predicting * width];
        match &mut self.mixer {
            Mixer::Attention(mixer) => {
                mixer.mix(bytes, tokens, (&mut *attention, &mut *scratch), branch);
            }
            Mixer::Convolution(mixer) => mixer.mix(bytes, tokens, branch),
        }
        stream.copy_within((rows - predicting) * width..rows * width, 0);
        if predicting > 0 {
            let stream = &mut stream[..predicting * width];
            add(stream, branch);
            let normed = &mut normed[..predicting * width];
            self.norm_2.norm(bytes, self.epsilon, stream, normed);
            let hidden = &mut hidden[..4 * predicting * width];
            self.up.forward(bytes, normed, scratch, hidden);
            activation.apply(hidden);
            self.down.forward(bytes, hidden, scratch, branch);
            add(stream, branch);
        }
        predicting
    }

    /// The window's first tokens leave, and the others stay known.
    pub(super) fn forget(&mut self, tokens: usize) {
        if let Mixer::Convolution(mixer) = &mut self.mixer {
            mixer.forget(tokens);
        }
    }
}

fn add(to: &mut [f32], x: &[f32]) {
    for (to, x) in to.iter_mut().zip(x) {
        *to += x;
    }
}
