//! The model on a device, for the launches of all its parts.

use crate::decision_transformer::positionwise::cuda::Layer;
use crate::decision_transformer::shape::Shape;
use crate::device::backend::{Address, Error, Launch};
use crate::device::parameters::Numbers;
use crate::dropout::cuda::{Drop, Places};
use crate::dropout::{Dropout, Site};
use crate::layer_norm::cuda::{Norm, NormBackward, blocks as norm_blocks};
use crate::linear::cuda::{
    Finish, LayerGradients, Matrix, Rows, Sizes, Slices, Storage, input_gradient, product,
    weight_gradient,
};
use crate::parameters::Pair;
use crate::precision::Precision;
use std::ops::Range;

/// Allocates memory, or only counts it in a first pass.
pub(crate) type Take<'a> = dyn FnMut(usize) -> Result<Address, Error> + 'a;

/// One batch: B windows of K steps, valid steps first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inputs {
    pub(crate) observations: Address,
    pub(crate) actions: Address,
    pub(crate) returns_to_go: Address,
    pub(crate) timesteps: Address,
    pub(crate) lengths: Address,
    pub(crate) first_steps: Address,
}

/// The memory of a queue of steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueMemory {
    pub(crate) clock: Address,
    pub(crate) starts: Address,
    pub(crate) keys: Address,
    pub(crate) rates: Address,
    pub(crate) losses: Address,
    pub(crate) norms: Address,
}

/// Scratch memory of the backward pass, for all layers in turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scratch {
    /// The gradient of the rows after a norm.
    pub(crate) normed: Address,
    /// The gradient of the residual stream after a branch, and before it.
    pub(crate) stream: [Address; 2],
    /// The gradient of a branch: that of the stream, multiplied with the branch's mask. A factor
    /// of large products; before the first layer, f32.
    pub(crate) dropped: Address,
}

/// What the launches depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) precision: Precision,
    pub(crate) windows: usize,
    pub(crate) dropout: Option<&'a Dropout>,
    pub(crate) parameters: Address,
    /// The parameters as factors of the large products, and how those are stored.
    pub(crate) factors: Address,
    pub(crate) storage: Storage,
    /// Whether one launch computes all between the attention of two layers.
    pub(crate) positionwise: bool,
    pub(crate) inputs: Inputs,
    pub(crate) queue: QueueMemory,
    pub(crate) scratch: Scratch,
}

/// What is added to the gradient of a norm's input.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ExtraGradient {
    Nothing,
    Rows(Address),
    /// Rows of observations only.
    Observations(Address),
}

/// The observations' rows among the tokens' rows.
pub(crate) fn observations() -> Rows {
    Rows::every(3, 1)
}

