//! A lower bound of the memory that a plan needs, checked before anything is allocated.
//!
//! One digit too many in a width, a context or a batch size can exceed any machine's memory. Only
//! bytes that every implementation needs are counted (weights, their gradient and two moments, a
//! batch), so no plan that fits is refused.

use rtg_datasets::free_memory;

use super::{Algorithm, Error, Setup};

/// Numbers kept for each parameter: itself, its gradient, two moments.
const COPIES: f64 = 4.0;
const BYTES: f64 = size_of::<f32>() as f64;

/// Refuses a plan that needs more than the free memory.
///
/// # Errors
/// [`Error::TooLarge`].
pub(crate) fn check(algorithm: &dyn Algorithm, setup: &Setup) -> Result<(), Error> {
    let bytes = algorithm.numbers(setup) * BYTES;
    match free_memory() {
        Some(free) if bytes > free as f64 => Err(Error::TooLarge { bytes, free }),
        _ => Ok(()),
    }
}

/// A lower bound of the numbers stored in training perceptrons of the plan's `width` and `layers`
/// with a batch.
pub(super) fn of_perceptrons(algorithm: &(impl Algorithm + ?Sized), setup: &Setup) -> f64 {
    let value = |key: &str, default: f64| {
        let mut tables = algorithm.tables().into_iter().map(|keys| keys.table);
        let found = tables.find_map(|table| setup.plan.get(table)?.get(key)?.as_integer());
        found.map_or(default, |value| value as f64)
    };
    let observation = setup.spec.observation_space.width() as f64;
    let action = setup.spec.action_space.width() as f64;
    let (width, layers) = (value("width", 1.0), value("layers", 1.0));
    let inputs = value("context", 1.0) * observation;
    let parameters = (inputs + (layers - 1.0) * width + action) * width;
    let row = inputs + action + layers * width;
    let stored = value("capacity", 0.0).min(setup.steps as f64) * (observation + action);
    COPIES * parameters + value("batch_size", 1.0) * row + stored
}

/// A lower bound of the numbers stored in training with this many parameters and a batch of this
/// many numbers.
pub(super) fn of_parameters(parameters: f64, batch: f64) -> f64 {
    COPIES * parameters + batch
}
