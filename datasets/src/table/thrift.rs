//! Checks Parquet's headers before its library reads them.
//!
//! The file's footer and the header before each page are structs in Thrift's compact protocol. The
//! `parquet` crate skips fields that it does not know, element by element, and does not check how
//! many elements there can be: a list's header of six bytes can claim 2^31 of them. Where they are
//! booleans, or where the file has ended, skipping each takes no bytes and never fails, so that a
//! small file costs minutes. Here a list may not claim more elements than there are bytes left, and
//! lists of booleans and maps, which the format does not have in these places, are refused.
//!
//! The crate reads a field that it knows as what the format says, whatever type the file claims for
//! it, and would come to other bytes than these checks do. So a known field of another type is
//! refused, too. So is a page that claims to become larger than its compression can make it: the
//! crate allocates what it claims.
//!
//! Source: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::headers::{FILE, Fields, PAGE, Type};

/// The footer's length and the magic number at the end of a file.
const TAIL: u64 = 8;
/// Structs and lists inside each other; the format needs ten.
const DEPTH: u8 = 32;

/// Snappy's longest copy makes 64 bytes of 3. Pages that are not compressed do not grow at all, and
/// no other compression is read.
const MOST_GROWTH: u64 = 22;

/// A Parquet file of which every header is checked before it is read.
pub(super) struct Checked {
    file: File,
    bytes: u64,
}

impl Checked {
    /// Checks the footer of a file of that many bytes.
    pub(super) fn new(file: File, bytes: u64) -> Result<Self> {
        let checked = Self { file, bytes };
        if let Some(tail) = bytes.checked_sub(TAIL) {
            let mut length = [0; 4];
            checked.file.get_read(tail)?.read_exact(&mut length)?;
            let length = u64::from(u32::from_le_bytes(length));
            // Whether this is a Parquet file at all is left to its library.
            if let Some(start) = tail.checked_sub(length) {
                checked.walk(start, length, FILE)?;
            }
        }
        Ok(checked)
    }

    fn walk(&self, start: u64, left: u64, fields: Fields) -> Result<()> {
        let reader = self.file.get_read(start)?;
        let mut walk = Walk::new(reader, left);
        (walk.structure(fields, DEPTH))
            .and_then(|()| walk.check_growth())
            .map_err(|error| ParquetError::External(Box::new(error)))
    }
}

impl Length for Checked {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Checked {
    type T = BufReader<File>;

    /// Where the file's last bytes or the header of a page begin.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        let left = self.bytes.saturating_sub(start);
        if left != TAIL {
            self.walk(start, left, PAGE)?;
        }
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if length as u64 > self.bytes.saturating_sub(start) {
            let error = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(ParquetError::External(Box::new(error)));
        }
        self.file.get_bytes(start, length)
    }
}

/// The types of values, as the protocol numbers them.
mod kind {
    pub(super) const STOP: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const I16: u8 = 4;
    pub(super) const I64: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const STRUCT: u8 = 12;
    pub(super) const UUID: u8 = 13;
}

/// A position in a file, and the number of bytes after it.
struct Walk<R> {
    reader: R,
    left: u64,
    /// Of a page: uncompressed, and as stored.
    page_sizes: [u64; 2],
}

impl<R: Read + Seek> Walk<R> {
    fn new(reader: R, left: u64) -> Self {
        let page_sizes = [0; 2];
        Self {
            reader,
            left,
            page_sizes,
        }
    }

    fn check_growth(&self) -> io::Result<()> {
        let [uncompressed, stored] = self.page_sizes;
        if uncompressed > stored.saturating_mul(MOST_GROWTH) {
            return Err(refused("claims a page larger than its bytes can hold"));
        }
        Ok(())
    }

    /// A struct with these fields, and others that are skipped.
    fn structure(&mut self, fields: Fields, depth: u8) -> io::Result<()> {
        let mut id = 0_i16;
        loop {
            let field = self.byte()?;
            if field == kind::STOP {
                return Ok(());
            }
            id = match field >> 4 {
                // Without a step from the last field's number, the number follows.
                0 => signed(self.number()?) as i16,
                step => (id.checked_add(i16::from(step)))
                    .ok_or_else(|| refused("numbers its fields beyond 16 bits"))?,
            };
            let known = fields.iter().find(|(known, _)| *known == id);
            let known = known.map(|(_, known)| *known);
            match field & 0xf {
                kind::TRUE | kind::FALSE => match known {
                    None | Some(Type::Bool) => {}
                    Some(_) => return Err(other_type()),
                },
                kind => self.value(kind, known, depth)?,
            }
        }
    }

