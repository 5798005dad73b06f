//! The same optimiser step on a GPU: many at a time, and kernel by kernel.

use std::time::Instant;

use rand::RngExt;
use serde::Serialize;

use super::device_reference::{FirstStep, first_steps};
use super::peak::step_flops;
use super::{EPISODE_LENGTH, Sizes, model};
use crate::random::Stream;
use rtg_kernels::adamw::AdamW;
use rtg_kernels::decision_transformer::Side;
use rtg_kernels::decision_transformer::cuda::{StepQueue, Trainer, TrainerSetup};
use rtg_kernels::decision_transformer::gather::{Actions, Columns};
use rtg_kernels::device::{Error, open};
use rtg_kernels::{Denominator, Dropout, Objective, Precision};

/// Steps of the longest queue.
const MOST_STEPS: usize = 64;
/// Steps whose loss and norm are part of the result.
const FIRST_STEPS: usize = 3;
/// Seconds that a queue should take, so that large models are timed in short queues.
const QUEUE_SECS: f64 = 0.2;
const RATE: f64 = 1e-4;

/// What to time.
#[derive(Clone, Copy, Debug)]
pub struct DeviceStepPlan {
    /// The number of the GPU.
    pub ordinal: usize,
    /// Number format of the large products' factors.
    pub precision: Precision,
    /// The most queues to time.
    pub repeats: usize,
    /// No queue begins after this many seconds.
    pub seconds: f64,
    /// Threads for the first steps on the CPU, if those are to be computed.
    pub reference_threads: Option<usize>,
}

/// The result of `rtg bench device-step`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceStep {
    what: &'static str,
    sizes: Sizes,
    /// The device.
    pub device: String,
    precision: &'static str,
    /// Optimiser steps that were timed.
    pub steps: usize,
    /// Median milliseconds of one optimiser step, over queues of many.
    pub median_ms: f64,
    /// The first and the ninth decile of the queues.
    pub deciles_ms: [f64; 2],
    /// Milliseconds of all kernels, each timed by itself.
    pub kernels_ms: f64,
    /// Seconds of the first call: the driver, the kernels' compilation, the memory.
    pub open_secs: f64,
    /// Floating point operations that any exact computation of a step needs, in 1e9.
    pub gigaflops_per_step: f64,
    /// The device's rate, in 1e12 operations a second.
    pub teraflops: f64,
    /// The first steps.
    pub first_steps: Vec<FirstStep>,
    /// The same by the CPU engine in f32, if those were computed.
    pub reference: Option<Vec<FirstStep>>,
    /// Time by kernel, the longest first.
    pub kernels: Vec<Kernel>,
}

/// All launches of one kernel in a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kernel {
    /// Its name.
    #[serde(rename = "kernel")]
    pub name: &'static str,
    /// In a step.
    pub launches: usize,
    /// Milliseconds of all of them.
    pub ms: f64,
    /// The least bytes it must read and write, in 1e9 a second.
    pub gigabytes_per_second: f64,
    /// The least operations it must do, in 1e12 a second.
    pub teraflops: f64,
}

