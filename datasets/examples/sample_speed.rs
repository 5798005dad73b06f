//! Measures sampling: from memory, from a mapped store, and with prefetching.
//!
//! ```text
//! cargo run --release -p rtg-datasets --example sample_speed -- [EPISODES] [STEPS]
//! ```
//!
//! Draws batches of 64 windows of 20 steps, and of 256 transitions, from a million steps (1,000
//! episodes by default) of Hopper's widths: 11 observation numbers, 3 action numbers. The variants
//! take turns, and the medians of their rounds are printed as JSON, one line for windows and one
//! for transitions. `benches/peers/corl_sampler.py` measures CORL's windows.

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use rtg_datasets::{
    Batch, Dataset, Episode, Info, Normaliser, Prefetcher, ReplayBuffer, TransitionConfig,
    TransitionSampler, Transitions, WindowConfig, WindowSampler, store,
};
use rtg_envs::{BoxSpace, Space};

const ROWS: usize = 64;
const CONTEXT: usize = 20;
const TRANSITIONS: usize = 256;
const OBSERVATION: usize = 11;
const ACTION: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (episodes, steps) = (number(1000)?, number(1_000_000)?);
    let memory = generated(episodes, steps / episodes)?;
    let cache = tempfile::tempdir()?;
    let mapped = store::map(&memory, cache.path())?;
    let windows = windows(&memory, &mapped)?;
    let transitions = transitions(&memory, &mapped)?;
    for (what, [memory, store, other], name) in [
        ("sample", windows, "prefetched_us"),
        ("sample_transitions", transitions, "replay_us"),
    ] {
        let answer = serde_json::json!({
            "what": what, "episodes": episodes, "steps": steps,
            "memory_us": memory, "mapped_us": store, name: other,
            "mapped_over_memory": store / memory,
        });
        writeln!(std::io::stdout(), "{answer}")?;
    }
    Ok(())
}

/// Microseconds a batch of windows: from memory, from a store, and drawn ahead from a store.
fn windows(memory: &Dataset, mapped: &Dataset) -> Result<[f64; 3], Box<dyn Error>> {
    let normaliser = Normaliser::of(memory, Normaliser::EPSILON);
    let sampler = |dataset: &Dataset| {
        WindowSampler::new(dataset, &normaliser, WindowConfig::corl(CONTEXT, 1000.0))
    };
    let (from_memory, from_store) = (sampler(memory)?, std::sync::Arc::new(sampler(mapped)?));
    let mut ahead = Prefetcher::new(from_store.clone(), stream(), ROWS, 4);
    let mut batch = Batch::default();
    let (mut in_memory, mut in_store) = (stream(), stream());
    Ok(medians(|way| match way {
        0 => from_memory.sample(&mut in_memory, ROWS, &mut batch),
        1 => from_store.sample(&mut in_store, ROWS, &mut batch),
        _ => ahead.next(&mut batch),
    }))
}

/// Microseconds a batch of transitions: from memory, from a store, and from a replay buffer.
fn transitions(memory: &Dataset, mapped: &Dataset) -> Result<[f64; 3], Box<dyn Error>> {
    let config = TransitionConfig::default();
    let normaliser = config.normaliser(memory);
    let sampler = |dataset: &Dataset| TransitionSampler::new(dataset, &normaliser, config.clone());
    let (from_memory, from_store) = (sampler(memory)?, sampler(mapped)?);
    let (info, rows) = (memory.info(), from_memory.rows());
    let (observations, actions) = (&info.observation_space, &info.action_space);
    let mut replay = ReplayBuffer::new(observations, actions, rows, config.clone())?;
    replay.extend(memory)?;
    replay.set_normaliser(Some(normaliser.clone()))?;
    let mut batch = Transitions::default();
    let [mut in_memory, mut in_store, mut in_replay] = [stream(), stream(), stream()];
    Ok(medians(|way| match way {
        0 => from_memory.sample(&mut in_memory, TRANSITIONS, &mut batch),
        1 => from_store.sample(&mut in_store, TRANSITIONS, &mut batch),
        _ => replay.sample(&mut in_replay, TRANSITIONS, &mut batch),
    }))
}

fn stream() -> Pcg64 {
    Pcg64::seed_from_u64(1)
}

/// The medians of nine rounds of three variants that take turns.
fn medians(mut call: impl FnMut(usize)) -> [f64; 3] {
    let mut rounds = [const { Vec::new() }; 3];
    for _ in 0..9 {
        for (way, times) in rounds.iter_mut().enumerate() {
            times.push(micros(|| call(way)));
        }
    }
    rounds.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
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
