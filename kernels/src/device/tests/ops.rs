//! Each op except products and attention against its naive reference in f64, values and gradients:
//! exact f32, 1e-5.

use super::{backends, put, put_words, rounded, run, take, take_halves, unwritten};
use crate::device::backend::{Address, Backend};
use crate::device::parameters::Numbers;
use crate::dropout::cuda::{Drop, Places};
use crate::dropout::{Dropout, Site};
use crate::layer_norm::cuda::{Norm, NormBackward, blocks};
use crate::layer_norm::reference as layer_norm;
use crate::linear::cuda::{Rows, Storage};
use crate::loss::cuda::{HeadAndLoss, blocks as loss_blocks};
use crate::loss::{Denominator, Head, Objective, reference as loss};
use crate::testing::{assert_close, numbers, to_f64};

pub(super) const DROPOUT: Dropout = Dropout {
    probability_attention: 0.2,
    probability_residual: 0.3,
    probability_embedding: 0.1,
    key: 0x1234_5678_9abc_def0,
};

/// A clock at batch 1 of a plan whose second key is DROPOUT's, and windows of `context` steps that
/// begin there.
pub(super) fn places(backend: &mut dyn Backend, context: usize, first_steps: &[u32]) -> Places {
    let key = DROPOUT.key;
    Places {
        keys: put_words(backend, &[1, 2, key as u32, (key >> 32) as u32]),
        clock: put_words(backend, &[1]),
        first_steps: put_words(backend, first_steps),
        tokens: 3 * context,
    }
}

#[test]
fn masks_are_those_of_the_cpu_bit_by_bit_behind_a_norm_too() {
    let (context, first_steps, width) = (3, [0, 2], 70);
    let rows = 2 * 3 * context;
    let x = numbers(1, rows * width);
    for mut backend in backends() {
        let backend = &mut *backend;
        let places = places(backend, context, &first_steps);
        let at = [
            put(backend, &x),
            put(backend, &vec![0.0; width]),
            put(backend, &vec![1.0; width]),
        ];
        for site in [
            Site::Embedding,
            Site::Projection { layer: 2 },
            Site::Mlp { layer: 0 },
            Site::Attention { layer: 1, head: 3 },
        ] {
            let (y, statistics) = (
                unwritten(backend, rows * width),
                unwritten(backend, 2 * rows),
            );
            let norm = Norm {
                x: at[0],
                gain: at[1],
                bias: at[2],
                y: Numbers::floats(y),
                statistics,
                drop: Drop::new(&places, Some(&DROPOUT), site),
                rows: rows as i32,
                width: width as i32,
            };
            run(backend, [norm.launch()]);
            let mut masks = vec![0.0; rows * width];
            for (row, mask) in masks.chunks_mut(width).enumerate() {
                let window = row / (3 * context);
                let token = 3 * first_steps[window] as usize + row % (3 * context);
                DROPOUT.mask(site, window, token, mask);
            }
            assert_eq!(take(backend, y, rows * width), masks, "{site:?}");
        }
    }
}

#[test]
fn the_norm_is_the_reference_in_value_and_every_gradient() {
    for mut backend in backends() {
        let backend = &mut *backend;
        // The last two are longer than what a warp has in registers.
        for (rows, width) in [
            (1, 1),
            (3, 7),
            (5, 96),
            (34, 128),
            (20, 131),
            (9, 1152),
            (5, 515),
        ] {
            let (x, gain) = (numbers(1, rows * width), numbers(2, width));
            let (bias, dy) = (numbers(3, width), numbers(4, rows * width));
            let at_x = put(backend, &x);
            let at_gain = put(backend, &gain);
            let (y, statistics) = (
                unwritten(backend, rows * width),
                unwritten(backend, 2 * rows),
            );
            let norm = Norm {
                x: at_x,
                gain: at_gain,
                bias: put(backend, &bias),
                y: Numbers::floats(y),
                statistics,
                drop: Drop::NONE,
                rows: rows as i32,
                width: width as i32,
            };
            run(backend, [norm.launch()]);
            let (exact_x, exact_gain) = (to_f64(&x), to_f64(&gain));
            let expected = layer_norm::forward(&exact_x, &exact_gain, &to_f64(&bias));
            let found = take(backend, y, rows * width);
            assert_close(&found, &expected, "y");
            let halves = Norm {
                y: Storage::Halves.numbers(y),
                ..norm
            };
            run(backend, [halves.launch()]);
            assert_eq!(take_halves(backend, y, rows * width), rounded(&found), "y");

            let expected = layer_norm::backward(&exact_x, &exact_gain, &to_f64(&dy));
            let (block_rows, count) = blocks(rows);
            let [dx, dropped, dgain, dbias] =
                [rows * width, rows * width, count * width, count * width]
                    .map(|n| unwritten(backend, n));
            // The gradient added to the norm's is one for every row, for observations alone, or
            // none.
            let beside = numbers(5, rows * width);
            let at_beside = put(backend, &beside);
            for (address, observations) in [(at_beside, 0), (at_beside, 1), (Address::NULL, 0)] {
                let backward = NormBackward {
                    x: at_x,
                    gain: at_gain,
                    statistics,
                    dy: put(backend, &dy),
                    beside: address,
                    dx,
                    dropped: Storage::Halves.numbers(dropped),
                    dgain,
                    dbias,
                    drop: Drop::NONE,
                    token_rows: Rows::ALL,
                    beside_observations: observations,
                    rows: rows as i32,
                    width: width as i32,
                    block_rows: block_rows as i32,
                };
                run(backend, [backward.launch()]);
                let from = |row: usize| match (address == Address::NULL, observations) {
                    (true, _) => None,
                    (_, 0) => Some(row),
                    _ => (row % 3 == 1).then_some(row / 3),
                };
                let sums: Vec<f64> = (0..rows * width)
                    .map(|i| {
                        let beside = from(i / width).map_or(0.0, |r| beside[r * width + i % width]);
                        expected.x[i] + f64::from(beside)
                    })
                    .collect();
                let found = take(backend, dx, rows * width);
                assert_close(&found, &sums, "dx");
                let found_halves = take_halves(backend, dropped, rows * width);
                assert_eq!(found_halves, rounded(&found), "dx, dropped");
            }
            for (parts, expected, what) in [
                (dgain, &expected.gain, "dgain"),
                (dbias, &expected.bias, "dbias"),
            ] {
                let parts = take(backend, parts, count * width);
                let of = |c| parts.iter().skip(c).step_by(width).sum();
                let found: Vec<f32> = (0..width).map(of).collect();
                assert_close(&found, expected, what);
            }
        }
    }
}

