//! The model on a device, as the launches of all its parts see it.

use crate::kernels::decision_transformer::shape::Shape;
use crate::kernels::device::backend::{Address, Error, Launch};
use crate::kernels::dropout::cuda::{Drop, Places};
use crate::kernels::dropout::{Dropout, Site};
use crate::kernels::layer_norm::cuda::{Norm, NormBackward, blocks as norm_blocks};
use crate::kernels::linear::cuda::{
    Across, Finish, Matrix, Rows, Sizes, Slices, product, weight_gradient,
};
use crate::kernels::parameters::Pair;
use crate::kernels::precision::Precision;
use std::ops::Range;

/// Hands out memory: counts it first, then allocates.
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

/// What a plan of several steps needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) clock: Address,
    pub(crate) starts: Address,
    pub(crate) keys: Address,
    pub(crate) rates: Address,
    pub(crate) losses: Address,
    pub(crate) norms: Address,
}

/// What backward needs besides, for all layers in turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scratch {
    /// The gradient at the rows behind a norm.
    pub(crate) normed: Address,
    /// The gradient at the residual stream behind a branch, and in front of it.
    pub(crate) stream: [Address; 2],
    /// The gradient at a branch: that at the stream, behind the branch's mask.
    pub(crate) dropped: Address,
}

/// What the launches of a model depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) precision: Precision,
    pub(crate) windows: usize,
    pub(crate) dropout: Option<&'a Dropout>,
    pub(crate) parameters: Address,
    pub(crate) inputs: Inputs,
    pub(crate) plan: Plan,
    pub(crate) scratch: Scratch,
}

/// What reaches a norm's input beside the norm.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Beside {
    Nothing,
    Rows(Address),
    /// Rows for observations alone.
    Observations(Address),
}

/// The rows of the observations among those of the tokens.
pub(crate) fn observations() -> Rows {
    Rows::every(3, 1)
}

impl Network<'_> {
    /// B K.
    pub(crate) fn steps(&self) -> usize {
        self.windows * self.shape.context
    }

    /// Rows of tokens.
    pub(crate) fn tokens(&self) -> usize {
        3 * self.steps()
    }

    /// Is this the layer where only the observations' rows go on?
    pub(crate) fn is_last(&self, layer: usize) -> bool {
        layer + 1 == self.shape.layers
    }

    /// How many rows go on behind a layer's mixer, and which tokens they are.
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

    /// A weight as the right factor.
    pub(crate) fn weight(&self, at: &Pair) -> Matrix {
        Matrix::new(self.parameter(&at.weight), at.bias.len())
    }

    pub(crate) fn drop(&self, site: Site) -> Drop {
        let places = Places {
            keys: self.plan.keys,
            clock: self.plan.clock,
            first_steps: self.inputs.first_steps,
            tokens: 3 * self.shape.context,
        };
        Drop::new(&places, self.dropout, site)
    }

    /// y, and the statistics, from x: a norm of so many rows.
    pub(crate) fn norm(
        &self,
        at: &Pair,
        x: Address,
        (y, statistics): (Address, Address),
        drop: Drop,
        rows: usize,
    ) -> Launch {
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
        .launch()
    }

    /// `to` = the gradient at x of a norm whose output's gradient is `dy`, with what goes `beside`; and
    /// scratch.dropped = that behind a mask.
    pub(crate) fn norm_back(
        &self,
        at: &Pair,
        (x, statistics, dy): (Address, Address, Address),
        beside: Beside,
        (to, drop): (Address, Option<Drop>),
        (rows, tokens): (usize, Rows),
        [dgain, dbias]: [Address; 2],
    ) -> Launch {
        let (beside, beside_observations) = match beside {
            Beside::Nothing => (Address::NULL, 0),
            Beside::Rows(address) => (address, 0),
            Beside::Observations(address) => (address, 1),
        };
        NormBackward {
            x,
            gain: self.parameter(&at.weight),
            statistics,
            dy,
            beside,
            dx: to,
            dropped: drop.map_or(Address::NULL, |_| self.scratch.dropped),
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

    /// One of the large products forward: `rows` x `columns`.
    pub(crate) fn linear(
        &self,
        (rows, columns): (usize, usize),
        (x, weight): (Matrix, Matrix),
        finish: Finish,
        to: (Address, usize),
    ) -> Launch {
        // A row of x may be a part of a longer one, but only in memory: the depth is the weight's.
        let sizes = Sizes {
            rows,
            columns,
            depth: x.stride,
        };
        product(
            self.precision,
            Across::Neither,
            sizes,
            (x, weight),
            finish,
            to,
        )
    }

    /// `to` = dy W^T, rows x `inputs`, of `outputs` outputs.
    #[expect(
        clippy::unused_self,
        reason = "its siblings read the network; callers treat them alike"
    )]
    pub(crate) fn linear_back(
        &self,
        precision: Precision,
        (rows, inputs, outputs): (usize, usize, usize),
        (dy, weight): (Matrix, Matrix),
        finish: Finish,
        to: Address,
    ) -> Launch {
        let sizes = Sizes {
            rows,
            columns: inputs,
            depth: outputs,
        };
        let to = (to, inputs);
        product(precision, Across::Right, sizes, (dy, weight), finish, to)
    }

    /// The parts of the gradient of a weight, inputs x outputs, over so many rows of x and dy.
    pub(crate) fn weight_gradient(
        &self,
        sizes: (usize, usize, usize),
        factors: (Matrix, Matrix),
        parts: Slices,
    ) -> Launch {
        weight_gradient(self.precision, sizes, factors, parts)
    }
}

/// Nothing is added to a product.
pub(crate) const PLAIN: Finish = Finish::Store {
    bias: Address::NULL,
};

/// Where a block's branch goes: `to` = `residual` + drop(branch).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Branch {
    pub(crate) residual: Address,
    pub(crate) residual_rows: Rows,
    pub(crate) site: Site,
    pub(crate) to: Address,
}

impl Branch {
    /// What to do with the elements of the branch's last product.
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
