//! A naive AdamW in f64.

use super::AdamW;

/// Weights and moments.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// w
    pub weights: Vec<f64>,
    /// m; empty before the first update
    pub mean: Vec<f64>,
    /// v; empty before the first update
    pub square: Vec<f64>,
}

impl State {
    /// One update; `step` counts from 1.
    pub fn update(&mut self, adamw: &AdamW, rate: f64, step: u64, gradient: &[f64]) {
        self.mean.resize(gradient.len(), 0.0);
        self.square.resize(gradient.len(), 0.0);
        let power = step as f64;
        for (i, g) in gradient.iter().enumerate() {
            self.weights[i] -= rate * adamw.decay * self.weights[i];
            self.mean[i] = adamw.beta_1 * self.mean[i] + (1.0 - adamw.beta_1) * g;
            self.square[i] = adamw.beta_2 * self.square[i] + (1.0 - adamw.beta_2) * g * g;
            let mean = self.mean[i] / (1.0 - adamw.beta_1.powf(power));
            let square = self.square[i] / (1.0 - adamw.beta_2.powf(power));
            self.weights[i] -= rate * mean / (square.sqrt() + adamw.epsilon);
        }
    }
}
