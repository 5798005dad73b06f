//! Training on a device: the whole step, from the gather to AdamW, captured once and replayed.
//!
//! The host uploads a *queue* of a few steps at once: where the windows start, dropout keys,
//! learning rates, all of them drawn as for the CPU engine. On the device a counter says which
//! batch of the queue is next. So a replay needs nothing from the host, and steps follow each
//! other without it until losses and norms are read.

use super::memory::{Memory, Sizes};
use super::sequence::Sequence;
use crate::adamw::AdamW;
use crate::adamw::cuda::{AddUp, Rates, Update};
use crate::decision_transformer::gather::cuda::Gather;
use crate::decision_transformer::gather::{Actions, Columns};
use crate::decision_transformer::layout::Layout;
use crate::decision_transformer::network::cuda::Network;
use crate::decision_transformer::positionwise::cuda as positionwise;
use crate::decision_transformer::shape::Shape;
use crate::decision_transformer::windows::{Side, Windows};
use crate::device::backend::{Address, Backend, Error, Graph, Launch};
use crate::device::parameters::Plain;
use crate::device::transfer::{bits, doubles, get, halves, put, rounded, words};
use crate::dropout::Dropout;
use crate::linear::cuda::Storage;
use crate::loss::cuda::blocks as loss_blocks;
use crate::loss::{Denominator, Objective};
use crate::precision::Precision;

/// The model to train, and how.
#[derive(Clone, Copy, Debug)]
pub struct TrainerSetup {
    /// the sizes of the model
    pub shape: Shape,
    /// B, windows of a batch
    pub windows: usize,
    /// batches of a step
    pub accumulation: usize,
    /// steps of the longest queue
    pub most_steps: usize,
    /// number format of the large products' factors
    pub precision: Precision,
    /// probabilities of dropout, or none; the keys are part of the queue
    pub dropout: Option<Dropout>,
    /// squared error or cross-entropy
    pub objective: Objective,
    /// which steps the mean counts
    pub denominator: Denominator,
    /// the optimiser's constants
    pub adamw: AdamW,
    /// the largest norm of the gradient; 0 for no limit
    pub largest_norm: f64,
    /// bytes of the dataset that [`Trainer::set_dataset`] will copy to the device
    pub dataset_bytes: u64,
}

/// The next steps. With n steps of P batches of B windows:
#[derive(Clone, Copy, Debug)]
pub struct StepQueue<'a> {
    /// n x P x B: the dataset's steps where windows start
    pub starts: &'a [u32],
    /// n x P: dropout's keys
    pub keys: &'a [u64],
    /// n: learning rates
    pub rates: &'a [f64],
    /// optimiser steps done before
    pub done: u64,
}

/// The metrics of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepMetrics {
    /// mean loss of its batches
    pub loss: f64,
    /// L2 norm of the gradient before clipping
    pub norm: f64,
}

/// A model on a device, with its optimiser.
#[derive(Debug)]
pub struct Trainer {
    pub(super) backend: Box<dyn Backend>,
    pub(super) setup: TrainerSetup,
    layout: Layout,
    pub(super) memory: Memory,
    /// Whether one launch computes all between the attention of two layers.
    pub(super) positionwise: bool,
    /// One step, once there is a dataset.
    step: Option<Graph>,
    pub(super) launches: Vec<Launch>,
    /// Steps launched since metrics were read.
    asked: usize,
}

impl Trainer {
    /// Allocates everything that a step needs. Parameters are zero until [`Trainer::load`].
    ///
    /// # Errors
    /// A model without kernels here, too little memory, or an error of the driver.
    pub fn new(mut backend: Box<dyn Backend>, setup: TrainerSetup) -> Result<Self, Error> {
        if !setup.shape.runs_on_devices() {
            return Err(Error::Model);
        }
        let layout = Layout::new(&setup.shape);
        let sizes = Sizes {
            windows: setup.windows,
            steps: setup.most_steps,
            parts: setup.most_steps * setup.accumulation,
            storage: Storage::of(setup.precision, setup.shape.width),
            dataset_bytes: setup.dataset_bytes,
            trains: true,
        };
        let memory = Memory::allocate(&mut *backend, &setup.shape, &layout, sizes)?;
        let mut bytes = Vec::new();
        for piece in &memory.parts.pieces {
            piece.write(&mut bytes);
        }
        backend.upload(memory.pieces, &words(&bytes))?;
        Ok(Self {
            backend,
            positionwise: positionwise::fits(&setup.shape, sizes.storage),
            setup,
            layout,
            memory,
            step: None,
            launches: Vec::new(),
            asked: 0,
        })
    }

