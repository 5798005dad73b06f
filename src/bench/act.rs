//! One action with a full context: latency for one row, throughput for many in lock-step.

use std::io;
use std::time::Duration;

use rand::RngExt;
use serde::Serialize;

use super::clock::{Milliseconds, timed, timed_on_request};
use super::{Sizes, instructions, model};
use crate::policy::{ActingMode, Start};
use crate::random::Stream;

/// The result of `rtg bench act`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Act {
    what: &'static str,
    sizes: Sizes,
    rows: usize,
    acting: ActingMode,
    threads: usize,
    /// The instruction set of the kernels.
    pub instructions: &'static str,
    /// Milliseconds until all rows have their action.
    #[serde(flatten)]
    pub decision: Milliseconds,
    /// Actions a second over all rows.
    pub per_second: f64,
}

/// Times the policy alone, past the first K steps of its episodes.
pub fn act(sizes: Sizes, (acting, rows): (ActingMode, usize), threads: usize) -> Act {
    let work = decide(sizes, (acting, rows), threads);
    let decision = timed(Duration::from_secs(2), work);
    Act {
        what: "act",
        sizes,
        rows,
        acting,
        threads,
        instructions: instructions(),
        decision,
        per_second: rows as f64 / (1e-3 * decision.median_ms),
    }
}

/// Chooses one action in all rows for each line of standard input and prints the milliseconds.
///
/// # Errors
/// Those of standard input and output.
pub fn act_on_request(sizes: Sizes, rows: (ActingMode, usize), threads: usize) -> io::Result<()> {
    timed_on_request(decide(sizes, rows, threads))
}

/// One action of every row with a full context.
fn decide(sizes: Sizes, (acting, rows): (ActingMode, usize), threads: usize) -> impl FnMut() {
    let mut policy = model(&sizes).policy(acting, rows, threads);
    let mut stream = Stream::new(0, "bench");
    let observations: Vec<f64> = (0..rows * sizes.observation)
        .map(|_| stream.random_range(-1.0..1.0))
        .collect();
    let rewards = vec![1.0; rows];
    let mut actions = vec![0.0; rows * sizes.action];
    let active: Vec<usize> = (0..rows).collect();
    let start = Start {
        seed: 0,
        target: Some(3600.0),
    };
    (0..rows).for_each(|row| policy.begin(row, &start));
    let mut act = move || policy.act(&active, &observations, &rewards, &mut actions);
    (0..=sizes.context).for_each(|_| act());
    act
}
