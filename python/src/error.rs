//! rtg's errors as Python's: the class `returntogo.Error`, with message and hint.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// The exception of an error of rtg.
pub(crate) fn raised(error: impl Into<rtg::error::Error>) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let error = error.into();
    Python::attach(|py| {
        let made = CLASS
            .import(py, "returntogo._error", "Error")
            .and_then(|class| class.call1((error.to_string(), error.hint())));
        made.map_or_else(|failed| failed, PyErr::from_value)
    })
}

/// An exception of the module `gymnasium.error`.
pub(crate) fn gymnasium(py: Python<'_>, name: &str, message: String) -> PyErr {
    let made = py
        .import("gymnasium.error")
        .and_then(|module| module.getattr(name)?.call1((message,)));
    made.map_or_else(|failed| failed, PyErr::from_value)
}
