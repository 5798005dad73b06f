//! The fast recurrence against the naive one, and that against differences.

use super::cpu::{self, Before, Kept, Sequences, Tokens, WeightScratch};
use super::reference::{self, Gradient, LstmTokens};
use super::{GATES, Order};
use crate::buffer::Buffer;
use crate::linear::cpu::{Panels, Tiles};
use crate::simd::Level;
use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

/// Channels, and the tokens of each sequence.
const CASES: [(usize, &[usize]); 8] = [
    (1, &[3]),
    (8, &[5, 1, 3]),
    (20, &[7, 7]),
    (33, &[1, 12, 5, 12]),
    (96, &[1]),
    (96, &[2, 3, 0, 4, 8, 8, 8, 1, 1, 6, 2, 7, 8, 3]),
    (128, &[4, 9, 2, 9, 1]),
    (16, &[150, 40]),
];

/// What some sequences read.
struct Numbers {
    width: usize,
    lengths: Vec<usize>,
    weight: Vec<f32>,
    /// Concatenated.
    a: Vec<f32>,
    dh: Vec<f32>,
}

impl Numbers {
    fn new(width: usize, lengths: &[usize]) -> Self {
        let tokens: usize = lengths.iter().sum();
        let row = GATES * width;
        Self {
            width,
            lengths: lengths.to_vec(),
            weight: numbers(1, width * row).iter().map(|x| 0.3 * x).collect(),
            a: numbers(2, tokens * row).iter().map(|x| 2.0 * x).collect(),
            dh: numbers(3, tokens * width),
        }
    }

    /// W and W^T.
    fn panels(&self, level: Level) -> [Panels; 2] {
        let (c, row) = (self.width, GATES * self.width);
        let [mut plain, mut transposed] = [Panels::default(), Panels::default()];
        plain.pack(level, &self.weight, row, c, row, None);
        transposed.pack_transposed(level, &self.weight, row, row, c);
        [plain, transposed]
    }

    fn order(&self) -> Order {
        let mut order = Order::default();
        order.fill(self.lengths.iter().copied());
        order
    }

    /// What the naive version computes of each sequence.
    fn exact(&self) -> Vec<(LstmTokens<f64>, Gradient<f64>)> {
        let (c, row) = (self.width, GATES * self.width);
        let weight = to_f64(&self.weight);
        let mut first = 0;
        let mut one = |tokens: &usize| {
            let rows = first..first + tokens;
            first = rows.end;
            let a = to_f64(&self.a[rows.start * row..rows.end * row]);
            let dh = to_f64(&self.dh[rows.start * c..rows.end * c]);
            let all = reference::forward(c, &weight, &a);
            let gradient = reference::backward(c, &weight, &all, &dh);
            (all, gradient)
        };
        self.lengths.iter().map(&mut one).collect()
    }
}

/// Numbers of all sequences, concatenated.
fn concatenate<T>(parts: &[T], of: impl Fn(&T) -> &Vec<f64>) -> Vec<f64> {
    parts.iter().flat_map(|part| of(part).clone()).collect()
}

#[test]
fn the_fast_recurrence_is_the_reference_in_value_and_every_gradient() {
    for (width, lengths) in CASES {
        let read = Numbers::new(width, lengths);
        let expected = read.exact();
        for level in Level::available() {
            check(level, &read, &expected);
        }
    }
}

