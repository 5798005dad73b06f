//! The update of an actor through its critics, TD3+BC's, against the reference and finite
//! differences.

use super::*;

const ROWS: usize = 9;
const LAMBDA: f64 = 1.7;

fn critic_shape() -> Shape {
    Shape::new(&[5, 3], &[33, 20], 1).ensemble(2)
}

fn actor_shape() -> Shape {
    Shape::new(&[5], &[24, 17], 3)
}

fn side_by_side(s: &[f64], a: &[f64]) -> Vec<f64> {
    let rows = s.chunks(5).zip(a.chunks(3));
    rows.flat_map(|(s, a)| [s, a].concat()).collect()
}

#[test]
fn the_critics_update_is_the_reference() {
    let pool = Pool::new(2);
    let mut critics = network(&critic_shape());
    let (s, a, y) = (numbers(1, ROWS * 5), numbers(2, ROWS * 3), numbers(3, ROWS));
    let mut pass = Pass::new();
    critics.forward(&pool, &[&s, &a], &mut pass);
    let dq: Vec<f32> = (pass.outputs().chunks(ROWS))
        .flat_map(|q| q.iter().zip(&y).map(|(q, y)| 2.0 * (q - y) / ROWS as f32))
        .collect();
    let mut gradient = vec![0.0; critics.layout().len()];
    critics.backward(&pool, &dq, Want::parameters(&mut gradient), &mut pass);

    let input = side_by_side(&to_f64(&s), &to_f64(&a));
    let parameters = to_f64(critics.parameters());
    let outputs =
        |parameters: &[f64]| reference::forward(&critic_shape(), parameters, &input, None);
    let exact: Vec<f64> = (outputs(&parameters).chunks(ROWS))
        .flat_map(|q| {
            q.iter()
                .zip(&y)
                .map(|(q, y)| 2.0 * (q - f64::from(*y)) / ROWS as f64)
        })
        .collect();
    let expected = reference::backward(&critic_shape(), &parameters, &input, None, &exact);
    assert_close(&gradient, &expected.parameters, "critics");
    assert_gradient(&parameters, &expected.parameters, |parameters| {
        let each = outputs(parameters);
        let squares = each.chunks(ROWS).flat_map(|q| q.iter().zip(&y));
        squares
            .map(|(q, y)| (q - f64::from(*y)).powi(2) / ROWS as f64)
            .sum()
    });
}

#[test]
fn the_actors_update_through_a_critic_is_the_reference() {
    let scale = 1.5;
    let pool = Pool::new(2);
    let (mut actor, mut critics) = (network(&actor_shape()), network(&critic_shape()));
    let (s, a) = (numbers(1, ROWS * 5), numbers(2, ROWS * 3));
    let (mut of_actor, mut of_critic) = (Pass::new(), Pass::new());
    actor.forward(&pool, &[&s], &mut of_actor);
    let mut pi = vec![0.0; ROWS * 3];
    heads::tanh::forward(scale, of_actor.outputs(), &mut pi);
    critics.forward_of(&pool, 0..1, None, &[&s, &pi], &mut of_critic);
    let dq = vec![-LAMBDA as f32 / ROWS as f32; ROWS];
    critics.backward(&pool, &dq, Want::input(1), &mut of_critic);
    let mut da = of_critic.input_gradients().to_vec();
    for (da, (pi, a)) in da.iter_mut().zip(pi.iter().zip(&a)) {
        *da += 2.0 * (pi - a) / (ROWS * 3) as f32;
    }
    let mut dz = vec![0.0; ROWS * 3];
    heads::tanh::backward(scale, &pi, &da, &mut dz);
    let mut gradient = vec![0.0; actor.layout().len()];
    actor.backward(&pool, &dz, Want::parameters(&mut gradient), &mut of_actor);

    let (s, a) = (to_f64(&s), to_f64(&a));
    let parameters = to_f64(actor.parameters());
    let first = to_f64(&critics.parameters()[..critics.layout().member_len()]);
    let one = critic_shape().ensemble(1);
    let scale = f64::from(scale);
    let policy = |parameters: &[f64]| -> Vec<f64> {
        let z = reference::forward(&actor_shape(), parameters, &s, None);
        z.iter().map(|z| scale * z.tanh()).collect()
    };
    let pi = policy(&parameters);
    let dq = vec![-LAMBDA / ROWS as f64; ROWS];
    let input = side_by_side(&s, &pi);
    let of_critic = reference::backward(&one, &first, &input, None, &dq);
    let at_actions = columns(&of_critic.inputs, 8, 5..8);
    let dz: Vec<f64> = (0..ROWS * 3)
        .map(|at| {
            let da = at_actions[at] + 2.0 * (pi[at] - a[at]) / (ROWS * 3) as f64;
            da * (scale - pi[at] * pi[at] / scale)
        })
        .collect();
    let expected = reference::backward(&actor_shape(), &parameters, &s, None, &dz);
    assert_close(&gradient, &expected.parameters, "actor");
    assert_gradient(&parameters, &expected.parameters, |parameters| {
        let pi = policy(parameters);
        let q = reference::forward(&one, &first, &side_by_side(&s, &pi), None);
        let cloned = pi.iter().zip(&a).map(|(pi, a)| (pi - a).powi(2));
        let cloning = cloned.sum::<f64>() / (ROWS * 3) as f64;
        cloning - LAMBDA * q.iter().sum::<f64>() / ROWS as f64
    });
}
