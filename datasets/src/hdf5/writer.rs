//! Writing HDF5 files as h5py writes them.

use std::path::Path;

use rtg_envs::Dtype;
use rust_hdf5::format::messages::datatype::{DatatypeMessage, EnumMember};
use rust_hdf5::types::HBool;
use rust_hdf5::{H5Dataset, H5File, H5Group};

use crate::Error;
use crate::recording::{Array, Attribute, Node, dtype_size};

/// A chunk has about this many bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// A file being written; [`Writer::close`] completes it.
pub(crate) struct Writer {
    /// `None` when it is closed.
    file: Option<H5File>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The library would write to stderr that an abandoned file cannot be completed.
        if let Some(file) = self.file.take() {
            let _ = file.close_no_sync();
        }
    }
}

/// A group of a file being written.
pub(crate) struct WriterGroup {
    group: H5Group,
}

impl Writer {
    /// Creates a file.
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        let file = H5File::create(path).map_err(failed)?;
        Ok(Self { file: Some(file) })
    }

    /// The root group.
    pub(crate) fn root(&self) -> Result<WriterGroup, Error> {
        let file = self.file.as_ref();
        let file = file.ok_or_else(|| Error::Writing("the file is closed".into()))?;
        Ok(WriterGroup {
            group: file.root_group(),
        })
    }

    /// Completes the file. The caller syncs it to the disk with the rest of the dataset.
    pub(crate) fn close(mut self) -> Result<(), Error> {
        match self.file.take() {
            Some(file) => file.close_no_sync().map_err(failed),
            None => Ok(()),
        }
    }
}

impl WriterGroup {
    /// Creates a group in this one.
    pub(crate) fn create_group(&self, name: &str) -> Result<Self, Error> {
        let group = self.group.create_group(name).map_err(failed)?;
        Ok(Self { group })
    }

    /// Writes a column or a tree of them: dicts become groups, tuples groups of `_index_0` ...
    pub(crate) fn write(&self, name: &str, node: &Node) -> Result<(), Error> {
        match node {
            Node::Array(array) => self.write_array(name, array),
            Node::Text(texts) => {
                let texts: Option<Vec<&str>> = texts.iter().map(Option::as_deref).collect();
                let texts = texts.ok_or_else(|| {
                    Error::Unsupported(format!("writing a missing text of {name} to HDF5"))
                })?;
                self.group
                    .write_vlen_strings(name, &texts)
                    .map_err(failed)?;
                Ok(())
            }
            Node::Images(images) => self.write_images(name, images),
            Node::Dict(parts) => {
                let is_path = |name: &str| name.is_empty() || name.contains('/') || name == ".";
                if let Some((part, _)) = parts.iter().find(|(part, _)| is_path(part)) {
                    let text = format!("a part called '{part}', which HDF5 reads as a path");
                    return Err(Error::Writing(text));
                }
                let group = self.create_group(name)?;
                let mut write = parts.iter().map(|(name, part)| group.write(name, part));
                write.try_for_each(|written| written)
            }
            Node::Tuple(parts) => {
                let group = self.create_group(name)?;
                let mut write = parts
                    .iter()
                    .enumerate()
                    .map(|(index, part)| group.write(&format!("_index_{index}"), part));
                write.try_for_each(|written| written)
            }
        }
    }

    /// Writes an array.
    pub(crate) fn write_array(&self, name: &str, array: &Array) -> Result<(), Error> {
        let builder = self
            .group
            .new_dataset::<u8>()
            .datatype(datatype(array.dtype()));
        if array.shape().is_empty() {
            let dataset = builder.scalar().create(name).map_err(failed)?;
            return dataset.write_raw_bytes(array.bytes()).map_err(failed);
        }
        let dataset = builder.shape(array.shape()).create(name).map_err(failed)?;
        if array.numbers() == 0 {
            return Ok(());
        }
        dataset.write_raw_bytes(array.bytes()).map_err(failed)
    }

