//! How a batch is divided into parts, and which of them a rank computes.

use std::ops::Range;

use rtg_kernels::mlp::DividedBatch;

use super::{Error, World};

/// A batch divided into parts, consecutive ones for the same rank.
#[derive(Clone, Debug)]
pub struct Division {
    world: World,
    parts: usize,
}

impl Division {
    /// Divides batches into `parts`.
    ///
    /// # Errors
    /// Fewer parts than ranks.
    pub fn new(world: World, parts: usize) -> Result<Self, Error> {
        let ranks = world.size();
        if parts < ranks {
            return Err(Error::FewParts { ranks, parts });
        }
        Ok(Self { world, parts })
    }

    /// Whether there is nothing to divide: one part, one rank.
    pub fn is_whole(&self) -> bool {
        self.parts == 1
    }

    /// The number of parts.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// The parts of this rank.
    pub fn own(&self) -> Range<usize> {
        self.of(self.world.rank())
    }

    fn of(&self, rank: usize) -> Range<usize> {
        let ranks = self.world.size();
        rank * self.parts / ranks..(rank + 1) * self.parts / ranks
    }

    /// The rows of a part, of a batch of `rows`.
    pub fn rows(&self, part: usize, rows: usize) -> Range<usize> {
        part * rows / self.parts..(part + 1) * rows / self.parts
    }

    /// The rows of all parts of this rank.
    pub fn own_rows(&self, rows: usize) -> Range<usize> {
        self.rows_of(self.world.rank(), rows)
    }

    fn rows_of(&self, rank: usize, rows: usize) -> Range<usize> {
        let parts = self.of(rank);
        self.rows(parts.start, rows).start..self.rows(parts.end - 1, rows).end
    }

    /// `to` becomes the sum over all parts, added up in their order; `mine` are the vectors of
    /// [`Division::own`]. The same bits on every rank, and for any number of ranks.
    ///
    /// # Panics
    /// If there are not as many vectors as parts, or one has another length.
    pub fn sum(&self, mine: &[impl AsRef<[f32]>], to: &mut [f32]) {
        assert_eq!(mine.len(), self.own().len(), "a vector for each part");
        let fits = mine.iter().all(|part| part.as_ref().len() == to.len());
        assert!(fits, "a part has a number for each of the sum");
        self.world.sum(mine, |rank| self.of(rank).len(), to);
    }

    /// The sum over all parts, added up in their order; `mine` are the terms of
    /// [`Division::own`].
    ///
    /// # Panics
    /// If there are not as many terms as parts.
    pub fn total(&self, mine: &[f64]) -> f64 {
        assert_eq!(mine.len(), self.own().len(), "a term for each part");
        let most = self.parts.div_ceil(self.world.size());
        let mut words: Vec<u64> = mine.iter().map(|term| term.to_bits()).collect();
        words.resize(most, 0);
        let all = self.world.gather(&words);
        let terms = all.chunks(most).enumerate();
        let terms = terms.flat_map(|(rank, terms)| &terms[..self.of(rank).len()]);
        terms.map(|bits| f64::from_bits(*bits)).sum()
    }

    /// Completes an array of blocks x `rows` x width, of which this rank knows its
    /// [rows](Division::own_rows) in every block.
    pub fn complete(&self, blocks: usize, rows: usize, array: &mut [f32]) {
        let ranks = self.world.size();
        let width = array.len() / (blocks * rows).max(1);
        if ranks == 1 || width == 0 {
            return;
        }
        let most = (0..ranks).map(|rank| self.rows_of(rank, rows).len()).max();
        let most = most.unwrap_or(0) * width;
        let place = |block: usize, rank: usize| {
            let own = self.rows_of(rank, rows);
            (block * rows + own.start) * width..(block * rows + own.end) * width
        };
        let mut mine = vec![0.0; blocks * most];
        for (block, to) in mine.chunks_mut(most).enumerate() {
            let from = &array[place(block, self.world.rank())];
            to[..from.len()].copy_from_slice(from);
        }
        let mut all = vec![0.0; ranks * mine.len()];
        self.world.gather_numbers(&mine, &mut all);
        for (index, from) in all.chunks(most).enumerate() {
            let to = &mut array[place(index % blocks, index / blocks)];
            to.copy_from_slice(&from[..to.len()]);
        }
    }
}

impl DividedBatch for Division {
    fn own(&self) -> Range<usize> {
        Self::own(self)
    }

    fn rows(&self, part: usize, rows: usize) -> Range<usize> {
        Self::rows(self, part, rows)
    }

    fn own_rows(&self, rows: usize) -> Range<usize> {
        Self::own_rows(self, rows)
    }

    fn sum(&self, mine: &[&[f32]], to: &mut [f32]) {
        Self::sum(self, mine, to);
    }

    fn complete(&self, blocks: usize, rows: usize, array: &mut [f32]) {
        Self::complete(self, blocks, rows, array);
    }
}

#[cfg(test)]
mod tests {
    use super::super::threads;
    use super::*;

    /// Numbers whose sum depends on the order.
    fn part(index: usize, len: usize) -> Vec<f32> {
        let number = |at: usize| ((at * 31 + index * 17) as f32).sin() * 10_f32.powi(index as i32);
        (0..len).map(number).collect()
    }

    #[test]
    fn a_sum_has_the_order_of_the_parts_for_any_number_of_ranks() {
        for (parts, len) in [(4, 3), (5, 1000), (7, 600_001)] {
            let mut expected = part(0, len);
            for index in 1..parts {
                for (sum, value) in expected.iter_mut().zip(part(index, len)) {
                    *sum += value;
                }
            }
            for ranks in 1..=4 {
                let sums = threads::run(ranks, |world| {
                    let division = Division::new(world, parts).unwrap();
                    let mine: Vec<_> = division.own().map(|index| part(index, len)).collect();
                    let mut to = vec![f32::NAN; len];
                    division.sum(&mine, &mut to);
                    to
                });
                assert!(sums.iter().all(|sum| *sum == expected), "{ranks} ranks");
            }
        }
    }

    #[test]
    fn a_total_has_the_order_of_the_parts() {
        let terms = [1e16, 1.0, -1e16, 3.0, 0.1];
        let expected: f64 = terms.iter().sum();
        for ranks in [1, 2, 3, 5] {
            let totals = threads::run(ranks, |world| {
                let division = Division::new(world, terms.len()).unwrap();
                division.total(&terms[division.own()])
            });
            assert_eq!(totals, vec![expected; ranks]);
        }
    }

    #[test]
    fn rows_of_all_ranks_complete_an_array() {
        let (blocks, rows, width) = (2, 7, 3);
        let whole: Vec<f32> = (0..blocks * rows * width).map(|n| n as f32).collect();
        for ranks in 1..=4 {
            let arrays =
                threads::run(ranks, |world| {
                    let division = Division::new(world, 5).unwrap();
                    let own = division.own_rows(rows);
                    let row = |at: usize| at / width % rows;
                    let known = whole.iter().enumerate().map(|(at, &number)| {
                        if own.contains(&row(at)) { number } else { 0.0 }
                    });
                    let mut array: Vec<f32> = known.collect();
                    division.complete(blocks, rows, &mut array);
                    array
                });
            assert_eq!(arrays, vec![whole.clone(); ranks]);
        }
    }

    #[test]
    fn there_are_at_least_as_many_parts_as_ranks() {
        let errors = threads::run(3, |world| Division::new(world, 2).unwrap_err().to_string());
        assert!(errors[0].contains("3 ranks") && errors[0].contains("2 parts"));
    }
}
