use rtg_envs::{Autoreset, ids, make_vec, registry, spec};

use super::{Random, controller, laws};
use crate::policy::{Policy, Start};

/// Returns and ends (terminated) of one episode for each seed, `rows` at a time.
fn play(env_id: &str, policy: &mut dyn Policy, seeds: &[u64], rows: usize) -> Vec<(f64, bool)> {
    let mut envs = make_vec(env_id, rows, Autoreset::Disabled).unwrap();
    let width = envs.spec().action_space.width();
    let mut episodes = Vec::new();
    for seeds in seeds.chunks(rows) {
        for (row, &seed) in seeds.iter().enumerate() {
            envs.reset_row(row, seed);
            policy.begin(row, &Start { seed, target: None });
        }
        let mut active: Vec<usize> = (0..seeds.len()).collect();
        let mut actions = vec![0.0; rows * width];
        let mut returns = vec![0.0; rows];
        while !active.is_empty() {
            policy.act(&active, envs.observations(), envs.rewards(), &mut actions);
            envs.step_rows(&active, &actions);
            for &row in &active {
                let action = &actions[row * width..][..width];
                assert!(
                    envs.spec().action_space.contains(action),
                    "{env_id}: {action:?}"
                );
                returns[row] += envs.rewards()[row];
            }
            active.retain(|&row| !(envs.terminated()[row] || envs.truncated()[row]));
        }
        episodes.extend((0..seeds.len()).map(|row| (returns[row], envs.terminated()[row])));
    }
    episodes
}

fn mean(episodes: &[(f64, bool)]) -> f64 {
    episodes
        .iter()
        .map(|(episode_return, _)| episode_return)
        .sum::<f64>()
        / episodes.len() as f64
}

fn thousand() -> Vec<u64> {
    (0..1000).collect()
}

/// The environments that have a controller.
fn classic_control() -> impl Iterator<Item = &'static str> {
    ids().filter(|id| !registry::needs_mujoco(id))
}

#[test]
fn the_reference_returns_are_what_the_policies_earn() {
    for id in classic_control() {
        let reference = spec(id).unwrap().reference_returns.unwrap();
        let expert = mean(&play(
            id,
            controller(id, 0.0, 250).unwrap().as_mut(),
            &thousand(),
            250,
        ));
        assert!(
            (expert - reference.expert).abs() < 1e-6,
            "{id}: the expert earns {expert}"
        );
        let random = mean(&play(
            id,
            &mut Random::new(&spec(id).unwrap().action_space, 250),
            &thousand(),
            250,
        ));
        assert!(
            (random - reference.random).abs() < 1e-6,
            "{id}: random actions earn {random}"
        );
    }
}

#[test]
fn the_laws_solve_their_environments_from_every_start() {
    for id in classic_control() {
        let episodes = play(
            id,
            controller(id, 0.0, 250).unwrap().as_mut(),
            &thousand(),
            250,
        );
        match id {
            "CartPole-v1" => assert!(
                episodes
                    .iter()
                    .all(|&(episode_return, _)| episode_return >= 500.0)
            ),
            "Pendulum-v1" => assert!(mean(&episodes) > -150.0),
            _ => assert!(episodes.iter().all(|&(_, terminated)| terminated), "{id}"),
        }
    }
}

#[test]
fn more_noise_earns_less() {
    let seeds: Vec<u64> = (0..100).collect();
    for id in classic_control() {
        let earned = [0.0, 0.3, 1.0].map(|noise| {
            mean(&play(
                id,
                controller(id, noise, 50).unwrap().as_mut(),
                &seeds,
                50,
            ))
        });
        // With noise the controller still reaches the goal of the maze in time.
        let still_arrives = id == "StitchingMaze-v0";
        assert!(
            earned.is_sorted_by(|more, less| more > less || (still_arrives && more >= less)),
            "{id}: {earned:?}"
        );
    }
}

#[test]
fn an_episode_depends_on_its_start_and_not_on_its_row() {
    for id in classic_control() {
        let space = spec(id).unwrap().action_space;
        let forwards: Vec<u64> = (0..7).collect();
        let backwards: Vec<u64> = forwards.iter().rev().copied().collect();
        let one_by_one = |policy: &mut dyn Policy| play(id, policy, &forwards, 1);
        let together = |policy: &mut dyn Policy| {
            let mut episodes = play(id, policy, &backwards, 4);
            episodes.reverse();
            episodes
        };
        assert_eq!(
            one_by_one(&mut Random::new(&space, 1)),
            together(&mut Random::new(&space, 4)),
            "{id}"
        );
        assert_eq!(
            one_by_one(controller(id, 0.4, 1).unwrap().as_mut()),
            together(controller(id, 0.4, 4).unwrap().as_mut()),
            "{id}"
        );
    }
}

#[test]
fn an_environment_without_a_law_has_no_controller() {
    assert!(controller("Hopper-v5", 0.0, 1).is_none());
    assert!(laws::law("Hopper-v5").is_none());
}
