//! Products on a GPU: the twin of `Product` in `linear.cu`, and its launches.

use crate::activation::Activation;
use crate::device::backend::{Address, Launch, LaunchWork};
use crate::device::parameters::{Plain, parameters};
use crate::dropout::cuda::Drop;
use crate::precision::Precision;

mod matrix;

pub(crate) use matrix::{Matrix, Rows, Storage};

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

parameters! {
    /// See `linear.cu`.
    Gradients {
        input: Product,
        weight: Product,
        input_rows: i32,
        input_columns: i32,
        weight_rows: i32,
        weight_columns: i32,
    }
}

/// Rows and columns of a block's least tile, and the depth of a piece, as `panels.h` has them.
const TILE: usize = 64;
const DEPTH: usize = 32;
/// Dynamic shared memory of large tiles, as `linear.cu` has it.
pub(crate) const DYNAMIC_BYTES: u32 = 96 << 10;
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
enum Across {
    /// C = A B: stored, activated, or added to a residual.
    Neither,
    /// C = A B^T, the gradient of an input: stored, added, or multiplied with a slope.
    Right,
    /// C = A^T B, the gradient of a weight: stored.
    Left,
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
    /// to = v + bias, stored as the factors are
    Factor { bias: Address },
}

/// As `Activation` in `activation.h`.
pub(crate) fn number(activation: Activation) -> i32 {
    match activation {
        Activation::Relu => 0,
        Activation::Gelu => 1,
    }
}

/// How a kernel divides the result, and what it can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// Tiles of 64 x 64, numbers one by one.
    Any,
    /// Tiles of 64 x 64, four numbers at a time.
    Tiles,
    /// Tiles of 128 x 128, of halves.
    Large,
    /// Tiles of 128 x 256, of halves.
    Wide,
}

impl Form {
    /// Rows and columns of a tile.
    fn tile(self) -> [usize; 2] {
        match self {
            Self::Any | Self::Tiles => [TILE, TILE],
            Self::Large => [2 * TILE, 2 * TILE],
            Self::Wide => [2 * TILE, 4 * TILE],
        }
    }

    /// The largest that a product fits. Kernels that read 16 bytes at a time need rows that begin
    /// there; and whole tiles of a factor whose rows lie across the depth. Those for bfloat16 read
    /// halves.
    fn largest(
        (precision, storage): (Precision, Storage),
        across: Across,
        product: &Product,
    ) -> Self {
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
        let halves = storage == Storage::Halves;
        let quad = if halves { 8 } else { 4 };
        let strides = [product.a_stride, product.b_stride, product.to_stride];
        let aligned = addresses.iter().all(|address| address.0.is_multiple_of(16))
            && strides.iter().all(|stride| stride % quad == 0)
            && product.to_slice.is_multiple_of(4);
        let quads = |size: &usize| size.is_multiple_of(quad as usize);
        let fits = |form: &Self| {
            let [of_rows, of_columns] = form.tile();
            let whole_columns = columns.is_multiple_of(of_columns);
            match across {
                Across::Neither => whole_columns && quads(&depth),
                Across::Right => {
                    [columns, depth].iter().all(quads) && (*form != Self::Wide || whole_columns)
                }
                Across::Left => rows.is_multiple_of(of_rows) && whole_columns,
            }
        };
        let whole = aligned && fits(&Self::Tiles);
        assert!(
            !halves || (whole && precision == Precision::Bf16),
            "halves are the factors of products of whole tiles in bfloat16"
        );
        if !whole || (precision == Precision::Bf16 && !halves) {
            return Self::Any;
        }
        let large = [Self::Wide, Self::Large].into_iter();
        let largest = large.filter(|_| halves).find(fits);
        largest.unwrap_or(Self::Tiles)
    }

    /// The fastest for products in one launch, or none if their kernels differ: the largest that
    /// all fit and that has enough blocks.
    fn of(parts: &[Part]) -> Option<Self> {
        let largest = parts.iter().map(|part| part.largest).min()?;
        if largest == Self::Any {
            let all = parts.iter().all(|part| part.largest == Self::Any);
            return all.then_some(Self::Any);
        }
        let is_enough = |form: &Self| {
            let blocks = parts.iter().map(|part| part.blocks(*form));
            *form <= largest && blocks.sum::<usize>() >= LARGE_BLOCKS
        };
        let mut forms = [Self::Wide, Self::Large].into_iter();
        Some(forms.find(is_enough).unwrap_or(Self::Tiles))
    }

