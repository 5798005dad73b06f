//! The engine on dfdx's tape: the whole model and its loss as one operation.
//!
//! The engine computes the loss and the gradient of every parameter in one pass over a few windows
//! at a time, so that their activations never leave the cache. It reads the parameters in place.
//! The tape's node sums the threads' gradients into one vector, which is kept between steps:
//! nothing as large as the model is allocated or copied.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use dfdx::prelude::*;

use super::transformer::Traced;
use rtg_kernels::decision_transformer::{Engine, Windows};
use rtg_kernels::likelihood::Entropy;
use rtg_kernels::{Denominator, Dropout, Objective};

/// An engine and the gradient that it computes.
pub(super) struct Fused {
    engine: Rc<RefCell<Engine>>,
    gradient: Rc<RefCell<Gradient>>,
}

/// The sum of the gradients since it was last taken.
#[derive(Default)]
struct Gradient {
    values: Vec<f32>,
    /// Whether `values` are obsolete: the next gradient overwrites them instead of being added.
    is_old: bool,
}

impl Fused {
    pub(super) fn new(engine: Engine) -> Self {
        let values = vec![0.0; engine.layout().len()];
        let gradient = Gradient {
            values,
            is_old: true,
        };
        Self {
            engine: Rc::new(RefCell::new(engine)),
            gradient: Rc::new(RefCell::new(gradient)),
        }
    }

    /// What these windows of a batch contribute to the scalar loss of the model with these
    /// parameters. Its backward pass adds to the gradient that [`Fused::take_gradient`] returns.
    pub(super) fn traced_loss(
        &self,
        parameters: &[f32],
        part: (&Windows, Range<usize>),
        objective: Objective,
        denominator: Denominator,
        dropout: Option<&Dropout>,
    ) -> Traced<()> {
        let mut engine = self.engine.borrow_mut();
        let loss = engine.learn_part(parameters, part, objective, denominator, dropout);
        // The parameters are not a tensor of the tape, which begins at the loss.
        let (out, mut tape) = Cpu::default()
            .tensor(loss as f32)
            .leaky_traced()
            .split_tape();
        let output = out.ghost();
        let (engine, gradient) = (Rc::clone(&self.engine), Rc::clone(&self.gradient));
        tape.add_backward_op(move |gradients| {
            let upstream = gradients.get_or_alloc_mut(&output)?[0];
            gradient.borrow_mut().add(&engine.borrow(), upstream);
            Ok(())
        });
        out.put_tape(tape)
    }

    /// The loss without dropout, and without a gradient.
    pub(super) fn loss(
        &self,
        parameters: &[f32],
        windows: &Windows,
        objective: Objective,
        denominator: Denominator,
    ) -> f64 {
        let mut engine = self.engine.borrow_mut();
        f64::from(engine.loss(parameters, windows, objective, denominator) as f32)
    }

    /// Swaps `old` with the sum of the gradients, which reuses the memory of `old`.
    pub(super) fn take_gradient(&self, old: &mut Vec<f32>) {
        let mut gradient = self.gradient.borrow_mut();
        let Gradient { values, is_old } = &mut *gradient;
        if *is_old {
            values.fill(0.0);
        }
        old.resize(values.len(), 0.0);
        std::mem::swap(values, old);
        *is_old = true;
    }

    /// How the entropy of a stochastic policy counts.
    pub(super) fn set_entropy(&self, entropy: Entropy) {
        self.engine.borrow_mut().set_entropy(entropy);
    }

    /// The engine, whose threads the optimiser uses too.
    pub(super) fn engine(&self) -> std::cell::Ref<'_, Engine> {
        self.engine.borrow()
    }
}

impl Gradient {
    /// Adds `upstream` times the gradient in the engine.
    fn add(&mut self, engine: &Engine, upstream: f32) {
        let is_one = upstream.to_bits() == 1.0_f32.to_bits();
        if is_one && self.is_old {
            engine.write_gradient(&mut self.values);
        } else if is_one {
            engine.add_gradient(&mut self.values);
        } else {
            let mut fresh = vec![0.0; self.values.len()];
            engine.write_gradient(&mut fresh);
            if self.is_old {
                self.values.fill(0.0);
            }
            for (sum, value) in self.values.iter_mut().zip(fresh) {
                *sum += upstream * value;
            }
        }
        self.is_old = false;
    }
}
