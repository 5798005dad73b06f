//! Spaces as Minari writes them, `{"type": "Box", "dtype": "float32", ...}`.
//!
//! All seven kinds of Minari: Box, Discrete, `MultiDiscrete`, `MultiBinary`, Dict, Tuple, Text. The
//! keys of a Dict are sorted, as Gymnasium sorts them when it makes the space.

use rtg_envs::{BoxSpace, Dtype, Space};
use serde_json::{Map, Value, json};

use super::{Layout, dtype_name, dtype_named};
use crate::{Budget, Error, json as python_json};

/// Rows wider than this are not read.
pub(crate) const MAX_WIDTH: usize = 1 << 20;
/// The least height and width of an image.
const MIN_IMAGE_SIDE: usize = 32;
/// Parts nest no deeper than this.
const MAX_DEPTH: usize = 32;

/// The space in `value`; `name` is for messages.
pub(crate) fn parse(value: &Value, name: &str, budget: &Budget) -> Result<Space, Error> {
    parse_at(value, name, 0, budget)
}

fn parse_at(value: &Value, name: &str, depth: usize, budget: &Budget) -> Result<Space, Error> {
    budget.look_at(1, name)?;
    if depth > MAX_DEPTH {
        return Err(Error::Metadata(format!("{name} is nested too deeply")));
    }
    let kind = value.get("type").and_then(Value::as_str);
    let bad = |what: &str| Error::Metadata(format!("{name} {what}"));
    match kind.ok_or_else(|| bad("has no type"))? {
        "Box" => parse_box(value, name, budget),
        "Discrete" => {
            let n = value.get("n").and_then(Value::as_u64).filter(|&n| n > 0);
            let n = n
                .and_then(|n| usize::try_from(n).ok())
                .ok_or_else(|| bad("has no n"))?;
            let start = value.get("start").and_then(Value::as_i64).unwrap_or(0);
            Ok(Space::Discrete { n, start })
        }
        "MultiDiscrete" => {
            let integers = |key: &str| -> Option<Vec<f64>> {
                let mut numbers = Vec::new();
                value
                    .get(key)
                    .is_some_and(|value| flatten(value, &mut numbers))
                    .then_some(numbers)
            };
            let nvec = integers("nvec").ok_or_else(|| bad("has no nvec"))?;
            let start = integers("start").unwrap_or_else(|| vec![0.0; nvec.len()]);
            if nvec.is_empty() || start.len() != nvec.len() || nvec.iter().any(|&n| n < 1.0) {
                return Err(bad("has a bad nvec"));
            }
            let nvec = nvec.into_iter().map(|n| n as usize).collect();
            Ok(Space::MultiDiscrete {
                nvec,
                start: start.into_iter().map(|n| n as i64).collect(),
            })
        }
        "MultiBinary" => {
            let shape = match value.get("n") {
                Some(Value::Array(sizes)) => sizes.iter().map(size).collect(),
                Some(n) => size(n).map(|n| vec![n]),
                None => None,
            };
            let shape = shape.filter(|shape| width_of(shape).is_some());
            Ok(Space::MultiBinary {
                shape: shape.ok_or_else(|| bad("has a bad n"))?,
            })
        }
        "Dict" => {
            let parts = value.get("subspaces").and_then(Value::as_object);
            let parts = parts.ok_or_else(|| bad("has no subspaces"))?;
            let parts = parts.iter().map(|(key, part)| {
                let path = format!("{name}/{key}");
                Ok((key.clone(), parse_at(part, &path, depth + 1, budget)?))
            });
            let mut parts = parts.collect::<Result<Vec<_>, Error>>()?;
            parts.sort_by(|(a, _), (b, _)| a.cmp(b));
            Ok(Space::Dict(parts))
        }
        "Tuple" => {
            let parts = value.get("subspaces").and_then(Value::as_array);
            let parts = parts.ok_or_else(|| bad("has no subspaces"))?;
            let parts = parts
                .iter()
                .enumerate()
                .map(|(index, part)| parse_at(part, &format!("{name}/{index}"), depth + 1, budget));
            Ok(Space::Tuple(parts.collect::<Result<_, _>>()?))
        }
        "Text" => {
            let length = |key: &str| value.get(key).and_then(size);
            let charset = value.get("charset").and_then(Value::as_str);
            let max_length = length("max_length").filter(|&length| length <= MAX_WIDTH);
            Ok(Space::Text {
                min_length: length("min_length").unwrap_or(0),
                max_length: max_length.ok_or_else(|| bad("has no max_length"))?,
                charset: charset.ok_or_else(|| bad("has no charset"))?.to_owned(),
            })
        }
        other => Err(Error::Unsupported(format!("the {name} of type {other}"))),
    }
}