    /// The device's name, for messages.
    pub fn device(&self) -> String {
        self.backend.name()
    }

    /// Copies a dataset to the device, where windows are gathered from it.
    pub fn set_dataset(&mut self, columns: &Columns<'_>) -> Result<(), Error> {
        let (ends, timesteps) = columns.places();
        let backend = &mut *self.backend;
        let observations = put(backend, &bits(columns.observations))?;
        let (actions, labels) = match columns.actions {
            Actions::Numbers(numbers) => (put(backend, &bits(numbers))?, Address::NULL),
            Actions::Labels(labels) => (Address::NULL, put(backend, labels)?),
        };
        let returns_to_go = put(backend, &bits(columns.returns_to_go))?;
        let (ends, timesteps) = (put(backend, &ends)?, put(backend, &timesteps)?);
        let (shape, inputs) = (&self.setup.shape, &self.memory.inputs);
        let gather = Gather {
            observations,
            actions,
            labels,
            returns_to_go,
            ends,
            timesteps,
            starts: self.memory.queue.starts,
            clock: self.memory.queue.clock,
            to_observations: inputs.observations,
            to_actions: inputs.actions,
            to_returns_to_go: inputs.returns_to_go,
            to_timesteps: inputs.timesteps,
            lengths: inputs.lengths,
            first_steps: inputs.first_steps,
            windows: self.setup.windows as i32,
            context: shape.context as i32,
            observation: shape.observation as i32,
            action: shape.action as i32,
            limit: columns.max_timestep,
            left: i32::from(columns.side == Side::Left),
        };
        self.launches = self.step_launches(&gather);
        self.step = Some(self.backend.capture(&self.launches)?);
        Ok(())
    }

    /// The whole step: for each batch gather, forward, loss, backward and the sum of the parts;
    /// then AdamW.
    pub(crate) fn step_launches(&self, gather: &Gather) -> Vec<Launch> {
        let sequence = self.sequence(self.setup.dropout.as_ref());
        let accumulation = self.setup.accumulation;
        let mut launches = Vec::new();
        for part in 0..accumulation {
            launches.push(gather.launch());
            launches.extend(sequence.forward(true));
            launches.extend(sequence.backward());
            let divisor = if part + 1 == accumulation {
                accumulation
            } else {
                0
            };
            launches.push(self.add_up(part > 0, divisor));
        }
        launches.push(self.update());
        launches
    }

    fn sequence<'a>(&'a self, dropout: Option<&'a Dropout>) -> Sequence<'a> {
        let TrainerSetup {
            shape,
            windows,
            precision,
            objective,
            denominator,
            ..
        } = &self.setup;
        let memory = &self.memory;
        Sequence {
            network: Network {
                dropout,
                positionwise: self.positionwise,
                ..memory.network(shape, *precision, *windows)
            },
            layout: &self.layout,
            memory,
            objective: *objective,
            denominator: *denominator,
        }
    }

    fn add_up(&self, adds: bool, divisor: usize) -> Launch {
        let memory = &self.memory;
        let add_up = AddUp {
            pieces: memory.pieces,
            workspace: memory.parts.at,
            gradient: memory.gradient,
            squares: memory.squares,
            block_losses: memory.block_losses,
            losses: memory.queue.losses,
            clock: memory.queue.clock,
            loss_blocks: loss_blocks(self.setup.windows * self.setup.shape.context) as i32,
            adds: i32::from(adds),
            divisor: divisor as i32,
        };
        add_up.launch(&memory.parts.pieces)
    }

