//! Returns-to-go in bins of equal width.
//!
//! A range of returns-to-go is divided into N bins; returns outside it are in the first or the last
//! one. The network reads the middle of a return's bin, b from 0, with the range mapped to [-1, 1]:
//!
//! ```text
//! x = (2 b + 1) / N - 1
//! ```
//!
//! A head with N logits predicts the bin. When acting, the bin is the median of the predicted
//! distribution after bins are weighted by exp(optimism b / (N - 1)): the distribution of returns
//! given that the behaviour is good (Lee et al. 2022, *Multi-Game Decision Transformers*; there and
//! in kristery/Elastic-DT the bin is drawn).

/// The bin of a return-to-go between these bounds, of this many bins.
pub fn of(return_to_go: f64, [low, high]: [f64; 2], bins: usize) -> usize {
    let part = (return_to_go - low) / (high - low);
    // A conversion to an integer saturates: below 0 it is 0.
    ((part * bins as f64) as usize).min(bins - 1)
}

/// What the network reads for a bin.
pub fn number(bin: usize, bins: usize) -> f32 {
    ((2 * bin + 1) as f64 / bins as f64 - 1.0) as f32
}

/// The bin that a number is in.
pub(crate) fn of_number(number: f32, bins: usize) -> usize {
    of(number.into(), [-1.0, 1.0], bins)
}

/// The bin to act for, from the logits of all bins.
pub(crate) fn chosen(logits: &[f32], optimism: f32) -> usize {
    let last = (logits.len() - 1).max(1) as f64;
    let tilted =
        |bin: usize, logit: f32| f64::from(logit) + f64::from(optimism) * bin as f64 / last;
    let all = || logits.iter().enumerate().map(|(bin, x)| tilted(bin, *x));
    let largest = all().fold(f64::NEG_INFINITY, f64::max);
    let half = 0.5 * all().map(|x| (x - largest).exp()).sum::<f64>();
    let mut sum = 0.0;
    let median = all().position(|x| {
        sum += (x - largest).exp();
        sum >= half
    });
    median.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_divided_evenly_and_its_ends_are_in_the_outer_bins() {
        let bins = |r| of(r, [-10.0, 30.0], 8);
        assert_eq!(
            [-10.0, -5.1, -4.9, 0.1, 29.9, 30.0].map(bins),
            [0, 0, 1, 2, 7, 7]
        );
        assert_eq!([-1e9, 1e9, f64::NEG_INFINITY].map(bins), [0, 7, 0]);
        // All returns are the same.
        assert_eq!(of(3.0, [3.0, 3.0], 5), 0);
        assert_eq!(of(1.0, [1.0, 2.0], 1), 0);
    }

    #[test]
    fn a_bin_has_a_number_that_is_in_it() {
        for bins in [1, 2, 3, 60, 121, 4096] {
            for bin in 0..bins {
                assert_eq!(of_number(number(bin, bins), bins), bin, "of {bins}");
            }
        }
        let quarters = [-0.75_f32, -0.25, 0.25, 0.75].map(f32::to_bits);
        assert_eq!([0, 1, 2, 3].map(|bin| number(bin, 4).to_bits()), quarters);
    }

    #[test]
    fn the_bin_to_act_for_is_the_median_and_optimism_raises_it() {
        let logits = |weights: &[f32]| weights.iter().map(|w| w.ln()).collect::<Vec<_>>();
        assert_eq!(chosen(&logits(&[0.3, 0.3, 0.4]), 0.0), 1);
        assert_eq!(chosen(&logits(&[0.6, 0.1, 0.3]), 0.0), 0);
        // Twice as likely for each step up: 0.6, 0.2, 1.2.
        let optimism = 2.0 * 2.0_f32.ln();
        assert_eq!(chosen(&logits(&[0.6, 0.1, 0.3]), optimism), 2);
        assert_eq!(chosen(&logits(&[0.6, 0.1, 0.0]), 1e6), 1);
        assert_eq!(chosen(&[-3e38, 3e38], 5.0), 1);
        assert_eq!(chosen(&[7.0], 5.0), 0);
    }
}
