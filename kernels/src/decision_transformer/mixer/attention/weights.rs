//! The weights, packed for the products.

use super::Parameters;
use crate::decision_transformer::network::packing::{Matrix, Packing, Purpose};
use crate::linear::cpu::Panels;

/// W for the forward products.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    pub(super) query: Panels,
    pub(super) keys_values: Panels,
    pub(super) projection: Panels,
    /// In a last layer that attends directly: the weights of each head's values; and those of its
    /// keys (in acting, of all heads' keys), transposed.
    pub(super) values: Vec<Panels>,
    pub(super) keys: Vec<Panels>,
    pub(super) keys_transposed: Panels,
    pub(super) transposed: Transposed,
    /// Whether the layer attends directly. It has no `keys_values` then.
    pub(super) direct: bool,
}

/// W^T for the backward products.
#[derive(Debug, Default)]
pub(crate) struct Transposed {
    pub(super) query: Panels,
    pub(super) keys_values: Panels,
    pub(super) projection: Panels,
}

impl Weights {
    pub(in super::super) fn pack(
        &mut self,
        at: &Parameters,
        packing: Packing,
        last: bool,
        parameters: &[f32],
    ) {
        let Packing {
            level,
            precision,
            purpose,
        } = packing;
        let c = at.width();
        let qkv = Matrix::of(parameters, &at.qkv);
        let (query, keys_values) = (qkv.columns(0, c), qkv.columns(c, 2 * c));
        let projection = Matrix::of(parameters, &at.projection);
        self.direct = last && purpose == Purpose::Training { shortcut: true } && !at.linear;
        query.pack(level, self.query.hold(precision));
        projection.pack(level, self.projection.hold(precision));
        if !self.direct {
            keys_values.pack(level, self.keys_values.hold(precision));
        }
        if self.direct || (last && purpose == Purpose::Acting && !at.linear) {
            let d = c / at.heads;
            self.values.resize_with(at.heads, Panels::default);
            for (head, values) in self.values.iter_mut().enumerate() {
                qkv.columns(2 * c + head * d, d).pack(level, values);
            }
            if self.direct {
                self.keys.resize_with(at.heads, Panels::default);
                for (head, keys) in self.keys.iter_mut().enumerate() {
                    qkv.columns(c + head * d, d).pack(level, keys);
                }
            } else {
                let keys = qkv.columns(c, c);
                keys.pack_transposed(level, &mut self.keys_transposed);
            }
        }
        if packing.backward() {
            let transposed = &mut self.transposed;
            query.pack_transposed(level, transposed.query.hold(precision));
            keys_values.pack_transposed(level, transposed.keys_values.hold(precision));
            projection.pack_transposed(level, transposed.projection.hold(precision));
        }
    }
}
