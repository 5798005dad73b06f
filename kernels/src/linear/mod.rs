//! The matrix product of a fully connected layer: Y = X W + b.
//!
//! X is rows x in, W is in x out, b is out; all row-major. With dY the gradient of the loss at Y:
//!
//! ```text
//! Y[r, o]  = sum_i X[r, i] W[i, o] + b[o]
//! dX[r, i] = sum_o dY[r, o] W[i, o]         = dY W^T
//! dW[i, o] = sum_r X[r, i] dY[r, o]         = X^T dY
//! db[o]    = sum_r dY[r, o]
//! ```
//!
//! All three are one loop in `cpu`, `product`: the right factor is stored in *panels*, copies of
//! two vectors' width of its columns, so that the inner loop reads it line after line; the left
//! factor is read where it is, by any two strides (X and dY need no copy, X^T only where it is
//! large: `cpu::Tiles`). W and W^T are packed once for a training step and shared by all threads;
//! dY is packed once for its group of rows, and db is computed in that pass. A register tile of
//! rows x two vectors gathers its sums over the whole depth, each element by one chain of
//! multiply-adds in the order of the depth. Columns of which the last panel has too few for its
//! second vector are computed with one; a product of few rows takes several panels at once
//! (`few_rows`). So an element's bits depend on its row and column
//! alone, not on how many rows are computed together or by which thread. Bias, activation, dropout
//! and residual are applied before an element is stored (`epilogue`).
//!
//! Three changes were measured in pairs on a Zen 5 and rejected, because none was faster: copying
//! X^T where it is small (1.02 of a step's time), blocks of 48 rows outside the panels (1.00), and
//! prefetching what a tile will write (0.98 to 1.01; on an Emerald Rapids Xeon, whose caches are
//! further away, 0.97 to 1.02 of the time of dW at width 512).
//!
//! Factors are f32 or pairs of bfloat16, multiplied on vectors (`pairs`), which takes half the time
//! on an AMD EPYC (Zen 5), or in matrix registers (`amx`); sums are f32 in either case.

mod amx;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx_registers;
pub(crate) mod cpu;
pub(crate) mod cuda;
mod few_rows;
mod pairs;
pub mod reference;
mod tile;

#[cfg(test)]
mod tests {
    use super::cpu::{Left, Panels, Tiles, product};
    use super::reference;
    use crate::epilogue::{Accumulate, Store, StoreWithBias};
    use crate::precision::Precision;
    use crate::simd::Level;
    use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

    const SIZES: [(usize, usize, usize); 7] = [
        (1, 1, 1),
        (5, 3, 7),
        (12, 16, 32),
        (59, 96, 40),
        (31, 128, 33),
        (70, 20, 130),
        (33, 70, 65),
    ];

    /// Panels for each way to multiply.
    fn all_kinds() -> impl Iterator<Item = (Level, Precision, Panels)> {
        Level::available().into_iter().flat_map(|level| {
            [
                (Precision::F32, false),
                (Precision::Bf16, false),
                (Precision::Bf16, true),
            ]
            .map(|(precision, on_vectors)| {
                let mut panels = Panels::default();
                panels.hold(precision).without_amx(on_vectors);
                (level, precision, panels)
            })
        })
    }

