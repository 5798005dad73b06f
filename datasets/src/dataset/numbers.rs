//! A column of numbers that datasets share instead of copying it.

use std::ops::Deref;
use std::sync::Arc;

/// Numbers of one column. Cloning shares them.
#[derive(Clone)]
pub(crate) enum Numbers {
    /// In memory.
    Owned(Arc<Vec<f64>>),
}

impl Numbers {
    /// An empty column in memory.
    pub(crate) fn new() -> Self {
        Self::from(Vec::new())
    }

    /// Whether the numbers are in memory and nobody else reads them.
    pub(crate) fn is_own(&mut self) -> bool {
        match self {
            Self::Owned(numbers) => Arc::get_mut(numbers).is_some(),
        }
    }

    /// The numbers to append to; a copy of them where they are not this dataset's own.
    pub(crate) fn to_mut(&mut self) -> &mut Vec<f64> {
        match self {
            Self::Owned(numbers) => Arc::make_mut(numbers),
        }
    }
}

impl From<Vec<f64>> for Numbers {
    fn from(numbers: Vec<f64>) -> Self {
        Self::Owned(Arc::new(numbers))
    }
}

impl Deref for Numbers {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        match self {
            Self::Owned(numbers) => numbers,
        }
    }
}
