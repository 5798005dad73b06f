//! The baselines for a training step: the operations it needs, and the machine's peak rate.

use std::thread;
use std::time::{Duration, Instant};

use gemm::{Parallelism, gemm};

use rtg_kernels::Precision;
use rtg_kernels::causal_convolution::TAPS;
use rtg_kernels::decision_transformer::{MixerKind, Shape};
use rtg_kernels::selective_scan::{self, STATES};

/// Floating point operations of forward and backward over B full windows, without recomputation.
///
/// A product with a weight counts three times (output, input gradient, weight gradient), attention
/// counts causal pairs only, and the last layer counts queries, projection and MLP for the K
/// observation tokens alone, since nothing else reaches the action head. Its keys and values count
/// for these alone too, and its attention for each head, where that
/// [is less](Shape::attends_directly); linear attention counts whichever is less, the square of
/// scores or the sums for each head. Where returns are predicted, all tokens count in the last
/// layer. A convolution counts its taps; a scan its filter's, and three products for each number of
/// memory, the exponential not counted. An LSTM counts two products with four gates for every
/// token, in the last layer, too.
pub(super) fn step_flops(shape: &Shape, batch: usize) -> f64 {
    let [k, c, s, a] =
        [shape.context, shape.width, shape.observation, shape.action].map(|n| n as f64);
    let stride = shape.condition.stride() as f64;
    let tokens = stride * k;
    let attention = |pairs: f64| 3.0 * 4.0 * pairs * c;
    let products = |multiplications: f64| 3.0 * 2.0 * multiplications;
    // The embedding's inputs need no gradient.
    let inputs = stride - 2.0 + s + a;
    let ends = 2.0 * 2.0 * k * inputs * c + products(k * c * a);
    let layers =
        |whole: f64, last: f64| batch as f64 * ((shape.layers as f64 - 1.0) * whole + last + ends);
    let answers = if shape.condition.prediction().is_some() {
        tokens
    } else {
        k
    };
    if shape.mixer == MixerKind::Convolution {
        let block = |rows: f64| products(rows * (8.0 * c + TAPS as f64) * c);
        return layers(block(tokens), block(answers));
    }
    if shape.mixer == MixerKind::Scan {
        let [e, r] = shape.scan_sizes();
        let [e, r, n] = [e, r, STATES].map(|n| n as f64);
        let each = e * (c + 2.0 * (r + n) + 3.0 * n + selective_scan::TAPS as f64);
        let block = |rows: f64| products(tokens * each + rows * (2.0 * e + 8.0 * c) * c);
        return layers(block(tokens), block(answers));
    }
    if shape.mixer == MixerKind::Linear {
        let d = c / shape.heads as f64;
        let block = |rows: f64| products((tokens * 2.0 + rows * 10.0) * c * c);
        let mix = |rows: f64| {
            let pairs = rows * (tokens + 1.0) / 2.0;
            attention(pairs.min((rows + tokens) * d / 2.0))
        };
        return layers(block(tokens) + mix(tokens), block(answers) + mix(answers));
    }
    if shape.mixer == MixerKind::Lstm {
        let block = |rows: f64| products(8.0 * (tokens + rows) * c * c);
        return layers(block(tokens), block(answers));
    }
    let whole = products(tokens * 12.0 * c * c) + attention(tokens * (tokens + 1.0) / 2.0);
    let pairs_of_observations = (stride - 1.0) * k + stride * k * (k - 1.0) / 2.0;
    let (keys, wide) = if shape.attends_directly(Precision::F32) {
        (k, shape.heads as f64)
    } else {
        (tokens, 1.0)
    };
    let last =
        products(keys * 2.0 * c * c + k * 10.0 * c * c) + attention(pairs_of_observations * wide);
    layers(whole, if answers > k { whole } else { last })
}

/// The rate of large f32 products on this machine, measured repeatedly.
pub(super) struct Peak {
    threads: usize,
    /// Operations a second of all threads, a number for each measurement.
    rates: Vec<f64>,
}

impl Peak {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads,
            rates: Vec::new(),
        }
    }

    /// Runs products on every thread for a short time.
    pub(super) fn measure(&mut self) {
        let rate = thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads).map(|_| scope.spawn(one_thread)).collect();
            let rates = workers.into_iter().filter_map(|worker| worker.join().ok());
            rates.sum()
        });
        self.rates.push(rate);
    }

    /// The median of the measurements, in operations a second.
    pub(super) fn median(mut self) -> f64 {
        self.rates.sort_by(f64::total_cmp);
        self.rates[(self.rates.len() - 1) / 2]
    }
}

/// The median rate of products over a short time.
fn one_thread() -> f64 {
    const N: usize = 768;
    const MOMENT: Duration = Duration::from_millis(60);
    let (left, right) = (vec![0.5_f32; N * N], vec![0.25_f32; N * N]);
    let mut product = vec![0.0_f32; N * N];
    multiply(&left, &right, &mut product, N);
    let (began, mut seconds) = (Instant::now(), Vec::new());
    while seconds.is_empty() || began.elapsed() < MOMENT {
        let call = Instant::now();
        multiply(&left, &right, &mut product, N);
        seconds.push(call.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    2.0 * (N * N * N) as f64 / seconds[(seconds.len() - 1) / 2]
}

/// `product = left right`, all n x n and row-major.
fn multiply(left: &[f32], right: &[f32], product: &mut [f32], n: usize) {
    assert!(
        [left.len(), right.len(), product.len()] == [n * n; 3],
        "square matrices"
    );
    let row = n as isize;
    #[expect(
        unsafe_code,
        reason = "gemm takes pointers; the lengths were checked above"
    )]
    unsafe {
        gemm(
            n,
            n,
            n,
            product.as_mut_ptr(),
            1,
            row,
            false,
            left.as_ptr(),
            1,
            row,
            right.as_ptr(),
            1,
            row,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtg_kernels::decision_transformer::{Condition, NormPlacement};
    use rtg_kernels::layer_norm::EPSILON;
    use rtg_kernels::{Activation, Head};

    #[test]
    fn the_yardstick_multiplies() {
        let mut product = vec![0.0; 9];
        let left = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        let unit = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        multiply(&left, &unit, &mut product, 3);
        assert_eq!(product, left);
    }

    #[test]
    fn the_published_size_needs_about_eleven_billion_operations() {
        let shape = Shape {
            observation: 11,
            action: 3,
            context: 20,
            width: 128,
            heads: 1,
            layers: 3,
            timesteps: 1000,
            activation: Activation::Relu,
            head: Head::Tanh { scale: 1.0 },
            condition: Condition::Token,
            mixer: MixerKind::Attention,
            deviation: None,
            positions: 0,
            norm_placement: NormPlacement::Pre,
            norm_epsilon: EPSILON,
            next_observation: None,
        };
        let billions = step_flops(&shape, 64) / 1e9;
        assert!((11.0..12.0).contains(&billions), "{billions}");
    }
}
