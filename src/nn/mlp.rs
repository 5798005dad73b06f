//! A multi-layer perceptron composed of dfdx's operations: linear layers with `ReLU` and dropout
//! between them.
//!
//! Nothing is trained with it: it is the reference of the tests of
//! [`kernels::mlp`](rtg_kernels::mlp). All weights are stored in one flat vector, layer by
//! layer: the matrix, inputs x outputs, then the bias.

use std::ops::Range;

use dfdx::prelude::*;

use super::initialise::{fill_uniform, linear_bound};
use crate::random::Stream;
use rtg_kernels::{Dropout, Head, Objective, Site};

/// Sizes of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp {
    /// Width of each layer, from inputs to outputs.
    pub sizes: Vec<usize>,
    /// The function applied to the outputs.
    pub head: Head,
}

/// One linear layer.
struct Linear {
    inputs: usize,
    outputs: usize,
    /// Range of the matrix in the flat vector, inputs x outputs.
    weight: Range<usize>,
    bias: Range<usize>,
}

impl Mlp {
    fn layers(&self) -> Vec<Linear> {
        let mut end = 0;
        (self.sizes.windows(2))
            .map(|sizes| {
                let (inputs, outputs) = (sizes[0], sizes[1]);
                let weight = end..end + inputs * outputs;
                end = weight.end + outputs;
                Linear {
                    inputs,
                    outputs,
                    bias: weight.end..end,
                    weight,
                }
            })
            .collect()
    }

    /// Numbers in the flat vector.
    pub fn len(&self) -> usize {
        self.layers().last().map_or(0, |layer| layer.bias.end)
    }

    /// Whether it has no parameters.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// New weights from PyTorch's default distribution of `Linear`, which both published codes
    /// keep.
    pub fn initialise(&self, stream: &mut Stream) -> Vec<f32> {
        let mut parameters = vec![0.0; self.len()];
        for layer in self.layers() {
            let bound = linear_bound(layer.inputs);
            let place = layer.weight.start..layer.bias.end;
            fill_uniform(&mut parameters[place], bound, stream);
        }
        parameters
    }

