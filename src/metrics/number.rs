//! Floating-point numbers in JSON files.
//!
//! JSON cannot represent NaN and the infinities, and `serde_json` turns them into `null`, which no
//! longer reads as a number. Here they are the strings `"NaN"`, `"Infinity"` and `"-Infinity"`, as
//! protobuf's JSON and TensorBoard write them; Python's `float` and R read them.
//! `#[serde(with = "number")]` is for an `f64`, `number::option` and `number::list` for more.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// `value` as a JSON number, or as a string where JSON has no number for it.
pub fn to_json(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| Value::from(word(value)), Value::Number)
}

/// The number in `value`, if it is one in the sense of [`to_json`].
pub fn from_json(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(word) => match word.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn word(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// Writes one number.
pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    to_json(*value).serialize(serializer)
}

/// Reads one number.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    from_json(&value).ok_or_else(|| D::Error::custom("not a number"))
}

/// A number that may be absent (`null`).
pub mod option {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Value, from_json, to_json};
    use serde::de::Error as _;

    /// Writes the number, or `null`.
    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(to_json).serialize(serializer)
    }

    /// Reads a number or `null`.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(None),
            value => from_json(&value)
                .map(Some)
                .ok_or_else(|| D::Error::custom("not a number")),
        }
    }
}

/// A list of numbers.
pub mod list {
    use super::{Deserialize, Deserializer, Serializer, Value, from_json, to_json};
    use serde::de::Error as _;

    /// Writes the list.
    pub fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|&value| to_json(value)))
    }

    /// Reads the list.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        Vec::<Value>::deserialize(deserializer)?
            .iter()
            .map(|value| from_json(value).ok_or_else(|| D::Error::custom("not a number")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back_from_json_as_it_was() {
        for value in [0.1, -0.0, 1e300, f64::MIN_POSITIVE, f64::INFINITY] {
            for value in [value, -value] {
                let text = to_json(value).to_string();
                let back = from_json(&serde_json::from_str(&text).unwrap()).unwrap();
                assert_eq!(back.to_bits(), value.to_bits(), "{text}");
            }
        }
        assert!(from_json(&to_json(f64::NAN)).unwrap().is_nan());
        assert_eq!(from_json(&Value::from("nan?")), None);
        assert_eq!(from_json(&Value::Null), None);
    }
}
