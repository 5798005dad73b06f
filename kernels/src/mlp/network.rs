//! A network, or an ensemble: its parameters, and the passes through it.

use super::backward::{self, Want};
use super::divided;
use super::forward;
use super::gradient::{self, Sources};
use super::inference;
use super::layout::{Activation, Layout, Place, Shape};
use super::pass::{self, Pass};
use super::pool::Pool;
use super::tangent;
use super::weights::{Need, Weights};
use std::ops::Range;

/// The most rows that go through all layers at a time: what two layers give for them stays in a
/// core's cache. A multiple of [`pass::CHUNK`].
const MOST_ROWS: usize = 512;

/// A small network, or an ensemble of networks of the same sizes, with its parameters.
///
/// A pass first packs the weights that changed since they were last packed, so passes take the
/// network mutably; a clone has the parameters and packs for itself.
#[derive(Debug)]
pub struct Network {
    pub(super) shape: Shape,
    pub(super) layout: Layout,
    pub(super) parameters: Vec<f32>,
    /// Counts the mutable borrows of the parameters.
    version: u64,
    pub(super) weights: Weights,
}

impl Clone for Network {
    fn clone(&self) -> Self {
        Self::new(&self.shape, self.parameters.clone())
    }
}

impl Network {
    /// A network with these parameters, which have the layout of the shape.
    ///
    /// # Panics
    /// If a size is zero, the dropout is not in 0..1, or the parameters do not have the layout's
    /// length.
    pub fn new(shape: &Shape, parameters: Vec<f32>) -> Self {
        let sizes = shape.inputs.iter().chain(&shape.hidden);
        let are_there = sizes
            .chain([&shape.outputs, &shape.members])
            .all(|size| *size > 0);
        assert!(
            are_there && !shape.inputs.is_empty(),
            "no size of {shape:?} may be zero"
        );
        assert!((0.0..1.0).contains(&shape.dropout), "dropout is in 0..1");
        let layout = Layout::new(shape);
        assert_eq!(
            parameters.len(),
            layout.len(),
            "the parameters have the layout's length"
        );
        Self {
            shape: shape.clone(),
            layout,
            parameters,
            version: 0,
            weights: Weights::default(),
        }
    }

    /// The sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The position of each parameter.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// All parameters, one flat vector.
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// All parameters, mutably: the next pass packs them again.
    pub fn parameters_mut(&mut self) -> &mut [f32] {
        self.version += 1;
        &mut self.parameters
    }

    /// A forward pass of all members without dropout. `inputs` has an array for each input part,
    /// rows x its width; the outputs are [`Pass::outputs`].
    ///
    /// # Panics
    /// If an array does not fit the shape.
    pub fn forward(&mut self, pool: &Pool, inputs: &[&[f32]], pass: &mut Pass) {
        self.forward_of(pool, 0..self.shape.members, None, inputs, pass);
    }

    /// A forward pass of some members, with dropout if there is a key. Draw another key for each
    /// update; the masks are a function of key, member, layer, row and number.
    ///
    /// # Panics
    /// If an array does not fit the shape, or there are no such members.
    pub fn forward_of(
        &mut self,
        pool: &Pool,
        members: Range<usize>,
        dropout_key: Option<u64>,
        inputs: &[&[f32]],
        pass: &mut Pass,
    ) {
        assert!(members.end <= self.shape.members, "the members exist");
        self.prepare(pool, members.clone(), Need::Forward);
        pass.version = self.version;
        if let Some(division) = pool.division() {
            return divided::forward(self, pool, division, members, (inputs, dropout_key), pass);
        }
        let rows = 0..pass::rows(&self.shape, inputs);
        let of = (&self.shape, &self.layout);
        pass.begin(of, members, (inputs, rows), dropout_key);
        forward::forward(self, pool, pass);
    }

    /// The backward pass of a forward pass. `output_gradients` are those of the loss at
    /// [`Pass::outputs`], of the same shape. The gradient at the parameters is written as
    /// [`Want::parameters`] says, for the members of the pass; the gradient at one input part to
    /// [`Pass::input_gradients`].
    ///
    /// # Panics
    /// If an array does not fit the pass, or the parameters were changed since.
    pub fn backward(
        &mut self,
        pool: &Pool,
        output_gradients: &[f32],
        want: Want<'_>,
        pass: &mut Pass,
    ) {
        assert_eq!(
            pass.version, self.version,
            "the parameters are those of the forward pass"
        );
        assert_eq!(
            output_gradients.len(),
            pass.outputs.len(),
            "a gradient for each output"
        );
        self.prepare(pool, pass.members.clone(), Need::Backward(want.input_part));
        match pool.division() {
            Some(division) => {
                divided::backward(self, pool, division, output_gradients, want, pass);
            }
            None => backward::backward(self, pool, output_gradients, want, pass),
        }
    }

