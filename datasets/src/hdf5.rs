//! The HDF5 boundary: the only file that knows which library reads HDF5.
//!
//! The library is `hdf5-reader` 0.12.1 (pure Rust, no build script), pinned exactly. Seconds to
//! read a file of 1M steps, cached, two cores; the first two rows were measured within one hour on
//! one machine, the others in an earlier trial on a machine of the same kind:
//!
//! | library | Minari, 1,000 / 10,000 episodes | D4RL, gzip | |
//! |---|---|---|---|
//! | h5py 3.16 | 0.96 / 9.0 | 0.57 to 0.60 | the yardstick |
//! | `hdf5-reader` 0.12.1, through [`Array::read`] | 0.18 / 0.90 | 0.61 | numeric group attributes too |
//! | `rust-hdf5` 0.7.9 | - / 0.84 | 0.45 | no numeric group attributes, so no seeds |
//! | `hdf5-pure` 0.47.0 | - / 12 | 0.38 to 0.58 | quadratic in the number of groups |
//! | `hdf5-metno` 0.15.1 | - / 1.65 | 0.46 to 0.49 | needs a C compiler |
//!
//! Robustness: 140,000 mutated copies of seven files (cut short, bytes overwritten, bits flipped;
//! old and new file format, `metadata.json` too) were opened and examined, built with overflow
//! checks: no panic, at most 0.09 s and 99 MiB each. Files that claim a billion rows, or thousands
//! of times the same large chunk, are refused within 0.15 s. Hence there is no `catch_unwind`;
//! tests repeat a part of it on every run.
//!
//! The library reaches for `lru` 0.16, which has an advisory (RUSTSEC-2026-0253, unsound). What
//! `lru` mended since then is panic safety in `pop`; the library does not call it, and its keys
//! are integers, whose destructors cannot panic. It reads neither LZF compression nor
//! half-precision numbers; both end in a clear error.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use hdf5_reader::error::Error as ReaderError;
use hdf5_reader::group::Group as ReaderGroup;
use hdf5_reader::{ByteOrder, Dataset as ReaderDataset, Datatype, Hdf5File, OpenOptions};

use crate::Error;

/// One chunk may decode to this much.
const MAX_CHUNK_BYTES: usize = 256 << 20;
/// A file may expand to this much, whatever its own size is ...
const EXPANSION_FLOOR: u64 = 256 << 20;
/// ... or to this many times its own size, counted as `f64` columns. Real files reach about 10.
const EXPANSION_FACTOR: u64 = 256;

/// An open HDF5 file.
pub(crate) struct File {
    reader: Hdf5File,
    budget: Budget,
}

/// The bytes of `f64` columns that may still be read from a file. A small hostile file can
/// declare arrays of any size, since unwritten parts cost nothing on disk.
type Budget = Rc<Cell<u64>>;

/// A group of a file.
pub(crate) struct Group {
    reader: ReaderGroup,
    path: String,
    budget: Budget,
}

/// A numeric array of a file, not yet read.
pub(crate) struct Array {
    reader: ReaderDataset,
    number: Number,
    shape: Vec<usize>,
    path: String,
    budget: Budget,
}

/// How an array stores its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// h5py's boolean: an enumeration over one byte.
    Bool,
    /// An integer of `bytes` bytes.
    Integer { bytes: u8, signed: bool },
    /// IEEE single precision.
    Float32,
    /// IEEE double precision.
    Float64,
}

impl File {
    /// Opens a file. Nothing is read but its first bytes.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::metadata(path)?.len();
        let budget = EXPANSION_FLOOR.max(bytes.saturating_mul(EXPANSION_FACTOR));
        // Each chunk is read once, so caching them would cost and bring nothing.
        let options = OpenOptions::default()
            .with_chunk_cache_bytes(0)
            .with_max_chunk_bytes(MAX_CHUNK_BYTES)
            .with_max_read_bytes(usize::try_from(budget).unwrap_or(usize::MAX));
        let reader = Hdf5File::open_with_options(path, options).map_err(translate)?;
        let expected = reader.superblock().eof_address;
        if bytes < expected {
            return Err(Error::Damaged(format!(
                "it has {bytes} of its {expected} bytes"
            )));
        }
        Ok(Self {
            reader,
            budget: Rc::new(Cell::new(budget)),
        })
    }

    /// The root group.
    pub(crate) fn root(&self) -> Result<Group, Error> {
        let reader = self.reader.root_group().map_err(translate)?;
        Ok(Group {
            reader,
            path: String::new(),
            budget: Rc::clone(&self.budget),
        })
    }
}

impl Group {
    /// The child group of that name, if there is one.
    pub(crate) fn group(&self, name: &str) -> Result<Option<Self>, Error> {
        let path = format!("{}/{name}", self.path);
        match self.reader.group(name) {
            Ok(reader) => Ok(Some(Self {
                reader,
                path,
                budget: Rc::clone(&self.budget),
            })),
            Err(error) => absent(error),
        }
    }

