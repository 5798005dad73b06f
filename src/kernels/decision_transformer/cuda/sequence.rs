//! The launches of a step, made once: forward and loss, and the parts of the gradient.
//!
//! The order and the work are those of `trunk`: M = 3 B K rows of tokens, valid ones first in each window; in the last
//! layer only observations ask, so its queries and all behind them have B K rows. Rows behind a window's valid tokens
//! hold finite numbers that nobody looks at, and zero gradients.

mod backward;

use super::memory::{Block, Memory};
use crate::kernels::attention::cuda::Attention;
use crate::kernels::decision_transformer::embedding::cuda::Embed;
use crate::kernels::decision_transformer::layout::{Layout, Pair, Shape};
use crate::kernels::device::backend::{Address, Launch};
use crate::kernels::dropout::cuda::{Drop, Places};
use crate::kernels::dropout::{Dropout, Site};
use crate::kernels::layer_norm::cuda::Norm;
use crate::kernels::linear::cuda::{Across, Finish, Matrix, Rows, Sizes, product};
use crate::kernels::loss::cuda::HeadAndLoss;
use crate::kernels::loss::{Denominator, Objective};
use crate::kernels::precision::Precision;
use std::ops::Range;

/// What the launches of a model depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) layout: &'a Layout,
    pub(crate) memory: &'a Memory,
    pub(crate) precision: Precision,
    pub(crate) windows: usize,
    pub(crate) dropout: Option<&'a Dropout>,
    pub(crate) objective: Objective,
    pub(crate) denominator: Denominator,
}

