//! The passes against the reference, and the reference against finite differences.

use super::*;
use crate::simd::Level;
use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

mod actor_critic;
mod divided;
mod tangent;

const KEY: u64 = 11;

/// Every activation, norm and dropout; odd widths; narrow and wide outputs and input parts.
fn shapes() -> Vec<Shape> {
    let norm = |place, epsilon| Some(Norm { place, epsilon });
    let plain = Shape::new(&[11, 3], &[37, 40], 1);
    vec![
        Shape::new(&[3], &[], 2),
        plain.clone().ensemble(2),
        Shape {
            activation: Activation::Tanh,
            dropout: 0.3,
            ..Shape::new(&[17], &[64, 5, 33], 12)
        },
        Shape {
            activation: Activation::Gelu,
            norm: norm(Place::BeforeActivation, 1e-5),
            dropout: 0.2,
            ..plain.clone().ensemble(3)
        },
        Shape {
            norm: norm(Place::AfterActivation, 1e-6),
            dropout: 0.1,
            ..Shape::new(&[9, 20], &[31, 48], 2).ensemble(2)
        },
        Shape {
            activation: Activation::Tanh,
            norm: norm(Place::AfterActivation, 1e-2),
            ..plain
        },
    ]
}

fn network(shape: &Shape) -> Network {
    let layout = Layout::new(shape);
    let mut parameters = numbers(1, layout.len());
    for view in layout.views() {
        let is_gain = view.name.ends_with("norm.weight");
        for x in &mut parameters[view.range.clone()] {
            *x = if is_gain { 1.0 + 0.3 * *x } else { 0.3 * *x };
        }
    }
    Network::new(shape, parameters)
}

/// The input parts, and all of them side by side.
fn input(shape: &Shape, rows: usize) -> (Vec<Vec<f32>>, Vec<f32>) {
    let widths = shape.inputs.iter().zip(2..);
    let parts: Vec<_> = widths
        .map(|(width, seed)| numbers(seed, rows * width))
        .collect();
    let mut whole = Vec::new();
    for row in 0..rows {
        for (part, width) in parts.iter().zip(&shape.inputs) {
            whole.extend(&part[row * width..(row + 1) * width]);
        }
    }
    (parts, whole)
}

/// Columns of each row.
fn columns(whole: &[f64], width: usize, columns: std::ops::Range<usize>) -> Vec<f64> {
    let rows = whole.chunks(width);
    rows.flat_map(|row| row[columns.clone()].to_vec()).collect()
}

#[test]
fn passes_are_the_reference_in_value_and_every_gradient() {
    for level in Level::available() {
        let pool = Pool::at(level, 2);
        for shape in shapes() {
            for rows in [1, 7, 70, 1100] {
                let mut network = network(&shape);
                let (parts, whole) = input(&shape, rows);
                let parts: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
                let parameters = to_f64(network.parameters());
                let whole = to_f64(&whole);
                let mut pass = Pass::new();
                network.forward_of(&pool, 0..shape.members, Some(KEY), &parts, &mut pass);
                let expected = reference::forward(&shape, &parameters, &whole, Some(KEY));
                assert_close(pass.outputs(), &expected, "outputs");

                let dy = numbers(8, expected.len());
                let exact = to_f64(&dy);
                let expected = reference::backward(&shape, &parameters, &whole, Some(KEY), &exact);
                let mut found = vec![f32::NAN; parameters.len()];
                for part in 0..shape.inputs.len() {
                    let want = Want {
                        parameters: Gradient::Set(&mut found),
                        input_part: Some(part),
                    };
                    network.backward(&pool, &dy, want, &mut pass);
                    let place = shape.part(part);
                    let expected = columns(&expected.inputs, shape.width(), place);
                    assert_close(pass.input_gradients(), &expected, "input gradients");
                }
                assert_close(&found, &expected.parameters, "gradient");
                let want = Want {
                    parameters: Gradient::Add(&mut found),
                    input_part: None,
                };
                network.backward(&pool, &dy, want, &mut pass);
                let twice: Vec<f64> = expected.parameters.iter().map(|x| 2.0 * x).collect();
                assert_close(&found, &twice, "gradient, twice");
            }
        }
    }
}

