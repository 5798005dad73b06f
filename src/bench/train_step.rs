//! One optimiser step: forward, backward, clipping and AdamW on a fixed batch of full windows.

use std::io;
use std::time::Duration;

use rand::RngExt;
use rtg_datasets::sample::{Batch, Side};
use serde::Serialize;

use super::clock::{Milliseconds, timed_beside_peak, timed_on_request};
use super::peak::step_flops;
use super::{EPISODE_LENGTH, Sizes, instructions, model};
use crate::algorithms::decision_transformer::Learner;
use crate::algorithms::decision_transformer::config::EngineKind;

use crate::optimise::OptimiserConfig;
use crate::random::Stream;
use rtg_kernels::Precision;

/// The result of `rtg bench train-step`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainStep {
    what: &'static str,
    sizes: Sizes,
    threads: usize,
    engine: EngineKind,
    precision: &'static str,
    /// The instruction set of the kernels.
    pub instructions: &'static str,
    /// Milliseconds of one optimiser step.
    #[serde(flatten)]
    pub step: Milliseconds,
    /// Floating point operations that any exact computation of a step needs, in 1e9.
    pub gigaflops_per_step: f64,
    /// The engine's rate, in 1e9 operations a second.
    pub gigaflops: f64,
    /// The median rate of large f32 matrix products on this machine with these threads, interleaved
    /// with the steps.
    pub peak_gigaflops: f64,
    /// The engine's share of that peak.
    pub peak_share: f64,
}

/// Times everything that `rtg train` does for a step except sampling.
pub fn train_step(
    sizes: Sizes,
    threads: usize,
    engine: EngineKind,
    precision: Precision,
) -> TrainStep {
    let shape = model(&sizes).shape;
    let work = step(sizes, threads, engine, precision);
    let (step, peak) = timed_beside_peak(Duration::from_secs(4), threads, 1, work);
    let gigaflops_per_step = step_flops(&shape, sizes.batch) / 1e9;
    let peak_gigaflops = peak / 1e9;
    let gigaflops = gigaflops_per_step / (1e-3 * step.median_ms);
    TrainStep {
        what: "train-step",
        sizes,
        threads,
        engine,
        precision: match precision {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
        },
        instructions: instructions(),
        step,
        gigaflops_per_step,
        gigaflops,
        peak_gigaflops,
        peak_share: gigaflops / peak_gigaflops,
    }
}

/// Does a step for each line of standard input and prints its milliseconds.
///
/// # Errors
/// Those of standard input and output.
pub fn train_step_on_request(
    sizes: Sizes,
    threads: usize,
    engine: EngineKind,
    precision: Precision,
) -> io::Result<()> {
    timed_on_request(step(sizes, threads, engine, precision))
}

/// One step on a batch of full windows.
fn step(sizes: Sizes, threads: usize, engine: EngineKind, precision: Precision) -> impl FnMut() {
    let model = model(&sizes);
    let mut config = model.config.clone();
    config.engine = engine;
    config.precision = precision;
    let batch = full_windows(&sizes);
    let optimiser = OptimiserConfig {
        batch_size: sizes.batch,
        ..OptimiserConfig::default()
    };
    let mut learner = Learner::new(model, &config, &optimiser, (0, 100_000, threads));
    move || {
        learner.accumulate(&batch);
        learner.apply();
    }
}

/// Random windows without padding.
fn full_windows(sizes: &Sizes) -> Batch {
    let Sizes {
        batch,
        context,
        observation,
        action,
        ..
    } = *sizes;
    let mut stream = Stream::new(0, "bench");
    let mut numbers =
        |count: usize| -> Vec<f32> { (0..count).map(|_| stream.random_range(-1.0..1.0)).collect() };
    let steps = batch * context;
    Batch {
        observations: numbers(steps * observation),
        actions: numbers(steps * action),
        returns_to_go: numbers(steps),
        timesteps: (0..steps)
            .map(|index| {
                (index / context * 37 % (EPISODE_LENGTH - context) + index % context) as u32
            })
            .collect(),
        lengths: vec![context; batch],
        side: Side::Right,
        rows: batch,
        context,
        ..Batch::default()
    }
}
