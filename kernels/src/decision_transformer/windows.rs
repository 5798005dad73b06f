//! A batch of windows: what the model reads.

use super::embedding::Steps;
use super::shape::{Condition, Shape};
use crate::expectile;
use std::ops::Range;

/// Which side of a window that is shorter than the context is padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// the valid steps are the last ones
    Left,
    /// the valid steps are the first ones
    Right,
}

/// B windows of K steps. Padded steps are not read.
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a> {
    /// B x K x S, normalised
    pub observations: &'a [f32],
    /// B x K x A, one-hot if discrete
    pub actions: &'a [f32],
    /// B x K x R, scaled
    pub returns_to_go: &'a [f32],
    /// B x K, each below the rows of the timestep table
    pub timesteps: &'a [u32],
    /// B, valid steps of each window, 0 to K
    pub lengths: &'a [usize],
    /// which side is padded
    pub side: Side,
    /// K
    pub context: usize,
    /// what the loss alone reads
    pub targets: LossTargets<'a>,
}

/// What a network does not read, but is to predict. Empty where nothing predicts it.
#[derive(Clone, Copy, Debug, Default)]
pub struct LossTargets<'a> {
    /// B x K, scaled: the returns-to-go, where the network reads the numbers of bins
    pub returns_to_go: &'a [f32],
    /// B x S, normalised: the observation behind each window's last step
    pub next_observations: &'a [f32],
}

impl<'a> Windows<'a> {
    /// The valid steps of a window.
    pub fn sequence(&self, window: usize) -> Steps<'a> {
        let start = window * self.context + self.first_step(window);
        let steps = start..start + self.lengths[window];
        let rows = self.lengths.len() * self.context;
        let of = |all: &'a [f32]| {
            let width = all.len() / rows;
            &all[steps.start * width..steps.end * width]
        };
        Steps {
            observations: of(self.observations),
            actions: of(self.actions),
            returns_to_go: of(self.returns_to_go),
            timesteps: &self.timesteps[steps.clone()],
        }
    }

    /// The returns-to-go of a window's valid steps, where the network reads their bins.
    pub fn unbinned_returns(&self, window: usize) -> &'a [f32] {
        let start = window * self.context + self.first_step(window);
        &self.targets.returns_to_go[start..start + self.lengths[window]]
    }

    /// The observations behind a window's valid steps, in their order.
    pub fn next_observations(&self, window: usize) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let width = self.targets.next_observations.len() / self.lengths.len();
        let observations = self.sequence(window).observations.chunks(width);
        let last = &self.targets.next_observations[window * width..(window + 1) * width];
        observations.skip(1).chain([last])
    }

    /// The first valid step of a window.
    pub fn first_step(&self, window: usize) -> usize {
        match self.side {
            Side::Left => self.context - self.lengths[window],
            Side::Right => 0,
        }
    }

    /// The mean of |return-to-go| over the valid steps; 1 if that is zero.
    pub fn mean_magnitude_of_returns(&self) -> f64 {
        let windows = 0..self.lengths.len();
        expectile::scale(
            windows.flat_map(|window| self.sequence(window).returns_to_go.iter().copied()),
        )
    }

    /// The number of valid steps in all windows.
    pub fn steps(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// Divides a range of windows into `count` contiguous runs with nearly equal numbers of
    /// tokens (three per step).
    pub fn shares(&self, of: Range<usize>, count: usize) -> Vec<Range<usize>> {
        let tokens = |window: usize| Condition::Token.tokens(self.lengths[window]);
        let total: usize = of.clone().map(tokens).sum();
        let mut shares = Vec::with_capacity(count);
        let (mut start, mut done) = (of.start, 0);
        for share in 1..=count {
            let mut end = start;
            while end < of.end && (share == count || done + tokens(end) / 2 < total * share / count)
            {
                done += tokens(end);
                end += 1;
            }
            shares.push(start..end);
            start = end;
        }
        shares
    }

    /// Panics unless the arrays fit each other and the shape.
    pub(crate) fn check(&self, shape: &Shape) {
        let steps = self.lengths.len() * self.context;
        assert_eq!(
            self.observations.len(),
            steps * shape.observation,
            "observations are B x K x S"
        );
        assert_eq!(
            self.actions.len(),
            steps * shape.action,
            "actions are B x K x A"
        );
        assert_eq!(
            self.returns_to_go.len(),
            steps * shape.condition.numbers(),
            "returns-to-go are B x K x R"
        );
        assert_eq!(self.timesteps.len(), steps, "timesteps are B x K");
        let longest = self.lengths.iter().max().copied().unwrap_or(0);
        assert!(
            longest <= self.context,
            "a window of {longest} steps, the context is {}",
            self.context
        );
        for (window, steps) in self.lengths.iter().enumerate() {
            let start = window * self.context + self.first_step(window);
            let latest = self.timesteps[start..start + steps]
                .iter()
                .max()
                .copied()
                .unwrap_or(0);
            let rows = shape.timesteps;
            assert!(
                (latest as usize) < rows,
                "timestep {latest}, the table has {rows} rows"
            );
        }
    }

    /// Panics unless everything that this shape predicts is here.
    pub(crate) fn check_targets(&self, shape: &Shape) {
        let (windows, targets) = (self.lengths.len(), self.targets);
        if (shape.condition.prediction()).is_some_and(|of| of.estimate().is_some()) {
            let steps = windows * self.context;
            let found = targets.returns_to_go.len();
            assert_eq!(found, steps, "returns-to-go to predict are B x K");
        }
        if shape.next_observation.is_some() {
            let numbers = windows * shape.observation;
            let found = targets.next_observations.len();
            assert_eq!(found, numbers, "next observations are B x S");
        }
    }
}
