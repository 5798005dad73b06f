//! From columns to Arrow arrays, as Minari lays them out.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeListArray, StringArray, StructArray, make_array,
};
use arrow_buffer::Buffer;
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field};
use rtg_envs::Dtype;

use super::arrow_failed;
use crate::Error;
use crate::recording::{Array, Layout, Node};

/// The metadata key under which Minari stores the shape of a row of an info.
pub(super) const SHAPE: &str = "shape";
/// This crate's key for a column with fewer rows than the file; other readers ignore it.
pub(super) const ROWS: &str = "rtg_rows";
/// In place of a number of rows: a value that is stored once.
pub(super) const SINGLE: &str = "single";

/// The Arrow array of a column, padded to `rows` rows. Without a layout it is an info.
pub(super) fn array(
    name: &str,
    node: &Node,
    layout: Option<&Layout>,
    rows: usize,
) -> Result<(ArrayRef, Field), Error> {
    let (array, mut field) = match node {
        Node::Dict(parts) => {
            let parts = parts.iter().map(|(name, part)| {
                let layout = match layout {
                    Some(Layout::Dict(layouts)) => layouts
                        .iter()
                        .find(|(key, _)| key == name)
                        .map(|(_, layout)| layout),
                    _ => None,
                };
                array(name, part, layout, rows)
            });
            structure(name, parts.collect::<Result<_, _>>()?, rows)
        }
        Node::Tuple(parts) => {
            let parts = parts.iter().enumerate().map(|(index, part)| {
                let layout = match layout {
                    Some(Layout::Tuple(layouts)) => layouts.get(index),
                    _ => None,
                };
                array(&index.to_string(), part, layout, rows)
            });
            structure(name, parts.collect::<Result<_, _>>()?, rows)
        }
        Node::Text(texts) => {
            expect(texts.len(), rows, name)?;
            let filled = texts
                .iter()
                .map(Option::as_deref)
                .chain(std::iter::repeat(None));
            let texts: StringArray = filled.take(rows).collect();
            (
                Arc::new(texts) as ArrayRef,
                Field::new(name, DataType::Utf8, true),
            )
        }
        Node::Images(images) => {
            expect(images.len(), rows, name)?;
            let filled = images
                .iter()
                .map(|image| Some(image.as_slice()))
                .chain(std::iter::repeat(None));
            let images: BinaryArray = filled.take(rows).collect();
            (
                Arc::new(images) as ArrayRef,
                Field::new(name, DataType::Binary, true),
            )
        }
        Node::Array(column) => return numbers(name, column, layout, rows),
    };
    // Only infos may have fewer rows; the others are cut when they are read.
    if let (None, Some(own), Node::Text(_) | Node::Images(_)) = (layout, node.rows(), node)
        && own < rows
    {
        field = field.with_metadata(HashMap::from([(ROWS.to_owned(), own.to_string())]));
    }
    Ok((array, field))
}

fn structure(name: &str, parts: Vec<(ArrayRef, Field)>, rows: usize) -> (ArrayRef, Field) {
    let fields: Vec<Arc<Field>> = parts
        .iter()
        .map(|(_, field)| Arc::new(field.clone()))
        .collect();
    let columns: Vec<ArrayRef> = parts.into_iter().map(|(column, _)| column).collect();
    let array = if columns.is_empty() {
        StructArray::new_empty_fields(rows, None)
    } else {
        StructArray::new(fields.into(), columns, None)
    };
    let field = Field::new(name, arrow_array::Array::data_type(&array).clone(), true);
    (Arc::new(array), field)
}

fn numbers(
    name: &str,
    column: &Array,
    layout: Option<&Layout>,
    rows: usize,
) -> Result<(ArrayRef, Field), Error> {
    let mut metadata = HashMap::new();
    let mut filled = column.clone();
    if column.shape().is_empty() {
        metadata.insert(ROWS.to_owned(), SINGLE.to_owned());
        filled = filled.reshaped(vec![1])?;
        let single = filled.clone();
        for _ in 1..rows {
            filled.extend(&single)?;
        }
    } else {
        expect(column.rows(), rows, name)?;
        if layout.is_none() && column.rows() < rows {
            metadata.insert(ROWS.to_owned(), column.rows().to_string());
        }
        filled.pad(rows);
    }
    let is_list = match layout {
        Some(Layout::Choice) => false,
        Some(_) => true,
        None => !filled.row_shape().is_empty(),
    };
    if layout.is_none() && is_list {
        let shape: Vec<String> = filled.row_shape().iter().map(ToString::to_string).collect();
        metadata.insert(SHAPE.to_owned(), shape.join(","));
    }
    let values = flat(&filled)?;
    let data_type = arrow_array::Array::data_type(&values).clone();
    let (array, data_type): (ArrayRef, DataType) = if is_list {
        let length = i32::try_from(filled.row_numbers()).map_err(|_| {
            Error::Unsupported(format!(
                "{name} with rows of {} numbers",
                filled.row_numbers()
            ))
        })?;
        let item = Arc::new(Field::new("item", data_type, true));
        let list = FixedSizeListArray::try_new(Arc::clone(&item), length, values, None)
            .map_err(arrow_failed)?;
        (Arc::new(list), DataType::FixedSizeList(item, length))
    } else {
        (values, data_type)
    };
    Ok((
        array,
        Field::new(name, data_type, true).with_metadata(metadata),
    ))
}

/// All numbers of an array in a row.
fn flat(array: &Array) -> Result<ArrayRef, Error> {
    let data_type = match array.dtype() {
        Dtype::Bool => {
            let flags: Vec<bool> = array.bytes().iter().map(|&byte| byte != 0).collect();
            return Ok(Arc::new(BooleanArray::from(flags)));
        }
        Dtype::Float16 => DataType::Float16,
        Dtype::Float32 => DataType::Float32,
        Dtype::Float64 => DataType::Float64,
        Dtype::Int8 => DataType::Int8,
        Dtype::Int16 => DataType::Int16,
        Dtype::Int32 => DataType::Int32,
        Dtype::Int64 => DataType::Int64,
        Dtype::Uint8 => DataType::UInt8,
        Dtype::Uint16 => DataType::UInt16,
        Dtype::Uint32 => DataType::UInt32,
        Dtype::Uint64 => DataType::UInt64,
    };
    // From a slice, so that the buffer is aligned for its numbers.
    let data = ArrayData::builder(data_type)
        .len(array.numbers())
        .add_buffer(Buffer::from_slice_ref(array.bytes()))
        .build()
        .map_err(arrow_failed)?;
    Ok(make_array(data))
}

fn expect(found: usize, rows: usize, name: &str) -> Result<(), Error> {
    if found <= rows {
        return Ok(());
    }
    Err(Error::Unsupported(format!(
        "writing {found} rows of {name} into a table of {rows} rows"
    )))
}
