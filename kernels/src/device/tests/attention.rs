//! Attention against its naive reference in f64, values and gradients: exact f32 to 1e-5, and in
//! bfloat16 against the reference that rounds the same factors.

use super::ops::{DROPOUT, places};
use super::{backends, put, put_words, rounded, run, take, take_halves, unwritten};
use crate::attention::cuda::Attention;
use crate::attention::{Visible, reference};
use crate::device::backend::{Address, Backend};
use crate::device::transfer;
use crate::dropout::Site;
use crate::dropout::cuda::Drop;
use crate::linear::cuda::Storage;
use crate::precision::Precision;
use crate::testing::{assert_close, numbers, relative_error, to_f64};

const LAYER: usize = 1;
const WINDOWS: usize = 2;

/// Windows of up to `steps` steps, the second one short, padded on the left.
#[derive(Clone, Copy, Debug)]
struct Case {
    steps: usize,
    heads: usize,
    width: usize,
    /// Whether the queries are the observations alone, as in the last layer.
    observations: bool,
    dropped: bool,
    storage: Storage,
}

impl Case {
    fn lengths(self) -> [usize; WINDOWS] {
        [self.steps, self.steps.div_ceil(2)]
    }

    /// Rows of a window.
    fn queries(self) -> usize {
        self.steps * if self.observations { 1 } else { 3 }
    }

    fn keys(self) -> usize {
        3 * self.steps
    }

    fn visible(self) -> Visible {
        if self.observations {
            Visible::every(3, 2)
        } else {
            Visible::TOKENS
        }
    }

    /// Numbers of q and dq, of kv and dkv, of the output and its gradient.
    fn sizes(self) -> [usize; 3] {
        let rows = [self.queries(), 2 * self.keys(), self.queries()];
        rows.map(|rows| WINDOWS * rows * self.width)
    }

    /// q, kv and the gradient of the output.
    fn factors(self) -> [Vec<f32>; 3] {
        let [q, kv, dout] = self.sizes();
        [numbers(1, q), numbers(2, kv), numbers(3, dout)]
    }

    /// The attention, and where the output, dq and dkv go.
    fn put(self, backend: &mut dyn Backend) -> (Attention, [Address; 3]) {
        let storage = self.storage;
        let [q, kv, dout] = self.factors().map(|numbers| match storage {
            Storage::Floats => put(backend, &numbers),
            Storage::Halves => put_words(backend, &transfer::rounded(&numbers)),
        });
        let [of_q, of_kv, of_out] = self.sizes();
        let [out, dq, dkv] = [of_out, of_q, of_kv].map(|count| unwritten(backend, count));
        let lengths = self.lengths().map(|length| length as u32);
        let first_steps = lengths.map(|length| self.steps as u32 - length);
        let places = places(backend, self.steps, &first_steps);
        let site = Site::Attention {
            layer: LAYER,
            head: 0,
        };
        let attention = Attention {
            q,
            kv,
            out: storage.numbers(out),
            logs: unwritten(backend, WINDOWS * self.queries() * self.heads),
            dout,
            dq: storage.numbers(dq),
            dkv: storage.numbers(dkv),
            lengths: put_words(backend, &lengths),
            drop: Drop::new(&places, self.dropped.then_some(&DROPOUT), site),
            queries: self.queries() as i32,
            keys: self.keys() as i32,
            width: self.width as i32,
            heads: self.heads as i32,
            q_stride: self.width as i32,
            kv_stride: 2 * self.width as i32,
            visible_stride: if self.observations { 3 } else { 1 },
            visible_offset: if self.observations { 2 } else { 1 },
        };
        (attention, [out, dq, dkv])
    }

    /// The masks of a window: heads x valid queries x valid keys.
    fn mask(self, window: usize, [queries, keys]: [usize; 2]) -> Vec<f64> {
        let first = 3 * (self.steps - self.lengths()[window]);
        let mut mask = Vec::new();
        for head in 0..self.heads {
            for query in 0..queries {
                let mut row = vec![1.0; first + keys];
                if self.dropped {
                    let token = first + self.visible().keys(query) - 1;
                    let site = Site::Attention { layer: LAYER, head };
                    DROPOUT.mask(site, window, token, &mut row);
                }
                mask.extend(to_f64(&row[first..]));
            }
        }
        mask
    }