impl Network<'_> {
    /// B K, steps in a batch.
    pub(crate) fn steps(&self) -> usize {
        self.windows * self.shape.context
    }

    /// The number of token rows.
    pub(crate) fn tokens(&self) -> usize {
        3 * self.steps()
    }

    /// Whether this is the last layer, where only the observations' rows continue.
    pub(crate) fn is_last(&self, layer: usize) -> bool {
        layer + 1 == self.shape.layers
    }

    /// How many rows continue after a layer's mixer, and which tokens they are.
    pub(crate) fn outputs(&self, layer: usize) -> (usize, Rows) {
        if self.is_last(layer) {
            (self.steps(), observations())
        } else {
            (self.tokens(), Rows::ALL)
        }
    }

    pub(crate) fn parameter(&self, range: &Range<usize>) -> Address {
        self.parameters.words(range.start)
    }

    /// A weight as the right factor, exact.
    pub(crate) fn exact_weight(&self, at: &Pair) -> Matrix {
        Matrix::new(self.parameter(&at.weight), at.bias.len())
    }

    /// A weight as the right factor of a large product.
    pub(crate) fn weight(&self, at: &Pair) -> Matrix {
        self.factor(
            self.storage.behind(self.factors, at.weight.start),
            at.bias.len(),
        )
    }

    /// Weight and bias of a layer of large products.
    pub(crate) fn layer(&self, at: &Pair) -> Layer {
        Layer {
            weight: self.weight(at).at,
            bias: self.parameter(&at.bias),
        }
    }

    /// Any other factor of a large product.
    pub(crate) fn factor(&self, at: Address, stride: usize) -> Matrix {
        Matrix::new(at, stride).stored(self.storage)
    }

    pub(crate) fn drop(&self, site: Site) -> Drop {
        let places = Places {
            keys: self.queue.keys,
            clock: self.queue.clock,
            first_steps: self.inputs.first_steps,
            tokens: 3 * self.shape.context,
        };
        Drop::new(&places, self.dropout, site)
    }

    /// y and the statistics from x: a norm of this many rows.
    pub(crate) fn norm(
        &self,
        at: &Pair,
        x: Address,
        (y, statistics): (Numbers, Address),
        drop: Drop,
        rows: usize,
    ) -> Norm {
        Norm {
            x,
            gain: self.parameter(&at.weight),
            bias: self.parameter(&at.bias),
            y,
            statistics,
            drop,
            rows: rows as i32,
            width: self.shape.width as i32,
        }
    }

    /// `to` = the gradient of x, from the gradient `dy` of a norm's output, plus `beside`; and
    /// `to` multiplied with a mask in a second place.
    pub(crate) fn norm_back(
        &self,
        at: &Pair,
        (x, statistics, dy): (Address, Address, Address),
        beside: ExtraGradient,
        (to, drop): (Address, Option<(Drop, Numbers)>),
        (rows, tokens): (usize, Rows),
        [dgain, dbias]: [Address; 2],
    ) -> Launch {
        let (beside, beside_observations) = match beside {
            ExtraGradient::Nothing => (Address::NULL, 0),
            ExtraGradient::Rows(address) => (address, 0),
            ExtraGradient::Observations(address) => (address, 1),
        };
        NormBackward {
            x,
            gain: self.parameter(&at.weight),
            statistics,
            dy,
            beside,
            dx: to,
            dropped: drop.map_or(Numbers::floats(Address::NULL), |(_, dropped)| dropped),
            dgain,
            dbias,
            drop: drop.map_or(Drop::NONE, |(drop, _)| drop),
            token_rows: tokens,
            beside_observations,
            rows: rows as i32,
            width: self.shape.width as i32,
            block_rows: norm_blocks(rows).0 as i32,
        }
        .launch()
    }

    /// One of the large products of the forward pass: `rows` x `columns`.
    pub(crate) fn linear(
        &self,
        (rows, columns): (usize, usize),
        (x, weight): (Matrix, Matrix),
        finish: Finish,
        to: (Address, usize),
    ) -> Launch {
        // A row of x may be a part of a longer row in memory; the depth of the product is the
        // weight's.
        let sizes = Sizes {
            rows,
            columns,
            depth: x.stride,
        };
        product(self.precision, sizes, (x, weight), finish, to)
    }

    /// `to` = dy W^T, rows x `inputs`, of `outputs` outputs.
    #[expect(
        clippy::unused_self,
        reason = "its siblings read the network, and all are called in the same way"
    )]
    pub(crate) fn linear_back(
        &self,
        precision: Precision,
        (rows, inputs, outputs): (usize, usize, usize),
        (dy, weight): (Matrix, Matrix),
        finish: Finish,
        to: Address,
    ) -> LayerGradients {
        let sizes = Sizes {
            rows,
            columns: inputs,
            depth: outputs,
        };
        let to = (to, inputs);
        input_gradient(precision, sizes, (dy, weight), finish, to)
    }

    /// The parts of the gradient of a weight, inputs x outputs, over this many rows of x and dy.
    pub(crate) fn weight_gradient(
        &self,
        sizes: (usize, usize, usize),
        factors: (Matrix, Matrix),
        parts: Slices,
    ) -> LayerGradients {
        weight_gradient(self.precision, sizes, factors, parts)
    }
}

/// Stores a product unchanged.
pub(crate) const PLAIN: Finish = Finish::Store {
    bias: Address::NULL,
};

/// The destination of a branch: `to` = `residual` + drop(branch).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Branch {
    pub(crate) residual: Address,
    pub(crate) residual_rows: Rows,
    pub(crate) site: Site,
    pub(crate) to: Address,
}

impl Branch {
    /// The epilogue of the branch's last product.
    pub(crate) fn finish(
        &self,
        network: &Network<'_>,
        bias: &Range<usize>,
        tokens: Rows,
    ) -> Finish {
        Finish::Residual {
            bias: network.parameter(bias),
            residual: self.residual,
            residual_rows: self.residual_rows,
            drop: network.drop(self.site),
            tokens,
        }
    }
}
