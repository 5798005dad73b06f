#![expect(clippy::float_cmp, reason = "cells are whole numbers")]

use super::{KeyToDoor, SIDE, STEPS, STEPS_IN_A_ROOM};
use crate::world::Dynamics;
use crate::{Env, make, random::NumpyRng};

const UP: f64 = 0.0;
const DOWN: f64 = 1.0;
const LEFT: f64 = 2.0;
const RIGHT: f64 = 3.0;

/// An environment: agent, key and door in these cells, entering the later rooms at (2, 2).
fn world(agent: [f64; 2], key: [f64; 2], door: [f64; 2]) -> KeyToDoor {
    let mut state = [2.0; 12];
    state[..2].fill(0.0);
    for (place, cell) in [(2, agent), (4, key), (6, door)] {
        state[place..place + 2].copy_from_slice(&cell);
    }
    let mut world = KeyToDoor::default();
    world.restore(&state);
    world
}

fn seen(world: &KeyToDoor) -> [f64; 5] {
    let mut observation = [0.0; 5];
    world.observe(&mut observation);
    observation
}

fn walk(world: &mut KeyToDoor, action: f64, steps: i64) -> (f64, bool) {
    (0..steps).fold((0.0, false), |_, _| world.advance(&[action]))
}

#[test]
fn the_agent_moves_by_one_cell_and_stays_at_walls() {
    let mut world = world([0.0, 0.0], [4.0, 4.0], [4.0, 4.0]);
    for (action, cell) in [
        (UP, [0.0, 0.0]),
        (LEFT, [0.0, 0.0]),
        (RIGHT, [0.0, 1.0]),
        (DOWN, [1.0, 1.0]),
        (LEFT, [1.0, 0.0]),
        (UP, [0.0, 0.0]),
    ] {
        assert_eq!(world.advance(&[action]), (0.0, false));
        assert_eq!(seen(&world)[1..3], cell);
    }
}

#[test]
fn objects_are_observed_relative_to_the_agent() {
    let mut world = world([3.0, 1.0], [1.0, 4.0], [4.0, 4.0]);
    assert_eq!(seen(&world)[3..], [-2.0, 3.0]);
    world.advance(&[UP]);
    assert_eq!(seen(&world)[3..], [-1.0, 3.0]);
    world.advance(&[LEFT]);
    assert_eq!(seen(&world)[3..], [-1.0, 4.0]);
}

