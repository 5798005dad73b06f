//! NumPy's own files: arrays in `.npy` format, several of them in an `.npz` archive.
//!
//! An archive of one row a step is read as flat columns: `observations`, `actions`, `rewards`,
//! `next_observations` if they are there, and those that mark where episodes end: `terminals`,
//! `timeouts`, `dones`, `episodes` (a number that changes from one to the next) and the like. All
//! names are in `flat/roles.rs`. Other arrays of a row a step become infos.

use std::io::{Read, Seek};
use std::path::Path;

use rtg_envs::Dtype;
use zip::ZipArchive;

use crate::flat::{FlatSource, columns, role};
use crate::recording::{Array, Node, dtype_size, product};
use crate::{Budget, Contents, Error, input};

const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header that is read.
const MAX_HEADER_BYTES: usize = 1 << 16;
/// NumPy has no arrays of more axes.
const MAX_AXES: usize = 64;

/// Reads an `.npz` archive of flat columns.
pub(crate) fn source(
    path: &Path,
    contents: Contents,
    budget: &Budget,
) -> Result<FlatSource, Error> {
    let (file, _) = input::open(path, budget)?;
    let mut archive = Archive {
        zip: ZipArchive::new(std::io::BufReader::new(file)).map_err(failed)?,
        budget,
    };
    let mut named = Vec::new();
    let mut passed_over = Vec::new();
    for name in archive.names() {
        if contents == Contents::Steps && role(&name).is_none() {
            passed_over.push(name);
            continue;
        }
        budget.look_at(1, "the archive")?;
        named.push((name.clone(), Node::Array(archive.read(&name)?)));
    }
    let mut columns = columns(named, budget)?;
    for name in passed_over {
        columns.marks.pass_over(&name);
    }
    let mut source = FlatSource::new(path, "NumPy archive", columns, budget)?;
    source.cut(None);
    Ok(source)
}

struct Archive<'a, R> {
    zip: ZipArchive<R>,
    budget: &'a Budget,
}

impl<R: Read + Seek> Archive<'_, R> {
    fn names(&self) -> Vec<String> {
        let names = self.zip.file_names();
        let mut names: Vec<String> = names
            .filter_map(|name| name.ok()?.strip_suffix(".npy").map(str::to_owned))
            .collect();
        names.sort();
        names
    }

    fn read(&mut self, name: &str) -> Result<Array, Error> {
        let file = format!("{name}.npy");
        let entry = self.zip.by_name(&file).map_err(failed)?;
        let claimed = entry.size();
        // The file's bytes, and the array that is made of them.
        self.budget.take(claimed.saturating_mul(2), name)?;
        let mut bytes = Vec::new();
        entry.take(claimed).read_to_end(&mut bytes)?;
        parse(&bytes).map_err(|error| match error {
            Error::Unsupported(what) => Error::Unsupported(format!("{file} with {what}")),
            Error::Damaged(what) => Error::Damaged(format!("{file}: {what}")),
            error => error,
        })
    }
}

fn failed(error: zip::result::ZipError) -> Error {
    match error {
        zip::result::ZipError::Io(error) => Error::Io(error),
        zip::result::ZipError::UnsupportedArchive(what) => Error::Unsupported(what.to_owned()),
        other => Error::Damaged(other.to_string()),
    }
}

/// The array of an `.npy` file.
fn parse(bytes: &[u8]) -> Result<Array, Error> {
    let damaged = || Error::Damaged("an .npy file has a bad header".into());
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (version, rest) = rest.split_at_checked(2).ok_or_else(damaged)?;
    let width = if version[0] == 1 { 2 } else { 4 };
    let (length, rest) = rest.split_at_checked(width).ok_or_else(damaged)?;
    let length = length
        .iter()
        .rev()
        .fold(0_usize, |sum, &byte| (sum << 8) | usize::from(byte));
    if length > MAX_HEADER_BYTES {
        return Err(damaged());
    }
    let (header, data) = rest.split_at_checked(length).ok_or_else(damaged)?;
    let header = std::str::from_utf8(header).map_err(|_| damaged())?;
    // A Python dict of three entries, always written alike.
    let after = |key: &str| {
        Some(
            header
                .split_once(key)?
                .1
                .trim_start()
                .strip_prefix(':')?
                .trim_start(),
        )
    };
    let descr = after("'descr'").ok_or_else(damaged)?;
    let descr = descr
        .strip_prefix('\'')
        .and_then(|descr| descr.split_once('\''))
        .ok_or_else(|| Error::Unsupported("a type of several fields".into()))?
        .0;
    let is_fortran = after("'fortran_order'")
        .ok_or_else(damaged)?
        .starts_with("True");
    let shape = after("'shape'").and_then(|shape| shape.strip_prefix('('));
    let shape = shape
        .and_then(|shape| shape.split_once(')'))
        .ok_or_else(damaged)?
        .0;
    if shape.bytes().filter(|&byte| byte == b',').count() > MAX_AXES {
        return Err(Error::Damaged(format!(
            "an array of more than {MAX_AXES} axes"
        )));
    }
    let sizes = shape
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty());
    let shape: Vec<usize> = sizes
        .map(|size| size.parse().map_err(|_| damaged()))
        .collect::<Result<_, _>>()?;
    let element =
        Element::named(descr).ok_or_else(|| Error::Unsupported(format!("the type {descr}")))?;
    element.array(shape, data, is_fortran)
}

