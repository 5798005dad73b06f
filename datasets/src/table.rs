//! The Arrow boundary: only these files know which libraries read and write Arrow and Parquet.
//!
//! They are the pure-Rust `arrow-*` and `parquet` crates of the Apache project, without any
//! compression that needs a C compiler. A file is one episode, so a [`Table`] is read as a whole;
//! an Arrow file is not even copied, its arrays refer to the file's bytes.
//!
//! Both libraries may panic on damaged files, in places where they trust a length or a type. That
//! is caught here, the one place where a panic becomes an error.

mod arrays;
pub mod columns;
mod headers;
mod nodes;
mod thrift;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{FileDecoder, read_footer_length};
use arrow_ipc::writer::FileWriter;
use arrow_ipc::{Block, root_as_footer};
use arrow_schema::{ArrowError, Field, FieldRef, Fields, Schema};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;

use crate::recording::{Layout, Node};
use crate::{Budget, Contents, Error, input};

/// A number of 64 bits, and its offset in its list.
const VALUE_BYTES: u64 = 12;
/// The limit of bytes for a batch of texts.
const BATCH_BYTES: u64 = 32 << 20;

/// Rows, and the names of all columns of their file.
type Columns = (Vec<RecordBatch>, Vec<String>);

/// The two file formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableFormat {
    /// Arrow's IPC file format.
    Arrow,
    /// Parquet, compressed with Snappy.
    Parquet,
}

/// The rows of a file by column.
pub(crate) struct Table {
    batches: Vec<RecordBatch>,
    rows: usize,
    names: Vec<String>,
    budget: Budget,
}

impl Table {
    /// Reads a file. Without infos their column is skipped.
    pub(crate) fn read(
        path: &Path,
        format: TableFormat,
        contents: Contents,
        budget: &Budget,
    ) -> Result<Self, Error> {
        let wanted = |name: &str| contents == Contents::Everything || name != "infos";
        Self::read_columns(path, format, &wanted, budget)
    }

    /// Reads the wanted columns of a file.
    pub(crate) fn read_columns(
        path: &Path,
        format: TableFormat,
        wanted: &dyn Fn(&str) -> bool,
        budget: &Budget,
    ) -> Result<Self, Error> {
        let (batches, names) = guarded(|| match format {
            TableFormat::Arrow => read_arrow(path, budget),
            TableFormat::Parquet => read_parquet(path, wanted, budget),
        })?;
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        Ok(Self {
            batches,
            rows,
            names,
            budget: budget.clone(),
        })
    }

    /// The names of all columns, whether they were read or not.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The first `rows` rows of a column; `None` if there is no such column.
    pub(crate) fn node(
        &self,
        name: &str,
        rows: usize,
        layout: Option<&Layout>,
    ) -> Result<Option<Node>, Error> {
        let mut parts: Vec<(ArrayRef, FieldRef)> = Vec::new();
        let mut left = rows;
        for batch in &self.batches {
            let Ok(index) = batch.schema_ref().index_of(name) else {
                return Ok(None);
            };
            let column = batch.column(index);
            let taken = left.min(column.len());
            parts.push((
                column.slice(0, taken),
                Arc::clone(&batch.schema_ref().fields()[index]),
            ));
            left -= taken;
        }
        let mut node: Option<Node> = None;
        for (column, field) in parts {
            let part = guarded(|| nodes::node(&column, &field, layout, name, &self.budget))?;
            match &mut node {
                None => node = Some(part),
                Some(node) => node.extend(part)?,
            }
        }
        Ok(node)
    }
}

/// Columns to be written as one file.
#[derive(Default)]
pub(crate) struct TableWriter {
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

impl TableWriter {
    /// Adds a column, padded with zeros or nulls to `rows` rows.
    pub(crate) fn push(
        &mut self,
        name: &str,
        node: &Node,
        layout: Option<&Layout>,
        rows: usize,
    ) -> Result<(), Error> {
        let (array, field) = arrays::array(name, node, layout, rows)?;
        self.fields.push(field);
        self.columns.push(array);
        Ok(())
    }

    /// Writes the file. The caller syncs it to the disk with the rest of the dataset.
    pub(crate) fn write(self, path: &Path, format: TableFormat) -> Result<(), Error> {
        let schema = Arc::new(Schema::new(Fields::from(self.fields)));
        let batch =
            RecordBatch::try_new(Arc::clone(&schema), self.columns).map_err(arrow_failed)?;
        let file = File::create(path)?;
        match format {
            TableFormat::Arrow => {
                let mut writer = FileWriter::try_new(&file, &schema).map_err(arrow_failed)?;
                writer.write(&batch).map_err(arrow_failed)?;
                writer.finish().map_err(arrow_failed)?;
            }
            TableFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .build();
                let mut writer = ArrowWriter::try_new(&file, schema, Some(properties))
                    .map_err(parquet_failed)?;
                writer.write(&batch).map_err(parquet_failed)?;
                writer.close().map_err(parquet_failed)?;
            }
        }
        Ok(())
    }
}

