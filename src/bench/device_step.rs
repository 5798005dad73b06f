//! The same optimiser step on a GPU: many at a time, and kernel by kernel.

use std::time::Instant;

use rand::RngExt;
use serde::Serialize;

use super::peak::step_flops;
use super::{EPISODE_LENGTH, Sizes, model};
use crate::kernels::adamw::AdamW;
use crate::kernels::decision_transformer::Side;
use crate::kernels::decision_transformer::cuda::{StepQueue, Trainer, TrainerSetup};
use crate::kernels::decision_transformer::gather::{Actions, Columns};
use crate::kernels::device::{Error, open};
use crate::kernels::{Denominator, Dropout, Objective, Precision};
use crate::random::Stream;

/// Steps of one queue.
const STEPS: usize = 64;

/// The result of `rtg bench train-step --device cuda`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceStep {
    what: &'static str,
    sizes: Sizes,
    /// The device.
    pub device: String,
    precision: &'static str,
    /// Median milliseconds of one optimiser step, over queues of many.
    pub median_ms: f64,
    /// Floating point operations that any exact computation of a step needs, in 1e9.
    pub gigaflops_per_step: f64,
    /// The device's rate, in 1e12 operations a second.
    pub teraflops: f64,
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

/// Times the step on GPU `ordinal`: the gather, forward, backward, clipping and AdamW.
pub fn device_step(
    sizes: Sizes,
    ordinal: usize,
    precision: Precision,
    repeats: usize,
) -> Result<DeviceStep, Error> {
    let model = model(&sizes);
    let dropout = Dropout {
        probability_attention: sizes.dropout,
        probability_residual: sizes.dropout,
        probability_embedding: sizes.dropout,
        key: 0,
    };
    let data = Data::new(&sizes);
    let setup = TrainerSetup {
        shape: model.shape,
        windows: sizes.batch,
        accumulation: 1,
        most_steps: STEPS,
        precision,
        dropout: Some(dropout).filter(|_| sizes.dropout > 0.0),
        objective: Objective::SquaredError,
        denominator: Denominator::All,
        adamw: AdamW::default(),
        largest_norm: 0.25,
        dataset_bytes: data.columns().bytes(),
    };
    let mut trainer = Trainer::new(open(ordinal)?, setup)?;
    let zeros = vec![0.0; model.parameters.len()];
    trainer.load(&model.parameters, &zeros, &zeros)?;
    trainer.set_dataset(&data.columns())?;
    let mut stream = Stream::new(1, "bench");
    let last = (data.returns_to_go.len() - sizes.context) as u32;
    let mut times = Vec::new();
    for done in 0..=repeats {
        let mut starts = Vec::with_capacity(STEPS * sizes.batch);
        starts.resize_with(STEPS * sizes.batch, || stream.random_range(0..last));
        let keys: Vec<u64> = (0..STEPS as u64).collect();
        let queue = StepQueue {
            starts: &starts,
            keys: &keys,
            rates: &[1e-4; STEPS],
            done: (done * STEPS) as u64,
        };
        // Uploads by the host are timed, its sampling is not.
        let began = Instant::now();
        trainer.steps(&queue)?;
        trainer.metrics()?;
        if done > 0 {
            times.push(began.elapsed().as_secs_f64() / STEPS as f64);
        }
    }
    times.sort_by(f64::total_cmp);
    let secs = times[times.len() / 2];
    let flops = step_flops(&model.shape, sizes.batch);
    let kernels = trainer.profile(STEPS / 2)?.into_iter().map(|time| Kernel {
        name: time.kernel,
        launches: time.launches,
        ms: 1e3 * time.seconds,
        gigabytes_per_second: time.work.bytes / time.seconds / 1e9,
        teraflops: time.work.operations / time.seconds / 1e12,
    });
    Ok(DeviceStep {
        what: "train-step",
        sizes,
        device: trainer.device(),
        precision: match precision {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
        },
        median_ms: 1e3 * secs,
        gigaflops_per_step: flops / 1e9,
        teraflops: flops / secs / 1e12,
        kernels: kernels.collect(),
    })
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
