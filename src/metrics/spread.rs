//! Returns as text.

/// `mean ± std`, or the mean alone. Tenths, but hundredths where everything is below ten: a rate of
/// success says nothing in tenths.
pub fn spread(mean: f64, std: Option<f64>) -> String {
    let largest = mean.abs().max(std.unwrap_or(0.0));
    let decimals = if largest < 9.995 { 2 } else { 1 };
    match std {
        Some(std) => format!("{mean:.decimals$} ± {std:.decimals$}"),
        None => format!("{mean:.decimals$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn small_returns_have_hundredths() {
        assert_eq!(spread(0.873, Some(0.333)), "0.87 ± 0.33");
        assert_eq!(spread(-3.5, None), "-3.50");
        assert_eq!(spread(9.0, Some(12.0)), "9.0 ± 12.0");
        assert_eq!(spread(9.996, None), "10.0");
        assert_eq!(spread(500.0, Some(0.0)), "500.0 ± 0.0");
    }
}
