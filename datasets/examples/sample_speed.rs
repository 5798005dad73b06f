//! Measures sampling: from memory, from a mapped store, and with prefetching.
//!
//! ```text
//! cargo run --release -p rtg-datasets --example sample_speed -- [EPISODES] [STEPS]
//! ```
//!
//! Draws batches of 64 windows of 20 steps from a million steps (1,000 episodes unless told
//! otherwise) of Hopper's widths: 11 observation numbers, 3 action numbers. The three ways take
//! turns, and the medians of their rounds are printed as JSON. `benches/peers/corl_sampler.py`
//! measures the same for CORL's way.

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use rtg_datasets::{
    Batch, Dataset, Episode, Info, Normaliser, Prefetcher, WindowConfig, WindowSampler, store,
};
use rtg_envs::{BoxSpace, Space};

const ROWS: usize = 64;
const CONTEXT: usize = 20;
const OBSERVATION: usize = 11;
const ACTION: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (episodes, steps) = (number(1000)?, number(1_000_000)?);
    let memory = generated(episodes, steps / episodes)?;
    let cache = tempfile::tempdir()?;
    let mapped = store::map(&memory, cache.path())?;
    let normaliser = Normaliser::of(&memory, Normaliser::EPSILON);
    let sampler = |dataset: &Dataset| {
        WindowSampler::new(dataset, &normaliser, WindowConfig::corl(CONTEXT, 1000.0))
    };
    let (from_memory, from_store) = (sampler(&memory)?, std::sync::Arc::new(sampler(&mapped)?));
    drop(memory);
    let stream = || Pcg64::seed_from_u64(1);
    let mut ahead = Prefetcher::new(from_store.clone(), stream(), ROWS, 4);
    let mut batch = Batch::default();
    let (mut in_memory, mut in_store) = (stream(), stream());
    let mut medians = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..9 {
        medians[0].push(micros(|| {
            from_memory.sample(&mut in_memory, ROWS, &mut batch);
        }));
        medians[1].push(micros(|| {
            from_store.sample(&mut in_store, ROWS, &mut batch);
        }));
        medians[2].push(micros(|| ahead.next(&mut batch)));
    }
    let [memory, store, prefetched] = medians.map(|mut rounds| {
        rounds.sort_by(f64::total_cmp);
        rounds[rounds.len() / 2]
    });
    let answer = serde_json::json!({
        "what": "sample", "episodes": episodes, "steps": steps,
        "memory_us": memory, "mapped_us": store, "prefetched_us": prefetched,
        "mapped_over_memory": store / memory,
    });
    Ok(writeln!(std::io::stdout(), "{answer}")?)
}

/// Microseconds a call, the mean of a fifth of a second.
fn micros(mut call: impl FnMut()) -> f64 {
    let (began, mut calls) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(200) {
        for _ in 0..16 {
            call();
        }
        calls += 16;
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}

fn generated(episodes: usize, steps: usize) -> Result<Dataset, Box<dyn Error>> {
    let mut dataset = Dataset::new(Info {
        max_episode_steps: Some(steps),
        provenance: "random numbers".into(),
        ..Info::new(
            &format!("generated-{episodes}x{steps}"),
            Space::Box(BoxSpace::unbounded(OBSERVATION)),
            Space::Box(BoxSpace::unbounded(ACTION)),
        )
    });
    let mut rng = Pcg64::seed_from_u64(0);
    let mut numbers = |count: usize| -> Vec<f64> {
        let unit = || f64::from((rng.next_u64() >> 40) as u32) / f64::from(1 << 24);
        std::iter::repeat_with(unit).take(count).collect()
    };
    for _ in 0..episodes {
        dataset.push(Episode {
            observations: numbers((steps + 1) * OBSERVATION),
            actions: numbers(steps * ACTION),
            rewards: numbers(steps),
            truncated: true,
            ..Episode::default()
        })?;
    }
    Ok(dataset)
}
