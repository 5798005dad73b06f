//! A Decision Transformer with one loss function for both engines.

use std::ops::Range;

use dfdx::prelude::*;

use super::fused::Fused;
use super::loss;
use super::transformer::{ParameterTensor, Transformer};
use rtg_kernels::adamw::{self, Buffers, Step};
use rtg_kernels::decision_transformer::{Engine, Layout, Shape, Windows};
use rtg_kernels::lamb::{self, Parameter};
use rtg_kernels::likelihood::{Entropy, Likelihood};
use rtg_kernels::{Denominator, Dropout, Objective, Precision};

/// The sizes of a model and its engine. The owner keeps the parameters, as one flat vector.
pub struct SequenceNetwork {
    /// Sizes and switches.
    pub shape: Shape,
    /// Names and ranges of the weights in the flat vector.
    pub layout: Layout,
    compute: Compute,
}

/// One of the two engines.
enum Compute {
    /// rtg's kernels.
    Fused(Fused),
    /// dfdx's own operations: the parameters as a tensor, and the sum of the gradients.
    Composed {
        parameters: ParameterTensor,
        gradient: Vec<f32>,
    },
}

impl SequenceNetwork {
    /// A network of this shape. With `fused`, steps use rtg's kernels, with that precision in large
    /// products.
    pub fn new(shape: Shape, fused: Option<Precision>, threads: usize) -> Self {
        let layout = Layout::new(&shape);
        let compute = match fused {
            Some(precision) => Compute::Fused(Fused::new(Engine::with(shape, threads, precision))),
            None => Compute::Composed {
                parameters: Cpu::default().zeros_like(&(layout.len(),)),
                gradient: Vec::new(),
            },
        };
        Self {
            shape,
            layout,
            compute,
        }
    }

    /// How the entropy of a stochastic policy counts in the following batches. The composed engine
    /// has deterministic ones only.
    pub fn set_entropy(&mut self, entropy: Entropy) {
        if let Compute::Fused(fused) = &self.compute {
            fused.set_entropy(entropy);
        }
    }

    /// The likelihood of the last batch's actions in a stochastic policy, or of the part of it that
    /// was computed; zeros of a deterministic one.
    pub fn likelihood(&self) -> Likelihood {
        match &self.compute {
            Compute::Fused(fused) => fused.engine().likelihood(),
            Compute::Composed { .. } => Likelihood::default(),
        }
    }

    /// The loss on a batch; its gradient is added to the one that
    /// [`SequenceNetwork::take_gradient`] returns.
    ///
    /// # Panics
    /// If the machine has no memory for a gradient, as any operation of dfdx does.
    pub fn accumulate(
        &mut self,
        values: &[f32],
        windows: &Windows,
        objective: Objective,
        denominator: Denominator,
        dropout: Option<&Dropout>,
    ) -> f64 {
        let all = (windows, 0..windows.lengths.len());
        self.accumulate_part(values, all, objective, denominator, dropout)
    }

    /// The same for some windows of a batch: what they contribute to its loss and gradient. Only
    /// the fused engine can divide a batch.
    ///
    /// # Panics
    /// As [`SequenceNetwork::accumulate`], or if the composed engine gets less than a whole batch.
    pub fn accumulate_part(
        &mut self,
        values: &[f32],
        (windows, part): (&Windows, Range<usize>),
        objective: Objective,
        denominator: Denominator,
        dropout: Option<&Dropout>,
    ) -> f64 {
        match &mut self.compute {
            Compute::Fused(fused) => {
                let part = (windows, part);
                let loss = fused.traced_loss(values, part, objective, denominator, dropout);
                let value = f64::from(loss.array());
                loss.backward();
                value
            }
            Compute::Composed {
                parameters,
                gradient,
            } => {
                assert_eq!(part.len(), windows.lengths.len(), "a whole batch");
                parameters.copy_from(values);
                let composed = Transformer {
                    shape: &self.shape,
                    layout: &self.layout,
                    parameters,
                    dropout,
                };
                let loss = loss::loss(composed.forward(windows), windows, objective, denominator);
                let value = f64::from(loss.array());
                let mut gradients = loss.backward();
                let fresh = gradients
                    .get_or_alloc_mut(parameters)
                    .expect("backward allocated it");
                if gradient.is_empty() {
                    *gradient = std::mem::take(&mut **fresh);
                } else {
                    let sums = gradient.iter_mut().zip(fresh.iter());
                    sums.for_each(|(sum, value)| *sum += value);
                }
                value
            }
        }
    }

    /// The loss on a batch without dropout; no gradient is added.
    pub fn loss(
        &mut self,
        values: &[f32],
        windows: &Windows,
        objective: Objective,
        denominator: Denominator,
    ) -> f64 {
        match &mut self.compute {
            Compute::Fused(fused) => fused.loss(values, windows, objective, denominator),
            Compute::Composed { parameters, .. } => {
                parameters.copy_from(values);
                let composed = Transformer {
                    shape: &self.shape,
                    layout: &self.layout,
                    parameters,
                    dropout: None,
                };
                let loss = loss::loss(composed.forward(windows), windows, objective, denominator);
                f64::from(loss.array())
            }
        }
    }

    /// Swaps `into` with the gradient summed over the batches since the last call.
    pub fn take_gradient(&mut self, into: &mut Vec<f32>) {
        match &mut self.compute {
            Compute::Fused(fused) => fused.take_gradient(into),
            Compute::Composed { gradient, .. } => *into = std::mem::take(gradient),
        }
    }

    /// Whether steps use rtg's kernels.
    pub fn is_fused(&self) -> bool {
        matches!(self.compute, Compute::Fused(_))
    }

    /// One step of AdamW, on the engine's threads if it has any.
    pub fn update(&self, step: &Step, buffers: Buffers<'_>) {
        match &self.compute {
            Compute::Fused(fused) => fused.engine().update(step, buffers),
            Compute::Composed { .. } => adamw::update(step, buffers),
        }
    }

    /// One step of LAMB, on the engine's threads if it has any.
    pub fn update_by_tensor(&self, parameters: &[Parameter], step: &Step, buffers: Buffers<'_>) {
        match &self.compute {
            Compute::Fused(fused) => fused.engine().update_by_tensor(parameters, step, buffers),
            Compute::Composed { .. } => lamb::update(parameters, step, buffers),
        }
    }
}
