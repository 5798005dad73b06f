//! Conversion of a Q-network's outputs to values of actions, and of gradients back.

use serde::{Deserialize, Serialize};

/// The meaning of a Q-network's outputs.
///
/// A plain network outputs a value for each action. A quantile network outputs N quantiles of the
/// return for each action, action by action; their mean is the value (Dabney et al. 2018). A
/// dueling network outputs an advantage for each action, followed by the state value V (Wang et al.
/// 2016):
///
/// ```text
/// Q_b = V + adv_b - mean_c adv_c
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// Number of actions, A.
    pub actions: usize,
    /// Outputs per action, N; 1 is the mean return, more are quantiles.
    pub quantiles: usize,
    /// Whether the network is dueling; only with one output per action.
    pub dueling: bool,
}

impl Form {
    /// Number of outputs of the network.
    pub fn outputs(&self) -> usize {
        if self.dueling {
            self.actions + 1
        } else {
            self.actions * self.quantiles
        }
    }

    /// Values, rows x A x N, from rows x outputs.
    pub fn values(&self, outputs: &[f32], to: &mut Vec<f32>) {
        to.clear();
        if !self.dueling {
            to.extend_from_slice(outputs);
            return;
        }
        for row in outputs.chunks(self.outputs()) {
            let (advantages, value) = row.split_at(self.actions);
            let mean = advantages.iter().sum::<f32>() / self.actions as f32;
            to.extend(
                advantages
                    .iter()
                    .map(|advantage| value[0] + advantage - mean),
            );
        }
    }

    /// The gradient of the outputs, from that of the values.
    pub fn backward(&self, gradients: &[f32], to: &mut Vec<f32>) {
        to.clear();
        if !self.dueling {
            to.extend_from_slice(gradients);
            return;
        }
        for row in gradients.chunks(self.actions) {
            let sum = row.iter().sum::<f32>();
            let mean = sum / self.actions as f32;
            to.extend(row.iter().map(|gradient| gradient - mean));
            to.push(sum);
        }
    }

    /// The mean of each action's quantiles: rows x A, from rows x A x N.
    pub fn means(&self, values: &[f32], to: &mut Vec<f32>) {
        to.clear();
        if self.quantiles == 1 {
            to.extend_from_slice(values);
            return;
        }
        let mean = |of: &[f32]| of.iter().map(|&x| f64::from(x)).sum::<f64>() / of.len() as f64;
        to.extend(values.chunks(self.quantiles).map(|of| mean(of) as f32));
    }
}

/// The index of the largest number, the first one among equals.
pub(in crate::algorithms) fn argmax(row: &[f32]) -> usize {
    let numbers = row.iter().enumerate();
    numbers.fold(
        0,
        |best, (index, value)| {
            if *value > row[best] { index } else { best }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtg_kernels::testing::{assert_close, assert_gradient, numbers, to_f64};

    #[test]
    fn a_dueling_network_gives_values_whose_mean_is_the_states() {
        let form = Form {
            actions: 3,
            quantiles: 1,
            dueling: true,
        };
        let outputs = numbers(1, 2 * form.outputs());
        let (mut values, mut gradients) = (Vec::new(), Vec::new());
        form.values(&outputs, &mut values);
        for (row, values) in outputs.chunks(4).zip(values.chunks(3)) {
            assert!((values.iter().sum::<f32>() / 3.0 - row[3]).abs() < 1e-6);
            assert!((values[1] - values[0] - (row[1] - row[0])).abs() < 1e-6);
        }
        let weights = numbers(2, 6);
        form.backward(&weights, &mut gradients);
        let loss = |outputs: &[f64]| -> f64 {
            let rows = outputs.chunks(4).zip(weights.chunks(3));
            let of = |(row, weights): (&[f64], &[f32])| -> f64 {
                let mean = row[..3].iter().sum::<f64>() / 3.0;
                let terms = row[..3].iter().zip(weights);
                terms
                    .map(|(a, w)| f64::from(*w) * (row[3] + a - mean))
                    .sum()
            };
            rows.map(of).sum()
        };
        assert_gradient(&to_f64(&outputs), &to_f64(&gradients), loss);
    }

    #[test]
    fn the_value_of_an_action_is_the_mean_of_its_quantiles() {
        let form = Form {
            actions: 2,
            quantiles: 2,
            dueling: false,
        };
        let (mut values, mut means) = (Vec::new(), Vec::new());
        form.values(&[1.0, 2.0, -1.0, 0.0], &mut values);
        form.means(&values, &mut means);
        assert_close(&means, &[1.5, -0.5], "means");
    }

    #[test]
    fn of_equal_values_the_first_is_chosen() {
        assert_eq!(argmax(&[1.0, 2.0, 2.0]), 1);
        assert_eq!(argmax(&[0.0, 0.0]), 0);
    }
}
