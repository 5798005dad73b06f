//! Backward: from the gradient at the head's numbers to the parts of the gradient of every parameter.

use super::Sequence;
use crate::kernels::activation::Activation;
use crate::kernels::decision_transformer::embedding::cuda::Table;
use crate::kernels::decision_transformer::layout::Pair;
use crate::kernels::device::backend::{Address, Launch};
use crate::kernels::dropout::Site;
use crate::kernels::dropout::cuda::Drop;
use crate::kernels::layer_norm::cuda::{NormBackward, blocks as norm_blocks};
use crate::kernels::linear::cuda::{
    Across, Finish, Matrix, Rows, Sizes, Slices, product, weight_gradient,
};
use crate::kernels::precision::Precision;

/// What reaches a norm's input beside the norm.
#[derive(Clone, Copy, Debug)]
enum Beside {
    Nothing,
    Rows(Address),
    /// Rows for observations alone.
    Observations(Address),
}

impl Sequence<'_> {
    /// Every part of the gradient into the workspace, behind `forward(true)`.
    pub(crate) fn backward(&self) -> Vec<Launch> {
        let mut launches = Vec::new();
        let (memory, scratch) = (self.memory, &self.memory.scratch);
        let (c, a, steps) = (self.shape.width, self.shape.action, self.steps());
        let head = &self.layout.head;
        let dz = Matrix::new(scratch.dz, a);
        let normed = Matrix::new(memory.final_normed, c);
        let sizes = (c, a, steps);
        launches.push(weight_gradient(
            Precision::F32,
            sizes,
            (normed, dz),
            memory.workspace.head,
        ));
        launches.push(self.back(Precision::F32, (steps, c), dz, self.weight(head), a, None));
        let layers = self.shape.layers;
        launches.push(self.norm_back(
            &self.layout.final_norm,
            (memory.streams[layers], memory.final_statistics),
            Beside::Nothing,
            scratch.stream[0],
            Some(self.drop(Site::Mlp { layer: layers - 1 })),
            (steps, Rows::kind(1)),
            memory.workspace.final_norm,
        ));
        for layer in (0..layers).rev() {
            self.block_back(layer, &mut launches);
        }
        self.embed_back(&mut launches);
        launches
    }

    /// scratch.normed (or `to`) = dy W^T.
    fn back(
        &self,
        precision: Precision,
        (rows, inputs): (usize, usize),
        dy: Matrix,
        weight: Matrix,
        outputs: usize,
        to: Option<(Address, Finish)>,
    ) -> Launch {
        let sizes = Sizes {
            rows,
            columns: inputs,
            depth: outputs,
        };
        let store = Finish::Store {
            bias: Address::NULL,
        };
        let (to, finish) = to.unwrap_or((self.memory.scratch.normed, store));
        product(
            precision,
            Across::Right,
            sizes,
            (dy, weight),
            finish,
            (to, inputs),
        )
    }

    /// `to` = the gradient at x of a norm whose output's gradient is scratch.normed, with what goes `beside`; and
    /// scratch.dropped = that behind a mask.
    #[expect(
        clippy::too_many_arguments,
        reason = "three inputs, two outputs, their rows"
    )]
    fn norm_back(
        &self,
        pair: &Pair,
        (x, statistics): (Address, Address),
        beside: Beside,
        to: Address,
        drop: Option<Drop>,
        (rows, tokens): (usize, Rows),
        [dgain, dbias]: [Address; 2],
    ) -> Launch {
        let scratch = &self.memory.scratch;
        let (beside, beside_observations) = match beside {
            Beside::Nothing => (Address::NULL, 0),
            Beside::Rows(address) => (address, 0),
            Beside::Observations(address) => (address, 1),
        };
        let embeds = x == self.memory.embedded;
        NormBackward {
            x,
            gain: self.parameter(&pair.weight),
            statistics,
            dy: if embeds {
                scratch.dropped
            } else {
                scratch.normed
            },
            beside,
            dx: to,
            dropped: drop.map_or(Address::NULL, |_| scratch.dropped),
            dgain,
            dbias,
            drop: drop.unwrap_or(Drop::NONE),
            token_rows: tokens,
            beside_observations,
            rows: rows as i32,
            width: self.shape.width as i32,
            block_rows: norm_blocks(rows).0 as i32,
        }
        .launch()
    }

    /// From the gradient behind a block (scratch.stream[0], and scratch.dropped behind the mask of its MLP) to the
    /// one in front of it, in the same places.
    fn block_back(&self, layer: usize, launches: &mut Vec<Launch>) {
        let (memory, at) = (self.memory, &self.layout.blocks[layer]);
        let (block, parts) = (&memory.blocks[layer], &memory.workspace.blocks[layer]);
        let scratch = &memory.scratch;
        let (c, inner) = (self.shape.width, 4 * self.shape.width);
        let (rows, tokens) = self.asking(layer);
        let precision = self.precision;
        let activation = self.shape.activation;

        let dropped = Matrix::new(scratch.dropped, c);
        let hidden = Matrix::new(block.hidden, inner);
        launches.push(weight_gradient(
            precision,
            (inner, c, rows),
            (hidden, dropped),
            parts.down,
        ));
        let input = match activation {
            Activation::Relu => block.hidden,
            Activation::Gelu => block.hidden_input,
        };
        let slope = Finish::Slope { activation, input };
        let down = self.weight(&at.down);
        let to = Some((scratch.hidden, slope));
        launches.push(self.back(precision, (rows, inner), dropped, down, c, to));
        let dhidden = Matrix::new(scratch.hidden, inner);
        let normed = Matrix::new(block.normed_2, c);
        launches.push(weight_gradient(
            precision,
            (c, inner, rows),
            (normed, dhidden),
            parts.up,
        ));
        let up = self.weight(&at.up);
        launches.push(self.back(precision, (rows, c), dhidden, up, inner, None));
        launches.push(self.norm_back(
            &at.norm_2,
            (block.middle, block.statistics_2),
            Beside::Rows(scratch.stream[0]),
            scratch.stream[1],
            Some(self.drop(Site::Projection { layer })),
            (rows, tokens),
            parts.norm_2,
        ));

        let attended = Matrix::new(block.attended, c);
        launches.push(weight_gradient(
            precision,
            (c, c, rows),
            (attended, dropped),
            parts.projection,
        ));
        let store = Finish::Store {
            bias: Address::NULL,
        };
        let to = Some((scratch.attended, store));
        let projection = self.weight(&at.projection);
        launches.push(self.back(precision, (rows, c), dropped, projection, c, to));
        launches.extend(self.attention(layer).backward(self.windows));
        self.qkv_back(layer, launches);
        let before = match layer.checked_sub(1) {
            Some(layer) => Site::Mlp { layer },
            None => Site::Embedding,
        };
        let beside = if self.is_last(layer) {
            Beside::Observations(scratch.stream[1])
        } else {
            Beside::Rows(scratch.stream[1])
        };
        launches.push(self.norm_back(
            &at.norm_1,
            (memory.streams[layer], block.statistics_1),
            beside,
            scratch.stream[0],
            Some(self.drop(before)),
            (self.tokens(), Rows::ALL),
            parts.norm_1,
        ));
    }

    /// scratch.normed from the gradients at queries, keys and values.
    fn qkv_back(&self, layer: usize, launches: &mut Vec<Launch>) {
        let (memory, at) = (self.memory, &self.layout.blocks[layer]);
        let (block, parts) = (&memory.blocks[layer], &memory.workspace.blocks[layer].qkv);
        let scratch = &memory.scratch;
        let (precision, c, tokens) = (self.precision, self.shape.width, self.tokens());
        let normed = Matrix::new(block.normed_1, c);
        let weight = self.weight(&at.qkv);
        if !self.is_last(layer) {
            let dqkv = Matrix::new(scratch.qkv, 3 * c);
            let sizes = (c, 3 * c, tokens);
            launches.push(weight_gradient(precision, sizes, (normed, dqkv), *parts));
            launches.push(self.back(precision, (tokens, c), dqkv, weight, 3 * c, None));
            return;
        }
        let (dq, dkv) = (Matrix::new(scratch.q, c), Matrix::new(scratch.qkv, 2 * c));
        let asking = normed.only(Rows::kind(1));
        let sizes = (c, c, self.steps());
        launches.push(weight_gradient(precision, sizes, (asking, dq), *parts));
        let behind = Slices {
            weight: parts.weight.words(c),
            bias: parts.bias.words(c),
            ..*parts
        };
        launches.push(weight_gradient(
            precision,
            (c, 2 * c, tokens),
            (normed, dkv),
            behind,
        ));
        let keys_values = Matrix::new(weight.at.words(c), 3 * c);
        launches.push(self.back(precision, (tokens, c), dkv, keys_values, 2 * c, None));
        let add = Finish::Add {
            rows: Rows::kind(1),
        };
        let to = Some((scratch.normed, add));
        launches.push(self.back(precision, (self.steps(), c), dq, weight, c, to));
    }

    fn embed_back(&self, launches: &mut Vec<Launch>) {
        let (memory, scratch) = (self.memory, &self.memory.scratch);
        let (c, steps) = (self.shape.width, self.steps());
        launches.push(self.norm_back(
            &self.layout.embed_norm,
            (memory.embedded, memory.embedded_statistics),
            Beside::Nothing,
            scratch.stream[0],
            None,
            (self.tokens(), Rows::ALL),
            memory.workspace.embed_norm,
        ));
        for (kind, (input, inputs, _)) in self.kinds().into_iter().enumerate() {
            let dx = Matrix::new(scratch.stream[0], c).only(Rows::kind(kind as i32));
            let x = Matrix::new(input, inputs);
            let parts = memory.workspace.inputs[kind];
            launches.push(weight_gradient(
                Precision::F32,
                (inputs, c, steps),
                (x, dx),
                parts,
            ));
        }
        let table = Table {
            dx: scratch.stream[0],
            timesteps: memory.inputs.timesteps,
            lengths: memory.inputs.lengths,
            to: memory.workspace.table,
            steps: steps as i32,
            context: self.shape.context as i32,
            width: c as i32,
        };
        launches.push(table.launch(self.shape.timesteps));
    }
}
