//! One update of discrete IQL.

use super::DiscreteIql;
use crate::algorithms::Update;
use crate::algorithms::actor_critic::categorical::{Cloning, Critics, taken};
use crate::algorithms::actor_critic::update::{Expectile, bootstrap};
use crate::algorithms::actor_critic::{Parts, Work};
use crate::algorithms::networks::mean;

/// Scratch memory of an update, kept for the next one.
#[derive(Default)]
pub struct Scratch {
    /// `min_j Q_j'(s, b)`, rows x A.
    values: Vec<f32>,
    /// Values of the data's actions.
    target_values: Vec<f32>,
    /// V(s').
    next_values: Vec<f32>,
    value: Expectile,
    critics: Critics,
    cloning: Cloning,
}

/// Computes the whole update: value function, critics, actor.
pub(super) fn run(
    work: &Work<DiscreteIql>,
    parts: &mut Parts<DiscreteIql>,
    with: &mut Scratch,
) -> Update {
    let (batch, config) = (work.batch, work.config());
    let [actor, critics, value] = &mut parts.networks;
    let of = &mut with.critics;
    of.least_of_targets(work, critics, &batch.observations, &mut with.values);
    taken(work, &with.values, &mut with.target_values);
    with.next_values.resize(batch.rows, 0.0);
    value.infer(
        work.pool,
        &[&batch.next_observations],
        &mut with.next_values,
    );

    let step = (config.expectile, config.value_learning_rate);
    let report = with.value.step(work, value, &with.target_values, step);
    bootstrap(batch, &with.next_values, &mut with.critics.targets);
    let step = (0.5, config.critic_learning_rate);
    let report = with.critics.step(report, work, critics, step);
    critics.follow(work.pool, config.tau);

    let progress = (work.number - 1) as f64 / work.steps.max(1) as f64;
    let rate = config.actor_learning_rate * config.actor_schedule.factor(progress);
    let (beta, limit) = (config.beta as f32, config.weight_limit as f32);
    let advantages = &with.value.advantages;
    let cloning = &mut with.cloning;
    cloning.forward(work, actor);
    cloning.weigh(advantages.iter().map(|advantage| beta * advantage), limit);
    let report = cloning.step(report, work, actor, (limit, rate));
    report
        .mean("advantage", mean(advantages))
        .last("learning_rate", rate)
}
