//! `StitchingMaze-v0`: steer a point through a maze to a goal far from the start.
//!
//! Its data ([`builtin/maze/paths`] of the workbench) contain only short walks, none of which leads
//! from the start to the goal. A policy that reaches the goal has stitched pieces of different
//! episodes, which methods that imitate whole trajectories do not learn (D4RL's `maze2d` and
//! `antmaze` were made for the same purpose, Fu et al. 2020). The layout and the physics are this
//! project's.
//!
//! | observation, state | bounds |
//! |---|---|
//! | 0, 1: x to the right and y downwards, in cells | 0 .. 9 |
//! | 2, 3: velocity, cells a step | ±0.3 |
//!
//! Actions: acceleration along x and y, each in [-1, 1]. A step is `v <- 0.8 v + 0.05 a, x <- x +
//! v`, first along x, then along y; at a wall the point stops along that axis and keeps the other.
//! The point is a square of 0.3 cells. Reward: 1 for coming within 0.5 cells of the goal, which
//! ends the episode; else 0. Start: within 0.2 cells of the middle of the start cell, at rest. The
//! goal is always the same and is not observed. The shortest path is 17 cells long, about 70 steps;
//! there is a second one of 21 cells.
//!
//! [`builtin/maze/paths`]: crate::stitching_maze

use crate::{
    BoxSpace, Frame, Space,
    maze::{Cell, Maze},
    options::Options,
    random::NumpyRng,
    render::{Canvas, colour},
    world::Dynamics,
};

/// The walls.
pub const MAZE: Maze = Maze::new(&[
    "#########",
    "#...#...#",
    "###.#.#.#",
    "#.....#.#",
    "#.#####.#",
    "#.#...#.#",
    "#.#.#...#",
    "#...#.#.#",
    "#########",
]);
/// Where episodes of the environment start.
pub const START: Cell = (1, 1);
/// The goal cell.
pub const GOAL: Cell = (7, 7);
/// Distance from the goal's middle, in cells, at which it is reached.
const REACH: f64 = 0.5;
const FRICTION: f64 = 0.8;
const THRUST: f64 = 0.05;
/// Half the width of the point.
const HALF: f64 = 0.15;
const MAX_SPEED: f64 = 0.3;
/// Largest distance of a start from its cell's middle, along each axis.
const SPREAD: f64 = 0.2;

/// x, y and the velocities along them.
#[derive(Clone, Debug, Default)]
pub struct StitchingMaze {
    state: [f64; 4],
}

/// The middle of a cell, (x, y).
pub fn middle((row, column): Cell) -> (f64, f64) {
    (column as f64 + 0.5, row as f64 + 0.5)
}

/// The cell around a point.
pub fn cell(x: f64, y: f64) -> Cell {
    (y.max(0.0) as usize, x.max(0.0) as usize)
}

/// A state at rest near the middle of a cell.
pub fn rest_near(place: Cell, rng: &mut NumpyRng) -> [f64; 4] {
    let (x, y) = middle(place);
    let mut near = |number: f64| number + rng.uniform(-SPREAD, SPREAD);
    [near(x), near(y), 0.0, 0.0]
}

/// Whether the point's square would overlap a wall.
fn is_blocked(x: f64, y: f64) -> bool {
    [(-HALF, -HALF), (-HALF, HALF), (HALF, -HALF), (HALF, HALF)]
        .iter()
        .any(|(across, down)| !MAZE.is_open(cell(x + across, y + down)))
}

/// The position next to the wall that a move along one axis hits.
fn beside_the_wall(from: f64, speed: f64) -> f64 {
    /// So that the square does not touch the wall.
    const GAP: f64 = 1e-6;
    if speed > 0.0 {
        (from + HALF + speed).floor() - HALF - GAP
    } else {
        (from - HALF + speed).ceil() + HALF + GAP
    }
}

/// There are no options.
impl Options for StitchingMaze {}

impl Dynamics for StitchingMaze {
    const ID: &'static str = "StitchingMaze-v0";
    const STEPS_PER_SECOND: f64 = 15.0;

    fn spaces() -> (Space, Space) {
        let (rows, columns) = MAZE.size();
        let high = [columns as f64, rows as f64, MAX_SPEED, MAX_SPEED];
        (
            Space::Box(BoxSpace::float32(
                &[0.0, 0.0, -MAX_SPEED, -MAX_SPEED],
                &high,
            )),
            Space::Box(BoxSpace::float32(&[-1.0; 2], &[1.0; 2])),
        )
    }

    fn start(&mut self, rng: &mut NumpyRng) {
        self.state = rest_near(START, rng);
    }

    #[inline]
    fn advance(&mut self, action: &[f64]) -> (f64, bool) {
        let [mut x, mut y, mut x_speed, mut y_speed] = self.state;
        let pushed = |speed: f64, push: f64| {
            let push = f64::from(push as f32).clamp(-1.0, 1.0);
            FRICTION * speed + THRUST * push
        };
        x_speed = pushed(x_speed, action[0]);
        y_speed = pushed(y_speed, action[1]);
        if is_blocked(x + x_speed, y) {
            x = beside_the_wall(x, x_speed);
            x_speed = 0.0;
        }
        x += x_speed;
        if is_blocked(x, y + y_speed) {
            y = beside_the_wall(y, y_speed);
            y_speed = 0.0;
        }
        y += y_speed;
        self.state = [x, y, x_speed, y_speed];
        let (goal_x, goal_y) = middle(GOAL);
        let is_there = (x - goal_x).hypot(y - goal_y) <= REACH;
        (f64::from(is_there), is_there)
    }

    #[inline]
    fn observe(&self, observation: &mut [f64]) {
        observation.copy_from_slice(&self.state.map(|number| f64::from(number as f32)));
    }

    fn state(&self) -> &[f64] {
        &self.state
    }

    /// A point inside a wall is reset to the start, a speed beyond the bounds becomes the bound.
    fn restore(&mut self, state: &[f64]) {
        let (mut x, mut y) = (state[0], state[1]);
        if is_blocked(x, y) {
            (x, y) = middle(START);
        }
        let [x_speed, y_speed] =
            [state[2], state[3]].map(|speed| speed.clamp(-MAX_SPEED, MAX_SPEED));
        self.state = [x, y, x_speed, y_speed];
    }

    fn draw(&self) -> Frame {
        const CELL: f64 = 48.0;
        let (rows, columns) = MAZE.size();
        let at = |x: f64, y: f64| (x * CELL, y * CELL);
        let mut canvas = Canvas::new(columns as u32 * 48, rows as u32 * 48);
        for row in 0..rows {
            for column in 0..columns {
                if !MAZE.is_open((row, column)) {
                    let (x, y) = middle((row, column));
                    let size = (CELL + 1.0, CELL + 1.0);
                    canvas.rounded_rectangle(at(x, y), size, 1.0, colour::LINE);
                }
            }
        }
        let (x, y) = middle(START);
        canvas.ring(at(x, y), SPREAD * CELL, 2.0, colour::LINE);
        let (x, y) = middle(GOAL);
        canvas.ring(at(x, y), REACH * CELL - 2.0, 3.0, colour::ACCENT);
        canvas.circle(at(x, y), 4.0, colour::ACCENT);
        let [x, y, x_speed, y_speed] = self.state;
        canvas.line(
            &[at(x, y), at(x + 4.0 * x_speed, y + 4.0 * y_speed)],
            4.0,
            colour::DARK,
        );
        canvas.circle(at(x, y), HALF * CELL, colour::BODY);
        canvas.into_frame()
    }
}

#[cfg(test)]
mod tests;
