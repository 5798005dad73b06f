//! Draws rows of episodes: uniformly, or by the weights of a mixture.

use rand::{Rng, RngExt};

/// The rows of episodes, counted over all episodes, and how likely each is.
#[derive(Debug)]
pub(super) struct Draws {
    /// The first row of each episode, and the number of all rows as the last entry.
    starts: Vec<usize>,
    /// Rows times weight of all episodes up to and with each; empty where all weights are equal.
    shares: Vec<f64>,
}

impl Draws {
    /// Episodes of these numbers of rows, some perhaps 0. `weights`: one for each episode.
    pub(super) fn new(lengths: &[usize], weights: Option<&[f64]>) -> Self {
        let sum = |sum: &mut usize, length: &usize| {
            *sum += length;
            Some(*sum)
        };
        let share = |sum: &mut f64, (&length, weight): (&usize, &f64)| {
            *sum += length as f64 * weight;
            Some(*sum)
        };
        let weighted = lengths.iter().zip(weights.unwrap_or_default());
        Self {
            starts: [0].into_iter().chain(lengths.iter().scan(0, sum)).collect(),
            shares: weighted.scan(0.0, share).collect(),
        }
    }

    /// The first row of each episode, and the number of all rows.
    pub(super) fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// The number of all rows.
    pub(super) fn rows(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Draws a row, counted over all episodes. There must be one.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> usize {
        let Some(&all) = self.shares.last() else {
            return rng.random_range(0..self.rows() as u64) as usize;
        };
        let share = rng.random::<f64>() * all;
        // Rounding may produce `all` itself: then the last episode that has rows.
        let last = self.shares.partition_point(|&up_to| up_to < all);
        let episode = self.shares.partition_point(|&up_to| up_to <= share);
        let episode = episode.min(last);
        rng.random_range(self.starts[episode] as u64..self.starts[episode + 1] as u64) as usize
    }

    /// The episode of a row.
    pub(super) fn episode(&self, row: usize) -> usize {
        self.starts.partition_point(|&start| start <= row) - 1
    }
}

#[cfg(test)]
mod tests {
    use rand_pcg::Pcg64;
    use rand_pcg::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn episodes_without_rows_are_never_drawn() {
        for weights in [None, Some([1.0, 5.0, 0.5, 9.0, 2.0].as_slice())] {
            let draws = Draws::new(&[0, 3, 0, 2, 0], weights);
            let mut rng = Pcg64::seed_from_u64(0);
            let mut counts = [0; 5];
            for _ in 0..5000 {
                let row = draws.draw(&mut rng);
                let episode = draws.episode(row);
                assert!((draws.starts()[episode]..draws.starts()[episode + 1]).contains(&row));
                counts[episode] += 1;
            }
            let share = f64::from(counts[1]) / 5000.0;
            let expected = if weights.is_none() { 0.6 } else { 15.0 / 33.0 };
            assert!((share - expected).abs() < 0.03, "{share} {expected}");
            assert_eq!(counts[1] + counts[3], 5000);
        }
    }
}
