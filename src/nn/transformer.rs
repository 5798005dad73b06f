//! The Decision Transformer composed of dfdx's own operations: the readable reference.
//!
//! Each step k of a window becomes three tokens: return-to-go, observation, action. The row of the
//! timestep table for that step is added to all three. The tokens pass through an embedding
//! LayerNorm and L blocks with causal attention; the action of step k is read from the
//! *observation* token of step k (Chen et al. 2021,
//! `gym/decision_transformer/models/decision_transformer.py`; the same in CORL's
//! `algorithms/offline/dt.py`).
//!
//! The fast engine in [`rtg_kernels::decision_transformer`] computes the same function; a test
//! compares the two. Dropout masks come from the engine's counter-based generator, so both see the
//! same ones.

use dfdx::prelude::*;

use super::gelu::gelu;
use rtg_kernels::decision_transformer::{Layout, NormPlacement, Shape, Windows};
use rtg_kernels::layer_norm::EPSILON;
use rtg_kernels::{Activation, Dropout, Head, Site};

/// A tensor that records the operations it passes through.
pub type Traced<S> = Tensor<S, f32, Cpu, OwnedTape<f32, Cpu>>;
/// All parameters of a model in one flat vector.
pub type ParameterTensor = Tensor<(usize,), f32, Cpu>;

type Matrix = Traced<(usize, usize)>;

/// Added to masked attention scores; `exp` of it is zero in f32.
const MASKED: f32 = -1e4;

/// The forward pass for one batch of windows.
pub struct Transformer<'a> {
    /// Sizes and switches of the model.
    pub shape: &'a Shape,
    /// The range of each weight in the flat parameter vector.
    pub layout: &'a Layout,
    /// The parameters (recorded as one leaf of the tape).
    pub parameters: &'a ParameterTensor,
    /// `None` evaluates without dropout.
    pub dropout: Option<&'a Dropout>,
}

