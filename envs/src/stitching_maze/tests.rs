#![expect(clippy::float_cmp, reason = "these numbers are exact")]

use super::{GOAL, MAX_SPEED, MAZE, REACH, START, StitchingMaze, is_blocked, middle};
use crate::random::NumpyRng;
use crate::world::Dynamics;

fn world(state: [f64; 4]) -> StitchingMaze {
    let mut world = StitchingMaze::default();
    world.restore(&state);
    world
}

#[test]
fn the_goal_is_far_from_the_start_along_two_paths() {
    assert_eq!(MAZE.way(START, GOAL).len(), 17);
    // The other way leads through the corridor on the left.
    let corner = (7, 1);
    let (there, on) = (MAZE.way(START, corner), MAZE.way(corner, GOAL));
    assert_eq!(there.len() + on.len() - 1, 21);
    assert!(
        there[..there.len() - 1]
            .iter()
            .all(|cell| !on.contains(cell))
    );
}

#[test]
fn a_push_accelerates_and_friction_decelerates() {
    let mut world = world([1.5, 1.5, 0.0, 0.0]);
    world.advance(&[1.0, 0.0]);
    assert!((world.state[2] - 0.05).abs() < 1e-12);
    assert!((world.state[0] - 1.55).abs() < 1e-12);
    world.advance(&[0.0, 0.0]);
    assert!((world.state[2] - 0.04).abs() < 1e-12);
    // A push beyond the bounds counts as the bound.
    world.advance(&[9.0, 0.0]);
    assert!((world.state[2] - (0.8 * 0.04 + 0.05)).abs() < 1e-12);
}

#[test]
fn a_wall_stops_one_axis_and_not_the_other() {
    // Below the start is a wall, to its right the corridor.
    let mut world = world([1.5, 1.8, 0.1, 0.1]);
    world.advance(&[1.0, 1.0]);
    assert_eq!(world.state[3], 0.0);
    assert!(
        (world.state[1] + 0.15 - 2.0).abs() < 1e-5,
        "{:?}",
        world.state
    );
    assert!(world.state[2] > 0.1);
    for _ in 0..3 {
        world.advance(&[0.0, 1.0]);
        assert!(!is_blocked(world.state[0], world.state[1]));
    }
}

#[test]
fn no_random_walk_enters_a_wall_or_is_too_fast() {
    let mut rng = NumpyRng::from_seed(2);
    let mut world = StitchingMaze::default();
    for _ in 0..20 {
        world.start(&mut rng);
        // Pushes that last are faster than those that change with every step.
        let mut push = [0.0; 2];
        for step in 0..2000 {
            if step % 7 == 0 {
                push = [rng.uniform(-3.0, 3.0), rng.uniform(-3.0, 3.0)];
            }
            world.advance(&push);
            let [x, y, x_speed, y_speed] = world.state;
            assert!(!is_blocked(x, y), "{:?}", world.state);
            assert!(x_speed.abs().max(y_speed.abs()) <= MAX_SPEED);
        }
    }
}

#[test]
fn the_goal_pays_one_and_ends_the_episode() {
    let (x, y) = middle(GOAL);
    let mut world = world([x, y - REACH - 0.2, 0.0, 0.0]);
    assert_eq!(world.advance(&[0.0, 0.0]), (0.0, false));
    let ends = (0..20).map(|_| world.advance(&[0.0, 1.0]));
    assert_eq!(ends.into_iter().find(|end| end.1), Some((1.0, true)));
}

#[test]
fn a_state_inside_a_wall_is_put_back_to_the_start() {
    let (x, y) = middle(START);
    assert_eq!(world([0.5, 0.5, 7.0, -7.0]).state, [x, y, 0.3, -0.3]);
    assert!(!world([1e300, -1e300, 0.0, 0.0]).draw().pixels.is_empty());
}
