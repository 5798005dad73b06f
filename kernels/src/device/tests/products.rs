//! Products in three precisions against the naive layer in f64, values and gradients.

use super::{backends, put, put_words, rounded, run, take, take_halves, unwritten};
use crate::activation::{self, Activation};
use crate::device::backend::{Address, Backend, Launch};
use crate::device::transfer;
use crate::dropout::cuda::Drop;
use crate::linear::cuda::{
    DYNAMIC_BYTES, Finish, LayerGradients, MOST_DEPTH, Matrix, Rows, Sizes, Slices, Storage,
    input_gradient, product, slices, weight_gradient,
};
use crate::linear::reference;
use crate::precision::Precision;
use crate::testing::{assert_close, numbers, relative_error, to_f64};

/// rows, in, out: some without whole tiles, and some with.
const SIZES: [(usize, usize, usize); 7] = [
    (1, 1, 1),
    (5, 3, 7),
    (70, 33, 65),
    (64, 96, 96),
    (31, 128, 40),
    (70, 64, 128),
    (37, 192, 64),
];

/// How a product is launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Plainly,
    /// In tiles that are otherwise for large ones; wide ones are 128 x 256.
    Enlarged {
        wide: bool,
    },
    /// Both gradients in one launch.
    Together,
}

/// The same product in these tiles.
fn enlarged(launch: Launch, wide: bool) -> Launch {
    assert_eq!(launch.kernel, "product_bf16");
    let [x, y, z] = launch.grid;
    let (kernel, across) = if wide {
        ("product_bf16_wide", 4)
    } else {
        ("product_bf16_large", 2)
    };
    let launch = Launch {
        kernel,
        grid: [x.div_ceil(2), y.div_ceil(across), z],
        threads: 256,
        ..launch
    };
    launch.with_dynamic_memory(DYNAMIC_BYTES)
}

/// How factors of this precision are stored.
fn storage(precision: Precision, whole_tiles: bool) -> Storage {
    if precision == Precision::Bf16 && whole_tiles {
        Storage::Halves
    } else {
        Storage::Floats
    }
}

fn put_factor(
    backend: &mut dyn Backend,
    storage: Storage,
    numbers: &[f32],
    columns: usize,
) -> Matrix {
    let at = match storage {
        Storage::Floats => put(backend, numbers),
        Storage::Halves => put_words(backend, &transfer::rounded(numbers)),
    };
    Matrix::new(at, columns).stored(storage)
}

const NOTHING: Finish = Finish::Store {
    bias: Address::NULL,
};

