//! Plain columns as a Parquet file, for tables that are not datasets.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::{arrow_failed, parquet_failed};
use crate::Error;

/// The values of a column, one a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Strings.
    Text(Vec<String>),
    /// Whole numbers.
    Integer(Vec<i64>),
    /// Numbers that may be missing.
    Number(Vec<Option<f64>>),
    /// Booleans.
    Flag(Vec<bool>),
}

/// The bytes of a Parquet file with these named columns, compressed with Snappy.
///
/// # Errors
/// Columns of different lengths.
pub fn parquet(columns: Vec<(&str, Column)>) -> Result<Vec<u8>, Error> {
    let (mut fields, mut arrays): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for (name, column) in columns {
        let (array, kind): (ArrayRef, DataType) = match column {
            Column::Text(values) => (Arc::new(StringArray::from(values)), DataType::Utf8),
            Column::Integer(values) => (Arc::new(Int64Array::from(values)), DataType::Int64),
            Column::Number(values) => (Arc::new(Float64Array::from(values)), DataType::Float64),
            Column::Flag(values) => (Arc::new(BooleanArray::from(values)), DataType::Boolean),
        };
        fields.push(Field::new(name, kind, array.is_nullable()));
        arrays.push(array);
    }
    let schema = Arc::new(Schema::new(Fields::from(fields)));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(arrow_failed)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .build();
    let mut bytes = Vec::new();
    let mut writer =
        ArrowWriter::try_new(&mut bytes, schema, Some(properties)).map_err(parquet_failed)?;
    writer.write(&batch).map_err(parquet_failed)?;
    writer.close().map_err(parquet_failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::{Table, TableFormat};
    use super::*;
    use crate::Contents;

    #[test]
    fn columns_become_a_file_that_is_read_back() {
        let columns = vec![
            ("name", Column::Text(vec!["a".into(), "b".into()])),
            ("step", Column::Integer(vec![1, 2])),
            ("return", Column::Number(vec![Some(0.5), None])),
            ("last", Column::Flag(vec![false, true])),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("columns.parquet");
        std::fs::write(&path, parquet(columns).unwrap()).unwrap();
        let table = Table::read(
            &path,
            TableFormat::Parquet,
            Contents::Everything,
            &crate::Budget::default(),
        )
        .unwrap();
        assert_eq!(table.rows(), 2);
        let batch = &table.batches[0];
        let numbers = batch
            .column(2)
            .as_any()
            .downcast_ref::<Float64Array>()
            .unwrap();
        assert_eq!(numbers.iter().collect::<Vec<_>>(), [Some(0.5), None]);
        let names = batch
            .column(0)
            .as_any()
            .downcast_ref::<StringArray>()
            .unwrap();
        assert_eq!(names.value(1), "b");
    }

    #[test]
    fn columns_of_different_lengths_are_refused() {
        let columns = vec![
            ("a", Column::Integer(vec![1])),
            ("b", Column::Integer(vec![])),
        ];
        assert!(matches!(parquet(columns), Err(Error::Damaged(_))));
    }
}
