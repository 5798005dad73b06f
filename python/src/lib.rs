//! The native half of the Python package `returntogo`.
//!
//! What Python's users see, with its documentation and types, is in `returntogo/`; the classes here
//! are its engine. [`vector`] steps rows of environments, [`policy`] acts, [`dataset`] has views of
//! stored numbers, [`space`] describes spaces as Gymnasium does, [`error`] raises rtg's errors.

mod array;
mod dataset;
mod error;
mod options;
mod policy;
mod space;
mod vector;

use pyo3::prelude::*;

/// See `returntogo/_native.pyi`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::dataset::Dataset;
    #[pymodule_export]
    use crate::policy::Policy;
    #[pymodule_export]
    use crate::vector::Rows;
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