#[test]
fn head_and_loss_are_the_reference_in_value_and_gradient() {
    let (windows, context, width, action) = (3, 4, 40, 5);
    let lengths = [4, 1, 0];
    let steps = windows * context;
    let before = numbers(1, steps * width);
    let (gain, shift) = (numbers(5, width), numbers(6, width));
    let x = layer_norm::forward(&to_f64(&before), &to_f64(&gain), &to_f64(&shift));
    let x: Vec<f32> = x.iter().map(|x| *x as f32).collect();
    let weight: Vec<f32> = numbers(2, width * action).iter().map(|w| 0.3 * w).collect();
    let (bias, actions) = (numbers(3, action), numbers(4, steps * action));
    let cases = [
        (Head::Tanh { scale: 0.4 }, Objective::SquaredError),
        (Head::Logits, Objective::SquaredError),
        (Head::Logits, Objective::CrossEntropy),
    ];
    let valid: Vec<bool> = (0..steps)
        .map(|step| step % context < lengths[step / context])
        .collect();
    let pick = |all: &[f32], width: usize| -> Vec<f64> {
        let rows = all.chunks(width).zip(&valid).filter(|(_, valid)| **valid);
        rows.flat_map(|(row, _)| to_f64(row)).collect()
    };
    let spread = |some: &[f64]| -> Vec<f64> {
        let mut rows = some.chunks(action);
        let row = |valid: &bool| {
            let some = valid.then(|| rows.next()).flatten();
            some.map_or(vec![0.0; action], <[f64]>::to_vec)
        };
        valid.iter().flat_map(row).collect()
    };
    let z = crate::linear::reference::forward(
        crate::precision::Precision::F32,
        &pick(&x, width),
        &to_f64(&weight),
        &to_f64(&bias),
    );
    for mut backend in backends() {
        let backend = &mut *backend;
        for (head, objective) in cases {
            for denominator in [Denominator::Valid, Denominator::All] {
                let counted = match denominator {
                    Denominator::Valid => 5,
                    Denominator::All | Denominator::Steps => steps,
                };
                let count = objective.count(denominator, counted, action) as f64;
                let taken = pick(&actions, action);
                let (y, value, gradient) = loss::loss(head, objective, &z, &taken, action, count);
                let [predictions, dz] = [steps * action; 2].map(|n| unwritten(backend, n));
                let losses = unwritten(backend, 2 * loss_blocks(steps));
                let normed = unwritten(backend, steps * width);
                let norm = Norm {
                    x: put(backend, &before),
                    gain: put(backend, &gain),
                    bias: put(backend, &shift),
                    y: Numbers::floats(normed),
                    statistics: unwritten(backend, 2 * steps),
                    drop: Drop::NONE,
                    rows: steps as i32,
                    width: width as i32,
                };
                let launch = HeadAndLoss {
                    norm,
                    x: normed,
                    weight: put(backend, &weight),
                    bias: put(backend, &bias),
                    actions: put(backend, &actions),
                    lengths: put_words(backend, &lengths.map(|n| n as u32)),
                    predictions,
                    dz,
                    losses,
                    steps: steps as i32,
                    windows: windows as i32,
                    context: context as i32,
                    width: width as i32,
                    action: action as i32,
                    is_tanh: 0,
                    is_cross_entropy: 0,
                    counts_all: 0,
                    scale: 1.0,
                };
                run(backend, [launch.of(head, objective, denominator).launch()]);
                assert_close(
                    &take(backend, predictions, steps * action),
                    &spread(&y),
                    "y",
                );
                assert_close(&take(backend, dz, steps * action), &spread(&gradient), "dz");
                let mut words = vec![0; 2 * loss_blocks(steps)];
                backend.download(losses, &mut words).unwrap();
                let found: f64 = words
                    .chunks(2)
                    .map(|half| f64::from_bits(u64::from(half[1]) << 32 | u64::from(half[0])))
                    .sum();
                assert!((found / value - 1.0).abs() < 1e-5, "{found}, not {value}");
            }
        }
    }
}
