//! The HDF5 boundary: only these files know which libraries read and write HDF5.
//!
//! The reader is `hdf5-reader` 0.12.1, the writer (`writer.rs`) `rust-hdf5` 0.7.9; both are pure
//! Rust without a build script and pinned exactly. The one writes nothing, the other cannot read
//! numeric attributes of groups, where Minari keeps its seeds. Seconds to
//! read a file of 1M steps, cached, two cores; the first two rows were measured within one hour on
//! one machine, the others in an earlier trial on a machine of the same kind:
//!
//! | library | Minari, 1,000 / 10,000 episodes | D4RL, gzip | |
//! |---|---|---|---|
//! | h5py 3.16 | 0.96 / 9.0 | 0.57 to 0.60 | the yardstick |
//! | `hdf5-reader` 0.12.1, through [`Variable::read`] | 0.18 / 0.90 | 0.61 | numeric group attributes too |
//! | `rust-hdf5` 0.7.9 | - / 0.84 | 0.45 | no numeric group attributes, so no seeds |
//! | `hdf5-pure` 0.47.0 | - / 12 | 0.38 to 0.58 | quadratic in the number of groups |
//! | `hdf5-metno` 0.15.1 | - / 1.65 | 0.46 to 0.49 | needs a C compiler |
//!
//! Robustness: what a file claims is not believed. A column outside chunks must lie within the
//! file; chunks must come in order and complete, and memory is taken for those that have come; a
//! budget bounds what the whole file may expand to. The reader itself makes room for as many header
//! messages as a 16-bit count claims, 9.4 MB at the most. `examples/fuzz.rs` mutates every fixture
//! and counts what is allocated.
//!
//! The reader reaches for `lru` 0.16, which has an advisory (RUSTSEC-2026-0253, unsound). What
//! `lru` mended since then is panic safety in `pop`; the library does not call it, and its keys
//! are integers, whose destructors cannot panic. It does not read LZF compression, which ends in a
//! clear error.

mod attribute;
mod chunks;
pub(crate) mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hdf5_reader::error::Error as ReaderError;
use hdf5_reader::group::Group as ReaderGroup;
use hdf5_reader::messages::datatype::{StringSize, VarLenKind};
use hdf5_reader::{ByteOrder, Dataset as ReaderDataset, Datatype, Hdf5File, OpenOptions};
use rtg_envs::Dtype;

use crate::Error;
use crate::recording::{Array, Node, dtype_size, product};

/// One chunk may decode to this much.
const MAX_CHUNK_BYTES: u64 = 256 << 20;
/// Deflate cannot expand more than this.
const MAX_INFLATION: u64 = 1032;
/// A file may expand to this much, whatever its own size is ...
const EXPANSION_FLOOR: u64 = 256 << 20;
/// ... or to this many times its own size. Real files reach about 10.
const EXPANSION_FACTOR: u64 = 256;

/// An open HDF5 file.
pub(crate) struct File {
    reader: Hdf5File,
    limits: Limits,
}

/// What may be read from a file. A small hostile file can declare arrays of any size, since
/// unwritten parts cost nothing on disk.
#[derive(Clone)]
struct Limits {
    /// The file's own size.
    file: u64,
    /// The bytes that may still be read.
    budget: Arc<AtomicU64>,
}

/// A group of a file.
pub(crate) struct Group {
    reader: ReaderGroup,
    path: String,
    limits: Limits,
}

/// A numeric array of a file, not yet read.
pub(crate) struct Variable {
    reader: ReaderDataset,
    dtype: Dtype,
    shape: Vec<usize>,
    path: String,
    limits: Limits,
}

impl Limits {
    /// Counts bytes against what the file may expand to.
    fn charge(&self, bytes: Option<u64>, path: &str) -> Result<(), Error> {
        let take = |left: u64| left.checked_sub(bytes?);
        self.budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .map(|_| ())
            .map_err(|_| overclaims(path))
    }
}

fn overclaims(path: &str) -> Error {
    Error::Damaged(format!("{path} claims more than its file could hold"))
}

