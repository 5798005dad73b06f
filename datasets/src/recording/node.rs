//! A tree of columns: the values of a Dict, Tuple or plain space over the rows of an episode.

use super::Array;
use crate::Error;

/// A column of an episode, or named or numbered parts of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Numbers, one row a step.
    Array(Array),
    /// A text a step; `None` where the format stored none.
    Text(Vec<Option<String>>),
    /// An encoded image a step: the bytes of a JPEG file.
    Images(Vec<Vec<u8>>),
    /// Named parts.
    Dict(Vec<(String, Node)>),
    /// Numbered parts.
    Tuple(Vec<Node>),
}

impl Node {
    /// The rows of the first column in the tree; `None` if there is no column.
    pub fn rows(&self) -> Option<usize> {
        match self {
            Self::Array(array) => Some(array.rows()),
            Self::Text(texts) => Some(texts.len()),
            Self::Images(images) => Some(images.len()),
            Self::Dict(parts) => parts.iter().find_map(|(_, part)| part.rows()),
            Self::Tuple(parts) => parts.iter().find_map(Self::rows),
        }
    }

    /// The part at a path such as `robot/joints/0`: keys of dicts, indices of tuples.
    pub fn at(&self, path: &str) -> Option<&Self> {
        if path.is_empty() {
            return Some(self);
        }
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        match self {
            Self::Dict(parts) => parts.iter().find(|(name, _)| name == first)?.1.at(rest),
            Self::Tuple(parts) => parts.get(first.parse::<usize>().ok()?)?.at(rest),
            _ => None,
        }
    }

    /// The numbers, if this is an array.
    pub fn array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// All columns with their paths, in order.
    pub fn leaves(&self) -> Vec<(String, &Self)> {
        let mut leaves = Vec::new();
        self.collect("", &mut leaves);
        leaves
    }

    fn collect<'a>(&'a self, path: &str, leaves: &mut Vec<(String, &'a Self)>) {
        let join = |name: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}/{name}")
            }
        };
        match self {
            Self::Dict(parts) => {
                for (name, part) in parts {
                    part.collect(&join(name), leaves);
                }
            }
            Self::Tuple(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    part.collect(&join(&index.to_string()), leaves);
                }
            }
            leaf => leaves.push((path.to_owned(), leaf)),
        }
    }

    /// Appends the rows of a tree of the same form.
    pub(crate) fn extend(&mut self, other: Self) -> Result<(), Error> {
        match (self, other) {
            (Self::Array(own), Self::Array(other)) => own.extend(&other),
            (Self::Text(own), Self::Text(other)) => {
                own.extend(other);
                Ok(())
            }
            (Self::Images(own), Self::Images(other)) => {
                own.extend(other);
                Ok(())
            }
            (Self::Dict(own), Self::Dict(other)) if own.len() == other.len() => own
                .iter_mut()
                .zip(other)
                .try_for_each(|((_, own), (_, other))| own.extend(other)),
            (Self::Tuple(own), Self::Tuple(other)) if own.len() == other.len() => own
                .iter_mut()
                .zip(other)
                .try_for_each(|(own, other)| own.extend(other)),
            _ => Err(Error::Damaged(
                "the parts of a column differ in form".into(),
            )),
        }
    }

    /// The rows `range` of every column.
    pub(crate) fn slice(&self, range: std::ops::Range<usize>) -> Result<Self, Error> {
        let short = || Error::Shape {
            what: "a column of an episode".into(),
            found: vec![self.rows().unwrap_or(0)],
            expected: format!("at least {} rows", range.end),
        };
        Ok(match self {
            Self::Array(array) if array.shape().is_empty() || array.rows() < range.end => {
                return Err(short());
            }
            Self::Array(array) => Self::Array(array.slice(range)),
            Self::Text(texts) => Self::Text(texts.get(range.clone()).ok_or_else(short)?.to_vec()),
            Self::Images(images) => {
                Self::Images(images.get(range.clone()).ok_or_else(short)?.to_vec())
            }
            Self::Dict(parts) => {
                let parts = parts
                    .iter()
                    .map(|(name, part)| Ok((name.clone(), part.slice(range.clone())?)));
                Self::Dict(parts.collect::<Result<_, Error>>()?)
            }
            Self::Tuple(parts) => {
                let parts = parts.iter().map(|part| part.slice(range.clone()));
                Self::Tuple(parts.collect::<Result<_, Error>>()?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use rtg_envs::Dtype;

    use super::*;

    #[test]
    fn columns_are_reached_by_path_and_listed_in_order() {
        let numbers = |x: f64| Node::Array(Array::of(Dtype::Float32, vec![2, 1], &[x, x]));
        let tree = Node::Dict(vec![
            ("a".into(), Node::Tuple(vec![numbers(0.0), numbers(1.0)])),
            ("b".into(), Node::Text(vec![Some("x".into()), None])),
        ]);
        assert_eq!(tree.at("a/1"), Some(&numbers(1.0)));
        assert_eq!(tree.at(""), Some(&tree));
        for path in ["a/2", "a/x", "c", "b/0"] {
            assert_eq!(tree.at(path), None, "{path}");
        }
        let paths: Vec<_> = tree.leaves().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["a/0", "a/1", "b"]);
        assert_eq!(tree.rows(), Some(2));
        let cut = tree.slice(0..1).unwrap();
        assert_eq!(cut.at("b"), Some(&Node::Text(vec![Some("x".into())])));
        assert!(tree.slice(0..3).is_err());
    }
}