    /// Writes encoded images: rows of bytes, of variable length unless all have the same.
    fn write_images(&self, name: &str, images: &[Vec<u8>]) -> Result<(), Error> {
        let length = images.first().map_or(0, Vec::len);
        if images.iter().all(|image| image.len() == length) {
            let array = Array::new(Dtype::Uint8, vec![images.len(), length], images.concat())?;
            return self.write_array(name, &array);
        }
        let images: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        self.group.write_vlen_bytes(name, &images).map_err(failed)?;
        Ok(())
    }

    /// Sets an attribute; JSON becomes its text.
    pub(crate) fn set_attribute(&self, name: &str, value: &Attribute) -> Result<(), Error> {
        let set = match value {
            Attribute::Text(text) => self.group.set_attr_string(name, text),
            Attribute::Json(value) => self.group.set_attr_string(name, &crate::json::write(value)),
            Attribute::Array(array) if array.shape().is_empty() => {
                let datatype = datatype(array.dtype());
                self.group
                    .set_attr_typed(name, datatype, array.bytes().to_vec())
            }
            Attribute::Array(array) => return self.set_array(name, array),
        };
        set.map_err(failed)
    }

    fn set_array(&self, name: &str, array: &Array) -> Result<(), Error> {
        macro_rules! set {
            ($number:ty) => {{
                let (items, _) = array.bytes().as_chunks::<{ size_of::<$number>() }>();
                let numbers: Vec<_> = items
                    .iter()
                    .map(|&item| <$number>::from_le_bytes(item))
                    .collect();
                self.group
                    .set_attr_array_numeric_nd(name, &numbers, array.shape())
                    .map_err(failed)
            }};
        }
        match array.dtype() {
            Dtype::Bool => {
                let flags: Vec<HBool> = array.bytes().iter().map(|&byte| HBool(byte)).collect();
                let shape = array.shape();
                self.group
                    .set_attr_array_numeric_nd(name, &flags, shape)
                    .map_err(failed)
            }
            Dtype::Float16 => Err(Error::Unsupported(
                "an attribute of half-precision numbers".into(),
            )),
            Dtype::Float32 => set!(f32),
            Dtype::Float64 => set!(f64),
            Dtype::Int8 => set!(i8),
            Dtype::Int16 => set!(i16),
            Dtype::Int32 => set!(i32),
            Dtype::Int64 => set!(i64),
            Dtype::Uint8 => set!(u8),
            Dtype::Uint16 => set!(u16),
            Dtype::Uint32 => set!(u32),
            Dtype::Uint64 => set!(u64),
        }
    }
}

fn datatype(dtype: Dtype) -> DatatypeMessage {
    match dtype {
        // As h5py stores booleans.
        Dtype::Bool => {
            let member = |name: &str, value: u8| EnumMember {
                name: name.to_owned(),
                value: vec![value],
            };
            let members = vec![member("FALSE", 0), member("TRUE", 1)];
            DatatypeMessage::enumeration(DatatypeMessage::i8_type(), members)
        }
        Dtype::Float16 => DatatypeMessage::f16_type(),
        Dtype::Float32 => DatatypeMessage::f32_type(),
        Dtype::Float64 => DatatypeMessage::f64_type(),
        Dtype::Int8 => DatatypeMessage::i8_type(),
        Dtype::Int16 => DatatypeMessage::i16_type(),
        Dtype::Int32 => DatatypeMessage::i32_type(),
        Dtype::Int64 => DatatypeMessage::i64_type(),
        Dtype::Uint8 => DatatypeMessage::u8_type(),
        Dtype::Uint16 => DatatypeMessage::u16_type(),
        Dtype::Uint32 => DatatypeMessage::u32_type(),
        Dtype::Uint64 => DatatypeMessage::u64_type(),
    }
}

/// Maps the library's errors: those of the disk, or data that it cannot write.
fn failed(error: rust_hdf5::Hdf5Error) -> Error {
    match error {
        rust_hdf5::Hdf5Error::Io(error) => Error::Io(error),
        other => Error::Writing(other.to_string()),
    }
}

