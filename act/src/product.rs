//! Y = X W + b.
//!
//! Every element is one sum along the depth, in its order, whatever rows and columns are computed
//! with it; so a row has the same bits alone and among others. One row streams through the weights;
//! several go through a panel of columns in blocks that stay in registers.

use alloc::vec::Vec;
use core::ops::Range;

use crate::error::Error;
use crate::reader::{Memory, Numbers, Pair, Reader};

/// Columns of a block.
const LANES: usize = 8;
/// Rows of a block.
const ROWS: usize = 4;

/// A fully connected layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    at: Pair,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// Copies of what a product reads over and over.
pub(crate) struct Scratch {
    /// Blocks of rows, input by input.
    left: Vec<f32>,
    /// Some columns, input by input.
    panel: Vec<f32>,
}

impl Scratch {
    /// For products of at most this many rows and inputs.
    pub(crate) fn new(memory: &mut Memory, rows: usize, inputs: usize) -> Result<Self, Error> {
        Ok(Self {
            left: memory.zeros(&[rows.next_multiple_of(ROWS), inputs])?,
            panel: memory.zeros(&[inputs, LANES])?,
        })
    }
}

impl Linear {
    pub(crate) fn new(at: Pair, inputs: usize, outputs: usize) -> Self {
        Self {
            at,
            inputs,
            outputs,
        }
    }

    /// `NAME.weight` and `NAME.bias` of a file.
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, Error> {
        Ok(Self::new(
            reader.pair(name, &[inputs, outputs])?,
            inputs,
            outputs,
        ))
    }

    /// The outputs of some rows.
    pub(crate) fn forward(self, bytes: &[u8], x: &[f32], scratch: &mut Scratch, y: &mut [f32]) {
        self.columns(bytes, 0..self.outputs, x, scratch, y);
    }

    /// Some of the outputs of some rows.
    pub(crate) fn columns(
        self,
        bytes: &[u8],
        columns: Range<usize>,
        x: &[f32],
        scratch: &mut Scratch,
        y: &mut [f32],
    ) {
        let (weight, bias) = (self.at.weight.of(bytes), self.at.bias.of(bytes));
        let wide = Wide {
            weight,
            stride: self.outputs,
            columns: columns.clone(),
        };
        if x.len() == self.inputs {
            wide.row(x, y);
        } else {
            wide.rows(x, self.inputs, scratch, y);
        }
        for y in y.chunks_exact_mut(columns.len()) {
            for (y, bias) in y.iter_mut().zip(&bias[columns.clone()]) {
                *y += f32::from_le_bytes(*bias);
            }
        }
    }
}

/// Some columns of a weight.
struct Wide<'a> {
    weight: Numbers<'a>,
    stride: usize,
    columns: Range<usize>,
}

impl Wide<'_> {
    fn row(&self, x: &[f32], y: &mut [f32]) {
        y.fill(0.0);
        for (x, weights) in x.iter().zip(self.weight.chunks_exact(self.stride)) {
            // Behind a ReLU every other number is zero.
            if *x != 0.0 {
                for (y, weight) in y.iter_mut().zip(&weights[self.columns.clone()]) {
                    *y += x * f32::from_le_bytes(*weight);
                }
            }
        }
    }

    fn rows(&self, x: &[f32], inputs: usize, scratch: &mut Scratch, y: &mut [f32]) {
        let width = self.columns.len();
        let left = &mut scratch.left[..(x.len() / inputs).next_multiple_of(ROWS) * inputs];
        for (x, left) in x
            .chunks(ROWS * inputs)
            .zip(left.chunks_exact_mut(ROWS * inputs))
        {
            transpose(x, inputs, left);
        }
        let panel = &mut scratch.panel[..inputs * LANES];
        for start in (0..width).step_by(LANES) {
            let lanes = LANES.min(width - start);
            let panel = panel.as_chunks_mut::<LANES>().0;
            for (to, weights) in panel.iter_mut().zip(self.weight.chunks_exact(self.stride)) {
                let from = &weights[self.columns.start + start..][..lanes];
                for (to, weight) in to.iter_mut().zip(from) {
                    *to = f32::from_le_bytes(*weight);
                }
            }
            let blocks = left.chunks_exact(ROWS * inputs);
            for (left, y) in blocks.zip(y.chunks_mut(ROWS * width)) {
                let sums = block(left.as_chunks().0, panel);
                for (y, sums) in y.chunks_exact_mut(width).zip(&sums) {
                    y[start..start + lanes].copy_from_slice(&sums[..lanes]);
                }
            }
        }
    }
}

/// A block of rows, input by input; rows that are not there are zeros.
fn transpose(x: &[f32], inputs: usize, left: &mut [f32]) {
    left.fill(0.0);
    for (row, x) in x.chunks_exact(inputs).enumerate() {
        for (x, to) in x.iter().zip(left.as_chunks_mut::<ROWS>().0) {
            to[row] = *x;
        }
    }
}

fn block(left: &[[f32; ROWS]], panel: &[[f32; LANES]]) -> [[f32; LANES]; ROWS] {
    let mut sums = [[0.0; LANES]; ROWS];
    for (x, weights) in left.iter().zip(panel) {
        for (sums, x) in sums.iter_mut().zip(x) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += x * weight;
            }
        }
    }
    sums
}

/// The sum of the products of two rows' numbers, in eight sums side by side.
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = y.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (x, y) in x.iter().zip(y) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += x * y;
        }
    }
    let rest = x_rest.iter().zip(y_rest).map(|(x, y)| x * y);
    sums.into_iter().chain(rest).sum()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::testing::{numbers, weights};

    #[test]
    fn a_product_is_the_sum_along_the_depth_for_any_rows_and_columns() {
        for (rows, inputs, outputs) in [(1, 1, 1), (1, 7, 5), (2, 9, 8), (5, 12, 19), (9, 33, 24)] {
            let x: Vec<f32> = numbers(1, rows * inputs);
            let weight = numbers(2, inputs * outputs);
            let bias = numbers(3, outputs);
            let (bytes, at) = weights(&weight, &bias);
            let linear = Linear::new(at, inputs, outputs);
            let scratch = &mut Scratch::new(&mut Memory::default(), rows, inputs).unwrap();
            for columns in [0..outputs, outputs / 3..outputs, 0..1] {
                let mut y = vec![9.0; rows * columns.len()];
                linear.columns(&bytes, columns.clone(), &x, scratch, &mut y);
                let expected = x.chunks(inputs).flat_map(|x| {
                    columns.clone().map(|column| {
                        let sum = x.iter().enumerate().fold(0.0, |sum, (input, x)| {
                            sum + x * weight[input * outputs + column]
                        });
                        sum + bias[column]
                    })
                });
                assert_eq!(
                    y,
                    expected.collect::<Vec<f32>>(),
                    "{rows} {inputs} {columns:?}"
                );
            }
        }
    }
}
