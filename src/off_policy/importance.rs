//! Importance sampling of a policy of discrete actions.
//!
//! A greedy policy gives every other action the probability 0, which leaves no episode; so the
//! policy that is evaluated takes a uniformly random action with probability epsilon. The recording
//! policy is a classifier that is trained on the dataset; its probabilities count as at least
//! [`FLOOR`].

use rtg_datasets::{Dataset, Normaliser};

use super::history::History;
use super::{EstimationPlan, ImportanceValue};
use crate::algorithms::ActionCodec;
use crate::algorithms::logged_policy::LoggedPolicy;
use crate::interrupt::{self, Interrupt};
use crate::random::Stream;
use crate::statistics::{Bootstrap, Importance, WeighedEpisode};
use rtg_kernels::mlp::Pool;

/// The smallest probability of a recorded action.
const FLOOR: f64 = 1e-3;
/// The most updates of the classifier, which has as many as the fitted values.
const UPDATES: u64 = 5000;
/// Rows of which probabilities are computed at once.
const ROWS: usize = 4096;

/// The recording policy's probabilities.
pub(super) struct Logged {
    actions: usize,
    /// By episode that has a step: log b(a|s) and the reward of each step.
    episodes: Vec<WeighedEpisode>,
    cross_entropy: f64,
}

impl Logged {
    /// Trains the classifier on a dataset of discrete actions.
    pub(super) fn of(
        data: &Dataset,
        codec: &ActionCodec,
        plan: &EstimationPlan,
        pool: &Pool,
    ) -> Result<Self, Interrupt> {
        let (seen, actions) = (data.observation_width(), codec.width());
        let normaliser = Normaliser::of(data, Normaliser::TRANSITION_EPSILON);
        let mut observations = vec![0.0; data.steps() * seen];
        let mut choices = Vec::with_capacity(data.steps());
        let mut rest = &mut observations[..];
        let mut row = vec![0.0; actions];
        for episode in data.iter() {
            let (own, others) = rest.split_at_mut(episode.len() * seen);
            rest = others;
            normaliser.apply(&episode.observations[..own.len()], own);
            for action in episode.actions.chunks(data.action_width()) {
                codec.encode(action, &mut row);
                choices.push(index(&row));
            }
        }
        let mut stream = Stream::new(plan.seed, "recording policy");
        let mut policy = LoggedPolicy::new(seen, actions, &mut stream);
        let (mut inputs, mut wanted) = (Vec::new(), Vec::new());
        for update in 0..plan.updates.min(UPDATES) {
            if update.is_multiple_of(100) {
                interrupt::check()?;
            }
            inputs.clear();
            wanted.clear();
            for _ in 0..LoggedPolicy::BATCH {
                let row = stream.index(choices.len());
                inputs.extend_from_slice(&observations[row * seen..][..seen]);
                wanted.push(choices[row]);
            }
            pool.update(|| policy.update(pool, &inputs, &wanted));
        }
        let parts = observations.chunks(ROWS * seen).zip(choices.chunks(ROWS));
        let logs: Vec<f64> = parts
            .flat_map(|(observations, choices)| {
                policy.log_probabilities(pool, observations, choices)
            })
            .collect();
        let cross_entropy = -logs.iter().sum::<f64>() / logs.len().max(1) as f64;
        let mut rest = &logs[..];
        let mut episodes = Vec::with_capacity(data.episodes());
        for episode in data.iter().filter(|episode| !episode.is_empty()) {
            let (own, others) = rest.split_at(episode.len());
            rest = others;
            episodes.push(WeighedEpisode {
                log_ratios: own.iter().map(|log| log.max(FLOOR.ln())).collect(),
                rewards: episode.rewards.to_vec(),
            });
        }
        Ok(Self {
            actions,
            episodes,
            cross_entropy,
        })
    }

    /// The estimates for the history's policy.
    pub(super) fn value(&self, history: &History, plan: &EstimationPlan) -> ImportanceValue {
        let others = plan.epsilon / self.actions as f64;
        let greedy = 1.0 - plan.epsilon + others;
        let mut steps = history.steps.iter();
        let mut agreed = 0_usize;
        let mut ratio = |logged: f64| {
            let row = steps.next().copied().unwrap_or_default() * self.actions;
            let of = |rows: &[f32]| index(&rows[row..][..self.actions]);
            let agrees = of(&history.actions) == of(&history.decisions);
            agreed += usize::from(agrees);
            (if agrees { greedy } else { others }).ln() - logged
        };
        let episodes: Vec<WeighedEpisode> = (self.episodes.iter())
            .map(|episode| WeighedEpisode {
                log_ratios: episode.log_ratios.iter().map(|log| ratio(*log)).collect(),
                rewards: episode.rewards.clone(),
            })
            .collect();
        let importance = Importance::new(&episodes, plan.discount);
        let bootstrap = Bootstrap {
            seed: plan.seed,
            ..Bootstrap::default()
        };
        ImportanceValue {
            epsilon: plan.epsilon,
            effective_episodes: importance.effective_episodes(),
            agreement: agreed as f64 / history.steps.len().max(1) as f64,
            cross_entropy: self.cross_entropy,
            estimates: importance.estimates(),
            intervals: importance.intervals(&bootstrap),
        }
    }
}

/// The action of a one-hot row.
fn index(one_hot: &[f32]) -> usize {
    one_hot
        .iter()
        .position(|one| *one > 0.5)
        .unwrap_or_default()
}
