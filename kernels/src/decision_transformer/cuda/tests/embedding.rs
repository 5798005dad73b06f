//! The embedding compared with its reference. Exact f32, 1e-5.

use crate::activation::Activation;
use crate::decision_transformer::embedding::cuda::{Embed, EmbedBackward, Kind, KindGradient};
use crate::decision_transformer::embedding::{Steps, reference as embedding};
use crate::decision_transformer::layout::Layout;
use crate::decision_transformer::shape::{Condition, MixerKind, NormPlacement, Shape};
use crate::device::backend::{Address, Backend};
use crate::device::parameters::Numbers;
use crate::device::tests::{backends, put, put_words, run, take, unwritten};
use crate::dropout::cuda::Drop;
use crate::layer_norm::EPSILON;
use crate::layer_norm::cuda::Norm;
use crate::layer_norm::reference::forward as layer_norm;
use crate::loss::Head;
use crate::testing::{assert_close, numbers, to_f64};
use std::ops::Range;

/// Two norms in a row, with the same gain and bias.
fn norms(
    backend: &mut dyn Backend,
    weights: &[f32],
    layout: &Layout,
    x: Address,
    rows: usize,
) -> [Norm; 2] {
    let at = &layout.embed_norm;
    let width = at.weight.len();
    let [gain, bias] = [&at.weight, &at.bias].map(|range| put(backend, &weights[range.clone()]));
    let mut norm = |x| Norm {
        x,
        gain,
        bias,
        y: Numbers::floats(unwritten(backend, rows * width)),
        statistics: unwritten(backend, 2 * rows),
        drop: Drop::NONE,
        rows: rows as i32,
        width: width as i32,
    };
    let first = norm(x);
    [first, norm(first.y.at)]
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
            condition: Condition::Token,
            mixer: MixerKind::Attention,
            deviation: None,
            positions: 0,
            norm_placement: NormPlacement::Pre,
            norm_epsilon: EPSILON,
            next_observation: None,
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
            own[shape.condition.tokens(length) * width..].fill(0.0);
            let mut x = embedding::forward(&layout.embedding, &to_f64(&weights), steps);
            embedding::backward(
                &layout.embedding,
                steps,
                &to_f64(&own[..x.len()]),
                &mut gradient,
            );
            x.resize(3 * context * width, 0.0);
            expected.extend(x);
        }
        for mut backend in backends() {
            let backend = &mut *backend;
            let at_weights = put(backend, &weights);
            let at_timesteps = put_words(backend, &timesteps);
            let at_lengths = put_words(backend, &lengths.map(|n| n as u32));
            let (x, at_dx) = (unwritten(backend, 3 * steps * width), put(backend, &dx));
            let at = &layout.embedding;
            let pairs: Vec<_> = at.kinds().collect();
            let at_inputs: Vec<_> = inputs.iter().map(|input| put(backend, input)).collect();
            let kind = |kind: usize| Kind {
                input: at_inputs[kind],
                weight: at_weights.words(pairs[kind].weight.start),
                bias: at_weights.words(pairs[kind].bias.start),
                inputs: (inputs[kind].len() / steps) as i32,
            };
            let [norm, next] = norms(backend, &weights, &layout, x, 3 * steps);
            let embed = Embed {
                return_to_go: kind(0),
                observation: kind(1),
                action: kind(2),
                timesteps: at_timesteps,
                lengths: at_lengths,
                table: at_weights.words(layout.embedding.timestep.start),
                to: x,
                norm,
                next,
                steps: steps as i32,
                context: context as i32,
                width: width as i32,
            };
            run(backend, [embed.launch()]);
            assert_close(&take(backend, x, 3 * steps * width), &expected, "tokens");
            let gain = to_f64(&weights[layout.embed_norm.weight.clone()]);
            let bias = to_f64(&weights[layout.embed_norm.bias.clone()]);
            let mut normed = expected.clone();
            for norm in [norm, next] {
                normed = layer_norm(&normed, &gain, &bias);
                assert_close(&take(backend, norm.y.at, normed.len()), &normed, "norm");
            }
            for slices in [1, 2, steps] {
                let slice_steps = steps.div_ceil(slices) as i32;
                let kind = |backend: &mut dyn Backend, kind: usize| KindGradient {
                    input: at_inputs[kind],
                    weight: unwritten(backend, slices * pairs[kind].weight.len()),
                    bias: unwritten(backend, slices * width),
                    inputs: (inputs[kind].len() / steps) as i32,
                    slices: slices as i32,
                    slice_steps,
                };
                let kinds = [0, 1, 2].map(|index| kind(backend, index));
                let backward = EmbedBackward {
                    return_to_go: kinds[0],
                    observation: kinds[1],
                    action: kinds[2],
                    dx: at_dx,
                    timesteps: at_timesteps,
                    lengths: at_lengths,
                    table: unwritten(backend, slices * shape.timesteps * width),
                    steps: steps as i32,
                    context: context as i32,
                    width: width as i32,
                    table_rows: shape.timesteps as i32,
                    slice_steps,
                    slices: slices as i32,
                };
                run(backend, [backward.launch()]);
                let mut check = |from, range: &Range<usize>| {
                    let parts = take(backend, from, slices * range.len());
                    let of = |i| parts.chunks(range.len()).map(|part| part[i]).sum::<f32>();
                    let found: Vec<f32> = (0..range.len()).map(of).collect();
                    let expected = &gradient[range.clone()];
                    // The action of a window's only step gets no gradient.
                    if expected.iter().any(|g| *g != 0.0) {
                        assert_close(&found, expected, &format!("gradient in {slices} slices"));
                    } else {
                        assert!(found.iter().all(|g| *g == 0.0));
                    }
                };
                for (kind, pair) in kinds.iter().zip(&pairs) {
                    check(kind.weight, &pair.weight);
                    check(kind.bias, &pair.bias);
                }
                check(backward.table, &layout.embedding.timestep);
            }
        }
    }
}
