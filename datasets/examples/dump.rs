//! Prints a dataset bit for bit, for comparison with other readers (`fixtures/peer_check.py`).
//!
//! ```text
//! cargo run -p rtg-datasets --example dump -- ID_OR_PATH
//! ```
//!
//! The first line is JSON: ids, sizes, hash, statistics, and for each episode its steps, flags and
//! seed. After it come little-endian `f64`: observations, actions and rewards of each episode.

use std::error::Error;
use std::io::{BufWriter, Write};

use rtg_datasets::{Normaliser, ReturnSummary};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).ok_or("usage: dump ID_OR_PATH")?;
    let dataset = rtg_datasets::open(&name, None)?;
    let episodes: Vec<_> = dataset
        .iter()
        .map(|episode| {
            json!({
                "steps": episode.len(),
                "terminated": episode.terminated,
                "truncated": episode.truncated,
                "seed": episode.seed,
            })
        })
        .collect();
    let header = json!({
        "id": dataset.info().id,
        "env_id": dataset.info().env_id(),
        "max_episode_steps": dataset.info().max_episode_steps,
        "provenance": dataset.info().provenance,
        "observation_width": dataset.observation_width(),
        "action_width": dataset.action_width(),
        "hash": dataset.hash(),
        "normaliser": Normaliser::of(&dataset, Normaliser::EPSILON),
        "returns": ReturnSummary::of(&dataset),
        "findings": rtg_datasets::doctor::examine(&dataset),
        "episodes": episodes,
    });
    let mut out = BufWriter::new(std::io::stdout().lock());
    writeln!(out, "{header}")?;
    for episode in dataset.iter() {
        for column in [episode.observations, episode.actions, episode.rewards] {
            for number in column {
                out.write_all(&number.to_le_bytes())?;
            }
        }
    }
    Ok(out.flush()?)
}
