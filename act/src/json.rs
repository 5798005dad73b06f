//! The part of JSON that a safetensors header consists of: objects, texts and whole numbers.

use alloc::string::String;
use core::iter::Peekable;
use core::str::Chars;

/// Reads a header from its start to its end.
pub(crate) struct Json<'a>(Peekable<Chars<'a>>);

/// The text is not of that form.
#[derive(Debug)]
pub(crate) struct NotJson;

type Result<T> = core::result::Result<T, NotJson>;

impl<'a> Json<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self(text.chars().peekable())
    }

    /// Only blanks are left.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.next() {
            None => Ok(()),
            Some(_) => Err(NotJson),
        }
    }

    /// `{ "name": ..., }`: `member` reads each value.
    pub(crate) fn object<E: From<NotJson>>(
        &mut self,
        mut member: impl FnMut(&mut Self, String) -> core::result::Result<(), E>,
    ) -> core::result::Result<(), E> {
        self.expect('{')?;
        if self.skip_if('}') {
            return Ok(());
        }
        loop {
            let name = self.text()?;
            self.expect(':')?;
            member(self, name)?;
            if !self.skip_if(',') {
                self.expect('}')?;
                return Ok(());
            }
        }
    }

    /// `[ ... ]`: `item` reads each value.
    pub(crate) fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.expect('[')?;
        if self.skip_if(']') {
            return Ok(());
        }
        loop {
            item(self)?;
            if !self.skip_if(',') {
                return self.expect(']');
            }
        }
    }

    /// A whole number that is not negative.
    pub(crate) fn number(&mut self) -> Result<usize> {
        let first = self.next().and_then(|digit| digit.to_digit(10));
        let mut number = first.ok_or(NotJson)? as usize;
        while let Some(digit) = self.0.peek().and_then(|digit| digit.to_digit(10)) {
            // No number begins with a zero but zero.
            let more = number.checked_mul(10).filter(|tens| *tens > 0);
            number = more
                .and_then(|tens| tens.checked_add(digit as usize))
                .ok_or(NotJson)?;
            self.0.next();
        }
        Ok(number)
    }

    /// A text in quotes.
    pub(crate) fn text(&mut self) -> Result<String> {
        self.expect('"')?;
        let mut text = String::new();
        loop {
            match self.0.next().ok_or(NotJson)? {
                '"' => return Ok(text),
                '\\' => text.push(self.escaped()?),
                letter if letter < ' ' => return Err(NotJson),
                letter => text.push(letter),
            }
        }
    }

    fn escaped(&mut self) -> Result<char> {
        Ok(match self.0.next().ok_or(NotJson)? {
            letter @ ('"' | '\\' | '/') => letter,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.unit()?;
                let code = if (0xd800..0xdc00).contains(&first) {
                    if (self.0.next(), self.0.next()) != (Some('\\'), Some('u')) {
                        return Err(NotJson);
                    }
                    let second = self.unit()?;
                    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400);
                    0x1_0000 + ((first - 0xd800) << 10) + low.ok_or(NotJson)?
                } else {
                    first
                };
                char::from_u32(code).ok_or(NotJson)?
            }
            _ => return Err(NotJson),
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u32> {
        (0..4).try_fold(0, |unit, _| {
            let digit = self.0.next().and_then(|digit| digit.to_digit(16));
            Ok(unit * 16 + digit.ok_or(NotJson)?)
        })
    }

    fn next(&mut self) -> Option<char> {
        while self.0.next_if(|blank| " \t\r\n".contains(*blank)).is_some() {}
        self.0.next()
    }

    fn expect(&mut self, wanted: char) -> Result<()> {
        match self.next() {
            Some(found) if found == wanted => Ok(()),
            _ => Err(NotJson),
        }
    }

    fn skip_if(&mut self, wanted: char) -> bool {
        while self.0.next_if(|blank| " \t\r\n".contains(*blank)).is_some() {}
        self.0.next_if_eq(&wanted).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_every_escape_of_json() {
        let read = |text: &str| Json::new(text).text().map_err(|_| ());
        let escapes = "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83e\\udd16z\"";
        assert_eq!(read(escapes).unwrap(), "\"\\/\u{8}\u{c}\n\r\té🤖z");
        for wrong in [
            "\"",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_number_is_whole_and_fits() {
        let read = |text: &str| Json::new(text).number().map_err(|_| ());
        assert_eq!(read(" 1024").unwrap(), 1024);
        for wrong in ["-1", "", "04", "99999999999999999999999"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
