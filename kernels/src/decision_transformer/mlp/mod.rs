//! The MLP of a block: f(n Wu + bu) Wd + bd, where n are normed rows and the hidden ones are 4 C
//! wide.

pub(crate) mod cpu;
pub(crate) mod cuda;
pub(crate) mod half;
pub(crate) mod reference;

use crate::parameters::{Pair, Places};

/// Where the parameters are stored.
#[derive(Clone, Debug)]
pub(crate) struct Parameters {
    pub(crate) up: Pair,
    pub(crate) down: Pair,
}

impl Parameters {
    /// The MLP of `block` in a model of this width.
    pub(crate) fn new(places: &mut Places, block: &str, c: usize) -> Self {
        Self {
            up: places.pair(&format!("{block}.mlp.up"), &[c, 4 * c]),
            down: places.pair(&format!("{block}.mlp.down"), &[4 * c, c]),
        }
    }
}
