//! The conservative term of one critic.

/// The term's constants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Penalty {
    /// T, the temperature.
    pub(super) temperature: f32,
    /// The bounds of a difference.
    pub(super) low: f32,
    pub(super) high: f32,
}

impl Penalty {
    /// D = mean clip(T log sum exp (candidates / T) - Q(s, a)), and its gradient times `weight`.
    ///
    /// `values` are those of the data's actions, `candidates` those of the others, rows x
    /// candidates. The gradient of the values is added to `value_gradients`; that of the candidates
    /// overwrites them.
    pub(super) fn forward_and_backward(
        self,
        weight: f32,
        (values, candidates): (&[f32], &mut [f32]),
        value_gradients: &mut [f32],
    ) -> f64 {
        let rows = values.len().max(1);
        let count = candidates.len() / rows;
        let mut sum = 0.0_f64;
        let candidates = candidates.chunks_mut(count.max(1));
        for ((value, gradient), candidates) in values.iter().zip(value_gradients).zip(candidates) {
            let most = candidates.iter().copied().fold(f32::MIN, f32::max);
            let mut total = 0.0_f32;
            for candidate in &mut *candidates {
                *candidate = ((*candidate - most) / self.temperature).exp();
                total += *candidate;
            }
            let difference = most + self.temperature * total.ln() - value;
            sum += f64::from(difference.clamp(self.low, self.high));
            let inside = (self.low..=self.high).contains(&difference);
            let weight = if inside { weight / rows as f32 } else { 0.0 };
            *gradient -= weight;
            for candidate in candidates {
                *candidate *= weight / total;
            }
        }
        sum / rows as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtg_kernels::testing::{assert_close, assert_gradient, numbers, to_f64};

    const OPEN: Penalty = Penalty {
        temperature: 1.0,
        low: f32::NEG_INFINITY,
        high: f32::INFINITY,
    };

    #[test]
    fn the_gap_is_the_published_number() {
        let (mut candidates, mut gradients) = ([1.0, 2.0, 0.5], [0.0]);
        let gap = OPEN.forward_and_backward(1.0, (&[1.0], &mut candidates), &mut gradients);
        assert!((gap - 1.464_368_78).abs() < 1e-6, "{gap}");
    }

    #[test]
    fn gradients_are_finite_differences() {
        for (low, high) in [(f32::NEG_INFINITY, f32::INFINITY), (1.2, 2.5)] {
            let penalty = Penalty {
                temperature: 0.7,
                low,
                high,
            };
            let (values, candidates) = (numbers(1, 6), numbers(2, 6 * 4));
            let (weight, mut at_values) = (1.7, vec![0.0; 6]);
            let mut at_candidates = candidates.clone();
            let of = (&values[..], &mut at_candidates[..]);
            penalty.forward_and_backward(weight, of, &mut at_values);
            let reference = |values: &[f64], candidates: &[f64]| -> f64 {
                let rows = values.iter().zip(candidates.chunks(4));
                let terms = rows.map(|(value, candidates)| {
                    let terms = candidates.iter().map(|x| (x / f64::from(0.7_f32)).exp());
                    let outside = f64::from(0.7_f32) * terms.sum::<f64>().ln();
                    (outside - value).clamp(f64::from(low), f64::from(high))
                });
                f64::from(weight) * terms.sum::<f64>() / 6.0
            };
            let (values, candidates) = (to_f64(&values), to_f64(&candidates));
            // In f64, the same formulas.
            let (mut exact_values, mut exact_candidates) = (vec![0.0; 6], vec![0.0; 24]);
            for row in 0..6 {
                let own = &candidates[row * 4..][..4];
                let terms: Vec<f64> = own.iter().map(|x| (x / f64::from(0.7_f32)).exp()).collect();
                let total: f64 = terms.iter().sum();
                let difference = f64::from(0.7_f32) * total.ln() - values[row];
                if (f64::from(low)..=f64::from(high)).contains(&difference) {
                    exact_values[row] = -f64::from(weight) / 6.0;
                    for (to, term) in exact_candidates[row * 4..].iter_mut().zip(&terms) {
                        *to = f64::from(weight) / 6.0 * term / total;
                    }
                }
            }
            assert_close(&at_values, &exact_values, "values");
            assert_close(&at_candidates, &exact_candidates, "candidates");
            assert_gradient(&values, &exact_values, |values| {
                reference(values, &candidates)
            });
            assert_gradient(&candidates, &exact_candidates, |candidates| {
                reference(&values, candidates)
            });
        }
    }
}
