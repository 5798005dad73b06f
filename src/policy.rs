//! The contract between policies and the rollout.

use rtg_kernels::device;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::device::Device;

/// The start of an episode.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Seed of the environment's reset; everything random in the policy's episode follows from it
    /// too.
    pub seed: u64,
    /// The target return, for policies that take one.
    pub target: Option<f64>,
}

/// How a learned policy chooses an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The action it rates highest, without noise: for evaluations, videos and datasets.
    Greedy,
    /// Actions as its algorithm explores: a sample of a stochastic policy, a greedy action with
    /// noise, epsilon-greedy. The random numbers come from a stream for each row, which
    /// [`Policy::begin`] seeds from the start's seed, so that an episode follows from its start.
    Explore,
}

/// What a policy that sees the last K steps remembers of an episode that is longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActingMode {
    /// Nothing but those steps.
    #[default]
    Exact,
    /// What its layers computed of those steps when they were new. A decision costs less, but it is
    /// another function once the episode is longer than K steps.
    Streaming,
    /// Of the last K, K - 2, ... steps those from which the model predicts the largest return, and
    /// the longest of equal ones (Elastic Decision Transformer, Wu et al. 2023).
    Search,
}

impl ActingMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Exact, Self::Streaming, Self::Search];

    /// Its name in plans and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Streaming => "streaming",
            Self::Search => "search",
        }
    }
}

/// How a trained policy acts, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acting {
    /// What it remembers of long episodes.
    pub mode: ActingMode,
    /// Where its network computes; [`choose`](crate::acting::choose) replaces `auto`.
    pub device: Device,
}

/// Acts in several episodes at once, one in each row.
///
/// An episode's actions depend on its start and its observations alone: not on the row, on the
/// number of rows or on what happens in other rows.
pub trait Policy: Send {
    /// Whether it takes [`Start::target`]. Others get starts without one.
    fn takes_target(&self) -> bool {
        false
    }

    /// An episode starts in `row`.
    fn begin(&mut self, row: usize, start: &Start);

    /// Chooses the actions of the rows in `active`.
    ///
    /// `observations` is rows x S, `last_rewards` holds the reward of each row's previous step (0
    /// at an episode's first). `actions` is rows x A: on entry it holds each row's previous action
    /// (zeros at an episode's first), which may differ from the policy's choice; rows that are not
    /// active are left unchanged.
    fn act(
        &mut self,
        active: &[usize],
        observations: &[f64],
        last_rewards: &[f64],
        actions: &mut [f64],
    );

    /// An error of the device on which the policy computes. All actions since then are meaningless.
    fn failure(&mut self) -> Option<device::Error> {
        None
    }

    /// The actions that the last call of [`Policy::act`] chose, active rows x the network's action
    /// width, in the network's units and before clipping to the action space: on-policy learners
    /// learn from them. Empty for policies that are not learned from.
    fn chosen(&self) -> &[f32] {
        &[]
    }

    /// The policy's memory, for a checkpoint.
    ///
    /// `Null`, the default, says that the memory of an episode follows from its start and from the
    /// calls of [`Policy::act`] in it: [`Rollout::restore`](crate::rollout::Rollout::restore) makes
    /// those calls again. A policy whose memory depends on more, such as weights that have changed
    /// during the episode, returns it here, for all rows.
    fn state(&self) -> Value {
        Value::Null
    }

    /// Restores what [`Policy::state`] returned; called only with a value that is not `Null`, after
    /// `begin` of every row that is in an episode.
    ///
    /// # Errors
    /// A state of another policy.
    fn restore(&mut self, state: &Value) -> Result<(), serde_json::Error> {
        serde_json::from_value(state.clone())
    }
}
