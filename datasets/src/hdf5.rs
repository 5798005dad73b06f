//! The HDF5 boundary: only these files know which libraries read and write HDF5.
//!
//! The reader is `hdf5-reader` 0.12.1, the writer (`writer.rs`) `rust-hdf5` 0.7.9; both are pure
//! Rust without a build script and pinned exactly. The first cannot write, the second cannot read
//! numeric attributes of groups, where Minari keeps its seeds. Seconds to read a file of 1M steps,
//! cached, two cores; the first two rows were measured within one hour on one machine, the others
//! in an earlier trial on a machine of the same kind:
//!
//! | library | Minari, 1,000 / 10,000 episodes | D4RL, gzip | |
//! |---|---|---|---|
//! | h5py 3.16 | 0.96 / 9.0 | 0.57 to 0.60 | the baseline |
//! | `hdf5-reader` 0.12.1, through [`Variable::read`] | 0.18 / 0.90 | 0.61 | numeric group attributes too |
//! | `rust-hdf5` 0.7.9 | - / 0.84 | 0.45 | no numeric group attributes, so no seeds |
//! | `hdf5-pure` 0.47.0 | - / 12 | 0.38 to 0.58 | quadratic in the number of groups |
//! | `hdf5-metno` 0.15.1 | - / 1.65 | 0.46 to 0.49 | needs a C compiler |
//!
//! Robustness: what a file claims is not trusted. Every array is charged to the
//! [`Budget`](crate::Budget) before memory is taken for it, and every group and array that is
//! visited counts, since many links can lead to the same one. Chunks that were never written are
//! filled as the file says. Links into other files are not followed: they are named in the error.
//! The reader allocates as many header messages as a 16-bit count claims, 9.4 MB at most.
//! `examples/fuzz.rs` mutates every fixture and counts what is allocated.
//!
//! The reader depends on `lru` 0.16, which has an advisory (RUSTSEC-2026-0253, unsound). What `lru`
//! fixed since then is panic safety in `pop`; the library does not call it, and its keys are
//! integers, whose destructors cannot panic. It does not read LZF compression, which ends in a
//! clear error.

mod attribute;
mod chunks;
pub(crate) mod writer;

use std::path::Path;
use std::sync::Arc;

use hdf5_reader::error::Error as ReaderError;
use hdf5_reader::group::Group as ReaderGroup;
use hdf5_reader::messages::datatype::{StringSize, VarLenKind};
use hdf5_reader::storage::FileStorage;
use hdf5_reader::{
    ByteOrder, Dataset as ReaderDataset, Datatype, ExternalLinkResolver, Hdf5File, OpenOptions,
};
use rtg_envs::Dtype;

use crate::budget::ITEM_BYTES;
use crate::recording::{Array, Node, dtype_size, product};
use crate::{Budget, Error, input};

/// How an HDF5 file begins, at its start or after a user block.
pub(crate) const SIGNATURE: [u8; 8] = [0x89, b'H', b'D', b'F', b'\r', b'\n', 0x1a, b'\n'];
/// The bytes charged for a group or array besides its numbers.
const PART_BYTES: u64 = 256;

/// An open HDF5 file.
pub(crate) struct File {
    reader: Hdf5File,
}

/// A group of a file.
pub(crate) struct Group {
    reader: ReaderGroup,
    path: String,
}

/// A numeric array of a file, not yet read.
pub(crate) struct Variable {
    reader: ReaderDataset,
    dtype: Dtype,
    shape: Vec<usize>,
    path: String,
}

/// Names links into other files instead of following them.
struct NoExternalLinks;

impl ExternalLinkResolver for NoExternalLinks {
    fn resolve_external_link(&self, file: &str) -> Result<Option<Hdf5File>, ReaderError> {
        let text = format!("an external link, into the file {file},");
        Err(std::io::Error::new(std::io::ErrorKind::Unsupported, text).into())
    }
}

