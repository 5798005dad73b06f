//! A sampler's numbers in blocks: all columns of some consecutive rows are stored together.
//!
//! A window is a random place in memory or in a file. If each column were stored separately, a
//! window would touch as many places as there are columns; in blocks of whole pages it touches one
//! or two. With a single column whose rows contain everything, each row is one access; transitions
//! use that.

use std::path::Path;

use crate::Error;
use crate::mapping::{Mapping, Unnamed};

/// `f32` numbers in a page, the unit in which memory and files are fetched.
const PAGE: usize = 1024;
/// At least this many rows are stored together, so that few windows begin in one block and end in
/// another.
const ROWS: usize = 32;
/// `f32` numbers that memory fetches at once.
const LINE: usize = 16;

/// How `N` columns are stored in a block: all rows of the first, then all rows of the second, ...
#[derive(Clone, Copy, Debug)]
struct Layout<const N: usize> {
    /// Numbers in a row of each column.
    widths: [usize; N],
    /// Where each column begins in a block.
    columns: [usize; N],
    /// Rows in a block.
    rows: usize,
    /// Numbers in a block: whole pages.
    numbers: usize,
}

impl<const N: usize> Layout<N> {
    fn new(widths: [usize; N]) -> Self {
        let row = widths.iter().sum::<usize>().max(1);
        let numbers = (ROWS * row).next_multiple_of(PAGE);
        let rows = numbers / row;
        let mut begin = 0;
        let columns = widths.map(|width| {
            begin += width * rows;
            begin - width * rows
        });
        Self {
            widths,
            columns,
            rows,
            numbers,
        }
    }
}

/// The numbers of all rows.
#[derive(Debug)]
pub(super) struct Blocks<const N: usize> {
    layout: Layout<N>,
    /// Memory that begins at a page, or a file.
    numbers: Mapping,
}

impl<const N: usize> Blocks<N> {
    /// The rows from `row` on, up to `most` of them: as many as there are in its block.
    #[inline]
    fn piece(&self, row: usize, most: usize) -> (usize, [&[f32]; N]) {
        let layout = &self.layout;
        let (block, from) = (row / layout.rows, row % layout.rows);
        let to = layout.rows.min(from + most);
        let all = self.numbers.numbers::<f32>();
        let own = &all[block * layout.numbers..(block + 1) * layout.numbers];
        let column = |index: usize| {
            let (begin, width) = (layout.columns[index], layout.widths[index]);
            &own[begin + from * width..begin + to * width]
        };
        (to - from, std::array::from_fn(column))
    }

    /// The rows from `row` on, block by block.
    #[inline]
    pub(super) fn pieces(&self, row: usize, length: usize) -> impl Iterator<Item = [&[f32]; N]> {
        let mut done = 0;
        std::iter::from_fn(move || {
            (done < length).then(|| {
                let (rows, piece) = self.piece(row + done, length - done);
                done += rows;
                piece
            })
        })
    }

    /// Numbers in a row of each column.
    pub(super) fn widths(&self) -> [usize; N] {
        self.layout.widths
    }

    /// The first column of a row.
    pub(super) fn first_column(&self, row: usize) -> &[f32] {
        let (_, columns) = self.piece(row, 1);
        columns[0]
    }

    /// Prefetches these rows.
    #[inline]
    pub(super) fn fetch(&self, row: usize, length: usize) {
        for piece in self.pieces(row, length) {
            for column in piece {
                fetch(column);
            }
        }
    }
}

impl Blocks<1> {
    /// One row.
    #[inline]
    pub(super) fn row(&self, row: usize) -> &[f32] {
        let (_, [numbers]) = self.piece(row, 1);
        numbers
    }
}

/// Prefetches these numbers.
#[inline]
pub(super) fn fetch(column: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for number in column.iter().step_by(LINE) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        #[expect(unsafe_code, reason = "no stable safe function fetches ahead")]
        // SAFETY: A prefetch changes nothing and may be of any address; this one is of a slice.
        unsafe {
            // Into the L2 cache: L1 can have only few loads outstanding.
            _mm_prefetch(std::ptr::from_ref(number).cast(), _MM_HINT_T1);
        }
    }
}

