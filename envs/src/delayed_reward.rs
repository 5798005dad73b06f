//! The wrapper that moves an episode's whole reward to its last step.

use crate::{Env, Error, Frame, Spec, Step, config::DELAYED};
use std::sync::Arc;

/// Withholds every reward and returns their sum with the step that ends the episode, by termination
/// or by truncation. Returns stay the same, but credit assignment becomes hard (Chen et al. 2021,
/// section on sparse rewards).
///
/// It wraps the time limit, so that the last step is known. Any registered id with [`DELAYED`]
/// before it is that environment in this wrapper.
///
/// The sum so far is the last number of the state, where the environment exposes its state.
#[derive(Clone, Debug)]
pub struct DelayedReward<E> {
    env: E,
    /// Rewards of this episode that have not been returned.
    owed: f64,
    spec: Arc<Spec>,
}

impl<E: Env> DelayedReward<E> {
    /// Wraps an environment, time limit included.
    pub fn new(env: E) -> Self {
        let spec = Spec {
            id: format!("{}{}", DELAYED, env.spec().id),
            ..env.spec().clone()
        };
        Self {
            env,
            owed: 0.0,
            spec: Arc::new(spec),
        }
    }
}

impl<E: Env> Env for DelayedReward<E> {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn reset(&mut self, seed: Option<u64>, observation: &mut [f64]) {
        self.owed = 0.0;
        self.env.reset(seed, observation);
    }

    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Step {
        let step = self.env.step(action, observation);
        self.owed += step.reward;
        let reward = if step.is_last() {
            std::mem::take(&mut self.owed)
        } else {
            0.0
        };
        Step { reward, ..step }
    }

    fn observe(&self, observation: &mut [f64]) {
        self.env.observe(observation);
    }

    fn state(&self) -> Vec<f64> {
        let mut state = self.env.state();
        if !state.is_empty() {
            state.push(self.owed);
        }
        state
    }

    fn set_state(&mut self, state: &[f64]) -> Result<(), Error> {
        let id = || self.spec.id.clone();
        let Some((&owed, world)) = state.split_last() else {
            return self.env.set_state(state);
        };
        if !owed.is_finite() {
            return Err(Error::StateNotFinite {
                id: id(),
                index: world.len(),
                value: owed,
            });
        }
        self.env.set_state(world)?;
        self.owed = owed;
        Ok(())
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
#[expect(clippy::float_cmp, reason = "these numbers are exact")]
mod tests {
    use crate::check::check_env;
    use crate::{Autoreset, Env, Step, make, make_vec, registry, spec};

    #[test]
    fn the_last_step_pays_for_the_whole_episode_however_it_ends() {
        // A pole that falls terminates, a pendulum runs into its time limit.
        for (id, action) in [("CartPole-v1", 1.0), ("Pendulum-v1", 0.5)] {
            let play = |id: &str| -> Vec<Step> {
                let mut env = make(id).unwrap();
                let mut observation = vec![0.0; env.spec().observation_space.width()];
                env.reset(Some(3), &mut observation);
                let mut steps = vec![env.step(&[action], &mut observation)];
                while steps.last().is_some_and(|step| !step.is_last()) {
                    steps.push(env.step(&[action], &mut observation));
                }
                steps
            };
            let (plain, delayed) = (play(id), play(&format!("delayed/{id}")));
            let total: f64 = plain.iter().map(|step| step.reward).sum();
            assert_eq!(plain.len(), delayed.len());
            let (last, before) = delayed.split_last().unwrap();
            assert_eq!(last.reward, total);
            assert!(before.iter().all(|step| step.reward == 0.0));
            assert_eq!(last.terminated, id == "CartPole-v1");
            assert_eq!(last.truncated, id == "Pendulum-v1");
        }
    }

    #[test]
    fn a_new_episode_carries_over_no_reward() {
        let mut env = make("delayed/CartPole-v1").unwrap();
        let mut observation = [0.0; 4];
        env.step(&[1.0], &mut observation);
        env.reset(Some(1), &mut observation);
        assert_eq!(env.state()[4], 0.0);
    }

    #[test]
    fn it_keeps_the_contract_around_any_environment() {
        for id in registry::ids().filter(|id| !registry::needs_mujoco(id)) {
            let id = format!("delayed/{id}");
            let mut env = make(&id).unwrap();
            assert_eq!(check_env(&mut *env), Ok(()), "{id}");
            assert_eq!(env.spec(), &spec(&id).unwrap());
        }
    }

    #[test]
    fn rows_are_delayed_too() {
        let mut envs = make_vec("delayed/CartPole-v1", 2, Autoreset::Disabled).unwrap();
        assert_eq!(envs.spec().id, "delayed/CartPole-v1");
        let mut lengths = [0.0; 2];
        let mut active = vec![0, 1];
        while !active.is_empty() {
            envs.step_rows(&active, &[1.0; 2]);
            for &row in &active {
                lengths[row] += 1.0;
            }
            active.retain(|&row| !envs.terminated()[row]);
        }
        assert_eq!(envs.rewards(), lengths);
    }

    #[test]
    fn a_misspelt_id_suggests_the_nearest() {
        let message = make("delayed/CartPole-v0").err().unwrap().to_string();
        assert!(
            message.contains("the nearest are delayed/CartPole-v1"),
            "{message}"
        );
    }
}
