//! Text without control characters for terminals.
//!
//! Names and metadata of datasets and runs may come from untrusted files. Control characters can
//! clear a terminal's screen, change its title or overwrite text. So they are escaped, and so are
//! characters that change the direction of writing.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character controls a terminal or changes the direction of text. Line breaks and tabs
/// are allowed.
fn steers(letter: char) -> bool {
    match letter {
        '\n' | '\t' => false,
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        letter => letter.is_control(),
    }
}

/// The text with such characters as `\u{1b}`.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    replace(text, steers, |letter| {
        format!("{}", letter.escape_unicode())
    })
}

/// The same on a single line.
pub(super) fn line(text: &str) -> Cow<'_, str> {
    let breaks = |letter| steers(letter) || letter == '\n' || letter == '\t';
    replace(text, breaks, |letter| {
        format!("{}", letter.escape_default())
    })
}

/// JSON with such characters as `\u001b`, which is the same JSON.
pub(super) fn json(text: &str) -> Cow<'_, str> {
    replace(text, steers, |letter| {
        let mut units = [0; 2];
        let units = letter.encode_utf16(&mut units);
        let mut text = String::new();
        for unit in units {
            let _ = write!(text, "\\u{unit:04x}");
        }
        text
    })
}

fn replace(
    text: &str,
    is_bad: impl Fn(char) -> bool,
    instead: impl Fn(char) -> String,
) -> Cow<'_, str> {
    if !text.chars().any(&is_bad) {
        return Cow::Borrowed(text);
    }
    let letters = text.chars().map(|letter| {
        if is_bad(letter) {
            instead(letter)
        } else {
            letter.into()
        }
    });
    Cow::Owned(letters.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_terminal_control_sequence_remains() {
        let evil = "a\x1b]0;title\x07\x1b[2J\u{9b}31m\r\u{7f}\u{202e}b";
        for shown in [text(evil), line(evil), json(evil)] {
            assert!(!shown.chars().any(char::is_control), "{shown}");
            assert!(!shown.contains('\u{202e}') && shown.starts_with('a') && shown.ends_with('b'));
        }
        assert_eq!(text("é\n\tb"), "é\n\tb");
        assert_eq!(line("a\nb"), "a\\nb");
    }

    #[test]
    fn json_stays_the_same_json() {
        let written = serde_json::to_string("x\u{9b}\u{7f}\u{2066}\x1b").unwrap();
        let shown = json(&written);
        assert!(shown.is_ascii(), "{shown}");
        let read: String = serde_json::from_str(&shown).unwrap();
        assert_eq!(read, "x\u{9b}\u{7f}\u{2066}\x1b");
    }
}
