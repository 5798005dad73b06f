//! Opens a dataset, describes it, and draws batches from it.
//!
//! ```text
//! cargo run --release -p rtg-datasets --example batches -- ID_OR_PATH
//! ```
#![expect(clippy::print_stdout, reason = "its answer goes to stdout")]

use std::error::Error;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use rtg_datasets::{
    Batch, Normaliser, ReturnSummary, TransitionConfig, TransitionSampler, Transitions,
    WindowConfig, WindowSampler, open,
};

/// Also run by the tests: one batch of windows and one of transitions.
pub(crate) fn batches(name: &str) -> Result<(Batch, Transitions), Box<dyn Error>> {
    let dataset = open(name, None)?;
    let returns = ReturnSummary::of(&dataset);
    println!("{}: {} steps", dataset.info().id, dataset.steps());
    println!(
        "{} episodes, mean return {}",
        dataset.episodes(),
        returns.mean
    );

    let normaliser = Normaliser::of(&dataset, Normaliser::EPSILON);
    let mut rng = Pcg64::seed_from_u64(0);
    let windows = WindowConfig::official(20, 1000.0, 1000);
    let windows = WindowSampler::new(&dataset, &normaliser, windows)?;
    let mut batch = Batch::default();
    windows.sample(&mut rng, 64, &mut batch);
    println!(
        "a batch of {} windows of {} steps",
        batch.rows, batch.context
    );

    let transitions = TransitionConfig::default();
    let transitions = TransitionSampler::new(&dataset, &normaliser, transitions)?;
    let mut pairs = Transitions::default();
    transitions.sample(&mut rng, 256, &mut pairs);
    println!("a batch of {} transitions", pairs.rows);
    Ok((batch, pairs))
}

fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).ok_or("usage: batches ID_OR_PATH")?;
    batches(&name)?;
    Ok(())
}
