//! One layer forward, as training and acting compute it.

use super::epilogue::{self, Hidden};
use super::layout::{Layer, Place, Shape};
use super::narrow;
use super::weights::Pack;
use crate::dropout::cpu::Masks;
use crate::layer_norm;
use crate::linear::cpu::{Left, product};
use crate::simd::Level;

/// A layer of one member.
#[derive(Clone, Copy)]
pub(super) struct Linear<'a> {
    pub(super) level: Level,
    pub(super) shape: &'a Shape,
    pub(super) layer: &'a Layer,
    /// Of the member.
    pub(super) parameters: &'a [f32],
    pub(super) pack: &'a Pack,
}

/// The destination of a hidden layer's numbers; rows x width each.
pub(super) struct Targets<'a> {
    pub(super) output: &'a mut [f32],
    /// If a backward pass follows and the activation is not `ReLU`.
    pub(super) slope: Option<&'a mut [f32]>,
    /// If there is a norm.
    pub(super) unnormed: &'a mut [f32],
    pub(super) statistics: &'a mut [[f32; 2]],
    pub(super) masks: Option<Masks<'a>>,
}

impl Linear<'_> {
    fn bias(&self) -> &[f32] {
        &self.parameters[self.layer.bias.clone()]
    }

    /// A hidden layer of the rows x.
    pub(super) fn hidden(&self, x: &[f32], rows: usize, mut to: Targets<'_>) {
        let activation = self.shape.activation;
        let bias = self.bias();
        match self.shape.norm {
            None => {
                let finish = Hidden {
                    activation,
                    bias,
                    masks: to.masks,
                    slope: to.slope,
                    output: to.output,
                };
                return self.multiply(x, rows, finish);
            }
            Some(norm) if norm.place == Place::BeforeActivation => {
                let finish = epilogue::Linear {
                    bias,
                    to: to.unnormed,
                };
                self.multiply(x, rows, finish);
                self.norm(norm.epsilon, &mut to);
                epilogue::activate_all(self.level, activation, to.output, to.slope);
            }
            Some(norm) => {
                let finish = Hidden {
                    activation,
                    bias,
                    masks: None,
                    slope: to.slope.as_deref_mut(),
                    output: to.unnormed,
                };
                self.multiply(x, rows, finish);
                self.norm(norm.epsilon, &mut to);
            }
        }
        if let Some(masks) = to.masks {
            epilogue::drop_all(self.level, masks, self.layer.outputs, to.output);
        }
    }

    /// The last layer, which is linear.
    pub(super) fn last(&self, x: &[f32], rows: usize, to: &mut [f32]) {
        let bias = self.bias();
        if self.layer.narrow {
            let columns = &self.pack.columns;
            narrow::product(self.level, x, columns, self.layer.inputs, Some(bias), to);
        } else {
            self.multiply(x, rows, epilogue::Linear { bias, to });
        }
    }

    fn multiply(&self, x: &[f32], rows: usize, finish: impl epilogue::Finish) {
        let left = Left::rows(x, rows, self.layer.inputs);
        product(self.level, left, self.pack.panels.all(), finish);
    }

    fn norm(&self, epsilon: f32, to: &mut Targets<'_>) {
        let Some(place) = self.layer.norm.clone() else {
            return;
        };
        let (gain, bias) = self.parameters[place].split_at(self.layer.outputs);
        let (from, statistics) = (&*to.unnormed, &mut *to.statistics);
        layer_norm::cpu::forward_at(self.level, epsilon, from, gain, bias, to.output, statistics);
    }
}
