//! Off-policy evaluation: the return of a policy, estimated from a dataset without simulation.
//!
//! `history` lets the policy act on the recorded histories; `fitted` learns its values from them
//! ([`FittedQ`](crate::algorithms::fitted_q::FittedQ)); `importance` weighs the recorded episodes.
//! All values are discounted.

mod fitted;
mod history;
mod importance;
mod rollouts;

use std::time::Instant;

use rtg_datasets::{Dataset, returns_to_go};
use serde::Serialize;

use self::history::History;
use crate::algorithms::ActionCodec;
use crate::algorithms::action_codec::BoxUnits;
use crate::error::Error;
use crate::policy::Policy;
use crate::statistics::{ImportanceEstimates, Interval, mean, mean_interval};
use rtg_kernels::mlp::Pool;

/// What is evaluated, for messages.
const METHOD: &str = "off-policy evaluation";

/// How to estimate.
#[derive(Clone, Debug, PartialEq)]
pub struct EstimationPlan {
    /// Target returns; ignored if the policy takes none.
    pub targets: Vec<f64>,
    /// The discount of one step.
    pub discount: f64,
    /// Updates of the fitted values.
    pub updates: u64,
    /// Importance sampling evaluates the policy with this share of uniformly random actions.
    pub epsilon: f64,
    /// The seed of everything random.
    pub seed: u64,
    /// Environment and episodes to simulate for comparison; none for no episodes.
    pub rollouts: Option<(String, usize)>,
    /// Threads; they do not affect the result.
    pub threads: usize,
}

/// The result of `rtg estimate`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimation {
    /// Episodes of the dataset.
    pub episodes: usize,
    /// Steps of the dataset.
    pub steps: usize,
    /// The discount of one step.
    pub discount: f64,
    /// Wall time.
    pub seconds: f64,
    /// The mean return of the dataset's episodes.
    pub recorded: Value,
    /// The smallest and the largest return of the dataset's episodes. A fitted value outside is
    /// extrapolation, or has diverged.
    pub recorded_range: Interval,
    /// One entry for each target; a single one if the policy takes none.
    pub targets: Vec<TargetEstimates>,
}

/// A mean discounted return.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Value {
    /// The mean.
    pub mean: f64,
    /// 95 % bootstrap interval of the mean over episodes; none for a single episode.
    pub interval: Option<Interval>,
}

impl Value {
    fn of(values: &[f64]) -> Self {
        Self {
            mean: mean(values),
            interval: mean_interval(values),
        }
    }
}

/// The estimates for one target return.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetEstimates {
    /// The target return; none for a policy that takes no target.
    pub target: Option<f64>,
    /// Fitted Q evaluation.
    pub fitted: FittedValue,
    /// Importance sampling; none for continuous actions.
    pub importance: Option<ImportanceValue>,
    /// The mean discounted return of simulated episodes, where they were requested.
    pub rollouts: Option<Value>,
}

/// The result of fitted Q evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FittedValue {
    /// The mean of Q(s, pi(s)) over the starts of the dataset's episodes. The interval is that of
    /// the starts, not of the error of Q.
    pub value: Value,
    /// That mean after each tenth of the updates: (updates, mean).
    pub course: Vec<(u64, f64)>,
    /// The loss, averaged over the last tenth, in squared units of the scaled rewards.
    pub loss: f64,
    /// What rewards were multiplied by for learning; values are divided by it.
    pub reward_scale: f64,
}

/// The result of importance sampling.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImportanceValue {
    /// The share of uniformly random actions in the policy that is evaluated.
    pub epsilon: f64,
    /// Episodes with the same variance of a mean: 1 says that one episode decides.
    pub effective_episodes: f64,
    /// The share of recorded actions that the policy would have chosen.
    pub agreement: f64,
    /// The cross-entropy of the model of the recording policy.
    pub cross_entropy: f64,
    /// The estimates; infinite ones are null in JSON.
    pub estimates: ImportanceEstimates<f64>,
    /// Their 95 % bootstrap intervals over episodes.
    pub intervals: ImportanceEstimates<Interval>,
}

/// Estimates the return of a policy in `data`, whose observations and actions are its own.
/// `policy` makes it for some rows; `progress` gets the updates done and all of them.
///
/// # Errors
/// Actions that are neither discrete nor in a box with finite bounds, an environment that cannot be
/// made, a signal.
pub fn estimate(
    policy: &mut dyn FnMut(usize) -> Box<dyn Policy>,
    data: &Dataset,
    plan: &EstimationPlan,
    mut progress: impl FnMut(u64, u64),
) -> Result<Estimation, Error> {
    let began = Instant::now();
    let codec = ActionCodec::of(BoxUnits::Unit, &data.info().action_space).map_err(|found| {
        crate::algorithms::Error::ActionSpace {
            algorithm: METHOD,
            found,
        }
    })?;
    let pool = Pool::new(plan.threads);
    let takes_target = policy(1).takes_target();
    let targets = if takes_target {
        plan.targets.iter().copied().map(Some).collect()
    } else {
        vec![None]
    };
    let logged = match codec {
        ActionCodec::Discrete { .. } => Some(importance::Logged::of(data, &codec, plan, &pool)?),
        ActionCodec::Continuous { .. } => None,
    };
    let all = plan.updates * targets.len() as u64;
    let mut estimates = Vec::with_capacity(targets.len());
    for (index, target) in targets.into_iter().enumerate() {
        let history = History::of(policy, data, &codec, target)?;
        let before = plan.updates * index as u64;
        let fitted = fitted::value(&history, &codec, plan, &pool, |done| {
            progress(before + done, all);
        })?;
        let importance = logged.as_ref().map(|logged| logged.value(&history, plan));
        let rollouts = match &plan.rollouts {
            Some((env, episodes)) => Some(rollouts::value(policy, env, *episodes, target, plan)?),
            None => None,
        };
        estimates.push(TargetEstimates {
            target,
            fitted,
            importance,
            rollouts,
        });
    }
    let returns = data.iter().map(|episode| {
        let to_go = returns_to_go(episode.rewards, plan.discount);
        to_go.first().copied().unwrap_or(0.0)
    });
    let returns: Vec<f64> = returns.collect();
    Ok(Estimation {
        episodes: data.episodes(),
        steps: data.steps(),
        discount: plan.discount,
        seconds: began.elapsed().as_secs_f64(),
        recorded: Value::of(&returns),
        recorded_range: Interval {
            low: returns.iter().copied().fold(f64::INFINITY, f64::min),
            high: returns.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        },
        targets: estimates,
    })
}
