//! Attributes of groups.

use hdf5_reader::{Attribute as ReaderAttribute, ByteOrder};

use rtg_envs::Dtype;

use super::{Group, byte_order, dtype, translate};
use crate::Error;
use crate::recording::{Array, Attribute};

impl Group {
    /// A non-negative integer attribute; anything else counts as absent.
    pub(crate) fn unsigned_attribute(&self, name: &str) -> Option<u64> {
        let attribute = self.reader.attribute(name).ok()?;
        let Some(Attribute::Array(array)) = value(&attribute) else {
            return None;
        };
        match (array.dtype(), array.bytes().first_chunk()) {
            // Minari stores the upper half of its seeds as unsigned numbers.
            (Dtype::Uint64, Some(bytes)) => Some(u64::from_le_bytes(*bytes)),
            (Dtype::Int64, Some(bytes)) => u64::try_from(i64::from_le_bytes(*bytes)).ok(),
            (dtype, _) if dtype.is_float() => None,
            _ => array
                .to_f64()
                .first()
                .filter(|&&number| number >= 0.0)
                .map(|&number| number as u64),
        }
    }

    /// All attributes that are numbers, arrays of numbers or texts, by name.
    pub(crate) fn attributes(&self) -> Result<Vec<(String, Attribute)>, Error> {
        let found = self.reader.attributes().map_err(translate)?;
        let mut attributes: Vec<_> = found
            .into_iter()
            .filter_map(|found| Some((found.name.clone(), value(&found)?)))
            .collect();
        attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(attributes)
    }
}

fn value(attribute: &ReaderAttribute) -> Option<Attribute> {
    let Some(dtype) = dtype(&attribute.datatype) else {
        return attribute.read_string().ok().map(Attribute::Text);
    };
    if byte_order(&attribute.datatype) != Some(ByteOrder::LittleEndian) {
        return attribute
            .read_as_f64()
            .ok()
            .map(|number| Attribute::Array(Array::of(dtype, Vec::new(), &[number])));
    }
    let shape: Option<Vec<usize>> = attribute
        .shape
        .iter()
        .map(|&size| usize::try_from(size).ok())
        .collect();
    let array = Array::new(dtype, shape?, attribute.raw_data.clone()).ok()?;
    Some(Attribute::Array(array))
}
