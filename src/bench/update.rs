//! One update of any algorithm, on synthetic data of Hopper's sizes.

use std::time::Duration;

use rand::RngExt;
use rtg_datasets::{Dataset, Episode, Info};
use rtg_envs::registry;
use serde::Serialize;

use super::clock::{Milliseconds, timed_beside_peak};
use super::instructions;
use crate::algorithms::{AlgorithmRef, Setup, Source};
use crate::error::Error;
use crate::experiment::Experiment;
use crate::keys::Table;
use crate::random::Stream;

/// The result of `rtg bench update`.
#[derive(Clone, Debug, Serialize)]
pub struct UpdateSpeed {
    what: &'static str,
    algorithm: &'static str,
    recipe: String,
    threads: usize,
    /// The instruction set of the kernels.
    instructions: &'static str,
    /// Milliseconds of one update, including drawing its batch: each time is the mean of four
    /// updates, because not every update moves the actor.
    #[serde(flatten)]
    pub times: Milliseconds,
    /// Floating point operations that any exact computation of an update needs, in 1e9, where the
    /// algorithm counts them.
    #[serde(rename = "gigaflops_per_update")]
    pub gigaflops_each: Option<f64>,
    /// The median rate of large f32 matrix products on this machine with these threads, in 1e9
    /// operations a second, interleaved with the updates.
    pub peak_gigaflops: f64,
    /// The update's share of that peak.
    pub peak_share: Option<f64>,
}

/// Updates averaged for one measurement.
const BLOCK: u64 = 4;

/// The environment with the sizes and bounds of the data.
const ENVIRONMENT: &str = "Hopper-v5";
const EPISODES: usize = 100;
const LENGTH: usize = 1000;

/// Times updates for about four seconds. `layers` override the defaults of the algorithm.
///
/// # Errors
/// An algorithm that cannot learn from continuous actions.
pub fn update(
    algorithm: AlgorithmRef,
    layers: &[Table],
    threads: usize,
) -> Result<UpdateSpeed, Error> {
    let mut own = Table::new();
    own.insert(
        "algorithm".to_owned(),
        crate::keys::Value::String(algorithm.card().name.to_owned()),
    );
    let layers = [&[own], layers].concat();
    let spec = registry::spec(ENVIRONMENT)?;
    let data = random_steps(&spec)?;
    let experiment = Experiment::from_layers(&layers)?.resolve(&spec, Some(&data))?;
    let plan = experiment.plan()?;
    let setup = Setup {
        recipe: &experiment.recipe,
        plan: &plan,
        spec: &spec,
        data: Some(&data),
        seed: 0,
        steps: 1_000_000,
        threads,
    };
    let mut learner = algorithm.build(&setup, None)?;
    let stream = Stream::new(0, "bench");
    let mut source = Source::open(&learner.needs(), &data, stream, false)?;
    let mut failure = None;
    let budget = Duration::from_secs(4);
    let (times, peak) = timed_beside_peak(budget, threads, BLOCK, || {
        let mut done = 0;
        while done < BLOCK && failure.is_none() {
            match learner.update(&mut source, BLOCK - done) {
                Ok(updates) => done += updates.len() as u64,
                Err(error) => failure = Some(error),
            }
        }
    });
    if let Some(error) = failure {
        return Err(error.into());
    }
    let gigaflops_each = learner.operations().map(|operations| operations / 1e9);
    let share = |gigaflops: f64| gigaflops / (1e-3 * times.median_ms) / (peak / 1e9);
    Ok(UpdateSpeed {
        what: "update",
        algorithm: algorithm.card().name,
        recipe: experiment.recipe,
        threads,
        instructions: instructions(),
        times,
        gigaflops_each,
        peak_gigaflops: peak / 1e9,
        peak_share: gigaflops_each.map(share),
    })
}

/// Episodes of random numbers, each cut off by the time limit.
fn random_steps(spec: &rtg_envs::Spec) -> Result<Dataset, Error> {
    let (observations, actions) = (&spec.observation_space, &spec.action_space);
    let mut data = Dataset::new(Info::new("bench", observations.clone(), actions.clone()));
    let mut stream = Stream::new(0, "bench data");
    let mut numbers =
        |count: usize| -> Vec<f64> { (0..count).map(|_| stream.random_range(-1.0..1.0)).collect() };
    let (s, a) = (spec.observation_space.width(), spec.action_space.width());
    for _ in 0..EPISODES {
        data.push(Episode {
            observations: numbers((LENGTH + 1) * s),
            actions: numbers(LENGTH * a),
            rewards: numbers(LENGTH),
            terminated: false,
            truncated: true,
            seed: None,
        })?;
    }
    Ok(data)
}