/// How the rows of the space in `value` are stored.
pub(crate) fn layout(value: &Value, space: &Space) -> Layout {
    match (Layout::of(space), value.get("subspaces"), space) {
        (Layout::Rows { dtype, .. }, _, Space::MultiDiscrete { .. }) => {
            // The space keeps its choices flat, the rows have the shape of `nvec`.
            let mut shape = Vec::new();
            let mut level = value.get("nvec");
            while let Some(Value::Array(items)) = level {
                shape.push(items.len());
                level = items.first();
            }
            let named = value.get("dtype").and_then(Value::as_str);
            let dtype = named.and_then(dtype_named).unwrap_or(dtype);
            Layout::Rows { dtype, shape }
        }
        (_, Some(Value::Object(values)), Space::Dict(parts)) => {
            let parts = parts
                .iter()
                .filter_map(|(key, space)| Some((key.clone(), layout(values.get(key)?, space))));
            Layout::Dict(parts.collect())
        }
        (_, Some(Value::Array(values)), Space::Tuple(parts)) => {
            let parts = values.iter().zip(parts);
            Layout::Tuple(parts.map(|(value, space)| layout(value, space)).collect())
        }
        (layout, ..) => layout,
    }
}

/// Minari's JSON of a space.
pub(crate) fn to_json(space: &Space) -> Value {
    match space {
        Space::Box(space) => {
            let bounds = |bounds: &[f64]| nested(&mut bounds.iter(), &space.shape, space.dtype);
            let (low, high) = (bounds(&space.low), bounds(&space.high));
            let dtype = dtype_name(space.dtype);
            json!({"type": "Box", "dtype": dtype, "shape": space.shape, "low": low, "high": high})
        }
        Space::Discrete { n, start } => {
            json!({"type": "Discrete", "dtype": "int64", "start": start, "n": n})
        }
        Space::MultiDiscrete { nvec, start } => {
            json!({"type": "MultiDiscrete", "dtype": "int64", "nvec": nvec, "start": start})
        }
        Space::MultiBinary { shape } => match shape.as_slice() {
            [n] => json!({"type": "MultiBinary", "n": n}),
            shape => json!({"type": "MultiBinary", "n": shape}),
        },
        Space::Dict(parts) => {
            let parts: Map<String, Value> = parts
                .iter()
                .map(|(key, part)| (key.clone(), to_json(part)))
                .collect();
            json!({"type": "Dict", "subspaces": parts})
        }
        Space::Tuple(parts) => {
            let parts: Vec<Value> = parts.iter().map(to_json).collect();
            json!({"type": "Tuple", "subspaces": parts})
        }
        Space::Text {
            min_length,
            max_length,
            charset,
        } => json!({
            "type": "Text", "max_length": max_length, "min_length": min_length, "charset": charset,
        }),
    }
}

/// Bounds as nested lists, integers for a space of integers.
fn nested(bounds: &mut dyn Iterator<Item = &f64>, shape: &[usize], dtype: Dtype) -> Value {
    match shape.split_first() {
        Some((&rows, rest)) => (0..rows).map(|_| nested(bounds, rest, dtype)).collect(),
        None => match bounds.next() {
            Some(&bound) if dtype == Dtype::Bool => Value::Bool(bound != 0.0),
            Some(&bound) if dtype == Dtype::Uint64 => json!(bound as u64),
            Some(&bound) if !dtype.is_float() => json!(bound as i64),
            Some(&bound) => python_json::of(bound),
            None => Value::Null,
        },
    }
}

