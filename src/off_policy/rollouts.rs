//! The discounted return of a policy by simulation, to compare estimates with.

use super::{EstimationPlan, Value};
use crate::error::Error;
use crate::interrupt;
use crate::policy::{Policy, Start};
use crate::rollout::{Rollout, Transition};

/// Environments that are stepped together.
const ROWS: usize = 128;
/// Rounds of all environments between checks for signals.
const ROUNDS: usize = 64;

/// The mean over episodes that start from the plan's seed, the one after it, ...
pub(super) fn value(
    policy: &mut dyn FnMut(usize) -> Box<dyn Policy>,
    env: &str,
    episodes: usize,
    target: Option<f64>,
    plan: &EstimationPlan,
) -> Result<Value, Error> {
    let rows = ROWS.min(episodes);
    let mut policy = policy(rows);
    let first = plan.seed;
    let starts = move |index: usize| {
        let seed = first.wrapping_add(index as u64);
        (index < episodes).then_some(Start { seed, target })
    };
    let mut rollout = Rollout::open(env, rows, plan.threads, starts)?;
    let mut returns = vec![0.0; episodes];
    let mut weights = vec![1.0; episodes];
    let mut note = |transition: &Transition<'_>| {
        let weight = &mut weights[transition.index];
        returns[transition.index] += *weight * transition.reward;
        *weight *= plan.discount;
    };
    while rollout.advance(&mut *policy, rows * ROUNDS, &mut note) > 0 {
        interrupt::check()?;
    }
    Ok(Value::of(&returns))
}