/// Times the step: the gather, forward, backward, clipping and AdamW.
///
/// # Errors
/// A GPU that cannot be used, or too little memory on it.
pub fn device_step(sizes: Sizes, plan: DeviceStepPlan) -> Result<DeviceStep, Error> {
    let model = model(&sizes);
    let data = Data::new(&sizes);
    let columns = data.columns();
    let dropout = Dropout {
        probability_attention: sizes.dropout,
        probability_residual: sizes.dropout,
        probability_embedding: sizes.dropout,
        key: 0,
    };
    let setup = TrainerSetup {
        shape: model.shape,
        windows: sizes.batch,
        accumulation: 1,
        most_steps: MOST_STEPS,
        precision: plan.precision,
        dropout: Some(dropout).filter(|_| sizes.dropout > 0.0),
        objective: Objective::SquaredError,
        denominator: Denominator::All,
        adamw: AdamW::default(),
        largest_norm: 0.25,
        dataset_bytes: columns.bytes(),
    };
    let began = Instant::now();
    let mut trainer = Trainer::new(open(plan.ordinal)?, setup)?;
    let zeros = vec![0.0; model.parameters.len()];
    trainer.load(&model.parameters, &zeros, &zeros)?;
    trainer.set_dataset(&columns)?;
    let mut steps = Steps::new(sizes.batch, columns.steps() - sizes.context);
    let (starts, keys) = steps.draw(FIRST_STEPS);
    steps.run(&mut trainer, &starts, &keys)?;
    let open_secs = began.elapsed().as_secs_f64();
    let found = trainer.metrics()?.into_iter().map(|step| FirstStep {
        loss: step.loss,
        norm: step.norm,
    });
    let found = found.collect();
    let reference = plan.reference_threads.map(|threads| {
        let weights = model.parameters.clone();
        first_steps(&setup, &columns, weights, (&starts, &keys, RATE), threads)
    });

    // One short queue says how long the others should be.
    let once = steps.timed(&mut trainer, FIRST_STEPS)?;
    let count = ((QUEUE_SECS / once) as usize).clamp(FIRST_STEPS, MOST_STEPS);
    let mut times = Vec::new();
    let began = Instant::now();
    while times.is_empty()
        || times.len() < plan.repeats && began.elapsed().as_secs_f64() < plan.seconds
    {
        times.push(steps.timed(&mut trainer, count)?);
    }
    times.sort_by(f64::total_cmp);
    let decile = |tenths: usize| 1e3 * times[(times.len() - 1) * tenths / 10];
    let secs = times[times.len() / 2];
    let flops = step_flops(&model.shape, sizes.batch);
    let times_of = trainer.profile((count / 2).max(1))?;
    let kernels: Vec<Kernel> = (times_of.into_iter())
        .map(|time| Kernel {
            name: time.kernel,
            launches: time.launches,
            ms: 1e3 * time.seconds,
            gigabytes_per_second: time.work.bytes / time.seconds / 1e9,
            teraflops: time.work.operations / time.seconds / 1e12,
        })
        .collect();
    Ok(DeviceStep {
        what: "train-step",
        sizes,
        device: trainer.device(),
        precision: match plan.precision {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
        },
        steps: times.len() * count,
        median_ms: 1e3 * secs,
        deciles_ms: [decile(1), decile(9)],
        kernels_ms: kernels.iter().map(|kernel| kernel.ms).sum(),
        open_secs,
        gigaflops_per_step: flops / 1e9,
        teraflops: flops / secs / 1e12,
        first_steps: found,
        reference,
        kernels,
    })
}

/// The steps of the measurement, in their order.
struct Steps {
    stream: Stream,
    windows: usize,
    /// Steps of the data where a window may start.
    places: usize,
    done: usize,
}

impl Steps {
    fn new(windows: usize, places: usize) -> Self {
        Self {
            stream: Stream::new(1, "bench"),
            windows,
            places,
            done: 0,
        }
    }

    /// Starts of windows and keys of dropout of the next `count` steps.
    fn draw(&mut self, count: usize) -> (Vec<u32>, Vec<u64>) {
        let (stream, places) = (&mut self.stream, self.places as u32);
        let starts = (0..count * self.windows).map(|_| stream.random_range(0..places));
        let keys = (self.done..self.done + count).map(|step| step as u64);
        (starts.collect(), keys.collect())
    }

    fn run(&mut self, trainer: &mut Trainer, starts: &[u32], keys: &[u64]) -> Result<(), Error> {
        let queue = StepQueue {
            starts,
            keys,
            rates: &vec![RATE; keys.len()],
            done: self.done as u64,
        };
        self.done += keys.len();
        trainer.steps(&queue)
    }

    /// Seconds of a step of a queue; uploads are part of it, the host's sampling is not.
    fn timed(&mut self, trainer: &mut Trainer, count: usize) -> Result<f64, Error> {
        let (starts, keys) = self.draw(count);
        let began = Instant::now();
        self.run(trainer, &starts, &keys)?;
        trainer.metrics()?;
        Ok(began.elapsed().as_secs_f64() / count as f64)
    }
}

/// Ten long episodes of synthetic numbers.
struct Data {
    observations: Vec<f32>,
    actions: Vec<f32>,
    returns_to_go: Vec<f32>,
    starts: Vec<usize>,
}

impl Data {
    fn new(sizes: &Sizes) -> Self {
        let steps = 10 * EPISODE_LENGTH;
        let mut stream = Stream::new(0, "bench");
        let mut numbers = |count: usize| -> Vec<f32> {
            (0..count).map(|_| stream.random_range(-1.0..1.0)).collect()
        };
        Self {
            observations: numbers(steps * sizes.observation),
            actions: numbers(steps * sizes.action),
            returns_to_go: numbers(steps),
            starts: (0..=steps).step_by(EPISODE_LENGTH).collect(),
        }
    }

    fn columns(&self) -> Columns<'_> {
        Columns {
            observations: &self.observations,
            actions: Actions::Numbers(&self.actions),
            returns_to_go: &self.returns_to_go,
            starts: &self.starts,
            max_timestep: EPISODE_LENGTH as u32 - 1,
            side: Side::Right,
        }
    }
}
