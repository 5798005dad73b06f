//! A naive version of the mixer for one window.

use super::Parameters;
use crate::decision_transformer::network::reference::{Backward, Network, sum};
use crate::linear;
use crate::precision::Precision;
use crate::real::Real;
use crate::selective_scan::reference::{self as op, ScanInputs};
use std::ops::Range;

/// What forward keeps of one window.
pub(crate) struct Tape<R> {
    x: Vec<R>,
    z: Vec<R>,
    v: Vec<R>,
    u: Vec<R>,
    /// The numbers of which the steps are made, and B and C.
    d: Vec<R>,
    inputs: Vec<R>,
    raw_steps: Vec<R>,
    steps: Vec<R>,
    decay: Vec<R>,
    y: Vec<R>,
    gated: Vec<R>,
}

/// Rows of `width` numbers, of each the first ones and the others.
fn cut<R: Real>(rows: &[R], width: usize, first: usize) -> [Vec<R>; 2] {
    let part = |of: Range<usize>| {
        let rows = rows.chunks(width);
        rows.flat_map(|row| row[of.clone()].to_vec()).collect()
    };
    [part(0..first), part(first..width)]
}

/// The inverse of [`cut`].
fn join<R: Real>(first: &[R], others: &[R], rows: usize) -> Vec<R> {
    let (a, b) = (first.len() / rows, others.len() / rows);
    let rows = first.chunks(a).zip(others.chunks(b));
    rows.flat_map(|(first, others)| [first, others].concat())
        .collect()
}

fn product<R: Real>(a: &[R], b: &[R]) -> Vec<R> {
    a.iter().zip(b).map(|(a, b)| *a * *b).collect()
}

impl Parameters {
    fn scan<'a, R>(&self, parameters: &'a [R], tape: &'a Tape<R>) -> ScanInputs<'a, R> {
        ScanInputs {
            u: &tape.u,
            steps: &tape.steps,
            inputs: &tape.inputs,
            decay: &tape.decay,
            skip: &parameters[self.skip.clone()],
        }
    }

    /// The branch, from the normed tokens.
    pub(in super::super) fn reference_forward<R: Real>(
        &self,
        network: Network<'_, R>,
        normed: &[R],
    ) -> (Tape<R>, Vec<R>) {
        let parameters = network.parameters;
        let of = |range: &Range<usize>| &parameters[range.clone()];
        let multiply = |precision, x: &[R], weight: &Range<usize>, outputs: usize| {
            let bias = vec![R::zero(); outputs];
            linear::reference::forward(precision, x, of(weight), &bias)
        };
        let (precision, exact) = (network.precision, Precision::F32);
        let (e, row, rank) = (self.inner(), self.row(), self.rank());
        let [x, z] = cut(&multiply(precision, normed, &self.input, 2 * e), 2 * e, e);
        let v = op::filter(of(&self.bank()), &x);
        let u = op::silu(&v);
        let [d, inputs] = cut(&multiply(exact, &u, &self.inputs, row), row, rank);
        let (weight, bias) = (of(&self.step.weight), of(&self.step.bias));
        let raw_steps = linear::reference::forward(exact, &d, weight, bias);
        let decay = of(&self.log_decay).iter().map(|log| -log.exp()).collect();
        let mut tape = Tape {
            steps: op::step(&raw_steps),
            x,
            z,
            v,
            u,
            d,
            inputs,
            raw_steps,
            decay,
            y: Vec::new(),
            gated: Vec::new(),
        };
        tape.y = op::forward(self.scan(parameters, &tape));
        tape.gated = product(&tape.y, &op::silu(&tape.z));
        let branch = multiply(precision, &tape.gated, &self.output, self.width);
        (tape, branch)
    }

    /// The gradient at the normed tokens, from that at the branch.
    pub(in super::super) fn reference_backward<R: Real>(
        &self,
        back: &mut Backward<'_, R>,
        (normed, tape): (&[R], &Tape<R>),
        branch: &[R],
    ) -> Vec<R> {
        let parameters = back.network.parameters;
        let (precision, exact) = (back.network.precision, Precision::F32);
        let (e, row, tokens) = (self.inner(), self.row(), normed.len() / self.width);
        let mut through = |precision, x: &[R], weight: &Range<usize>, dy: &[R], outputs| {
            let w = &parameters[weight.clone()];
            let found = linear::reference::backward(precision, x, w, dy, outputs);
            back.add(weight, &found.weight);
            (found.x, found.bias)
        };
        let (gated, _) = through(precision, &tape.gated, &self.output, branch, self.width);
        let dy = product(&gated, &op::silu(&tape.z));
        let dz = op::silu_backward(&tape.z, &product(&gated, &tape.y));
        let found = op::backward(self.scan(parameters, tape), &dy);
        let raw_steps = op::step_backward(&tape.raw_steps, &found.steps);
        let (d, step_bias) = through(exact, &tape.d, &self.step.weight, &raw_steps, e);
        let of_inputs = join(&d, &found.inputs, tokens);
        let (more, _) = through(exact, &tape.u, &self.inputs, &of_inputs, row);
        let dv = op::silu_backward(&tape.v, &sum(&found.u, &more));
        let (dx, bank) = op::filter_backward(&parameters[self.bank()], &tape.x, &dv);
        let both = join(&dx, &dz, tokens);
        let (dnormed, _) = through(precision, normed, &self.input, &both, 2 * e);
        back.add(&self.step.bias, &step_bias);
        back.add(&self.bank(), &bank);
        back.add(&self.skip, &found.skip);
        back.add(&self.log_decay, &product(&found.decay, &tape.decay));
        dnormed
    }
}
