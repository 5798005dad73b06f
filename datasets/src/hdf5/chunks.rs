//! Chunked arrays, assembled from their chunks.

use hdf5_reader::ByteOrder;

use super::{Variable, byte_order, translate};
use crate::recording::{dtype_size, product};
use crate::{Budget, Error};

/// Bytes of the library's record of each chunk.
const ENTRY_BYTES: usize = 64;

impl Variable {
    /// The bytes of a chunked array, `total` of them.
    ///
    /// The library copies one number at a time, which for D4RL's compressed files takes more than
    /// half of the reading. Chunks that were never written have the fill value.
    pub(super) fn read_chunks(
        &self,
        chunk: &[u32],
        total: usize,
        budget: &Budget,
    ) -> Result<Vec<u8>, Error> {
        let chunk: Vec<usize> = chunk.iter().map(|&size| size as usize).collect();
        let grid = Grid::new(&self.shape, &chunk, dtype_size(self.dtype));
        // Memory used besides the array while it is read.
        let passing = budget.fork();
        passing.take_items(&chunk, dtype_size(self.dtype).saturating_mul(2), &self.path)?;
        let Some(grid) = grid.filter(|_| self.is_native()) else {
            return self.reader.read_native_bytes().map_err(translate);
        };
        passing.take_items(&[grid.chunks], ENTRY_BYTES, &self.path)?;
        if total == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = self.filled(total);
        for decoded in self.reader.iter_chunks().map_err(translate)? {
            let decoded = decoded.map_err(translate)?;
            let offsets = decoded.offsets();
            if !grid.is_place(offsets) || decoded.bytes().len() < grid.chunk_bytes {
                return Err(Error::Damaged(format!(
                    "{} has a misplaced chunk",
                    self.path
                )));
            }
            let first = offsets[0] as usize;
            let rows = grid.chunk[0].min(grid.shape[0] - first);
            let band = first * grid.row_bytes..(first + rows) * grid.row_bytes;
            grid.place(offsets, decoded.bytes(), rows, &mut bytes[band]);
        }
        Ok(bytes)
    }

    /// That many bytes of the fill value.
    fn filled(&self, total: usize) -> Vec<u8> {
        let fill = self.reader.fill_value().and_then(|fill| fill.value.clone());
        match fill.filter(|fill| fill.len() == dtype_size(self.dtype)) {
            Some(fill) if fill.iter().any(|&byte| byte != 0) => {
                fill.iter().copied().cycle().take(total).collect()
            }
            _ => vec![0; total],
        }
    }

    /// Whether chunks can be taken as they come: in this machine's byte order.
    fn is_native(&self) -> bool {
        let native = if cfg!(target_endian = "little") {
            ByteOrder::LittleEndian
        } else {
            ByteOrder::BigEndian
        };
        byte_order(self.reader.dtype()) == Some(native)
    }
}

/// How chunks tile an array.
struct Grid {
    shape: Vec<usize>,
    chunk: Vec<usize>,
    /// Chunks along each axis.
    counts: Vec<usize>,
    /// Bytes of a number.
    size: usize,
    chunk_bytes: usize,
    row_bytes: usize,
    chunks: usize,
}

impl Grid {
    /// `None` where the chunks do not fit the array.
    fn new(shape: &[usize], chunk: &[usize], size: usize) -> Option<Self> {
        if shape.is_empty() || shape.len() != chunk.len() || chunk.contains(&0) {
            return None;
        }
        let counts: Vec<usize> = shape
            .iter()
            .zip(chunk)
            .map(|(&n, &c)| n.div_ceil(c))
            .collect();
        Some(Self {
            chunk_bytes: product(chunk)?.checked_mul(size)?,
            row_bytes: product(&shape[1..])?.checked_mul(size)?,
            chunks: product(&counts)?,
            shape: shape.to_vec(),
            chunk: chunk.to_vec(),
            counts,
            size,
        })
    }

    /// Whether a chunk begins at `offsets`.
    fn is_place(&self, offsets: &[u64]) -> bool {
        offsets.len() >= self.shape.len()
            && self
                .counts
                .iter()
                .zip(&self.chunk)
                .zip(offsets)
                .all(|((&count, &size), &offset)| {
                    let (size, count) = (size as u64, count as u64);
                    offset % size == 0 && offset / size < count
                })
    }