/// Against a reference that rounds its factors alike, every precision is exact to 1e-5: sums are
/// f32.
fn check(
    backend: &mut dyn Backend,
    precision: Precision,
    (rows, inputs, outputs): (usize, usize, usize),
    how: How,
) {
    let (x, weight) = (numbers(1, rows * inputs), numbers(2, inputs * outputs));
    let (bias, dy) = (numbers(3, outputs), numbers(4, rows * outputs));
    let (exact_x, exact_weight) = (to_f64(&x), to_f64(&weight));
    let what = format!("{precision:?}, {rows} x {inputs} x {outputs}: ");

    let whole = [inputs, outputs].iter().all(|size| size.is_multiple_of(64));
    let storage = storage(precision, whole);
    let at_x = put_factor(backend, storage, &x, inputs);
    let at_weight = put_factor(backend, storage, &weight, outputs);
    let at_dy = put_factor(backend, storage, &dy, outputs);
    let finish = Finish::Store {
        bias: put(backend, &bias),
    };
    let to = unwritten(backend, rows * outputs);
    let sizes = Sizes {
        rows,
        columns: outputs,
        depth: inputs,
    };
    let factor = (at_x, at_weight);
    let launch = product(precision, sizes, factor, finish, (to, outputs));
    let launch = match how {
        How::Enlarged { wide } => enlarged(launch, wide),
        How::Plainly | How::Together => launch,
    };
    run(backend, [launch]);
    let y = take(backend, to, rows * outputs);
    let expected = reference::forward(precision, &exact_x, &exact_weight, &to_f64(&bias));
    assert_close(&y, &expected, &(what.clone() + "Y"));

    let expected = reference::backward(precision, &exact_x, &exact_weight, &to_f64(&dy), outputs);
    let at_dx = unwritten(backend, rows * inputs);
    let sizes = Sizes {
        rows,
        columns: inputs,
        depth: outputs,
    };
    let to = (at_dx, inputs);
    let dx = input_gradient(precision, sizes, (at_dy, at_weight), NOTHING, to);
    let count = slices(inputs, outputs, rows);
    let (dw, db) = (inputs * outputs, outputs);
    let parts = Slices {
        count,
        weight: unwritten(backend, count * dw),
        stride: outputs,
        weight_slice: dw,
        bias: unwritten(backend, count * db),
        bias_slice: db,
    };
    let sizes = (inputs, outputs, rows);
    let dw_and_db = weight_gradient(precision, sizes, (at_x, at_dy), parts);
    let launches = match how {
        How::Plainly => [dx, dw_and_db].map(LayerGradients::launches).concat(),
        How::Enlarged { wide } => [dx, dw_and_db].map(|part| part.enlarged(wide)).to_vec(),
        How::Together => dx.and(dw_and_db).launches(),
    };
    run(backend, launches);
    let dx = take(backend, at_dx, rows * inputs);
    assert_close(&dx, &expected.x, &(what.clone() + "dX"));
    let mut sum = |from, length: usize| {
        let all = take(backend, from, count * length);
        let of = |i| (0..count).map(|slice| all[slice * length + i]).sum::<f32>();
        (0..length).map(of).collect::<Vec<f32>>()
    };
    assert_close(
        &sum(parts.weight, dw),
        &expected.weight,
        &(what.clone() + "dW"),
    );
    // A bias sees numbers as they are in memory.
    let dy = match storage {
        Storage::Floats => dy,
        Storage::Halves => rounded(&dy),
    };
    let exact = reference::backward(
        Precision::F32,
        &exact_x,
        &exact_weight,
        &to_f64(&dy),
        outputs,
    );
    assert_close(&sum(parts.bias, db), &exact.bias, &(what + "db"));
}

#[test]
fn products_are_the_reference_in_value_and_every_gradient() {
    for mut backend in backends() {
        for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
            for sizes in SIZES {
                check(&mut *backend, precision, sizes, How::Plainly);
                check(&mut *backend, precision, sizes, How::Together);
            }
        }
        for sizes in [(150, 128, 256), (90, 256, 128)] {
            let how = How::Enlarged { wide: false };
            check(&mut *backend, Precision::Bf16, sizes, how);
        }
        for sizes in [(150, 256, 512), (90, 512, 256)] {
            let how = How::Enlarged { wide: true };
            check(&mut *backend, Precision::Bf16, sizes, how);
        }
    }
}

#[test]
fn kernels_that_read_four_numbers_at_once_get_the_products_that_they_can_read() {
    let kernel = |precision, (rows, inputs, outputs), at| {
        let storage = Storage::of(precision, inputs);
        let factors =
            [inputs, outputs].map(|stride| Matrix::new(Address(at), stride).stored(storage));
        let sizes = Sizes {
            rows,
            columns: outputs,
            depth: inputs,
        };
        let [x, weight] = factors;
        let to = (Address(256), outputs);
        product(precision, sizes, (x, weight), NOTHING, to).kernel
    };
    assert_eq!(
        kernel(Precision::Bf16, (16_384, 128, 128), 256),
        "product_bf16_large"
    );
    assert_eq!(
        kernel(Precision::Bf16, (16_384, 128, 256), 256),
        "product_bf16_wide"
    );
    assert_eq!(
        kernel(Precision::Bf16, (8192, 128, 256), 256),
        "product_bf16_large"
    );
    assert_eq!(
        kernel(Precision::Bf16, (3840, 128, 128), 256),
        "product_bf16"
    );
    assert_eq!(
        kernel(Precision::Tf32, (3840, 128, 64), 256),
        "product_tf32"
    );
    assert_eq!(kernel(Precision::F32, (1, 4, 64), 256), "product_f32");
    // No whole tiles, no rows that begin at 16 bytes, a matrix that does not.
    for (sizes, at) in [
        ((9, 128, 96), 256),
        ((9, 126, 64), 256),
        ((9, 128, 64), 260),
    ] {
        assert_eq!(kernel(Precision::F32, sizes, at), "product_any");
    }
    // Nor floats that are to be multiplied as halves.
    assert_eq!(kernel(Precision::Bf16, (9, 96, 96), 256), "product_any");
}