    #[test]
    fn the_product_is_the_reference_in_value_and_every_gradient() {
        for (level, precision, mut panels) in all_kinds() {
            for (rows, inputs, outputs) in SIZES {
                let x = numbers(1, rows * inputs);
                let weight = numbers(2, inputs * outputs);
                let bias = numbers(3, outputs);
                let dy = numbers(4, rows * outputs);
                let exact = to_f64(&x);
                let (exact_weight, exact_dy) = (to_f64(&weight), to_f64(&dy));

                let mut y = vec![0.0; rows * outputs];
                panels.pack(level, &weight, outputs, inputs, outputs, None);
                let finish = StoreWithBias {
                    bias: &bias,
                    to: &mut y,
                    stride: outputs,
                };
                product(level, Left::rows(&x, rows, inputs), panels.all(), finish);
                let exact_bias = to_f64(&bias);
                let expected = reference::forward(precision, &exact, &exact_weight, &exact_bias);
                assert_close(&y, &expected, "Y");

                let expected =
                    reference::backward(precision, &exact, &exact_weight, &exact_dy, outputs);
                let mut dx = vec![0.0; rows * inputs];
                panels.pack_transposed(level, &weight, outputs, outputs, inputs);
                let finish = Store {
                    to: &mut dx,
                    stride: inputs,
                };
                product(level, Left::rows(&dy, rows, outputs), panels.all(), finish);
                assert_close(&dx, &expected.x, "dX");

                let mut dw = vec![0.0; inputs * outputs];
                let mut db = vec![0.0; outputs];
                panels.pack(level, &dy, outputs, rows, outputs, Some(&mut db));
                let finish = Accumulate {
                    to: &mut dw,
                    stride: outputs,
                };
                product(level, Left::columns(&x, rows, inputs), panels.all(), finish);
                assert_close(&dw, &expected.weight, "dW");
                assert_close(&db, &expected.bias, "db");
            }
        }
    }

    #[test]
    fn an_element_has_the_same_bits_whatever_rows_are_computed_with_it() {
        // With AVX-512, seven panels and a part of one.
        let (rows, inputs, outputs) = (61, 37, 230);
        let x = numbers(1, rows * inputs);
        let weight = numbers(2, inputs * outputs);
        for (level, _, mut panels) in all_kinds() {
            panels.pack(level, &weight, outputs, inputs, outputs, None);
            let mut all = vec![0.0; rows * outputs];
            let finish = Store {
                to: &mut all,
                stride: outputs,
            };
            product(level, Left::rows(&x, rows, inputs), panels.all(), finish);
            for few in (1..=13).chain([33, 50]) {
                for first in [0, 11, rows - few] {
                    let mut some = vec![0.0; few * outputs];
                    let left = Left::rows(&x[first * inputs..], few, inputs);
                    product(
                        level,
                        left,
                        panels.all(),
                        Store {
                            to: &mut some,
                            stride: outputs,
                        },
                    );
                    assert_eq!(some, all[first * outputs..(first + few) * outputs]);
                }
            }
        }
    }

    #[test]
    fn a_large_left_factor_that_is_copied_gives_the_same_bits() {
        let (rows, inputs, outputs) = (301, 451, 33);
        let x = numbers(1, rows * inputs);
        let dy = numbers(2, rows * outputs);
        let mut tiles = Tiles::default();
        for (level, precision, mut panels) in all_kinds() {
            panels.pack(level, &dy, outputs, rows, outputs, None);
            let multiply = |left| {
                let mut dw = vec![0.0; inputs * outputs];
                let finish = Store {
                    to: &mut dw,
                    stride: outputs,
                };
                product(level, left, panels.all(), finish);
                dw
            };
            let expected = multiply(Left::columns(&x, rows, inputs));
            let copied = tiles.columns(level, &panels, &x, rows, inputs);
            assert_eq!(copied.tile_stride.is_some(), precision == Precision::F32);
            assert_eq!(multiply(copied), expected);
        }
    }

    #[test]
    fn the_reference_gradient_is_the_finite_difference() {
        let (rows, inputs, outputs) = (4, 3, 5);
        let x = to_f64(&numbers(1, rows * inputs));
        let weight = to_f64(&numbers(2, inputs * outputs));
        let bias = to_f64(&numbers(3, outputs));
        let dy = to_f64(&numbers(4, rows * outputs));
        let loss = |x: &[f64], weight: &[f64], bias: &[f64]| -> f64 {
            reference::forward(Precision::F32, x, weight, bias)
                .iter()
                .zip(&dy)
                .map(|(y, d)| y * d)
                .sum()
        };
        let gradient = reference::backward(Precision::F32, &x, &weight, &dy, outputs);
        assert_gradient(&x, &gradient.x, |x| loss(x, &weight, &bias));
        assert_gradient(&weight, &gradient.weight, |weight| loss(&x, weight, &bias));
        assert_gradient(&bias, &gradient.bias, |bias| loss(&x, &weight, bias));
    }
}
