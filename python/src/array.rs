//! NumPy arrays from Rust's numbers, and the other way.

use numpy::ndarray::ArrayView;
use numpy::{Element, IxDyn, PyArray, PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// A new array, filled by `fill`.
pub(crate) fn new<'py, T: Element>(
    py: Python<'py>,
    shape: &[usize],
    fill: impl FnOnce(&mut [T]),
) -> Bound<'py, PyArrayDyn<T>> {
    let array = PyArray::zeros(py, shape, false);
    #[expect(
        unsafe_code,
        reason = "a borrow that is checked costs as much as the array"
    )]
    // SAFETY: nothing else refers to the memory of a new array.
    let numbers = unsafe { array.as_slice_mut() };
    if let Ok(numbers) = numbers {
        fill(numbers);
    }
    array
}

/// A new array of these numbers.
pub(crate) fn copied<'py, T: Element + Copy>(
    py: Python<'py>,
    shape: &[usize],
    numbers: &[T],
) -> Bound<'py, PyArrayDyn<T>> {
    new(py, shape, |to| to.copy_from_slice(numbers))
}

/// The numbers of an array as they are in memory, if it has this type and shape and no gaps.
pub(crate) fn numbers<'a, T: Element>(
    array: &'a Bound<'_, PyAny>,
    shape: &[usize],
) -> Option<&'a [T]> {
    let array = array.cast::<PyArrayDyn<T>>().ok()?;
    if array.shape() != shape || !array.is_c_contiguous() {
        return None;
    }
    #[expect(
        unsafe_code,
        reason = "a borrow that is checked costs as much as the step"
    )]
    // SAFETY: the callers hold the GIL while they read, and run no Python code, so that nothing
    // writes.
    let numbers = unsafe { array.as_slice() };
    numbers.ok()
}

/// A read-only array over numbers that `owner` holds.
///
/// # Safety
/// The numbers must stay unchanged in their place for as long as `owner` lives.
#[expect(unsafe_code, reason = "a view instead of a copy")]
pub(crate) unsafe fn view<'py>(
    owner: &Bound<'py, PyAny>,
    shape: &[usize],
    numbers: &[f64],
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let numbers = ArrayView::from_shape(IxDyn(shape), numbers)
        .map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))?;
    // SAFETY: the array holds a reference to `owner`, and the caller promises the rest.
    let array = unsafe { PyArray::borrow_from_array(&numbers, owner.clone()) };
    array.try_readwrite()?.make_nonwriteable();
    Ok(array)
}
