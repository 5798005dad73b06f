//! A naive LAMB in f64.

use crate::adamw::AdamW;

/// Weights and moments of all tensors, concatenated.
#[derive(Clone, Debug)]
pub struct LambState {
    /// w
    pub weights: Vec<f64>,
    /// m
    pub mean: Vec<f64>,
    /// v
    pub square: Vec<f64>,
}

impl LambState {
    /// Before the first update.
    pub fn new(weights: &[f64]) -> Self {
        Self {
            weights: weights.to_vec(),
            mean: vec![0.0; weights.len()],
            square: vec![0.0; weights.len()],
        }
    }

    /// One update of tensors of these lengths; `step` counts from 1.
    pub fn update(
        &mut self,
        lengths: &[usize],
        constants: &AdamW,
        rate: f64,
        step: u64,
        gradient: &[f64],
    ) {
        let power = step as f64;
        let mut start = 0;
        for length in lengths {
            let range = start..start + length;
            start = range.end;
            let mut directions = Vec::new();
            for i in range.clone() {
                let (g, w) = (gradient[i], self.weights[i]);
                self.mean[i] = constants.beta_1 * self.mean[i] + (1.0 - constants.beta_1) * g;
                self.square[i] =
                    constants.beta_2 * self.square[i] + (1.0 - constants.beta_2) * g * g;
                let mean = self.mean[i] / (1.0 - constants.beta_1.powf(power));
                let square = self.square[i] / (1.0 - constants.beta_2.powf(power));
                directions.push(mean / (square.sqrt() + constants.epsilon) + constants.decay * w);
            }
            let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
            let norms = (norm(&self.weights[range.clone()]), norm(&directions));
            let ratio = match norms {
                (weights, steps) if weights > 0.0 && steps > 0.0 => weights / steps,
                _ => 1.0,
            };
            for (w, u) in self.weights[range].iter_mut().zip(directions) {
                *w -= rate * ratio * u;
            }
        }
    }
}