    /// The kernels of a layer's forward pass and of its gradients.
    fn kernels(self, precision: Precision) -> [&'static str; 2] {
        match (self, precision) {
            (Self::Any, _) => ["product_any", "gradients_any"],
            (_, Precision::F32) => ["product_f32", "gradients_f32"],
            (_, Precision::Tf32) => ["product_tf32", "gradients_tf32"],
            (Self::Tiles, Precision::Bf16) => ["product_bf16", "gradients_bf16"],
            (Self::Large, Precision::Bf16) => ["product_bf16_large", "gradients_bf16_large"],
            (Self::Wide, Precision::Bf16) => ["product_bf16_wide", "gradients_bf16_wide"],
        }
    }

    /// A launch of one of its kernels.
    fn launch(
        self,
        kernel: &'static str,
        grid: [usize; 3],
        parameters: &impl Plain,
        work: LaunchWork,
    ) -> Launch {
        let [rows, _] = self.tile();
        let launch = Launch::new(kernel, grid, 2 * rows as u32, parameters).doing(work);
        match self {
            Self::Any | Self::Tiles => launch,
            Self::Large | Self::Wide => launch.with_dynamic_memory(DYNAMIC_BYTES),
        }
    }
}

/// A product before it is launched.
#[derive(Clone, Copy, Debug)]
struct Part {
    largest: Form,
    slices: usize,
    product: Product,
    work: LaunchWork,
}

impl Part {
    fn new(
        format: (Precision, Storage),
        across: Across,
        slices: usize,
        product: Product,
        work: LaunchWork,
    ) -> Self {
        let (precision, _) = format;
        let rounding = match precision {
            Precision::F32 => 0,
            Precision::Tf32 => 1,
            Precision::Bf16 => 2,
        };
        Self {
            largest: Form::largest(format, across, &product),
            slices,
            product: Product {
                rounding,
                ..product
            },
            work,
        }
    }

    /// Tiles in rows and in columns.
    fn tiles(&self, form: Form) -> [usize; 2] {
        let [rows, columns] = form.tile();
        let Product {
            rows: of_rows,
            columns: of_columns,
            ..
        } = self.product;
        [
            (of_rows as usize).div_ceil(rows),
            (of_columns as usize).div_ceil(columns),
        ]
    }

    fn blocks(&self, form: Form) -> usize {
        let [rows, columns] = self.tiles(form);
        rows * columns * self.slices
    }
}

/// The gradients of a layer: of its input, of its weight and bias, or of both, none of which needs
/// the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LayerGradients {
    precision: Precision,
    input: Option<Part>,
    weight: Option<Part>,
}

impl LayerGradients {
    /// Those of this and what it lacks of another one, in the same precision.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            precision: self.precision,
            input: self.input.or(other.input),
            weight: self.weight.or(other.weight),
        }
    }

    /// One launch in tiles that are otherwise for large products.
    #[cfg(test)]
    pub(crate) fn enlarged(self, wide: bool) -> Launch {
        let form = if wide { Form::Wide } else { Form::Large };
        self.launch(form, self.input, self.weight)
    }

    /// One launch, or two if the products need different kernels.
    pub(crate) fn launches(self) -> Vec<Launch> {
        let Self { input, weight, .. } = self;
        let parts: Vec<Part> = [input, weight].into_iter().flatten().collect();
        match Form::of(&parts) {
            Some(form) => vec![self.launch(form, input, weight)],
            None => [(None, weight), (input, None)]
                .into_iter()
                .flat_map(|(input, weight)| {
                    Self {
                        input,
                        weight,
                        ..self
                    }
                    .launches()
                })
                .collect(),
        }
    }

    fn launch(self, form: Form, input: Option<Part>, weight: Option<Part>) -> Launch {
        let parts = || [input, weight].into_iter().flatten();
        let sizes = |part: Option<Part>| {
            let tiles = part.map_or([0, 0], |part| part.tiles(form));
            tiles.map(|count| count as i32)
        };
        let product = |part: Option<Part>| part.map_or(Product::NONE, |part| part.product);
        let [[input_rows, input_columns], [weight_rows, weight_columns]] =
            [input, weight].map(sizes);
        let parameters = Gradients {
            input: product(input),
            weight: product(weight),
            input_rows,
            input_columns,
            weight_rows,
            weight_columns,
        };
        let blocks = parts().map(|part| part.blocks(form)).sum();
        let [_, kernel] = form.kernels(self.precision);
        let work = parts().fold(LaunchWork::default(), |sum, part| LaunchWork {
            bytes: sum.bytes + part.work.bytes,
            operations: sum.operations + part.work.operations,
        });
        form.launch(kernel, [blocks, 1, 1], &parameters, work)
    }
}