impl Transformer<'_> {
    /// Predicted actions, B x K x A: after tanh and scaling, or logits. Rows of padded steps are
    /// undefined; no loss may read them.
    pub fn forward(&self, windows: &Windows) -> Traced<(usize, usize, usize)> {
        let (batch, context, width) = (windows.lengths.len(), windows.context, self.shape.width);
        let tokens = 3 * context;
        let mask = attention_mask(windows);

        let mut x = self.embed(windows);
        x = self.layer_norm(x, "embed.norm");
        if let Some(table) = self.layout.range("embed.position") {
            let first = table.start..table.start + width;
            let vector = self.parameters.leaky_trace().slice((first,));
            let shape = *x.shape();
            x = x + vector.broadcast_like::<_, Axis<0>>(&shape);
        }
        x = self.dropped(x, Site::Embedding, tokens);
        for layer in 0..self.shape.layers {
            let block = format!("block.{layer}");
            let has_norm = self
                .layout
                .range(&format!("{block}.norm_1.weight"))
                .is_some();
            let (skip, normed) = self.branch(x, has_norm.then(|| format!("{block}.norm_1")));
            let attended = self.attend(normed, &mask, layer, batch, tokens);
            x = skip + self.dropped(attended, Site::Projection { layer }, tokens);

            let (skip, normed) = self.branch(x, Some(format!("{block}.norm_2")));
            let hidden = self.linear(normed, &format!("{block}.mlp.up"));
            let hidden = match self.shape.activation {
                Activation::Relu => hidden.relu(),
                Activation::Gelu => gelu(hidden),
            };
            let out = self.linear(hidden, &format!("{block}.mlp.down"));
            x = skip + self.dropped(out, Site::Mlp { layer }, tokens);
        }
        let x = self.layer_norm(x, "final_norm");
        let observation_tokens = x
            .reshape_like(&(batch * context, 3, width))
            .slice((0.., 1..2, 0..))
            .reshape_like(&(batch * context, width));
        let out = self.linear(observation_tokens, "head");
        let out = match self.shape.head {
            Head::Tanh { scale } => out.tanh() * scale,
            Head::Logits => out,
        };
        out.reshape_like(&(batch, context, self.shape.action))
    }

    /// Where a residual connection begins, in front of a norm or behind it, and the normed tokens.
    fn branch(&self, x: Matrix, norm: Option<String>) -> (Matrix, Matrix) {
        let skip = x.with_empty_tape();
        let normed = match norm {
            Some(name) => self.layer_norm(x, &name),
            None => x,
        };
        match self.shape.norm_placement {
            NormPlacement::Pre => (skip, normed),
            NormPlacement::Post => (normed.with_empty_tape(), normed),
        }
    }

    /// Tokens (B * 3K) x C in the order return-to-go, observation, action of each step.
    fn embed(&self, windows: &Windows) -> Matrix {
        let (steps, width) = (windows.lengths.len() * windows.context, self.shape.width);
        let device = self.parameters.device();
        let input = |values: &[f32], columns: usize| -> Matrix {
            device
                .tensor_from_vec(values.to_vec(), (steps, columns))
                .leaky_traced()
        };
        let indices = windows.timesteps.iter().map(|&t| t as usize).collect();
        let indices = device.tensor_from_vec(indices, (steps,));
        let time: Matrix = self
            .weight("embed.timestep", self.shape.timesteps)
            .gather(indices);
        let token = |values: &[f32], columns, name: &str, time: Matrix| {
            (self.linear(input(values, columns), name) + time).reshape_like(&(steps, 1, width))
        };
        let (sizes, windows) = (self.shape, windows);
        let observations = token(
            windows.observations,
            sizes.observation,
            "embed.observation",
            time.with_empty_tape(),
        );
        let actions = token(
            windows.actions,
            sizes.action,
            "embed.action",
            time.with_empty_tape(),
        );
        let returns = token(windows.returns_to_go, 1, "embed.return_to_go", time);
        let pairs = (returns, observations).concat_along(Axis::<1>);
        (pairs, actions)
            .concat_along(Axis::<1>)
            .reshape_like(&(steps * 3, width))
    }

    /// Causal multi-head self-attention with its output projection.
    fn attend(
        &self,
        x: Matrix,
        mask: &Tensor<(usize, usize, usize), f32, Cpu>,
        layer: usize,
        batch: usize,
        tokens: usize,
    ) -> Matrix {
        let (width, heads) = (self.shape.width, self.shape.heads);
        let depth = width / heads;
        let name = format!("block.{layer}.attention");
        let qkv = self.linear(x, &format!("{name}.qkv"));
        let part = |qkv: Matrix, index: usize| {
            qkv.slice((0.., index * width..(index + 1) * width))
                .reshape_like(&(batch, tokens, heads, depth))
                .permute::<_, Axes4<0, 2, 1, 3>>()
        };
        let (key, value) = (
            part(qkv.with_empty_tape(), 1),
            part(qkv.with_empty_tape(), 2),
        );
        let query = part(qkv, 0);
        let scores =
            query.matmul(key.permute::<_, Axes4<0, 1, 3, 2>>()) * (depth as f32).sqrt().recip();
        let shape = (batch, heads, tokens, tokens);
        let scores = scores + mask.clone().broadcast_like::<_, Axis<1>>(&shape);
        let mut probabilities = scores.softmax::<Axis<3>>();
        if let Some(dropout) = self.dropout {
            let mut keep = vec![0.0; batch * heads * tokens * tokens];
            for (row, mask) in keep.chunks_mut(tokens).enumerate() {
                let (window, head) = (row / (heads * tokens), row / tokens % heads);
                dropout.mask(Site::Attention { layer, head }, window, row % tokens, mask);
            }
            probabilities = probabilities * self.parameters.device().tensor_from_vec(keep, shape);
        }
        let attended = probabilities
            .matmul(value)
            .permute::<_, Axes4<0, 2, 1, 3>>()
            .reshape_like(&(batch * tokens, width));
        self.linear(attended, &format!("{name}.projection"))
    }

    /// `x W + b` with the weights called `name`.
    fn linear(&self, x: Matrix, name: &str) -> Matrix {
        let rows = x.shape().0;
        let inputs = x.shape().1;
        let weight = self.weight(&format!("{name}.weight"), inputs);
        let outputs = weight.shape().1;
        x.matmul(weight)
            + self
                .vector(&format!("{name}.bias"))
                .broadcast_like::<_, Axis<0>>(&(rows, outputs))
    }

    /// LayerNorm over the channels of each token.
    fn layer_norm(&self, x: Matrix, name: &str) -> Matrix {
        let shape = *x.shape();
        let gain = self
            .vector(&format!("{name}.weight"))
            .broadcast_like::<_, Axis<0>>(&shape);
        let bias = self
            .vector(&format!("{name}.bias"))
            .broadcast_like::<_, Axis<0>>(&shape);
        let epsilon = match name {
            "embed.norm" => EPSILON,
            _ => self.shape.norm_epsilon,
        };
        x.normalize::<Axis<1>>(f64::from(epsilon)) * gain + bias
    }

    fn dropped(&self, x: Matrix, site: Site, tokens: usize) -> Matrix {
        let Some(dropout) = self.dropout else {
            return x;
        };
        let shape = *x.shape();
        let mut keep = vec![0.0; shape.0 * shape.1];
        for (row, mask) in keep.chunks_mut(shape.1).enumerate() {
            dropout.mask(site, row / tokens, row % tokens, mask);
        }
        x * self.parameters.device().tensor_from_vec(keep, shape)
    }

    fn vector(&self, name: &str) -> Traced<(usize,)> {
        self.parameters.leaky_trace().slice((self.place(name),))
    }

    fn weight(&self, name: &str, rows: usize) -> Matrix {
        let range = self.place(name);
        let columns = range.len() / rows;
        self.parameters
            .leaky_trace()
            .slice((range,))
            .reshape_like(&(rows, columns))
    }

    /// The names in this file are those of the layout; an empty range would fail in the next
    /// operation.
    fn place(&self, name: &str) -> std::ops::Range<usize> {
        self.layout.range(name).unwrap_or_default()
    }
}

/// B x T x T, zero where token i may attend to token j: j is not later than i, and j's step is
/// valid.
fn attention_mask(windows: &Windows) -> Tensor<(usize, usize, usize), f32, Cpu> {
    let (batch, context) = (windows.lengths.len(), windows.context);
    let tokens = 3 * context;
    let mut mask = vec![0.0; batch * tokens * tokens];
    for (b, &length) in windows.lengths.iter().enumerate() {
        let first = 3 * windows.first_step(b);
        let valid = first..first + 3 * length;
        for i in 0..tokens {
            for j in 0..tokens {
                if j > i || !valid.contains(&j) {
                    mask[(b * tokens + i) * tokens + j] = MASKED;
                }
            }
        }
    }
    Cpu::default().tensor_from_vec(mask, (batch, tokens, tokens))
}