    /// A value of this kind, which must be of the type that the format has there, if it says one.
    fn value(&mut self, kind: u8, known: Option<Type>, depth: u8) -> io::Result<()> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(refused("is nested too deeply"));
        };
        match (kind, known) {
            (kind::BYTE, None | Some(Type::Byte)) => self.skip(1),
            (kind::I16..=kind::I64, None | Some(Type::Number)) => self.number().map(|_| ()),
            (kind::I16..=kind::I64, Some(Type::PageSize(which))) => {
                // The crate refuses negative ones.
                self.page_sizes[which] = signed(self.number()?).try_into().unwrap_or(0);
                Ok(())
            }
            (kind::DOUBLE, None | Some(Type::Double)) => self.skip(8),
            (kind::UUID, None) => self.skip(16),
            (kind::BINARY, None | Some(Type::Binary)) => {
                let bytes = self.number()?;
                self.skip(bytes)
            }
            (kind::STRUCT, None) => self.structure(&[], depth),
            (kind::STRUCT, Some(Type::Struct(fields))) => self.structure(fields, depth),
            (kind::LIST | kind::SET, None) => self.list(None, depth),
            (kind::LIST, Some(Type::List(element))) => self.list(Some(*element), depth),
            (_, None) => Err(refused("holds a type that Parquet does not use")),
            (_, Some(_)) => Err(other_type()),
        }
    }

    fn list(&mut self, element: Option<Type>, depth: u8) -> io::Result<()> {
        let header = self.byte()?;
        let count = match header >> 4 {
            0xf => self.number()?,
            count => u64::from(count),
        };
        if count > self.left {
            return Err(refused("claims more elements than it has bytes"));
        }
        let kind = header & 0xf;
        if count > 0 && matches!(kind, kind::TRUE | kind::FALSE) {
            return Err(refused("holds a list of booleans"));
        }
        (0..count).try_for_each(|_| self.value(kind, element, depth))
    }

    /// A number of seven bits a byte, the lowest first.
    fn number(&mut self) -> io::Result<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(refused("holds a number of more than 64 bits"))
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.take(1)?;
        let mut byte = [0];
        self.reader.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.take(bytes)?;
        // `take` has checked that this many bytes are there.
        self.reader.seek_relative(bytes as i64)
    }

    fn take(&mut self, bytes: u64) -> io::Result<()> {
        self.left = (self.left.checked_sub(bytes)).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(())
    }
}

/// A signed number, as the protocol stores it.
fn signed(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn other_type() -> io::Error {
    refused("holds a field of another type than Parquet's")
}

fn refused(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a header {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> io::Result<()> {
        walk_as(&[], bytes)
    }

    fn walk_as(fields: Fields, bytes: &[u8]) -> io::Result<()> {
        let left = bytes.len() as u64;
        let reader = io::Cursor::new(bytes);
        let mut walk = Walk::new(reader, left);
        walk.structure(fields, DEPTH)?;
        walk.check_growth()
    }

    #[test]
    fn unknown_fields_of_the_format_are_skipped() {
        // A boolean, a number, a double, a text, a list of two structs, a field's number in full.
        let whole: &[u8] = &[
            0x11, 0x15, 0x96, 0x01, 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 0x18, 3, b'a', b'b', b'c', 0x19,
            0x2c, 0x15, 0x02, 0, 0x15, 0x04, 0, 0x05, 0x46, 0x02, 0,
        ];
        walk(whole).unwrap();
        for length in 0..whole.len() {
            assert!(walk(&whole[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn lists_that_cost_more_than_their_bytes_are_refused() {
        let many = [0xff, 0xff, 0xff, 0xff, 0x07];
        for element in [
            kind::BYTE,
            kind::DOUBLE,
            kind::BINARY,
            kind::UUID,
            kind::STRUCT,
        ] {
            let list = [&[0x19, 0xf0 | element], &many[..], &[0; 64]].concat();
            let error = walk(&list).unwrap_err().to_string();
            assert!(error.contains("more elements"), "{element}: {error}");
        }
        let flags = [0x19, 0x11, 1, 0];
        assert!(walk(&flags).unwrap_err().to_string().contains("booleans"));
        let map = [0x1b, 1, 0x11, 1, 1, 0];
        assert!(walk(&map).unwrap_err().to_string().contains("type"));
        let deep = [0x1c; 100];
        assert!(walk(&deep).unwrap_err().to_string().contains("deep"));
    }

    #[test]
    fn a_page_does_not_become_larger_than_snappy_makes_it() {
        // 22 times 3 bytes, and one more.
        walk_as(PAGE, &[0x15, 0, 0x15, 0x84, 0x01, 0x15, 0x06, 0]).unwrap();
        let error = walk_as(PAGE, &[0x15, 0, 0x15, 0x86, 0x01, 0x15, 0x06, 0]).unwrap_err();
        assert!(error.to_string().contains("larger"), "{error}");
    }

    #[test]
    fn a_known_field_of_another_type_is_refused() {
        let page = [0x15, 0, 0x15, 0x30, 0x15, 0x2e, 0];
        walk_as(PAGE, &page).unwrap();
        // The checksum as a text, whose length would hide a list.
        let mut text = page[..6].to_vec();
        text.extend([0x18, 0x01, 0, 0]);
        walk(&text).unwrap();
        let error = walk_as(PAGE, &text).unwrap_err().to_string();
        assert!(error.contains("another type"), "{error}");
        // A number of its own: 5 as a number, 65541 that wraps to it, a step past the last number.
        for id in [&[0x0a][..], &[0x8a, 0x80, 0x08]] {
            let field = [&[0x05], id, &[0x02, 0][..]].concat();
            let error = walk_as(PAGE, &field).unwrap_err().to_string();
            assert!(error.contains("another type"), "{error}");
        }
        let beyond = [0x05, 0xfe, 0xff, 0x03, 0x02, 0x15, 0x02, 0];
        assert!(walk(&beyond).unwrap_err().to_string().contains("16 bits"));
        // A list's elements, and a boolean where there is none.
        let names = [0x29, 0x15, 0x02, 0];
        let column: Fields = &[(2, Type::List(&Type::Binary))];
        assert!(walk_as(column, &names).is_err());
        assert!(walk_as(column, &[0x21, 0]).is_err());
    }
}
