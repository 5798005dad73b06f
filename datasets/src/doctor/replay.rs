//! Replays recorded actions and compares the environment's results with the file's.
//!
//! Where an episode's seed is recorded and reproduces its first observation, the whole episode is
//! played from there ([`ReplayKind::Seed`]): that verifies observations and rewards together. Else
//! the classic control environments are set to the state that an observation determines, and each
//! step must lead to the next one ([`ReplayKind::State`]). A bounded number of steps is played.
//!
//! `MuJoCo` rounds differently from version to version, and contacts amplify small differences. So
//! only the first steps of its episodes are compared, and less sharply.

use rtg_envs::{Env, registry};
use serde::Serialize;

use super::Finding;
use crate::{Dataset, EpisodeView};

/// Episodes that are played.
const EPISODES: usize = 40;
/// Steps of one of them.
const STEPS: usize = 250;
/// Steps of one of them in `MuJoCo`.
const MUJOCO_STEPS: usize = 10;
/// Tolerance relative to 1 + size: played from a seed.
const EXACT: f64 = 1e-6;
/// Played from a state that was rounded to 32 bits.
const ROUNDED: f64 = 1e-4;
/// In `MuJoCo`.
const LOOSE: f64 = 1e-3;
/// A rounded state may fall on the other side of a threshold: this fraction of the steps may
/// differ.
const STRAY: f64 = 0.01;

/// From an observation to a state.
type Inverse = fn(&[f64]) -> Vec<f64>;

/// The result of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReplayCheck {
    /// How the episodes were started; `None` if none was played.
    pub kind: Option<ReplayKind>,
    /// Episodes played.
    pub episodes: usize,
    /// Steps played.
    pub steps: usize,
    /// Steps that the environment rewarded differently.
    pub reward_mismatches: usize,
    /// Steps after which its observation differed.
    pub observation_mismatches: usize,
    /// Why nothing was played, if so.
    pub skipped: Option<String>,
}

/// Where played episodes start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplayKind {
    /// From the recorded seed: the strongest proof.
    Seed,
    /// Each step from the state that its observation determines.
    State,
}

impl ReplayCheck {
    fn skipped(reason: impl Into<String>) -> Self {
        Self {
            skipped: Some(reason.into()),
            ..Self::default()
        }
    }

    pub(super) fn findings(&self) -> [Finding; 2] {
        let tolerated = match self.kind {
            Some(ReplayKind::State) => (STRAY * self.steps as f64).ceil() as usize,
            _ => 0,
        };
        let count = |found: usize| if found > tolerated { found } else { 0 };
        let steps = self.steps;
        [
            Finding::warning(
                "reward-mismatch",
                count(self.reward_mismatches),
                format!("of {steps} replayed steps are rewarded differently by the environment"),
            ),
            Finding::warning(
                "observation-mismatch",
                count(self.observation_mismatches),
                format!("of {steps} replayed steps lead to another observation in the environment"),
            ),
        ]
    }
}

/// Plays a sample of the episodes, evenly spread.
pub(super) fn replay(dataset: &Dataset) -> ReplayCheck {
    let Some(spec) = &dataset.info().env_spec else {
        return ReplayCheck::skipped("the environment is not known");
    };
    let environment = spec.environment();
    let id = environment.as_str();
    let mut env = match registry::make(id) {
        Ok(env) => env,
        Err(error) => return ReplayCheck::skipped(error.to_string()),
    };
    let spec = env.spec();
    if spec.observation_space.width() != dataset.observation_width()
        || spec.action_space.width() != dataset.action_width()
    {
        return ReplayCheck::skipped(format!("the rows do not fit {id}"));
    }
    let stride = dataset.episodes().div_ceil(EPISODES).max(1);
    let sample = || (0..dataset.episodes()).step_by(stride);
    let tolerance = if registry::needs_mujoco(id) {
        (MUJOCO_STEPS, LOOSE)
    } else {
        (STEPS, EXACT)
    };
    let mut replay = ReplayCheck::default();
    for episode in sample().map(|index| dataset.episode(index)) {
        replay.play_from_seed(env.as_mut(), episode, tolerance);
    }
    if replay.episodes > 0 {
        replay.kind = Some(ReplayKind::Seed);
        return replay;
    }
    let Some(state) = inverse(id) else {
        return ReplayCheck::skipped(format!(
            "no recorded seed reproduces an episode's start in {id}, and an observation does not \
                determine its state"
        ));
    };
    replay.kind = Some(ReplayKind::State);
    for episode in sample().map(|index| dataset.episode(index)) {
        replay.play_from_states(env.as_mut(), episode, state);
    }
    replay
}