#[test]
fn slices_behind_the_last_row_are_zero() {
    let (rows, inputs, outputs, count) = (40, 64, 64, 5);
    let (x, dy) = (numbers(1, rows * inputs), numbers(2, rows * outputs));
    for mut backend in backends() {
        let backend = &mut *backend;
        for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
            let storage = storage(precision, true);
            let factors = (
                put_factor(backend, storage, &x, inputs),
                put_factor(backend, storage, &dy, outputs),
            );
            let parts = Slices {
                count,
                weight: unwritten(backend, count * inputs * outputs),
                stride: outputs,
                weight_slice: inputs * outputs,
                bias: unwritten(backend, count * outputs),
                bias_slice: outputs,
            };
            let gradient = weight_gradient(precision, (inputs, outputs, rows), factors, parts);
            run(backend, gradient.launches());
            // Two slices of 32 rows have all of them.
            for (at, length) in [(parts.weight, inputs * outputs), (parts.bias, outputs)] {
                let slices = take(backend, at, count * length);
                let (full, empty) = slices.split_at(2 * length);
                assert!(full.iter().all(|x| x.is_finite()), "{precision:?}");
                assert!(empty.iter().all(|x| x.abs() < f32::MIN_POSITIVE));
            }
        }
    }
}

/// Sums of one sign, whose errors do not cancel, at the largest depth that `slices` allows.
#[test]
fn the_deepest_slice_is_near_the_exact_sum() {
    let rows = MOST_DEPTH;
    let positive = |seed| {
        let numbers = numbers(seed, rows);
        numbers.into_iter().map(f32::abs).collect::<Vec<f32>>()
    };
    let (x, dy) = (positive(1), positive(2));
    for mut backend in backends() {
        let backend = &mut *backend;
        let factors = [&x, &dy].map(|numbers| Matrix::new(put(backend, numbers), 1));
        for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
            let expected = reference::backward(precision, &to_f64(&x), &[1.0], &to_f64(&dy), 1);
            let parts = Slices {
                count: 1,
                weight: unwritten(backend, 1),
                stride: 1,
                weight_slice: 1,
                bias: unwritten(backend, 1),
                bias_slice: 1,
            };
            let [x, dy] = factors;
            let gradient = weight_gradient(precision, (1, 1, rows), (x, dy), parts);
            run(backend, gradient.launches());
            let error = relative_error(&take(backend, parts.weight, 1), &expected.weight);
            assert!(error < 1e-4, "{precision:?}: {error:e}");
        }
    }
    // One slice of a batch of 4096 windows would be too deep.
    for (inputs, outputs) in [(512, 2048), (128, 128), (11, 3)] {
        let rows: usize = 3 * 20 * 4096;
        assert!(rows.div_ceil(slices(inputs, outputs, rows)) <= MOST_DEPTH);
    }
}

#[test]
fn rounded_factors_are_near_the_exact_product() {
    let (rows, inputs, outputs) = (40, 128, 64);
    let (x, weight) = (numbers(1, rows * inputs), numbers(2, inputs * outputs));
    let exact = reference::forward(
        Precision::F32,
        &to_f64(&x),
        &to_f64(&weight),
        &vec![0.0; outputs],
    );
    for mut backend in backends() {
        let backend = &mut *backend;
        let sizes = Sizes {
            rows,
            columns: outputs,
            depth: inputs,
        };
        for (precision, least, most) in
            [(Precision::Bf16, 1e-4, 1e-2), (Precision::Tf32, 1e-5, 1e-3)]
        {
            let storage = storage(precision, true);
            let at_x = put_factor(backend, storage, &x, inputs);
            let at_weight = put_factor(backend, storage, &weight, outputs);
            let to = unwritten(backend, rows * outputs);
            let factors = (at_x, at_weight);
            let launch = product(precision, sizes, factors, NOTHING, (to, outputs));
            run(backend, [launch]);
            let error = relative_error(&take(backend, to, rows * outputs), &exact);
            assert!(least < error && error < most, "{precision:?}: {error:e}");
        }
    }
}

