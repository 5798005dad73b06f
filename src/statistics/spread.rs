//! One list of numbers: its mean, its median, its two standard deviations.

/// The arithmetic mean; NaN for an empty list.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The middle value, or the mean of the two in the middle; NaN for an empty list.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// Population standard deviation (divides by n), for a whole population such as the episodes of
/// one evaluation. CORL's tables use it over seeds too. NaN for an empty list.
pub fn population_std(values: &[f64]) -> f64 {
    (squares(values) / values.len() as f64).sqrt()
}

/// Sample standard deviation (divides by n - 1), for seeds, which are a sample of all seeds. None
/// for fewer than two values, from which no spread can be estimated.
pub fn sample_std(values: &[f64]) -> Option<f64> {
    (values.len() > 1).then(|| (squares(values) / (values.len() - 1) as f64).sqrt())
}

/// The largest value; none for an empty list. NaN is ignored.
pub fn largest(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let numbers = values.into_iter().filter(|value| !value.is_nan());
    numbers.reduce(f64::max)
}

/// Sum of the squared distances to the mean.
fn squares(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_standard_deviations_differ_in_their_divisor() {
        let values = [1.0, 3.0];
        assert_eq!(mean(&values).to_bits(), 2.0_f64.to_bits());
        assert_eq!(population_std(&values).to_bits(), 1.0_f64.to_bits());
        assert_eq!(sample_std(&values), Some(2.0_f64.sqrt()));
    }

    #[test]
    fn one_value_has_no_sample_spread_and_none_has_no_mean() {
        assert_eq!(sample_std(&[5.0]), None);
        assert_eq!(population_std(&[5.0]).to_bits(), 0.0_f64.to_bits());
        assert!(mean(&[]).is_nan() && median(&[]).is_nan() && population_std(&[]).is_nan());
        assert_eq!(largest([]), None);
        assert_eq!(largest([1.0, f64::NAN, 3.0]), Some(3.0));
    }

    #[test]
    fn the_median_of_an_even_count_is_between_the_middle_two() {
        assert_eq!(median(&[3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]).to_bits(), 2.5_f64.to_bits());
    }
}