impl ReplayCheck {
    /// Plays an episode whose seed reproduces its first observation, until the two differ.
    fn play_from_seed(
        &mut self,
        env: &mut dyn Env,
        episode: EpisodeView<'_>,
        (steps, tolerance): (usize, f64),
    ) {
        let Some(seed) = episode.seed else {
            return;
        };
        let width = env.spec().observation_space.width();
        let action_width = env.spec().action_space.width();
        let mut rows = episode.observations.chunks_exact(width.max(1));
        let mut observation = vec![0.0; width];
        env.reset(Some(seed), &mut observation);
        if !rows
            .next()
            .is_some_and(|first| alike(first, &observation, tolerance))
        {
            return;
        }
        self.episodes += 1;
        let actions = episode.actions.chunks_exact(action_width.max(1));
        for ((row, action), reward) in rows.zip(actions).zip(episode.rewards).take(steps) {
            if !finite(action) {
                return;
            }
            let step = env.step(action, &mut observation);
            self.steps += 1;
            self.reward_mismatches += usize::from(!alike(&[*reward], &[step.reward], tolerance));
            if !alike(row, &observation, tolerance) {
                self.observation_mismatches += 1;
                return;
            }
            if step.terminated {
                return;
            }
        }
    }

    /// Plays single steps, each from its own observation.
    fn play_from_states(&mut self, env: &mut dyn Env, episode: EpisodeView<'_>, state: Inverse) {
        let width = env.spec().observation_space.width();
        let action_width = env.spec().action_space.width();
        let mut observation = vec![0.0; width];
        env.reset(Some(0), &mut observation);
        self.episodes += 1;
        let rows: Vec<&[f64]> = episode.observations.chunks_exact(width.max(1)).collect();
        let actions = episode.actions.chunks_exact(action_width.max(1));
        for ((pair, action), reward) in rows
            .windows(2)
            .zip(actions)
            .zip(episode.rewards)
            .take(STEPS)
        {
            if !finite(action) || !finite(pair[0]) || env.set_state(&state(pair[0])).is_err() {
                continue;
            }
            let step = env.step(action, &mut observation);
            self.steps += 1;
            self.reward_mismatches += usize::from(!alike(&[*reward], &[step.reward], ROUNDED));
            self.observation_mismatches += usize::from(!alike(pair[1], &observation, ROUNDED));
        }
    }
}

fn finite(row: &[f64]) -> bool {
    row.iter().all(|number| number.is_finite())
}

/// Whether two rows are equal up to a tolerance. Numbers that are not finite are another finding.
fn alike(recorded: &[f64], given: &[f64], tolerance: f64) -> bool {
    recorded
        .iter()
        .zip(given)
        .all(|(a, b)| !a.is_finite() || (a - b).abs() <= tolerance * (1.0 + a.abs()))
}

/// The state that an observation of a classic control environment determines.
fn inverse(id: &str) -> Option<Inverse> {
    Some(match id {
        "CartPole-v1" | "MountainCar-v0" | "MountainCarContinuous-v0" => <[f64]>::to_vec,
        "Pendulum-v1" => |seen| vec![seen[1].atan2(seen[0]), seen[2]],
        "Acrobot-v1" => |seen| {
            let angle = |at: usize| f64::atan2(seen[at + 1], seen[at]);
            vec![angle(0), angle(2), seen[4], seen[5]]
        },
        _ => return None,
    })
}
