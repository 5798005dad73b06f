//! The content of a file besides its standard columns.

use std::ops::Range;

use serde_json::Value;

use crate::hdf5::Group;
use crate::recording::{Attribute, Node};
use crate::{Budget, Error};

/// Other arrays and single values of a file.
#[derive(Default)]
pub(crate) struct Extras {
    /// Columns of as many rows as the observations.
    columns: Vec<(String, Node)>,
    /// Texts and single numbers by path.
    values: Vec<(String, Value)>,
    /// Paths of everything else.
    left_out: Vec<String>,
    /// Paths that are handled elsewhere.
    used: Vec<String>,
}

impl Extras {
    /// Reads everything but the columns `used`.
    pub(crate) fn read(
        root: &Group,
        rows: usize,
        used: &[String],
        budget: &Budget,
    ) -> Result<Self, Error> {
        let mut extras = Self {
            used: used.to_vec(),
            ..Self::default()
        };
        for name in root.names(budget)? {
            if used.contains(&name) {
                continue;
            }
            if name == "virtual" {
                extras.left_out.push(name);
                continue;
            }
            match root.node(&name, budget) {
                Ok(Some(node)) => extras.sort(&name, node, rows),
                Ok(None) => {}
                Err(Error::Unsupported(_)) => extras.left_out.push(name),
                Err(error) => return Err(error),
            }
        }
        Ok(extras)
    }

    /// Adds a value found at a path.
    pub(crate) fn sort(&mut self, path: &str, node: Node, rows: usize) {
        match node {
            Node::Dict(parts) if path == "infos" => {
                for (name, part) in parts {
                    self.column(&name, part, rows);
                }
            }
            node => self.column(path, node, rows),
        }
    }

    fn column(&mut self, path: &str, node: Node, rows: usize) {
        if self.used.iter().any(|used| used == path) {
            return;
        }
        match node {
            Node::Dict(parts) => {
                for (name, part) in parts {
                    self.column(&format!("{path}/{name}"), part, rows);
                }
            }
            Node::Array(array) if array.shape().first() == Some(&rows) => {
                self.columns.push((path.to_owned(), Node::Array(array)));
            }
            Node::Text(texts) if texts.len() == 1 => {
                let text = texts.into_iter().flatten().next();
                self.values.push((path.to_owned(), text.into()));
            }
            Node::Array(array) if array.numbers() == 1 => {
                let value = Attribute::Array(array).to_json();
                self.values.push((path.to_owned(), value));
            }
            _ => self.left_out.push(path.to_owned()),
        }
    }

    /// Entries for the metadata.
    pub(super) fn entries(&self) -> impl Iterator<Item = (String, Value)> + '_ {
        let named = |(path, value): &(String, Value)| (format!("d4rl/{path}"), value.clone());
        self.values.iter().map(named)
    }

    /// The rows of an episode as infos; `None` if there are no columns.
    pub(super) fn rows(&self, rows: Range<usize>) -> Result<Option<Node>, Error> {
        if self.columns.is_empty() {
            return Ok(None);
        }
        let mut infos = Node::Dict(Vec::new());
        for (path, column) in &self.columns {
            insert(&mut infos, path, column.slice(rows.clone())?);
        }
        Ok(Some(infos))
    }

    pub(super) fn left_out(&self) -> Vec<String> {
        self.left_out
            .iter()
            .map(|path| format!("{path} of the file"))
            .collect()
    }
}

/// Puts a column at a path of nested dicts.
fn insert(node: &mut Node, path: &str, column: Node) {
    let Node::Dict(parts) = node else {
        return;
    };
    let Some((first, rest)) = path.split_once('/') else {
        parts.push((path.to_owned(), column));
        return;
    };
    let at = parts
        .iter()
        .position(|(name, _)| name == first)
        .unwrap_or_else(|| {
            parts.push((first.to_owned(), Node::Dict(Vec::new())));
            parts.len() - 1
        });
    insert(&mut parts[at].1, rest, column);
}
