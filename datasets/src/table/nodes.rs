//! From Arrow arrays to columns.

use arrow_array::cast::AsArray;
use arrow_array::{
    Array as ArrowArray, ArrayRef, GenericBinaryArray, GenericListArray, OffsetSizeTrait,
};
use arrow_schema::{DataType, Field};
use rtg_envs::Dtype;

use super::arrays::{ROWS, SHAPE, SINGLE};
use crate::budget::ITEM_BYTES;
use crate::recording::{Array, Layout, Node, dtype_size};
use crate::{Budget, Error};

/// The column of an array; its space determines the shape of a row, else the field does.
pub(super) fn node(
    array: &ArrayRef,
    field: &Field,
    layout: Option<&Layout>,
    path: &str,
    budget: &Budget,
) -> Result<Node, Error> {
    // Rows that this crate's writer added are removed first.
    let own = field.metadata().get(ROWS).map(String::as_str);
    let kept = match own {
        Some(SINGLE) => 1,
        Some(rows) => rows.parse().unwrap_or(array.len()),
        None => array.len(),
    };
    let array = &array.slice(0, kept.min(array.len()));
    let unsupported =
        || Error::Unsupported(format!("the Arrow type {} of {path}", field.data_type()));
    let rows = array.len();
    budget.look_at(1, path)?;
    if let Some(bytes) = row_bytes(array.data_type()) {
        budget.take_items(&[rows], bytes, path)?;
    }
    if matches!(
        array.data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary
    ) {
        budget.take(array.get_array_memory_size() as u64, path)?;
    }
    let node = match array.data_type() {
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            let mut parts = Vec::new();
            for (field, column) in fields.iter().zip(columns.columns()) {
                let name = field.name();
                let layout = match layout {
                    Some(Layout::Dict(layouts)) => layouts
                        .iter()
                        .find(|(key, _)| key == name)
                        .map(|(_, layout)| layout),
                    Some(Layout::Tuple(layouts)) => name
                        .parse()
                        .ok()
                        .and_then(|index: usize| layouts.get(index)),
                    _ => None,
                };
                parts.push((
                    name.clone(),
                    node(column, field, layout, &format!("{path}/{name}"), budget)?,
                ));
            }
            ordered(parts, layout, path)?
        }
        DataType::FixedSizeList(_, length) => {
            let length = usize::try_from(*length).map_err(|_| unsupported())?;
            let list = array.as_fixed_size_list();
            if list.null_count() > 0 {
                return Err(unsupported());
            }
            let values = list.values().slice(
                if rows > 0 { list.value_offset_at(0) } else { 0 },
                rows * length,
            );
            let row_shape = match layout {
                Some(Layout::Rows { shape, .. } | Layout::Image { shape }) => shape.clone(),
                _ => field_shape(field).unwrap_or_else(|| vec![length]),
            };
            let (dtype, bytes) = numbers(&values).ok_or_else(unsupported)?;
            Node::Array(Array::new(
                dtype,
                [&[rows], row_shape.as_slice()].concat(),
                bytes,
            )?)
        }
        DataType::List(_) => list(array.as_list::<i32>(), path, budget)?.ok_or_else(unsupported)?,
        DataType::LargeList(_) => {
            list(array.as_list::<i64>(), path, budget)?.ok_or_else(unsupported)?
        }
        DataType::Utf8 => Node::Text(
            array
                .as_string::<i32>()
                .iter()
                .map(|text| text.map(str::to_owned))
                .collect(),
        ),
        DataType::LargeUtf8 => Node::Text(
            array
                .as_string::<i64>()
                .iter()
                .map(|text| text.map(str::to_owned))
                .collect(),
        ),
        DataType::Binary => images(array.as_binary::<i32>(), path)?,
        DataType::LargeBinary => images(array.as_binary::<i64>(), path)?,
        DataType::Null => Node::Text(vec![None; rows]),
        _ => {
            let (dtype, bytes) = numbers(array).ok_or_else(unsupported)?;
            Node::Array(Array::new(dtype, vec![rows], bytes)?)
        }
    };
    match node {
        Node::Array(array) if own == Some(SINGLE) && array.rows() > 0 => {
            let shape = array.row_shape().to_vec();
            array.reshaped(shape).map(Node::Array)
        }
        node => Ok(node),
    }
}

/// Lists of the same length as rows of numbers; `None` if they hold something else.
fn list<O: OffsetSizeTrait>(
    list: &GenericListArray<O>,
    path: &str,
    budget: &Budget,
) -> Result<Option<Node>, Error> {
    let rows = list.len();
    let length = if rows == 0 {
        O::zero()
    } else {
        list.value_length(0)
    };
    let alike = (0..rows).all(|row| list.value_length(row) == length);
    if list.null_count() > 0 || !alike {
        return Err(Error::Unsupported(format!(
            "{path} with rows of different lengths"
        )));
    }
    let first = list.value_offsets().first().map_or(0, |at| at.as_usize());
    let length = length.as_usize();
    let values = list.values().slice(first, rows * length);
    budget.take_items(&[values.len()], 8, path)?;
    let Some((dtype, bytes)) = numbers(&values) else {
        return Ok(None);
    };
    Array::new(dtype, vec![rows, length], bytes).map(|array| Some(Node::Array(array)))
}

