//! JSON as Python writes it: with bare `NaN`, `Infinity` and `-Infinity`.
//!
//! Minari's metadata hold unbounded spaces, and Python's `json` writes their bounds as bare words
//! that no JSON parser accepts. [`parse`] turns those words, outside strings only, into strings
//! that begin with a mark; [`number`] reads them, and [`write`] turns them back into bare words.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::{Budget, Error, input};

const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// Distinguishes a bare word from a string of the same letters: a character without other use.
const MARK: char = '\u{f8ff}';

/// Parses JSON with Python's three extra words, which become marked strings.
pub(crate) fn parse(text: &str) -> Result<Value, Error> {
    serde_json::from_str(&quote_words(text)).map_err(|error| Error::Metadata(error.to_string()))
}

/// Files longer than this are not read. Bounds of image spaces are the longest part.
const MAX_BYTES: u64 = 64 << 20;

/// Reads a file that is not too long.
pub(crate) fn read(path: &Path, budget: &Budget) -> Result<Value, Error> {
    // Text is not compressed, so its size does not raise the budget.
    let (file, bytes) = input::open_text(path)?;
    if bytes > MAX_BYTES {
        return Err(Error::Metadata(format!("longer than {MAX_BYTES} bytes")));
    }
    // The memory of a value; the shortest ones are two bytes of text.
    budget
        .fork()
        .take(bytes.saturating_mul(32), "the metadata")?;
    let mut text = String::new();
    file.take(bytes).read_to_string(&mut text)?;
    parse(&text)
}

/// The JSON of `value`, with bare words where [`parse`] or [`of`] made marked strings.
pub(crate) fn write(value: &Value) -> String {
    let mut text = value.to_string();
    for word in WORDS {
        text = text.replace(&format!("\"{MARK}{word}\""), word);
    }
    text
}

/// A number as [`write`] understands it.
pub(crate) fn of(number: f64) -> Value {
    serde_json::Number::from_f64(number).map_or_else(
        || {
            let word = match (number.is_nan(), number > 0.0) {
                (true, _) => "NaN",
                (false, true) => "Infinity",
                (false, false) => "-Infinity",
            };
            Value::String(format!("{MARK}{word}"))
        },
        Value::Number,
    )
}

/// The number in `value`, be it a plain one or one of the three words.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(word) => match word.strip_prefix(MARK)? {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// Puts quotes and the mark around the three words outside strings.
fn quote_words(text: &str) -> Cow<'_, str> {
    if !WORDS.iter().any(|word| text.contains(word)) {
        return Cow::Borrowed(text);
    }
    let mut quoted = String::with_capacity(text.len() + 64);
    let mut rest = text;
    let mut inside_string = false;
    while let Some(character) = rest.chars().next() {
        let word = WORDS
            .iter()
            .find(|word| !inside_string && rest.starts_with(*word));
        if let Some(word) = word {
            quoted.push('"');
            quoted.push(MARK);
            quoted.push_str(word);
            quoted.push('"');
            rest = &rest[word.len()..];
            continue;
        }
        let mut end = character.len_utf8();
        if character == '"' {
            inside_string = !inside_string;
        } else if character == '\\' && inside_string {
            // An escape: the next character cannot end the string.
            end += rest[1..].chars().next().map_or(0, char::len_utf8);
        }
        quoted.push_str(&rest[..end]);
        rest = &rest[end..];
    }
    Cow::Owned(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_words_become_numbers_and_strings_stay_as_they_are() {
        let value =
            parse(r#"{"low": [-Infinity, NaN, 1.5, Infinity], "note": "é \"NaN\" Infinity\\"}"#)
                .unwrap();
        let low: Vec<f64> = value["low"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(number)
            .collect();
        let bits: Vec<u64> = low.iter().map(|number| number.to_bits()).collect();
        let expected = [f64::NEG_INFINITY, f64::NAN, 1.5, f64::INFINITY].map(f64::to_bits);
        assert_eq!(bits, expected);
        assert_eq!(value["note"], "é \"NaN\" Infinity\\");
    }

    #[test]
    fn bare_words_and_equal_strings_are_written_as_they_were_read() {
        let text = r#"{"a":[-Infinity,NaN,1.5,Infinity],"b":"NaN"}"#;
        assert_eq!(write(&parse(text).unwrap()), text);
        assert!(number(&parse("\"NaN\"").unwrap()).is_none());
        assert_eq!(write(&of(f64::NEG_INFINITY)), "-Infinity");
    }

    #[test]
    fn broken_text_is_an_error() {
        for text in ["", "{", "{\"a\": Infinit}", "\"\\", "NaNNaN", "[-]"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
        assert!(parse(&"[".repeat(1_000_000)).is_err());
    }
}