/// Minari's rule for what it stores as JPEG files.
pub(crate) fn is_image(space: &BoxSpace) -> bool {
    let [height, width, ..] = space.shape[..] else {
        return false;
    };
    space.dtype == Dtype::Uint8
        && space.shape.len() <= 3
        && height >= MIN_IMAGE_SIDE
        && width >= MIN_IMAGE_SIDE
        && space.low.iter().all(|&bound| bound.to_bits() == 0)
        && space.high.iter().all(|&bound| (bound - 255.0).abs() < 0.5)
}

fn parse_box(value: &Value, name: &str, budget: &Budget) -> Result<Space, Error> {
    let bad = |what: &str| Error::Metadata(format!("{name} {what}"));
    let dtype = value
        .get("dtype")
        .and_then(Value::as_str)
        .ok_or_else(|| bad("has no dtype"))?;
    let shape = value
        .get("shape")
        .and_then(Value::as_array)
        .ok_or_else(|| bad("has no shape"))?;
    let shape = shape.iter().map(size).collect::<Option<Vec<_>>>();
    let shape = shape.ok_or_else(|| bad("has a bad shape"))?;
    let width = width_of(&shape).ok_or_else(|| bad("has a bad shape"))?;
    budget.take_items(&[width], 2 * size_of::<f64>(), name)?;
    let bounds = |side: &str| {
        let mut numbers = Vec::new();
        let sound = value
            .get(side)
            .is_some_and(|value| flatten(value, &mut numbers));
        if sound && numbers.len() == 1 {
            numbers.resize(width, numbers[0]);
        }
        let fits = sound && numbers.len() == width;
        fits.then_some(numbers)
            .ok_or_else(|| bad(&format!("has bad {side} bounds")))
    };
    let dtype = dtype_named(dtype)
        .ok_or_else(|| Error::Unsupported(format!("the {name} of dtype {dtype}")))?;
    Ok(Space::Box(BoxSpace {
        low: bounds("low")?,
        high: bounds("high")?,
        shape,
        dtype,
    }))
}

fn size(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|size| usize::try_from(size).ok())
}

/// The numbers in a row of that shape, if there are some and not too many.
fn width_of(shape: &[usize]) -> Option<usize> {
    let width = shape
        .iter()
        .try_fold(1_usize, |product, &size| product.checked_mul(size));
    width.filter(|&width| (1..=MAX_WIDTH).contains(&width))
}

