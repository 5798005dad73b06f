//! NumPy's functions that a pickle of arrays calls.

use std::sync::Arc;

use super::machine::{Machine, Object, Value};
use crate::Error;
use crate::numpy::Element;
use crate::recording::Array;

/// NumPy's states have no more items, ...
const MAX_STATE: usize = 16;
/// ... and its arrays no more axes.
const MAX_AXES: usize = 64;

/// A function or class that may be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    /// `numpy.core.multiarray._reconstruct`, makes an empty array.
    Reconstruct,
    /// `numpy.core.multiarray.scalar`.
    Scalar,
    /// `numpy.core.numeric._frombuffer`, of protocol 5.
    FromBuffer,
    /// `numpy.ndarray`, an argument only.
    NdArray,
    /// `numpy.dtype`.
    Dtype,
    /// `_codecs.encode`: bytes written as a text.
    Encode,
    /// `builtins.bytearray` and `bytes`.
    Bytes,
    /// `collections.OrderedDict` and `dict`.
    Dict,
}

/// An array as far as it is known.
#[derive(Clone, Debug)]
pub(super) enum ArrayState {
    Empty,
    Known {
        element: Element,
        shape: Vec<usize>,
        is_fortran: bool,
        data: Value,
    },
}

impl Machine<'_> {
    /// Pushes the function of that name.
    pub(super) fn function(&mut self, module: &str, name: &str) -> Result<(), Error> {
        let function = match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                Function::Reconstruct
            }
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Function::Scalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Function::FromBuffer,
            ("numpy", "ndarray") => Function::NdArray,
            ("numpy", "dtype") => Function::Dtype,
            ("_codecs", "encode") => Function::Encode,
            ("builtins" | "__builtin__", "bytearray" | "bytes") => Function::Bytes,
            ("collections", "OrderedDict") | ("builtins" | "__builtin__", "dict") => Function::Dict,
            _ => {
                return Err(Error::Unsupported(format!(
                    "{module}.{name} in a pickle, which is code to run,"
                )));
            }
        };
        self.create(Object::Function(function))
    }

    /// The result of a function for its arguments.
    pub(super) fn call(&self, function: Value, arguments: Value) -> Result<Object, Error> {
        let wrong = || Error::Damaged("a function of the pickle has wrong arguments".into());
        let Some(&Object::Function(function)) = self.object(function) else {
            return Err(wrong());
        };
        let arguments = self.list(arguments).ok_or_else(wrong)?;
        Ok(match (function, arguments) {
            (Function::Reconstruct, [..]) => Object::Array(ArrayState::Empty),
            (Function::Dtype, [name, ..]) => {
                let name = self
                    .bytes(*name)
                    .and_then(|name| std::str::from_utf8(name).ok());
                Object::Element(Element::named(name.ok_or_else(wrong)?))
            }
            (Function::FromBuffer, [data, element, shape, order]) => {
                Object::Array(ArrayState::Known {
                    element: self.element(*element)?,
                    shape: self.shape(*shape).ok_or_else(wrong)?,
                    is_fortran: self.bytes(*order) == Some(b"F"),
                    data: *data,
                })
            }
            (Function::Scalar, [element, data]) => Object::Array(ArrayState::Known {
                element: self.element(*element)?,
                shape: Vec::new(),
                is_fortran: false,
                data: *data,
            }),
            (Function::Encode, [text, ..]) => {
                let text = self
                    .bytes(*text)
                    .and_then(|text| std::str::from_utf8(text).ok());
                let bytes = text
                    .ok_or_else(wrong)?
                    .chars()
                    .map(|c| u8::try_from(u32::from(c)));
                let bytes = bytes.collect::<Result<Vec<u8>, _>>().map_err(|_| wrong())?;
                self.budget.take(bytes.len() as u64, "the pickle")?;
                Object::Bytes(bytes.into())
            }
            (Function::Bytes, []) => Object::Bytes(Arc::new([])),
            // The same bytes: a copy of each would take memory without limit.
            (Function::Bytes, [data]) => match self.object(*data) {
                Some(Object::Slice(range)) => Object::Slice(range.clone()),
                Some(Object::Bytes(bytes)) => Object::Bytes(Arc::clone(bytes)),
                _ => return Err(wrong()),
            },
            (Function::Dict, []) => Object::Dict(Vec::new()),
            _ => return Err(wrong()),
        })
    }

    /// Completes an array or a type with its state.
    pub(super) fn build(&mut self, value: Value, state: Value) -> Result<(), Error> {
        let wrong = || Error::Damaged("an object of the pickle has a wrong state".into());
        let items = self.list(state).filter(|items| items.len() <= MAX_STATE);
        let items = items.ok_or_else(wrong)?.to_vec();
        let built = match (self.object(value), items.as_slice()) {
            (Some(Object::Array(_)), [_, shape, element, Value::Bool(is_fortran), data]) => {
                Object::Array(ArrayState::Known {
                    element: self.element(*element)?,
                    shape: self.shape(*shape).ok_or_else(wrong)?,
                    is_fortran: *is_fortran,
                    data: *data,
                })
            }
            (Some(&Object::Element(element)), [_, order, ..]) => {
                let is_big_endian = self.bytes(*order) == Some(b">");
                Object::Element(element.map(|element| Element {
                    is_big_endian,
                    ..element
                }))
            }
            _ => return Err(wrong()),
        };
        if let Value::Object(at) = value {
            self.objects[at] = built;
        }
        Ok(())
    }

    fn element(&self, value: Value) -> Result<Element, Error> {
        match self.object(value) {
            Some(Object::Element(Some(element))) => Ok(*element),
            _ => Err(Error::Unsupported(
                "an array in a pickle that does not consist of plain numbers".into(),
            )),
        }
    }

    fn shape(&self, value: Value) -> Option<Vec<usize>> {
        let sizes = self.list(value).filter(|sizes| sizes.len() <= MAX_AXES)?;
        let sizes = sizes.iter().map(|&size| match size {
            Value::Int(size) => usize::try_from(size).ok(),
            _ => None,
        });
        sizes.collect()
    }

    /// The value as an array.
    pub(super) fn array(&mut self, value: Value) -> Result<Array, Error> {
        let Some(Object::Array(ArrayState::Known {
            element,
            shape,
            is_fortran,
            data,
        })) = self.object(value)
        else {
            return Err(Error::Unsupported(
                "a trajectory whose columns are not arrays".into(),
            ));
        };
        let data = self
            .bytes(*data)
            .ok_or_else(|| Error::Unsupported("an array of objects in a pickle".into()))?;
        self.budget
            .take(data.len() as u64, "an array of the pickle")?;
        element.array(shape.clone(), data, *is_fortran)
    }
}
