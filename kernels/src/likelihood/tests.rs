//! The loss against its reference, finite differences, and numbers that are known.

use super::*;
use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

const BOTH: [Deviation; 2] = [Deviation::Squashed, Deviation::Free];

fn scales(deviation: Deviation, action: usize) -> LikelihoodScales {
    LikelihoodScales {
        deviation,
        largest: 0.8,
        temperature: 0.3,
        count: 11,
        action,
    }
}

/// Means, raw deviations, actions and noise of nine steps of three numbers.
struct Case {
    means: Vec<f32>,
    raw: Vec<f32>,
    actions: Vec<f32>,
    noise: Vec<f32>,
}

impl Case {
    fn new(deviation: Deviation) -> Self {
        let mut actions: Vec<f32> = numbers(2, 27).iter().map(|a| 0.8 * a).collect();
        // In the middle, at the bounds, and beyond what atanh is taken of.
        (actions[0], actions[1], actions[2]) = (0.0, 0.4, 0.799_999_2);
        (actions[3], actions[4]) = (0.8, -0.8);
        let mut raw = numbers(3, 27);
        if deviation == Deviation::Free {
            // Beyond the clamp, inside, and inside.
            raw = vec![2.5, -0.4, 0.7];
        }
        Self {
            means: numbers(1, 27).iter().map(|z| 2.0 * z).collect(),
            raw,
            actions,
            noise: numbers(4, 27).iter().map(|e| 2.0 * e).collect(),
        }
    }

    fn numbers(&self) -> Numbers<'_, f32> {
        Numbers {
            means: &self.means,
            raw: &self.raw,
            actions: &self.actions,
            noise: &self.noise,
        }
    }
}

#[test]
fn the_fast_loss_is_the_reference_in_value_and_gradient() {
    for deviation in BOTH {
        let (case, scales) = (Case::new(deviation), scales(deviation, 3));
        let exact = [&case.means, &case.raw, &case.actions, &case.noise].map(|x| to_f64(x));
        let given = Numbers {
            means: &exact[0],
            raw: &exact[1],
            actions: &exact[2],
            noise: &exact[3],
        };
        let (expected, dmeans, draw) = reference::loss(scales, given);
        let mut found_dmeans = vec![f32::NAN; case.means.len()];
        let mut found_draw = vec![f32::NAN; case.raw.len()];
        let found = cpu::loss(scales, case.numbers(), &mut found_dmeans, &mut found_draw);
        assert!((found.negative_log / expected.negative_log - 1.0).abs() < 1e-5);
        assert!((found.entropy / expected.entropy - 1.0).abs() < 1e-5);
        assert_close(&found_dmeans, &dmeans, "dz");
        assert_close(&found_draw, &draw, "dl");
    }
}

#[test]
fn the_reference_gradient_is_the_finite_difference() {
    for deviation in BOTH {
        let scales = scales(deviation, 3);
        let case = Case::new(deviation);
        let exact = [&case.means, &case.raw, &case.actions, &case.noise].map(|x| to_f64(x));
        let [means, raw, actions, noise] = &exact;
        let at = |means: &[f64], raw: &[f64]| {
            let numbers = Numbers {
                means,
                raw,
                actions,
                noise,
            };
            let (sums, dmeans, draw) = reference::loss(scales, numbers);
            (sums.loss(scales.temperature), dmeans, draw)
        };
        let (_, dmeans, draw) = at(means, raw);
        assert_gradient(means, &dmeans, |means| at(means, raw).0);
        assert_gradient(raw, &draw, |raw| at(means, raw).0);
    }
}

#[test]
fn the_largest_action_has_the_atanh_of_its_clamp_in_f32() {
    // Against a mean of 0 and a deviation of 1, the distance is atanh itself.
    let raw = (10.0_f32 / 7.0 - 1.0).atanh();
    let scales = LikelihoodScales {
        largest: 1.0,
        temperature: 0.0,
        count: 1,
        ..scales(Deviation::Squashed, 1)
    };
    let loss = |action: f32| {
        let numbers = Numbers {
            means: &[0.0],
            raw: &[raw],
            actions: &[action],
            noise: &[0.0],
        };
        let (mut dmeans, mut draw) = ([0.0], [0.0]);
        cpu::loss(scales, numbers, &mut dmeans, &mut draw);
        -dmeans[0]
    };
    assert!((loss(1.0) - 7.247_733).abs() < 2e-5, "{}", loss(1.0));
    assert!((loss(-1.0) + 7.247_733).abs() < 2e-5);
    assert!((loss(0.5) - 0.549_306_1).abs() < 1e-6);
}

#[test]
fn noise_is_normal_and_of_its_own_key_window_and_step() {
    let mut all = Vec::new();
    let mut row = [0.0; 8];
    for (key, window, step) in (0..20).flat_map(|key| {
        (0..20).flat_map(move |window| (0..20).map(move |step| (key, window, step)))
    }) {
        noise(key, window, step, &mut row);
        all.extend_from_slice(&row);
    }
    let count = all.len() as f64;
    let moment = |power: i32| all.iter().map(|e| f64::from(*e).powi(power)).sum::<f64>() / count;
    // Four standard errors of the moments of N(0, 1).
    for (power, expected, variance) in
        [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)]
    {
        let error = (moment(power) - expected).abs();
        assert!(error < 4.0 * (variance / count).sqrt(), "{power}: {error}");
    }
    let mut sorted = all.clone();
    sorted.sort_by(f32::total_cmp);
    sorted.dedup();
    assert!(sorted.len() > all.len() - all.len() / 1000);
}

#[test]
fn a_sample_without_noise_is_the_squashed_mean_and_none_exceeds_the_largest_action() {
    for deviation in BOTH {
        let (means, raw) = ([0.3, -4.0], [2.0, 2.0]);
        let mut actions = [f32::NAN; 2];
        cpu::sample((deviation, 0.8), (&means, &raw), &[0.0; 2], &mut actions);
        let expected = means.map(|z| 0.8 * f64::from(z).tanh());
        assert_close(&actions, &expected, "the mean");
        cpu::sample((deviation, 0.8), (&means, &raw), &[9.0, -9.0], &mut actions);
        assert!(
            actions.iter().all(|a| (0.79..=0.8).contains(&a.abs())),
            "{actions:?}"
        );
    }
}
