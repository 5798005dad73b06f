//! Causal attention with several heads.

use alloc::vec::Vec;

use super::layer::Tokens;
use crate::error::Error;
use crate::functions::{exp, sqrt};
use crate::product::{Linear, Scratch, dot};
use crate::reader::{Memory, Reader};

/// An attention and the keys and values of the tokens so far.
pub(super) struct Attention {
    qkv: Linear,
    projection: Linear,
    heads: usize,
    /// Tokens x 2C: key, value.
    kept: Vec<f32>,
}

/// Memory for one block of tokens.
pub(super) struct Working {
    queries: Vec<f32>,
    attended: Vec<f32>,
    probabilities: Vec<f32>,
}

impl Working {
    pub(super) fn new(
        memory: &mut Memory,
        (rows, tokens, width): (usize, usize, usize),
    ) -> Result<Self, Error> {
        Ok(Self {
            queries: memory.zeros(&[rows, width])?,
            attended: memory.zeros(&[rows, width])?,
            probabilities: memory.zeros(&[tokens])?,
        })
    }
}

impl Attention {
    pub(super) fn read(
        reader: &mut Reader<'_>,
        block: &str,
        (width, heads, tokens): (usize, usize, usize),
        memory: &mut Memory,
    ) -> Result<Self, Error> {
        let qkv = [block, ".attention.qkv"].concat();
        let projection = [block, ".attention.projection"].concat();
        Ok(Self {
            qkv: Linear::read(reader, &qkv, width, 3 * width)?,
            projection: Linear::read(reader, &projection, width, width)?,
            heads,
            kept: memory.zeros(&[tokens, 2 * width])?,
        })
    }

    /// The branch of the last `predicting` tokens from their normed rows.
    pub(super) fn mix(
        &mut self,
        bytes: &[u8],
        tokens: Tokens<'_>,
        (working, scratch): (&mut Working, &mut Scratch),
        branch: &mut [f32],
    ) {
        let Tokens {
            first,
            normed,
            predicting,
        } = tokens;
        let width = self.projection.outputs;
        let rows = normed.len() / width;
        let kept = &mut self.kept[first * 2 * width..][..rows * 2 * width];
        self.qkv
            .columns(bytes, width..3 * width, normed, scratch, kept);
        if predicting == 0 {
            return;
        }
        let before = rows - predicting;
        let requested = &normed[before * width..];
        let queries = &mut working.queries[..predicting * width];
        self.qkv
            .columns(bytes, 0..width, requested, scratch, queries);
        let attended = &mut working.attended[..predicting * width];
        let pairs = queries
            .chunks_exact(width)
            .zip(attended.chunks_exact_mut(width));
        for (row, (query, to)) in pairs.enumerate() {
            let seen = first + before + row + 1;
            let probabilities = &mut working.probabilities[..seen];
            attend(
                self.heads,
                query,
                &self.kept[..seen * 2 * width],
                probabilities,
                to,
            );
        }
        self.projection.forward(bytes, attended, scratch, branch);
    }
}

/// softmax(q K^T / sqrt(C / H)) V, head by head.
fn attend(heads: usize, query: &[f32], kept: &[f32], probabilities: &mut [f32], to: &mut [f32]) {
    let width = query.len();
    let each = width / heads;
    let scale = 1.0 / sqrt(each as f32);
    let heads = query.chunks_exact(each).zip(to.chunks_exact_mut(each));
    for (head, (query, to)) in heads.enumerate() {
        let of_head = |start| start + head * each..start + (head + 1) * each;
        let tokens = kept.chunks_exact(2 * width);
        for (score, token) in probabilities.iter_mut().zip(tokens.clone()) {
            *score = dot(query, &token[of_head(0)]) * scale;
        }
        let largest = probabilities
            .iter()
            .copied()
            .fold(f32::NEG_INFINITY, f32::max);
        for score in &mut *probabilities {
            *score = exp(*score - largest);
        }
        let share = 1.0 / probabilities.iter().sum::<f32>();
        to.fill(0.0);
        for (probability, token) in probabilities.iter().zip(tokens) {
            for (to, value) in to.iter_mut().zip(&token[of_head(width)]) {
                *to += probability * value;
            }
        }
        for to in to {
            *to *= share;
        }
    }
}