    fn update(&self) -> Launch {
        let memory = &self.memory;
        let update = Update {
            weights: memory.parameters,
            halves: self.rounded_parameters(),
            mean: memory.mean,
            square: memory.square,
            gradient: memory.gradient,
            squares: memory.squares,
            rates: memory.queue.rates,
            norms: memory.queue.norms,
            clock: memory.queue.clock,
            largest: self.setup.largest_norm,
            count: self.layout.len() as u32,
            pieces: memory.parts.pieces.len() as i32,
            accumulation: self.setup.accumulation as i32,
            beta_1: 0.0,
            other_1: 0.0,
            beta_2: 0.0,
            other_2: 0.0,
            epsilon: 0.0,
        };
        update.of(&self.setup.adamw).launch()
    }

    /// The copy of the parameters in bfloat16, or null.
    fn rounded_parameters(&self) -> Address {
        let memory = &self.memory;
        if memory.factors == memory.parameters {
            Address::NULL
        } else {
            memory.factors
        }
    }

    /// Uploads parameters and moments, each as long as the layout.
    pub fn load(&mut self, parameters: &[f32], mean: &[f32], square: &[f32]) -> Result<(), Error> {
        let memory = &self.memory;
        for (to, numbers) in [
            (memory.parameters, parameters),
            (memory.mean, mean),
            (memory.square, square),
        ] {
            self.backend.upload(to, &bits(numbers))?;
        }
        let factors = self.rounded_parameters();
        if factors != Address::NULL {
            self.backend.upload(factors, &rounded(parameters))?;
        }
        Ok(())
    }

    /// Downloads parameters and moments, each as long as the layout.
    pub fn store(
        &mut self,
        parameters: &mut [f32],
        mean: &mut [f32],
        square: &mut [f32],
    ) -> Result<(), Error> {
        let memory = &self.memory;
        for (from, numbers) in [
            (memory.parameters, parameters),
            (memory.mean, mean),
            (memory.square, square),
        ] {
            get(&mut *self.backend, from, numbers)?;
        }
        Ok(())
    }

    /// Downloads the gradient of the last step before clipping, as long as the layout.
    pub fn gradient(&mut self, gradient: &mut [f32]) -> Result<(), Error> {
        get(&mut *self.backend, self.memory.gradient, gradient)
    }

    /// Launches the steps of a queue without waiting for them.
    ///
    /// # Panics
    /// If the queue's arrays do not fit each other, it is longer than the longest one, or there
    /// is no dataset.
    pub fn steps(&mut self, queue: &StepQueue<'_>) -> Result<(), Error> {
        self.put_queue(queue)?;
        let step = self.step.expect("a dataset comes before steps");
        for _ in queue.rates {
            self.backend.replay(step)?;
        }
        Ok(())
    }

    /// Uploads a queue, from which each step then takes its part.
    pub(super) fn put_queue(&mut self, queue: &StepQueue<'_>) -> Result<(), Error> {
        let TrainerSetup {
            windows,
            accumulation,
            most_steps,
            adamw,
            ..
        } = &self.setup;
        let steps = queue.rates.len();
        assert!(steps <= *most_steps, "a queue of {steps} steps is too long");
        assert_eq!(
            queue.keys.len(),
            steps * accumulation,
            "a key for each batch"
        );
        assert_eq!(
            queue.starts.len(),
            queue.keys.len() * windows,
            "a start for each window"
        );
        let mut bytes = Vec::new();
        for (rate, step) in queue.rates.iter().zip(queue.done + 1..) {
            Rates::of(adamw, *rate, step).write(&mut bytes);
        }
        let at = self.memory.queue;
        let backend = &mut *self.backend;
        backend.upload(at.clock, &[0])?;
        backend.upload(at.starts, queue.starts)?;
        backend.upload(at.keys, &halves(queue.keys))?;
        backend.upload(at.rates, &words(&bytes))?;
        self.asked = steps;
        Ok(())
    }

    /// The metrics of the steps launched last; waits for them.
    pub fn metrics(&mut self) -> Result<Vec<StepMetrics>, Error> {
        let (steps, parts) = (self.asked, self.setup.accumulation);
        let losses = doubles(&mut *self.backend, self.memory.queue.losses, steps * parts)?;
        let norms = doubles(&mut *self.backend, self.memory.queue.norms, steps)?;
        let metrics = losses.chunks(parts).zip(norms);
        Ok(metrics
            .map(|(losses, norm)| StepMetrics {
                loss: losses.iter().sum::<f64>() / parts as f64,
                norm,
            })
            .collect())
    }

