//! Chunked arrays, put together from their chunks.

use hdf5_reader::{ByteOrder, DatasetChunk};

use super::{Variable, byte_order, overclaims, translate};
use crate::Error;
use crate::recording::{dtype_size, product};

/// Bytes that a file spends on a chunk at the least, its place in the index.
const MIN_CHUNK_ENTRY: u64 = 8;

impl Variable {
    /// The bytes of a chunked array, `total` of them.
    ///
    /// The library's own way places bytes one number at a time, which for D4RL's compressed files
    /// takes more than half of the reading. Here chunks must come in order and complete: memory is
    /// taken for a band of rows once all its chunks have been decoded.
    pub(super) fn read_chunks(&self, chunk: &[u32], total: usize) -> Result<Vec<u8>, Error> {
        let chunk: Vec<usize> = chunk.iter().map(|&size| size as usize).collect();
        let grid = Grid::new(&self.shape, &chunk, dtype_size(self.dtype));
        let Some(grid) = grid.filter(|_| self.is_native()) else {
            if total as u64 > self.limits.file {
                return Err(Error::Unsupported(format!("the layout of {}", self.path)));
            }
            return self.reader.read_native_bytes().map_err(translate);
        };
        if total == 0 {
            return Ok(Vec::new());
        }
        if grid.chunks as u64 > self.limits.file / MIN_CHUNK_ENTRY {
            return Err(overclaims(&self.path));
        }
        let mut bytes = Vec::new();
        let mut band: Vec<DatasetChunk> = Vec::new();
        let mut seen = 0;
        for decoded in self.reader.iter_chunks().map_err(translate)? {
            let decoded = decoded.map_err(translate)?;
            if !grid.is_place(seen, decoded.offsets()) || decoded.bytes().len() < grid.chunk_bytes {
                return Err(Error::Damaged(format!(
                    "{} has a misplaced chunk",
                    self.path
                )));
            }
            seen += 1;
            band.push(decoded);
            if band.len() == grid.per_band {
                let start = bytes.len();
                let rows =
                    grid.chunk[0].min(grid.shape[0] - (seen / grid.per_band - 1) * grid.chunk[0]);
                bytes.resize(start + rows * grid.row_bytes, 0);
                for chunk in band.drain(..) {
                    grid.place(chunk.offsets(), chunk.bytes(), rows, &mut bytes[start..]);
                }
            }
        }
        if bytes.len() != total {
            return Err(Error::Damaged(format!(
                "{} lacks some of its chunks",
                self.path
            )));
        }
        Ok(bytes)
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
    /// Chunks beside each other with the same rows.
    per_band: usize,
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
            per_band: product(&counts[1..])?,
            chunks: product(&counts)?,
            shape: shape.to_vec(),
            chunk: chunk.to_vec(),
            counts,
            size,
        })
    }

    /// Whether the chunk number `index` in row-major order begins at `offsets`.
    fn is_place(&self, index: usize, offsets: &[u64]) -> bool {
        if index >= self.chunks || offsets.len() < self.shape.len() {
            return false;
        }
        let mut rest = index;
        self.counts
            .iter()
            .zip(&self.chunk)
            .zip(offsets)
            .rev()
            .all(|((&count, &size), &offset)| {
                let at = rest % count;
                rest /= count;
                offset == (at * size) as u64
            })
    }

    /// Copies a chunk to its place in a band of `rows` rows.
    fn place(&self, offsets: &[u64], chunk: &[u8], rows: usize, band: &mut [u8]) {
        let axes = self.shape.len();
        // The part of the chunk that lies inside the array, and where it begins in a row.
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
        assert_eq!((grid.per_band, grid.chunks), (6, 12));
        let whole: Vec<u8> = (0..60).collect();
        let mut built = Vec::new();
        let mut index = 0;
        for top in [0, 2] {
            let rows = 2.min(3 - top);
            let start = built.len();
            built.resize(start + rows * 20, 0);
            for left in [0, 2, 4] {
                for deep in [0, 3] {
                    let offsets = [top as u64, left, deep];
                    assert!(grid.is_place(index, &offsets));
                    assert!(!grid.is_place(index + 1, &offsets));
                    index += 1;
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
        assert!(!grid.is_place(12, &[0, 0, 0]));
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
