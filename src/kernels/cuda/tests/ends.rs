//! Both ends of a step: the embedding, and the sums, the clipping and AdamW. Exact f32, 1e-5.

use super::{backends, put, put_words, run, take, unwritten};
use crate::kernels::activation::Activation;
use crate::kernels::adamw::cuda::{AddUp, Rates, Update, pieces};
use crate::kernels::adamw::{self, AdamW, reference::State};
use crate::kernels::cuda::backend::Backend;
use crate::kernels::cuda::parameters::Plain;
use crate::kernels::embedding::cuda::{Embed, Table};
use crate::kernels::embedding::{Steps, reference as embedding, tokens};
use crate::kernels::layout::{Layout, Shape};
use crate::kernels::linear::cuda::{Matrix, Rows, Slices, weight_gradient};
use crate::kernels::loss::Head;
use crate::kernels::precision::Precision;
use crate::kernels::testing::{assert_close, numbers, to_f64};

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
#[expect(
    clippy::too_many_lines,
    reason = "one batch, its values and every gradient"
)]
fn the_embedding_is_the_reference_in_value_and_every_gradient() {
    for (context, width) in [(1, 33), (5, 96), (9, 140)] {
        let shape = Shape {
            observation: 11,
            action: 3,
            context,
            width,
            heads: 1,
            layers: 0,
            timesteps: 9,
            activation: Activation::Relu,
            head: Head::Logits,
        };
        let layout = Layout::new(&shape);
        let weights = numbers(1, layout.len());
        // The second window is shorter, and its rest is zero.
        let lengths = [context, context / 2];
        let steps = lengths.len() * context;
        let zeroed = |seed: u64, width: usize| {
            let mut all = numbers(seed, steps * width);
            all[(context + lengths[1]) * width..].fill(0.0);
            all
        };
        let inputs = [zeroed(2, 1), zeroed(3, 11), zeroed(4, 3)];
        let timesteps: Vec<u32> = (0..steps as u32).map(|i| i * i % 9).collect();
        let mut dx = numbers(5, 3 * steps * width);
        let mut expected = Vec::new();
        let mut gradient = vec![0.0; layout.len()];
        for (window, length) in lengths.into_iter().enumerate() {
            let range = window * context..window * context + length;
            let rows =
                |of: &[f32], width: usize| of[range.start * width..range.end * width].to_vec();
            let (returns_to_go, observations, actions) = (
                rows(&inputs[0], 1),
                rows(&inputs[1], 11),
                rows(&inputs[2], 3),
            );
            let steps = Steps {
                observations: &observations,
                actions: &actions,
                returns_to_go: &returns_to_go,
                timesteps: &timesteps[range.clone()],
            };
            let own = &mut dx[window * 3 * context * width..][..3 * context * width];
            own[tokens(length) * width..].fill(0.0);
            let mut x = embedding::forward(&layout, &to_f64(&weights), steps);
            embedding::backward(&layout, steps, &to_f64(&own[..x.len()]), &mut gradient);
            x.resize(3 * context * width, 0.0);
            expected.extend(x);
        }
        for mut backend in backends() {
            let backend = &mut *backend;
            let at_weights = put(backend, &weights);
            let at_timesteps = put_words(backend, &timesteps);
            let at_lengths = put_words(backend, &lengths.map(|n| n as u32));
            let (x, at_dx) = (unwritten(backend, 3 * steps * width), put(backend, &dx));
            let pairs = [&layout.return_to_go, &layout.observation, &layout.action];
            for (kind, (pair, input)) in pairs.into_iter().zip(&inputs).enumerate() {
                let count = input.len() / steps;
                let at_input = put(backend, input);
                let embed = Embed {
                    input: at_input,
                    weight: at_weights.words(pair.weight.start),
                    bias: at_weights.words(pair.bias.start),
                    timesteps: at_timesteps,
                    lengths: at_lengths,
                    table: at_weights.words(layout.timestep.start),
                    to: x,
                    inputs: count as i32,
                    kind: kind as i32,
                    steps: steps as i32,
                    context: context as i32,
                    width: width as i32,
                };
                run(backend, [embed.launch()]);
                let parts = Slices {
                    count: 1,
                    weight: unwritten(backend, count * width),
                    stride: width,
                    weight_slice: 0,
                    bias: unwritten(backend, width),
                    bias_slice: 0,
                };
                let rows = Rows::kind(kind as i32);
                let factors = (
                    Matrix::new(at_input, count),
                    Matrix::new(at_dx, width).only(rows),
                );
                let sizes = (count, width, steps);
                run(
                    backend,
                    [weight_gradient(Precision::F32, sizes, factors, parts)],
                );
                for (from, range) in [(parts.weight, &pair.weight), (parts.bias, &pair.bias)] {
                    let found = take(backend, from, range.len());
                    // One step has no action that leads anywhere.
                    if gradient[range.clone()].iter().any(|g| *g != 0.0) {
                        assert_close(&found, &gradient[range.clone()], "gradient");
                    } else {
                        assert!(found.iter().all(|g| *g == 0.0));
                    }
                }
            }
            assert_close(&take(backend, x, 3 * steps * width), &expected, "tokens");
            let table = Table {
                dx: at_dx,
                timesteps: at_timesteps,
                lengths: at_lengths,
                to: unwritten(backend, shape.timesteps * width),
                steps: steps as i32,
                context: context as i32,
                width: width as i32,
            };
            run(backend, [table.launch(shape.timesteps)]);
            let found = take(backend, table.to, shape.timesteps * width);
            assert_close(&found, &gradient[layout.timestep.clone()], "table");
        }
    }
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
