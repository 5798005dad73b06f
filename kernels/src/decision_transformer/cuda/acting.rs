//! Acting on a device: all rows in lock-step.
//!
//! The host keeps each row's last K steps. A decision uploads them, replays the forward pass over
//! all windows, and downloads the predictions. Products are exact f32, whatever the precision of
//! training, so the actions are those of the CPU's [`Acting`](super::super::Acting) but for the
//! order of sums; like those, they have the same bits for any number of rows.

use super::memory::{Memory, Sizes};
use super::sequence::Sequence;
use crate::decision_transformer::acting::StepInputs;
use crate::decision_transformer::layout::Layout;
use crate::decision_transformer::shape::Shape;
use crate::device::backend::{Backend, Error, Graph};
use crate::device::transfer::{bits, get};
use crate::linear::cuda::Storage;
use crate::loss::{Denominator, Objective};
use crate::precision::Precision;

/// Acts in many episodes in lock-step on a device.
#[derive(Debug)]
pub struct DeviceActing {
    backend: Box<dyn Backend>,
    memory: Memory,
    forward: Graph,
    histories: Histories,
    /// rows x K x A
    predictions: Vec<f32>,
}

impl DeviceActing {
    /// A policy for `rows` episodes with the given parameters, which have the length of the
    /// shape's layout.
    ///
    /// # Errors
    /// A model without kernels here, too little memory, or an error of the driver.
    pub fn new(
        mut backend: Box<dyn Backend>,
        shape: Shape,
        parameters: &[f32],
        rows: usize,
    ) -> Result<Self, Error> {
        if !shape.runs_on_devices() {
            return Err(Error::Model);
        }
        let layout = Layout::new(&shape);
        let sizes = Sizes {
            windows: rows,
            steps: 1,
            parts: 1,
            storage: Storage::Floats,
            dataset_bytes: 0,
            trains: false,
        };
        let memory = Memory::allocate(&mut *backend, &shape, &layout, sizes)?;
        backend.upload(memory.parameters, &bits(parameters))?;
        backend.upload(memory.inputs.first_steps, &vec![0; rows])?;
        let sequence = Sequence {
            network: memory.network(&shape, Precision::F32, rows),
            layout: &layout,
            memory: &memory,
            // Of the loss, which is not computed.
            objective: Objective::SquaredError,
            denominator: Denominator::Valid,
        };
        let forward = backend.capture(&sequence.forward(false))?;
        Ok(Self {
            backend,
            memory,
            forward,
            histories: Histories::new(&shape, rows),
            predictions: vec![0.0; rows * shape.context * shape.action],
        })
    }

    /// The device's name, for messages.
    pub fn device(&self) -> String {
        self.backend.name()
    }

    /// Starts a new episode in `row`.
    pub fn begin(&mut self, row: usize) {
        self.histories.lengths[row] = 0;
    }

    /// The predictions of the active rows' next actions, into their rows of `actions` (rows x A;
    /// the others are left alone).
    ///
    /// # Errors
    /// An error of the driver. The actions are undefined then, and so is everything that is asked
    /// of the device later.
    ///
    /// # Panics
    /// If an array does not fit the rows and the shape.
    pub fn act(
        &mut self,
        active: &[usize],
        inputs: &StepInputs<'_>,
        actions: &mut [f32],
    ) -> Result<(), Error> {
        for row in active {
            self.histories.add(*row, inputs);
        }
        let (histories, to) = (&self.histories, &self.memory.inputs);
        let backend = &mut *self.backend;
        backend.upload(to.observations, &histories.observations)?;
        backend.upload(to.actions, &histories.actions)?;
        backend.upload(to.returns_to_go, &histories.returns_to_go)?;
        backend.upload(to.timesteps, &histories.timesteps)?;
        backend.upload(to.lengths, &histories.lengths)?;
        backend.replay(self.forward)?;
        get(backend, self.memory.predictions, &mut self.predictions)?;
        let a = histories.action;
        for row in active {
            let newest = histories.step(*row, histories.lengths[*row] as usize - 1);
            actions[row * a..][..a].copy_from_slice(&self.predictions[newest * a..][..a]);
        }
        Ok(())
    }
}

/// The last K steps of each row, oldest first, as the device's words.
#[derive(Debug)]
struct Histories {
    context: usize,
    observation: usize,
    action: usize,
    /// rows x K x S
    observations: Vec<u32>,
    /// rows x K x A; the newest step's is not known yet
    actions: Vec<u32>,
    /// rows x K
    returns_to_go: Vec<u32>,
    /// rows x K
    timesteps: Vec<u32>,
    /// rows: steps
    lengths: Vec<u32>,
}

impl Histories {
    fn new(shape: &Shape, rows: usize) -> Self {
        let steps = rows * shape.context;
        Self {
            context: shape.context,
            observation: shape.observation,
            action: shape.action,
            observations: vec![0; steps * shape.observation],
            actions: vec![0; steps * shape.action],
            returns_to_go: vec![0; steps],
            timesteps: vec![0; steps],
            lengths: vec![0; rows],
        }
    }

    /// The index of a row's step among all steps.
    fn step(&self, row: usize, step: usize) -> usize {
        row * self.context + step
    }

    /// Adds the newest step, without the oldest one of a full window, and the action before it.
    fn add(&mut self, row: usize, inputs: &StepInputs<'_>) {
        let (k, s, a) = (self.context, self.observation, self.action);
        let mut length = self.lengths[row] as usize;
        if length > 0 {
            let before = self.step(row, length - 1) * a;
            put(
                &mut self.actions[before..],
                &inputs.previous_actions[row * a..][..a],
            );
        }
        if length == k {
            for (words, width) in [
                (&mut self.observations, s),
                (&mut self.actions, a),
                (&mut self.returns_to_go, 1),
                (&mut self.timesteps, 1),
            ] {
                words[row * k * width..(row + 1) * k * width].copy_within(width.., 0);
            }
            length -= 1;
        }
        let at = self.step(row, length);
        put(
            &mut self.observations[at * s..],
            &inputs.observations[row * s..][..s],
        );
        put(
            &mut self.returns_to_go[at..],
            &inputs.returns_to_go[row..=row],
        );
        self.timesteps[at] = inputs.timesteps[row];
        self.lengths[row] = length as u32 + 1;
    }
}

fn put(to: &mut [u32], numbers: &[f32]) {
    for (to, number) in to.iter_mut().zip(numbers) {
        *to = number.to_bits();
    }
}