fn check(level: Level, read: &Numbers, expected: &[(LstmTokens<f64>, Gradient<f64>)]) {
    let (c, row, order) = (read.width, GATES * read.width, read.order());
    let sequences = Sequences {
        width: c,
        counts: order.counts(),
    };
    let [weight, transposed] = read.panels(level);
    let rows = read.dh.len() / c;
    let [mut gates, mut cells, mut hidden] = [0; 3].map(|_| Buffer::default());
    let [mut da, mut dh, mut carried, mut before] = [0; 4].map(|_| Buffer::default());
    let (mut panels, mut tiles) = (Panels::default(), Tiles::default());
    let mut gradient = vec![0.0; read.weight.len()];
    // Again in used memory.
    for _ in 0..2 {
        order.gather(row, &read.a, &mut gates);
        for memory in [&mut cells, &mut hidden] {
            memory.resize(rows * c);
            memory.fill(f32::NAN);
        }
        let to = Tokens {
            gates: &mut gates,
            cells: &mut cells,
            hidden: &mut hidden,
        };
        cpu::forward(level, sequences, &weight, Before::default(), to);
        let kept = Kept {
            gates: &gates,
            cells: &cells,
            hidden: &hidden,
        };
        order.gather(c, &read.dh, &mut dh);
        da.resize(rows * row);
        da.fill(f32::NAN);
        let scratch = &mut carried;
        cpu::backward(
            level,
            sequences,
            &transposed,
            kept,
            scratch,
            &mut dh,
            &mut da,
        );
        gradient.fill(0.25);
        let scratch = WeightScratch {
            before: &mut before,
            panels: &mut panels,
            tiles: &mut tiles,
        };
        cpu::weight_gradient(level, sequences, kept.hidden, &da, scratch, &mut gradient);
    }
    let back = |width: usize, rows: &[f32]| {
        let mut all = Buffer::default();
        order.scatter(width, rows, &mut all);
        all.to_vec()
    };
    let tokens = |of: fn(&LstmTokens<f64>) -> &Vec<f64>| concatenate(expected, |all| of(&all.0));
    assert_close(&back(row, &gates), &tokens(|all| &all.gates), "gates");
    assert_close(&back(c, &cells), &tokens(|all| &all.cells), "c");
    assert_close(&back(c, &hidden), &tokens(|all| &all.hidden), "h");
    let of_a = concatenate(expected, |all| &all.1.a);
    assert_close(&back(row, &da), &of_a, "da");
    let mut of_weight = vec![0.25; gradient.len()];
    for (_, part) in expected {
        for (sum, part) in of_weight.iter_mut().zip(&part.weight) {
            *sum += part;
        }
    }
    assert_close(&gradient, &of_weight, "dW");
}

#[test]
fn a_recurrence_in_parts_is_the_whole_one() {
    let read = Numbers::new(21, &[9]);
    let (c, row) = (read.width, GATES * read.width);
    for level in Level::available() {
        let [weight, _] = read.panels(level);
        let part = |tokens: std::ops::Range<usize>, before: Before<'_>| {
            let counts = vec![1; tokens.len()];
            let sequences = Sequences {
                width: c,
                counts: &counts,
            };
            let mut gates = read.a[tokens.start * row..tokens.end * row].to_vec();
            let [mut cells, mut hidden] = [0; 2].map(|_| vec![f32::NAN; tokens.len() * c]);
            let to = Tokens {
                gates: &mut gates,
                cells: &mut cells,
                hidden: &mut hidden,
            };
            cpu::forward(level, sequences, &weight, before, to);
            (cells, hidden)
        };
        let (_, whole) = part(0..9, Before::default());
        let (cells, mut hidden) = part(0..4, Before::default());
        let before = Before {
            hidden: &hidden[3 * c..],
            cells: &cells[3 * c..],
        };
        let (_, later) = part(4..9, before);
        hidden.extend(later);
        assert_eq!(hidden, whole, "{level:?}");
    }
}

#[test]
fn an_order_has_the_sequences_with_a_token_in_front() {
    let mut order = Order::default();
    order.fill([4, 4].into_iter());
    order.fill([1, 3, 0, 2, 3].into_iter());
    assert_eq!(order.counts(), [4, 3, 2]);
    // The sequences of three tokens, then that of two, then that of one.
    let places: Vec<usize> = (0..9).map(|row| order.place(row)).collect();
    assert_eq!(places, [3, 0, 4, 7, 2, 6, 1, 5, 8]);
    let from = numbers(1, 9 * 2);
    let (mut there, mut back) = (Buffer::default(), Buffer::default());
    order.gather(2, &from, &mut there);
    assert_eq!(there[6..8], from[..2]);
    order.scatter(2, &there, &mut back);
    assert_eq!(back.to_vec(), from);
}

#[test]
fn the_reference_gradient_is_the_finite_difference() {
    let read = Numbers::new(5, &[4]);
    let [weight, a, dh] = [&read.weight, &read.a, &read.dh].map(|x| to_f64(x));
    let loss = |weight: &[f64], a: &[f64]| -> f64 {
        let hidden = reference::forward(5, weight, a).hidden;
        hidden.iter().zip(&dh).map(|(h, d)| h * d).sum()
    };
    let all = reference::forward(5, &weight, &a);
    let gradient = reference::backward(5, &weight, &all, &dh);
    assert_gradient(&a, &gradient.a, |a| loss(&weight, a));
    assert_gradient(&weight, &gradient.weight, |weight| loss(weight, &a));
}
