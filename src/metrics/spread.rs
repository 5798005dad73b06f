//! Returns as text.

/// `mean ± std`, or the mean alone. Tenths, but hundredths where everything is below ten: a success
/// rate needs more than tenths. Values below a tenth have two significant digits.
pub fn spread(mean: f64, std: Option<f64>) -> String {
    let largest = mean.abs().max(std.unwrap_or(0.0));
    let decimals = match largest {
        0.000_000_001..0.0995 => (1.0 - largest.log10().floor()) as usize,
        ..9.995 => 2,
        _ => 1,
    };
    let mean = unsigned_zero(format!("{mean:.decimals$}"));
    match std {
        Some(std) => format!("{mean} ± {std:.decimals$}"),
        None => mean,
    }
}

/// Without the sign of a number that was rounded to zero.
fn unsigned_zero(number: String) -> String {
    match number.strip_prefix('-') {
        Some(rest) if !rest.contains(|digit: char| ('1'..='9').contains(&digit)) => rest.to_owned(),
        _ => number,
    }
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn small_returns_have_hundredths() {
        assert_eq!(spread(0.873, Some(0.333)), "0.87 ± 0.33");
        assert_eq!(spread(-3.5, None), "-3.50");
        assert_eq!(spread(-0.0987, Some(0.0101)), "-0.099 ± 0.010");
        assert_eq!(spread(-0.000_12, None), "-0.00012");
        assert_eq!(spread(-0.0, None), "0.00");
        assert_eq!(spread(-0.001, Some(20.0)), "0.0 ± 20.0");
        assert_eq!(spread(9.0, Some(12.0)), "9.0 ± 12.0");
        assert_eq!(spread(9.996, None), "10.0");
        assert_eq!(spread(500.0, Some(0.0)), "500.0 ± 0.0");
    }
}
