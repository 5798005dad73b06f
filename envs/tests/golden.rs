//! Recorded trajectories of Gymnasium's classic control against those of this crate.

use crate::recording::{Kind, Record, difference, recording};
use rtg_envs::{
    Env, Step, make,
    registry::{is_own, needs_mujoco},
};

fn ids() -> impl Iterator<Item = &'static str> {
    rtg_envs::ids().filter(|id| !needs_mujoco(id) && !is_own(id))
}

fn golden(id: &str) -> Vec<Record> {
    recording(id, id).1
}

#[test]
fn start_states_are_gymnasiums_bit_for_bit() {
    for id in ids() {
        let mut env = make(id).unwrap();
        for record in golden(id)
            .iter()
            .filter(|record| matches!(record.kind, Kind::Seeded(_)))
        {
            let Kind::Seeded(seed) = record.kind else {
                unreachable!()
            };
            let mut observation = vec![0.0; record.observation.len()];
            env.reset(Some(seed), &mut observation);
            assert_eq!(env.state(), record.state, "{id}, seed {seed}");
            assert_eq!(observation, record.observation, "{id}, seed {seed}");
        }
    }
}

#[test]
fn whole_trajectories_are_gymnasiums() {
    for id in ids() {
        let mut env = make(id).unwrap();
        for (i, record) in golden(id).iter().enumerate() {
            let mut observation = vec![0.0; record.observation.len()];
            let step = match record.kind {
                Kind::Seeded(seed) => {
                    env.reset(Some(seed), &mut observation);
                    None
                }
                Kind::Continued => {
                    env.reset(None, &mut observation);
                    None
                }
                Kind::Stepped => Some(env.step(&record.action, &mut observation)),
            };
            assert!(
                difference(&env.state(), &record.state) <= 1e-12,
                "{id}, record {i}: {:?}, {:?}",
                env.state(),
                record.state
            );
            assert!(
                difference(&observation, &record.observation) <= 6e-8,
                "{id}, record {i}"
            );
            if let Some(step) = step {
                assert!(
                    difference(&[step.reward], &[record.step.reward]) <= 1e-12,
                    "{id}, record {i}: {step:?}"
                );
                assert_eq!(
                    Step {
                        reward: 0.0,
                        ..step
                    },
                    Step {
                        reward: 0.0,
                        ..record.step
                    },
                    "{id}, record {i}"
                );
            }
        }
    }
}

/// From each recorded state on its own, so that a difference cannot grow: this must hold on every
/// platform.
#[test]
fn single_steps_are_gymnasiums() {
    for id in ids() {
        let mut env = make(id).unwrap();
        for pair in golden(id)
            .windows(2)
            .filter(|pair| pair[1].kind == Kind::Stepped)
        {
            let mut observation = vec![0.0; pair[1].observation.len()];
            env.set_state(&pair[0].state).unwrap();
            let step = env.step(&pair[1].action, &mut observation);
            assert!(difference(&env.state(), &pair[1].state) <= 1e-12, "{id}");
            assert!(
                difference(&[step.reward], &[pair[1].step.reward]) <= 1e-12,
                "{id}"
            );
            assert_eq!(step.terminated, pair[1].step.terminated, "{id}");
        }
    }
}

#[test]
fn on_linux_every_bit_is_gymnasiums() {
    if !cfg!(all(
        target_os = "linux",
        target_arch = "x86_64",
        target_env = "gnu"
    )) {
        return;
    }
    for id in ids() {
        let mut env = make(id).unwrap();
        for (i, record) in golden(id).iter().enumerate() {
            let mut observation = vec![0.0; record.observation.len()];
            let mut reward = 0.0;
            match record.kind {
                Kind::Seeded(seed) => env.reset(Some(seed), &mut observation),
                Kind::Continued => env.reset(None, &mut observation),
                Kind::Stepped => reward = env.step(&record.action, &mut observation).reward,
            }
            assert_eq!(
                (env.state(), observation),
                (record.state.clone(), record.observation.clone()),
                "{id}, record {i}"
            );
            assert_eq!(
                reward.to_bits(),
                record.step.reward.to_bits(),
                "{id}, record {i}"
            );
        }
    }
}
