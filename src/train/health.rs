//! Signs that the training of value functions goes wrong, and what to do about each.

use rtg_datasets::{Dataset, returns_to_go};

use crate::algorithms::{Learner, Needs};
use crate::metrics;

/// The checks of one run. Each warning is printed once.
pub(super) struct Health {
    /// The largest discounted return from any step of the data, in the units of the values; none
    /// without data.
    best_return: Option<f64>,
    warned: Vec<&'static str>,
}

/// The name of the largest return.
const BEST_RETURN: &str = "best_return_in_data";

impl Health {
    pub(super) fn new(needs: &Needs, data: Option<&Dataset>) -> Self {
        let best_return = match (needs, data) {
            (Needs::Transitions { config, .. }, Some(data)) => {
                let best = data.iter().flat_map(|episode| {
                    let rewards = episode.rewards.iter();
                    let scale = |reward: &f64| config.reward.scale * (reward + config.reward.shift);
                    returns_to_go(&rewards.map(scale).collect::<Vec<_>>(), config.discount)
                });
                best.reduce(f64::max)
            }
            _ => None,
        };
        Self {
            best_return,
            warned: Vec::new(),
        }
    }

    /// The learner's own measurements and the returns they are compared with, under their metric
    /// names.
    pub(super) fn signs(&self, learner: &mut dyn Learner) -> Vec<(String, f64)> {
        let best = self.best_return.map(|best| (BEST_RETURN, best));
        let signs = learner.health().into_iter().chain(best);
        signs
            .map(|(name, value)| (metrics::health(name), value))
            .collect()
    }

    /// The new warnings from these measurements, with hints.
    pub(super) fn warnings(&mut self, algorithm: &str, measured: &[(String, f64)]) -> Vec<String> {
        let value = |name: &str| {
            let found = measured.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| *value)
        };
        let train = |name: &str| value(&metrics::train(name));
        let health = |name: &str| value(&metrics::health(name));
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let q = [train("q"), train("q_target")].into_iter().flatten();
        let q = q.reduce(f64::max);
        let mut signs: Vec<(&'static str, String, String)> = Vec::new();
        if let Some((q, best)) = q.zip(self.best_return)
            && q > best
        {
            signs.push((
                "values",
                format!(
                    "the mean value of the critics, {q:.4}, is above every return in the data (at \
                     most {best:.4}): they overestimate, and the policy follows them"
                ),
                format!(
                    "keep the policy closer to the data; docs/algorithms/{algorithm}.md states with \
                     which key"
                ),
            ));
        }
        if let Some(share) = train("weights_limited").filter(|share| *share > 0.5) {
            signs.push((
                "weights",
                format!(
                    "{} of the advantages are cut off at the largest weight",
                    percent(share)
                ),
                format!(
                    "scale rewards down ({algorithm}.reward_scale), or let weights rise less \
                     steeply; `rtg keys {algorithm}` lists the key"
                ),
            ));
        }
        if let Some(alpha) = train("alpha").filter(|alpha| !(1e-4..=1e3).contains(alpha)) {
            signs.push((
                "temperature",
                format!(
                    "the temperature has diverged to {alpha:.1e}: entropy no longer counts as \
                        intended"
                ),
                format!(
                    "fix it with {algorithm}.alpha_learning_rate=0 and \
                     {algorithm}.initial_alpha, or set {algorithm}.target_entropy"
                ),
            ));
        }
        if let Some(share) = health("dead_relus").filter(|share| *share > 0.5) {
            signs.push((
                "units",
                format!(
                    "{} of the hidden units are 0 for a whole batch",
                    percent(share)
                ),
                format!(
                    "lower the learning rates of {algorithm}, or scale observations \
                     ({algorithm}.normalise=true) and rewards"
                ),
            ));
        }
        if let Some(share) = health("actions_at_bounds").filter(|share| *share > 0.95) {
            signs.push((
                "actions",
                format!("{} of the policy's action numbers are at their bounds", percent(share)),
                "if the data's are not (`rtg inspect` shows them), the actor has been driven there \
                 by wrong values: lower its learning rate, or keep it closer to the data"
                    .to_owned(),
            ));
        }
        signs.retain(|(name, ..)| !self.warned.contains(name));
        self.warned.extend(signs.iter().map(|(name, ..)| *name));
        let texts = signs.into_iter();
        texts
            .map(|(_, what, hint)| format!("warning: {what}\nhint: {hint}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(best_return: Option<f64>) -> Health {
        Health {
            best_return,
            warned: Vec::new(),
        }
    }

    fn measured(numbers: &[(&str, f64)]) -> Vec<(String, f64)> {
        let numbers = numbers.iter();
        numbers
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect()
    }

    #[test]
    fn each_symptom_is_reported_once_with_a_hint() {
        for (sign, harmless, expected) in [
            (
                ("train/q_target", 11.0),
                9.0,
                "above every return in the data",
            ),
            (("train/q", 10.5), -3.0, "above every return in the data"),
            (
                ("train/weights_limited", 0.7),
                0.2,
                "70 % of the advantages",
            ),
            (
                ("train/alpha", 1e-6),
                0.3,
                "temperature has diverged to 1.0e-6",
            ),
            (("health/dead_relus", 0.8), 0.4, "80 % of the hidden units"),
            (
                ("health/actions_at_bounds", 1.0),
                0.9,
                "100 % of the policy's action",
            ),
        ] {
            let mut health = health(Some(10.0));
            let calm = measured(&[(sign.0, harmless)]);
            assert!(health.warnings("iql", &calm).is_empty(), "{sign:?}");
            let found = health.warnings("iql", &measured(&[sign]));
            assert_eq!(found.len(), 1, "{sign:?}");
            assert!(found[0].starts_with("warning: "), "{found:?}");
            assert!(found[0].contains(expected), "{found:?}");
            assert!(found[0].contains("\nhint: "), "{found:?}");
            assert!(health.warnings("iql", &measured(&[sign])).is_empty());
        }
    }

    #[test]
    fn without_data_no_value_is_too_large() {
        let mut health = health(None);
        assert!(
            health
                .warnings("sac", &measured(&[("train/q", 1e9)]))
                .is_empty()
        );
    }
}
