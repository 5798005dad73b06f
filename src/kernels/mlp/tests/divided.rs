//! Divided passes against whole ones, on one process and on several.

use super::*;
use crate::parallel::{Division, World, threads};

const ROWS: usize = 70;
const PARTS: usize = 5;

/// Outputs, gradients at the last input part, the gradient at the parameters and onto another, and
/// outputs without dropout.
fn passes(shape: &Shape, world: Option<World>) -> Vec<Vec<f32>> {
    let mut pool = Pool::new(2);
    if let Some(world) = world {
        pool.divide(Division::new(world, PARTS).unwrap());
    }
    let mut network = network(shape);
    let (parts, _) = input(shape, ROWS);
    let parts: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
    let mut pass = Pass::new();
    // All members but the first, if there are several.
    let members = shape.members / 2..shape.members;
    network.forward_of(&pool, members, Some(KEY), &parts, &mut pass);
    let dy = numbers(8, pass.outputs().len());
    let mut gradient = numbers(9, network.parameters().len());
    let mut sum = gradient.clone();
    let wants = [Gradient::Set(&mut gradient), Gradient::Add(&mut sum)];
    for parameters in wants {
        let want = Want {
            parameters,
            input_part: Some(shape.inputs.len() - 1),
        };
        network.backward(&pool, &dy, want, &mut pass);
    }
    let mut inferred = vec![0.0; shape.members * ROWS * shape.outputs];
    network.infer(&pool, &parts, &mut inferred);
    let [outputs, inputs] = [pass.outputs(), pass.input_gradients()].map(<[f32]>::to_vec);
    vec![outputs, inputs, inferred, gradient, sum]
}

#[test]
fn parts_add_up_to_the_batch_and_any_number_of_processes_gives_the_same_bits() {
    for shape in shapes() {
        let whole = passes(&shape, None);
        let divided = passes(&shape, Some(World::alone()));
        // A row does not depend on the others.
        assert_eq!(divided[..3], whole[..3]);
        for (found, expected) in divided[3..].iter().zip(&whole[3..]) {
            assert_close(found, &to_f64(expected), "gradient");
        }
        for ranks in 2..=3 {
            let all = threads::run(ranks, |world| passes(&shape, Some(world)));
            assert!(all.iter().all(|found| *found == divided), "{ranks} ranks");
        }
    }
}
