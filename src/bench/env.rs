//! Environment steps a second under random actions, resets included.

use std::time::{Duration, Instant};

use rtg_envs::{Autoreset, VecEnv, make_vec};
use serde::Serialize;

use crate::error::Error;
use crate::random::Stream;

/// The result of `rtg bench env`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnvSpeed {
    what: &'static str,
    env: String,
    rows: usize,
    threads: usize,
    /// Environment steps a second over all rows.
    pub per_second: f64,
}

/// Steps `rows` copies, divided among `threads`, for about two seconds.
pub fn env(id: &str, rows: usize, threads: usize) -> Result<EnvSpeed, Error> {
    let envs = make_vec(id, rows, Autoreset::SameStep)?.with_threads(threads);
    Ok(EnvSpeed {
        what: "env",
        env: id.to_owned(),
        rows,
        threads,
        per_second: steps_per_second(envs, 0, Duration::from_secs(2)),
    })
}

/// Actions are drawn before the timing starts and reused, so that only the environment is timed.
fn steps_per_second(mut envs: VecEnv, seed: u64, budget: Duration) -> f64 {
    const TURNS: usize = 64;
    let (rows, space) = (envs.rows(), envs.spec().action_space.clone());
    let mut stream = Stream::new(seed, "bench");
    let mut actions = vec![0.0; TURNS * rows * space.width()];
    actions
        .chunks_mut(space.width())
        .for_each(|action| space.sample(&mut stream, action));
    envs.reset(Some(seed));
    let (began, mut steps) = (Instant::now(), 0);
    while began.elapsed() < budget {
        for turn in actions.chunks(rows * space.width()) {
            envs.step(turn);
        }
        steps += TURNS * rows;
    }
    steps as f64 / began.elapsed().as_secs_f64()
}
