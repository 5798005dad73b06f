//! An environment's options, from Python's keyword arguments to its one line of text.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use rtg_envs::EnvConfig;
use rtg_envs::config::Value;

use crate::error::raised;

/// The text of the environment `id` with these options, as `rtg` takes it.
pub(crate) fn environment(id: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<String> {
    let mut config: EnvConfig = id.parse().map_err(|error: rtg_envs::Error| raised(error))?;
    for (name, given) in options.into_iter().flatten() {
        config.kwargs.push((name.extract()?, value(&given)?));
    }
    Ok(config.to_string())
}

fn value(given: &Bound<'_, PyAny>) -> PyResult<Value> {
    if given.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(flag) = given.extract::<bool>() {
        return Ok(flag.into());
    }
    if let Ok(number) = given.extract::<f64>() {
        return Ok(number.into());
    }
    if given.is_instance_of::<PyString>() {
        return Ok(Value::Text(given.extract()?));
    }
    if let Ok(table) = given.cast::<PyDict>() {
        let entries = table.iter();
        let entries = entries.map(|(name, given)| Ok((name.extract()?, value(&given)?)));
        return Ok(Value::Table(entries.collect::<PyResult<_>>()?));
    }
    if let Ok(items) = given.try_iter() {
        let items = items.map(|item| value(&item?));
        return Ok(Value::List(items.collect::<PyResult<_>>()?));
    }
    let text = format!("an option cannot be {}", given.repr()?);
    Err(PyTypeError::new_err(text))
}
