//! The gradient of a loss of the input's gradient, against the reference and finite differences.

use super::*;

const ROWS: usize = 40;

fn shape() -> Shape {
    Shape::new(&[11, 3], &[37, 40, 9], 1).ensemble(3)
}

/// Cotangents of the second input part, members x rows x width of the whole input.
fn whole(cotangents: &[f32]) -> Vec<f64> {
    let rows = cotangents.chunks(3);
    rows.flat_map(|row| [vec![0.0; 11], to_f64(row)].concat())
        .collect()
}

#[test]
fn it_is_the_reference_on_any_number_of_threads() {
    let shape = shape();
    let (parts, input) = input(&shape, ROWS);
    let parts = [&parts[0][..], &parts[1]];
    let (scales, cotangents) = (numbers(8, 3 * ROWS), numbers(9, 3 * ROWS * 3));
    for level in Level::available() {
        let run = |threads| {
            let pool = Pool::at(level, threads);
            let mut network = network(&shape);
            let (mut pass, mut tangents) = (Pass::new(), Pass::new());
            network.forward(&pool, &parts, &mut pass);
            network.backward(&pool, &[1.0; 3 * ROWS], Want::input(1), &mut pass);
            let mut found = vec![f32::NAN; network.layout().len()];
            let of = (1, &scales[..], &cotangents[..]);
            network.backward_of_input_gradients(&pool, of, &pass, &mut tangents, &mut found);
            found
        };
        let found = run(1);
        assert_eq!(run(2), found, "{level:?}");
        let parameters = to_f64(network(&shape).parameters());
        let input = to_f64(&input);
        let ones = vec![1.0; 3 * ROWS];
        let second = reference::backward_of_input_gradients(
            &shape,
            &parameters,
            &input,
            &ones,
            &whole(&cotangents),
        );
        let first = reference::backward(&shape, &parameters, &input, None, &to_f64(&scales));
        let expected = first.parameters.iter().zip(&second);
        let expected: Vec<f64> = expected.map(|(a, b)| a + b).collect();
        assert_close(&found, &expected, "gradient");
    }
}

#[test]
fn the_reference_is_the_finite_difference() {
    let shape = Shape::new(&[4, 2], &[7, 5], 1).ensemble(2);
    let parameters = to_f64(network(&shape).parameters());
    let input = to_f64(&input(&shape, 4).1);
    let output_gradients = to_f64(&numbers(8, 2 * 4));
    let cotangents = to_f64(&numbers(9, 2 * 4 * 6));
    let found = reference::backward_of_input_gradients(
        &shape,
        &parameters,
        &input,
        &output_gradients,
        &cotangents,
    );
    assert_gradient(&parameters, &found, |parameters| {
        let back = reference::backward(&shape, parameters, &input, None, &output_gradients);
        back.inputs
            .iter()
            .zip(&cotangents)
            .map(|(g, v)| g * v)
            .sum()
    });
}
