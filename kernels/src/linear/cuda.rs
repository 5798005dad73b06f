//! Products on a GPU: the twin of `Product` in `linear.cu`, and its launches.

use crate::activation::Activation;
use crate::device::backend::{Address, Launch, LaunchWork};
use crate::device::parameters::parameters;
use crate::dropout::cuda::Drop;
use crate::precision::Precision;

parameters! {
    /// Row r of a matrix is token row stride r + offset.
    Rows {
        stride: i32,
        offset: i32,
    }
}

impl Rows {
    /// Every row, in order.
    pub(crate) const ALL: Self = Self {
        stride: 1,
        offset: 0,
    };

    /// Every `stride`-th row, from `offset` on.
    pub(crate) fn every(stride: i32, offset: i32) -> Self {
        Self { stride, offset }
    }
}

parameters! {
    /// See `linear.cu`.
    Product {
        a: Address,
        b: Address,
        bias: Address,
        residual: Address,
        input: Address,
        to: Address,
        sums: Address,
        drop: Drop,
        a_rows: Rows,
        b_rows: Rows,
        residual_rows: Rows,
        token_rows: Rows,
        rows: i32,
        columns: i32,
        depth: i32,
        slice_depth: i32,
        a_stride: i32,
        b_stride: i32,
        to_stride: i32,
        finish: i32,
        activation: i32,
        rounding: i32,
        to_slice: u64,
        sums_slice: u64,
    }
}

/// Rows and columns of a block's tile, and the depth of a piece, as `linear.cu` has them.
const TILE: usize = 64;
const DEPTH: usize = 32;
/// Blocks that a product should have, so that every multiprocessor of a large device has one or
/// two.
const BLOCKS: usize = 256;
/// Blocks of large tiles from which on these are faster: as many as a large device has
/// multiprocessors.
const LARGE_BLOCKS: usize = 128;
/// More slices cost more to add up than they gain.
const MOST_SLICES: usize = 32;

/// The most rows that one slice adds up. Tensor cores cut sums off, so the error of a sum of equal
/// signs grows with its depth; here it stays below 1e-4.
pub(crate) const MOST_DEPTH: usize = 16_384;

/// Which factor is transposed, and so which epilogues there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Across {
    /// C = A B: stored, activated, or added to a residual.
    Neither,
    /// C = A B^T, the gradient of an input: stored, added, or multiplied with a slope.
    Right,
    /// C = A^T B, the gradient of a weight: stored.
    Left,
}

/// A matrix in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix {
    pub(crate) at: Address,
    /// From one row to the next.
    pub(crate) stride: usize,
    pub(crate) rows: Rows,
}

impl Matrix {
    pub(crate) fn new(at: Address, stride: usize) -> Self {
        Self {
            at,
            stride,
            rows: Rows::ALL,
        }
    }

    /// The same matrix with only these of its rows.
    pub(crate) fn only(self, rows: Rows) -> Self {
        Self { rows, ..self }
    }
}

/// The epilogue of the sums, as `Finish` in `linear.cu`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Finish {
    /// to = v + bias
    Store { bias: Address },
    /// to = f(v + bias); GELU keeps v + bias in `input`
    Activate {
        activation: Activation,
        bias: Address,
        input: Address,
    },
    /// to = residual + mask (v + bias), with the masks of the tokens `tokens`
    Residual {
        bias: Address,
        residual: Address,
        residual_rows: Rows,
        drop: Drop,
        tokens: Rows,
    },
    /// to[rows] += v
    Add { rows: Rows },
    /// to = v f'(input)
    Slope {
        activation: Activation,
        input: Address,
    },
}

fn number(activation: Activation) -> i32 {
    match activation {
        Activation::Relu => 0,
        Activation::Gelu => 1,
    }
}

/// How a kernel divides the result, and what it can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Tiles of 64 x 64, numbers one by one.
    Any,
    /// Tiles of 64 x 64, four numbers at a time.
    Tiles,
    /// Tiles of 128 x 128, four numbers at a time.
    Large,
}