    /// The child array of that name, if there is one. Text and compound arrays are errors.
    pub(crate) fn array(&self, name: &str) -> Result<Option<Array>, Error> {
        let path = format!("{}/{name}", self.path);
        match self.reader.dataset(name) {
            Ok(dataset) => Array::new(dataset, path, &self.budget).map(Some),
            Err(error) => absent(error),
        }
    }

    /// The child array of that name, which the format requires.
    pub(crate) fn required_array(&self, name: &str) -> Result<Array, Error> {
        self.array(name)?
            .ok_or_else(|| Error::Missing(format!("{}/{name}", self.path)))
    }

    /// An integer attribute that is not negative; everything else counts as absent.
    pub(crate) fn unsigned_attribute(&self, name: &str) -> Option<u64> {
        let attribute = self.reader.attribute(name).ok()?;
        let signed = attribute
            .read_scalar::<i64>()
            .or_else(|_| attribute.read_scalar::<i32>().map(i64::from));
        match signed {
            Ok(number) => u64::try_from(number).ok(),
            // Minari stores the upper half of its seeds as unsigned numbers.
            Err(_) => attribute
                .read_scalar::<u64>()
                .or_else(|_| attribute.read_scalar::<u32>().map(u64::from))
                .ok(),
        }
    }

    /// A text attribute; other types count as absent.
    pub(crate) fn text_attribute(&self, name: &str) -> Option<String> {
        self.reader.attribute(name).ok()?.read_string().ok()
    }
}

impl Array {
    fn new(reader: ReaderDataset, path: String, budget: &Budget) -> Result<Self, Error> {
        let number = number(reader.dtype())
            .ok_or_else(|| Error::Unsupported(format!("the data type of {path}")))?;
        let shape = reader
            .shape()
            .iter()
            .map(|&size| usize::try_from(size))
            .collect::<Result<_, _>>()
            .map_err(|_| Error::Damaged(format!("{path} is larger than memory")))?;
        Ok(Self {
            reader,
            number,
            shape,
            path,
            budget: Rc::clone(budget),
        })
    }

    /// The sizes of the axes.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How the numbers are stored.
    pub(crate) fn number(&self) -> Number {
        self.number
    }

    /// The array's path in the file, for messages.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// All numbers in row-major order. Integers beyond 2^53 are rounded; booleans are 0 and 1.
    pub(crate) fn read(&self) -> Result<Vec<f64>, Error> {
        let chunk: Option<Vec<usize>> = self
            .reader
            .chunks()
            .map(|chunk| chunk.iter().map(|&size| size as usize).collect());
        let chunk = chunk.filter(|chunk| chunk.len() == self.shape.len());
        let numbers = self.charge(chunk.as_deref())?;
        match (self.shape.as_slice(), chunk.as_deref()) {
            (&[rows], Some(&[height])) if self.is_plain() => {
                self.read_chunks(numbers, (rows, 1), (height, 1))
            }
            (&[rows, columns], Some(&[height, width])) if self.is_plain() => {
                self.read_chunks(numbers, (rows, columns), (height, width))
            }
            _ => {
                let bytes = self.reader.read_native_bytes().map_err(translate)?;
                let mut decoded = vec![0.0; numbers];
                self.number.decode(&bytes, &mut decoded);
                Ok(decoded)
            }
        }
    }

    /// Counts the array, and what its chunks decode to, against what its file may expand to.
    /// Gives the array's numbers.
    fn charge(&self, chunk: Option<&[usize]>) -> Result<usize, Error> {
        let numbers = product(self.shape.iter().copied().map(Some));
        let padded = chunk.map_or(numbers, |chunk| {
            let sizes = self.shape.iter().zip(chunk);
            product(sizes.map(|(size, &chunk)| size.checked_next_multiple_of(chunk)))
        });
        let charged = padded.and_then(|padded| (padded as u64).checked_mul(8));
        let left = charged.and_then(|bytes| self.budget.get().checked_sub(bytes));
        let (Some(numbers), Some(left)) = (numbers, left) else {
            let path = &self.path;
            return Err(Error::Damaged(format!(
                "{path} claims more than its file could hold"
            )));
        };
        self.budget.set(left);
        Ok(numbers)
    }

    /// Whether chunks can be decoded as they come: in this machine's byte order, and zeros where
    /// nothing was written.
    fn is_plain(&self) -> bool {
        let native = if cfg!(target_endian = "little") {
            ByteOrder::LittleEndian
        } else {
            ByteOrder::BigEndian
        };
        let fill = self
            .reader
            .fill_value()
            .and_then(|fill| fill.value.as_ref());
        byte_order(self.reader.dtype()) == Some(native)
            && fill.is_none_or(|fill| fill.iter().all(|&byte| byte == 0))
    }

