//! The loss of a minibatch, with its gradients.

use super::config::{Config, OnlineConventions};
use super::model::GAUSSIAN;
use rtg_kernels::mlp::heads::categorical;

/// The steps of a minibatch, gathered.
#[derive(Default)]
pub(super) struct Minibatch {
    /// Rows x S.
    pub(super) observations: Vec<f32>,
    /// Rows x A; discrete ones as `labels` too.
    pub(super) actions: Vec<f32>,
    pub(super) labels: Vec<usize>,
    /// log pi of the actions under the policy that chose them.
    pub(super) old_logs: Vec<f32>,
    pub(super) old_values: Vec<f32>,
    pub(super) advantages: Vec<f32>,
    pub(super) returns: Vec<f32>,
}

/// The gradients, and values for the metrics.
#[derive(Default)]
pub(super) struct Gradients {
    /// log pi of the actions under the current policy.
    pub(super) logs: Vec<f32>,
    /// All log-probabilities of discrete actions: rows x A.
    all_logs: Vec<f32>,
    at_logs: Vec<f32>,
    at_entropies: Vec<f32>,
    /// The gradient of the actor's outputs.
    pub(super) actor: Vec<f32>,
    /// The gradient of the critic's outputs.
    pub(super) critic: Vec<f32>,
}

/// The policy's part of the loss.
#[derive(Clone, Copy, Default)]
pub(super) struct PolicyLoss {
    pub(super) loss: f64,
    pub(super) entropy: f64,
    /// An estimate of KL(old, new): mean (rho - 1 - log rho).
    pub(super) kl: f64,
    /// The share of ratios that are clipped.
    pub(super) clipped: f64,
}

/// log pi of actions: of `labels` under logits, or of `actions` under means and log sigma.
pub(super) fn log_probabilities(
    (outputs, log_sigma): (&[f32], Option<&[f32]>),
    (actions, labels): (&[f32], &[usize]),
    all_logs: &mut Vec<f32>,
    to: &mut Vec<f32>,
) {
    if let Some(log_sigma) = log_sigma {
        to.resize(outputs.len() / log_sigma.len(), 0.0);
        GAUSSIAN.log_probabilities(outputs, log_sigma, actions, to);
        return;
    }
    let count = outputs.len() / labels.len().max(1);
    all_logs.resize(outputs.len(), 0.0);
    categorical::log_softmax(count, outputs, all_logs);
    to.clear();
    let rows = all_logs.chunks(count).zip(labels);
    to.extend(rows.map(|(logs, label)| logs[*label]));
}

