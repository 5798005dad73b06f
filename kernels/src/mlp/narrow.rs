//! Products of a few columns: the last layer of most networks, and the gradient at a few columns of
//! the input. A register tile would compute unused columns.

use crate::simd::{Simd, dispatched};

/// The most columns that are computed here.
pub(super) const MOST: usize = 8;

/// Rows that share a load of a column's vector.
const ROWS: usize = 4;

/// Vectors of inputs whose sums stay in registers.
const VECTORS: usize = 8;

dispatched! {
    /// `to[r, c] = sum_d x[r, d] columns[c, d] + bias[c]`, for rows of x of length `depth` and one
    /// vector of that length for each column. Each element is added up in the same order, whatever
    /// rows are computed with it.
    pub(super) fn product(
        x: &[f32],
        columns: &[f32],
        depth: usize,
        bias: Option<&[f32]>,
        to: &mut [f32],
    ) = product_with;
}

#[inline(always)]
fn product_with<S: Simd>(
    s: S,
    x: &[f32],
    columns: &[f32],
    depth: usize,
    bias: Option<&[f32]>,
    to: &mut [f32],
) {
    let count = columns.len() / depth;
    for (x, to) in x.chunks(ROWS * depth).zip(to.chunks_mut(ROWS * count)) {
        let rows = x.len() / depth;
        for (c, column) in columns.chunks(depth).enumerate() {
            let mut sums = [s.splat(0.0); ROWS];
            for at in (0..depth).step_by(S::LANES) {
                let end = depth.min(at + S::LANES);
                let factor = s.load(&column[at..end]);
                for (r, sum) in sums[..rows].iter_mut().enumerate() {
                    let x = s.load(&x[r * depth + at..r * depth + end]);
                    *sum = s.mul_add(x, factor, *sum);
                }
            }
            let bias = bias.map_or(0.0, |bias| bias[c]);
            for (r, sum) in sums[..rows].iter().enumerate() {
                to[r * count + c] = s.sum(*sum) + bias;
            }
        }
    }
}

/// The gradient of a layer with few outputs: x is rows x `stride`, of which the inputs `first..`
/// are computed, as many as `weight` has rows.
#[derive(Clone, Copy)]
pub(super) struct Factors<'a> {
    pub(super) x: &'a [f32],
    pub(super) stride: usize,
    pub(super) first: usize,
    /// rows x outputs
    pub(super) dy: &'a [f32],
    pub(super) outputs: usize,
}

dispatched! {
    /// `weight[i, o] (+)= sum_r x[r, first + i] dy[r, o]`, in the order of the rows.
    pub(super) fn gradient(factors: Factors<'_>, add: bool, weight: &mut [f32]) = gradient_with;
}

#[inline(always)]
fn gradient_with<S: Simd>(s: S, factors: Factors<'_>, add: bool, weight: &mut [f32]) {
    let Factors {
        x,
        stride,
        first,
        dy,
        outputs,
    } = factors;
    let inputs = weight.len() / outputs;
    let block = VECTORS * S::LANES;
    for start in (0..inputs).step_by(block) {
        let end = inputs.min(start + block);
        for o in 0..outputs {
            let mut sums = [s.splat(0.0); VECTORS];
            for (x, dy) in x.chunks(stride).zip(dy.chunks(outputs)) {
                let x = x[first + start..first + end].chunks(S::LANES);
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum = s.mul_add(s.load(x), s.splat(dy[o]), *sum);
                }
            }
            for (sum, i) in sums.into_iter().zip((start..end).step_by(S::LANES)) {
                let mut lanes = [0.0; 16];
                s.store(sum, &mut lanes);
                for (i, value) in (i..end.min(i + S::LANES)).zip(lanes) {
                    let to = &mut weight[i * outputs + o];
                    *to = if add { *to + value } else { value };
                }
            }
        }
    }
}

/// `bias[o] += sum_r dy[r, o]`; nothing if there is no bias.
pub(super) fn bias_gradient(dy: &[f32], bias: &mut [f32]) {
    let outputs = bias.len();
    for (o, bias) in bias.iter_mut().enumerate() {
        *bias += dy.iter().skip(o).step_by(outputs).sum::<f32>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::reference;
    use crate::precision::Precision;
    use crate::simd::Level;
    use crate::testing::{assert_close, numbers, to_f64};

    #[test]
    fn narrow_products_are_the_reference_in_value_and_gradient() {
        for level in Level::available() {
            for (rows, inputs, outputs) in [(1, 1, 1), (5, 17, 1), (9, 300, 3), (64, 130, 8)] {
                let x = numbers(1, rows * inputs);
                let weight = numbers(2, inputs * outputs);
                let bias = numbers(3, outputs);
                let dy = numbers(4, rows * outputs);
                let (exact_x, exact_weight) = (to_f64(&x), to_f64(&weight));
                let mut columns = vec![0.0; weight.len()];
                for (at, w) in weight.iter().enumerate() {
                    columns[at % outputs * inputs + at / outputs] = *w;
                }
                let mut y = vec![0.0; rows * outputs];
                product(level, &x, &columns, inputs, Some(&bias), &mut y);
                let expected =
                    reference::forward(Precision::F32, &exact_x, &exact_weight, &to_f64(&bias));
                assert_close(&y, &expected, "y");
                let expected = reference::backward(
                    Precision::F32,
                    &exact_x,
                    &exact_weight,
                    &to_f64(&dy),
                    outputs,
                );
                let mut dw = vec![0.0; weight.len()];
                let whole = Factors {
                    x: &x,
                    stride: inputs,
                    first: 0,
                    dy: &dy,
                    outputs,
                };
                gradient(level, whole, false, &mut dw);
                assert_close(&dw, &expected.weight, "dw");
                let mut parts = vec![0.0; weight.len()];
                let half = inputs / 2;
                let (low, high) = parts.split_at_mut(half * outputs);
                gradient(level, whole, true, low);
                gradient(
                    level,
                    Factors {
                        first: half,
                        ..whole
                    },
                    true,
                    high,
                );
                assert_eq!(parts, dw);
                let mut db = vec![0.0; outputs];
                bias_gradient(&dy, &mut db);
                assert_close(&db, &expected.bias, "db");
            }
        }
    }
}
