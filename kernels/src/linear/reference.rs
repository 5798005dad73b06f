//! A naive fully connected layer.

use crate::precision::Precision;
use crate::real::Real;

/// The gradients of a layer.
pub struct Gradient<R> {
    /// rows x in
    pub x: Vec<R>,
    /// in x out
    pub weight: Vec<R>,
    /// out
    pub bias: Vec<R>,
}

/// Y = X W + b: x is rows x in, weight in x out; returns rows x out.
pub fn forward<R: Real>(precision: Precision, x: &[R], weight: &[R], bias: &[R]) -> Vec<R> {
    let (x, weight) = (precision.round(x), precision.round(weight));
    let outputs = bias.len();
    let inputs = weight.len() / outputs;
    let rows = x.len() / inputs;
    let mut y = Vec::with_capacity(rows * outputs);
    for r in 0..rows {
        for o in 0..outputs {
            let mut sum = R::zero();
            for i in 0..inputs {
                sum += x[r * inputs + i] * weight[i * outputs + o];
            }
            y.push(sum + bias[o]);
        }
    }
    y
}

/// dX, dW and db from dY (rows x out).
pub fn backward<R: Real>(
    precision: Precision,
    x: &[R],
    weight: &[R],
    dy: &[R],
    outputs: usize,
) -> Gradient<R> {
    let (x, weight, factor) = (
        precision.round(x),
        precision.round(weight),
        precision.round(dy),
    );
    let inputs = weight.len() / outputs;
    let rows = x.len() / inputs;
    let mut gradient = Gradient {
        x: vec![R::zero(); x.len()],
        weight: vec![R::zero(); weight.len()],
        bias: vec![R::zero(); outputs],
    };
    for r in 0..rows {
        for o in 0..outputs {
            gradient.bias[o] += dy[r * outputs + o];
            let d = factor[r * outputs + o];
            for i in 0..inputs {
                gradient.x[r * inputs + i] += d * weight[i * outputs + o];
                gradient.weight[i * outputs + o] += d * x[r * inputs + i];
            }
        }
    }
    gradient
}
