//! The wrapper that truncates an episode after a number of steps.

use crate::{Env, Error, Frame, Spec, Step};
use std::sync::Arc;

/// Truncates an episode at a number of steps. It sets `truncated` and never touches `terminated`:
/// an environment that terminates with its last allowed step sets both.
///
/// The count belongs to the episode, not to the state: [`Env::set_state`] leaves it as it is.
#[derive(Clone, Debug)]
pub struct TimeLimit<E> {
    env: E,
    elapsed: usize,
    limit: usize,
    spec: Arc<Spec>,
}

impl<E: Env> TimeLimit<E> {
    /// Wraps an environment; `limit` is the number of steps in a full episode, at least 1.
    pub fn new(env: E, limit: usize) -> Self {
        let spec = Spec {
            max_episode_steps: Some(limit.max(1)),
            ..env.spec().clone()
        };
        Self::with_spec(env, Arc::new(spec))
    }

    /// Wraps an environment under a complete description, time limit included.
    pub(crate) fn with_spec(env: E, spec: Arc<Spec>) -> Self {
        Self {
            env,
            elapsed: 0,
            limit: spec.max_episode_steps.unwrap_or(usize::MAX),
            spec,
        }
    }

    /// Steps since the last reset.
    pub fn elapsed(&self) -> usize {
        self.elapsed
    }

    #[inline]
    pub(crate) fn inner(&self) -> &E {
        &self.env
    }

    /// One step, however the environment takes it.
    #[inline]
    pub(crate) fn limited(&mut self, step: impl FnOnce(&mut E) -> Step) -> Step {
        let step = step(&mut self.env);
        self.elapsed += 1;
        Step {
            truncated: step.truncated || self.elapsed >= self.limit,
            ..step
        }
    }
}

impl<E: Env> Env for TimeLimit<E> {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn reset(&mut self, seed: Option<u64>, observation: &mut [f64]) {
        self.elapsed = 0;
        self.env.reset(seed, observation);
    }

    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Step {
        self.limited(|env| env.step(action, observation))
    }

    fn observe(&self, observation: &mut [f64]) {
        self.env.observe(observation);
    }

    fn state(&self) -> Vec<f64> {
        self.env.state()
    }

    fn set_state(&mut self, state: &[f64]) -> Result<(), Error> {
        self.env.set_state(state)
    }

    fn render(&self) -> Option<Frame> {
        self.env.render()
    }

    fn instabilities(&self) -> u64 {
        self.env.instabilities()
    }

    fn steps_per_second(&self) -> f64 {
        self.env.steps_per_second()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classic_control::Pendulum;

    #[test]
    fn truncation_comes_with_the_last_step_and_reset_restarts_the_count() {
        let mut env = TimeLimit::new(Pendulum::default(), 3);
        assert_eq!(env.spec().max_episode_steps, Some(3));
        let mut observation = [0.0; 3];
        for _ in 0..2 {
            env.reset(Some(1), &mut observation);
            let truncated: Vec<bool> = (0..4)
                .map(|_| env.step(&[0.0], &mut observation).truncated)
                .collect();
            assert_eq!(truncated, [false, false, true, true]);
        }
    }
}
