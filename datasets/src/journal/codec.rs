//! An episode as bytes.
//!
//! Each value begins with a byte that names its kind; lengths are `u64`, texts are UTF-8 with their
//! length before them.

use rtg_envs::Dtype;

use crate::Error;
use crate::recording::{Array, Attribute, Node, RecordedEpisode, dtype_name, dtype_named};

/// Trees nest no deeper than this.
const MAX_DEPTH: usize = 64;

pub(super) fn encode(episode: &RecordedEpisode) -> Vec<u8> {
    let mut out = Vec::new();
    node(&episode.observations, &mut out);
    node(&episode.actions, &mut out);
    array(&episode.rewards, &mut out);
    array(&Array::of_flags(&episode.terminations), &mut out);
    array(&Array::of_flags(&episode.truncations), &mut out);
    out.push(episode.infos.is_some().into());
    if let Some(infos) = &episode.infos {
        node(infos, &mut out);
    }
    out.push(episode.seed.is_some().into());
    out.extend(episode.seed.unwrap_or(0).to_le_bytes());
    length(episode.attributes.len(), &mut out);
    for (name, value) in &episode.attributes {
        bytes(name.as_bytes(), &mut out);
        match value {
            Attribute::Array(value) => {
                out.push(b'a');
                array(value, &mut out);
            }
            Attribute::Text(text) => {
                out.push(b't');
                bytes(text.as_bytes(), &mut out);
            }
            Attribute::Json(value) => {
                out.push(b'j');
                bytes(crate::json::write(value).as_bytes(), &mut out);
            }
        }
    }
    out
}

fn length(length: usize, out: &mut Vec<u8>) {
    out.extend((length as u64).to_le_bytes());
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn array(array: &Array, out: &mut Vec<u8>) {
    bytes(dtype_name(array.dtype()).as_bytes(), out);
    length(array.shape().len(), out);
    for &size in array.shape() {
        length(size, out);
    }
    bytes(array.bytes(), out);
}

fn node(tree: &Node, out: &mut Vec<u8>) {
    match tree {
        Node::Array(column) => {
            out.push(b'a');
            array(column, out);
        }
        Node::Text(texts) => {
            out.push(b't');
            length(texts.len(), out);
            for text in texts {
                out.push(text.is_some().into());
                bytes(text.as_deref().unwrap_or_default().as_bytes(), out);
            }
        }
        Node::Images(images) => {
            out.push(b'i');
            length(images.len(), out);
            for image in images {
                bytes(image, out);
            }
        }
        Node::Dict(parts) => {
            out.push(b'd');
            length(parts.len(), out);
            for (name, part) in parts {
                bytes(name.as_bytes(), out);
                node(part, out);
            }
        }
        Node::Tuple(parts) => {
            out.push(b'p');
            length(parts.len(), out);
            for part in parts {
                node(part, out);
            }
        }
    }
}

pub(super) fn decode(payload: &[u8]) -> Result<RecordedEpisode, Error> {
    let mut input = Input(payload);
    let flags = |array: Array| {
        array
            .bytes()
            .iter()
            .map(|&byte| byte != 0)
            .collect::<Vec<bool>>()
    };
    let observations = input.node(0)?;
    let actions = input.node(0)?;
    let rewards = input.array()?;
    let terminations = flags(input.array()?);
    let truncations = flags(input.array()?);
    let infos = if input.flag()? {
        Some(input.node(0)?)
    } else {
        None
    };
    let has_seed = input.flag()?;
    let seed = Some(input.number()?).filter(|_| has_seed);
    let count = input.length()?;
    let mut attributes = Vec::new();
    for _ in 0..count {
        let name = input.text()?;
        let value = match input.byte()? {
            b'a' => Attribute::Array(input.array()?),
            b't' => Attribute::Text(input.text()?),
            b'j' => Attribute::Json(crate::json::parse(&input.text()?)?),
            _ => return Err(damaged()),
        };
        attributes.push((name, value));
    }
    if !input.0.is_empty() {
        return Err(damaged());
    }
    Ok(RecordedEpisode {
        observations,
        actions,
        rewards,
        terminations,
        truncations,
        infos,
        seed,
        attributes,
    })
}

fn damaged() -> Error {
    Error::Damaged("an episode of the journal cannot be decoded".into())
}

/// What is left to decode.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    fn flag(&mut self) -> Result<bool, Error> {
        Ok(self.byte()? != 0)
    }

    fn number(&mut self) -> Result<u64, Error> {
        let bytes = self.take(8)?.first_chunk().ok_or_else(damaged)?;
        Ok(u64::from_le_bytes(*bytes))
    }

    fn length(&mut self) -> Result<usize, Error> {
        usize::try_from(self.number()?).map_err(|_| damaged())
    }

    fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<String, Error> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| damaged())
    }

    fn array(&mut self) -> Result<Array, Error> {
        let dtype: Dtype = dtype_named(&self.text()?).ok_or_else(damaged)?;
        let axes = self.length()?;
        let mut shape = Vec::new();
        for _ in 0..axes {
            shape.push(self.length()?);
        }
        Array::new(dtype, shape, self.bytes()?.to_vec())
    }

    fn node(&mut self, depth: usize) -> Result<Node, Error> {
        if depth > MAX_DEPTH {
            return Err(damaged());
        }
        let kind = self.byte()?;
        if kind == b'a' {
            return Ok(Node::Array(self.array()?));
        }
        let count = self.length()?;
        // Each item takes some bytes, so a false count ends in an error before memory does.
        Ok(match kind {
            b't' => {
                let mut texts = Vec::new();
                for _ in 0..count {
                    let there = self.flag()?;
                    let text = self.text()?;
                    texts.push(there.then_some(text));
                }
                Node::Text(texts)
            }
            b'i' => {
                let mut images = Vec::new();
                for _ in 0..count {
                    images.push(self.bytes()?.to_vec());
                }
                Node::Images(images)
            }
            b'd' => {
                let mut parts = Vec::new();
                for _ in 0..count {
                    let name = self.text()?;
                    parts.push((name, self.node(depth + 1)?));
                }
                Node::Dict(parts)
            }
            b'p' => {
                let mut parts = Vec::new();
                for _ in 0..count {
                    parts.push(self.node(depth + 1)?);
                }
                Node::Tuple(parts)
            }
            _ => return Err(damaged()),
        })
    }
}
