//! Tests of vector environments.

use super::*;
use crate::{Frame, Step, make};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn with(autoreset: Autoreset) -> VecEnv {
    VecEnv::new("CartPole-v1", 3, autoreset).unwrap()
}

/// Steps to the right until a row ends; gives that row.
fn run_to_an_end(envs: &mut VecEnv) -> usize {
    loop {
        envs.step(&[1.0; 3]);
        if let Some(row) = envs.terminated().iter().position(|&terminated| terminated) {
            return row;
        }
    }
}

fn row_of(numbers: &[f64], row: usize) -> &[f64] {
    &numbers[row * 4..][..4]
}

#[test]
fn row_i_is_the_environment_with_seed_plus_i() {
    let mut envs = with(Autoreset::Disabled);
    envs.reset(Some(7));
    envs.step(&[0.0, 1.0, 0.0]);
    for row in 0..3 {
        let mut env = make("CartPole-v1").unwrap();
        let mut observation = [0.0; 4];
        env.reset(Some(7 + row as u64), &mut observation);
        env.step(&[(row % 2) as f64], &mut observation);
        assert_eq!(row_of(envs.observations(), row), observation);
        assert_eq!(envs.env(row).state(), env.state());
    }
}

#[test]
fn next_step_resets_with_the_step_after_the_end() {
    let mut envs = with(Autoreset::NextStep);
    let row = run_to_an_end(&mut envs);
    assert_eq!(envs.rewards(), [1.0; 3]);
    assert!(
        row_of(envs.observations(), row)[2].abs() > 0.2,
        "the last observation is seen"
    );
    envs.step(&[1.0; 3]);
    assert_eq!(envs.rewards()[row].to_bits(), 0.0_f64.to_bits());
    assert!(!envs.terminated()[row]);
    assert!(
        row_of(envs.observations(), row)[2].abs() < 0.05,
        "a new episode"
    );
}

#[test]
fn same_step_resets_at_once_and_keeps_the_last_observation() {
    let mut envs = with(Autoreset::SameStep);
    let row = run_to_an_end(&mut envs);
    assert_eq!(envs.rewards(), [1.0; 3]);
    assert!(row_of(envs.final_observations(), row)[2].abs() > 0.2);
    assert!(row_of(envs.observations(), row)[2].abs() < 0.05);
}

#[test]
fn without_autoreset_the_caller_resets_the_row() {
    let mut envs = with(Autoreset::Disabled);
    run_to_an_end(&mut envs);
    while let Some(row) = (0..3).find(|&row| envs.terminated()[row]) {
        envs.reset_row(row, 1);
        assert!(row_of(envs.observations(), row)[2].abs() < 0.05);
    }
    envs.step(&[1.0; 3]);
    assert_eq!(envs.rewards(), [1.0; 3]);
}

#[test]
#[should_panic(expected = "is over; reset the row before stepping it")]
fn without_autoreset_an_ended_row_is_refused() {
    let mut envs = with(Autoreset::Disabled);
    run_to_an_end(&mut envs);
    envs.step(&[1.0; 3]);
}

#[test]
#[should_panic(expected = "3 rows need 3 action numbers")]
fn a_batch_of_actions_of_the_wrong_size_is_refused() {
    with(Autoreset::NextStep).step(&[0.0]);
}

#[test]
fn step_rows_leaves_the_other_rows_untouched() {
    let mut envs = with(Autoreset::Disabled);
    let before = envs.observations().to_vec();
    envs.step_rows(&[1], &[1.0; 3]);
    assert_eq!(row_of(envs.observations(), 0), row_of(&before, 0));
    assert_ne!(row_of(envs.observations(), 1), row_of(&before, 1));
    assert_eq!(row_of(envs.observations(), 2), row_of(&before, 2));
    assert_eq!(envs.rewards(), [0.0, 1.0, 0.0]);
}