/// Appends the numbers of nested lists in row-major order; false if something else is in them.
fn flatten(value: &Value, numbers: &mut Vec<f64>) -> bool {
    match value {
        Value::Array(values) => values.iter().all(|value| flatten(value, numbers)),
        Value::Bool(flag) => {
            numbers.push(f64::from(u8::from(*flag)));
            true
        }
        value => python_json::number(value)
            .map(|number| numbers.push(number))
            .is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Space, Error> {
        parse(
            &python_json::parse(text).unwrap(),
            "action_space",
            &Budget::default(),
        )
    }

    #[test]
    fn spaces_of_numbers_are_read() {
        let space = parsed(
            r#"{"type": "Box", "dtype": "float64", "shape": [2, 2], "low": [[-Infinity, 0], [1, 2]], "high": 3}"#,
        );
        let expected = BoxSpace {
            low: vec![f64::NEG_INFINITY, 0.0, 1.0, 2.0],
            high: vec![3.0; 4],
            shape: vec![2, 2],
            dtype: Dtype::Float64,
        };
        assert_eq!(space.unwrap(), Space::Box(expected));
        let space = parsed(r#"{"type": "Discrete", "dtype": "int64", "start": -1, "n": 3}"#);
        assert_eq!(space.unwrap(), Space::Discrete { n: 3, start: -1 });
        let space = parsed(r#"{"type": "MultiDiscrete", "dtype": "int64", "nvec": [2, 3]}"#);
        assert_eq!(
            space.unwrap(),
            Space::MultiDiscrete {
                nvec: vec![2, 3],
                start: vec![0, 0]
            }
        );
        let space = parsed(r#"{"type": "MultiBinary", "n": [2, 3]}"#);
        assert_eq!(space.unwrap(), Space::MultiBinary { shape: vec![2, 3] });
    }

    #[test]
    fn other_spaces_are_unsupported_and_nonsense_is_bad() {
        for text in [
            r#"{"type": "Graph", "subspaces": {}}"#,
            r#"{"type": "Box", "dtype": "complex64", "shape": [1], "low": 0, "high": 1}"#,
        ] {
            assert!(matches!(parsed(text), Err(Error::Unsupported(_))), "{text}");
        }
        for text in [
            "{}",
            "[]",
            r#"{"type": "Dict"}"#,
            r#"{"type": "Tuple", "subspaces": {}}"#,
            r#"{"type": "Text", "max_length": 3}"#,
            r#"{"type": "Discrete", "n": 0}"#,
            r#"{"type": "Discrete", "n": -4}"#,
            r#"{"type": "MultiDiscrete", "nvec": [2], "start": [0, 0]}"#,
            r#"{"type": "MultiBinary", "n": 0}"#,
            r#"{"type": "Box", "dtype": "float32", "shape": [3], "low": [0, 0], "high": [1, 1, 1]}"#,
            r#"{"type": "Box", "dtype": "float32", "shape": [-3], "low": 0, "high": 1}"#,
            r#"{"type": "Box", "dtype": "float32", "shape": [4294967296, 4294967296], "low": 0, "high": 1}"#,
            r#"{"type": "Box", "dtype": "float32", "shape": [1], "low": "low", "high": 1}"#,
        ] {
            assert!(matches!(parsed(text), Err(Error::Metadata(_))), "{text}");
        }
    }

    #[test]
    fn composite_spaces_are_read_sorted_and_written_as_minari_writes_them() {
        let text = r#"{"subspaces":{"b":{"n":3,"type":"MultiBinary"},"a":{"subspaces":[{"dtype":"int64","n":2,"start":0,"type":"Discrete"},{"charset":"ab","max_length":4,"min_length":1,"type":"Text"}],"type":"Tuple"}},"type":"Dict"}"#;
        let space = parsed(text).unwrap();
        let Space::Dict(parts) = &space else {
            panic!("a dict")
        };
        assert_eq!(
            parts
                .iter()
                .map(|(key, _)| key.as_str())
                .collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(
            parse(&to_json(&space), "a", &Budget::default()).unwrap(),
            space
        );
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(parsed(&format!(r#"{{"type": "Tuple", "subspaces": {deep}}}"#)).is_err());
    }

    #[test]
    fn bounds_are_written_in_the_type_of_the_space() {
        for text in [
            r#"{"dtype":"float32","high":[Infinity,1.5],"low":[-Infinity,0.0],"shape":[2],"type":"Box"}"#,
            r#"{"dtype":"bool","high":[[true]],"low":[[false]],"shape":[1,1],"type":"Box"}"#,
            r#"{"dtype":"int8","high":[127],"low":[-128],"shape":[1],"type":"Box"}"#,
        ] {
            let written = python_json::write(&to_json(&parsed(text).unwrap()));
            let again = python_json::parse(&written).unwrap();
            assert_eq!(again, python_json::parse(text).unwrap());
        }
    }

    #[test]
    fn choices_keep_their_shape_and_large_byte_boxes_are_images() {
        let value = python_json::parse(r#"{"type":"MultiDiscrete","dtype":"int32","nvec":[[2,3],[4,5]],"start":[[0,0],[0,0]]}"#).unwrap();
        let expected = Layout::Rows {
            dtype: Dtype::Int32,
            shape: vec![2, 2],
        };
        let of = |value: &Value| layout(value, &parse(value, "a", &Budget::default()).unwrap());
        assert_eq!(of(&value), expected);
        for (side, image) in [(32, true), (31, false)] {
            let text = format!(
                r#"{{"type":"Box","dtype":"uint8","shape":[{side},{side},3],"low":0,"high":255}}"#
            );
            let layout = of(&python_json::parse(&text).unwrap());
            assert_eq!(matches!(layout, Layout::Image { .. }), image);
        }
    }
}