#[test]
fn the_epilogues_of_a_product_compute_their_formulas() {
    // Outputs: one tile and a part of another, and one whole tile.
    for outputs in [70, 64] {
        for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
            for mut backend in backends() {
                check_epilogues(&mut *backend, precision, outputs);
            }
        }
    }
}

/// A matrix of this many columns, transposed.
fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    let column = |c| matrix.iter().skip(c).step_by(columns).copied();
    (0..columns).flat_map(column).collect()
}

fn check_epilogues(backend: &mut dyn Backend, precision: Precision, outputs: usize) {
    // With whole tiles, factors in bfloat16 are halves, and so is what other such products read.
    let whole = outputs == 64;
    let (rows, inputs) = (9, if whole { 64 } else { 20 });
    let storage = storage(precision, whole);
    let size = rows * outputs;
    let (x, weight) = (numbers(1, 3 * rows * inputs), numbers(2, inputs * outputs));
    let bias = numbers(3, outputs);
    let before = numbers(4, 3 * rows * outputs);
    // Only the second of every three rows goes in.
    let second = |x: &[f32], width: usize| {
        let rows = x.chunks(width).skip(1).step_by(3);
        rows.flatten().copied().collect::<Vec<f32>>()
    };
    let asked = second(&x, inputs);
    let none = vec![0.0; outputs];
    let exact = |bias: &[f32]| {
        let (x, weight) = (to_f64(&asked), to_f64(&weight));
        reference::forward(precision, &x, &weight, &to_f64(bias))
    };
    let at_x = put_factor(backend, storage, &x, inputs).only(Rows::every(3, 1));
    let at_weight = put_factor(backend, storage, &weight, outputs);
    let at_transposed = put_factor(backend, storage, &transposed(&weight, outputs), inputs);
    let check = |backend: &mut dyn Backend, from, expected: &[f64], what| match storage {
        Storage::Floats => assert_close(&take(backend, from, size), expected, what),
        Storage::Halves => {
            let error = relative_error(&take_halves(backend, from, size), expected);
            assert!(error < 1.0 / 256.0, "{what}: {error:e}");
        }
    };
    let at_bias = put(backend, &bias);
    let sizes = Sizes {
        rows,
        columns: outputs,
        depth: inputs,
    };
    let forward = |finish, to| product(precision, sizes, (at_x, at_weight), finish, (to, outputs));
    let back = |finish, to| {
        input_gradient(
            precision,
            sizes,
            (at_x, at_transposed),
            finish,
            (to, outputs),
        )
        .launches()
    };
    for activation in [Activation::Relu, Activation::Gelu] {
        let (input, to) = (unwritten(backend, size), unwritten(backend, size));
        let finish = Finish::Activate {
            activation,
            bias: at_bias,
            input,
        };
        run(backend, [forward(finish, to)]);
        let y = exact(&bias);
        let expected = activation::reference::forward(activation, &y);
        check(backend, to, &expected, "f");
        if activation == Activation::Gelu {
            assert_close(&take(backend, input, size), &y, "the input of f");
        }
        // The slope is taken where the forward left what it needs.
        let input = [to, input][usize::from(activation == Activation::Gelu)];
        let to = unwritten(backend, size);
        run(backend, back(Finish::Slope { activation, input }, to));
        let expected = activation::reference::backward(activation, &y, &exact(&none));
        check(backend, to, &expected, "f'");
    }
    let to = put(backend, &before);
    let add = Finish::Add {
        rows: Rows::every(3, 2),
    };
    run(backend, back(add, to));
    let mut expected = to_f64(&before);
    for (row, y) in expected
        .chunks_mut(outputs)
        .skip(2)
        .step_by(3)
        .zip(exact(&none).chunks(outputs))
    {
        row.iter_mut().zip(y).for_each(|(to, y)| *to += y);
    }
    assert_close(&take(backend, to, before.len()), &expected, "the sum");

    let to = unwritten(backend, size);
    let residual = Finish::Residual {
        bias: at_bias,
        residual: put(backend, &before),
        residual_rows: Rows::every(3, 1),
        drop: Drop::NONE,
        tokens: Rows::every(3, 1),
    };
    run(backend, [forward(residual, to)]);
    let mut expected = exact(&bias);
    let beside = to_f64(&second(&before, outputs));
    expected.iter_mut().zip(&beside).for_each(|(y, x)| *y += x);
    assert_close(&take(backend, to, size), &expected, "the residual");
}
