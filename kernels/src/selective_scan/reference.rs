//! A naive scan, and naive versions of what stands around it: token by token, number by number.

use super::{STATES, TAPS};
use crate::real::Real;

/// What the scan of one sequence reads; letters and layouts as in the module's documentation.
#[derive(Clone, Copy)]
pub struct ScanInputs<'a, R> {
    /// T x E
    pub u: &'a [R],
    /// T x E
    pub steps: &'a [R],
    /// T x 2 N: B and C
    pub inputs: &'a [R],
    /// N x E
    pub decay: &'a [R],
    /// E
    pub skip: &'a [R],
}

impl<R: Real> ScanInputs<'_, R> {
    fn width(&self) -> usize {
        self.skip.len()
    }

    fn tokens(&self) -> usize {
        self.u.len() / self.width()
    }

    /// h of channel d behind each token: T x N.
    fn states(&self, d: usize) -> Vec<[R; STATES]> {
        let e = self.width();
        let mut h = [R::zero(); STATES];
        (0..self.tokens())
            .map(|t| {
                let (u, step) = (self.u[t * e + d], self.steps[t * e + d]);
                for (n, h) in h.iter_mut().enumerate() {
                    let kept = (step * self.decay[n * e + d]).exp() * *h;
                    *h = kept + step * u * self.inputs[t * 2 * STATES + n];
                }
                h
            })
            .collect()
    }
}

/// y, T x E.
pub fn forward<R: Real>(problem: ScanInputs<'_, R>) -> Vec<R> {
    let e = problem.width();
    let mut y = vec![R::zero(); problem.u.len()];
    for d in 0..e {
        for (t, h) in problem.states(d).iter().enumerate() {
            y[t * e + d] = problem.skip[d] * problem.u[t * e + d];
            for (n, h) in h.iter().enumerate() {
                y[t * e + d] += *h * problem.inputs[t * 2 * STATES + STATES + n];
            }
        }
    }
    y
}

/// The gradients of a scan, with the layouts of what it reads.
pub struct Gradient<R> {
    /// T x E
    pub u: Vec<R>,
    /// T x E
    pub steps: Vec<R>,
    /// T x 2 N
    pub inputs: Vec<R>,
    /// N x E
    pub decay: Vec<R>,
    /// E
    pub skip: Vec<R>,
}

/// The gradients from dy, T x E.
pub fn backward<R: Real>(problem: ScanInputs<'_, R>, dy: &[R]) -> Gradient<R> {
    let (e, tokens) = (problem.width(), problem.tokens());
    let mut gradient = Gradient {
        u: vec![R::zero(); problem.u.len()],
        steps: vec![R::zero(); problem.u.len()],
        inputs: vec![R::zero(); problem.inputs.len()],
        decay: vec![R::zero(); problem.decay.len()],
        skip: vec![R::zero(); e],
    };
    for d in 0..e {
        let states = problem.states(d);
        let mut carried = [R::zero(); STATES];
        for t in (0..tokens).rev() {
            let at = t * e + d;
            let (u, step) = (problem.u[at], problem.steps[at]);
            gradient.u[at] += problem.skip[d] * dy[at];
            gradient.skip[d] += dy[at] * u;
            for (n, carried) in carried.iter_mut().enumerate() {
                let (of_b, of_c) = (t * 2 * STATES + n, t * 2 * STATES + STATES + n);
                let before = if t == 0 { R::zero() } else { states[t - 1][n] };
                let decay = (step * problem.decay[n * e + d]).exp();
                let l = *carried + dy[at] * problem.inputs[of_c];
                let g = l * before * decay;
                gradient.inputs[of_c] += dy[at] * states[t][n];
                gradient.inputs[of_b] += l * step * u;
                gradient.u[at] += l * step * problem.inputs[of_b];
                gradient.steps[at] += g * problem.decay[n * e + d];
                gradient.steps[at] += l * u * problem.inputs[of_b];
                gradient.decay[n * e + d] += g * step;
                *carried = l * decay;
            }
        }
    }
    gradient
}

fn sigmoid<R: Real>(x: R) -> R {
    R::from_f64(1.0 / (1.0 + (-x.to_f64()).exp()))
}

/// The slope of x sigmoid(x).
fn silu_slope<R: Real>(x: R) -> R {
    let (x, sigma) = (x.to_f64(), sigmoid(x).to_f64());
    R::from_f64(sigma * (1.0 + x * (1.0 - sigma)))
}

/// x sigmoid(x) of each number.
pub fn silu<R: Real>(x: &[R]) -> Vec<R> {
    x.iter().map(|x| *x * sigmoid(*x)).collect()
}

/// dx of [`silu`] from dy.
pub fn silu_backward<R: Real>(x: &[R], dy: &[R]) -> Vec<R> {
    x.iter().zip(dy).map(|(x, d)| *d * silu_slope(*x)).collect()
}

/// ln(1 + e^x) of each number.
pub fn step<R: Real>(x: &[R]) -> Vec<R> {
    let one = |x: &R| {
        let x = x.to_f64();
        R::from_f64(x.max(0.0) + (-x.abs()).exp().ln_1p())
    };
    x.iter().map(one).collect()
}

/// dx of [`step`] from dy.
pub fn step_backward<R: Real>(x: &[R], dy: &[R]) -> Vec<R> {
    x.iter().zip(dy).map(|(x, d)| *d * sigmoid(*x)).collect()
}

/// v, T x E: the filter's sums. The bank has the taps, oldest first, and the bias, E numbers each.
pub fn filter<R: Real>(bank: &[R], x: &[R]) -> Vec<R> {
    let e = bank.len() / (TAPS + 1);
    let mut v = Vec::with_capacity(x.len());
    for t in 0..x.len() / e {
        for d in 0..e {
            let mut sum = bank[TAPS * e + d];
            for m in 0..TAPS {
                if let Some(seen) = (t + m + 1).checked_sub(TAPS) {
                    sum += bank[m * e + d] * x[seen * e + d];
                }
            }
            v.push(sum);
        }
    }
    v
}

/// The gradients of [`filter`] at x and at the bank, from dv.
pub fn filter_backward<R: Real>(bank: &[R], x: &[R], dv: &[R]) -> (Vec<R>, Vec<R>) {
    let e = bank.len() / (TAPS + 1);
    let (mut dx, mut dbank) = (vec![R::zero(); x.len()], vec![R::zero(); bank.len()]);
    for (at, dv) in dv.iter().enumerate() {
        let (t, d) = (at / e, at % e);
        dbank[TAPS * e + d] += *dv;
        for m in 0..TAPS {
            if let Some(seen) = (t + m + 1).checked_sub(TAPS) {
                dbank[m * e + d] += *dv * x[seen * e + d];
                dx[seen * e + d] += *dv * bank[m * e + d];
            }
        }
    }
    (dx, dbank)
}