    /// The output, dq and dkv; zero after the valid rows of each window.
    fn expected(self) -> [Vec<f64>; 3] {
        let (width, [q, kv, dout]) = (self.width, self.factors());
        let mut expected: [Vec<f64>; 3] = Default::default();
        for (window, length) in self.lengths().into_iter().enumerate() {
            let keys = 3 * length - 1;
            let queries = if self.observations { length } else { keys };
            let mask = self.mask(window, [queries, keys]);
            let problem = reference::Problem {
                precision: match self.storage {
                    Storage::Floats => Precision::F32,
                    Storage::Halves => Precision::Bf16,
                },
                width,
                heads: self.heads,
                visible: self.visible(),
                mask: Some(&mask),
            };
            let of_queries =
                |x: &[f32]| to_f64(&x[window * self.queries() * width..][..queries * width]);
            let (q, dout) = (of_queries(&q), of_queries(&dout));
            let kv = to_f64(&kv[window * self.keys() * 2 * width..][..keys * 2 * width]);
            let (dq, dkv) = reference::backward(problem, &q, &kv, &dout);
            let out = reference::forward(problem, &q, &kv);
            let rows = [self.queries(), self.queries(), 2 * self.keys()];
            for ((all, mut one), rows) in expected.iter_mut().zip([out, dq, dkv]).zip(rows) {
                one.resize(rows * width, 0.0);
                all.extend(one);
            }
        }
        expected
    }

    fn check(self, backend: &mut dyn Backend) {
        let (attention, at) = self.put(backend);
        run(backend, [attention.forward(self.storage, WINDOWS)]);
        run(backend, [attention.backward(self.storage, WINDOWS)]);
        let [of_q, of_kv, of_out] = self.sizes();
        let counts = [of_out, of_q, of_kv];
        let mut found = Vec::new();
        for (from, count) in at.into_iter().zip(counts) {
            found.push(match self.storage {
                Storage::Floats => take(backend, from, count),
                Storage::Halves => take_halves(backend, from, count),
            });
        }
        if self.storage == Storage::Floats {
            check_rounded_results(backend, &attention, at, &found);
        }
        let names = ["o", "dq", "dk, dv"];
        for ((found, expected), name) in found.iter().zip(self.expected()).zip(names) {
            // One visible key: no gradient, and its rounding has no scale.
            if self.steps == 1 && name == "dq" {
                continue;
            }
            match self.storage {
                Storage::Floats => assert_close(found, &expected, &format!("{self:?}: {name}")),
                // Numbers near a tie may be rounded to either side, by up to 2^-8; and weights
                // of a later tile are rounded beside another maximum.
                Storage::Halves => {
                    let error = relative_error(found, &expected);
                    assert!(error < 1e-2, "{self:?}: {name}: {error:e}");
                }
            }
        }
    }
}

/// Results in bfloat16 of factors in f32, from the same output in f32.
fn check_rounded_results(
    backend: &mut dyn Backend,
    attention: &Attention,
    at: [Address; 3],
    found: &[Vec<f32>],
) {
    let [out, dq, dkv] = at.map(|at| Storage::Halves.numbers(at));
    let halves = Attention {
        dq,
        dkv,
        ..*attention
    };
    run(backend, [halves.backward(Storage::Floats, WINDOWS)]);
    let halves = Attention { out, ..*attention };
    run(backend, [halves.forward(Storage::Floats, WINDOWS)]);
    for (from, expected) in at.into_iter().zip(found) {
        let halves = take_halves(backend, from, expected.len());
        assert_eq!(halves, rounded(expected));
    }
}

fn check_all(storage: Storage, sizes: &[(usize, usize, usize)]) {
    for mut backend in backends() {
        for (steps, heads, width) in sizes.iter().copied() {
            for observations in [false, true] {
                for dropped in [false, true] {
                    let case = Case {
                        steps,
                        heads,
                        width,
                        observations,
                        dropped,
                        storage,
                    };
                    case.check(&mut *backend);
                }
            }
        }
    }
}

#[test]
fn attention_is_the_reference_in_value_and_every_gradient() {
    let sizes = [(1, 1, 8), (2, 3, 96), (7, 1, 128), (13, 4, 20), (3, 1, 131)];
    check_all(Storage::Floats, &sizes);
}

/// More than one tile; heads of 16 channels, of 128, of a number that is no power of two.
#[test]
fn attention_on_tensor_cores_is_the_reference_that_rounds() {
    let sizes = [(1, 1, 16), (7, 1, 128), (23, 2, 96), (45, 3, 48)];
    check_all(Storage::Halves, &sizes);
}

#[test]
fn attention_over_a_hundred_steps_is_the_reference() {
    check_all(Storage::Floats, &[(100, 1, 6)]);
}
