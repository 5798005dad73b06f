//! Bounds on disk: JSON has no infinity, so `inf` and `-inf` are written as words.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

#[derive(serde::Serialize, Deserialize)]
#[serde(untagged)]
enum Bound {
    Finite(f64),
    Word(String),
}

pub(super) fn serialize<S: Serializer>(bounds: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(bounds.iter().map(|bound| {
        if bound.is_finite() {
            Bound::Finite(*bound)
        } else {
            Bound::Word(bound.to_string())
        }
    }))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<f64>, D::Error> {
    let bounds = Vec::<Bound>::deserialize(deserializer)?;
    bounds
        .into_iter()
        .map(|bound| match bound {
            Bound::Finite(number) => Ok(number),
            Bound::Word(word) => match word.as_str() {
                "inf" => Ok(f64::INFINITY),
                "-inf" => Ok(f64::NEG_INFINITY),
                _ => Err(D::Error::custom(format_args!(
                    "a bound must be a number, 'inf' or '-inf', not '{word}'"
                ))),
            },
        })
        .collect()
}
