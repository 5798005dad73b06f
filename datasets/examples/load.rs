//! Times opening datasets, for `benches/peers/h5py_load.py`.
//!
//! ```text
//! cargo run --release -p rtg-datasets --example load -- REPEATS PATH...
//! ```
//!
//! Prints a JSON line for each path: its steps, its episodes, and the least and the median seconds
//! over all repeats.

use std::error::Error;
use std::time::Instant;

use serde_json::json;

#[expect(clippy::print_stdout, reason = "the program's output")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [repeats, paths @ ..] = &arguments[..] else {
        return Err("usage: load REPEATS PATH...".into());
    };
    let repeats = repeats.parse::<usize>()?.max(1);
    for path in paths {
        let mut secs = Vec::with_capacity(repeats);
        let (mut steps, mut episodes) = (0, 0);
        for _ in 0..repeats {
            let began = Instant::now();
            let dataset = rtg_datasets::open(path, None)?;
            secs.push(began.elapsed().as_secs_f64());
            (steps, episodes) = (dataset.steps(), dataset.episodes());
        }
        secs.sort_by(f64::total_cmp);
        let answer = json!({
            "path": path,
            "steps": steps,
            "episodes": episodes,
            "least_secs": secs[0],
            "median_secs": secs[secs.len() / 2],
        });
        println!("{answer}");
    }
    Ok(())
}
