//! Fitted Q evaluation of a policy on a dataset.

use rtg_datasets::sample::Transitions;

use super::history::History;
use super::{EstimationPlan, FittedValue, Value};
use crate::algorithms::ActionCodec;
use crate::algorithms::fitted_q::FittedQ;
use crate::interrupt::{self, Interrupt};
use crate::random::Stream;
use rtg_kernels::mlp::Pool;

/// The largest discounted return-to-go of the data becomes this by scaling its rewards.
const LARGEST: f64 = 10.0;
/// Updates between reports of progress.
const EVERY: u64 = 100;

/// The value of the history's policy.
pub(super) fn value(
    history: &History,
    codec: &ActionCodec,
    plan: &EstimationPlan,
    pool: &Pool,
    mut progress: impl FnMut(u64),
) -> Result<FittedValue, Interrupt> {
    let mut stream = Stream::new(plan.seed, "fitted q: initialisation");
    let mut q = FittedQ::new(history.width, codec, &mut stream);
    let mut draws = Stream::new(plan.seed, "fitted q: batches");
    let scale = reward_scale(history, plan.discount);
    let mut batch = Transitions::default();
    let mut course = Vec::new();
    let tenth = plan.updates.div_ceil(10).max(1);
    let (mut losses, mut at_starts) = ((0.0, 0_u64), Vec::new());
    for update in 1..=plan.updates {
        fill(&mut batch, history, (scale, plan.discount), &mut draws);
        let loss = pool.update(|| q.update(pool, &batch));
        if update > plan.updates - tenth {
            losses = (losses.0 + loss, losses.1 + 1);
        }
        if update.is_multiple_of(EVERY) || update == plan.updates {
            interrupt::check()?;
            progress(update);
        }
        if update.is_multiple_of(tenth) || update == plan.updates {
            at_starts = starting_values(&q, history, pool, scale);
            course.push((update, crate::statistics::mean(&at_starts)));
        }
    }
    Ok(FittedValue {
        value: Value::of(&at_starts),
        course,
        loss: losses.0 / losses.1.max(1) as f64,
        reward_scale: scale,
    })
}

/// Scales the rewards so that the largest discounted return-to-go is [`LARGEST`].
fn reward_scale(history: &History, discount: f64) -> f64 {
    let mut largest = 0.0_f64;
    let ends = history.starts.iter().skip(1).copied();
    let ends = ends.chain([history.rewards.len()]);
    for (&start, end) in history.starts.iter().zip(ends) {
        let rewards = history.rewards[start..end].iter().rev();
        rewards.fold(0.0, |later, &reward| {
            let to_go = f64::from(reward) + discount * later;
            largest = largest.max(to_go.abs());
            to_go
        });
    }
    if largest > 0.0 {
        LARGEST / largest
    } else {
        1.0
    }
}

/// A batch of the history's steps, each as likely as any other.
fn fill(
    batch: &mut Transitions,
    history: &History,
    (scale, discount): (f64, f64),
    stream: &mut Stream,
) {
    let columns = [
        &mut batch.observations,
        &mut batch.actions,
        &mut batch.rewards,
        &mut batch.next_observations,
        &mut batch.next_actions,
        &mut batch.terminated,
        &mut batch.discounts,
    ];
    columns.into_iter().for_each(Vec::clear);
    batch.rows = FittedQ::BATCH;
    let width = history.width;
    let actions = history.actions.len() / history.rewards.len().max(1);
    for _ in 0..batch.rows {
        let row = history.steps[stream.index(history.steps.len())];
        let next = row + 1;
        for (to, from, row, width) in [
            (&mut batch.observations, &history.inputs, row, width),
            (&mut batch.actions, &history.actions, row, actions),
            (&mut batch.next_observations, &history.inputs, next, width),
            (&mut batch.next_actions, &history.decisions, next, actions),
        ] {
            to.extend_from_slice(&from[row * width..][..width]);
        }
        batch
            .rewards
            .push((f64::from(history.rewards[row]) * scale) as f32);
        batch.terminated.push(f32::from(history.terminated[row]));
        batch.discounts.push(discount as f32);
    }
}

/// Q(s, pi(s)) at the start of each episode, in the data's units of reward.
fn starting_values(q: &FittedQ, history: &History, pool: &Pool, scale: f64) -> Vec<f64> {
    let actions = history.actions.len() / history.rewards.len().max(1);
    let rows = |of: &[f32], width: usize| {
        let starts = history.starts.iter();
        let rows = starts.map(|&row| &of[row * width..][..width]);
        rows.collect::<Vec<_>>().concat()
    };
    let inputs = rows(&history.inputs, history.width);
    let decisions = rows(&history.decisions, actions);
    let values = q.values(pool, &inputs, &decisions);
    let values = values.into_iter();
    values.map(|value| f64::from(value) / scale).collect()
}