#[test]
fn the_reference_gradient_is_the_finite_difference() {
    for shape in shapes() {
        let shape = Shape {
            hidden: shape.hidden.iter().map(|width| width / 5).collect(),
            ..shape
        };
        let parameters = to_f64(network(&shape).parameters());
        let whole = to_f64(&input(&shape, 4).1);
        let dy = to_f64(&numbers(8, shape.members * 4 * shape.outputs));
        let loss = |parameters: &[f64], whole: &[f64]| -> f64 {
            let outputs = reference::forward(&shape, parameters, whole, Some(KEY));
            outputs.iter().zip(&dy).map(|(y, d)| y * d).sum()
        };
        let gradients = reference::backward(&shape, &parameters, &whole, Some(KEY), &dy);
        assert_gradient(&parameters, &gradients.parameters, |parameters| {
            loss(parameters, &whole)
        });
        let mut inputs = vec![0.0; whole.len()];
        for member in gradients.inputs.chunks(whole.len()) {
            inputs.iter_mut().zip(member).for_each(|(to, x)| *to += x);
        }
        assert_gradient(&whole, &inputs, |whole| loss(&parameters, whole));
    }
}

#[test]
#[expect(clippy::float_cmp, reason = "unchanged numbers keep their bits")]
fn members_can_pass_alone() {
    let shape = Shape::new(&[5, 2], &[33, 40], 1).ensemble(3);
    let pool = Pool::new(1);
    let mut network = network(&shape);
    let (parts, _) = input(&shape, 40);
    let parts = [&parts[0][..], &parts[1]];
    let mut all = Pass::new();
    network.forward(&pool, &parts, &mut all);
    let dy = numbers(8, 3 * 40);
    let mut gradient = vec![0.0; network.layout().len()];
    let want = Want {
        parameters: Gradient::Set(&mut gradient),
        input_part: Some(1),
    };
    network.backward(&pool, &dy, want, &mut all);

    let mut one = Pass::new();
    network.forward_of(&pool, 1..2, None, &parts, &mut one);
    assert_eq!(one.outputs(), &all.outputs()[40..80]);
    let mut alone = vec![7.0; gradient.len()];
    let want = Want {
        parameters: Gradient::Set(&mut alone),
        input_part: Some(1),
    };
    network.backward(&pool, &dy[40..80], want, &mut one);
    assert_eq!(one.input_gradients(), &all.input_gradients()[80..160]);
    let len = network.layout().member_len();
    assert_eq!(alone[len..2 * len], gradient[len..2 * len]);
    assert!(
        alone[..len]
            .iter()
            .chain(&alone[2 * len..])
            .all(|x| *x == 7.0)
    );

    let mut sum = vec![0.0; 80];
    all.sum_input_gradients(&mut sum);
    let [a, b, c] = [0, 80, 160].map(|start| &all.input_gradients()[start..start + 80]);
    let expected: Vec<f32> = (0..80).map(|i| 0.0 + a[i] + b[i] + c[i]).collect();
    assert_eq!(sum, expected);
}

#[test]
fn the_bits_depend_neither_on_threads_nor_on_the_rows_beside() {
    for level in Level::available() {
        for members in [1, 2, 3] {
            let norm = Norm {
                place: Place::AfterActivation,
                epsilon: 1e-5,
            };
            let shape = Shape {
                norm: Some(norm),
                dropout: 0.1,
                ..Shape::new(&[11, 3], &[256, 200], 1).ensemble(members)
            };
            let rows = 100;
            let (parts, _) = input(&shape, rows);
            let parts = [&parts[0][..], &parts[1]];
            let run = |threads| {
                let pool = Pool::at(level, threads);
                let mut network = network(&shape);
                let mut pass = Pass::new();
                pool.update(|| {
                    network.forward_of(&pool, 0..members, Some(KEY), &parts, &mut pass);
                    let dy = numbers(8, pass.outputs().len());
                    let mut gradient = vec![0.0; network.layout().len()];
                    let want = Want {
                        parameters: Gradient::Set(&mut gradient),
                        input_part: Some(0),
                    };
                    network.backward(&pool, &dy, want, &mut pass);
                    (
                        pass.outputs().to_vec(),
                        pass.input_gradients().to_vec(),
                        gradient,
                    )
                })
            };
            let expected = run(1);
            assert_eq!(run(2), expected, "{level:?}");
            assert_eq!(run(3), expected, "{level:?}");
        }
    }
}

