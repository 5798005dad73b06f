//! The pickle machine, without the instructions that can run code.
//!
//! Values are stored in one list and refer to each other by index, so that neither deep nor
//! circular structures can exhaust the stack. Bytes and texts are not copied, they refer to the
//! file.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::arrays::{ArrayState, Function};
use crate::numpy::Element;
use crate::{Budget, Error};

/// Memory for a value on the stack, in a list or in the memo.
const ITEM_BYTES: u64 = 64;
/// Memory for an object.
const OBJECT_BYTES: u64 = 96;
/// A trajectory has no more entries.
const MAX_ENTRIES: usize = 1024;

/// A value on the stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// An index into [`Machine::objects`].
    Object(usize),
}

/// A value that others can refer to.
#[derive(Debug)]
pub(super) enum Object {
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// Bytes or a text, somewhere in the file.
    Slice(Range<usize>),
    /// Bytes that old protocols write as text. Copies share them.
    Bytes(Arc<[u8]>),
    Function(Function),
    Element(Option<Element>),
    Array(ArrayState),
}

/// Reads one pickle.
pub(super) struct Machine<'a> {
    pub(super) input: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    pub(super) objects: Vec<Object>,
    /// Charged for every object: the file may refer to a large one in a few bytes.
    pub(super) budget: &'a Budget,
}

fn damaged() -> Error {
    Error::Damaged("the pickle ends early or cannot be decoded".into())
}

impl<'a> Machine<'a> {
    pub(super) fn new(input: &'a [u8], budget: &'a Budget) -> Self {
        Self {
            input,
            at: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            objects: Vec::new(),
            budget,
        }
    }

    /// Runs to the end; returns the pickle's content.
    pub(super) fn run(&mut self) -> Result<Value, Error> {
        loop {
            let instruction = self.byte()?;
            if instruction == b'.' {
                return self.pop();
            }
            // An instruction puts at most an item on the stack or into the memo.
            self.budget.take(ITEM_BYTES, "the pickle")?;
            self.step(instruction)?;
        }
    }

    fn step(&mut self, instruction: u8) -> Result<(), Error> {
        match instruction {
            0x80 => {
                self.byte()?;
            }
            0x95 => {
                self.take(8)?;
            }
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' | b'M' | b'J' | 0x8a | 0x8b | b'I' | b'L' => self.integer(instruction)?,
            b'G' => {
                let bytes = *self.take(8)?.first_chunk().ok_or_else(damaged)?;
                self.push(Value::Float(f64::from_be_bytes(bytes)));
            }
            b'F' => {
                let text = self.line()?;
                let number = text.trim().parse().map_err(|_| damaged())?;
                self.push(Value::Float(number));
            }
            b'U' | b'C' | 0x8c => self.slice(1)?,
            b'T' | b'B' | b'X' => self.slice(4)?,
            0x8e | 0x8d | 0x96 => self.slice(8)?,
            b'V' | b'S' => self.text(instruction)?,
            b']' => self.create(Object::List(Vec::new()))?,
            b')' => self.create(Object::Tuple(Vec::new()))?,
            b'}' => self.create(Object::Dict(Vec::new()))?,
            b'(' => self.marks.push(self.stack.len()),
            other => return self.combine(other),
        }
        Ok(())
    }

