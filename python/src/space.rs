//! Spaces as Gymnasium's.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rtg_envs::{BoxSpace, Dtype, Space};

/// The space as an instance of its class in `gymnasium.spaces`.
pub(crate) fn gymnasium<'py>(py: Python<'py>, space: &Space) -> PyResult<Bound<'py, PyAny>> {
    let spaces = py.import("gymnasium.spaces")?;
    match space {
        Space::Box(space) => boxed(py, &spaces, space),
        Space::Discrete { n, start } => {
            let start = named(py, "start", *start)?;
            spaces.getattr("Discrete")?.call((*n,), Some(&start))
        }
        Space::MultiDiscrete { nvec, start } => {
            let start = named(py, "start", start.clone())?;
            spaces
                .getattr("MultiDiscrete")?
                .call((nvec.clone(),), Some(&start))
        }
        Space::MultiBinary { shape } => spaces.getattr("MultiBinary")?.call1((shape.clone(),)),
        Space::Dict(parts) => {
            let named = PyDict::new(py);
            for (name, part) in parts {
                named.set_item(name, gymnasium(py, part)?)?;
            }
            spaces.getattr("Dict")?.call1((named,))
        }
        Space::Tuple(parts) => {
            let parts = parts.iter().map(|part| gymnasium(py, part));
            let parts = parts.collect::<PyResult<Vec<_>>>()?;
            spaces.getattr("Tuple")?.call1((parts,))
        }
        Space::Text {
            min_length,
            max_length,
            charset,
        } => {
            let options = named(py, "min_length", *min_length)?;
            options.set_item("charset", charset)?;
            spaces.getattr("Text")?.call((*max_length,), Some(&options))
        }
    }
}

fn boxed<'py>(
    py: Python<'py>,
    spaces: &Bound<'py, PyModule>,
    space: &BoxSpace,
) -> PyResult<Bound<'py, PyAny>> {
    let numpy = py.import("numpy")?;
    let dtype = numpy.getattr("dtype")?.call1((name(space.dtype),))?;
    let bounds = |numbers: &[f64]| {
        let array = numpy.call_method1("array", (numbers.to_vec(), "float64"))?;
        let array = array.call_method1("reshape", (space.shape.clone(),))?;
        array.call_method1("astype", (&dtype,))
    };
    let options = named(py, "dtype", &dtype)?;
    let (low, high) = (bounds(&space.low)?, bounds(&space.high)?);
    spaces.getattr("Box")?.call((low, high), Some(&options))
}

fn named<'py>(
    py: Python<'py>,
    name: &str,
    value: impl IntoPyObject<'py>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = PyDict::new(py);
    options.set_item(name, value)?;
    Ok(options)
}

/// NumPy's name of a type.
pub(crate) fn name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Float16 => "float16",
        Dtype::Float32 => "float32",
        Dtype::Float64 => "float64",
        Dtype::Int8 => "int8",
        Dtype::Int16 => "int16",
        Dtype::Int32 => "int32",
        Dtype::Int64 => "int64",
        Dtype::Uint8 => "uint8",
        Dtype::Uint16 => "uint16",
        Dtype::Uint32 => "uint32",
        Dtype::Uint64 => "uint64",
        Dtype::Bool => "bool",
    }
}
