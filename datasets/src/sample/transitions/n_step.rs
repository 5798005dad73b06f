//! The discounted sum of consecutive rewards: one arithmetic for datasets and replay.

/// Rewards summed up so far.
#[derive(Clone, Copy, Debug)]
pub(in crate::sample) struct NStep {
    discount: f64,
    /// The discounted sum.
    pub(in crate::sample) sum: f64,
    /// The discount to the power of the steps: that of the value after them.
    pub(in crate::sample) power: f64,
    /// Steps.
    pub(in crate::sample) steps: usize,
}

impl NStep {
    pub(in crate::sample) fn new(discount: f64) -> Self {
        Self {
            discount,
            sum: 0.0,
            power: 1.0,
            steps: 0,
        }
    }

    pub(in crate::sample) fn add(&mut self, reward: f64) {
        self.sum += self.power * reward;
        self.power *= self.discount;
        self.steps += 1;
    }
}