    /// Copies a chunk to its place in a band of `rows` rows.
    fn place(&self, offsets: &[u64], chunk: &[u8], rows: usize, band: &mut [u8]) {
        let axes = self.shape.len();
        // The part of the chunk inside the array, and where it begins in a row.
        let inside: Vec<usize> = (1..axes)
            .map(|axis| self.chunk[axis].min(self.shape[axis] - offsets[axis] as usize))
            .collect();
        let line = inside.last().map_or(self.size, |&n| n * self.size);
        let chunk_row = self.chunk_bytes / self.chunk[0];
        let lines: usize = inside.iter().rev().skip(1).product();
        if lines == 1 && axes <= 2 {
            let at = offsets.get(1).map_or(0, |&at| at as usize * self.size);
            let (sources, targets) = (
                chunk.chunks_exact(chunk_row),
                band.chunks_exact_mut(self.row_bytes),
            );
            let rows = sources.zip(targets).take(rows);
            // Chunks of D4RL's files are often one number wide: a call for each would take longest.
            return match line {
                4 => copy::<4>(rows, at),
                8 => copy::<8>(rows, at),
                _ => rows.for_each(|(source, target)| {
                    target[at..at + line].copy_from_slice(&source[..line]);
                }),
            };
        }
        for row in 0..rows {
            for index in 0..lines {
                let (mut rest, mut from, mut to) = (index, 0, 0);
                let (mut chunk_stride, mut stride) = (self.size, self.size);
                for axis in (1..axes).rev() {
                    let at = if axis == axes - 1 {
                        0
                    } else {
                        let at = rest % inside[axis - 1];
                        rest /= inside[axis - 1];
                        at
                    };
                    from += at * chunk_stride;
                    to += (offsets[axis] as usize + at) * stride;
                    chunk_stride *= self.chunk[axis];
                    stride *= self.shape[axis];
                }
                let source = row * chunk_row + from;
                let target = row * self.row_bytes + to;
                band[target..target + line].copy_from_slice(&chunk[source..source + line]);
            }
        }
    }
}

/// Copies the first `N` bytes of each row to place `at` of another.
fn copy<'a, const N: usize>(rows: impl Iterator<Item = (&'a [u8], &'a mut [u8])>, at: usize) {
    for (source, target) in rows {
        let target = target.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<N>);
        if let (Some(source), Some(target)) = (source.first_chunk::<N>(), target) {
            *target = *source;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_three_axes_are_put_together() {
        let (shape, chunk) = ([3, 5, 4], [2, 2, 3]);
        let grid = Grid::new(&shape, &chunk, 1).unwrap();
        assert_eq!(grid.chunks, 12);
        let whole: Vec<u8> = (0..60).collect();
        let mut built = Vec::new();
        for top in [0, 2] {
            let rows = 2.min(3 - top);
            let start = built.len();
            built.resize(start + rows * 20, 0);
            for left in [0, 2, 4] {
                for deep in [0, 3] {
                    let offsets = [top as u64, left, deep];
                    assert!(grid.is_place(&offsets));
                    assert!(!grid.is_place(&[offsets[0], offsets[1] + 1, offsets[2]]));
                    let mut bytes = vec![255; 12];
                    for (i, byte) in bytes.iter_mut().enumerate() {
                        let (x, y, z) = (
                            top + i / 6,
                            left as usize + i / 3 % 2,
                            deep as usize + i % 3,
                        );
                        if x < 3 && y < 5 && z < 4 {
                            *byte = whole[x * 20 + y * 4 + z];
                        }
                    }
                    grid.place(&offsets, &bytes, rows, &mut built[start..]);
                }
            }
        }
        assert_eq!(built, whole);
        assert!(!grid.is_place(&[4, 0, 0]) && !grid.is_place(&[0, 0]));
    }

    #[test]
    fn chunks_of_two_axes_are_put_together_whatever_their_width() {
        for (size, width) in [(4, 1), (8, 1), (4, 2), (2, 3), (1, 1)] {
            let (shape, chunk) = ([5, 3], [2, width]);
            let grid = Grid::new(&shape, &chunk, size).unwrap();
            let whole: Vec<u8> = (0..15 * size as u8).collect();
            let mut built = Vec::new();
            for top in [0, 2, 4] {
                let (rows, start) = (2.min(5 - top), built.len());
                built.resize(start + rows * 3 * size, 0);
                for left in (0..3).step_by(width) {
                    let mut bytes = vec![255; 2 * width * size];
                    for (i, number) in bytes.chunks_exact_mut(size).enumerate() {
                        let (x, y) = (top + i / width, left + i % width);
                        if x < 5 && y < 3 {
                            number.copy_from_slice(&whole[(x * 3 + y) * size..][..size]);
                        }
                    }
                    grid.place(
                        &[top as u64, left as u64],
                        &bytes,
                        rows,
                        &mut built[start..],
                    );
                }
            }
            assert_eq!(built, whole, "{size} {width}");
        }
    }

    #[test]
    fn chunks_of_one_axis_are_put_together() {
        let grid = Grid::new(&[5], &[3], 2).unwrap();
        let mut band = vec![0; 4];
        grid.place(&[3], &[1, 2, 3, 4, 9, 9], 2, &mut band);
        assert_eq!(band, [1, 2, 3, 4]);
        assert!(Grid::new(&[5], &[0], 2).is_none());
    }
}
