//! One update of TD3, part by part.

use super::{Td3, units};
use crate::algorithms::Update;
use crate::algorithms::actor_critic::deterministic::{Ascent, Smoothing};
use crate::algorithms::actor_critic::squashed::Units;
use crate::algorithms::actor_critic::update::{Critics, bootstrap};
use crate::algorithms::actor_critic::{Noise, Parts, Work};
use crate::algorithms::networks::mean;

/// Scratch memory of an update, kept for the next one.
#[derive(Default)]
pub struct Scratch {
    noise: Vec<f32>,
    /// The target policy's actions, in [-1, 1] and in the critics' units.
    next_actions: [Vec<f32>; 2],
    next_values: Vec<f32>,
    critics: Critics,
    ascent: Ascent,
}

/// An update in progress.
pub(super) struct Step<'a, 'b> {
    work: &'a Work<'b, Td3>,
    parts: &'a mut Parts<Td3>,
    units: Units,
}

impl<'a, 'b> Step<'a, 'b> {
    pub(super) fn of(work: &'a Work<'b, Td3>, parts: &'a mut Parts<Td3>) -> Self {
        Self {
            units: units(work.made_of),
            work,
            parts,
        }
    }

    /// Computes the whole update.
    pub(super) fn run(&mut self, noise: &mut Noise<'_>, scratch: &mut Scratch) -> Update {
        let config = self.work.config();
        self.targets(noise, scratch);
        let [_, critics] = &mut self.parts.networks;
        let step = (1.0, config.critic_learning_rate);
        let of = &mut scratch.critics;
        let report = of.step(Update::default(), self.work, critics, step);
        if !self.work.number.is_multiple_of(config.policy_delay) {
            return report;
        }
        let report = self.actor(report, &mut scratch.ascent);
        for network in &mut self.parts.networks {
            network.follow(self.work.pool, config.tau);
        }
        report
    }

    /// The critics' loss and its components, without a step.
    pub(super) fn measure(&mut self, noise: &mut Noise<'_>, scratch: &mut Scratch) -> Update {
        self.targets(noise, scratch);
        let [_, critics] = &self.parts.networks;
        let of = &mut scratch.critics;
        of.errors(Update::default(), self.work, critics, 1.0)
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
        let [own, seen] = &mut to.next_actions;
        smoothing.next_actions(work, actor, noise, &mut to.noise, own);
        self.units.apply(own, seen);
        let inputs: [&[f32]; 2] = [&work.batch.next_observations, seen];
        let values = &mut to.next_values;
        to.critics.least_of_targets(work, critics, inputs, values);
        bootstrap(work.batch, values, &mut to.critics.targets);
    }

    /// Steps the actor to increase the first critic's value.
    fn actor(&mut self, report: Update, ascent: &mut Ascent) -> Update {
        let (work, units) = (self.work, &self.units);
        let [actor, critics] = &mut self.parts.networks;
        let scale = work.made_of.max_action();
        let q = mean(ascent.values(work, [actor, critics], (scale, units)));
        let weight = -1.0 / work.batch.rows as f32;
        ascent.through_critic(work, critics, units, weight);
        ascent.step(work, actor, scale, work.config().actor_learning_rate);
        report.mean("actor_loss", -q).mean("q_policy", q)
    }
}
