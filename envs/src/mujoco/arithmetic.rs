//! Vectors and sums as in `NumPy`.

use std::ops::{Add, Mul, Range};

/// Whether a number is between two bounds, both excluded.
pub(super) fn inside(range: &Range<f64>, number: f64) -> bool {
    range.start < number && number < range.end
}

/// The vector from `b` to `a`.
pub(super) fn difference(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|i| a[i] - b[i])
}

/// The length of a vector, as `numpy.linalg.norm` computes it: its dot product fuses multiplication
/// and addition where the processor can.
pub(super) fn length(vector: &[f64]) -> f64 {
    (vector.iter())
        .fold(0.0_f64, |sum, number| number.mul_add(*number, sum))
        .sqrt()
}

/// The sum of squares as `numpy.sum` computes it, for up to 128 numbers: from eight on, eight
/// partial sums run side by side.
pub(super) fn sum_of_squares<T>(numbers: &[T]) -> T
where
    T: Copy + Default + Add<Output = T> + Mul<Output = T>,
{
    sum(numbers.len(), |i| numbers[i] * numbers[i])
}

/// The sum of `number(0)`, `number(1)` ... as `numpy.sum` computes it, for up to 128 numbers.
pub(super) fn sum<T>(count: usize, number: impl Fn(usize) -> T) -> T
where
    T: Copy + Default + Add<Output = T>,
{
    let mut total = T::default();
    let even = count - count % 8;
    if even > 0 {
        let mut part: [T; 8] = std::array::from_fn(&number);
        for i in 8..even {
            part[i % 8] = part[i % 8] + number(i);
        }
        total = ((part[0] + part[1]) + (part[2] + part[3]))
            + ((part[4] + part[5]) + (part[6] + part[7]));
    }
    (even..count).fold(total, |total, i| total + number(i))
}
