//! From a step to tokens, and the tokens of the last steps.

use alloc::vec::Vec;

use super::Sizes;
use crate::error::Error;
use crate::norm::EPSILON;
use crate::product::{Linear, Scratch};
use crate::reader::{Memory, Pair, Place, Reader, invalid};

/// What a token is made from.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    ReturnToGo,
    Observation,
    Action,
}

/// A token is a product of its numbers, plus the row of its time step, behind a norm.
pub(super) struct Embedding {
    table: Place,
    /// The last row that is used.
    last_timestep: usize,
    /// Where the return-to-go is a token.
    return_to_go: Option<Linear>,
    observation: Linear,
    action: Linear,
    norm: Pair,
    token: Vec<f32>,
}

/// The embedded tokens of the last K steps.
pub(super) struct Window {
    /// Tokens x C.
    tokens: Vec<f32>,
    /// C.
    width: usize,
    count: usize,
    /// Tokens of a step.
    stride: usize,
}

impl Embedding {
    pub(super) fn read(
        reader: &mut Reader<'_>,
        sizes: Sizes,
        is_token: bool,
        memory: &mut Memory,
    ) -> Result<Self, Error> {
        let &[rows, width] = reader.dimensions("embed.timestep")? else {
            return Err(invalid("embed.timestep"));
        };
        // Beyond 2^24 channels a weight is beyond any memory; up to there 4 C is a number.
        if rows == 0 || width == 0 || width > 1 << 24 {
            return Err(invalid("embed.timestep"));
        }
        let (observation, action) = (sizes.observation, sizes.action);
        Ok(Self {
            return_to_go: if is_token {
                Some(Linear::read(reader, "embed.return_to_go", 1, width)?)
            } else {
                None
            },
            observation: Linear::read(reader, "embed.observation", observation, width)?,
            action: Linear::read(reader, "embed.action", action, width)?,
            table: reader.place("embed.timestep", &[rows, width])?,
            last_timestep: reader.size("episode_length")?.min(rows) - 1,
            norm: reader.pair("embed.norm", &[width])?,
            token: memory.zeros(&[width])?,
        })
    }

    /// C.
    pub(super) fn width(&self) -> usize {
        self.observation.outputs
    }

    /// Puts a token behind the others.
    pub(super) fn append(
        &mut self,
        bytes: &[u8],
        kind: Kind,
        (x, timestep): (&[f32], usize),
        scratch: &mut Scratch,
        window: &mut Window,
    ) {
        let linear = match kind {
            Kind::ReturnToGo => self.return_to_go,
            Kind::Observation => Some(self.observation),
            Kind::Action => Some(self.action),
        };
        let Some(linear) = linear else {
            return;
        };
        linear.forward(bytes, x, scratch, &mut self.token);
        let width = self.token.len();
        let row = timestep.min(self.last_timestep) * width;
        let row = &self.table.of(bytes)[row..row + width];
        for (token, time) in self.token.iter_mut().zip(row) {
            *token += f32::from_le_bytes(*time);
        }
        self.norm.norm(bytes, EPSILON, &self.token, window.push());
    }
}

impl Window {
    pub(super) fn new(
        memory: &mut Memory,
        (tokens, stride, width): (usize, usize, usize),
    ) -> Result<Self, Error> {
        Ok(Self {
            tokens: memory.zeros(&[tokens, width])?,
            width,
            count: 0,
            stride,
        })
    }

    /// Tokens in it.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn clear(&mut self) {
        self.count = 0;
    }

    /// Whether it holds K whole steps, their actions included.
    pub(super) fn is_full(&self) -> bool {
        self.count * self.width == self.tokens.len()
    }

    /// The oldest step leaves; returns how many tokens that are.
    pub(super) fn forget(&mut self) -> usize {
        self.tokens.copy_within(self.stride * self.width.., 0);
        self.count -= self.stride;
        self.stride
    }

    /// The row of one token more.
    fn push(&mut self) -> &mut [f32] {
        let row = self.count * self.width;
        self.count += 1;
        &mut self.tokens[row..row + self.width]
    }

    /// Rows of some tokens.
    pub(super) fn rows(&self, first: usize, end: usize) -> &[f32] {
        &self.tokens[first * self.width..end * self.width]
    }
}