/// A column that grows by rows and is compressed chunk by chunk.
pub(crate) struct ColumnWriter {
    dataset: H5Dataset,
    dtype: Dtype,
    row_shape: Vec<usize>,
    /// Bytes of a whole chunk.
    chunk_bytes: usize,
    chunks: usize,
    rows: usize,
    /// Rows that do not fill a chunk yet.
    pending: Vec<u8>,
}

impl WriterGroup {
    /// Creates a column without rows, compressed with gzip at that level.
    pub(crate) fn create_column(
        &self,
        name: &str,
        dtype: Dtype,
        row_shape: &[usize],
        level: u32,
    ) -> Result<ColumnWriter, Error> {
        let row = row_shape.iter().product::<usize>() * dtype_size(dtype);
        let rows = (CHUNK_BYTES / row.max(1)).max(1);
        let most: Vec<Option<usize>> = std::iter::once(None)
            .chain(row_shape.iter().map(|&size| Some(size)))
            .collect();
        let dataset = self
            .group
            .new_dataset::<u8>()
            .datatype(datatype(dtype))
            .shape([&[0], row_shape].concat())
            .chunk(&[&[rows], row_shape].concat())
            .max_shape(&most)
            .deflate(level)
            .create(name)
            .map_err(failed)?;
        Ok(ColumnWriter {
            dataset,
            dtype,
            row_shape: row_shape.to_vec(),
            chunk_bytes: rows * row,
            chunks: 0,
            rows: 0,
            pending: Vec::new(),
        })
    }

    /// Writes a text as D4RL does: one string of fixed length.
    pub(crate) fn write_text(&self, name: &str, text: &str) -> Result<(), Error> {
        // HDF5 has no strings of length 0.
        let bytes = if text.is_empty() {
            b"\0"
        } else {
            text.as_bytes()
        };
        let builder = self
            .group
            .new_dataset::<u8>()
            .datatype(DatatypeMessage::fixed_string_utf8(bytes.len() as u32));
        let dataset = builder.scalar().create(name).map_err(failed)?;
        dataset.write_raw_bytes(bytes).map_err(failed)
    }
}

impl ColumnWriter {
    /// Whether such rows fit the column.
    pub(crate) fn takes(&self, array: &Array) -> bool {
        array.dtype() == self.dtype && array.row_shape() == self.row_shape
    }

    /// Appends rows.
    pub(crate) fn append(&mut self, array: &Array) -> Result<(), Error> {
        if !self.takes(array) {
            return Err(Error::Shape {
                what: "a column of an episode".into(),
                found: array.shape().to_vec(),
                expected: format!("rows {:?} as in the episodes before", self.row_shape),
            });
        }
        self.rows += array.rows();
        self.pending.extend_from_slice(array.bytes());
        self.flush()
    }

    /// Appends rows of zeros until there are `rows`; returns how many were missing.
    pub(crate) fn pad(&mut self, rows: usize) -> Result<usize, Error> {
        let missing = rows.saturating_sub(self.rows);
        let row = self.row_shape.iter().product::<usize>() * dtype_size(self.dtype);
        self.pending.resize(self.pending.len() + missing * row, 0);
        self.rows += missing;
        self.flush()?;
        Ok(missing)
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.chunk_bytes == 0 {
            return Ok(());
        }
        let whole = self.pending.len() / self.chunk_bytes * self.chunk_bytes;
        for chunk in self.pending[..whole].chunks_exact(self.chunk_bytes) {
            self.dataset
                .write_chunk(self.chunks, chunk)
                .map_err(failed)?;
            self.chunks += 1;
        }
        self.pending.drain(..whole);
        Ok(())
    }

    /// Writes what is left and the final size.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        if !self.pending.is_empty() {
            self.pending.resize(self.chunk_bytes, 0);
            self.flush()?;
        }
        let shape = [&[self.rows], self.row_shape.as_slice()].concat();
        self.dataset.extend(&shape).map_err(failed)
    }
}
