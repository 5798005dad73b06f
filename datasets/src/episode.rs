//! One stored episode, owned and borrowed.

/// An episode of `T` steps, owned: what a rollout produces and a reader pushes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Episode {
    /// `(T + 1) x S` numbers: row `t` is the one before step `t`, the last row after the last step.
    pub observations: Vec<f64>,
    /// `T x A` numbers.
    pub actions: Vec<f64>,
    /// `T` numbers.
    pub rewards: Vec<f64>,
    /// Whether the last step reached a terminal state.
    pub terminated: bool,
    /// Whether the last step was cut off, by a time limit for instance.
    pub truncated: bool,
    /// The seed of the environment's reset, where it is known.
    pub seed: Option<u64>,
}

impl Episode {
    /// The number of steps.
    pub fn len(&self) -> usize {
        self.rewards.len()
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.rewards.is_empty()
    }

    /// The undiscounted sum of the rewards.
    pub fn return_(&self) -> f64 {
        self.rewards.iter().sum()
    }
}

/// An episode inside a [`Dataset`](crate::Dataset), borrowed. Fields as in [`Episode`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpisodeView<'a> {
    /// `(T + 1) x S` numbers.
    pub observations: &'a [f64],
    /// `T x A` numbers.
    pub actions: &'a [f64],
    /// `T` numbers.
    pub rewards: &'a [f64],
    /// Whether the last step reached a terminal state.
    pub terminated: bool,
    /// Whether the last step was cut off.
    pub truncated: bool,
    /// The seed of the environment's reset, where it is known.
    pub seed: Option<u64>,
}

impl EpisodeView<'_> {
    /// The number of steps.
    pub fn len(&self) -> usize {
        self.rewards.len()
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.rewards.is_empty()
    }

    /// The undiscounted sum of the rewards.
    pub fn return_(&self) -> f64 {
        self.rewards.iter().sum()
    }

    /// A copy that owns its numbers.
    pub fn to_owned(&self) -> Episode {
        Episode {
            observations: self.observations.to_vec(),
            actions: self.actions.to_vec(),
            rewards: self.rewards.to_vec(),
            terminated: self.terminated,
            truncated: self.truncated,
            seed: self.seed,
        }
    }
}

/// Returns-to-go `R[t] = rewards[t] + gamma R[t + 1]`, summed from the end as in the reference
/// implementations.
pub fn returns_to_go(rewards: &[f64], gamma: f64) -> Vec<f64> {
    let mut returns = rewards.to_vec();
    for step in (1..returns.len()).rev() {
        returns[step - 1] += gamma * returns[step];
    }
    returns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_to_go_are_discounted_suffix_sums() {
        assert_eq!(returns_to_go(&[1.0, 2.0, 4.0], 1.0), [7.0, 6.0, 4.0]);
        assert_eq!(returns_to_go(&[1.0, 2.0, 4.0], 0.5), [3.0, 4.0, 4.0]);
        assert!(returns_to_go(&[], 1.0).is_empty());
    }
}