    /// The gradient at the parameters of `sum s y + sum v g` into `to`, with y the outputs, g their
    /// gradients at an input part, numbers s (`scales`, members x rows) and v (`cotangents`,
    /// members x rows x width of the part). `pass` has gone back from ones at the outputs to that
    /// part, so that g is [`Pass::input_gradients`]; members outside the pass are left unchanged.
    /// `tangents` is another pass, kept for its memory.
    ///
    /// # Panics
    /// If the pool divides batches; if the network has another activation than `ReLU`, a norm,
    /// dropout or more than one output;
    /// if an array does not fit the pass, or the parameters were changed since.
    pub fn backward_of_input_gradients(
        &mut self,
        pool: &Pool,
        (part, scales, cotangents): (usize, &[f32], &[f32]),
        pass: &Pass,
        tangents: &mut Pass,
        to: &mut [f32],
    ) {
        assert!(pool.division().is_none(), "the pool has whole batches");
        let shape = &self.shape;
        let is_plain = shape.activation == Activation::Relu && shape.norm.is_none();
        assert!(
            is_plain && !pass.drops && shape.outputs == 1,
            "ReLU, neither norm nor dropout, one output"
        );
        assert_eq!(
            pass.version, self.version,
            "the parameters are those of the forward pass"
        );
        let rows = pass.members.len() * pass.rows;
        let width = shape.inputs[part];
        assert_eq!(scales.len(), rows, "a scale for each output");
        assert_eq!(
            cotangents.len(),
            rows * width,
            "a cotangent for each number of the part's gradient"
        );
        tangents.begin_tangents(shape, &self.layout, pass, (part, cotangents));
        self.prepare(pool, pass.members.clone(), Need::Forward);
        tangent::forward(self, pool, pass, scales, tangents);
        let sources = Sources {
            x: tangents,
            dy: pass,
            scales: Some(scales),
        };
        gradient::gradient(self, pool, sources, &vec![1.0; rows], to, false);
    }

    /// The outputs of all members without dropout, members x rows x outputs, and nothing kept. They
    /// have the bits of [`Self::forward`], whatever rows are computed together. With one thread, or
    /// too few rows to divide, it allocates nothing after the first call with this many rows.
    ///
    /// # Panics
    /// If an array does not fit the shape.
    pub fn infer(&mut self, pool: &Pool, inputs: &[&[f32]], outputs: &mut [f32]) {
        let rows = pass::rows(&self.shape, inputs);
        let len = self.shape.members * rows * self.shape.outputs;
        assert_eq!(outputs.len(), len, "outputs are members x rows x outputs");
        self.prepare(pool, 0..self.shape.members, Need::Forward);
        match pool.division() {
            Some(division) => divided::infer(self, pool, division, (rows, inputs), outputs),
            None => inference::infer(self, pool, rows, inputs, outputs),
        }
    }

    /// Of the `ReLU`s of a forward pass, how many are 0 for every row, and how many there are. A
    /// unit that is 0 for all of the data no longer learns. (0, 0) for other activations.
    pub fn silent_units(&self, pass: &Pass) -> [usize; 2] {
        if self.shape.activation != Activation::Relu || pass.rows == 0 {
            return [0; 2];
        }
        let is_behind = self.shape.norm.map(|norm| norm.place) == Some(Place::AfterActivation);
        let (mut silent, mut all) = (0, 0);
        for (hidden, layer) in pass.hidden.iter().zip(self.layout.layers()) {
            let width = layer.outputs;
            let numbers = if is_behind {
                &hidden.unnormed
            } else {
                &hidden.output
            };
            for member in numbers.chunks(pass.rows * width) {
                let is_silent = |unit: usize| {
                    let mut column = member[unit..].iter().step_by(width);
                    column.all(|number| *number <= 0.0)
                };
                silent += (0..width).filter(|unit| is_silent(*unit)).count();
                all += width;
            }
        }
        [silent, all]
    }

    fn prepare(&mut self, pool: &Pool, members: Range<usize>, need: Need) {
        let of = (&self.shape, &self.layout);
        let parameters = (self.version, &self.parameters[..]);
        self.weights.prepare(pool, of, parameters, members, need);
    }

    /// How many rows of each member a thread takes at a time, for this many rows and members.
    pub(super) fn share(&self, pool: &Pool, members: usize, rows: usize) -> (usize, usize) {
        let shares = pool.shares(members * rows * self.layout.member_len());
        let share = share(shares, members, rows, pass::CHUNK);
        (shares, share.min(MOST_ROWS))
    }
}

/// Cuts `rows` for each of `members` so that `shares` threads have about the same work. Members are
/// cut only if they cannot be distributed evenly. Parts are multiples of `unit`.
pub(super) fn share(shares: usize, members: usize, rows: usize, unit: usize) -> usize {
    if members.is_multiple_of(shares) || members >= 4 * shares {
        rows
    } else {
        rows.div_ceil(shares).next_multiple_of(unit).min(rows)
    }
}