impl Form {
    fn tile(self) -> usize {
        if self == Self::Large { 2 * TILE } else { TILE }
    }

    /// The fastest for a product. Kernels that read four numbers at a time need rows that begin at
    /// 16 bytes; and whole tiles of a factor whose rows lie across the depth.
    fn of(precision: Precision, across: Across, slices: usize, product: &Product) -> Self {
        let sizes = [product.rows, product.columns, product.depth].map(|size| size as usize);
        let [rows, columns, depth] = sizes;
        let addresses = [
            product.a,
            product.b,
            product.bias,
            product.residual,
            product.input,
            product.to,
        ];
        let strides = [product.a_stride, product.b_stride, product.to_stride];
        let aligned = addresses.iter().all(|address| address.0.is_multiple_of(16))
            && strides.iter().all(|stride| stride % 4 == 0)
            && product.to_slice.is_multiple_of(4);
        let fits = |tile| match across {
            Across::Neither => columns.is_multiple_of(tile) && depth.is_multiple_of(4),
            Across::Right => columns.is_multiple_of(4) && depth.is_multiple_of(4),
            Across::Left => rows.is_multiple_of(tile) && columns.is_multiple_of(tile),
        };
        let large = Self::Large.tile();
        let blocks = rows.div_ceil(large) * columns.div_ceil(large) * slices;
        if !aligned || !fits(TILE) {
            Self::Any
        } else if precision == Precision::Bf16 && fits(large) && blocks >= LARGE_BLOCKS {
            Self::Large
        } else {
            Self::Tiles
        }
    }

    /// The kernel of a product.
    fn kernel(self, precision: Precision, across: Across) -> &'static str {
        let names = match (self, precision) {
            (Self::Any, _) => ["product_any", "product_any_back", "product_any_weight"],
            (_, Precision::F32) => ["product_f32", "product_f32_back", "product_f32_weight"],
            (_, Precision::Tf32) => ["product_tf32", "product_tf32_back", "product_tf32_weight"],
            (Self::Tiles, Precision::Bf16) => {
                ["product_bf16", "product_bf16_back", "product_bf16_weight"]
            }
            (Self::Large, Precision::Bf16) => [
                "product_bf16_large",
                "product_bf16_large_back",
                "product_bf16_large_weight",
            ],
        };
        names[across as usize]
    }

    /// The launch of a product in this many slices.
    fn launch(precision: Precision, across: Across, slices: usize, product: Product) -> Launch {
        let form = Self::of(precision, across, slices, &product);
        let tiles = |size: i32| (size as usize).div_ceil(form.tile());
        let grid = [tiles(product.rows), tiles(product.columns), slices];
        let rounding = match precision {
            Precision::F32 => 0,
            Precision::Tf32 => 1,
            Precision::Bf16 => 2,
        };
        let product = Product {
            rounding,
            ..product
        };
        let threads = 2 * form.tile() as u32;
        Launch::new(form.kernel(precision, across), grid, threads, &product)
    }
}

/// The depth of a slice, for this many slices: whole pieces.
fn slice_depth(depth: usize, slices: usize) -> usize {
    depth.div_ceil(slices).next_multiple_of(DEPTH)
}

/// Slices of the gradient of an in x out weight over `rows` rows.
pub(crate) fn slices(inputs: usize, outputs: usize, rows: usize) -> usize {
    let tiles = inputs.div_ceil(TILE) * outputs.div_ceil(TILE);
    let wanted = (BLOCKS / tiles).clamp(1, MOST_SLICES);
    let wanted = wanted.min(rows.div_ceil(DEPTH)).max(1);
    wanted.max(rows.div_ceil(MOST_DEPTH))
}

/// rows x columns, each a sum over `depth`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) depth: usize,
}

impl Sizes {
    /// Both factors are read; this many numbers are read or written at the end.
    fn work(self, results: usize) -> LaunchWork {
        let Self {
            rows,
            columns,
            depth,
        } = self;
        let factors = (rows + columns) * depth;
        LaunchWork::of(factors + results, 2 * rows * columns * depth)
    }
}

