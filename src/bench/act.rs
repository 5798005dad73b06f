//! One action with a full context: latency for one row, throughput for many in lock-step.

use std::io;
use std::time::Duration;

use rand::RngExt;
use serde::Serialize;

use super::clock::{Milliseconds, timed, timed_on_request};
use super::{Sizes, instructions, model};
use crate::algorithms::{Error, Model};
use crate::device::Device;
use crate::policy::{Acting, ActingMode, Policy, Start};
use crate::random::Stream;

/// The result of `rtg bench act`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Act {
    what: &'static str,
    sizes: Sizes,
    rows: usize,
    acting: ActingMode,
    device: Device,
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
///
/// # Errors
/// Those of a GPU.
pub fn act(sizes: Sizes, (acting, rows): (Acting, usize), threads: usize) -> Result<Act, Error> {
    let mut decisions = Decisions::new(sizes, (acting, rows), threads)?;
    let decision = timed(Duration::from_secs(2), || decisions.make());
    decisions.check()?;
    Ok(Act {
        what: "act",
        sizes,
        rows,
        acting: acting.mode,
        device: acting.device,
        threads,
        instructions: instructions(),
        decision,
        per_second: rows as f64 / (1e-3 * decision.median_ms),
    })
}

/// Chooses one action in all rows for each line of standard input and prints the milliseconds.
///
/// # Errors
/// Those of a GPU; and those of standard input and output.
pub fn act_on_request(
    sizes: Sizes,
    rows: (Acting, usize),
    threads: usize,
) -> Result<io::Result<()>, Error> {
    let mut decisions = Decisions::new(sizes, rows, threads)?;
    let ended = timed_on_request(|| decisions.make());
    decisions.check()?;
    Ok(ended)
}

/// Episodes of a policy, one in each row.
struct Decisions {
    policy: Box<dyn Policy>,
    active: Vec<usize>,
    observations: Vec<f64>,
    rewards: Vec<f64>,
    actions: Vec<f64>,
}

impl Decisions {
    /// Past the first K steps.
    fn new(sizes: Sizes, (acting, rows): (Acting, usize), threads: usize) -> Result<Self, Error> {
        let mut policy = model(&sizes).acting(acting, rows, threads)?;
        let mut stream = Stream::new(0, "bench");
        let observations = (0..rows * sizes.observation).map(|_| stream.random_range(-1.0..1.0));
        let start = Start {
            seed: 0,
            target: Some(3600.0),
        };
        (0..rows).for_each(|row| policy.begin(row, &start));
        let mut decisions = Self {
            policy,
            active: (0..rows).collect(),
            observations: observations.collect(),
            rewards: vec![1.0; rows],
            actions: vec![0.0; rows * sizes.action],
        };
        (0..=sizes.context).for_each(|_| decisions.make());
        Ok(decisions)
    }

    /// One action of every row.
    fn make(&mut self) {
        let (observations, rewards) = (&self.observations, &self.rewards);
        (self.policy).act(&self.active, observations, rewards, &mut self.actions);
    }

    fn check(&mut self) -> Result<(), Error> {
        self.policy
            .failure()
            .map_or(Ok(()), |error| Err(error.into()))
    }
}