    /// The loss of a batch; overwrites `gradient` with what
    /// [`Engine::loss_and_gradient`](super::super::Engine::loss_and_gradient) adds. `key` is that
    /// of dropout, if there is any.
    ///
    /// # Panics
    /// If an array does not fit the shape, or a timestep the table.
    pub fn loss_and_gradient(
        &mut self,
        windows: &Windows<'_>,
        key: u64,
        gradient: &mut [f32],
    ) -> Result<f64, Error> {
        self.put_windows(windows)?;
        self.backend.upload(self.memory.queue.clock, &[0])?;
        self.backend
            .upload(self.memory.queue.keys, &halves(&[key]))?;
        for launch in self.gradient_launches() {
            self.backend.launch(&launch)?;
        }
        self.gradient(gradient)?;
        Ok(doubles(&mut *self.backend, self.memory.queue.losses, 1)?[0])
    }

    fn gradient_launches(&self) -> Vec<Launch> {
        let sequence = self.sequence(self.setup.dropout.as_ref());
        let mut launches = sequence.forward(true);
        launches.extend(sequence.backward());
        launches.push(self.add_up(false, 1));
        launches
    }

    /// The predictions of a batch without dropout, B x K x A; zero at padded steps. To act, see
    /// [`DeviceActing`](super::DeviceActing).
    ///
    /// # Panics
    /// If an array does not fit the shape, or a timestep the table.
    pub fn predict(&mut self, windows: &Windows<'_>, predictions: &mut [f32]) -> Result<(), Error> {
        self.put_windows(windows)?;
        for launch in self.sequence(None).forward(false) {
            self.backend.launch(&launch)?;
        }
        let a = self.setup.shape.action;
        let row = windows.context * a;
        let mut found = vec![0.0; predictions.len()];
        get(&mut *self.backend, self.memory.predictions, &mut found)?;
        predictions.fill(0.0);
        for (window, length) in windows.lengths.iter().enumerate() {
            let to = window * row + windows.first_step(window) * a;
            let from = window * row;
            predictions[to..to + length * a].copy_from_slice(&found[from..from + length * a]);
        }
        Ok(())
    }

    /// Uploads a batch, with the valid steps of each window first.
    fn put_windows(&mut self, windows: &Windows<'_>) -> Result<(), Error> {
        windows.check(&self.setup.shape);
        let (found, expected) = (windows.lengths.len(), self.setup.windows);
        if found != expected {
            return Err(Error::Batch { found, expected });
        }
        let k = windows.context;
        let (s, a) = (self.setup.shape.observation, self.setup.shape.action);
        let mut observations = vec![0.0; found * k * s];
        let mut actions = vec![0.0; found * k * a];
        let mut returns_to_go = vec![0.0; found * k];
        let mut timesteps = vec![0; found * k];
        for (window, length) in windows.lengths.iter().enumerate() {
            let (from, at) = (windows.sequence(window), window * k);
            observations[at * s..][..length * s].copy_from_slice(from.observations);
            actions[at * a..][..length * a].copy_from_slice(from.actions);
            returns_to_go[at..][..*length].copy_from_slice(from.returns_to_go);
            timesteps[at..][..*length].copy_from_slice(from.timesteps);
        }
        let lengths: Vec<u32> = windows.lengths.iter().map(|n| *n as u32).collect();
        let first_steps: Vec<u32> = (0..found)
            .map(|window| windows.first_step(window) as u32)
            .collect();
        let (backend, inputs) = (&mut *self.backend, &self.memory.inputs);
        backend.upload(inputs.observations, &bits(&observations))?;
        backend.upload(inputs.actions, &bits(&actions))?;
        backend.upload(inputs.returns_to_go, &bits(&returns_to_go))?;
        backend.upload(inputs.timesteps, &timesteps)?;
        backend.upload(inputs.lengths, &lengths)?;
        backend.upload(inputs.first_steps, &first_steps)
    }
}
