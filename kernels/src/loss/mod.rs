//! The end of the model: from the head's numbers z to predictions, to the loss, and to the gradient
//! at z.
//!
//! ```text
//! Head::Tanh     y = scale tanh z       dz = dy scale (1 - tanh^2 z) = dy (scale - y^2 / scale)
//! Head::Logits   y = z                  dz = dy
//! SquaredError   sum (y - a)^2 / N      dy = 2 (y - a) / N
//! CrossEntropy   sum_steps (ln sum_k e^y_k - y_a) / N
//!                                       dy_k = (e^y_k / sum_j e^y_j - [k = a]) / N
//! ```
//!
//! The sums run over valid steps. N counts the numbers (squared error: steps x A; cross-entropy:
//! steps) of the valid steps, as the original code does, or of all steps with the padding, as CORL
//! does, or all steps alone, as d3rlpy does ([`Denominator`]). The rows are A numbers short, so
//! there is nothing to vectorise: `cpu` differs from `reference` in its precision only.

pub(crate) mod cpu;
pub(crate) mod cuda;
pub mod reference;

/// How the head's numbers become predictions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Head {
    /// continuous actions in -scale..scale
    Tanh {
        /// the largest action
        scale: f32,
    },
    /// the logarithms of unnormalised probabilities, or unbounded actions
    Logits,
}

impl Head {
    /// Turns the head's numbers into predictions, in place.
    pub fn predict(self, z: &mut [f32]) {
        cpu::predict(self, z);
    }

    /// The derivative of a prediction y in the head's number that gave it.
    pub(crate) fn slope(self, y: f32) -> f32 {
        match self {
            Self::Tanh { scale } => scale - y * y / scale,
            Self::Logits => 1.0,
        }
    }
}

/// The loss of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// between predicted and taken action
    SquaredError,
    /// of the taken action, the largest number of its one-hot row
    CrossEntropy,
}

/// Which steps the mean counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denominator {
    /// valid steps
    Valid,
    /// valid and padded steps
    All,
    /// valid and padded steps, each once: squared errors are summed over the numbers of an action
    Steps,
}

impl Objective {
    /// N: `steps` times what a step counts for.
    pub fn count(self, denominator: Denominator, steps: usize, action: usize) -> usize {
        match self {
            Self::SquaredError if denominator != Denominator::Steps => steps * action,
            Self::SquaredError | Self::CrossEntropy => steps,
        }
    }
}

/// The index of the largest number, the first of equals.
pub(crate) fn largest<R: PartialOrd>(row: &[R]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::{Head, Objective, cpu, reference};
    use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

    const CASES: [(Head, Objective); 3] = [
        (Head::Tanh { scale: 0.4 }, Objective::SquaredError),
        (Head::Logits, Objective::SquaredError),
        (Head::Logits, Objective::CrossEntropy),
    ];

    #[test]
    fn the_fast_loss_is_the_reference_in_value_and_gradient() {
        let (rows, width) = (9, 5);
        let z = numbers(1, rows * width);
        let actions = numbers(2, rows * width);
        for (head, objective) in CASES {
            let (y, loss, dz) =
                reference::loss(head, objective, &to_f64(&z), &to_f64(&actions), width, 7.0);
            let mut fast = z.clone();
            cpu::predict(head, &mut fast);
            assert_close(&fast, &y, "y");
            let mut gradient = vec![0.0; z.len()];
            let found = cpu::loss(head, objective, &fast, &actions, width, 7, &mut gradient);
            assert!((found / loss - 1.0).abs() < 1e-6);
            assert_close(&gradient, &dz, "dz");
        }
    }

    #[test]
    fn the_reference_gradient_is_the_finite_difference() {
        let z = to_f64(&numbers(1, 12));
        let actions = to_f64(&numbers(2, 12));
        for (head, objective) in CASES {
            let (_, _, dz) = reference::loss(head, objective, &z, &actions, 4, 3.0);
            assert_gradient(&z, &dz, |z| {
                reference::loss(head, objective, z, &actions, 4, 3.0).1
            });
        }
    }
}
