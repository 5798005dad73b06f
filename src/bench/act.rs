//! One decision with a full context: latency for one row, throughput for many in lock-step.

use std::time::Duration;

use rand::RngExt;
use serde::Serialize;

use super::{Sizes, median_secs, model};
use crate::policy::Start;
use crate::random::Stream;

/// The answer of `rtg bench act`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Act {
    what: &'static str,
    sizes: Sizes,
    rows: usize,
    threads: usize,
    /// Median milliseconds until all rows have their action.
    pub median_ms: f64,
    /// Actions a second over all rows.
    pub per_second: f64,
}

/// Times the policy alone, past the first K steps of its episodes.
pub fn act(sizes: Sizes, rows: usize, threads: usize) -> Act {
    let mut policy = model(&sizes).policy(rows, threads);
    let mut stream = Stream::new(0, "bench");
    let observations: Vec<f64> = (0..rows * sizes.observation)
        .map(|_| stream.random_range(-1.0..1.0))
        .collect();
    let rewards = vec![1.0; rows];
    let mut actions = vec![0.0; rows * sizes.action];
    let active: Vec<usize> = (0..rows).collect();
    for row in 0..rows {
        policy.begin(
            row,
            &Start {
                seed: 0,
                target: Some(3600.0),
            },
        );
    }
    for _ in 0..=sizes.context {
        policy.act(&active, &observations, &rewards, &mut actions);
    }
    let secs = median_secs(Duration::from_secs(2), || {
        policy.act(&active, &observations, &rewards, &mut actions);
    });
    Act {
        what: "act",
        sizes,
        rows,
        threads,
        median_ms: 1e3 * secs,
        per_second: rows as f64 / secs,
    }
}