impl File {
    /// Opens a file. Nothing is read but its first bytes.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = std::fs::metadata(path)?.len();
        let budget = EXPANSION_FLOOR.max(file.saturating_mul(EXPANSION_FACTOR));
        let limit = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        // Each chunk is read once, so caching them would cost and bring nothing.
        let options = OpenOptions::default()
            .with_chunk_cache_bytes(0)
            .with_max_chunk_bytes(limit(
                MAX_CHUNK_BYTES.min(file.saturating_mul(MAX_INFLATION)),
            ))
            .with_max_read_bytes(limit(budget));
        let reader = Hdf5File::open_with_options(path, options).map_err(translate)?;
        let expected = reader.superblock().eof_address;
        if file < expected {
            return Err(Error::Damaged(format!(
                "it has {file} of its {expected} bytes"
            )));
        }
        Ok(Self {
            reader,
            limits: Limits {
                file,
                budget: Arc::new(AtomicU64::new(budget)),
            },
        })
    }

    /// The root group.
    pub(crate) fn root(&self) -> Result<Group, Error> {
        let reader = self.reader.root_group().map_err(translate)?;
        Ok(Group {
            reader,
            path: String::new(),
            limits: self.limits.clone(),
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
                limits: self.limits.clone(),
            })),
            Err(error) => absent(error),
        }
    }

    /// Whether there is a group or an array of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.reader.dataset(name).is_ok() || self.reader.group(name).is_ok()
    }

    /// The child array of that name, if there is one. Text and compound arrays are errors.
    pub(crate) fn array(&self, name: &str) -> Result<Option<Variable>, Error> {
        let path = format!("{}/{name}", self.path);
        match self.reader.dataset(name) {
            Ok(dataset) => Variable::new(dataset, path, &self.limits).map(Some),
            Err(error) => absent(error),
        }
    }

    /// The child array of that name, which the format requires.
    pub(crate) fn required_array(&self, name: &str) -> Result<Variable, Error> {
        self.array(name)?
            .ok_or_else(|| Error::Missing(format!("{}/{name}", self.path)))
    }

    /// The names of all children that are groups or arrays, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, Error> {
        let (mut names, datasets) = self.reader.member_names().map_err(translate)?;
        names.extend(datasets);
        names.sort();
        Ok(names)
    }

    /// Whatever is under that name, read as a whole: groups become dicts.
    pub(crate) fn node(&self, name: &str) -> Result<Option<Node>, Error> {
        self.node_at(name, 0)
    }

    fn node_at(&self, name: &str, depth: usize) -> Result<Option<Node>, Error> {
        /// Groups of a recording nest no deeper than this; a damaged file may hold a circle.
        const MAX_DEPTH: usize = 32;
        let path = format!("{}/{name}", self.path);
        match self.reader.dataset(name) {
            Ok(dataset) => return leaf(dataset, path, &self.limits).map(Some),
            Err(error) => absent::<Node>(error)?,
        };
        let Some(group) = self.group(name)? else {
            return Ok(None);
        };
        if depth == MAX_DEPTH {
            return Err(Error::Damaged(format!("{path} is nested too deeply")));
        }
        let mut parts = Vec::new();
        for name in group.names()? {
            if let Some(part) = group.node_at(&name, depth + 1)? {
                parts.push((name, part));
            }
        }
        Ok(Some(Node::Dict(parts)))
    }

    /// The group's path, for messages.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

/// A dataset as a column.
fn leaf(reader: ReaderDataset, path: String, limits: &Limits) -> Result<Node, Error> {
    match reader.dtype() {
        Datatype::String {
            size: StringSize::Fixed(_),
            ..
        } => {
            let size = reader.raw_byte_len().map_err(translate)? as u64;
            if size > limits.file {
                return Err(overclaims(&path));
            }
            limits.charge(Some(size), &path)?;
            let texts = reader.read_strings().map_err(translate)?;
            Ok(Node::Text(texts.into_iter().map(Some).collect()))
        }
        Datatype::String { .. }
        | Datatype::VarLen {
            kind: VarLenKind::String,
            ..
        } => {
            let texts = bytes(&reader, &path, limits)?.into_iter().map(|item| {
                String::from_utf8(item)
                    .map(Some)
                    .map_err(|_| Error::Damaged(format!("a text of {path} is not UTF-8")))
            });
            Ok(Node::Text(texts.collect::<Result<_, _>>()?))
        }
        Datatype::VarLen { base, .. } if matches!(**base, Datatype::FixedPoint { size: 1, .. }) => {
            Ok(Node::Images(bytes(&reader, &path, limits)?))
        }
        _ => Ok(Node::Array(Variable::new(reader, path, limits)?.read()?)),
    }
}

