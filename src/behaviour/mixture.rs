//! Datasets of several behaviours: shares of their steps, from random actions to the best policy.

/// A share of a dataset, and the noise of the policy's actions in it ([`Noisy`](super::Noisy));
/// `None` is the random policy.
pub type Part = (f64, Option<f64>);

/// Random actions alone.
pub const RANDOM: &[Part] = &[(1.0, None)];

/// Random actions, the policy with two levels of noise, and the policy: returns from bad to best.
pub const MIXED: &[Part] = &[
    (0.1, None),
    (0.25, Some(0.5)),
    (0.25, Some(0.2)),
    (0.4, Some(0.0)),
];

/// The policy alone.
pub const EXPERT: &[Part] = &[(1.0, Some(0.0))];

/// The names of the mixtures, and the mixtures.
pub const MIXTURES: [(&str, &[Part]); 3] =
    [("random", RANDOM), ("mixed", MIXED), ("expert", EXPERT)];

/// A part in words: `25 % with noise 0.5`.
pub fn describe((share, noise): Part) -> String {
    let percent = 100.0 * share;
    match noise {
        None => format!("{percent} % random"),
        Some(0.0) => format!("{percent} % without noise"),
        Some(noise) => format!("{percent} % with noise {noise}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_a_mixture_are_the_whole() {
        for (name, parts) in MIXTURES {
            let whole: f64 = parts.iter().map(|(share, _)| share).sum();
            assert!((whole - 1.0).abs() < 1e-12, "{name}: {whole}");
        }
        let parts: Vec<String> = MIXED.iter().map(|part| describe(*part)).collect();
        let expected = "10 % random, 25 % with noise 0.5, 25 % with noise 0.2, 40 % without noise";
        assert_eq!(parts.join(", "), expected);
    }
}