/// Bytes of a copied row of that type; `None` where they depend on the row.
fn row_bytes(data_type: &DataType) -> Option<usize> {
    Some(match data_type {
        DataType::Struct(_) | DataType::List(_) | DataType::LargeList(_) => return None,
        DataType::FixedSizeList(item, length) => {
            let length = usize::try_from(*length).ok()?;
            row_bytes(item.data_type())?.saturating_mul(length)
        }
        DataType::Boolean | DataType::Int8 | DataType::UInt8 => 1,
        DataType::Int16 | DataType::UInt16 | DataType::Float16 => 2,
        DataType::Int32 | DataType::UInt32 | DataType::Float32 => 4,
        // A number of 64 bits, or a text or an image besides its content.
        _ => ITEM_BYTES,
    })
}

/// The parts in the order of their space; a Tuple's by number.
fn ordered(
    mut parts: Vec<(String, Node)>,
    layout: Option<&Layout>,
    path: &str,
) -> Result<Node, Error> {
    let mut take = |name: &str| {
        let at = parts.iter().position(|(key, _)| key == name);
        let at = at.ok_or_else(|| Error::Missing(format!("{path}/{name}")))?;
        Ok::<Node, Error>(parts.swap_remove(at).1)
    };
    Ok(match layout {
        Some(Layout::Tuple(layouts)) => {
            let parts = (0..layouts.len()).map(|index| take(&index.to_string()));
            Node::Tuple(parts.collect::<Result<_, _>>()?)
        }
        Some(Layout::Dict(layouts)) => {
            let parts = layouts
                .iter()
                .map(|(name, _)| Ok((name.clone(), take(name)?)));
            Node::Dict(parts.collect::<Result<_, Error>>()?)
        }
        _ => {
            // Infos have no space to fix an order; HDF5 sorts them.
            parts.sort_by(|(a, _), (b, _)| a.cmp(b));
            Node::Dict(parts)
        }
    })
}

fn images<O: OffsetSizeTrait>(images: &GenericBinaryArray<O>, path: &str) -> Result<Node, Error> {
    if images.null_count() > 0 {
        return Err(Error::Missing(format!("an image of {path}")));
    }
    let rows = (0..images.len()).map(|row| images.value(row).to_vec());
    Ok(Node::Images(rows.collect()))
}

/// The shape that Minari stores for an info.
fn field_shape(field: &Field) -> Option<Vec<usize>> {
    let shape = field.metadata().get(SHAPE)?;
    if shape.is_empty() {
        return Some(Vec::new());
    }
    shape.split(',').map(|size| size.parse().ok()).collect()
}

/// The type and the little-endian bytes of plain numbers. Where one is missing, all become
/// `float64` and that one NaN, as `pyarrow` converts them to NumPy.
fn numbers(array: &ArrayRef) -> Option<(Dtype, Vec<u8>)> {
    let dtype = match array.data_type() {
        DataType::Boolean if array.null_count() == 0 => {
            let flags = array.as_boolean().values().iter().map(u8::from);
            return Some((Dtype::Bool, flags.collect()));
        }
        DataType::Float16 => Dtype::Float16,
        DataType::Float32 => Dtype::Float32,
        DataType::Float64 => Dtype::Float64,
        DataType::Int8 => Dtype::Int8,
        DataType::Int16 => Dtype::Int16,
        DataType::Int32 => Dtype::Int32,
        DataType::Int64 => Dtype::Int64,
        DataType::UInt8 => Dtype::Uint8,
        DataType::UInt16 => Dtype::Uint16,
        DataType::UInt32 => Dtype::Uint32,
        DataType::UInt64 => Dtype::Uint64,
        _ => return None,
    };
    let data = array.to_data();
    let size = dtype_size(dtype);
    let (start, end) = (data.offset() * size, (data.offset() + data.len()) * size);
    let bytes = data.buffers().first()?.as_slice().get(start..end)?.to_vec();
    if array.null_count() == 0 {
        return Some((dtype, bytes));
    }
    let mut numbers = Array::new(dtype, vec![array.len()], bytes).ok()?.to_f64();
    for (row, number) in numbers.iter_mut().enumerate() {
        if array.is_null(row) {
            *number = f64::NAN;
        }
    }
    let dtype = if dtype.is_float() {
        dtype
    } else {
        Dtype::Float64
    };
    let numbers = Array::of(dtype, vec![array.len()], &numbers);
    Some((dtype, numbers.bytes().to_vec()))
}
