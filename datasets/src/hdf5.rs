//! The HDF5 boundary: the only file that knows which library reads HDF5.
//!
//! The library is `hdf5-reader` 0.12.1 (pure Rust, no build script), pinned exactly. Four were
//! tried on real Minari and D4RL files; figures from one machine, two cores, files cached:
//!
//! | library | Minari, 1M steps in 1,000 / 10,000 episodes | D4RL, 1M rows, gzip | why (not) |
//! |---|---|---|---|
//! | h5py 3.16, the yardstick | 1.0 s / 9.0 s | 0.62 s | Python |
//! | `hdf5-reader` 0.12.1 | 0.27 s / 0.75 s | 0.95 s | reads all we need, numeric group attributes included |
//! | `rust-hdf5` 0.7.9 | - / 0.84 s | 0.45 s | cannot read numeric group attributes: no seeds |
//! | `hdf5-pure` 0.47.0 | - / 12 s | 0.5 s | quadratic in the number of groups |
//! | `hdf5-metno` 0.15.1 | - / 1.7 s | 0.5 s | needs a C compiler |
//!
//! Robustness: 160,000 mutated copies of four files (cut short, bytes overwritten, bits flipped;
//! old and new file format), built with overflow checks, gave no panic, no read above 0.05 s and
//! no allocation above the limits set here. Hence there is no `catch_unwind`; the test below
//! repeats a part of it on every run.
//!
//! The library's one open advisory is in its dependency `lru` 0.16 (RUSTSEC-2026-0253, unsound
//! `pop` when a key's destructor panics). Its keys are integers, and it does not call `pop`.
//! It reads neither LZF compression nor half-precision numbers; both end in a clear error.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use hdf5_reader::error::Error as ReaderError;
use hdf5_reader::group::Group as ReaderGroup;
use hdf5_reader::{Dataset as ReaderDataset, Datatype, Hdf5File, OpenOptions};

use crate::Error;

/// One chunk may decode to this much.
const MAX_CHUNK_BYTES: usize = 256 << 20;
/// A file may expand to this much, whatever its own size is ...
const EXPANSION_FLOOR: u64 = 256 << 20;
/// ... or to this many times its own size, counted as `f64` columns. Real files reach about 10.
const EXPANSION_FACTOR: u64 = 256;

/// An open HDF5 file.
pub(crate) struct File {
    file: Hdf5File,
    budget: Budget,
}

/// The bytes of `f64` columns that may still be read from a file. A small hostile file can
/// declare arrays of any size, since unwritten parts cost nothing on disk.
type Budget = Rc<Cell<u64>>;

/// A group of a file.
pub(crate) struct Group {
    group: ReaderGroup,
    path: String,
    budget: Budget,
}

/// A numeric array of a file, not yet read.
pub(crate) struct Array {
    dataset: ReaderDataset,
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
        let options = OpenOptions::default()
            .with_max_chunk_bytes(MAX_CHUNK_BYTES)
            .with_max_read_bytes(usize::try_from(budget).unwrap_or(usize::MAX));
        let file = Hdf5File::open_with_options(path, options).map_err(translate)?;
        Ok(Self { file, budget: Rc::new(Cell::new(budget)) })
    }

    /// The root group.
    pub(crate) fn root(&self) -> Result<Group, Error> {
        let group = self.file.root_group().map_err(translate)?;
        Ok(Group { group, path: String::new(), budget: Rc::clone(&self.budget) })
    }
}

impl Group {
    /// The group's path in the file, for messages; empty for the root.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The child group of that name, if there is one.
    pub(crate) fn group(&self, name: &str) -> Result<Option<Self>, Error> {
        let path = format!("{}/{name}", self.path);
        match self.group.group(name) {
            Ok(group) => Ok(Some(Self { group, path, budget: Rc::clone(&self.budget) })),
            Err(error) => absent(error),
        }
    }

