//! Parquet files of a row a step: one, or a folder of them in `LeRobot`'s layout.
//!
//! Columns have the names of `flat/roles.rs`; lists are rows of numbers. A folder of `LeRobot`
//! (versions 2 and 3 of its layout) consists of `meta/info.json` and, below `data`, Parquet files
//! of one or several episodes each, distinguished by `episode_index`. Its videos are not read.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{FlatSource, columns, role};
use crate::recording::Node;
use crate::table::{Table, TableFormat};
use crate::{Budget, Contents, Error, json};

/// Folders below `data` nest no deeper than this.
const MAX_DEPTH: usize = 4;

/// How a Parquet file begins.
pub(crate) const MAGIC: &[u8] = b"PAR1";

/// Reads one file.
pub(crate) fn file(path: &Path, contents: Contents, budget: &Budget) -> Result<FlatSource, Error> {
    source(
        path,
        "Parquet file",
        &[path.to_path_buf()],
        contents,
        budget,
    )
}

/// Whether a folder has `LeRobot`'s layout.
pub(crate) fn is_robot(folder: &Path) -> bool {
    folder.join("meta/info.json").is_file()
}

/// Reads a folder in `LeRobot`'s layout.
pub(crate) fn robot(
    folder: &Path,
    contents: Contents,
    budget: &Budget,
) -> Result<FlatSource, Error> {
    let info = folder.join("meta/info.json");
    let info = json::read(&info, budget).map_err(|error| error.at(&info))?;
    let version = info
        .get("codebase_version")
        .and_then(Value::as_str)
        .unwrap_or("of no version");
    if !["v2.", "v3."]
        .iter()
        .any(|known| version.starts_with(known))
    {
        return Err(Error::Unsupported(format!("LeRobot's layout {version}")).at(folder));
    }
    let mut files = Vec::new();
    parquet_files(&folder.join("data"), 0, budget, &mut files)?;
    if files.is_empty() {
        return Err(Error::Missing("a Parquet file below data".into()).at(folder));
    }
    let mut source = source(folder, "LeRobot dataset", &files, contents, budget)?;
    if let Some(robot) = info.get("robot_type").and_then(Value::as_str) {
        source.set_entry("robot_type", robot);
    }
    Ok(source)
}

fn source(
    path: &Path,
    kind: &str,
    files: &[PathBuf],
    contents: Contents,
    budget: &Budget,
) -> Result<FlatSource, Error> {
    let mut named: Vec<(String, Node)> = Vec::new();
    let mut passed_over = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let mut read = || {
            // The table is freed when its columns have been taken out of it.
            let wanted = |name: &str| contents == Contents::Everything || is_wanted(name);
            let format = TableFormat::Parquet;
            let table = Table::read_columns(file, format, &wanted, &budget.fork())?;
            for name in table.names() {
                if !wanted(name) {
                    if index == 0 {
                        passed_over.push(name.clone());
                    }
                    continue;
                }
                let node = match table.node(name, table.rows(), None) {
                    Ok(Some(node)) => node,
                    Ok(None) => continue,
                    Err(Error::Unsupported(_)) if role(name).is_none() => {
                        passed_over.push(name.clone());
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                budget.take_items(&[table.rows()], bytes_of_row(&node), name)?;
                match named.iter_mut().find(|(known, _)| known == name) {
                    Some((_, known)) => known.extend(node)?,
                    None if index == 0 => named.push((name.clone(), node)),
                    None => {
                        return Err(Error::Missing(format!(
                            "the column {name} of an earlier file"
                        )));
                    }
                }
            }
            Ok(())
        };
        read().map_err(|error: Error| error.at(file))?;
    }
    let mut columns = columns(named, budget).map_err(|error| error.at(path))?;
    for name in passed_over {
        columns.marks.pass_over(&name);
    }
    let mut source =
        FlatSource::new(path, kind, columns, budget).map_err(|error| error.at(path))?;
    source.cut(None);
    Ok(source)
}

/// Whether a column belongs to the steps: by its name, or by that of its group.
fn is_wanted(name: &str) -> bool {
    let group = name.rsplit_once('_').map(|(group, _)| group);
    role(name).is_some() || group.is_some_and(|group| role(group).is_some())
}

fn bytes_of_row(node: &Node) -> usize {
    match node {
        Node::Array(array) => array.bytes().len() / array.rows().max(1),
        _ => 64,
    }
}

/// The Parquet files below a folder, in the order of their paths.
fn parquet_files(
    folder: &Path,
    depth: usize,
    budget: &Budget,
    files: &mut Vec<PathBuf>,
) -> Result<(), Error> {
    let list = || -> Result<Vec<PathBuf>, std::io::Error> {
        fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    };
    let mut entries = list().map_err(|error| Error::Io(error).at(folder))?;
    entries.sort();
    for path in entries {
        budget
            .take(256, "the list of files")
            .map_err(|error| error.at(folder))?;
        if path.is_dir() && depth < MAX_DEPTH {
            parquet_files(&path, depth + 1, budget, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "parquet")
        {
            files.push(path);
        }
    }
    Ok(())
}