#[test]
fn rows_of_nothing_or_of_different_kinds_are_an_error() {
    assert_eq!(
        VecEnv::new("CartPole-v1", 0, Autoreset::NextStep).err(),
        Some(Error::NoRows)
    );
    let mixed = vec![make("CartPole-v1").unwrap(), make("Pendulum-v1").unwrap()];
    assert!(matches!(
        VecEnv::from_envs(mixed, Autoreset::NextStep),
        Err(Error::MixedRows { row: 1, .. })
    ));
}

#[test]
fn threads_change_nothing() {
    for autoreset in [Autoreset::NextStep, Autoreset::SameStep] {
        for (rows, threads) in [(1, 2), (5, 2), (5, 9), (40, 3)] {
            let mut alone = VecEnv::new("CartPole-v1", rows, autoreset).unwrap();
            let mut team = VecEnv::new("CartPole-v1", rows, autoreset)
                .unwrap()
                .with_threads(threads);
            for envs in [&mut alone, &mut team] {
                envs.reset(Some(3));
            }
            for step in 0..60 {
                let actions: Vec<f64> =
                    (0..rows).map(|row| ((row + step) % 3 % 2) as f64).collect();
                // Now and then some rows alone, or a row that begins anew.
                let some: Vec<usize> = (0..rows).rev().step_by(2).collect();
                for envs in [&mut alone, &mut team] {
                    match step % 7 {
                        3 => envs.step_rows(&some, &actions),
                        5 => envs.reset_row(rows - 1, step as u64),
                        _ => envs.step(&actions),
                    }
                }
                assert_eq!(alone.observations(), team.observations());
                assert_eq!(alone.rewards(), team.rewards());
                assert_eq!(alone.terminated(), team.terminated());
                assert_eq!(alone.truncated(), team.truncated());
                assert_eq!(alone.final_observations(), team.final_observations());
                assert_eq!(alone.env(rows - 1).state(), team.env(rows - 1).state());
            }
        }
    }
}

#[test]
fn the_number_of_threads_can_change_between_steps() {
    let mut alone = with(Autoreset::SameStep);
    let mut team = with(Autoreset::SameStep);
    for threads in [2, 3, 1, 2] {
        team = team.with_threads(threads);
        for envs in [&mut alone, &mut team] {
            envs.step(&[1.0, 0.0, 1.0]);
        }
        assert_eq!(alone.observations(), team.observations());
    }
}

/// A world that panics when it is told to.
struct Fragile(Box<dyn Env>);

impl Env for Fragile {
    fn spec(&self) -> &Spec {
        self.0.spec()
    }

    fn reset(&mut self, seed: Option<u64>, observation: &mut [f64]) {
        self.0.reset(seed, observation);
    }

    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Step {
        assert!(action[0] < 2.0, "this world is broken");
        self.0.step(action, observation)
    }

    fn observe(&self, observation: &mut [f64]) {
        self.0.observe(observation);
    }

    fn state(&self) -> Vec<f64> {
        self.0.state()
    }

    fn set_state(&mut self, state: &[f64]) -> Result<(), Error> {
        self.0.set_state(state)
    }

    fn render(&self) -> Option<Frame> {
        None
    }

    fn instabilities(&self) -> u64 {
        2
    }
}

#[test]
fn a_panic_in_any_thread_reaches_the_caller_and_the_other_rows_have_moved() {
    let fragile: Vec<_> = (0..8)
        .map(|_| Fragile(make("CartPole-v1").unwrap()))
        .collect();
    let mut envs = VecEnv::from_envs(fragile, Autoreset::SameStep)
        .unwrap()
        .with_threads(3);
    assert_eq!(envs.instabilities(), 16);
    for broken in 0..8 {
        let before = envs.observations().to_vec();
        let mut actions = [0.0; 8];
        actions[broken] = 2.0;
        let caught = catch_unwind(AssertUnwindSafe(|| envs.step(&actions))).unwrap_err();
        assert_eq!(*caught.downcast::<&str>().unwrap(), "this world is broken");
        for row in 0..8 {
            let has_moved = row_of(&before, row) != row_of(envs.observations(), row);
            assert_eq!(has_moved, row != broken, "row {row}");
        }
    }
    envs.step(&[0.0; 8]);
}