    /// Places each chunk, decoded. The library's own way places bytes one number at a time, which
    /// for D4RL's compressed files takes more than half of the reading.
    fn read_chunks(
        &self,
        numbers: usize,
        (rows, columns): (usize, usize),
        (height, width): (usize, usize),
    ) -> Result<Vec<f64>, Error> {
        let mut decoded = vec![0.0; numbers];
        if numbers == 0 {
            return Ok(decoded);
        }
        let misplaced = || Error::Damaged(format!("{} has a misplaced chunk", self.path));
        let places = rows.div_ceil(height) * columns.div_ceil(width);
        for (index, chunk) in self.reader.iter_chunks().map_err(translate)?.enumerate() {
            let chunk = chunk.map_err(translate)?;
            let at = |axis: usize| {
                chunk
                    .offsets()
                    .get(axis)
                    .map_or(0, |&offset| offset as usize)
            };
            let (top, left) = (at(0), at(1));
            if index >= places || top >= rows || left >= columns {
                return Err(misplaced());
            }
            let wide = width.min(columns - left);
            let row_bytes = width * self.number.bytes();
            let lines = chunk.bytes().chunks_exact(row_bytes);
            for (line, row) in lines.zip(top..rows) {
                let start = row * columns + left;
                self.number.decode(line, &mut decoded[start..start + wide]);
            }
        }
        Ok(decoded)
    }
}

impl Number {
    /// Bytes of one number.
    fn bytes(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Integer { bytes, .. } => bytes.into(),
            Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }

    /// Decodes native-endian numbers, as many as there is room for.
    fn decode(self, bytes: &[u8], decoded: &mut [f64]) {
        macro_rules! decode {
            ($number:ty) => {{
                let (numbers, _) = bytes.as_chunks::<{ size_of::<$number>() }>();
                for (decoded, &number) in decoded.iter_mut().zip(numbers) {
                    *decoded = <$number>::from_ne_bytes(number) as f64;
                }
            }};
        }
        match self {
            Self::Bool => {
                for (decoded, &byte) in decoded.iter_mut().zip(bytes) {
                    *decoded = f64::from(u8::from(byte != 0));
                }
            }
            Self::Float32 => decode!(f32),
            Self::Float64 => decode!(f64),
            Self::Integer { bytes, signed } => match (bytes, signed) {
                (1, true) => decode!(i8),
                (1, false) => decode!(u8),
                (2, true) => decode!(i16),
                (2, false) => decode!(u16),
                (4, true) => decode!(i32),
                (4, false) => decode!(u32),
                (_, true) => decode!(i64),
                (_, false) => decode!(u64),
            },
        }
    }
}

/// The product of sizes, unless it is larger than memory.
fn product(mut sizes: impl Iterator<Item = Option<usize>>) -> Option<usize> {
    sizes.try_fold(1, |product: usize, size| product.checked_mul(size?))
}

/// How numbers of that data type are stored; `None` where they are not plain numbers.
fn number(datatype: &Datatype) -> Option<Number> {
    match datatype {
        Datatype::FixedPoint { size, signed, .. } if [1, 2, 4, 8].contains(size) => {
            Some(Number::Integer {
                bytes: *size,
                signed: *signed,
            })
        }
        Datatype::FloatingPoint { size: 4, .. } => Some(Number::Float32),
        Datatype::FloatingPoint { size: 8, .. } => Some(Number::Float64),
        Datatype::Enum { base, .. } => {
            matches!(**base, Datatype::FixedPoint { size: 1, .. }).then_some(Number::Bool)
        }
        _ => None,
    }
}

/// The byte order of plain numbers.
fn byte_order(datatype: &Datatype) -> Option<ByteOrder> {
    match datatype {
        Datatype::FixedPoint { byte_order, .. } | Datatype::FloatingPoint { byte_order, .. } => {
            Some(*byte_order)
        }
        Datatype::Enum { base, .. } => byte_order(base),
        _ => None,
    }
}

/// `None` if the object does not exist, else the error.
fn absent<T>(error: ReaderError) -> Result<Option<T>, Error> {
    match error {
        ReaderError::GroupNotFound(_) | ReaderError::DatasetNotFound(_) => Ok(None),
        other => Err(translate(other)),
    }
}

/// Sorts the library's errors into ours by what the user can do about them.
fn translate(error: ReaderError) -> Error {
    match error {
        ReaderError::Context { source, .. } => translate(*source),
        ReaderError::Io(error) => Error::Io(error),
        ReaderError::InvalidMagic => Error::NotHdf5,
        ReaderError::UnsupportedFilter(filter) => {
            Error::Unsupported(format!("HDF5 compression ({filter})"))
        }
        ReaderError::UnsupportedEncoding(encoding) => {
            Error::Unsupported(format!("the HDF5 encoding {encoding}"))
        }
        other => Error::Damaged(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
