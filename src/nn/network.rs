//! A Decision Transformer's parameters as a dfdx tensor, with either engine behind one loss.

use dfdx::prelude::*;

use super::transformer::{Parameters, Traced, Transformer};
use super::{fused, loss};
use crate::kernels::decision_transformer::{Engine, Layout, Shape, Windows};
use crate::kernels::{Denominator, Dropout, Objective, Precision};

/// The parameters and what computes with them.
pub struct Network {
    /// Sizes and choices.
    pub shape: Shape,
    /// Names and places of the weights in the flat vector.
    pub layout: Layout,
    parameters: Parameters,
    gradient: Vec<f32>,
    /// `None`: dfdx's own operations.
    engine: Option<Engine>,
}

impl Network {
    /// A network over these parameters. With `fused`, steps go through our kernels, whose large
    /// products have that precision.
    pub fn new(
        shape: Shape,
        parameters: Vec<f32>,
        fused: Option<Precision>,
        threads: usize,
    ) -> Self {
        let layout = Layout::new(&shape);
        let count = parameters.len();
        let engine = fused.map(|precision| Engine::with(shape, threads, precision));
        let parameters = Cpu::default().tensor_from_vec(parameters, (count,));
        Self {
            shape,
            layout,
            parameters,
            gradient: Vec::new(),
            engine,
        }
    }

    /// The loss on a batch; its gradient is added to what [`Network::take_gradient`] gives.
    ///
    /// # Panics
    /// If the machine has no memory for a gradient, as any operation of dfdx does.
    pub fn accumulate(
        &mut self,
        windows: &Windows,
        objective: Objective,
        denominator: Denominator,
        dropout: Option<&Dropout>,
    ) -> f64 {
        let loss = self.traced_loss(windows, objective, denominator, dropout);
        let value = f64::from(loss.array());
        let mut gradients = loss.backward();
        let fresh = gradients
            .get_or_alloc_mut(&self.parameters)
            .expect("backward allocated it");
        if self.gradient.is_empty() {
            self.gradient = std::mem::take(&mut **fresh);
        } else {
            self.gradient
                .iter_mut()
                .zip(fresh.iter())
                .for_each(|(sum, value)| *sum += value);
        }
        value
    }

    /// The loss on a batch without dropout; no gradient is added.
    pub fn loss(
        &mut self,
        windows: &Windows,
        objective: Objective,
        denominator: Denominator,
    ) -> f64 {
        let loss = self.traced_loss(windows, objective, denominator, None);
        f64::from(loss.array())
    }

    fn traced_loss(
        &mut self,
        windows: &Windows,
        objective: Objective,
        denominator: Denominator,
        dropout: Option<&Dropout>,
    ) -> Traced<()> {
        if let Some(engine) = &mut self.engine {
            let parameters = self.parameters.leaky_trace();
            return fused::loss(engine, parameters, windows, objective, denominator, dropout);
        }
        let composed = Transformer {
            shape: &self.shape,
            layout: &self.layout,
            parameters: &self.parameters,
            dropout,
        };
        loss::loss(composed.forward(windows), windows, objective, denominator)
    }

    /// The gradient summed over the batches since it was last taken.
    pub fn take_gradient(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.gradient)
    }

    /// The fused engine, whose threads others may use too.
    pub fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// Replaces the flat parameter vector.
    pub fn set_parameters(&mut self, values: &[f32]) {
        self.parameters.copy_from(values);
    }
}
