//! When the row of an ended episode is reset.

/// When the row of an ended episode is reset, as in Gymnasium 1.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Autoreset {
    /// With the next step, which ignores the row's action and has reward 0. Gymnasium's default.
    #[default]
    NextStep,
    /// In the same step: the observation is the new episode's first, the old one's last is in
    /// [`VecEnv::final_observations`](crate::VecEnv::final_observations).
    SameStep,
    /// Never: the caller resets, and stepping an ended row is a bug that panics.
    Disabled,
}
