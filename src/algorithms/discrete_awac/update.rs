//! One update of discrete AWAC.

use super::DiscreteAwac;
use crate::algorithms::Update;
use crate::algorithms::actor_critic::categorical::{Cloning, Critics, taken};
use crate::algorithms::actor_critic::update::bootstrap;
use crate::algorithms::actor_critic::{Parts, Work};
use crate::algorithms::networks::mean;
use rtg_kernels::mlp::heads::categorical::log_softmax;

/// Scratch memory of an update, kept for the next one.
#[derive(Default)]
pub struct Scratch {
    /// Rows x A: the actor's logits at the next observations, then their log-probabilities.
    logits: Vec<f32>,
    logs: Vec<f32>,
    /// `min_j Q_j(s, b)`, rows x A.
    values: Vec<f32>,
    /// Their expectation over the actor's actions, row by row.
    expected: Vec<f32>,
    advantages: Vec<f32>,
    critics: Critics,
    cloning: Cloning,
}

/// Computes the whole update: critics, actor, targets.
pub(super) fn run(
    work: &Work<DiscreteAwac>,
    parts: &mut Parts<DiscreteAwac>,
    with: &mut Scratch,
) -> Update {
    let (batch, config, count) = (work.batch, work.config(), work.made_of.actions.width());
    let [actor, critics] = &mut parts.networks;
    let next = &batch.next_observations;
    with.logits.resize(batch.rows * count, 0.0);
    actor.infer(work.pool, &[next], &mut with.logits);
    with.logs.resize(batch.rows * count, 0.0);
    log_softmax(count, &with.logits, &mut with.logs);
    let of = &mut with.critics;
    of.least_of_targets(work, critics, next, &mut with.values);
    expectation(count, &with.logs, &with.values, &mut with.expected);
    bootstrap(batch, &with.expected, &mut of.targets);
    let step = (1.0, config.critic_learning_rate);
    let report = of.step(Update::default(), work, critics, step);

    let cloning = &mut with.cloning;
    cloning.forward(work, actor);
    of.least(work, critics, &mut with.values);
    expectation(count, &cloning.logs, &with.values, &mut with.expected);
    taken(work, &with.values, &mut with.advantages);
    for (advantage, expected) in with.advantages.iter_mut().zip(&with.expected) {
        *advantage -= expected;
    }
    let (temperature, limit) = (config.temperature as f32, config.weight_limit as f32);
    let advantages = with.advantages.iter();
    cloning.weigh(advantages.map(|advantage| advantage / temperature), limit);
    let report = cloning.step(report, work, actor, (limit, config.actor_learning_rate));
    critics.follow(work.pool, config.tau);
    report
        .mean("advantage", mean(&with.advantages))
        .mean("q_policy", mean(&with.expected))
}

/// `sum_b` pi(b) v(b), row by row.
fn expectation(count: usize, logs: &[f32], values: &[f32], to: &mut Vec<f32>) {
    let rows = logs.chunks(count).zip(values.chunks(count));
    let of = |(logs, values): (&[f32], &[f32])| -> f32 {
        logs.iter().zip(values).map(|(l, v)| l.exp() * v).sum()
    };
    to.clear();
    to.extend(rows.map(of));
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtg_kernels::testing::assert_close;

    #[test]
    fn an_expectation_weighs_values_with_their_probabilities() {
        let logs: Vec<f32> = [0.25_f32, 0.75, 1.0, 0.0].iter().map(|p| p.ln()).collect();
        let mut to = Vec::new();
        expectation(2, &logs, &[4.0, 8.0, -3.0, 5.0], &mut to);
        assert_close(&to, &[7.0, -3.0], "expectations");
    }
}