/// Blocks that are being filled, row after row.
pub(super) struct Filling<const N: usize> {
    layout: Layout<N>,
    /// The block that is not full, and how many rows it has.
    block: Vec<f32>,
    filled: usize,
    full: Unnamed,
}

impl<const N: usize> Filling<N> {
    /// Blocks for `rows` rows of these widths: in memory, or in a file in a directory.
    pub(super) fn new(
        widths: [usize; N],
        rows: usize,
        directory: Option<&Path>,
    ) -> Result<Self, Error> {
        let layout = Layout::new(widths);
        let bytes = rows.div_ceil(layout.rows) * layout.numbers * size_of::<f32>();
        let full = directory.map_or_else(|| Unnamed::in_memory(bytes), Unnamed::in_file)?;
        Ok(Self {
            layout,
            block: vec![0.0; layout.numbers],
            filled: 0,
            full,
        })
    }

    /// Appends `rows` whole rows of every column.
    pub(super) fn push(&mut self, rows: usize, columns: [&[f32]; N]) -> Result<(), Error> {
        let mut done = 0;
        while done < rows {
            let at = self.filled;
            let count = (self.layout.rows - at).min(rows - done);
            for (index, column) in columns.into_iter().enumerate() {
                let (begin, width) = (self.layout.columns[index], self.layout.widths[index]);
                self.block[begin + at * width..begin + (at + count) * width]
                    .copy_from_slice(&column[done * width..(done + count) * width]);
            }
            self.filled += count;
            done += count;
            if self.filled == self.layout.rows {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.full.write(&self.block)?;
        self.block.fill(0.0);
        self.filled = 0;
        Ok(())
    }

    /// All blocks.
    pub(super) fn finish(mut self) -> Result<Blocks<N>, Error> {
        if self.filled > 0 {
            self.flush()?;
        }
        let numbers = self.full.map()?;
        numbers.expect_single_rows();
        Ok(Blocks {
            layout: self.layout,
            numbers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows whose numbers encode their row and column.
    fn filled(widths: [usize; 3], lengths: &[usize], directory: Option<&Path>) -> Blocks<3> {
        let steps = lengths.iter().sum();
        let mut filling = Filling::new(widths, steps, directory).unwrap();
        let mut step = 0;
        for &length in lengths {
            let column = |width: usize, tag: usize| -> Vec<f32> {
                let number = |at: usize| ((step + at / width) * 10 + tag) as f32;
                (0..length * width).map(number).collect()
            };
            let columns = [0, 1, 2].map(|index| column(widths[index], index + 1));
            let [observations, actions, returns] = &columns;
            filling
                .push(length, [observations, actions, returns])
                .unwrap();
            step += length;
        }
        filling.finish().unwrap()
    }

    #[test]
    fn all_rows_round_trip_through_memory_and_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let lengths = [1, 70, 3, 200, 41];
        let steps: usize = lengths.iter().sum();
        for widths in [[11, 3, 1], [2, 1, 1], [400, 17, 1], [0, 1, 1]] {
            for place in [None, Some(directory.path())] {
                let blocks = filled(widths, &lengths, place);
                for (step, length) in [(0, 1), (0, steps), (60, 20), (31, 33), (steps - 1, 1)] {
                    let mut found: [Vec<f32>; 3] = Default::default();
                    for piece in blocks.pieces(step, length) {
                        for (found, column) in found.iter_mut().zip(piece) {
                            found.extend(column);
                        }
                    }
                    for (column, (width, tag)) in found.into_iter().zip(widths.into_iter().zip(1..))
                    {
                        let own = (step..step + length)
                            .flat_map(|step| std::iter::repeat_n((step * 10 + tag) as f32, width));
                        assert_eq!(
                            column,
                            own.collect::<Vec<_>>(),
                            "{widths:?} {step} {length}"
                        );
                    }
                }
            }
        }
        // A file without a name leaves nothing.
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_block_is_whole_pages_of_a_least_number_of_rows() {
        for widths in [
            [1, 1, 1],
            [11, 3, 1],
            [17, 6, 1],
            [376, 17, 1],
            [5000, 1, 1],
        ] {
            let layout = Layout::new(widths);
            assert!(layout.numbers.is_multiple_of(PAGE) && layout.rows >= ROWS);
            assert!(layout.columns[2] + layout.rows <= layout.numbers);
        }
    }
}
