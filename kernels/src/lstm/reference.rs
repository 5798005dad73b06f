//! A naive recurrence of one sequence: token by token, number by number.

use super::GATES;
use crate::real::Real;

/// What the tokens of a sequence compute.
pub struct LstmTokens<R> {
    /// T x 4 C: i, f, g, o
    pub gates: Vec<R>,
    /// T x C: c
    pub cells: Vec<R>,
    /// T x C: h
    pub hidden: Vec<R>,
}

/// The gradients of a recurrence.
pub struct Gradient<R> {
    /// T x 4 C
    pub a: Vec<R>,
    /// C x 4 C
    pub weight: Vec<R>,
}

fn sigmoid<R: Real>(x: R) -> R {
    R::from_f64(1.0 / (1.0 + (-x.to_f64()).exp()))
}

/// Row `t` of a matrix with rows of `width` numbers; zeros in front of the first.
fn before<R: Real>(rows: &[R], width: usize, t: usize) -> Vec<R> {
    match t.checked_sub(1) {
        Some(t) => rows[t * width..(t + 1) * width].to_vec(),
        None => vec![R::zero(); width],
    }
}

/// Gates, c and h, from W (C x 4 C) and a (T x 4 C).
pub fn forward<R: Real>(width: usize, weight: &[R], a: &[R]) -> LstmTokens<R> {
    let mut all = LstmTokens {
        gates: Vec::new(),
        cells: Vec::new(),
        hidden: Vec::new(),
    };
    for (t, a) in a.chunks(GATES * width).enumerate() {
        let h = before(&all.hidden, width, t);
        let c = before(&all.cells, width, t);
        let mut gates = Vec::new();
        for (at, a) in a.iter().enumerate() {
            let mut z = *a;
            for (h, row) in h.iter().zip(weight.chunks(GATES * width)) {
                z += *h * row[at];
            }
            gates.push(if at / width == 2 {
                z.tanh()
            } else {
                sigmoid(z)
            });
        }
        for (d, c) in c.iter().enumerate() {
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate| gates[gate * width + d]);
            let cell = f * *c + i * g;
            all.cells.push(cell);
            all.hidden.push(o * cell.tanh());
        }
        all.gates.extend(gates);
    }
    all
}

/// The gradients, from that at h, T x C.
pub fn backward<R: Real>(width: usize, weight: &[R], all: &LstmTokens<R>, dh: &[R]) -> Gradient<R> {
    let one = R::from_f64(1.0);
    let row = GATES * width;
    let mut gradient = Gradient {
        a: vec![R::zero(); all.gates.len()],
        weight: vec![R::zero(); weight.len()],
    };
    let mut carried = vec![R::zero(); width];
    for t in (0..dh.len() / width).rev() {
        let gates = &all.gates[t * row..(t + 1) * row];
        let (h_before, c_before) = (before(&all.hidden, width, t), before(&all.cells, width, t));
        for d in 0..width {
            let mut dh = dh[t * width + d];
            for at in 0..row {
                if let Some(later) = gradient.a.get((t + 1) * row + at) {
                    dh += *later * weight[d * row + at];
                }
            }
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate| gates[gate * width + d]);
            let tanh = all.cells[t * width + d].tanh();
            let dc = carried[d] + dh * o * (one - tanh * tanh);
            carried[d] = dc * f;
            let of_gates = [
                dc * g * i * (one - i),
                dc * c_before[d] * f * (one - f),
                dc * i * (one - g * g),
                dh * tanh * o * (one - o),
            ];
            for (gate, da) in of_gates.into_iter().enumerate() {
                gradient.a[t * row + gate * width + d] = da;
            }
        }
        let da = &gradient.a[t * row..(t + 1) * row];
        for (h, weight) in h_before.iter().zip(gradient.weight.chunks_mut(row)) {
            for (weight, da) in weight.iter_mut().zip(da) {
                *weight += *h * *da;
            }
        }
    }
    gradient
}