fn read_arrow(path: &Path, budget: &Budget) -> Result<Columns, Error> {
    const MAGIC: &[u8] = b"ARROW1";
    const TAIL: usize = 10;
    let bytes = Buffer::from_vec(input::read(path, budget)?);
    let cut_short = || Error::Damaged("the Arrow file is cut short".into());
    if !bytes.starts_with(MAGIC) {
        return Err(Error::Damaged("it is not an Arrow file".into()));
    }
    let footer_end = bytes.len().checked_sub(TAIL).ok_or_else(cut_short)?;
    let tail = bytes[footer_end..]
        .first_chunk::<TAIL>()
        .ok_or_else(cut_short)?;
    let footer_length = read_footer_length(*tail).map_err(|_| cut_short())?;
    let footer_start = footer_end
        .checked_sub(footer_length)
        .ok_or_else(cut_short)?;
    let footer = root_as_footer(&bytes[footer_start..footer_end]).map_err(|_| cut_short())?;
    let schema = footer.schema().ok_or_else(cut_short)?;
    let mut decoder = FileDecoder::new(
        Arc::new(try_fb_to_schema(schema).map_err(arrow_failed)?),
        footer.version(),
    );
    let block = |block: &Block| {
        let length = u64::try_from(block.metaDataLength()).ok()?;
        let length = length.checked_add(u64::try_from(block.bodyLength()).ok()?)?;
        let offset = usize::try_from(block.offset()).ok()?;
        let length = usize::try_from(length).ok()?;
        let fits = offset
            .checked_add(length)
            .is_some_and(|end| end <= bytes.len());
        fits.then(|| bytes.slice_with_length(offset, length))
    };
    for dictionary in footer.dictionaries().iter().flatten() {
        let data = block(dictionary).ok_or_else(cut_short)?;
        decoder
            .read_dictionary(dictionary, &data)
            .map_err(arrow_failed)?;
    }
    let mut batches = Vec::new();
    for batch in footer.recordBatches().iter().flatten() {
        let data = block(batch).ok_or_else(cut_short)?;
        batches.extend(
            decoder
                .read_record_batch(batch, &data)
                .map_err(arrow_failed)?,
        );
    }
    let schema = batches.first().map(RecordBatch::schema);
    let names = schema.map_or_else(Vec::new, |schema| names_of(&schema));
    Ok((batches, names))
}

fn names_of(schema: &Schema) -> Vec<String> {
    schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect()
}

fn read_parquet(
    path: &Path,
    is_wanted: &dyn Fn(&str) -> bool,
    budget: &Budget,
) -> Result<Columns, Error> {
    let (file, bytes) = input::open(path, budget)?;
    let file = thrift::Checked::new(file, bytes).map_err(parquet_failed)?;
    let options = ArrowReaderOptions::new();
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
        .map_err(parquet_failed)?;
    let names = names_of(builder.schema());
    let schema = builder.parquet_schema();
    let fields = schema.root_schema().get_fields();
    let wanted = (0..fields.len()).filter(|&index| is_wanted(fields[index].name()));
    let mask = ProjectionMask::roots(schema, wanted);
    budget.look_at(schema.num_columns(), "the table")?;
    let largest_text = charge(builder.metadata(), &mask, budget)?;
    let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    // A dictionary repeats its texts for free: rows are read a few at a time, and are charged.
    let batch = match largest_text {
        0 => rows.max(1),
        text => usize::try_from(BATCH_BYTES / text)
            .unwrap_or(1)
            .clamp(1, rows.max(1)),
    };
    let reader = builder
        .with_projection(mask)
        .with_batch_size(batch)
        .build()
        .map_err(parquet_failed)?;
    let mut batches = Vec::new();
    for batch in reader {
        let batch = batch.map_err(arrow_failed)?;
        if largest_text > 0 {
            budget.take(batch.get_array_memory_size() as u64, "the table")?;
        }
        batches.push(batch);
    }
    Ok((batches, names))
}

/// Charges the numbers that the columns claim; returns the most that a text or an image can take, 0
/// where there are none.
fn charge(
    metadata: &ParquetMetaData,
    mask: &ProjectionMask,
    budget: &Budget,
) -> Result<u64, Error> {
    let mut largest_text = 0;
    for group in metadata.row_groups() {
        for (index, column) in group.columns().iter().enumerate() {
            if !mask.leaf_included(index) {
                continue;
            }
            let size = |bytes: i64| u64::try_from(bytes).unwrap_or(u64::MAX);
            let values = size(column.num_values());
            budget.take(values.saturating_mul(VALUE_BYTES), "the table")?;
            if column.column_type() == Type::BYTE_ARRAY {
                largest_text = size(column.uncompressed_size()).max(largest_text).max(1);
            }
        }
    }
    Ok(largest_text)
}

/// Turns a library's panic into an error, and keeps it from writing to stderr.
fn guarded<T>(read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    crate::quiet::catch(read)
        .unwrap_or_else(|| Err(Error::Damaged("the library cannot read the table".into())))
}

fn arrow_failed(error: ArrowError) -> Error {
    match error {
        ArrowError::IoError(_, error) => Error::Io(error),
        ArrowError::NotYetImplemented(what) => Error::Unsupported(what),
        other => Error::Damaged(other.to_string()),
    }
}

fn parquet_failed(error: ParquetError) -> Error {
    match error {
        ParquetError::NYI(what) => Error::Unsupported(what),
        ParquetError::External(error) => Error::Damaged(error.to_string()),
        other => Error::Damaged(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
