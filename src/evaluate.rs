//! Evaluation: many episodes for every target return, all in lock-step.
//!
//! Episode e of every target starts from `seed + e`, so targets are compared on the same starts,
//! and the result does not depend on how many rows are stepped together. A policy that takes no
//! target is evaluated once, without one.

use std::time::Instant;

use rtg_envs::registry;
use serde::{Deserialize, Serialize};

use crate::algorithms;
use crate::interrupt::{self, Interrupt};
use crate::parallel::World;
use crate::policy::{Policy, Start};
use crate::rollout::{EpisodeOutcome, Rollout, Transition};
use crate::statistics::{self, Calibration, Interval, TargetResult};

/// The most environments that are stepped together.
const MAX_ROWS: usize = 128;

/// Rounds of all environments between checks for signals.
const ROUNDS: usize = 64;

/// What to evaluate.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationPlan {
    /// Environment id.
    pub env: String,
    /// Target returns; ignored if the policy takes none.
    pub targets: Vec<f64>,
    /// The range of returns in which targets count for the calibration.
    pub return_range: Option<Interval>,
    /// Episodes for each target.
    pub episodes: usize,
    /// Seed of the first episode's start.
    pub seed: u64,
    /// Environments that are stepped together; `None` for an automatic choice.
    pub rows: Option<usize>,
    /// Threads for stepping them, if steps are expensive. Affects the speed, not the result.
    pub threads: usize,
}

/// The result of `rtg evaluate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationResult {
    /// Environment id.
    pub env: String,
    /// Episodes for each target.
    pub episodes: usize,
    /// Total number of environment steps.
    pub env_steps: usize,
    /// Wall time.
    pub seconds: f64,
    /// How often a simulation became unstable and was reset, as in Gymnasium.
    #[serde(default)]
    pub instabilities: u64,
    /// How well returns agree with the targets in the data's range; none without such targets, or
    /// for a policy that takes none.
    #[serde(default)]
    pub calibration: Option<Calibration>,
    /// One entry for each target; a single one if the policy takes none.
    pub targets: Vec<TargetScore>,
}

/// The result for one target return.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetScore {
    /// The target return; none for a policy that takes no target.
    pub target: Option<f64>,
    /// Mean of the episode returns.
    pub return_mean: f64,
    /// 95 % bootstrap interval of that mean over the episodes; none for a single episode.
    #[serde(default)]
    pub return_interval: Option<Interval>,
    /// Standard deviation of the episode returns over the episodes (population).
    pub return_std: f64,
    /// The return of each episode, in the order of their seeds.
    pub returns: Vec<f64>,
    /// Mean episode length in steps.
    pub length_mean: f64,
    /// 100 (return - random) / (expert - random), if the registry knows both.
    pub score: Option<f64>,
    /// Standard deviation of the score: that of the return, scaled in the same way.
    pub score_std: Option<f64>,
}

