//! Tests of vector environments.

use super::*;
use crate::classic_control::{CartPole, Pendulum};
use crate::{Frame, Step, TimeLimit, make, make_vec, random::NumpyRng};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn with(autoreset: Autoreset) -> VecEnv {
    make_vec("CartPole-v1", 3, autoreset).unwrap()
}

/// Steps to the right until a row ends; returns that row.
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
        envs.reset_row(row, 1_u64);
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
        make_vec("CartPole-v1", 0, Autoreset::NextStep).err(),
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
            let mut alone = make_vec("CartPole-v1", rows, autoreset).unwrap();
            let mut team = make_vec("CartPole-v1", rows, autoreset)
                .unwrap()
                .with_threads(threads);
            for envs in [&mut alone, &mut team] {
                envs.reset(Some(3));
            }
            for step in 0..60 {
                let actions: Vec<f64> =
                    (0..rows).map(|row| ((row + step) % 3 % 2) as f64).collect();
                // Now and then some rows alone, or a row that begins again.
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

/// An environment that panics on demand.
struct Fragile(Box<dyn Env>);

impl Env for Fragile {
    fn spec(&self) -> &Spec {
        self.0.spec()
    }

    fn reset(&mut self, seed: Option<u64>, observation: &mut [f64]) {
        self.0.reset(seed, observation);
    }

    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Step {
        assert!(action[0] < 2.0, "this environment is broken");
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
        assert_eq!(
            *caught.downcast::<&str>().unwrap(),
            "this environment is broken"
        );
        for row in 0..8 {
            let has_moved = row_of(&before, row) != row_of(envs.observations(), row);
            assert_eq!(has_moved, row != broken, "row {row}");
        }
    }
    envs.step(&[0.0; 8]);
}

/// Rows of the same environments, one by one.
fn one_by_one(id: &str, rows: usize, autoreset: Autoreset) -> VecEnv {
    fn batch<E: Env + Default + 'static>(id: &str, rows: usize) -> Box<dyn Batch> {
        let spec = std::sync::Arc::new(crate::spec(id).unwrap());
        let env = |_| TimeLimit::with_spec(E::default(), std::sync::Arc::clone(&spec));
        Box::new((0..rows).map(env).collect::<Vec<_>>())
    }
    let batch = if id == "CartPole-v1" {
        batch::<CartPole>(id, rows)
    } else {
        batch::<Pendulum>(id, rows)
    };
    VecEnv::from_batch(batch, rows, autoreset).unwrap()
}

#[test]
fn rows_in_columns_are_the_rows_one_by_one_to_the_last_bit() {
    let bits = |numbers: &[f64]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let mut rng = NumpyRng::from_seed(3);
    for id in ["CartPole-v1", "Pendulum-v1"] {
        for autoreset in [Autoreset::NextStep, Autoreset::SameStep] {
            for rows in [1, 7, 16, 23, 24, 25, 64, 75] {
                let mut ours = make_vec(id, rows, autoreset).unwrap();
                let mut theirs = one_by_one(id, rows, autoreset);
                let space = ours.spec().action_space.clone();
                let mut actions = vec![0.0; rows];
                for step in 0..450 {
                    for action in &mut actions {
                        space.sample(&mut rng, std::slice::from_mut(action));
                    }
                    // Sometimes NaN, or a torque out of range.
                    if step % 50 == 20 {
                        actions[step % rows] = [f64::NAN, -7.0, 1e300][step / 50 % 3];
                    }
                    if step % 3 == 0 {
                        let active: Vec<usize> = (0..rows).filter(|row| row % 5 != 1).collect();
                        ours.step_rows(&active, &actions);
                        theirs.step_rows(&active, &actions);
                    } else {
                        ours.step(&actions);
                        theirs.step(&actions);
                    }
                    assert_eq!(bits(ours.observations()), bits(theirs.observations()));
                    assert_eq!(bits(ours.rewards()), bits(theirs.rewards()));
                    assert_eq!(ours.terminated(), theirs.terminated());
                    assert_eq!(ours.truncated(), theirs.truncated());
                    let finals = [&ours, &theirs].map(|envs| bits(envs.final_observations()));
                    assert_eq!(finals[0], finals[1]);
                    for row in 0..rows {
                        let states = [&ours, &theirs].map(|envs| bits(&envs.env(row).state()));
                        assert_eq!(states[0], states[1], "{id}, row {row}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_row_that_is_named_twice_steps_twice_in_columns_too() {
    let mut ours = make_vec("Pendulum-v1", 32, Autoreset::NextStep).unwrap();
    let mut theirs = one_by_one("Pendulum-v1", 32, Autoreset::NextStep);
    let active: Vec<usize> = (0..32).chain([3]).collect();
    ours.step_rows(&active, &[0.5; 32]);
    theirs.step_rows(&active, &[0.5; 32]);
    assert_eq!(ours.observations(), theirs.observations());
}
