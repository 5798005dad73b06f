//! Steps a second of one environment, resets included, as JSON: our side of
//! `benches/peers/compare_steps.py`.
//!
//! ```text
//! cargo bench -p rtg-envs --bench pace -- Hopper-v5 64 2 1.5     id, rows, threads, seconds
//! ```

use rtg_envs::{Autoreset, make_vec, random::NumpyRng};
use std::{
    error::Error,
    io::{Write, stdout},
    time::{Duration, Instant},
};

/// Steps whose actions are drawn beforehand and used in turn.
const TURNS: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo adds `--bench`.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let id = words.next().unwrap_or_else(|| "CartPole-v1".to_owned());
    let rows: usize = words.next().map_or(Ok(64), |word| word.parse())?;
    let threads: usize = words.next().map_or(Ok(1), |word| word.parse())?;
    let seconds: f64 = words.next().map_or(Ok(1.0), |word| word.parse())?;
    let mut envs = make_vec(&id, rows, Autoreset::NextStep)?.with_threads(threads);
    let space = envs.spec().action_space.clone();
    let mut rng = NumpyRng::from_seed(0);
    let mut actions = vec![0.0; TURNS * rows * space.width()];
    (actions.chunks_mut(space.width())).for_each(|action| space.sample(&mut rng, action));
    let budget = Duration::from_secs_f64(seconds);
    let (began, mut steps) = (Instant::now(), 0);
    while began.elapsed() < budget {
        // A tenth at a time, for environments that take long.
        for turn in actions
            .chunks(rows * space.width())
            .cycle()
            .skip(steps % TURNS)
            .take(TURNS / 10)
        {
            envs.step(turn);
        }
        steps += TURNS / 10;
    }
    let per_second = (rows * steps) as f64 / began.elapsed().as_secs_f64();
    let answer = serde_json::json!({
        "what": "env", "env": id, "rows": rows, "threads": threads,
        "per_second": per_second.round(),
    });
    writeln!(stdout(), "{answer}")?;
    Ok(())
}
