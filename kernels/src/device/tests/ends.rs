//! The end of a step: the sums of the parts, the clipping and `AdamW`. Exact f32, 1e-5.

use super::{backends, put, put_words, rounded, run, take, take_halves, unwritten};
use crate::adamw::cuda::{AddUp, Rates, Update, pieces};
use crate::adamw::{self, AdamW, reference::State};
use crate::device::backend::Backend;
use crate::device::parameters::Plain;
use crate::testing::{assert_close, numbers, to_f64};

/// A struct in the device's memory.
fn put_plain(backend: &mut dyn Backend, items: &[impl Plain]) -> super::Address {
    let mut bytes = Vec::new();
    for item in items {
        item.write(&mut bytes);
    }
    let words: Vec<u32> = bytes
        .chunks_exact(4)
        .map(|four| u32::from_ne_bytes(four.try_into().unwrap()))
        .collect();
    put_words(backend, &words)
}

fn doubles(backend: &mut dyn Backend, from: super::Address, count: usize) -> Vec<f64> {
    let mut words = vec![0; 2 * count];
    backend.download(from, &mut words).unwrap();
    let double = |half: &[u32]| f64::from_bits(u64::from(half[1]) << 32 | u64::from(half[0]));
    words.chunks(2).map(double).collect()
}

#[test]
fn slices_are_added_up_clipped_and_applied_as_the_reference_does() {
    let (count, slices, losses) = (5000, 3, [0.25, 0.5, 1.0]);
    let adamw = AdamW {
        decay: 0.01,
        ..AdamW::default()
    };
    let weights = numbers(1, count);
    let parts: Vec<Vec<f32>> = (0..slices).map(|seed| numbers(10 + seed, count)).collect();
    let before = numbers(20, count);
    let sums: Vec<f64> = (0..count)
        .map(|i| {
            let parts: f64 = parts.iter().map(|part| f64::from(part[i])).sum();
            0.5 * (f64::from(before[i]) + parts)
        })
        .collect();
    let norm = sums.iter().map(|g| g * g).sum::<f64>().sqrt();
    for largest in [0.25, 1e9, 0.0] {
        let clip = if largest > 0.0 {
            adamw::clip(norm, largest)
        } else {
            1.0
        };
        let mut exact = State {
            weights: to_f64(&weights),
            ..State::default()
        };
        let clipped: Vec<f64> = sums.iter().map(|g| g * clip).collect();
        exact.update(&adamw, 1e-2, 4, &clipped);
        for mut backend in backends() {
            let backend = &mut *backend;
            let all = pieces(&(0..count), 0, slices as usize);
            assert!(all.len() > 1);
            // Two batches of four steps are done when the second part of the fourth step is added.
            let clock = put_words(backend, &[7]);
            let gradient = put(backend, &before);
            let half = |x: f64| [x.to_bits() as u32, (x.to_bits() >> 32) as u32];
            let block_losses = put_words(backend, &losses.map(half).concat());
            let squares = unwritten(backend, 2 * all.len());
            let add_up = AddUp {
                pieces: put_plain(backend, &all),
                workspace: put(backend, &parts.concat()),
                gradient,
                squares,
                block_losses,
                losses: unwritten(backend, 2 * 8),
                clock,
                loss_blocks: losses.len() as i32,
                adds: 1,
                divisor: 2,
            };
            let rates: Vec<Rates> = (1..=4).map(|step| Rates::of(&adamw, 1e-2, step)).collect();
            let zeros = vec![0.0; count];
            let update = Update {
                weights: put(backend, &weights),
                halves: unwritten(backend, count.div_ceil(2)),
                mean: put(backend, &zeros),
                square: put(backend, &zeros),
                gradient,
                squares,
                rates: put_plain(backend, &rates),
                norms: unwritten(backend, 2 * 4),
                clock,
                largest,
                count: count as u32,
                pieces: all.len() as i32,
                accumulation: 2,
                beta_1: 0.0,
                other_1: 0.0,
                beta_2: 0.0,
                other_2: 0.0,
                epsilon: 0.0,
            };
            run(backend, [add_up.launch(&all), update.of(&adamw).launch()]);
            assert_close(&take(backend, gradient, count), &sums, "gradient");
            assert_close(
                &take(backend, update.weights, count),
                &exact.weights,
                "weights",
            );
            let weights_now = take(backend, update.weights, count);
            let copy = take_halves(backend, update.halves, count);
            assert_eq!(copy, rounded(&weights_now), "the copy of the weights");
            assert_close(&take(backend, update.mean, count), &exact.mean, "mean");
            assert_close(
                &take(backend, update.square, count),
                &exact.square,
                "square",
            );
            let found = doubles(backend, update.norms, 4)[3];
            assert!((found / norm - 1.0).abs() < 1e-5, "{found}, not {norm}");
            let loss = doubles(backend, add_up.losses, 8)[7];
            assert!((loss - losses.iter().sum::<f64>()).abs() < 1e-12);
        }
    }
}