    /// The child array of that name, if there is one. Text and compound arrays are errors.
    pub(crate) fn array(&self, name: &str) -> Result<Option<Array>, Error> {
        let path = format!("{}/{name}", self.path);
        match self.group.dataset(name) {
            Ok(dataset) => Array::new(dataset, path, &self.budget).map(Some),
            Err(error) => absent(error),
        }
    }

    /// The child array of that name, which the format requires.
    pub(crate) fn required_array(&self, name: &str) -> Result<Array, Error> {
        self.array(name)?.ok_or_else(|| Error::Missing(format!("{}/{name}", self.path)))
    }

    /// An unsigned attribute; negative numbers and other types count as absent.
    pub(crate) fn unsigned_attribute(&self, name: &str) -> Option<u64> {
        let attribute = self.group.attribute(name).ok()?;
        attribute
            .read_scalar::<u64>()
            .or_else(|_| attribute.read_scalar::<i64>().map(i64::cast_unsigned))
            .ok()
            .filter(|_| !is_negative(&attribute))
    }

    /// A text attribute; other types count as absent.
    pub(crate) fn text_attribute(&self, name: &str) -> Option<String> {
        self.group.attribute(name).ok()?.read_string().ok()
    }
}

fn is_negative(attribute: &hdf5_reader::Attribute) -> bool {
    attribute.read_scalar::<i64>().is_ok_and(i64::is_negative)
}

impl Array {
    fn new(dataset: ReaderDataset, path: String, budget: &Budget) -> Result<Self, Error> {
        let number = number(dataset.dtype())
            .ok_or_else(|| Error::Unsupported(format!("the data type of {path}")))?;
        let shape = dataset
            .shape()
            .iter()
            .map(|&size| usize::try_from(size))
            .collect::<Result<_, _>>()
            .map_err(|_| Error::Damaged(format!("{path} is larger than memory")))?;
        Ok(Self { dataset, number, shape, path, budget: Rc::clone(budget) })
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
        let too_large = || Error::Damaged(format!("{} claims to be larger than its file could hold", self.path));
        let numbers = self
            .shape
            .iter()
            .try_fold(1_usize, |product, &size| product.checked_mul(size))
            .ok_or_else(too_large)?;
        let left = (numbers as u64)
            .checked_mul(8)
            .and_then(|bytes| self.budget.get().checked_sub(bytes))
            .ok_or_else(too_large)?;
        self.budget.set(left);
        let bytes = self.dataset.read_native_bytes().map_err(translate)?;
        Ok(self.number.decode(&bytes))
    }
}

impl Number {
    /// Decodes native-endian bytes.
    fn decode(self, bytes: &[u8]) -> Vec<f64> {
        macro_rules! decode {
            ($number:ty) => {{
                let (chunks, _) = bytes.as_chunks::<{ size_of::<$number>() }>();
                chunks.iter().map(|&chunk| <$number>::from_ne_bytes(chunk) as f64).collect()
            }};
        }
        match self {
            Self::Bool => bytes.iter().map(|&byte| f64::from(u8::from(byte != 0))).collect(),
            Self::Float32 => decode!(f32),
            Self::Float64 => decode!(f64),
            Self::Integer { bytes: 1, signed: true } => decode!(i8),
            Self::Integer { bytes: 1, signed: false } => decode!(u8),
            Self::Integer { bytes: 2, signed: true } => decode!(i16),
            Self::Integer { bytes: 2, signed: false } => decode!(u16),
            Self::Integer { bytes: 4, signed: true } => decode!(i32),
            Self::Integer { bytes: 4, signed: false } => decode!(u32),
            Self::Integer { signed: true, .. } => decode!(i64),
            Self::Integer { signed: false, .. } => decode!(u64),
        }
    }
}

