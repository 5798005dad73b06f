//! The squashed Gaussian against its reference, golden values and finite differences.

use super::*;
use crate::testing::{assert_close, numbers, to_f64};

const CLAMP: LogSigma = LogSigma::Clamp {
    low: -20.0,
    high: 2.0,
};
const TANH: LogSigma = LogSigma::Tanh {
    low: -5.0,
    high: 2.0,
};
/// The three, the last with these scales.
fn variants(scales: &[f32]) -> [LogProbability; 3] {
    [
        LogProbability::Exact,
        LogProbability::Floored,
        LogProbability::Scaled(scales.to_vec()),
    ]
}

/// Naive actions and log-probabilities.
fn reference(head: &Squashed, z: &[f64], noise: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let a = head.action;
    let (mut actions, mut logs) = (Vec::new(), Vec::new());
    for (z, noise) in z.chunks(2 * a).zip(noise.chunks(a)) {
        let mut sum = 0.0;
        for i in 0..a {
            let s = match head.log_sigma {
                LogSigma::Clamp { low, high } => z[a + i].clamp(low.into(), high.into()),
                LogSigma::Tanh { low, high } => {
                    let (low, high) = (f64::from(low), f64::from(high));
                    low + 0.5 * (high - low) * (z[a + i].tanh() + 1.0)
                }
            };
            let u = z[i] + s.exp() * noise[i];
            let action = u.tanh();
            let slope = u.cosh().powi(-2);
            let normal = -0.5 * ((u - z[i]) / s.exp()).powi(2) - s - LOG_ROOT_TAU;
            sum += normal
                - match &head.log_probability {
                    LogProbability::Exact => slope.ln(),
                    LogProbability::Floored => (slope + 1e-6).ln(),
                    LogProbability::Scaled(scales) => (f64::from(scales[i]) * slope + 1e-6).ln(),
                };
            actions.push(action);
        }
        logs.push(sum);
    }
    (actions, logs)
}

fn case() -> (Vec<f32>, Vec<f32>) {
    let mut z: Vec<f32> = numbers(1, 60).iter().map(|z| 2.0 * z).collect();
    // Beyond both clamps, and far into the tails of tanh.
    (z[5], z[9], z[15]) = (3.0, 6.0, -25.0);
    let noise = numbers(2, 30).iter().map(|e| 2.0 * e).collect();
    (z, noise)
}

#[test]
fn samples_and_their_gradients_are_the_reference() {
    let (z, noise) = case();
    let (exact_z, exact_noise) = (to_f64(&z), to_f64(&noise));
    let (da, dlog) = (numbers(3, 30), numbers(4, 10));
    for log_sigma in [CLAMP, TANH] {
        for log_probability in variants(&[2.0, 0.25, 1.0]) {
            let head = Squashed {
                action: 3,
                log_sigma,
                log_probability,
            };
            let mut samples = Samples::default();
            head.sample(&z, &noise, &mut samples);
            let (actions, logs) = reference(&head, &exact_z, &exact_noise);
            assert_close(&samples.actions, &actions, "actions");
            assert_close(&samples.log_probabilities, &logs, "log-probabilities");
            let mut acted = vec![0.0; noise.len()];
            head.act(&z, &noise, &mut acted);
            assert_eq!(acted, samples.actions);
            let mut dz = vec![0.0; z.len()];
            head.backward(&z, &samples, &da, &dlog, &mut dz);
            assert_gradient_to(1e-5, &exact_z, &to_f64(&dz), |z| {
                let (actions, logs) = reference(&head, z, &exact_noise);
                let loss = actions.iter().zip(&da).map(|(a, d)| a * f64::from(*d));
                let rest = logs.iter().zip(&dlog).map(|(l, d)| l * f64::from(*d));
                loss.sum::<f64>() + rest.sum::<f64>()
            });
        }
    }
}

/// As `assert_gradient`, for gradients that were computed in f32.
fn assert_gradient_to(most: f64, x: &[f64], gradient: &[f64], loss: impl Fn(&[f64]) -> f64) {
    let scale = gradient
        .iter()
        .fold(1e-3_f64, |largest, g| largest.max(g.abs()));
    let mut moved = x.to_vec();
    for i in 0..x.len() {
        let mut at = |x: f64| {
            moved[i] = x;
            loss(&moved)
        };
        let slope = (at(x[i] + 1e-5) - at(x[i] - 1e-5)) / 2e-5;
        moved[i] = x[i];
        let error = (slope - gradient[i]).abs() / scale;
        assert!(
            error < most,
            "element {i}: difference {slope}, gradient {}",
            gradient[i]
        );
    }
}

#[test]
fn the_three_log_probabilities_have_their_golden_values() {
    let expected = [-0.179_318_24_f64, -0.179_319_86, -0.872_466_23].map(|x| x as f32);
    let far = [-10.613_717_93_f64, -10.573_834_74].map(|x| x as f32);
    for (index, log_probability) in variants(&[2.0]).into_iter().enumerate() {
        let head = Squashed {
            action: 1,
            log_sigma: CLAMP,
            log_probability: log_probability.clone(),
        };
        let mut samples = Samples::default();
        head.sample(&[0.3, -0.5], &[0.7], &mut samples);
        assert!((samples.actions[0] - 0.619_733).abs() < 1e-6);
        let found = samples.log_probabilities[0];
        assert!(
            (found - expected[index]).abs() < 2e-6,
            "{log_probability:?}: {found}"
        );
        if let Some(expected) = far.get(index) {
            // Without noise the normal part is known.
            head.sample(&[6.0, 0.0], &[0.0], &mut samples);
            let found = -LOG_ROOT_TAU as f32 - samples.log_probabilities[0];
            assert!(
                (found - expected).abs() < 1e-5,
                "{log_probability:?}: {found}"
            );
        }
    }
}

#[test]
fn the_corrections_have_their_golden_values_in_both_tails() {
    for (u, exact, floored) in [
        (3.0, -4.6187, -4.6186),
        (5.0, -8.6138, -8.6083),
        (7.0, -12.6137, -12.3508),
        (9.0, -16.6137, -13.7564),
    ] {
        for mean in [u, -u] {
            for (log_probability, expected) in [
                (LogProbability::Exact, exact),
                (LogProbability::Floored, floored),
            ] {
                let head = Squashed {
                    action: 1,
                    log_sigma: CLAMP,
                    log_probability,
                };
                let mut samples = Samples::default();
                head.sample(&[mean, 0.0], &[0.0], &mut samples);
                let found = -LOG_ROOT_TAU - f64::from(samples.log_probabilities[0]);
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{head:?} at {mean}: {found}"
                );
            }
        }
    }
}

#[test]
fn the_mode_is_the_squashed_mean() {
    let head = Squashed {
        action: 2,
        log_sigma: TANH,
        log_probability: LogProbability::Exact,
    };
    let mut actions = [0.0; 2];
    head.mode(&[0.3, -1.0, 5.0, 5.0], &mut actions);
    assert_close(&actions, &[0.3_f64.tanh(), (-1.0_f64).tanh()], "mode");
}
