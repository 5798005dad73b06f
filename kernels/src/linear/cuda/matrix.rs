//! Matrices in a device's memory: which rows they have, and how their numbers are stored.

use super::TILE;
use crate::device::backend::Address;
use crate::device::parameters::{Numbers, parameters};
use crate::precision::Precision;

parameters! {
    /// Row r of a matrix is token row stride r + offset.
    Rows {
        stride: i32,
        offset: i32,
    }
}

impl Rows {
    /// Every row, in order.
    pub(crate) const ALL: Self = Self {
        stride: 1,
        offset: 0,
    };

    /// Every `stride`-th row, from `offset` on.
    pub(crate) fn every(stride: i32, offset: i32) -> Self {
        Self { stride, offset }
    }
}

/// How the factors of a model's large products are in memory. What else there is is f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// As f32.
    Floats,
    /// Rounded to bfloat16.
    Halves,
}

impl Storage {
    /// That of a model of this width: halves if all its large products are of whole tiles.
    pub(crate) fn of(precision: Precision, width: usize) -> Self {
        if precision == Precision::Bf16 && width.is_multiple_of(TILE) {
            Self::Halves
        } else {
            Self::Floats
        }
    }

    /// Words that this many numbers take.
    pub(crate) fn words(self, count: usize) -> usize {
        match self {
            Self::Floats => count,
            Self::Halves => count.div_ceil(2),
        }
    }

    /// `count` numbers after an address; an even number.
    pub(crate) fn behind(self, at: Address, count: usize) -> Address {
        at.words(self.words(count))
    }

    /// Numbers from this address on.
    pub(crate) fn numbers(self, at: Address) -> Numbers {
        Numbers {
            at,
            are_halves: i32::from(self == Self::Halves),
        }
    }
}

/// A matrix in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix {
    pub(crate) at: Address,
    /// From one row to the next.
    pub(crate) stride: usize,
    pub(crate) rows: Rows,
    pub(crate) storage: Storage,
}

impl Matrix {
    /// A matrix of f32.
    pub(crate) fn new(at: Address, stride: usize) -> Self {
        Self {
            at,
            stride,
            rows: Rows::ALL,
            storage: Storage::Floats,
        }
    }

    /// The same numbers stored otherwise.
    pub(crate) fn stored(self, storage: Storage) -> Self {
        Self { storage, ..self }
    }

    /// The same matrix with only these of its rows.
    pub(crate) fn only(self, rows: Rows) -> Self {
        Self { rows, ..self }
    }
}
