use rtg_envs::Dtype;

use super::*;
use crate::recording::Array;

fn nested(rows: usize) -> Node {
    let array = |dtype, shape: &[usize]| {
        let numbers: Vec<f64> = (0..shape.iter().product())
            .map(|i| (i % 2) as f64)
            .collect();
        Node::Array(Array::of(dtype, shape.to_vec(), &numbers))
    };
    Node::Dict(vec![
        ("fewer".into(), array(Dtype::Uint16, &[rows - 1, 2])),
        ("flags".into(), array(Dtype::Bool, &[rows, 3])),
        ("half".into(), array(Dtype::Float16, &[rows, 2, 2])),
        (
            "inner".into(),
            Node::Dict(vec![(
                "bytes".into(),
                Node::Images(vec![vec![1, 2], vec![]]),
            )]),
        ),
        ("number".into(), array(Dtype::Int64, &[rows])),
        ("single".into(), array(Dtype::Int8, &[])),
        ("text".into(), Node::Text(vec![Some("a".into()), None])),
    ])
}

#[test]
fn infos_of_every_kind_come_back_from_both_formats() {
    let directory = tempfile::tempdir().unwrap();
    for format in [TableFormat::Arrow, TableFormat::Parquet] {
        let path = directory.path().join("table");
        let mut writer = TableWriter::default();
        writer.push("infos", &nested(4), None, 4).unwrap();
        writer.write(&path, format).unwrap();
        let table = Table::read(&path, format, Contents::Everything, &Budget::default()).unwrap();
        assert_eq!(table.rows(), 4);
        assert_eq!(
            table.node("infos", 4, None).unwrap().unwrap(),
            nested(4),
            "{format:?}"
        );
        assert!(table.node("rewards", 4, None).unwrap().is_none());
    }
}

#[test]
fn more_rows_than_the_table_are_refused() {
    let mut writer = TableWriter::default();
    assert!(writer.push("infos", &nested(4), None, 3).is_err());
}

#[test]
fn a_cut_file_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    for format in [TableFormat::Arrow, TableFormat::Parquet] {
        let path = directory.path().join("table");
        let mut writer = TableWriter::default();
        writer.push("infos", &nested(4), None, 4).unwrap();
        writer.write(&path, format).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in (0..whole.len()).step_by(41) {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(
                Table::read(&path, format, Contents::Everything, &Budget::default()).is_err(),
                "{length} bytes"
            );
        }
    }
}

#[test]
fn a_footer_that_claims_more_than_it_holds_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table");
    // An unknown field, a list of 2^31 - 1 booleans without bytes: skipping it takes seconds.
    let footer = [0xf9, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0];
    let length = (footer.len() as u32).to_le_bytes();
    std::fs::write(&path, [b"PAR1", &footer[..], &length, b"PAR1"].concat()).unwrap();
    let read = Table::read(
        &path,
        TableFormat::Parquet,
        Contents::Everything,
        &Budget::default(),
    );
    let error = read.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("more elements than it has bytes"), "{error}");
}