#[test]
fn picking_up_the_key_removes_it_without_reward() {
    let mut world = world([0.0, 0.0], [0.0, 1.0], [4.0, 4.0]);
    assert_eq!(seen(&world), [0.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(world.advance(&[RIGHT]), (0.0, false));
    assert_eq!(seen(&world), [0.0, 0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn the_door_pays_one_with_the_key_and_ends_the_episode_either_way() {
    for (first, reward) in [(RIGHT, 1.0), (DOWN, 0.0)] {
        let mut world = world([0.0, 0.0], [0.0, 1.0], [2.0, 4.0]);
        world.advance(&[first]);
        assert_eq!(walk(&mut world, UP, 2 * STEPS_IN_A_ROOM - 1), (0.0, false));
        assert_eq!(seen(&world), [2.0, 2.0, 2.0, 0.0, 2.0]);
        assert_eq!(walk(&mut world, RIGHT, 1), (0.0, false));
        assert_eq!(walk(&mut world, RIGHT, 1), (reward, true));
    }
}

#[test]
fn the_last_step_in_the_first_room_still_picks_up_the_key() {
    let mut world = world([0.0, 0.0], [0.0, 1.0], [2.0, 3.0]);
    walk(&mut world, UP, STEPS_IN_A_ROOM - 1);
    walk(&mut world, RIGHT, 1);
    assert_eq!(seen(&world)[0], 1.0);
    walk(&mut world, UP, STEPS_IN_A_ROOM);
    assert_eq!(world.advance(&[RIGHT]), (1.0, true));
}

#[test]
fn key_and_door_can_be_reached_in_their_own_rooms_only() {
    // The empty room is walked through on the cells of both.
    let mut world = world([4.0, 4.0], [2.0, 3.0], [2.0, 3.0]);
    walk(&mut world, DOWN, STEPS_IN_A_ROOM);
    assert_eq!(seen(&world), [1.0, 2.0, 2.0, 0.0, 0.0]);
    assert_eq!(world.advance(&[RIGHT]), (0.0, false));
    walk(&mut world, LEFT, STEPS_IN_A_ROOM - 1);
    assert_eq!(world.advance(&[RIGHT]), (0.0, true), "no key, no reward");
}

#[test]
fn the_later_rooms_do_not_show_whether_the_key_was_taken() {
    let observations = |first: f64| {
        let mut world = world([0.0, 0.0], [0.0, 1.0], [4.0, 4.0]);
        world.advance(&[first]);
        walk(&mut world, UP, STEPS_IN_A_ROOM - 1);
        (STEPS_IN_A_ROOM..STEPS as i64)
            .map(|_| {
                let now = seen(&world);
                world.advance(&[LEFT]);
                now
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(observations(RIGHT), observations(DOWN));
}

#[test]
fn an_episode_is_as_long_as_its_phases() {
    let mut env = make("KeyToDoor-v0").unwrap();
    assert_eq!(env.spec().max_episode_steps, Some(STEPS));
    let mut observation = [0.0; 5];
    env.reset(Some(0), &mut observation);
    // An episode ends at the door or, by the time limit, after the last phase.
    let mut length = 0;
    loop {
        length += 1;
        if env.step(&[UP], &mut observation).is_last() {
            break;
        }
    }
    assert_eq!(length, 24);
}

#[test]
fn start_cells_are_uniform_and_no_goal_is_reached_at_the_start() {
    let (mut world, mut rng) = (KeyToDoor::default(), NumpyRng::from_seed(1));
    let mut counts = [[0_u32; 25]; 5];
    let episodes = 25_000;
    for _ in 0..episodes {
        world.start(&mut rng);
        let state = world.state();
        for (counts, cell) in counts.iter_mut().zip(state[2..].chunks(2)) {
            counts[(cell[0] * SIDE as f64 + cell[1]) as usize] += 1;
        }
        assert_ne!(state[2..4], state[4..6], "the key is where the agent is");
        assert_ne!(state[6..8], state[10..12], "the door is at the entrance");
    }
    for count in counts.as_flattened() {
        assert!((850..1150).contains(count), "{counts:?}");
    }
}

#[test]
fn random_actions_succeed_in_3_15_percent_of_the_episodes() {
    // The chance of reaching one cell from another within a phase, through the environment's own
    // steps.
    let cells: Vec<[f64; 2]> = (0..SIDE * SIDE).map(super::cell).collect();
    let mut sum = 0.0;
    for &goal in &cells {
        let mut chance: Vec<f64> = cells.iter().map(|cell| f64::from(*cell == goal)).collect();
        for _ in 0..STEPS_IN_A_ROOM {
            chance = (cells.iter().zip(&chance))
                .map(|(&from, &known)| {
                    if from == goal {
                        return known;
                    }
                    let after = [UP, DOWN, LEFT, RIGHT].map(|action| {
                        let mut world = world(from, goal, goal);
                        world.advance(&[action]);
                        let to = seen(&world);
                        chance[(to[1] * SIDE as f64 + to[2]) as usize]
                    });
                    after.iter().sum::<f64>() / 4.0
                })
                .collect();
        }
        sum += chance.iter().sum::<f64>() - 1.0;
    }
    let in_one_room = sum / (25.0 * 24.0);
    let success = in_one_room * in_one_room;
    assert!((success - 0.0315).abs() < 0.00005, "{success}");
}

#[test]
fn unreachable_states_count_as_the_nearest() {
    let mut world = KeyToDoor::default();
    world.restore(&[
        1e300, 7.0, -3.0, 9.0, 0.4, 0.6, 4.2, 1e9, 2.0, 2.0, 2.0, 2.0,
    ]);
    assert_eq!(
        world.state(),
        [24.0, 1.0, 0.0, 4.0, 0.0, 1.0, 4.0, 4.0, 2.0, 2.0, 2.0, 2.0]
    );
    assert_eq!(seen(&world)[0], 2.0);
    assert!(!world.draw().pixels.is_empty());
}