/// Why an evaluation has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An environment that does not exist or cannot be created here.
    #[error(transparent)]
    Environment(#[from] rtg_envs::Error),
    /// A policy that cannot be made, or that could not act to the end.
    #[error(transparent)]
    Policy(#[from] algorithms::Error),
    /// Interrupted by a signal.
    #[error(transparent)]
    Interrupted(#[from] Interrupt),
}

impl EvaluationPlan {
    /// Environments that are stepped together by each of several ranks.
    pub fn rows(&self, ranks: usize) -> usize {
        let most = (self.targets.len().max(1) * self.episodes).div_ceil(ranks);
        self.rows.unwrap_or(MAX_ROWS).clamp(1, most.max(1))
    }
}

/// Makes a policy for this many episodes at once.
pub type MakePolicy<'a> = dyn FnMut(usize) -> Result<Box<dyn Policy>, algorithms::Error> + 'a;

/// Runs the plan. `finished` is called after each episode with the number of finished episodes and
/// their total.
///
/// # Errors
/// An environment id that the registry does not know; a policy that cannot be made, or whose device
/// fails; a signal.
pub fn evaluate(
    policy: &mut MakePolicy<'_>,
    plan: &EvaluationPlan,
    finished: impl FnMut(usize, usize),
) -> Result<EvaluationResult, Error> {
    share(&World::alone(), policy, plan, finished)
}

/// The same, with the episodes divided among ranks, each of which gets the whole result. `finished`
/// is called for this rank's episodes.
///
/// # Errors
/// As [`evaluate`].
pub fn share(
    world: &World,
    policy: &mut MakePolicy<'_>,
    plan: &EvaluationPlan,
    finished: impl FnMut(usize, usize),
) -> Result<EvaluationResult, Error> {
    with_policy(world, policy(plan.rows(world.size()))?, plan, finished)
}

/// The same with a policy of [`EvaluationPlan::rows`] episodes.
///
/// # Errors
/// As [`evaluate`].
pub fn with_policy(
    world: &World,
    mut policy: Box<dyn Policy>,
    plan: &EvaluationPlan,
    mut finished: impl FnMut(usize, usize),
) -> Result<EvaluationResult, Error> {
    let began = Instant::now();
    let rows = plan.rows(world.size());
    let targets: Vec<Option<f64>> = if policy.takes_target() {
        plan.targets.iter().copied().map(Some).collect()
    } else {
        vec![None]
    };
    let starts: Vec<Start> = (targets.iter())
        .flat_map(|&target| {
            (0..plan.episodes as u64).map(move |episode| Start {
                seed: plan.seed.wrapping_add(episode),
                target,
            })
        })
        .collect();
    let count = starts.len();
    // Interleaved, because the episodes of one target may all be long.
    let (first, every) = (world.rank(), world.size());
    let starts: Vec<Start> = starts.into_iter().skip(first).step_by(every).collect();
    let mut outcomes = vec![None; starts.len()];
    let (mut ended, all) = (0, starts.len());
    let mut rollout = Rollout::open(&plan.env, rows, plan.threads, move |index| {
        starts.get(index).copied()
    })?;
    let mut note = |transition: &Transition<'_>| {
        if transition.ended.is_some() {
            outcomes[transition.index] = transition.ended;
            ended += 1;
            finished(ended, all);
        }
    };
    let (mut heard, mut failed) = (Ok(()), None);
    while heard.is_ok()
        && failed.is_none()
        && rollout.advance(&mut *policy, rows * ROUNDS, &mut note) > 0
    {
        (heard, failed) = (interrupt::check(), policy.failure());
    }
    world.agree_on(heard)?;
    if let Some(error) = failed {
        return Err(algorithms::Error::from(error).into());
    }
    let outcomes: Vec<EpisodeOutcome> = outcomes.into_iter().flatten().collect();
    let (outcomes, instabilities) = gather(world, &outcomes, rollout.instabilities(), count);
    let reference = registry::spec(&plan.env)?.reference_returns;
    let targets: Vec<TargetScore> = (targets.iter().zip(outcomes.chunks(plan.episodes.max(1))))
        .map(|(&target, outcomes)| TargetScore::of(target, outcomes, reference.as_ref()))
        .collect();
    let reached: Vec<TargetResult<'_>> = targets.iter().filter_map(TargetScore::reached).collect();
    Ok(EvaluationResult {
        env: plan.env.clone(),
        episodes: plan.episodes,
        env_steps: outcomes.iter().map(|outcome| outcome.length).sum(),
        seconds: began.elapsed().as_secs_f64(),
        instabilities,
        calibration: (plan.return_range).and_then(|range| Calibration::of(range, &reached)),
        targets,
    })
}

/// The outcomes of all `count` episodes in their order, and the instabilities of all ranks.
fn gather(
    world: &World,
    mine: &[EpisodeOutcome],
    instabilities: u64,
    count: usize,
) -> (Vec<EpisodeOutcome>, u64) {
    let ranks = world.size();
    let mut words = vec![instabilities];
    for outcome in mine {
        words.extend([outcome.episode_return.to_bits(), outcome.length as u64]);
    }
    words.resize(1 + 2 * count.div_ceil(ranks), 0);
    let all = world.gather(&words);
    let of_ranks: Vec<&[u64]> = all.chunks(words.len()).collect();
    let outcome = |index: usize| {
        let words = &of_ranks[index % ranks][1 + 2 * (index / ranks)..];
        EpisodeOutcome {
            episode_return: f64::from_bits(words[0]),
            length: words[1] as usize,
        }
    };
    let instabilities = of_ranks.iter().map(|words| words[0]).sum();
    ((0..count).map(outcome).collect(), instabilities)
}

impl TargetScore {
    fn of(
        target: Option<f64>,
        outcomes: &[EpisodeOutcome],
        reference: Option<&rtg_envs::ReferenceReturns>,
    ) -> Self {
        let returns: Vec<f64> = outcomes
            .iter()
            .map(|outcome| outcome.episode_return)
            .collect();
        let lengths: Vec<f64> = outcomes
            .iter()
            .map(|outcome| outcome.length as f64)
            .collect();
        let return_mean = statistics::mean(&returns);
        let return_std = statistics::population_std(&returns);
        Self {
            target,
            return_mean,
            return_std,
            length_mean: statistics::mean(&lengths),
            score: reference.map(|reference| reference.score(return_mean)),
            score_std: reference.map(|reference| reference.score_spread(return_std)),
            return_interval: statistics::mean_interval(&returns),
            returns,
        }
    }

    /// The target and its returns; none for a policy that takes no target.
    fn reached(&self) -> Option<TargetResult<'_>> {
        Some(TargetResult {
            asked: self.target?,
            mean: self.return_mean,
            episodes: &self.returns,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Random;
    use crate::parallel::threads;

    #[test]
    fn ranks_share_episodes_and_each_has_all_results() {
        let plan = |episodes| EvaluationPlan {
            env: "CartPole-v1".to_owned(),
            targets: Vec::new(),
            return_range: None,
            episodes,
            seed: 3,
            rows: None,
            threads: 1,
        };
        let actions = rtg_envs::registry::spec("CartPole-v1")
            .unwrap()
            .action_space;
        let policy = |rows| -> Result<Box<dyn Policy>, algorithms::Error> {
            Ok(Box::new(Random::new(&actions, rows)))
        };
        for episodes in [1, 2, 7] {
            let alone = evaluate(&mut { policy }, &plan(episodes), |_, _| ()).unwrap();
            let shared = threads::run(3, |world| {
                share(&world, &mut { policy }, &plan(episodes), |_, _| ()).unwrap()
            });
            for evaluation in shared {
                assert_eq!(evaluation.targets, alone.targets);
                assert_eq!(evaluation.env_steps, alone.env_steps);
            }
        }
    }
}
