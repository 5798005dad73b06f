//! A Decision Transformer and its relatives: a window of steps as tokens.
//!
//! While an episode fits into the context, a step's new tokens go through the layers behind what
//! each layer keeps of those before, which is exact. Once the window slides, its oldest step leaves
//! and what the others knew of it with it: all tokens of the window go through the layers again.
//! Where every layer reaches back so little that the newest token sees nothing of what leaves, as
//! with convolutions, that is not needed. Tokens go through all layers some at a time, and the last
//! layer answers for the newest observation alone.

use alloc::format;
use alloc::vec::Vec;

use super::attention::Attention;
use super::convolution::{self, Convolution};
use super::embedding::{Embedding, Kind, Window};
use super::layer::{Buffers, Layer, Mixer};
use super::{Activation, Sizes, Step};
use crate::error::Error;
use crate::functions::tanh;
use crate::norm::EPSILON;
use crate::product::Linear;
use crate::reader::{Memory, Pair, Place, Reader, invalid};

/// The most tokens that go through the layers together.
const ROWS: usize = 32;

/// A sequence model, and its memory of the running episode.
pub(crate) struct Sequence {
    embedding: Embedding,
    layers: Vec<Layer>,
    activation: Activation,
    /// Of all norms but the embedding's.
    epsilon: f32,
    final_norm: Pair,
    /// How far gain and bias of the last norm move with the return-to-go.
    slopes: Option<Place>,
    head: Linear,
    /// Of a tanh behind the head.
    largest_action: Option<f32>,
    return_scale: f64,
    window: Window,
    /// Steps of the episode so far.
    steps: usize,
    /// Tokens of the window that the layers know.
    known: usize,
    /// Whether the layers still know them when the oldest step leaves.
    slides: bool,
    buffers: Buffers,
    outputs: Vec<f32>,
}

impl Sequence {
    pub(super) fn read(
        reader: &mut Reader<'_>,
        sizes: Sizes,
        memory: &mut Memory,
    ) -> Result<Self, Error> {
        let activations = [("relu", Activation::Relu), ("gelu", Activation::Gelu)];
        let activation = reader.choice("activation", &activations)?;
        let is_token = reader.choice("condition", &[("token", true), ("adaln", false)])?;
        let attends = reader.choice("mixer", &[("attention", true), ("convolution", false)])?;
        let kinds = ["return_to_go", "observation", "action"];
        let kinds = &kinds[usize::from(!is_token)..];
        let stride = kinds.len();
        let tokens = stride.checked_mul(reader.size("context")?);
        let tokens = tokens.ok_or_else(|| invalid("context"))?;
        let embedding = Embedding::read(reader, sizes, is_token, memory)?;
        let width = embedding.width();
        let heads = reader.size("heads")?;
        if !width.is_multiple_of(heads) {
            return Err(invalid("heads"));
        }
        let epsilon = if reader.has("norm.epsilon") {
            reader.scalar("norm.epsilon")? as f32
        } else {
            EPSILON
        };
        let mut layers = Vec::new();
        for layer in 0..reader.size("layers")? {
            let block = &format!("block.{layer}");
            let mixer = if attends {
                let sizes = (width, heads, tokens);
                Mixer::Attention(Attention::read(reader, block, sizes, memory)?)
            } else {
                let sizes = (width, tokens);
                Mixer::Convolution(Convolution::read(reader, block, kinds, sizes, memory)?)
            };
            layers.push(Layer::read(reader, block, mixer, (width, epsilon))?);
        }
        let reach = layers.len().saturating_mul(convolution::REACH);
        let inputs = sizes.observation.max(sizes.action);
        Ok(Self {
            activation,
            epsilon,
            final_norm: reader.pair("final_norm", &[width])?,
            slopes: if is_token {
                None
            } else {
                Some(reader.place("condition.weight", &[1, 2 * width])?)
            },
            head: Linear::read(reader, "head", width, sizes.action)?,
            largest_action: if reader.choice("head", &[("tanh", true), ("logits", false)])? {
                Some(reader.scalar("largest_action")? as f32)
            } else {
                None
            },
            return_scale: reader.scalar("return_scale")?,
            window: Window::new(memory, (tokens, stride, width))?,
            steps: 0,
            known: 0,
            // The newest token is the window's last but one: the last action is not taken yet.
            slides: !attends && reach < tokens - 1,
            buffers: Buffers::new(memory, (tokens.min(ROWS), tokens, width), inputs)?,
            outputs: memory.zeros(&[sizes.action])?,
            embedding,
            layers,
        })
    }

    pub(super) fn begin(&mut self) {
        (self.steps, self.known) = (0, 0);
        self.window.clear();
    }

    pub(super) fn act(&mut self, bytes: &[u8], step: &Step<'_>) -> &[f32] {
        let return_to_go = (step.return_to_go / self.return_scale) as f32;
        if let Some(before) = self.steps.checked_sub(1) {
            self.append(bytes, Kind::Action, step.previous_action, before);
            if self.window.is_full() {
                self.forget();
            }
        }
        self.append(bytes, Kind::ReturnToGo, &[return_to_go], self.steps);
        self.append(bytes, Kind::Observation, step.observation, self.steps);
        self.steps = self.steps.saturating_add(1);
        while self.known < self.window.len() {
            self.pass(bytes);
        }
        self.answer(bytes, return_to_go);
        &self.outputs
    }

    fn append(&mut self, bytes: &[u8], kind: Kind, x: &[f32], timestep: usize) {
        let (scratch, window) = (&mut self.buffers.scratch, &mut self.window);
        self.embedding
            .append(bytes, kind, (x, timestep), scratch, window);
    }

    /// The oldest step leaves the window.
    fn forget(&mut self) {
        let tokens = self.window.forget();
        if self.slides {
            self.known -= tokens;
            self.layers
                .iter_mut()
                .for_each(|layer| layer.forget(tokens));
        } else {
            self.known = 0;
        }
    }

    /// The next tokens through all layers. The newest one's row stays at the start of the stream.
    fn pass(&mut self, bytes: &[u8]) {
        let first = self.known;
        self.known = self.window.len().min(first + ROWS);
        let embedded = self.window.rows(first, self.known);
        self.buffers.stream[..embedded.len()].copy_from_slice(embedded);
        let is_newest = self.known == self.window.len();
        let (mut rows, last) = (self.known - first, self.layers.len() - 1);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let predicting = if index == last {
                usize::from(is_newest)
            } else {
                rows
            };
            let rows_of = (first, rows, predicting);
            rows = layer.forward(bytes, self.activation, rows_of, &mut self.buffers);
        }
    }

    /// `outputs` from the newest token's row.
    fn answer(&mut self, bytes: &[u8], return_to_go: f32) {
        let width = self.embedding.width();
        let Buffers {
            stream,
            normed,
            scratch,
            ..
        } = &mut self.buffers;
        let (x, y) = (&stream[..width], &mut normed[..width]);
        match self.slopes {
            None => self.final_norm.norm(bytes, self.epsilon, x, y),
            Some(slopes) => {
                let slopes = slopes.of(bytes);
                self.final_norm
                    .adaptive_norm(bytes, self.epsilon, slopes, return_to_go, (x, y));
            }
        }
        self.head
            .forward(bytes, &normed[..width], scratch, &mut self.outputs);
        if let Some(scale) = self.largest_action {
            for output in &mut self.outputs {
                *output = scale * tanh(*output);
            }
        }
    }
}
