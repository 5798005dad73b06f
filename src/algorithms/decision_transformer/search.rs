//! Acting with the history that promises most (Elastic Decision Transformer, Wu et al. 2023).
//!
//! A model that predicts its return-to-go can act with any part of its context. A short history
//! forgets bad actions, so that a good ending of another trajectory can follow; a long one has more
//! information. At each step the model acts with contexts of K, K - 2, ... steps, and the action
//! with the largest predicted return is taken. All of them see the actions that were taken; each
//! sees its own earlier predictions.
//!
//! With bins the returns to act for come from them, and lengths are compared by the expectile that
//! is predicted beside them.
//!
//! kristery/Elastic-DT chooses in the same way, but draws each bin, and predicts the returns of a
//! shortened history again.

use super::Model;
use super::policy::TargetReturn;
use crate::policy::{Policy, Start};
use rtg_kernels::decision_transformer::Memory;

/// Steps by which the lengths differ.
const STRIDE: usize = 2;

/// The policy of a model for several episodes at once.
pub(super) struct HistorySearch {
    /// The model with contexts of K, K - 2, ... steps.
    policies: Vec<TargetReturn>,
    /// Actions of one of them, rows x A.
    candidates: Vec<f64>,
    /// The best actions, rows x A, and what is predicted for them.
    chosen: Vec<f64>,
    promised: Vec<f32>,
}

impl HistorySearch {
    pub(super) fn new(model: &Model, rows: usize, threads: usize) -> Self {
        let contexts = (1..=model.shape.context).rev().step_by(STRIDE);
        let of_context =
            |context| TargetReturn::with_context(model, context, Memory::Exact, (rows, threads));
        Self {
            policies: contexts.map(of_context).collect(),
            candidates: Vec::new(),
            chosen: Vec::new(),
            promised: vec![0.0; rows],
        }
    }
}

impl Policy for HistorySearch {
    fn begin(&mut self, row: usize, start: &Start) {
        for policy in &mut self.policies {
            policy.begin(row, start);
        }
    }

    fn act(
        &mut self,
        active: &[usize],
        observations: &[f64],
        last_rewards: &[f64],
        actions: &mut [f64],
    ) {
        let width = actions.len() / self.promised.len();
        self.chosen.resize(actions.len(), 0.0);
        self.promised.fill(f32::NEG_INFINITY);
        for (index, policy) in self.policies.iter_mut().enumerate() {
            // On entry, the previous actions.
            self.candidates.clear();
            self.candidates.extend_from_slice(actions);
            policy.act(active, observations, last_rewards, &mut self.candidates);
            for &row in active {
                let promised = policy.promised(row);
                if index == 0 || promised > self.promised[row] {
                    let action = row * width..(row + 1) * width;
                    self.chosen[action.clone()].copy_from_slice(&self.candidates[action]);
                    self.promised[row] = promised;
                }
            }
        }
        for &row in active {
            let action = row * width..(row + 1) * width;
            actions[action.clone()].copy_from_slice(&self.chosen[action]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms::ActionCodec;
    use crate::algorithms::decision_transformer::config::{ActionHead, ModelConfig};
    use crate::algorithms::decision_transformer::preprocessing::Preprocessing;
    use crate::algorithms::decision_transformer::recipe::Recipe;
    use rtg_datasets::Normaliser;

    const STEPS: usize = 12;

    fn model(recipe: Recipe, context: usize) -> Model {
        let config = ModelConfig {
            context,
            width: 16,
            layers: 2,
            heads: 1,
            action_head: Some(ActionHead::Tanh),
            ..ModelConfig::of(recipe)
        };
        let preprocessing = Preprocessing {
            normaliser: Normaliser::identity(2),
            return_scale: 10.0,
            episode_length: STEPS,
            constant_target: false,
            actions: ActionCodec::Continuous {
                offset: vec![0.0; 2],
                scale: vec![1.0; 2],
                max_action: 1.0,
            },
        };
        Model::new(recipe, &config, preprocessing, 3)
    }

    fn observation(step: usize, row: usize) -> [f64; 2] {
        let phase = step as f64 + 0.7 * row as f64;
        [3.0 * phase.sin(), 2.0 * (1.7 * phase).cos()]
    }

    /// Begins an episode in every row.
    fn begin(policy: &mut dyn Policy, rows: usize) {
        let start = Start {
            seed: 5,
            target: None,
        };
        (0..rows).for_each(|row| policy.begin(row, &start));
    }

    /// The actions of all steps in all rows.
    fn episodes(policy: &mut dyn Policy, rows: usize) -> Vec<f64> {
        begin(policy, rows);
        let active: Vec<usize> = (0..rows).collect();
        let mut actions = vec![0.0; 2 * rows];
        let mut all = Vec::new();
        for step in 0..STEPS {
            let seen: Vec<f64> = (0..rows).flat_map(|row| observation(step, row)).collect();
            policy.act(&active, &seen, &vec![0.5; rows], &mut actions);
            all.extend_from_slice(&actions);
        }
        all
    }

    #[test]
    fn the_length_with_the_largest_prediction_acts() {
        [Recipe::Reinformer, Recipe::ElasticDt]
            .into_iter()
            .for_each(check_lengths);
    }

    fn check_lengths(recipe: Recipe) {
        let model = model(recipe, 5);
        let found = episodes(&mut HistorySearch::new(&model, 1, 1), 1);
        let contexts = [5, 3, 1];
        let mut lengths = contexts.map(|context| {
            let mut policy = TargetReturn::with_context(&model, context, Memory::Exact, (1, 1));
            begin(&mut policy, 1);
            policy
        });
        let mut taken = [0.0; 2];
        let mut used = [0; 3];
        for (step, found) in found.chunks(2).enumerate() {
            let acted = lengths.each_mut().map(|policy| {
                let mut action = taken;
                policy.act(&[0], &observation(step, 0), &[0.5], &mut action);
                (policy.promised(0), action)
            });
            // The first of equal ones, which is the longest.
            let mut best = 0;
            for index in 1..contexts.len() {
                if acted[index].0 > acted[best].0 {
                    best = index;
                }
            }
            used[best] += 1;
            taken = acted[best].1;
            assert_eq!(found, taken, "step {step}");
        }
        assert!(used.iter().all(|used| *used > 0), "{used:?}");
    }

    #[test]
    fn a_context_of_two_steps_has_nothing_to_choose_and_rows_do_not_matter() {
        let short = model(Recipe::Reinformer, 2);
        let exact = episodes(&mut TargetReturn::new(&short, Memory::Exact, 1, 1), 1);
        assert_eq!(exact, episodes(&mut HistorySearch::new(&short, 1, 1), 1));
        let model = model(Recipe::ElasticDt, 6);
        let alone = episodes(&mut HistorySearch::new(&model, 1, 1), 1);
        let together = episodes(&mut HistorySearch::new(&model, 3, 2), 3);
        let first: Vec<f64> = together
            .chunks(6)
            .flat_map(|step| step[..2].to_vec())
            .collect();
        assert_eq!(alone, first);
    }
}
