//! A sampler's numbers in blocks: all columns of some consecutive steps lie together.
//!
//! A window is a random place in memory or in a file. If each column lay by itself, a window would
//! touch as many places as there are columns; in blocks of whole pages it touches one or two.

use std::path::Path;

use crate::Error;
use crate::store::{Mapping, Unnamed};

/// `f32` numbers in a page, the unit in which memory and files are fetched.
const PAGE: usize = 1024;
/// At least so many steps lie together, so that few windows begin in one block and end in another.
const STEPS: usize = 32;
/// `f32` numbers that memory fetches at once.
const LINE: usize = 16;

/// How steps lie in a block: all its observations, all its actions, all its returns-to-go.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// Numbers in an observation.
    observation: usize,
    /// Numbers in an action.
    action: usize,
    /// Steps in a block.
    steps: usize,
    /// Numbers in a block: whole pages.
    numbers: usize,
}

impl Layout {
    fn new(observation: usize, action: usize) -> Self {
        let row = observation + action + 1;
        let numbers = (STEPS * row).next_multiple_of(PAGE);
        Self {
            observation,
            action,
            steps: numbers / row,
            numbers,
        }
    }

    /// Where the actions and the returns-to-go of a block begin.
    fn columns(&self) -> (usize, usize) {
        let actions = self.steps * self.observation;
        (actions, actions + self.steps * self.action)
    }
}

/// Consecutive steps within one block.
pub(super) struct Piece<'a> {
    pub(super) observations: &'a [f32],
    pub(super) actions: &'a [f32],
    pub(super) returns: &'a [f32],
}

/// The numbers of all steps.
#[derive(Debug)]
pub(super) struct Blocks {
    layout: Layout,
    /// Memory that begins at a page, or a file.
    numbers: Mapping,
}

impl Blocks {
    /// The steps from `step` on, up to `most` of them: as many as there are in its block.
    #[inline]
    pub(super) fn piece(&self, step: usize, most: usize) -> Piece<'_> {
        let layout = self.layout;
        let (s, a) = (layout.observation, layout.action);
        let (block, from) = (step / layout.steps, step % layout.steps);
        let to = layout.steps.min(from + most);
        let all = self.numbers.numbers::<f32>();
        let own = &all[block * layout.numbers..(block + 1) * layout.numbers];
        let (actions, returns) = layout.columns();
        Piece {
            observations: &own[from * s..to * s],
            actions: &own[actions + from * a..actions + to * a],
            returns: &own[returns + from..returns + to],
        }
    }

    /// The steps from `step` on, block by block.
    #[inline]
    pub(super) fn pieces(&self, step: usize, length: usize) -> impl Iterator<Item = Piece<'_>> {
        let mut done = 0;
        std::iter::from_fn(move || {
            (done < length).then(|| {
                let piece = self.piece(step + done, length - done);
                done += piece.returns.len();
                piece
            })
        })
    }

    /// Lets memory begin to fetch these steps.
    #[inline]
    pub(super) fn fetch(&self, step: usize, length: usize) {
        for piece in self.pieces(step, length) {
            for column in [piece.observations, piece.actions, piece.returns] {
                fetch(column);
            }
        }
    }
}

#[inline]
fn fetch(column: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for number in column.iter().step_by(LINE) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        #[expect(unsafe_code, reason = "no stable safe function fetches ahead")]
        // SAFETY: A prefetch changes nothing and may be of any address; this one is of a slice.
        unsafe {
            // Into the second cache: the first one can wait for few lines only.
            _mm_prefetch(std::ptr::from_ref(number).cast(), _MM_HINT_T1);
        }
    }
}

/// Blocks that are being filled, step after step.
pub(super) struct Filling {
    layout: Layout,
    /// The block that is not full, and how many steps it has.
    block: Vec<f32>,
    filled: usize,
    full: Unnamed,
}

impl Filling {
    /// Blocks for so many steps of these widths: in memory, or in a file in a directory.
    pub(super) fn new(
        (observation, action): (usize, usize),
        steps: usize,
        directory: Option<&Path>,
    ) -> Result<Self, Error> {
        let layout = Layout::new(observation, action);
        let bytes = steps.div_ceil(layout.steps) * layout.numbers * size_of::<f32>();
        let full = directory.map_or_else(|| Unnamed::in_memory(bytes), Unnamed::in_file)?;
        Ok(Self {
            layout,
            block: vec![0.0; layout.numbers],
            filled: 0,
            full,
        })
    }

    /// Appends steps: whole rows of all three columns.
    pub(super) fn push(&mut self, steps: &Piece<'_>) -> Result<(), Error> {
        let (s, a) = (self.layout.observation, self.layout.action);
        let (actions, returns) = self.layout.columns();
        let mut done = 0;
        while done < steps.returns.len() {
            let at = self.filled;
            let count = (self.layout.steps - at).min(steps.returns.len() - done);
            let end = done + count;
            for (column, width, own) in [
                (0, s, steps.observations),
                (actions, a, steps.actions),
                (returns, 1, steps.returns),
            ] {
                self.block[column + at * width..column + (at + count) * width]
                    .copy_from_slice(&own[done * width..end * width]);
            }
            self.filled += count;
            done = end;
            if self.filled == self.layout.steps {
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
    pub(super) fn finish(mut self) -> Result<Blocks, Error> {
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

    /// Steps whose numbers tell which step and which column they are of.
    fn filled(widths: (usize, usize), lengths: &[usize], directory: Option<&Path>) -> Blocks {
        let steps = lengths.iter().sum();
        let mut filling = Filling::new(widths, steps, directory).unwrap();
        let mut step = 0;
        for &length in lengths {
            let column = |width: usize, tag: usize| -> Vec<f32> {
                let number = |at: usize| ((step + at / width) * 10 + tag) as f32;
                (0..length * width).map(number).collect()
            };
            let (observations, actions) = (column(widths.0, 1), column(widths.1, 2));
            let returns = column(1, 3);
            let piece = Piece {
                observations: &observations,
                actions: &actions,
                returns: &returns,
            };
            filling.push(&piece).unwrap();
            step += length;
        }
        filling.finish().unwrap()
    }

    #[test]
    fn every_stretch_comes_back_from_memory_and_from_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let lengths = [1, 70, 3, 200, 41];
        let steps: usize = lengths.iter().sum();
        for widths in [(11, 3), (2, 1), (400, 17), (0, 1)] {
            for place in [None, Some(directory.path())] {
                let blocks = filled(widths, &lengths, place);
                for (step, length) in [(0, 1), (0, steps), (60, 20), (31, 33), (steps - 1, 1)] {
                    let [mut observations, mut actions, mut returns]: [Vec<f32>; 3] =
                        Default::default();
                    for piece in blocks.pieces(step, length) {
                        observations.extend(piece.observations);
                        actions.extend(piece.actions);
                        returns.extend(piece.returns);
                    }
                    for (column, width, tag) in [
                        (observations, widths.0, 1),
                        (actions, widths.1, 2),
                        (returns, 1, 3),
                    ] {
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
    fn a_block_is_whole_pages_of_at_least_so_many_steps() {
        for widths in [(1, 1), (11, 3), (17, 6), (376, 17), (5000, 1)] {
            let layout = Layout::new(widths.0, widths.1);
            assert!(layout.numbers.is_multiple_of(PAGE) && layout.steps >= STEPS);
            let (_, returns) = layout.columns();
            assert!(returns + layout.steps <= layout.numbers);
        }
    }
}
