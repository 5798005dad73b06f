//! Opening a dataset, and drawing batches from it.

use std::time::{Duration, Instant};

use rtg_datasets::Defects;
use rtg_datasets::sample::{Batch, WindowConfig, WindowSampler};
use rtg_datasets::statistics::Normaliser;
use rtg_datasets::store::StoreMode;
use serde::Serialize;

use super::clock::timed;
use crate::data::open_dataset;
use crate::error::Error;
use crate::random::Stream;

/// The result of `rtg bench load`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Load {
    what: &'static str,
    dataset: String,
    steps: usize,
    episodes: usize,
    /// Milliseconds to open the dataset into memory.
    pub open_ms: f64,
    /// Median milliseconds to draw a batch of 64 windows of 20 steps.
    pub median_ms: f64,
    /// Such batches a second.
    pub per_second: f64,
}

/// Opens the dataset once and samples from it for a second.
pub fn load(id: &str) -> Result<Load, Error> {
    const ROWS: usize = 64;
    let began = Instant::now();
    let data = open_dataset(id, Defects::Refuse, StoreMode::Memory)?;
    let open_ms = 1e3 * began.elapsed().as_secs_f64();
    if data.steps() == 0 {
        return Err(Error::EmptyDataset {
            dataset: id.to_owned(),
        });
    }
    let normaliser = Normaliser::of(&data, Normaliser::EPSILON);
    let sampler = WindowSampler::new(&data, &normaliser, WindowConfig::corl(20, 1000.0))?;
    let (mut stream, mut batch) = (Stream::new(0, "bench"), Batch::default());
    let batch_time = timed(Duration::from_secs(1), || {
        sampler.sample(&mut stream, ROWS, &mut batch);
    });
    Ok(Load {
        what: "load",
        dataset: id.to_owned(),
        steps: data.steps(),
        episodes: data.episodes(),
        open_ms,
        median_ms: batch_time.median_ms,
        per_second: 1e3 / batch_time.median_ms,
    })
}
