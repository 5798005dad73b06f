//! One argument's value.

use serde::Deserialize;
use std::{borrow::Cow, collections::BTreeMap, fmt};

/// An argument's value: the types that Python, JSON and TOML have in common. Every number is an
/// `f64`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Python's `None`.
    Null,
    /// A truth value.
    Flag(bool),
    /// A number, whole or not.
    Number(f64),
    /// A string.
    Text(String),
    /// A list or a tuple.
    List(Vec<Value>),
    /// A dictionary.
    Table(BTreeMap<String, Value>),
}

impl Value {
    /// The number, also where it is written as a string because JSON has no infinity.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => infinity(text),
            _ => None,
        }
    }

    /// The whole number from 0 on.
    pub fn as_count(&self) -> Option<usize> {
        match self {
            // Up to 2^53 an f64 holds every whole number.
            Self::Number(number) if (0.0..=9_007_199_254_740_992.0).contains(number) => {
                (number.fract() == 0.0).then_some(*number as usize)
            }
            _ => None,
        }
    }
}

/// The infinite number of a text, as Python, JSON or Rust write it.
pub(super) fn infinity(text: &str) -> Option<f64> {
    match text {
        "inf" | "Infinity" => Some(f64::INFINITY),
        "-inf" | "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// Whether a string needs no quotes.
pub(super) fn is_bare(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_alphabetic() || "_./~".contains(letter))
        && text.chars().all(is_of_word)
        && !["null", "true", "false", "nan", "inf", "Infinity"].contains(&text)
}

/// The text with each control character replaced, so that a terminal does not execute it.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        text.replace(char::is_control, "\u{fffd}").into()
    } else {
        text.into()
    }
}

/// Whether a word may contain this letter.
pub(super) fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_./~+-".contains(letter)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) if number.abs() < 1e15 && number.fract() == 0.0 => {
                write!(f, "{number:.0}")
            }
            Self::Number(number) => write!(f, "{number:?}"),
            Self::Text(text) if is_bare(text) => f.write_str(text),
            Self::Text(text) => {
                let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
                write!(f, "\"{}\"", visible(&escaped))
            }
            Self::List(values) => {
                f.write_str("[")?;
                for (i, value) in values.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(f, "{comma}{value}")?;
                }
                f.write_str("]")
            }
            Self::Table(values) => {
                f.write_str("{")?;
                for (i, (name, value)) in values.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(f, "{comma}{}={value}", visible(name))?;
                }
                f.write_str("}")
            }
        }
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<Value>> for Value {
    fn from(values: Vec<Value>) -> Self {
        Self::List(values)
    }
}
