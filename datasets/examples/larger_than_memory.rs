//! Draws batches from a store that may be larger than the memory this process is allowed.
//!
//! ```text
//! cargo run --release -p rtg-datasets --example larger_than_memory -- make DIRECTORY GIGABYTES
//! cargo run --release -p rtg-datasets --example larger_than_memory -- draw DIRECTORY WORK_MS BATCHES
//! ```
//!
//! `make` writes a store of random episodes, one by one. `draw` opens it and takes batches of 64
//! windows of 20 steps from a prefetcher while it works for `WORK_MS` between them, as a training
//! step would; it prints the time a step and the largest memory in use. `benches/larger_than_memory.py`
//! runs both inside a control group with a memory limit.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use rtg_datasets::{
    Batch, Episode, Info, Normaliser, Prefetcher, WindowConfig, WindowSampler, store,
};
use rtg_envs::{BoxSpace, Space};

const ROWS: usize = 64;
const CONTEXT: usize = 20;
const OBSERVATION: usize = 17;
const ACTION: usize = 6;
const STEPS: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", directory, gigabytes] => make(Path::new(directory), gigabytes.parse()?),
        ["draw", directory, work, batches] => {
            draw(Path::new(directory), work.parse()?, batches.parse()?)
        }
        _ => Err("make DIRECTORY GIGABYTES, or draw DIRECTORY WORK_MS BATCHES".into()),
    }
}

fn make(directory: &Path, gigabytes: f64) -> Result<(), Box<dyn Error>> {
    let row = OBSERVATION + ACTION + 2;
    let episodes = (gigabytes * 1e9 / (8 * row * STEPS) as f64).ceil() as usize;
    let info = Info {
        id: "generated".into(),
        env_id: None,
        max_episode_steps: Some(STEPS),
        observation_space: Space::Box(BoxSpace::unbounded(OBSERVATION)),
        action_space: Space::Box(BoxSpace::unbounded(ACTION)),
        provenance: "random numbers".into(),
    };
    let mut rng = Pcg64::seed_from_u64(0);
    let mut numbers = |count: usize| -> Vec<f64> {
        let unit = || f64::from((rng.next_u64() >> 40) as u32) / f64::from(1 << 24);
        std::iter::repeat_with(unit).take(count).collect()
    };
    let episodes = (0..episodes).map(|_| {
        Ok(Episode {
            observations: numbers((STEPS + 1) * OBSERVATION),
            actions: numbers(STEPS * ACTION),
            rewards: numbers(STEPS),
            truncated: true,
            ..Episode::default()
        })
    });
    let made = store::make(directory, info, episodes)?;
    let (episodes, steps) = (made.episodes(), made.steps());
    Ok(writeln!(
        std::io::stdout(),
        "{episodes} episodes, {steps} steps"
    )?)
}

fn draw(directory: &Path, work_ms: f64, batches: usize) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let dataset = store::open(directory)?;
    let normaliser = Normaliser::of(&dataset, Normaliser::EPSILON);
    let config = WindowConfig::corl(CONTEXT, 1000.0);
    let sampler = Arc::new(WindowSampler::new(&dataset, &normaliser, config)?);
    let prepared = began.elapsed().as_secs_f64();
    let mut ahead = Prefetcher::new(sampler, Pcg64::seed_from_u64(1), ROWS, 4);
    let (mut batch, mut waited) = (Batch::default(), Duration::ZERO);
    let began = Instant::now();
    for _ in 0..batches {
        let asked = Instant::now();
        ahead.next(&mut batch);
        waited += asked.elapsed();
        let until = Instant::now() + Duration::from_secs_f64(work_ms / 1e3);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }
    let step_ms = 1e3 * began.elapsed().as_secs_f64() / batches as f64;
    let waited_ms = 1e3 * waited.as_secs_f64() / batches as f64;
    // Without the pages of the file, which the system may take back at any time.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
    };
    let answer = serde_json::json!({
        "what": "draw", "steps": dataset.steps(), "work_ms": work_ms, "prepared_s": prepared,
        "step_ms": step_ms, "waited_ms": waited_ms,
        "own_mb": kilobytes("RssAnon:").map(|kb| kb / 1024),
        "file_mb": kilobytes("RssFile:").map(|kb| kb / 1024),
    });
    Ok(writeln!(std::io::stdout(), "{answer}")?)
}
