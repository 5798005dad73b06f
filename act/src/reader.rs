//! Takes a policy's parts out of a file: entries by key, tensors by name and dimensions.

use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;

use crate::error::Error;
use crate::file::{Element, File, Tensor};
use crate::format::MOST_MEMORY;

/// Numbers where they are in the file's bytes, which need not be aligned.
pub(crate) type Numbers<'a> = &'a [[u8; 4]];

/// The place of a tensor's F32 numbers in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    start: usize,
    count: usize,
}

impl Place {
    /// The numbers.
    pub(crate) fn of(self, bytes: &[u8]) -> Numbers<'_> {
        let end = self.start + 4 * self.count;
        bytes.get(self.start..end).unwrap_or_default().as_chunks().0
    }
}

/// Weight and bias of a layer, or gain and bias of a norm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) weight: Place,
    pub(crate) bias: Place,
}

/// Takes a policy's parts out of a file.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    entries: Vec<(String, String)>,
    /// Those that were not taken yet.
    tensors: Vec<Tensor>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let File { entries, tensors } = File::read(bytes)?;
        Ok(Self {
            bytes,
            entries,
            tensors,
        })
    }

    /// Refuses tensors that were not taken.
    pub(crate) fn finish(self) -> Result<Vec<(String, String)>, Error> {
        match self.tensors.into_iter().next() {
            Some(Tensor { name, .. }) => Err(Error::Unexpected { name }),
            None => Ok(self.entries),
        }
    }

    /// The value of an entry.
    pub(crate) fn entry(&self, key: &str) -> Result<&str, Error> {
        let found = self.entries.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| &**value).ok_or_else(|| missing(key))
    }

    /// The number of an entry.
    pub(crate) fn number<N: FromStr>(&self, key: &str) -> Result<N, Error> {
        self.entry(key)?.parse().map_err(|_| invalid(key))
    }

    /// The size of an entry: a number above 0.
    pub(crate) fn size(&self, key: &str) -> Result<usize, Error> {
        let size = self.number(key)?;
        if size > 0 {
            Ok(size)
        } else {
            Err(invalid(key))
        }
    }

    /// What an entry's value means.
    pub(crate) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<T, Error> {
        let value = self.entry(key)?;
        let found = choices.iter().find(|(known, _)| *known == value);
        found
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| invalid(key))
    }

    /// The dimensions of a tensor.
    pub(crate) fn dimensions(&self, name: &str) -> Result<&[usize], Error> {
        let found = self.tensors.iter().find(|tensor| tensor.name == name);
        found
            .map(|tensor| &*tensor.dimensions)
            .ok_or_else(|| missing(name))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.dimensions(name).is_ok()
    }

    /// F32 numbers, all finite.
    pub(crate) fn place(&mut self, name: &str, dimensions: &[usize]) -> Result<Place, Error> {
        let Tensor { start, count, .. } = self.take(name, Element::F32, dimensions)?;
        let place = Place { start, count };
        let mut numbers = place.of(self.bytes).iter();
        if numbers.all(|number| f32::from_le_bytes(*number).is_finite()) {
            Ok(place)
        } else {
            Err(invalid(name))
        }
    }

    /// `NAME.weight` of these dimensions, and `NAME.bias` of its last.
    pub(crate) fn pair(&mut self, name: &str, dimensions: &[usize]) -> Result<Pair, Error> {
        let outputs = dimensions.last().copied().unwrap_or_default();
        Ok(Pair {
            weight: self.place(&[name, ".weight"].concat(), dimensions)?,
            bias: self.place(&[name, ".bias"].concat(), &[outputs])?,
        })
    }

    /// F64 numbers, all finite.
    pub(crate) fn vector(&mut self, name: &str, count: usize) -> Result<Vec<f64>, Error> {
        let Tensor { start, count, .. } = self.take(name, Element::F64, &[count])?;
        let bytes = self.bytes.get(start..start + 8 * count).unwrap_or_default();
        let numbers = bytes
            .as_chunks()
            .0
            .iter()
            .map(|number| f64::from_le_bytes(*number));
        let numbers: Vec<f64> = numbers.collect();
        if numbers.iter().all(|number| number.is_finite()) {
            Ok(numbers)
        } else {
            Err(invalid(name))
        }
    }

    /// One F64 number.
    pub(crate) fn scalar(&mut self, name: &str) -> Result<f64, Error> {
        let numbers = self.vector(name, 1)?;
        numbers.first().copied().ok_or_else(|| missing(name))
    }

    fn take(
        &mut self,
        name: &str,
        element: Element,
        dimensions: &[usize],
    ) -> Result<Tensor, Error> {
        let place = self.tensors.iter().position(|tensor| tensor.name == name);
        let tensor = self
            .tensors
            .swap_remove(place.ok_or_else(|| missing(name))?);
        if tensor.dimensions != dimensions {
            return Err(Error::Shape {
                name: tensor.name,
                expected: dimensions.into(),
                found: tensor.dimensions,
            });
        }
        if tensor.element == element {
            Ok(tensor)
        } else {
            Err(invalid(name))
        }
    }
}

fn missing(name: &str) -> Error {
    Error::Missing { name: name.into() }
}

pub(crate) fn invalid(name: &str) -> Error {
    Error::Invalid { name: name.into() }
}

/// Working memory: adds up what is requested, and refuses too much before anything is allocated.
#[derive(Default)]
pub(crate) struct Memory {
    numbers: usize,
}

impl Memory {
    /// As many zeros as the product of `sizes`.
    pub(crate) fn zeros(&mut self, sizes: &[usize]) -> Result<Vec<f32>, Error> {
        let count = sizes
            .iter()
            .fold(1_usize, |count, size| count.saturating_mul(*size));
        self.numbers = self.numbers.saturating_add(count);
        let bytes = self.numbers.saturating_mul(4);
        let mut zeros = Vec::new();
        if bytes > MOST_MEMORY || zeros.try_reserve_exact(count).is_err() {
            return Err(Error::Memory { bytes });
        }
        zeros.resize(count, 0.0);
        Ok(zeros)
    }
}
