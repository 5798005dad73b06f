//! The distribution of a tensor's values: equal-width buckets and moments.

/// Number of buckets, as in TensorBoard's own second-generation histograms.
const BUCKETS: usize = 30;

/// Counts of the finite values in equal-width buckets from the smallest to the largest, and
/// their moments. Values that are not finite are counted apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Smallest finite value; 0 without any.
    pub min: f64,
    /// Largest finite value; 0 without any.
    pub max: f64,
    /// Number of finite values.
    pub count: u64,
    /// Number of values that are NaN or infinite.
    pub non_finite: u64,
    /// Sum of the finite values.
    pub sum: f64,
    /// Sum of their squares.
    pub sum_squares: f64,
    /// Right edge of each bucket; the last one is `max`, and a value on an edge belongs to the
    /// bucket on its right, except for `max` itself.
    pub edges: Vec<f64>,
    /// Number of values in each bucket.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// The histogram of `values`. A tensor of one value throughout has a single bucket.
    pub fn of(values: &[f32]) -> Self {
        let finite = || {
            values
                .iter()
                .filter(|value| value.is_finite())
                .map(|&value| f64::from(value))
        };
        let count = finite().count();
        let min = finite().reduce(f64::min).unwrap_or(0.0);
        let max = finite().reduce(f64::max).unwrap_or(0.0);
        let buckets = match count {
            0 => 0,
            _ if min < max => BUCKETS,
            _ => 1,
        };
        let width = (max - min) / BUCKETS as f64;
        let mut edges: Vec<f64> = (1..=buckets).map(|i| min + width * i as f64).collect();
        if let Some(last) = edges.last_mut() {
            *last = max;
        }
        let mut counts = vec![0; buckets];
        let (mut sum, mut sum_squares) = (0.0, 0.0);
        for value in finite() {
            let bucket = if width > 0.0 {
                (((value - min) / width) as usize).min(buckets - 1)
            } else {
                0
            };
            counts[bucket] += 1;
            sum += value;
            sum_squares += value * value;
        }
        Self {
            min,
            max,
            count: count as u64,
            non_finite: (values.len() - count) as u64,
            sum,
            sum_squares,
            edges,
            counts,
        }
    }

    /// Mean of the finite values; 0 without any.
    pub fn mean(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }

    /// Standard deviation of the finite values (of the population); 0 without any.
    pub fn std(&self) -> f64 {
        let mean = self.mean();
        let variance = self.sum_squares / self.count.max(1) as f64 - mean * mean;
        variance.max(0.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_value_is_in_a_bucket_and_the_ends_are_the_extremes() {
        let values: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        let histogram = Histogram::of(&values);
        assert_eq!(histogram.counts.len(), BUCKETS);
        assert_eq!(histogram.counts.iter().sum::<u64>(), 1000);
        assert_eq!(histogram.edges.last(), Some(&histogram.max));
        assert!(histogram.edges.is_sorted());
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 1000.0;
        assert!((histogram.mean() - mean).abs() < 1e-12);
    }

    #[test]
    fn constant_empty_and_non_finite_tensors_have_a_histogram_too() {
        assert_eq!(Histogram::of(&[2.5; 7]).counts, [7]);
        assert_eq!(Histogram::of(&[]).counts.len(), 0);
        let odd = Histogram::of(&[f32::NAN, 1.0, f32::INFINITY, 3.0]);
        assert_eq!((odd.count, odd.non_finite), (2, 2));
        assert_eq!((odd.min, odd.max, odd.mean()), (1.0, 3.0, 2.0));
        assert!(Histogram::of(&[f32::NAN]).std() < 1e-12);
        let wide = Histogram::of(&[f32::MIN, f32::MAX]);
        assert_eq!(wide.counts.iter().sum::<u64>(), 2);
    }
}
