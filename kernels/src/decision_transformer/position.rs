//! A vector that every token gets behind the embedding's norm.
//!
//! The Decision Transformer of `transformers` keeps GPT-2's table of positions and looks up
//! position 0 for every token (`modeling_decision_transformer.py`), so the first row p of that
//! table is a second bias of the norm:
//!
//! ```text
//! x = x_hat gain + bias + p          dp = dbias
//! ```
//!
//! Bias and vector are parameters of their own: each has its moments, and a step moves their sum
//! twice. The other rows of the table get no gradient, and weight decay alone moves them, as in
//! PyTorch.

use super::layout::Layout;
use super::shape::Shape;

/// The bias of the embedding's norm, with the vector if there is one: C numbers.
pub(crate) fn bias(layout: &Layout, parameters: &[f32], to: &mut Vec<f32>) {
    to.clear();
    to.extend_from_slice(&parameters[layout.embed_norm.bias.clone()]);
    if let Some(position) = &layout.position {
        let added = &parameters[position.clone()];
        to.iter_mut().zip(added).for_each(|(bias, p)| *bias += p);
    }
}

/// The vector's gradient, which is the bias's.
pub(crate) fn backward(layout: &Layout, gradient: &mut [f32]) {
    if let Some(position) = &layout.position {
        gradient.copy_within(layout.embed_norm.bias.clone(), position.start);
    }
}

/// The same network without the vector, which becomes a part of the bias: it computes the same
/// bits.
pub fn merged(shape: &Shape, parameters: &[f32]) -> (Shape, Vec<f32>) {
    let layout = Layout::new(shape);
    let mut parameters = parameters.to_vec();
    let mut sum = Vec::new();
    bias(&layout, &parameters, &mut sum);
    parameters[layout.embed_norm.bias.clone()].copy_from_slice(&sum);
    if let Some(position) = &layout.position {
        let table = position.start..position.start + shape.positions * shape.width;
        parameters.drain(table);
    }
    let shape = Shape {
        positions: 0,
        ..*shape
    };
    (shape, parameters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::decision_transformer::engine::Engine;
    use crate::decision_transformer::shape::{Condition, MixerKind, NormPlacement};
    use crate::decision_transformer::windows::{LossTargets, Side, Windows};
    use crate::layer_norm::EPSILON;
    use crate::loss::Head;
    use crate::testing::numbers;

    #[test]
    fn the_merged_network_computes_the_same_bits() {
        let shape = Shape {
            observation: 3,
            action: 2,
            context: 4,
            width: 24,
            heads: 2,
            layers: 2,
            timesteps: 9,
            activation: Activation::Relu,
            head: Head::Tanh { scale: 1.0 },
            condition: Condition::Token,
            mixer: MixerKind::Attention,
            deviation: None,
            positions: 5,
            norm_placement: NormPlacement::Pre,
            norm_epsilon: EPSILON,
            next_observation: None,
        };
        let parameters = numbers(1, Layout::new(&shape).len());
        let observations = numbers(2, 2 * 4 * 3);
        let actions = numbers(3, 2 * 4 * 2);
        let windows = Windows {
            observations: &observations,
            actions: &actions,
            returns_to_go: &numbers(4, 2 * 4),
            timesteps: &[0, 1, 2, 3, 5, 6, 7, 8],
            lengths: &[4, 3],
            side: Side::Left,
            context: 4,
            targets: LossTargets::default(),
        };
        let predict = |shape: Shape, parameters: &[f32]| {
            let mut found = vec![0.0; 2 * 4 * 2];
            Engine::new(shape, 1).predict(parameters, &windows, &mut found);
            found
        };
        let (plain, merged) = merged(&shape, &parameters);
        assert_eq!(merged.len(), Layout::new(&plain).len());
        let own = predict(shape, &parameters);
        assert_eq!(predict(plain, &merged), own);
        let mut moved = parameters;
        let position = Layout::new(&shape).position.unwrap();
        moved[position].iter_mut().for_each(|p| *p += 1.0);
        assert_ne!(predict(shape, &moved), own);
    }
}