    /// The mean loss over the rows and its gradient. `inputs` is rows x inputs, `targets` rows x
    /// outputs.
    ///
    /// # Panics
    /// If the machine has no memory for a gradient, as any operation of dfdx does.
    pub fn loss_and_gradient(
        &self,
        parameters: &[f32],
        inputs: &[f32],
        targets: &[f32],
        objective: Objective,
        dropout: Option<&Dropout>,
    ) -> (f64, Vec<f32>) {
        let device = Cpu::default();
        let width = self.sizes.last().copied().unwrap_or_default();
        let rows = targets.len() / width.max(1);
        let leaf = device.tensor_from_vec(parameters.to_vec(), (parameters.len(),));
        let layers = self.layers();
        let mut x = device
            .tensor_from_vec(inputs.to_vec(), (rows, inputs.len() / rows.max(1)))
            .leaky_traced();
        for (index, layer) in layers.iter().enumerate() {
            let matrix = leaf
                .leaky_trace()
                .slice((layer.weight.clone(),))
                .reshape_like(&(layer.inputs, layer.outputs));
            let bias = leaf.leaky_trace().slice((layer.bias.clone(),));
            let shape = (rows, layer.outputs);
            x = x.matmul(matrix) + bias.broadcast_like::<_, Axis<0>>(&shape);
            if index + 1 == layers.len() {
                continue;
            }
            x = x.relu();
            if let Some(dropout) = dropout {
                let mut keep = vec![0.0; rows * layer.outputs];
                for (row, mask) in keep.chunks_mut(layer.outputs).enumerate() {
                    dropout.mask(Site::Mlp { layer: index }, row, 0, mask);
                }
                x = x * device.tensor_from_vec(keep, shape);
            }
        }
        let shape = (rows, width);
        let targets = device.tensor_from_vec(targets.to_vec(), shape);
        if let Head::Tanh { scale } = self.head {
            x = x.tanh() * scale;
        }
        let loss = match objective {
            Objective::SquaredError => (x - targets).square().sum() / (rows * width).max(1) as f32,
            Objective::CrossEntropy => {
                (x.log_softmax::<Axis<1>>() * targets).sum() / -(rows.max(1) as f32)
            }
        };
        let value = f64::from(loss.array());
        let mut gradients = loss.backward();
        let gradient = gradients
            .get_or_alloc_mut(&leaf)
            .expect("backward allocated it");
        (value, std::mem::take(&mut **gradient))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(name: &str, count: usize) -> Vec<f32> {
        let mut values = vec![0.0; count];
        fill_uniform(&mut values, 1.0, &mut Stream::new(1, name));
        values
    }

    fn network(head: Head) -> Mlp {
        Mlp {
            sizes: vec![5, 7, 6, 3],
            head,
        }
    }

    #[test]
    fn the_gradient_is_the_finite_difference_dropout_included() {
        let one_hot = [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0].to_vec();
        let dropout = Dropout {
            probability_attention: 0.0,
            probability_residual: 0.3,
            probability_embedding: 0.0,
            key: 9,
        };
        for (head, objective, targets) in [
            (
                Head::Tanh { scale: 2.0 },
                Objective::SquaredError,
                numbers("targets", 12),
            ),
            (Head::Logits, Objective::CrossEntropy, one_hot),
        ] {
            let network = network(head);
            let parameters = numbers("parameters", network.len());
            let inputs = numbers("inputs", 20);
            let loss = |parameters: &[f32]| {
                network.loss_and_gradient(parameters, &inputs, &targets, objective, Some(&dropout))
            };
            let (_, gradient) = loss(&parameters);
            for place in 0..parameters.len() {
                let shifted = |by: f32| {
                    let mut parameters = parameters.clone();
                    parameters[place] += by;
                    loss(&parameters).0
                };
                let slope = (shifted(1e-2) - shifted(-1e-2)) / 2e-2;
                let error = (slope - f64::from(gradient[place])).abs();
                assert!(error < 2e-3 + 0.02 * slope.abs(), "{place}: {slope}");
            }
        }
    }

    #[test]
    fn our_own_network_gives_the_same_loss_and_gradient() {
        use rtg_kernels::mlp::{Network, Pass, Pool, Shape, Want, heads::tanh};
        let (rows, rate, scale) = (40, 0.25, 1.5);
        let dropout = Dropout {
            probability_attention: 0.0,
            probability_residual: rate,
            probability_embedding: 0.0,
            key: 9,
        };
        let theirs = Mlp {
            sizes: vec![11, 48, 37, 3],
            head: Head::Tanh { scale },
        };
        let mut shape = Shape::new(&[11], &[48, 37], 3);
        shape.dropout = rate;
        let parameters = theirs.initialise(&mut Stream::new(1, "weights"));
        let (inputs, targets) = (numbers("inputs", rows * 11), numbers("targets", rows * 3));
        let objective = Objective::SquaredError;
        let (loss, expected) =
            theirs.loss_and_gradient(&parameters, &inputs, &targets, objective, Some(&dropout));

        let mut ours = Network::new(&shape, parameters);
        let (pool, mut pass) = (Pool::new(1), Pass::new());
        ours.forward_of(&pool, 0..1, Some(dropout.key), &[&inputs], &mut pass);
        let mut actions = vec![0.0; rows * 3];
        tanh::forward(scale, pass.outputs(), &mut actions);
        let differences: Vec<f32> = actions.iter().zip(&targets).map(|(a, t)| a - t).collect();
        let count = (rows * 3) as f32;
        let found = differences.iter().map(|d| d * d).sum::<f32>() / count;
        assert!(
            (f64::from(found) / loss - 1.0).abs() < 1e-5,
            "{found}, not {loss}"
        );

        let da: Vec<f32> = differences.iter().map(|d| 2.0 * d / count).collect();
        let (mut dz, mut gradient) = (da.clone(), vec![0.0; expected.len()]);
        tanh::backward(scale, &actions, &da, &mut dz);
        ours.backward(&pool, &dz, Want::parameters(&mut gradient), &mut pass);
        let largest = expected.iter().fold(0.0_f32, |most, g| most.max(g.abs()));
        for (found, expected) in gradient.iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 1e-5 * largest,
                "{found}, not {expected}"
            );
        }
    }
}