/// C = A B or A B^T, with its epilogue. `to_stride` also applies to what `finish` reads.
pub(crate) fn product(
    precision: Precision,
    across: Across,
    sizes: Sizes,
    (a, b): (Matrix, Matrix),
    finish: Finish,
    (to, to_stride): (Address, usize),
) -> Launch {
    let mut parameters = plain(sizes, a, b, to, to_stride);
    debug_assert!(match finish {
        Finish::Store { .. } => true,
        Finish::Activate { .. } | Finish::Residual { .. } => across == Across::Neither,
        Finish::Add { .. } | Finish::Slope { .. } => across == Across::Right,
    });
    let results = match finish {
        Finish::Activate {
            activation: Activation::Relu,
            ..
        }
        | Finish::Store { .. } => 1,
        _ => 2,
    };
    match finish {
        Finish::Store { bias } => parameters.bias = bias,
        Finish::Activate {
            activation,
            bias,
            input,
        } => {
            parameters.finish = 1;
            parameters.activation = number(activation);
            (parameters.bias, parameters.input) = (bias, input);
        }
        Finish::Residual {
            bias,
            residual,
            residual_rows,
            drop,
            tokens,
        } => {
            parameters.finish = 2;
            (parameters.bias, parameters.residual) = (bias, residual);
            (parameters.residual_rows, parameters.token_rows) = (residual_rows, tokens);
            parameters.drop = drop;
        }
        Finish::Add { rows } => {
            parameters.finish = 3;
            parameters.token_rows = rows;
        }
        Finish::Slope { activation, input } => {
            parameters.finish = 4;
            parameters.activation = number(activation);
            parameters.input = input;
        }
    }
    let work = sizes.work(results * sizes.rows * sizes.columns);
    Form::launch(precision, across, 1, parameters).doing(work)
}

/// Where the slices of a gradient go.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slices {
    pub(crate) count: usize,
    /// Slice 0, from one row to the next, from one slice to the next.
    pub(crate) weight: Address,
    pub(crate) stride: usize,
    pub(crate) weight_slice: usize,
    pub(crate) bias: Address,
    pub(crate) bias_slice: usize,
}

/// dW = X^T dY and db = the sums of dY's columns, in slices along `rows`.
pub(crate) fn weight_gradient(
    precision: Precision,
    (inputs, outputs, rows): (usize, usize, usize),
    (x, dy): (Matrix, Matrix),
    slices: Slices,
) -> Launch {
    let sizes = Sizes {
        rows: inputs,
        columns: outputs,
        depth: rows,
    };
    let parameters = Product {
        slice_depth: slice_depth(rows, slices.count) as i32,
        sums: slices.bias,
        to_slice: slices.weight_slice as u64,
        sums_slice: slices.bias_slice as u64,
        ..plain(sizes, x, dy, slices.weight, slices.stride)
    };
    let work = sizes.work(slices.count * inputs * outputs);
    Form::launch(precision, Across::Left, slices.count, parameters).doing(work)
}

/// A product in one slice that is just stored.
fn plain(sizes: Sizes, a: Matrix, b: Matrix, to: Address, to_stride: usize) -> Product {
    Product {
        a: a.at,
        b: b.at,
        bias: Address::NULL,
        residual: Address::NULL,
        input: Address::NULL,
        to,
        sums: Address::NULL,
        drop: Drop::NONE,
        a_rows: a.rows,
        b_rows: b.rows,
        residual_rows: Rows::ALL,
        token_rows: Rows::ALL,
        rows: sizes.rows as i32,
        columns: sizes.columns as i32,
        depth: sizes.depth as i32,
        slice_depth: sizes.depth.max(1) as i32,
        a_stride: a.stride as i32,
        b_stride: b.stride as i32,
        to_stride: to_stride as i32,
        finish: 0,
        activation: 0,
        rounding: 0,
        to_slice: 0,
        sums_slice: 0,
    }
}
