//! A Decision Transformer's parameters as a dfdx tensor, with either engine behind one loss.

use dfdx::prelude::*;

use super::transformer::{Parameters, Transformer};
use super::{fused, loss};
use crate::kernels::{Denominator, Dropout, Engine, Layout, Objective, Shape, Windows};

/// The parameters and what computes with them.
pub struct Network {
    /// Sizes and choices.
    pub shape: Shape,
    /// Names and places of the weights in the flat vector.
    pub layout: Layout,
    parameters: Parameters,
    gradients: Gradients<f32, Cpu>,
    /// `None`: dfdx's own operations.
    engine: Option<Engine>,
}

impl Network {
    /// A network over these parameters. With `fused`, steps go through our kernels.
    pub fn new(shape: Shape, parameters: Vec<f32>, fused: bool, threads: usize) -> Self {
        let layout = Layout::new(&shape);
        let count = parameters.len();
        let engine = fused.then(|| Engine::new(&shape, threads));
        let parameters = Cpu::default().tensor_from_vec(parameters, (count,));
        Self { shape, layout, parameters, gradients: Gradients::leaky(), engine }
    }

    /// The loss on a batch; its gradient is added to what [`Network::take_gradient`] gives.
    pub fn accumulate(
        &mut self,
        windows: &Windows,
        objective: Objective,
        denominator: Denominator,
        dropout: Option<&Dropout>,
    ) -> f64 {
        let gradients = std::mem::replace(&mut self.gradients, Gradients::leaky());
        let parameters = self.parameters.trace(gradients);
        let loss = match &mut self.engine {
            Some(engine) => fused::loss(engine, parameters, windows, objective, denominator, dropout),
            None => {
                let (shape, layout) = (&self.shape, &self.layout);
                let transformer = Transformer { shape, layout, parameters: &self.parameters, dropout };
                let predictions = transformer.forward(windows);
                let (predictions, tape) = predictions.split_tape();
                let (_, earlier) = parameters.split_tape();
                let predictions = predictions.put_tape(earlier.merge(tape));
                loss::loss(predictions, windows, objective, denominator)
            }
        };
        let value = f64::from(loss.array());
        self.gradients = loss.backward();
        self.gradients.retain_leafs(&[*self.parameters.id()]);
        value
    }

    /// The gradient summed over the batches since it was last taken.
    pub fn take_gradient(&mut self) -> Vec<f32> {
        let mut gradients = std::mem::replace(&mut self.gradients, Gradients::leaky());
        gradients.get_or_alloc_mut(&self.parameters).map(std::mem::take).unwrap_or_default()
    }

    /// A copy of the flat parameter vector.
    pub fn parameters(&self) -> Vec<f32> {
        self.parameters.as_vec()
    }

    /// Replaces the flat parameter vector.
    pub fn set_parameters(&mut self, values: &[f32]) {
        self.parameters.copy_from(values);
    }
}
