//! One update of AWAC, part by part.

use super::config::{AdvantageWeights, Config};
use super::{Awac, GAUSSIAN};
use crate::algorithms::Update;
use crate::algorithms::actor_critic::gaussian::Regression;
use crate::algorithms::actor_critic::update::{Critics, bootstrap};
use crate::algorithms::actor_critic::{Draw, Noise, Parts, Work};
use crate::algorithms::networks::mean;
use crate::kernels::mlp::{Pass, Want};

/// Scratch memory of an update, kept for the next one.
#[derive(Default)]
pub struct Scratch {
    noise: Vec<f32>,
    means: Vec<f32>,
    /// Sampled from the actor and clipped.
    actions: Vec<f32>,
    /// Values of the actor's actions: at the next observations, then at the observations.
    values: Vec<f32>,
    advantages: Vec<f32>,
    critics: Critics,
    actor_pass: Pass,
    regression: Regression,
}

/// An update in progress.
pub(super) struct Step<'a, 'b> {
    pub(super) work: &'a Work<'b, Awac>,
    pub(super) parts: &'a mut Parts<Awac>,
}

impl Step<'_, '_> {
    /// Computes the whole update.
    pub(super) fn run(&mut self, noise: &mut Noise<'_>, scratch: &mut Scratch) -> Update {
        let (work, config) = (self.work, self.work.config());
        self.targets(noise, scratch);
        let [_, critics] = &mut self.parts.networks;
        let step = (1.0, config.critic_learning_rate);
        let report = scratch.critics.step(Update::default(), work, critics, step);
        let report = self.actor(report, noise, scratch);
        let [_, critics] = &mut self.parts.networks;
        critics.follow(work.pool, config.tau);
        report
    }

    /// Samples actions around `means`, clipped.
    fn draw(&self, noise: &mut Noise<'_>, with: &mut Scratch) {
        let [log_sigma] = &self.parts.vectors;
        let count = self.work.batch.actions.len();
        with.noise.resize(count, 0.0);
        noise(Draw::Normal, &mut with.noise);
        with.actions.resize(count, 0.0);
        GAUSSIAN.sample(
            &with.means,
            &log_sigma.values,
            &with.noise,
            &mut with.actions,
        );
        for action in &mut with.actions {
            *action = action.clamp(-1.0, 1.0);
        }
    }

    /// y = r + gamma (1 - terminated) min Q'(s', a'), with a' from pi(s').
    fn targets(&mut self, noise: &mut Noise<'_>, to: &mut Scratch) {
        let work = self.work;
        let next = &work.batch.next_observations;
        let [actor, _] = &self.parts.networks;
        to.means.resize(work.batch.actions.len(), 0.0);
        let mut network = actor.network.lock();
        network.infer(work.pool, &[next], &mut to.means);
        drop(network);
        self.draw(noise, to);
        let [_, critics] = &mut self.parts.networks;
        let inputs: [&[f32]; 2] = [next, &to.actions];
        let values = &mut to.values;
        to.critics.least_of_targets(work, critics, inputs, values);
        bootstrap(work.batch, values, &mut to.critics.targets);
    }

    /// Steps the actor towards the data's actions, weighted by their advantages.
    fn actor(&mut self, report: Update, noise: &mut Noise<'_>, with: &mut Scratch) -> Update {
        let (work, config, batch) = (self.work, self.work.config(), self.work.batch);
        let [actor, critics] = &self.parts.networks;
        let mut network = actor.network.lock();
        network.forward(work.pool, &[&batch.observations], &mut with.actor_pass);
        drop(network);
        with.means.clear();
        with.means.extend_from_slice(with.actor_pass.outputs());
        self.draw(noise, with);
        let (values, advantages) = (&mut with.values, &mut with.advantages);
        let of = &mut with.critics;
        of.least(work, critics, [&batch.observations, &with.actions], values);
        of.least(
            work,
            critics,
            [&batch.observations, &batch.actions],
            advantages,
        );
        for (advantage, value) in advantages.iter_mut().zip(&*values) {
            *advantage -= value;
        }
        let to = &mut with.regression;
        weigh(config, advantages, &mut to.weights);

        let Parts {
            networks: [actor, _],
            vectors: [log_sigma],
        } = &mut *self.parts;
        to.begin(batch);
        to.actions.copy_from_slice(&with.means);
        let rows = batch.rows as f32;
        to.gaussian(batch, GAUSSIAN, log_sigma, rows);
        let want = Want::parameters(&mut actor.gradient);
        let mut network = actor.network.lock();
        network.backward(work.pool, &to.gradients, want, &mut with.actor_pass);
        drop(network);
        actor.step(work.pool, config.actor_learning_rate);
        log_sigma.step(work.pool, config.actor_learning_rate);
        let limit = match config.weights {
            AdvantageWeights::Clip => config.weight_limit as f32,
            AdvantageWeights::Softmax => rows,
        };
        report
            .mean("actor_loss", to.sum() / f64::from(rows))
            .mean("cloning_loss", mean(&to.cloning))
            .mean("advantage", mean(advantages))
            .mean("weight", mean(&to.weights))
            .mean("weights_limited", to.limited(limit))
            .mean("q_policy", mean(values))
    }
}

/// Computes the weights of these advantages.
fn weigh(config: &Config, advantages: &[f32], weights: &mut Vec<f32>) {
    let temperature = config.temperature as f32;
    weights.clear();
    match config.weights {
        AdvantageWeights::Clip => {
            let limit = config.weight_limit as f32;
            let of = |advantage: &f32| (advantage / temperature).exp().min(limit);
            weights.extend(advantages.iter().map(of));
        }
        AdvantageWeights::Softmax => {
            let most = advantages.iter().copied().fold(f32::MIN, f32::max);
            let of = |advantage: &f32| ((advantage - most) / temperature).exp();
            weights.extend(advantages.iter().map(of));
            let sum: f32 = weights.iter().sum();
            let factor = advantages.len() as f32 / sum;
            for weight in weights {
                *weight *= factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_the_formulas() {
        // exp(3 A) and 3 softmax(3 A), computed in NumPy.
        let advantages = [0.1, -0.2, 0.4];
        for (kind, limit, expected) in [
            (
                AdvantageWeights::Clip,
                100.0,
                [1.349_86, 0.548_812, 3.320_117],
            ),
            (AdvantageWeights::Clip, 3.0, [1.349_86, 0.548_812, 3.0]),
            (
                AdvantageWeights::Softmax,
                100.0,
                [0.775_961, 0.315_482, 1.908_557],
            ),
        ] {
            let config = Config {
                weights: kind,
                weight_limit: limit,
                ..Config::of("corl")
            };
            let mut weights = Vec::new();
            weigh(&config, &advantages, &mut weights);
            for (found, expected) in weights.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5, "{kind:?}: {weights:?}");
            }
        }
    }
}