impl Sequence<'_> {
    /// B K.
    fn steps(&self) -> usize {
        self.windows * self.shape.context
    }

    /// Rows of tokens.
    fn tokens(&self) -> usize {
        3 * self.steps()
    }

    fn is_last(&self, layer: usize) -> bool {
        layer + 1 == self.shape.layers
    }

    /// How many rows a layer has from its queries on, and which tokens they are.
    fn asking(&self, layer: usize) -> (usize, Rows) {
        if self.is_last(layer) {
            (self.steps(), Rows::kind(1))
        } else {
            (self.tokens(), Rows::ALL)
        }
    }

    fn parameter(&self, range: &Range<usize>) -> Address {
        self.memory.parameters.words(range.start)
    }

    fn drop(&self, site: Site) -> Drop {
        let plan = &self.memory.plan;
        let places = Places {
            keys: plan.keys,
            clock: plan.clock,
            first_steps: self.memory.inputs.first_steps,
            tokens: 3 * self.shape.context,
        };
        Drop::new(&places, self.dropout, site)
    }

    /// A weight as the right factor.
    fn weight(&self, pair: &Pair) -> Matrix {
        Matrix::new(self.parameter(&pair.weight), pair.bias.len())
    }

    /// Predictions; with `learns`, also the loss and the gradient at the head's numbers.
    pub(crate) fn forward(&self, learns: bool) -> Vec<Launch> {
        let mut launches = Vec::new();
        self.embed(&mut launches);
        for layer in 0..self.shape.layers {
            self.attend(layer, &mut launches);
            self.finish_block(layer, &mut launches);
        }
        let memory = self.memory;
        launches.push(self.norm(
            &self.layout.final_norm,
            memory.streams[self.shape.layers],
            memory.final_normed,
            memory.final_statistics,
            Drop::NONE,
            self.steps(),
        ));
        let head = HeadAndLoss {
            x: memory.final_normed,
            weight: self.parameter(&self.layout.head.weight),
            bias: self.parameter(&self.layout.head.bias),
            actions: memory.inputs.actions,
            lengths: memory.inputs.lengths,
            predictions: memory.predictions,
            dz: if learns {
                memory.scratch.dz
            } else {
                Address::NULL
            },
            losses: memory.block_losses,
            steps: self.steps() as i32,
            windows: self.windows as i32,
            context: self.shape.context as i32,
            width: self.shape.width as i32,
            action: self.shape.action as i32,
            is_tanh: 0,
            is_cross_entropy: 0,
            counts_all: 0,
            scale: 1.0,
        };
        launches.push(
            head.of(self.shape.head, self.objective, self.denominator)
                .launch(),
        );
        launches
    }

    /// The three kinds of tokens: what they hold, how many numbers a step, what they are multiplied with.
    fn kinds(&self) -> [(Address, usize, &Pair); 3] {
        let inputs = &self.memory.inputs;
        let (s, a) = (self.shape.observation, self.shape.action);
        [
            (inputs.returns_to_go, 1, &self.layout.return_to_go),
            (inputs.observations, s, &self.layout.observation),
            (inputs.actions, a, &self.layout.action),
        ]
    }

    fn embed(&self, launches: &mut Vec<Launch>) {
        let memory = self.memory;
        for (kind, (input, inputs, pair)) in self.kinds().into_iter().enumerate() {
            let embed = Embed {
                input,
                weight: self.parameter(&pair.weight),
                bias: self.parameter(&pair.bias),
                timesteps: memory.inputs.timesteps,
                lengths: memory.inputs.lengths,
                table: self.parameter(&self.layout.timestep),
                to: memory.embedded,
                inputs: inputs as i32,
                kind: kind as i32,
                steps: self.steps() as i32,
                context: self.shape.context as i32,
                width: self.shape.width as i32,
            };
            launches.push(embed.launch());
        }
        launches.push(self.norm(
            &self.layout.embed_norm,
            memory.embedded,
            memory.streams[0],
            memory.embedded_statistics,
            self.drop(Site::Embedding),
            self.tokens(),
        ));
    }

    fn norm(
        &self,
        pair: &Pair,
        x: Address,
        y: Address,
        statistics: Address,
        drop: Drop,
        rows: usize,
    ) -> Launch {
        Norm {
            x,
            gain: self.parameter(&pair.weight),
            bias: self.parameter(&pair.bias),
            y,
            statistics,
            drop,
            rows: rows as i32,
            width: self.shape.width as i32,
        }
        .launch()
    }

    /// One of the large products forward.
    fn linear(
        &self,
        (rows, columns): (usize, usize),
        x: Matrix,
        weight: Matrix,
        finish: Finish,
        to: Address,
        to_stride: usize,
    ) -> Launch {
        // A row of x may be a part of a longer one, but only in memory: the depth is the weight's.
        let sizes = Sizes {
            rows,
            columns,
            depth: x.stride,
        };
        let factors = (x, weight);
        product(
            self.precision,
            Across::Neither,
            sizes,
            factors,
            finish,
            (to, to_stride),
        )
    }

    fn attend(&self, layer: usize, launches: &mut Vec<Launch>) {
        let (memory, at) = (self.memory, &self.layout.blocks[layer]);
        let block = &memory.blocks[layer];
        let c = self.shape.width;
        launches.push(self.norm(
            &at.norm_1,
            memory.streams[layer],
            block.normed_1,
            block.statistics_1,
            Drop::NONE,
            self.tokens(),
        ));
        let x = Matrix::new(block.normed_1, c);
        let weight = self.weight(&at.qkv);
        let bias = self.parameter(&at.qkv.bias);
        if self.is_last(layer) {
            let finish = Finish::Store { bias };
            let asking = x.only(Rows::kind(1));
            launches.push(self.linear((self.steps(), c), asking, weight, finish, block.q, c));
            let weight = Matrix::new(weight.at.words(c), 3 * c);
            let bias = bias.words(c);
            let finish = Finish::Store { bias };
            let sizes = (self.tokens(), 2 * c);
            launches.push(self.linear(sizes, x, weight, finish, block.kv, 2 * c));
        } else {
            let sizes = (self.tokens(), 3 * c);
            launches.push(self.linear(sizes, x, weight, Finish::Store { bias }, block.q, 3 * c));
        }
        launches.push(self.attention(layer).forward(self.windows));
        let (rows, tokens) = self.asking(layer);
        let finish = Finish::Residual {
            bias: self.parameter(&at.projection.bias),
            residual: memory.streams[layer],
            residual_rows: tokens,
            drop: self.drop(Site::Projection { layer }),
            tokens,
        };
        let x = Matrix::new(block.attended, c);
        let weight = self.weight(&at.projection);
        launches.push(self.linear((rows, c), x, weight, finish, block.middle, c));
    }

    /// The attention of a layer, forward and backward.
    fn attention(&self, layer: usize) -> Attention {
        let (memory, last) = (self.memory, self.is_last(layer));
        let Block {
            q,
            kv,
            q_stride,
            kv_stride,
            attended,
            logs,
            ..
        } = memory.blocks[layer];
        let scratch = &memory.scratch;
        let c = self.shape.width;
        let (dq, dkv) = if last {
            (scratch.q, scratch.qkv)
        } else {
            (scratch.qkv, scratch.qkv.words(c))
        };
        let context = self.shape.context;
        Attention {
            q,
            kv,
            out: attended,
            logs,
            deltas: scratch.deltas,
            dout: scratch.attended,
            dq,
            dkv,
            lengths: memory.inputs.lengths,
            drop: self.drop(Site::Attention { layer, head: 0 }),
            queries: if last { context } else { 3 * context } as i32,
            keys: 3 * context as i32,
            width: c as i32,
            heads: self.shape.heads as i32,
            q_stride: q_stride as i32,
            kv_stride: kv_stride as i32,
            visible_stride: if last { 3 } else { 1 },
            visible_offset: if last { 2 } else { 1 },
        }
    }

    fn finish_block(&self, layer: usize, launches: &mut Vec<Launch>) {
        let (memory, at) = (self.memory, &self.layout.blocks[layer]);
        let block = &memory.blocks[layer];
        let (c, inner) = (self.shape.width, 4 * self.shape.width);
        let (rows, tokens) = self.asking(layer);
        launches.push(self.norm(
            &at.norm_2,
            block.middle,
            block.normed_2,
            block.statistics_2,
            Drop::NONE,
            rows,
        ));
        let finish = Finish::Activate {
            activation: self.shape.activation,
            bias: self.parameter(&at.up.bias),
            input: block.hidden_input,
        };
        let (x, weight) = (Matrix::new(block.normed_2, c), self.weight(&at.up));
        launches.push(self.linear((rows, inner), x, weight, finish, block.hidden, inner));
        let finish = Finish::Residual {
            bias: self.parameter(&at.down.bias),
            residual: block.middle,
            residual_rows: Rows::ALL,
            drop: self.drop(Site::Mlp { layer }),
            tokens,
        };
        let (x, weight) = (Matrix::new(block.hidden, inner), self.weight(&at.down));
        let to = memory.streams[layer + 1];
        launches.push(self.linear((rows, c), x, weight, finish, to, c));
    }
}