impl File {
    /// Opens a file. Nothing is read but its first bytes.
    pub(crate) fn open(path: &Path, budget: &Budget) -> Result<Self, Error> {
        let (file, bytes) = input::open(path, budget)?;
        // Each chunk is read once, so caching them would cost memory for no benefit. The budget
        // limits chunks and reads.
        let options = OpenOptions::default()
            .with_chunk_cache_bytes(0)
            .with_max_chunk_bytes(usize::MAX)
            .with_max_read_bytes(usize::MAX)
            .with_external_link_resolver(Arc::new(NoExternalLinks));
        let storage = FileStorage::from_file(file).map_err(translate)?;
        let reader =
            Hdf5File::from_storage_with_options(Arc::new(storage), options).map_err(translate)?;
        let expected = reader.superblock().eof_address;
        if bytes < expected {
            return Err(Error::Damaged(format!(
                "it has {bytes} of its {expected} bytes"
            )));
        }
        Ok(Self { reader })
    }

    /// The root group.
    pub(crate) fn root(&self) -> Result<Group, Error> {
        let reader = self.reader.root_group().map_err(translate)?;
        Ok(Group {
            reader,
            path: String::new(),
        })
    }
}

/// Whether a file that begins differently has an HDF5 signature after a user block: at byte 512,
/// 1024, 2048 ...
pub(crate) fn has_user_block(file: &mut std::fs::File) -> std::io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let bytes = file.metadata()?.len();
    let mut at = 512;
    while at + SIGNATURE.len() as u64 <= bytes {
        let mut head = [0; SIGNATURE.len()];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut head)?;
        if head == SIGNATURE {
            return Ok(true);
        }
        at *= 2;
    }
    Ok(false)
}

impl Group {
    /// The child group of that name, if there is one.
    pub(crate) fn group(&self, name: &str) -> Result<Option<Self>, Error> {
        let path = format!("{}/{name}", self.path);
        match self.reader.group(name) {
            Ok(reader) => Ok(Some(Self { reader, path })),
            Err(error) => absent(error),
        }
    }

    /// The child array of that name, if there is one. Text and compound arrays are errors.
    pub(crate) fn array(&self, name: &str) -> Result<Option<Variable>, Error> {
        let path = format!("{}/{name}", self.path);
        match self.reader.dataset(name) {
            Ok(dataset) => Variable::new(dataset, path).map(Some),
            Err(error) => absent(error),
        }
    }

    /// The child array of that name, which the format requires.
    pub(crate) fn required_array(&self, name: &str) -> Result<Variable, Error> {
        self.array(name)?
            .ok_or_else(|| Error::Missing(format!("{}/{name}", self.path)))
    }

    /// The names of all children that are groups or arrays, sorted.
    pub(crate) fn names(&self, budget: &Budget) -> Result<Vec<String>, Error> {
        let (mut names, datasets) = self.reader.member_names().map_err(translate)?;
        names.extend(datasets);
        budget.take_items(&[names.len()], PART_BYTES as usize, &self.path)?;
        names.sort();
        Ok(names)
    }

    /// Everything under that name, read as a whole: groups become dicts.
    pub(crate) fn node(&self, name: &str, budget: &Budget) -> Result<Option<Node>, Error> {
        self.node_at(name, 0, budget)
    }