#[test]
fn acting_gives_the_bits_of_training_whatever_rows_act_together() {
    for level in Level::available() {
        for shape in shapes() {
            let most = 130;
            let (parts, _) = input(&shape, most);
            let mut network = network(&shape);
            let mut pass = Pass::new();
            let all: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
            network.forward(&Pool::at(level, 1), &all, &mut pass);
            let width = shape.outputs;
            for (threads, first, rows) in [(1, 3, 1), (1, 60, 5), (2, 1, 129), (3, 0, 130)] {
                let pool = Pool::at(level, threads);
                let widths = parts.iter().zip(&shape.inputs);
                let some: Vec<&[f32]> = widths
                    .map(|(part, width)| &part[first * width..(first + rows) * width])
                    .collect();
                let mut outputs = vec![0.0; shape.members * rows * width];
                network.infer(&pool, &some, &mut outputs);
                let expected = pass.outputs().chunks(most * width);
                let expected: Vec<f32> = expected
                    .flat_map(|member| member[first * width..(first + rows) * width].to_vec())
                    .collect();
                assert_eq!(outputs, expected, "{level:?}, {rows} rows");
            }
        }
    }
}

#[test]
fn units_that_are_always_zero_are_counted() {
    let norm = Norm {
        place: Place::AfterActivation,
        epsilon: 1e-5,
    };
    for norm in [None, Some(norm)] {
        let shape = Shape {
            norm,
            ..Shape::new(&[3], &[4, 5], 1).ensemble(2)
        };
        let mut network = network(&shape);
        let biases = network.layout().range("member.1.layer.1.bias").unwrap();
        // Two of five units are far below 0, the others far above.
        let values = [-50.0, 50.0, 50.0, -50.0, 50.0];
        network.parameters_mut()[biases].copy_from_slice(&values);
        let first = network.layout().range("member.0.layer.0.bias").unwrap();
        network.parameters_mut()[first].fill(50.0);
        let others = network.layout().range("member.1.layer.0.bias").unwrap();
        network.parameters_mut()[others].fill(50.0);
        let last = network.layout().range("member.0.layer.1.bias").unwrap();
        network.parameters_mut()[last].fill(500.0);
        let mut pass = Pass::new();
        // The first layer's outputs are about 50 each, or with the norm about 1.
        let weights = network.layout().range("member.1.layer.1.weight").unwrap();
        network.parameters_mut()[weights].fill(0.0);
        network.forward(&Pool::new(1), &[&numbers(3, 12)], &mut pass);
        assert_eq!(network.silent_units(&pass), [2, 18]);
    }
}

#[test]
fn changed_parameters_are_packed_again() {
    let shape = Shape::new(&[4], &[20], 3);
    let pool = Pool::new(1);
    let mut network = network(&shape);
    let x = numbers(3, 8);
    let mut before = vec![0.0; 6];
    network.infer(&pool, &[&x], &mut before);
    network.parameters_mut().iter_mut().for_each(|w| *w *= 0.5);
    let mut after = vec![0.0; 6];
    network.infer(&pool, &[&x], &mut after);
    let mut expected = vec![0.0; 6];
    network.clone().infer(&pool, &[&x], &mut expected);
    assert_eq!(after, expected);
    assert_ne!(after, before);
}

#[test]
#[should_panic(expected = "the parameters are those of the forward pass")]
fn the_backward_pass_needs_the_parameters_of_the_forward_pass() {
    let shape = Shape::new(&[4], &[20], 3);
    let pool = Pool::new(1);
    let mut network = network(&shape);
    let mut pass = Pass::new();
    network.forward(&pool, &[&numbers(3, 8)], &mut pass);
    network.parameters_mut()[0] = 1.0;
    let mut gradient = vec![0.0; network.layout().len()];
    network.backward(&pool, &[0.0; 6], Want::parameters(&mut gradient), &mut pass);
}

#[test]
fn a_batch_without_rows_has_no_gradient() {
    let shape = Shape::new(&[4], &[20], 3);
    let pool = Pool::new(2);
    let mut network = network(&shape);
    let mut pass = Pass::new();
    network.forward(&pool, &[&[]], &mut pass);
    assert!(pass.outputs().is_empty());
    let mut gradient = vec![1.0; network.layout().len()];
    network.backward(&pool, &[], Want::parameters(&mut gradient), &mut pass);
    assert!(gradient.iter().all(|g| *g == 0.0));
}
