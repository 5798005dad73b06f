//! One update of TD3+BC, part by part.

use super::Td3Bc;
use crate::algorithms::Update;
use crate::algorithms::actor_critic::deterministic::{Ascent, Smoothing};
use crate::algorithms::actor_critic::squashed::Units;
use crate::algorithms::actor_critic::update::{Critics, bootstrap};
use crate::algorithms::actor_critic::{Noise, Parts, Work};
use crate::algorithms::conventions::OfflineConventions;
use crate::algorithms::networks::mean;

/// Scratch memory of an update, kept for the next one.
#[derive(Default)]
pub struct Scratch {
    noise: Vec<f32>,
    next_actions: Vec<f32>,
    next_values: Vec<f32>,
    critics: Critics,
    ascent: Ascent,
}

/// An update in progress.
pub(super) struct Step<'a, 'b> {
    pub(super) work: &'a Work<'b, Td3Bc>,
    pub(super) parts: &'a mut Parts<Td3Bc>,
}

impl Step<'_, '_> {
    /// Computes the whole update.
    pub(super) fn run(&mut self, noise: &mut Noise<'_>, scratch: &mut Scratch) -> Update {
        let config = self.work.config();
        self.targets(noise, scratch);
        let [_, critics] = &mut self.parts.networks;
        let step = (1.0, config.critic_learning_rate);
        let report = scratch
            .critics
            .step(Update::default(), self.work, critics, step);
        // d3rlpy counts from 0.
        let counted = OfflineConventions::named(&self.work.made_of.recipe)
            .pick(self.work.number, self.work.number - 1);
        if !counted.is_multiple_of(config.policy_delay) {
            return report;
        }
        let report = self.actor(report, scratch);
        for network in &mut self.parts.networks {
            network.follow(self.work.pool, config.tau);
        }
        report
    }

    /// y = r + gamma (1 - terminated) min Q'(s', a'), with a' from the target policy plus noise.
    fn targets(&mut self, noise: &mut Noise<'_>, to: &mut Scratch) {
        let (work, config) = (self.work, self.work.config());
        let [actor, critics] = &mut self.parts.networks;
        let smoothing = Smoothing {
            scale: work.made_of.max_action(),
            noise: config.policy_noise,
            clip: config.noise_clip,
        };
        smoothing.next_actions(work, actor, noise, &mut to.noise, &mut to.next_actions);
        let inputs: [&[f32]; 2] = [&work.batch.next_observations, &to.next_actions];
        let values = &mut to.next_values;
        to.critics.least_of_targets(work, critics, inputs, values);
        bootstrap(work.batch, values, &mut to.critics.targets);
    }

    /// Steps the actor to increase the first critic's value and to approach the data's actions.
    fn actor(&mut self, report: Update, with: &mut Scratch) -> Update {
        let (work, config) = (self.work, self.work.config());
        let [actor, critics] = &mut self.parts.networks;
        let (batch, scale) = (work.batch, work.made_of.max_action());
        let (rows, count) = (batch.rows as f32, batch.actions.len());
        let units = Units::identity(work.made_of.actions.width());
        let ascent = &mut with.ascent;
        let values = ascent.values(work, [actor, critics], (scale, &units));
        let size = values.iter().map(|value| f64::from(value.abs()));
        let lambda = config.alpha / (size.sum::<f64>() / f64::from(rows));
        let q = mean(values);
        ascent.through_critic(work, critics, &units, -(lambda as f32) / rows);
        let mut cloning = 0.0_f64;
        let data = ascent.actions.iter().zip(&batch.actions);
        for (gradient, (action, wanted)) in ascent.action_gradients.iter_mut().zip(data) {
            let error = action - wanted;
            cloning += f64::from(error) * f64::from(error);
            *gradient += 2.0 * error / count as f32;
        }
        cloning /= count as f64;
        ascent.step(work, actor, scale, config.actor_learning_rate);
        report
            .mean("actor_loss", cloning - lambda * q)
            .mean("cloning_loss", cloning)
            .mean("q_policy", q)
            .last("lambda", lambda)
    }
}