    fn node_at(&self, name: &str, depth: usize, budget: &Budget) -> Result<Option<Node>, Error> {
        /// Groups of a recording nest no deeper than this; a damaged file may contain a cycle.
        const MAX_DEPTH: usize = 32;
        let path = format!("{}/{name}", self.path);
        budget.look_at(1, self.path.split('/').nth(1).unwrap_or("the file"))?;
        budget.take(PART_BYTES, &path)?;
        match self.reader.dataset(name) {
            Ok(dataset) => return leaf(dataset, path, budget).map(Some),
            Err(error) => absent::<Node>(error)?,
        };
        let Some(group) = self.group(name)? else {
            return Ok(None);
        };
        if depth == MAX_DEPTH {
            return Err(Error::Damaged(format!("{path} is nested too deeply")));
        }
        let mut parts = Vec::new();
        for name in group.names(budget)? {
            if let Some(part) = group.node_at(&name, depth + 1, budget)? {
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
fn leaf(reader: ReaderDataset, path: String, budget: &Budget) -> Result<Node, Error> {
    match reader.dtype() {
        Datatype::String {
            size: StringSize::Fixed(_),
            ..
        } => {
            let size = reader.raw_byte_len().map_err(translate)? as u64;
            // The bytes, and the texts decoded from them.
            budget.take(size.saturating_mul(2), &path)?;
            budget.take_items(&reader_shape(&reader, &path)?, ITEM_BYTES, &path)?;
            let texts = reader.read_strings().map_err(translate)?;
            Ok(Node::Text(texts.into_iter().map(Some).collect()))
        }
        Datatype::String { .. }
        | Datatype::VarLen {
            kind: VarLenKind::String,
            ..
        } => {
            let texts = bytes(&reader, &path, budget)?.into_iter().map(|item| {
                String::from_utf8(item)
                    .map(Some)
                    .map_err(|_| Error::Damaged(format!("a text of {path} is not UTF-8")))
            });
            Ok(Node::Text(texts.collect::<Result<_, _>>()?))
        }
        Datatype::VarLen { base, .. } if matches!(**base, Datatype::FixedPoint { size: 1, .. }) => {
            Ok(Node::Images(bytes(&reader, &path, budget)?))
        }
        _ => Ok(Node::Array(Variable::new(reader, path)?.read(budget)?)),
    }
}

/// The items of a dataset of variable length.
fn bytes(reader: &ReaderDataset, path: &str, budget: &Budget) -> Result<Vec<Vec<u8>>, Error> {
    let size = reader.raw_byte_len().map_err(translate)? as u64;
    let count = size as usize / reader.vlen_reference_size();
    budget.take(size, path)?;
    budget.take_items(&[count], ITEM_BYTES, path)?;
    let references = reader.read_raw_bytes().map_err(translate)?;
    let references = references.chunks_exact(reader.vlen_reference_size());
    // A vector that grows by doubling would hold up to three times what was charged.
    let mut items = Vec::with_capacity(references.len());
    for reference in references {
        let length = reference
            .first_chunk()
            .map_or(0, |head| u32::from_le_bytes(*head));
        // A file may refer to the same item many times.
        budget.take(length.into(), path)?;
        let item = reader.resolve_vlen_reference_bytes(reference, 1);
        items.push(item.map_err(translate)?);
    }
    Ok(items)
}

/// The sizes of the axes.
fn reader_shape(reader: &ReaderDataset, path: &str) -> Result<Vec<usize>, Error> {
    let sizes = reader.shape().iter().map(|&size| usize::try_from(size));
    let shape = sizes.collect::<Result<_, _>>();
    shape.map_err(|_| Error::Damaged(format!("{path} is larger than memory")))
}

impl Variable {
    fn new(reader: ReaderDataset, path: String) -> Result<Self, Error> {
        let dtype = dtype(reader.dtype())
            .ok_or_else(|| Error::Unsupported(format!("the data type of {path}")))?;
        let shape = reader_shape(&reader, &path)?;
        Ok(Self {
            reader,
            dtype,
            shape,
            path,
        })
    }

    /// The sizes of the axes.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The array's path in the file, for messages.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// All numbers.
    pub(crate) fn read(&self, budget: &Budget) -> Result<Array, Error> {
        let numbers =
            product(&self.shape).and_then(|numbers| numbers.checked_mul(dtype_size(self.dtype)));
        let total = numbers.map_or(u64::MAX, |total| total as u64);
        budget.take(total, &self.path)?;
        let bytes = match (numbers, self.reader.chunks()) {
            (Some(total), Some(chunk)) => self.read_chunks(&chunk, total, budget)?,
            _ => self.reader.read_native_bytes().map_err(translate)?,
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

/// The layout of a dataset that is composed of others.
const VIRTUAL: u8 = 3;

/// Maps the library's errors to those of this crate, by the remedy.
fn translate(error: ReaderError) -> Error {
    match error {
        ReaderError::Context { source, .. } => translate(*source),
        ReaderError::Io(error) if error.kind() == std::io::ErrorKind::Unsupported => {
            Error::Unsupported(error.to_string())
        }
        ReaderError::Io(error) => Error::Io(error),
        ReaderError::UnsupportedLayoutClass(VIRTUAL) => {
            Error::Unsupported("a virtual dataset, which is stored in other files,".into())
        }
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
