//! A column of numbers that datasets share instead of copying it.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use crate::mapping::Mapping;

/// Numbers of one column, in memory or in a file. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Numbers {
    own: Arc<Vec<f64>>,
    /// If there is one, it holds the numbers and `own` is empty.
    mapping: Option<Mapping>,
}

impl Numbers {
    /// An empty column in memory.
    pub(crate) fn new() -> Self {
        Self::from(Vec::new())
    }

    /// The directory of the file that holds the numbers, if one does.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.mapping.as_ref().map(Mapping::directory)
    }

    /// Whether the numbers are in memory and not shared.
    pub(crate) fn is_own(&mut self) -> bool {
        self.mapping.is_none() && Arc::get_mut(&mut self.own).is_some()
    }

    /// The numbers to append to; a copy of them where they are not this dataset's own.
    pub(crate) fn to_mut(&mut self) -> &mut Vec<f64> {
        if let Some(mapping) = self.mapping.take() {
            self.own = Arc::new(mapping.numbers().to_vec());
        }
        Arc::make_mut(&mut self.own)
    }
}

impl From<Vec<f64>> for Numbers {
    fn from(numbers: Vec<f64>) -> Self {
        Self {
            own: Arc::new(numbers),
            mapping: None,
        }
    }
}

impl From<Mapping> for Numbers {
    fn from(mapping: Mapping) -> Self {
        Self {
            own: Arc::default(),
            mapping: Some(mapping),
        }
    }
}

impl Deref for Numbers {
    type Target = [f64];

    #[inline]
    fn deref(&self) -> &[f64] {
        match &self.mapping {
            Some(mapping) => mapping.numbers(),
            None => &self.own,
        }
    }
}
