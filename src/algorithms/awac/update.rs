//! One update of AWAC, part by part.

use super::config::{AdvantageWeights, Config};
use super::{Awac, code, gaussian};
use crate::algorithms::Update;
use crate::algorithms::actor_critic::gaussian::Regression;
use crate::algorithms::actor_critic::squashed::Policy;
use crate::algorithms::actor_critic::update::{Critics, bootstrap};
use crate::algorithms::actor_critic::{Draw, Noise, Parts, Work};
use crate::algorithms::conventions::OfflineConventions;
use crate::algorithms::networks::mean;
use rtg_kernels::mlp::heads::gaussian::Gaussian;
use rtg_kernels::mlp::heads::squashed::{LogProbability, LogSigma, Squashed};
use rtg_kernels::mlp::heads::tanh;
use rtg_kernels::mlp::{Pass, Want};

/// Scratch memory of an update, kept for the next one.
#[derive(Default)]
pub struct Scratch {
    noise: Vec<f32>,
    /// The actor's outputs at the next observations, then its means at the observations.
    means: Vec<f32>,
    /// Rows of means before the tanh and log sigmas, and the actions drawn from them.
    outputs: Vec<f32>,
    squashed: Policy,
    /// Sampled from the actor and clipped.
    actions: Vec<f32>,
    /// Values of the actor's actions: at the next observations, then at the observations.
    values: Vec<f32>,
    advantages: Vec<f32>,
    critics: Critics,
    actor_pass: Pass,
    /// The gradient of the means, and of the outputs that they are the tanh of.
    gradients: Vec<f32>,
    /// A gradient with the weight decay's part.
    sum: Vec<f32>,
    regression: Regression,
}

/// An update in progress.
pub(super) struct Step<'a, 'b> {
    work: &'a Work<'b, Awac>,
    parts: &'a mut Parts<Awac>,
    code: OfflineConventions,
    gaussian: Gaussian,
}

impl<'a, 'b> Step<'a, 'b> {
    pub(super) fn of(work: &'a Work<'b, Awac>, parts: &'a mut Parts<Awac>) -> Self {
        let code = code(work.made_of);
        Self {
            work,
            parts,
            code,
            gaussian: gaussian(code),
        }
    }

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
        self.gaussian.sample(
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
        match self.code {
            OfflineConventions::Corl => self.draw(noise, to),
            OfflineConventions::D3rlpy => self.draw_squashed(noise, to),
        }
        let [_, critics] = &mut self.parts.networks;
        let actions = match self.code {
            OfflineConventions::Corl => &to.actions,
            OfflineConventions::D3rlpy => &to.squashed.samples.actions,
        };
        let inputs: [&[f32]; 2] = [next, actions];
        let values = &mut to.values;
        to.critics.least_of_targets(work, critics, inputs, values);
        if self.code == OfflineConventions::D3rlpy {
            let logs = &to.squashed.samples.log_probabilities;
            for (value, log) in values.iter_mut().zip(logs) {
                *value -= log;
            }
        }
        bootstrap(work.batch, values, &mut to.critics.targets);
    }

    /// Samples actions as SAC does, the tanh of a normal number around the actor's outputs.
    fn draw_squashed(&self, noise: &mut Noise<'_>, to: &mut Scratch) {
        let [log_sigma] = &self.parts.vectors;
        let head = Squashed {
            action: log_sigma.values.len(),
            // The bounds are the Gaussian's.
            log_sigma: LogSigma::Clamp {
                low: self.gaussian.low,
                high: self.gaussian.high,
            },
            log_probability: LogProbability::Exact,
        };
        to.outputs.clear();
        for outputs in to.means.chunks(head.action) {
            let bounded = log_sigma.values.iter();
            to.outputs.extend_from_slice(outputs);
            to.outputs
                .extend(bounded.map(|raw| self.gaussian.log_sigma(*raw)));
        }
        to.squashed.draw(&head, &to.outputs, noise);
    }

    /// Steps the actor towards the data's actions, weighted by their advantages.
    fn actor(&mut self, report: Update, noise: &mut Noise<'_>, with: &mut Scratch) -> Update {
        let (work, config, batch) = (self.work, self.work.config(), self.work.batch);
        let [actor, critics] = &self.parts.networks;
        let mut network = actor.network.lock();
        network.forward(work.pool, &[&batch.observations], &mut with.actor_pass);
        drop(network);
        let outputs = with.actor_pass.outputs();
        match self.code {
            OfflineConventions::Corl => with.means.copy_from_slice(outputs),
            OfflineConventions::D3rlpy => tanh::forward(1.0, outputs, &mut with.means),
        }
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
        // What the sum over the batch is divided by.
        let divisor = self.code.pick(rows, 1.0);
        to.gaussian(batch, self.gaussian, log_sigma, divisor);
        let gradients = match self.code {
            OfflineConventions::Corl => &to.gradients,
            OfflineConventions::D3rlpy => {
                with.gradients.resize(to.gradients.len(), 0.0);
                tanh::backward(1.0, &with.means, &to.gradients, &mut with.gradients);
                &with.gradients
            }
        };
        let want = Want::parameters(&mut actor.gradient);
        let mut network = actor.network.lock();
        network.backward(work.pool, gradients, want, &mut with.actor_pass);
        drop(network);
        let (rate, decay) = (config.actor_learning_rate, config.actor_weight_decay);
        if decay > 0.0 {
            actor.step_decayed(work.pool, rate, decay, &mut with.sum);
            log_sigma.step_decayed(work.pool, rate, decay, &mut with.sum);
        } else {
            actor.step(work.pool, rate);
            log_sigma.step(work.pool, rate);
        }
        let limit = match config.weights {
            AdvantageWeights::Clip => config.weight_limit as f32,
            AdvantageWeights::Softmax => rows,
        };
        report
            .mean("actor_loss", to.sum() / f64::from(divisor))
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