/// How numbers of that data type are stored; `None` where they are not plain numbers.
fn number(datatype: &Datatype) -> Option<Number> {
    match datatype {
        Datatype::FixedPoint { size, signed, .. } if [1, 2, 4, 8].contains(size) => {
            Some(Number::Integer { bytes: *size, signed: *signed })
        }
        Datatype::FloatingPoint { size: 4, .. } => Some(Number::Float32),
        Datatype::FloatingPoint { size: 8, .. } => Some(Number::Float64),
        Datatype::Enum { base, .. } => {
            matches!(**base, Datatype::FixedPoint { size: 1, .. }).then_some(Number::Bool)
        }
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
        ReaderError::UnsupportedFilter(filter) => Error::Unsupported(format!("the HDF5 filter {filter}")),
        ReaderError::UnsupportedEncoding(encoding) => Error::Unsupported(format!("the HDF5 encoding {encoding}")),
        other => Error::Damaged(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;
    use crate::{Defects, open_with};

    fn mutants(name: &str, each: usize) {
        let path = format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
        let original = fs::read(&path).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("main_data.hdf5");
        let metadata = Path::new(&path).with_file_name("metadata.json");
        if metadata.exists() {
            fs::copy(metadata, directory.path().join("metadata.json")).unwrap();
        }
        let mut state = 88_172_645_463_325_252_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let (mut opened, mut refused) = (0, 0);
        for round in 0..each {
            let mut bytes = original.clone();
            if round % 4 == 0 {
                bytes.truncate(random(original.len()));
            } else {
                for _ in 0..=random(8) {
                    let at = random(original.len());
                    bytes[at] = [0, 0xff, bytes[at] ^ (1 << random(8)), random(256) as u8][random(4)];
                }
            }
            fs::File::create(&copy).unwrap().write_all(&bytes).unwrap();
            // Whatever comes back, it comes back: no panic, no hang, no allocation without end.
            match open_with(copy.to_str().unwrap(), None, Defects::Keep) {
                Ok(dataset) => {
                    crate::doctor::examine(&dataset);
                    opened += 1;
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
        }
        assert!(opened > 0 && refused > each / 8, "{opened} opened, {refused} refused");
    }

    #[test]
    fn mutated_minari_files_end_in_data_or_an_error() {
        mutants("minari/tiny/cartpole-v0/data/main_data.hdf5", 1500);
    }

    #[test]
    fn mutated_d4rl_files_end_in_data_or_an_error() {
        mutants("d4rl/hopper_marked-v2.hdf5", 1500);
    }

    #[test]
    fn every_cut_of_a_file_is_refused_with_a_hint() {
        let path = format!("{}/fixtures/d4rl/hopper_marked-v2.hdf5", env!("CARGO_MANIFEST_DIR"));
        let original = fs::read(path).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("cut.hdf5");
        for length in (0..original.len()).step_by(97) {
            fs::write(&copy, &original[..length]).unwrap();
            let error = open_with(copy.to_str().unwrap(), None, Defects::Refuse).unwrap_err();
            assert!(error.hint().is_some(), "{length}: {error}");
        }
    }

    #[test]
    fn numbers_of_every_width_are_decoded() {
        let bytes = [255, 255, 0, 0, 0, 0, 0, 0];
        let integer = |bytes, signed| Number::Integer { bytes, signed };
        assert_eq!(integer(1, true).decode(&bytes[..2]), [-1.0, -1.0]);
        assert_eq!(integer(1, false).decode(&bytes[..2]), [255.0, 255.0]);
        assert_eq!(integer(2, true).decode(&bytes[..2]), [-1.0]);
        assert_eq!(integer(2, false).decode(&bytes[..2]), [65535.0]);
        assert_eq!(integer(4, true).decode(&7_i32.to_ne_bytes()), [7.0]);
        assert_eq!(integer(4, false).decode(&7_u32.to_ne_bytes()), [7.0]);
        assert_eq!(integer(8, true).decode(&(-7_i64).to_ne_bytes()), [-7.0]);
        assert_eq!(integer(8, false).decode(&7_u64.to_ne_bytes()), [7.0]);
        assert_eq!(Number::Float32.decode(&0.1_f32.to_ne_bytes()), [f64::from(0.1_f32)]);
        assert_eq!(Number::Float64.decode(&0.1_f64.to_ne_bytes()), [0.1]);
        assert_eq!(Number::Bool.decode(&[0, 1, 255]), [0.0, 1.0, 1.0]);
    }
}
