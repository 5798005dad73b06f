//! Spaces as Minari writes them, `{"type": "Box", "dtype": "float32", ...}`.
//!
//! Read are the spaces whose rows are plain numbers: Box, Discrete, `MultiDiscrete` and
//! `MultiBinary`. Dict, Tuple and Text spaces and images are named in an error.

use rtg_envs::{BoxSpace, Dtype, Space};
use serde_json::Value;

use crate::{Error, json};

/// Rows wider than this are not read.
const MAX_WIDTH: usize = 1 << 20;

/// The space in `value`; `name` is for messages.
pub(super) fn parse(value: &Value, name: &str) -> Result<Space, Error> {
    let kind = value.get("type").and_then(Value::as_str);
    let bad = |what: &str| Error::Metadata(format!("{name} {what}"));
    match kind.ok_or_else(|| bad("has no type"))? {
        "Box" => parse_box(value, name),
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
        other => Err(Error::Unsupported(format!("the {name} of type {other}"))),
    }
}

fn parse_box(value: &Value, name: &str) -> Result<Space, Error> {
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
    if dtype == "uint8" && shape.len() > 1 {
        return Err(Error::Unsupported(format!(
            "the {name} of images {shape:?}"
        )));
    }
    let width = width_of(&shape).ok_or_else(|| bad("has a bad shape"))?;
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
    let dtype = parse_dtype(dtype)
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
        value => json::number(value)
            .map(|number| numbers.push(number))
            .is_some(),
    }
}

fn parse_dtype(name: &str) -> Option<Dtype> {
    Some(match name {
        "float16" => Dtype::Float16,
        "float32" => Dtype::Float32,
        "float64" => Dtype::Float64,
        "int8" => Dtype::Int8,
        "int16" => Dtype::Int16,
        "int32" => Dtype::Int32,
        "int64" => Dtype::Int64,
        "uint8" => Dtype::Uint8,
        "uint16" => Dtype::Uint16,
        "uint32" => Dtype::Uint32,
        "uint64" => Dtype::Uint64,
        "bool" => Dtype::Bool,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Space, Error> {
        parse(&json::parse(text).unwrap(), "action_space")
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
            r#"{"type": "Dict", "subspaces": {}}"#,
            r#"{"type": "Text", "max_length": 3}"#,
            r#"{"type": "Box", "dtype": "uint8", "shape": [64, 64, 3], "low": 0, "high": 255}"#,
            r#"{"type": "Box", "dtype": "complex64", "shape": [1], "low": 0, "high": 1}"#,
        ] {
            assert!(matches!(parsed(text), Err(Error::Unsupported(_))), "{text}");
        }
        for text in [
            "{}",
            "[]",
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
}