/// The depth of a slice, for this many slices: whole pieces.
pub(crate) fn slice_depth(depth: usize, slices: usize) -> usize {
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
    /// Both factors are read; this many words are read or written at the end.
    fn work(self, storage: Storage, results: usize) -> LaunchWork {
        let Self {
            rows,
            columns,
            depth,
        } = self;
        let factors = (rows + columns) * depth;
        LaunchWork::of(storage.words(factors) + results, 2 * rows * columns * depth)
    }
}

/// C = A B, with its epilogue. `to_stride` also applies to what `finish` reads.
pub(crate) fn product(
    precision: Precision,
    sizes: Sizes,
    factors: (Matrix, Matrix),
    finish: Finish,
    to: (Address, usize),
) -> Launch {
    debug_assert!(!matches!(finish, Finish::Add { .. } | Finish::Slope { .. }));
    let part = finished(precision, Across::Neither, sizes, factors, finish, to);
    let form = Form::of(&[part]).unwrap_or(Form::Any);
    let [kernel, _] = form.kernels(precision);
    let [rows, columns] = part.tiles(form);
    form.launch(kernel, [rows, columns, 1], &part.product, part.work)
}

/// C = A B^T, with its epilogue: the gradient of a layer's input.
pub(crate) fn input_gradient(
    precision: Precision,
    sizes: Sizes,
    factors: (Matrix, Matrix),
    finish: Finish,
    to: (Address, usize),
) -> LayerGradients {
    debug_assert!(!matches!(
        finish,
        Finish::Activate { .. } | Finish::Residual { .. }
    ));
    let part = finished(precision, Across::Right, sizes, factors, finish, to);
    LayerGradients {
        precision,
        input: Some(part),
        weight: None,
    }
}

/// A product in one slice, with its epilogue.
fn finished(
    precision: Precision,
    across: Across,
    sizes: Sizes,
    (a, b): (Matrix, Matrix),
    finish: Finish,
    (to, to_stride): (Address, usize),
) -> Part {
    let mut parameters = plain(sizes, a, b, to, to_stride);
    // Numbers of the result's size that are read or written: floats, and those that are stored as
    // factors are.
    let (floats, others) = match finish {
        Finish::Store { .. } => (1, 0),
        Finish::Factor { .. } => (0, 1),
        Finish::Residual { .. } | Finish::Add { .. } => (2, 0),
        Finish::Activate { activation, .. } => (usize::from(activation == Activation::Gelu), 1),
        Finish::Slope { activation, .. } => match activation {
            Activation::Relu => (0, 2),
            Activation::Gelu => (1, 1),
        },
    };
    match finish {
        Finish::Store { bias } => parameters.bias = bias,
        Finish::Factor { bias } => {
            parameters.finish = 5;
            parameters.bias = bias;
        }
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
    let (storage, size) = (stored(a, b), sizes.rows * sizes.columns);
    let work = sizes.work(storage, floats * size + storage.words(others * size));
    Part::new((precision, storage), across, 1, parameters, work)
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

/// dW = X^T dY and db = the sums of dY's columns, in slices along `rows`: the gradient of a layer's
/// weight and bias.
pub(crate) fn weight_gradient(
    precision: Precision,
    (inputs, outputs, rows): (usize, usize, usize),
    (x, dy): (Matrix, Matrix),
    slices: Slices,
) -> LayerGradients {
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
    let work = sizes.work(stored(x, dy), slices.count * inputs * outputs);
    let format = (precision, stored(x, dy));
    let part = Part::new(format, Across::Left, slices.count, parameters, work);
    LayerGradients {
        precision,
        input: None,
        weight: Some(part),
    }
}

impl Product {
    /// A product without blocks.
    const NONE: Self = {
        let nowhere = Matrix {
            at: Address::NULL,
            stride: 0,
            rows: Rows::ALL,
            storage: Storage::Floats,
        };
        let sizes = Sizes {
            rows: 0,
            columns: 0,
            depth: 0,
        };
        plain(sizes, nowhere, nowhere, Address::NULL, 0)
    };
}

/// How both factors are stored.
fn stored(a: Matrix, b: Matrix) -> Storage {
    assert_eq!(a.storage, b.storage, "factors are stored alike");
    a.storage
}

/// A product in one slice that is just stored.
const fn plain(sizes: Sizes, a: Matrix, b: Matrix, to: Address, to_stride: usize) -> Product {
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
        slice_depth: if sizes.depth == 0 {
            1
        } else {
            sizes.depth as i32
        },
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
