//! A safetensors file: which tensors it has, where they are, and its text.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::Error;
use crate::format::{CHECKSUM, ENTRY, VERSION, checksum};
use crate::json::{Json, NotJson};

/// What a file says, without its numbers.
pub(crate) struct File {
    /// Keys and values of the text.
    pub(crate) entries: Vec<(String, String)>,
    pub(crate) tensors: Vec<Tensor>,
}

/// A tensor's place.
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) element: Element,
    pub(crate) dimensions: Vec<usize>,
    /// The first of its bytes in the file.
    pub(crate) start: usize,
    /// How many numbers it has.
    pub(crate) count: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    F32,
    F64,
}

impl Element {
    fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

const HEADER: Error = Error::NotAPolicy {
    reason: "its header is not that of a safetensors file",
};

impl From<NotJson> for Error {
    fn from(_: NotJson) -> Self {
        HEADER
    }
}

impl File {
    /// Reads the header, and compares the checksum with all other bytes.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or(HEADER)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| HEADER)?;
        let (header, data) = rest.split_at_checked(length).ok_or(HEADER)?;
        let header = core::str::from_utf8(header).map_err(|_| HEADER)?;
        let (mut text, mut tensors) = (None, Vec::new());
        let mut json = Json::new(header);
        json.object(|json, name| {
            if name == "__metadata__" {
                return json.object(|json, name| {
                    let value = json.text()?;
                    if name == ENTRY {
                        text = Some(value);
                    }
                    Ok::<_, Error>(())
                });
            }
            tensors.push(tensor(json, name)?);
            Ok(())
        })?;
        json.end()?;
        let text = text.ok_or(Error::NotAPolicy {
            reason: "its metadata have no entry 'rtg-act'",
        })?;
        place(&mut tensors, data.len(), bytes.len() - data.len())?;
        let entries = entries(&text, data)?;
        Ok(Self { entries, tensors })
    }
}

/// A tensor as the header describes it; `start` counts from the first tensor's first byte.
fn tensor(json: &mut Json<'_>, name: String) -> Result<Tensor, Error> {
    let (mut element, mut dimensions, mut ends) = (None, None, Vec::new());
    json.object(|json, field| {
        match &*field {
            "dtype" => {
                element = match &*json.text()? {
                    "F32" => Some(Element::F32),
                    "F64" => Some(Element::F64),
                    _ => None,
                };
            }
            "shape" => {
                let mut sizes = Vec::new();
                json.list(|json| {
                    sizes.push(json.number()?);
                    Ok(())
                })?;
                dimensions = Some(sizes);
            }
            "data_offsets" => {
                ends.clear();
                json.list(|json| {
                    ends.push(json.number()?);
                    Ok(())
                })?;
            }
            _ => return Err(HEADER),
        }
        Ok(())
    })?;
    let (Some(element), Some(dimensions), &[start, end]) = (element, dimensions, &*ends) else {
        return Err(HEADER);
    };
    let count = dimensions
        .iter()
        .try_fold(1_usize, |count, size| count.checked_mul(*size));
    let count = count.ok_or(HEADER)?;
    if end.checked_sub(start) != count.checked_mul(element.bytes()) {
        return Err(HEADER);
    }
    Ok(Tensor {
        name,
        element,
        dimensions,
        start,
        count,
    })
}

/// Brings the tensors into the order of their bytes, which they have to fill without gaps, and
/// counts their places from the file's first byte, `before` bytes earlier.
fn place(tensors: &mut [Tensor], data: usize, before: usize) -> Result<(), Error> {
    tensors.sort_by_key(|tensor| (tensor.start, tensor.count));
    let mut end = 0;
    for tensor in &mut *tensors {
        if tensor.start != end {
            return Err(HEADER);
        }
        end += tensor.count * tensor.element.bytes();
        if end > data {
            return Err(HEADER);
        }
        tensor.start += before;
    }
    if end == data { Ok(()) } else { Err(HEADER) }
}

/// The lines of the text, once the version and the checksum are right.
fn entries(text: &str, data: &[u8]) -> Result<Vec<(String, String)>, Error> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let (key, value) = line.split_once(" = ").ok_or(Error::NotAPolicy {
            reason: "a line of its text is not 'key = value'",
        })?;
        entries.push((String::from(key), String::from(value)));
    }
    let found = |key: &str| {
        let found = entries.iter().find(|(known, _)| known == key);
        found.map_or("", |(_, value)| value)
    };
    if found("version") != VERSION {
        return Err(Error::Version {
            found: String::from(found("version")),
        });
    }
    let last = entries.last().filter(|(key, _)| key == CHECKSUM);
    let lines = text
        .trim_end_matches('\n')
        .rfind('\n')
        .map_or(0, |end| end + 1);
    let crc = checksum(&[&text.as_bytes()[..lines], data]);
    match last {
        Some((_, value)) if *value == format!("{crc:08x}") => Ok(entries),
        _ => Err(Error::Checksum),
    }
}