impl Minibatch {
    /// Normalises the advantages: mean 0, sample standard deviation 1. A single advantage is
    /// unchanged.
    pub(super) fn normalise_advantages(&mut self) {
        let count = self.advantages.len() as f64;
        if count < 2.0 {
            return;
        }
        let numbers = || self.advantages.iter().map(|&a| f64::from(a));
        let mean = numbers().sum::<f64>() / count;
        let variance = numbers().map(|a| (a - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let deviation = variance.sqrt() + 1e-8;
        for advantage in &mut self.advantages {
            *advantage = ((f64::from(*advantage) - mean) / deviation) as f32;
        }
    }

    /// The clipped loss and the entropy, with the gradients of the actor's outputs and of log
    /// sigma.
    pub(super) fn policy(
        &self,
        (outputs, log_sigma): (&[f32], Option<&[f32]>),
        (clip, entropy_weight): (f64, f64),
        to: &mut Gradients,
        log_sigma_gradient: &mut [f32],
    ) -> PolicyLoss {
        let rows = self.old_logs.len();
        let of = (&self.actions[..], &self.labels[..]);
        log_probabilities((outputs, log_sigma), of, &mut to.all_logs, &mut to.logs);
        let share = 1.0 / rows as f32;
        let clip = clip as f32;
        let mut found = PolicyLoss::default();
        to.at_logs.clear();
        for ((new, old), advantage) in to.logs.iter().zip(&self.old_logs).zip(&self.advantages) {
            let log_ratio = new - old;
            let ratio = log_ratio.exp();
            let free = -advantage * ratio;
            let held = -advantage * ratio.clamp(1.0 - clip, 1.0 + clip);
            let slope = if free >= held { free * share } else { 0.0 };
            to.at_logs.push(slope);
            found.loss += f64::from(free.max(held));
            found.kl += f64::from(ratio - 1.0 - log_ratio);
            found.clipped += f64::from(u8::from((ratio - 1.0).abs() > clip));
        }
        to.actor.resize(outputs.len(), 0.0);
        if let Some(log_sigma) = log_sigma {
            let of = (outputs, log_sigma, &self.actions[..]);
            log_sigma_gradient.fill(-entropy_weight as f32);
            GAUSSIAN.backward(of, &to.at_logs, &mut to.actor, log_sigma_gradient);
            found.entropy = f64::from(GAUSSIAN.entropy(log_sigma)) * rows as f64;
        } else {
            to.at_entropies.clear();
            to.at_entropies.resize(rows, -entropy_weight as f32 * share);
            categorical::backward(
                &to.all_logs,
                &self.labels,
                &to.at_logs,
                &to.at_entropies,
                &mut to.actor,
            );
            let all = to.all_logs.chunks(outputs.len() / rows.max(1));
            found.entropy = all.map(|logs| f64::from(categorical::entropy(logs))).sum();
        }
        let mean = 1.0 / rows as f64;
        PolicyLoss {
            loss: found.loss * mean,
            entropy: found.entropy * mean,
            kl: found.kl * mean,
            clipped: found.clipped * mean,
        }
    }

    /// The critic's loss, without its weight, and the gradient of its outputs, with it.
    pub(super) fn value(
        &self,
        values: &[f32],
        config: &Config,
        code: OnlineConventions,
        to: &mut Vec<f32>,
    ) -> f64 {
        let factor = code.pick(0.5, 1.0);
        let share = (config.value_weight * factor) as f32 / values.len() as f32;
        let clip = config.value_clip as f32;
        let mut loss = 0.0_f64;
        to.clear();
        for ((value, old), wanted) in values.iter().zip(&self.old_values).zip(&self.returns) {
            let free = value - wanted;
            let step = value - old;
            let held = old + step.clamp(-clip, clip) - wanted;
            let (error, is_free) = if clip == 0.0 || step.abs() <= clip {
                (free, true)
            } else {
                match code {
                    OnlineConventions::CleanRl if free.abs() > held.abs() => (free, true),
                    _ => (held, false),
                }
            };
            loss += f64::from(error) * f64::from(error);
            to.push(if is_free { 2.0 * share * error } else { 0.0 });
        }
        factor * loss / values.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtg_kernels::testing::{assert_close, assert_gradient, numbers, to_f64};

    fn minibatch(rows: usize) -> Minibatch {
        let scaled = |seed, by: f32| -> Vec<f32> {
            let numbers = numbers(seed, rows);
            numbers.iter().map(|x| by * x).collect()
        };
        Minibatch {
            labels: (0..rows).map(|row| row % 3).collect(),
            old_logs: scaled(2, 0.5).iter().map(|x| x - 1.2).collect(),
            old_values: scaled(3, 1.0),
            advantages: scaled(4, 2.0),
            returns: scaled(5, 1.0),
            ..Minibatch::default()
        }
    }

    #[test]
    fn advantages_become_those_of_a_sample_with_mean_0_and_deviation_1() {
        let mut batch = Minibatch {
            advantages: vec![1.0, 2.0, 6.0],
            ..Minibatch::default()
        };
        batch.normalise_advantages();
        let deviation = 7.0_f64.sqrt();
        let expected = [-2.0, -1.0, 3.0].map(|x| x / deviation);
        assert_close(&batch.advantages, &expected, "advantages");
        batch.advantages = vec![5.0];
        batch.normalise_advantages();
        assert_close(&batch.advantages, &[5.0], "a single one");
    }

    #[test]
    fn the_gradient_of_the_clipped_loss_is_that_of_the_loss() {
        let batch = minibatch(12);
        let logits = numbers(1, 36);
        let mut to = Gradients::default();
        let found = batch.policy((&logits, None), (0.2, 0.01), &mut to, &mut []);
        assert!(
            found.clipped > 0.2 && found.clipped < 0.95,
            "{}",
            found.clipped
        );
        let loss = |z: &[f64]| -> f64 {
            let rows = z.chunks(3).enumerate().map(|(row, z)| {
                let sum: f64 = z.iter().map(|z| z.exp()).sum();
                let logs: Vec<f64> = z.iter().map(|z| z - sum.ln()).collect();
                let ratio = (logs[batch.labels[row]] - f64::from(batch.old_logs[row])).exp();
                let advantage = f64::from(batch.advantages[row]);
                let clipped = (-advantage * ratio).max(-advantage * ratio.clamp(0.8, 1.2));
                clipped + 0.01 * logs.iter().map(|l| l.exp() * l).sum::<f64>()
            });
            rows.sum::<f64>() / 12.0
        };
        assert_gradient(&to_f64(&logits), &to_f64(&to.actor), loss);
        assert!((loss(&to_f64(&logits)) - (found.loss - 0.01 * found.entropy)).abs() < 1e-5);
    }

    #[test]
    fn so_is_that_at_means_and_log_sigma() {
        let mut batch = minibatch(6);
        batch.actions = numbers(6, 12);
        batch.labels.clear();
        let (means, log_sigma) = (numbers(7, 12), [0.1_f32, -0.3]);
        let mut to = Gradients::default();
        let mut at_log_sigma = [0.0; 2];
        let of = (&means[..], Some(&log_sigma[..]));
        batch.policy(of, (0.2, 0.05), &mut to, &mut at_log_sigma);
        let loss = |x: &[f64]| -> f64 {
            let (means, log_sigma) = x.split_at(12);
            let tau = std::f64::consts::TAU;
            let rows = means.chunks(2).enumerate().map(|(row, means)| {
                let log: f64 = (0..2)
                    .map(|i| {
                        let action = f64::from(batch.actions[row * 2 + i]);
                        let distance = (action - means[i]) / log_sigma[i].exp();
                        -0.5 * distance * distance - log_sigma[i] - 0.5 * tau.ln()
                    })
                    .sum();
                let ratio = (log - f64::from(batch.old_logs[row])).exp();
                let advantage = f64::from(batch.advantages[row]);
                (-advantage * ratio).max(-advantage * ratio.clamp(0.8, 1.2))
            });
            let entropy: f64 = log_sigma.iter().map(|s| s + 0.5 + 0.5 * tau.ln()).sum();
            rows.sum::<f64>() / 6.0 - 0.05 * entropy
        };
        let at = [to_f64(&means), to_f64(&log_sigma)].concat();
        let gradient = [to_f64(&to.actor), to_f64(&at_log_sigma)].concat();
        assert_gradient(&at, &gradient, loss);
    }

    #[test]
    fn a_value_that_moved_too_far_is_clipped_as_in_each_code() {
        let batch = minibatch(40);
        let values: Vec<f32> = numbers(8, 40);
        let mut config = Config::of(OnlineConventions::CleanRl);
        for (code, clip) in [
            (OnlineConventions::CleanRl, 0.2),
            (OnlineConventions::Sb3, 0.2),
            (OnlineConventions::Sb3, 0.0),
        ] {
            config.value_clip = clip;
            let mut gradient = Vec::new();
            let found = batch.value(&values, &config, code, &mut gradient);
            let loss = |values: &[f64]| -> f64 {
                let rows = values.iter().enumerate().map(|(row, value)| {
                    let old = f64::from(batch.old_values[row]);
                    let wanted = f64::from(batch.returns[row]);
                    let free = (value - wanted).powi(2);
                    let held = (old + (value - old).clamp(-clip, clip) - wanted).powi(2);
                    match code {
                        _ if clip == 0.0 => free,
                        OnlineConventions::CleanRl => 0.5 * free.max(held),
                        OnlineConventions::Sb3 => held,
                    }
                });
                rows.sum::<f64>() / 40.0
            };
            let exact = to_f64(&values);
            assert!((found - loss(&exact)).abs() < 1e-5);
            let weighted = |values: &[f64]| config.value_weight * loss(values);
            assert_gradient(&exact, &to_f64(&gradient), weighted);
        }
    }
}