/// The items of a dataset of variable length.
fn bytes(reader: &ReaderDataset, path: &str, limits: &Limits) -> Result<Vec<Vec<u8>>, Error> {
    let size = reader.raw_byte_len().map_err(translate)? as u64;
    if size > limits.file {
        return Err(overclaims(path));
    }
    limits.charge(Some(size), path)?;
    let references = reader.read_raw_bytes().map_err(translate)?;
    let mut items = Vec::new();
    // An item lies in the file once; a hostile file refers to it many times.
    let mut left = limits.file;
    for reference in references.chunks_exact(reader.vlen_reference_size()) {
        let length = reference
            .first_chunk()
            .map_or(0, |head| u32::from_le_bytes(*head));
        left = left
            .checked_sub(length.into())
            .ok_or_else(|| overclaims(path))?;
        let item = reader.resolve_vlen_reference_bytes(reference, 1);
        items.push(item.map_err(translate)?);
    }
    Ok(items)
}

impl Variable {
    fn new(reader: ReaderDataset, path: String, limits: &Limits) -> Result<Self, Error> {
        let dtype = dtype(reader.dtype())
            .ok_or_else(|| Error::Unsupported(format!("the data type of {path}")))?;
        let shape = reader
            .shape()
            .iter()
            .map(|&size| usize::try_from(size))
            .collect::<Result<_, _>>()
            .map_err(|_| Error::Damaged(format!("{path} is larger than memory")))?;
        Ok(Self {
            reader,
            dtype,
            shape,
            path,
            limits: limits.clone(),
        })
    }

    /// The sizes of the axes.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How the numbers are stored.
    pub(crate) fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The array's path in the file, for messages.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// All numbers.
    pub(crate) fn read(&self) -> Result<Array, Error> {
        let numbers =
            product(&self.shape).and_then(|numbers| numbers.checked_mul(dtype_size(self.dtype)));
        let total = numbers.ok_or_else(|| overclaims(&self.path))?;
        self.limits.charge(Some(total as u64), &self.path)?;
        let bytes = match self.reader.chunks() {
            Some(chunk) => self.read_chunks(&chunk, total)?,
            None if total as u64 > self.limits.file => return Err(overclaims(&self.path)),
            None => self.reader.read_native_bytes().map_err(translate)?,
        };
        Array::new(self.dtype, self.shape.clone(), bytes)
    }
}

/// The type of plain numbers; `None` for anything else.
fn dtype(datatype: &Datatype) -> Option<Dtype> {
    Some(match datatype {
        Datatype::FixedPoint { size, signed, .. } => match (size, signed) {
            (1, true) => Dtype::Int8,
            (1, false) => Dtype::Uint8,
            (2, true) => Dtype::Int16,
            (2, false) => Dtype::Uint16,
            (4, true) => Dtype::Int32,
            (4, false) => Dtype::Uint32,
            (8, true) => Dtype::Int64,
            (8, false) => Dtype::Uint64,
            _ => return None,
        },
        Datatype::FloatingPoint { size: 2, .. } => Dtype::Float16,
        Datatype::FloatingPoint { size: 4, .. } => Dtype::Float32,
        Datatype::FloatingPoint { size: 8, .. } => Dtype::Float64,
        // h5py's boolean is an enumeration over one byte.
        Datatype::Enum { base, .. } => match **base {
            Datatype::FixedPoint { size: 1, .. } => Dtype::Bool,
            _ => return None,
        },
        _ => return None,
    })
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