    /// Instructions that use the stack or the memo.
    fn combine(&mut self, instruction: u8) -> Result<(), Error> {
        match instruction {
            b'l' => {
                let items = self.since_mark()?;
                self.create(Object::List(items))?;
            }
            b't' => {
                let items = self.since_mark()?;
                self.create(Object::Tuple(items))?;
            }
            b'd' => {
                let items = self.since_mark()?;
                self.create(Object::Dict(pairs(&items)?))?;
            }
            0x85..=0x87 => {
                let count = usize::from(instruction - 0x84);
                let start = self.stack.len().checked_sub(count).ok_or_else(damaged)?;
                let items = self.stack.split_off(start);
                self.create(Object::Tuple(items))?;
            }
            b'a' | b'e' => {
                let items = if instruction == b'a' {
                    vec![self.pop()?]
                } else {
                    self.since_mark()?
                };
                match self.top_object()? {
                    Object::List(list) => list.extend(items),
                    _ => return Err(damaged()),
                }
            }
            b's' | b'u' => {
                let items = if instruction == b's' {
                    let value = self.pop()?;
                    vec![self.pop()?, value]
                } else {
                    self.since_mark()?
                };
                let items = pairs(&items)?;
                match self.top_object()? {
                    Object::Dict(entries) => entries.extend(items),
                    _ => return Err(damaged()),
                }
            }
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.since_mark()?;
            }
            b'2' => {
                let top = *self.stack.last().ok_or_else(damaged)?;
                self.push(top);
            }
            b'q' | b'r' | b'p' | 0x94 | b'h' | b'j' | b'g' => self.remember(instruction)?,
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.function(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |value| std::str::from_utf8(self.bytes(value)?).ok();
                let (Some(module), Some(name)) = (text(module), text(name)) else {
                    return Err(damaged());
                };
                let (module, name) = (module.to_owned(), name.to_owned());
                self.function(&module, &name)?;
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let made = self.call(function, arguments)?;
                self.create(made)?;
            }
            b'b' => {
                let state = self.pop()?;
                let top = *self.stack.last().ok_or_else(damaged)?;
                self.build(top, state)?;
            }
            other => {
                return Err(Error::Unsupported(format!(
                    "the pickle instruction {other:#04x}"
                )));
            }
        }
        Ok(())
    }

    /// Stores the top of the stack in the memo, or pushes an entry of the memo.
    fn remember(&mut self, instruction: u8) -> Result<(), Error> {
        let key = match instruction {
            b'q' | b'h' => self.byte()?.into(),
            b'r' | b'j' => self.number(4)?,
            b'p' | b'g' => self.line()?.trim().parse().map_err(|_| damaged())?,
            _ => self.memo.len() as u64,
        };
        if matches!(instruction, b'h' | b'j' | b'g') {
            let value = *self.memo.get(&key).ok_or_else(damaged)?;
            self.push(value);
        } else {
            let top = *self.stack.last().ok_or_else(damaged)?;
            self.memo.insert(key, top);
        }
        Ok(())
    }

    fn integer(&mut self, instruction: u8) -> Result<(), Error> {
        let integer = match instruction {
            b'K' => self.byte()?.into(),
            b'M' => self.number(2)? as i64,
            b'J' => i64::from(self.number(4)? as u32 as i32),
            b'I' => match self.line()?.trim() {
                flag @ ("00" | "01") => {
                    self.push(Value::Bool(flag == "01"));
                    return Ok(());
                }
                text => text.parse().map_err(|_| damaged())?,
            },
            b'L' => self
                .line()?
                .trim()
                .trim_end_matches('L')
                .parse()
                .map_err(|_| damaged())?,
            _ => {
                let length = self.number(if instruction == 0x8a { 1 } else { 4 })?;
                if length > 8 {
                    return Err(Error::Unsupported("an integer of more than 64 bits".into()));
                }
                let bytes = self.take(length as usize)?;
                // Two's complement: the sign is in the highest bit.
                let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
                let start = if negative { -1_i64 } else { 0 };
                bytes
                    .iter()
                    .rev()
                    .fold(start, |sum, &byte| (sum << 8) | i64::from(byte))
            }
        };
        self.push(Value::Int(integer));
        Ok(())
    }

    /// Bytes or a text with its length before it.
    fn slice(&mut self, length_bytes: usize) -> Result<(), Error> {
        let length = usize::try_from(self.number(length_bytes)?).map_err(|_| damaged())?;
        let start = self.at;
        self.take(length)?;
        self.create(Object::Slice(start..start + length))
    }

    /// A text to the end of the line, as protocol 0 writes it: a byte a character, and escapes.
    fn text(&mut self, instruction: u8) -> Result<(), Error> {
        let line: String = self
            .raw_line()?
            .iter()
            .map(|&byte| char::from(byte))
            .collect();
        let text = if instruction == b'S' {
            let quoted = line.trim();
            let inner = quoted.get(1..quoted.len().saturating_sub(1));
            unescape(inner.ok_or_else(damaged)?, 'x')
        } else {
            unescape(&line, 'u')
        };
        self.create(Object::Bytes(text.ok_or_else(damaged)?.into_bytes().into()))
    }

    pub(super) fn create(&mut self, object: Object) -> Result<(), Error> {
        self.budget.take(OBJECT_BYTES, "the pickle")?;
        self.push(Value::Object(self.objects.len()));
        self.objects.push(object);
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    fn pop(&mut self) -> Result<Value, Error> {
        self.stack.pop().ok_or_else(damaged)
    }

    fn since_mark(&mut self) -> Result<Vec<Value>, Error> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or_else(damaged)?))
    }

    fn top_object(&mut self) -> Result<&mut Object, Error> {
        match self.stack.last() {
            Some(&Value::Object(at)) => Ok(&mut self.objects[at]),
            _ => Err(damaged()),
        }
    }

    fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(count).ok_or_else(damaged)?;
        let taken = self.input.get(self.at..end).ok_or_else(damaged)?;
        self.at = end;
        Ok(taken)
    }

    /// A little-endian number of that many bytes.
    fn number(&mut self, bytes: usize) -> Result<u64, Error> {
        let bytes = self.take(bytes)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |sum, &byte| (sum << 8) | u64::from(byte)))
    }

    fn line(&mut self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.raw_line()?).map_err(|_| damaged())
    }

    fn raw_line(&mut self) -> Result<&'a [u8], Error> {
        let rest = &self.input[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n');
        let length = length.ok_or_else(damaged)?;
        self.at += length + 1;
        Ok(&rest[..length])
    }

    pub(super) fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(at) => self.objects.get(at),
            _ => None,
        }
    }

    pub(super) fn bytes(&self, value: Value) -> Option<&[u8]> {
        match self.object(value)? {
            Object::Slice(range) => self.input.get(range.clone()),
            Object::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn list(&self, value: Value) -> Option<&[Value]> {
        match self.object(value)? {
            Object::List(items) | Object::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The entry of a dict; the last one of that name counts.
    pub(super) fn entry(&self, dict: Value, name: &str) -> Option<Value> {
        let Object::Dict(entries) = self.object(dict)? else {
            return None;
        };
        if entries.len() > MAX_ENTRIES {
            return None;
        }
        let mut found = entries
            .iter()
            .rev()
            .filter(|(key, _)| self.bytes(*key) == Some(name.as_bytes()));
        found.next().map(|(_, value)| *value)
    }
}

fn pairs(items: &[Value]) -> Result<Vec<(Value, Value)>, Error> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(damaged());
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}

/// Resolves Python's escapes of a code point, `\u0041` or `\x41`, and of a backslash.
fn unescape(text: &str, kind: char) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let escape = &rest[at + 1..];
        let digits = match escape.chars().next()? {
            'x' if kind == 'x' => 2,
            'u' if kind == 'u' => 4,
            other => {
                plain.push(match other {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    other => other,
                });
                rest = &escape[other.len_utf8()..];
                continue;
            }
        };
        let code = u32::from_str_radix(escape.get(1..=digits)?, 16).ok()?;
        plain.push(char::from_u32(code)?);
        rest = &escape[1 + digits..];
    }
    plain.push_str(rest);
    Some(plain)
}