/// How NumPy stores a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) dtype: Dtype,
    pub(crate) is_big_endian: bool,
}

impl Element {
    /// The element type of a NumPy type string, such as `<f4`, `|b1` or `i8`.
    pub(crate) fn named(descr: &str) -> Option<Self> {
        let (is_big_endian, kind) = match descr.as_bytes().first()? {
            b'>' => (true, &descr[1..]),
            b'<' | b'|' | b'=' => (false, &descr[1..]),
            _ => (false, descr),
        };
        let dtype = match kind {
            "b1" => Dtype::Bool,
            "f2" => Dtype::Float16,
            "f4" => Dtype::Float32,
            "f8" => Dtype::Float64,
            "i1" => Dtype::Int8,
            "i2" => Dtype::Int16,
            "i4" => Dtype::Int32,
            "i8" => Dtype::Int64,
            "u1" => Dtype::Uint8,
            "u2" => Dtype::Uint16,
            "u4" => Dtype::Uint32,
            "u8" => Dtype::Uint64,
            _ => return None,
        };
        Some(Self {
            dtype,
            is_big_endian,
        })
    }

    /// An array of these bytes, in row-major order whatever order they have.
    pub(crate) fn array(
        self,
        shape: Vec<usize>,
        data: &[u8],
        is_fortran: bool,
    ) -> Result<Array, Error> {
        if shape.len() > MAX_AXES {
            return Err(Error::Damaged(format!("an array of {} axes", shape.len())));
        }
        let size = dtype_size(self.dtype);
        let total = product(&shape).and_then(|numbers| numbers.checked_mul(size));
        if total != Some(data.len()) {
            return Err(Error::Damaged(format!(
                "an array of shape {shape:?} has {} bytes",
                data.len()
            )));
        }
        let mut bytes = if is_fortran && shape.len() > 1 {
            row_major(&shape, data, size)
        } else {
            data.to_vec()
        };
        if self.is_big_endian {
            bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        Array::new(self.dtype, shape, bytes)
    }
}

/// The items of a column-major array in row-major order.
fn row_major(shape: &[usize], data: &[u8], size: usize) -> Vec<u8> {
    // The distance between consecutive items along each axis in the column-major data.
    let strides: Vec<usize> = shape
        .iter()
        .scan(1, |stride, &length| {
            Some(std::mem::replace(stride, *stride * length))
        })
        .collect();
    let mut bytes = Vec::with_capacity(data.len());
    for index in 0..data.len() / size {
        let (mut rest, mut from) = (index, 0);
        for (&length, stride) in shape.iter().zip(&strides).rev() {
            from += rest % length * stride;
            rest /= length;
        }
        bytes.extend_from_slice(&data[from * size..(from + 1) * size]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn arrays_are_read_in_either_order_of_axes_and_of_bytes() {
        let header = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }\n";
        let data = [0, 1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6];
        let array = parse(&npy(header, &data)).unwrap();
        assert_eq!((array.shape(), array.dtype()), (&[2, 3][..], Dtype::Int16));
        assert_eq!(array.to_f64(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let header = "{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }";
        assert_eq!(parse(&npy(header, &[1, 0])).unwrap().to_f64(), [1.0, 0.0]);
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (), }";
        assert_eq!(
            parse(&npy(header, &0.5_f64.to_le_bytes())).unwrap().shape(),
            [0; 0]
        );
    }

    #[test]
    fn bad_headers_are_errors() {
        for header in [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (9,), }",
            "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }",
            "{'fortran_order': False, 'shape': (1,), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (x,), }",
            "",
        ] {
            assert!(parse(&npy(header, &[0; 4])).is_err(), "{header}");
        }
        assert!(parse(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").is_err());
    }

    #[test]
    fn thousands_of_axes_are_refused_at_once() {
        let shape = format!("(100, 4, {})", "1, ".repeat(30_000));
        let header = format!("{{'descr': '<f4', 'fortran_order': True, 'shape': {shape}, }}");
        let mut bytes = MAGIC.to_vec();
        bytes.extend([2, 0]);
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend([0; 1600]);
        let error = parse(&bytes).unwrap_err().to_string();
        assert!(
            error.contains("axes") || error.contains("header"),
            "{error}"
        );
        let header = format!(
            "{{'descr': '<f4', 'fortran_order': True, 'shape': (100, 4, {}), }}",
            "1,".repeat(100)
        );
        let error = parse(&npy(&header, &[0; 1600])).unwrap_err().to_string();
        assert!(error.contains("axes"), "{error}");
    }
}
