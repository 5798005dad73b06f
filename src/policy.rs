//! What acts: the contract between policies and the rollout.

/// How a policy chooses where it could choose at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The best action, for evaluation.
    Greedy,
    /// Actions with the noise that the algorithm explores with.
    Explore,
}

/// How an episode starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    /// Seed of the environment's reset; everything random in the policy's episode follows from it too.
    pub seed: u64,
    /// The return to aim for, for policies that can be asked.
    pub target: Option<f64>,
}

/// Acts in several episodes at once, one in each row.
///
/// An episode's actions depend on its start and its observations alone: not on the row, on the number
/// of rows or on what happens in other rows.
pub trait Policy {
    /// An episode starts in `row`.
    fn begin(&mut self, row: usize, start: &Start);

    /// Chooses the actions of the rows in `active`.
    ///
    /// `observations` is rows x S, `last_rewards` holds the reward of each row's previous step (0 at an
    /// episode's first). `actions` is rows x A: on entry it holds what was done in each row's previous
    /// step, which may differ from what the policy chose; rows that are not active are left alone.
    fn act(
        &mut self,
        active: &[usize],
        observations: &[f64],
        last_rewards: &[f64],
        actions: &mut [f64],
    );
}
