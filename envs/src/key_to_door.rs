//! `KeyToDoor-v0`: pick up a key, cross an empty room, open a door. One reward, at the very end.
//!
//! The task of the Decision Transformer paper's section on long-term credit assignment (Chen et al.
//! 2021, after Mesnard et al. 2020), for which no code was published. An episode has three phases
//! of fixed length, each in its own room:
//!
//! 1. a room with a key: entering the key's cell picks it up;
//! 2. an empty room, where nothing can be done;
//! 3. a room with a door: entering the door's cell ends the episode, with reward 1 if the key was
//!    picked up and 0 if not. Every other reward is 0.
//!
//! After the last step of a phase the agent is in the next room, whatever its actions.
//!
//! | observation | values |
//! |---|---|
//! | 0: the room | 0, 1, 2 |
//! | 1, 2: row and column of the agent | 0 .. 4 |
//! | 3, 4: rows down and columns right from the agent to the object in this room, the key or the door | -4 .. 4; both 0 if there is no object |
//!
//! Objects are observed relative to the agent, as in Mesnard et al. 2020. A key that was picked up
//! is gone, which the observation of the first room shows. The other two do not show whether the
//! agent has the key: a new start cell is drawn in each room and phases never end early, so nothing
//! there depends on it. The reward for the first room's walk comes 8 to 16 steps after the key was
//! last seen.
//!
//! Actions: 0 up (row - 1), 1 down, 2 left (column - 1), 3 right; at a wall the agent stays. Start:
//! all cells uniform, key and door not where the agent starts in their rooms.
//!
//! # Sizes, and why
//!
//! The paper does not state them, only that uniformly random actions succeed in 3.1 % of the
//! episodes. Here each room has 5 x 5 cells and each phase 8 steps, the fewest in which an agent
//! can walk from any cell to any other. There are no other parameters, and random actions then
//! succeed in 3.15 % of the episodes (exactly, from the Markov chain over the cells; a test
//! computes it). Over the 100,000 episodes with seeds 0 to 99999 it is 3.21 ± 0.06 %: `cargo run
//! --release -p rtg-envs --example random_return -- KeyToDoor-v0 100000`.
//!
//! The observation determines how hard it is to learn from few successes: the offset to the key is
//! easier than the key's row and column, the other natural choice.

use crate::{
    BoxSpace, Frame, Space,
    options::Options,
    random::NumpyRng,
    render::{Canvas, colour},
    world::{Dynamics, choice},
};

/// Rows and columns of a room.
const SIDE: i64 = 5;
/// Steps in each room: the distance between opposite corners.
const STEPS_IN_A_ROOM: i64 = 2 * (SIDE - 1);
const ROOMS: i64 = 3;
/// Steps of an episode in which the door stays shut.
pub(crate) const STEPS: usize = (ROOMS * STEPS_IN_A_ROOM) as usize;

// Places in the state.
const CLOCK: usize = 0;
const HAS_KEY: usize = 1;
const AGENT: usize = 2;
const KEY: usize = 4;
const DOOR: usize = 6;
/// Where the agent will enter the second and the third room.
const ENTRANCES: usize = 8;

/// Steps so far, 1 for the key in hand, then the cells (row, column) of the agent, the key, the
/// door and the two entrances.
#[derive(Clone, Debug, Default)]
pub struct KeyToDoor {
    state: [f64; 12],
}

impl KeyToDoor {
    fn cell(&self, place: usize) -> [f64; 2] {
        [self.state[place], self.state[place + 1]]
    }

    fn put(&mut self, place: usize, cell: [f64; 2]) {
        self.state[place..place + 2].copy_from_slice(&cell);
    }

    fn room(&self) -> i64 {
        (self.state[CLOCK] as i64 / STEPS_IN_A_ROOM).min(ROOMS - 1)
    }

    fn has_key(&self) -> bool {
        self.state[HAS_KEY] > 0.0
    }

    #[expect(clippy::float_cmp, reason = "cells are whole numbers")]
    fn is_at(&self, place: usize) -> bool {
        self.cell(AGENT) == self.cell(place)
    }

    /// The offset from the agent's cell to the object in its room.
    fn in_sight(&self) -> [f64; 2] {
        let thing = match self.room() {
            0 if !self.has_key() => self.cell(KEY),
            2 => self.cell(DOOR),
            _ => return [0.0, 0.0],
        };
        let agent = self.cell(AGENT);
        [thing[0] - agent[0], thing[1] - agent[1]]
    }
}

/// The cell with this number, counted along the rows.
fn cell(number: i64) -> [f64; 2] {
    [(number / SIDE) as f64, (number % SIDE) as f64]
}

/// Two different cells.
fn two_cells(rng: &mut NumpyRng) -> [[f64; 2]; 2] {
    let first = rng.integers(0, SIDE * SIDE);
    let other = rng.integers(0, SIDE * SIDE - 1);
    [cell(first), cell(other + i64::from(other >= first))]
}

/// There are no options.
impl Options for KeyToDoor {}

impl Dynamics for KeyToDoor {
    const ID: &'static str = "KeyToDoor-v0";
    /// A video shows each cell for a while.
    const STEPS_PER_SECOND: f64 = 4.0;

    fn spaces() -> (Space, Space) {
        let (room, last) = ((ROOMS - 1) as f64, (SIDE - 1) as f64);
        (
            Space::Box(BoxSpace::float32(
                &[0.0, 0.0, 0.0, -last, -last],
                &[room, last, last, last, last],
            )),
            Space::Discrete { n: 4, start: 0 },
        )
    }

    fn start(&mut self, rng: &mut NumpyRng) {
        self.state = [0.0; 12];
        let [agent, key] = two_cells(rng);
        let second = cell(rng.integers(0, SIDE * SIDE));
        let [third, door] = two_cells(rng);
        self.put(AGENT, agent);
        self.put(KEY, key);
        self.put(DOOR, door);
        self.put(ENTRANCES, second);
        self.put(ENTRANCES + 2, third);
    }

    #[inline]
    fn advance(&mut self, action: &[f64]) -> (f64, bool) {
        let (axis, change) = match choice(action[0], 4) {
            0 => (0, -1.0),
            1 => (0, 1.0),
            2 => (1, -1.0),
            _ => (1, 1.0),
        };
        let room = self.room();
        let number = &mut self.state[AGENT + axis];
        *number = (*number + change).clamp(0.0, (SIDE - 1) as f64);
        self.state[CLOCK] += 1.0;
        match room {
            0 if self.is_at(KEY) => self.state[HAS_KEY] = 1.0,
            2 if self.is_at(DOOR) => return (self.state[HAS_KEY], true),
            _ => {}
        }
        if self.room() > room {
            self.put(AGENT, self.cell(ENTRANCES + 2 * room as usize));
        }
        (0.0, false)
    }

    #[inline]
    fn observe(&self, observation: &mut [f64]) {
        observation[0] = self.room() as f64;
        observation[1..3].copy_from_slice(&self.cell(AGENT));
        observation[3..5].copy_from_slice(&self.in_sight());
    }

    fn state(&self) -> &[f64] {
        &self.state
    }

    /// Out-of-range numbers count as the nearest valid ones.
    fn restore(&mut self, state: &[f64]) {
        for (place, (own, &given)) in self.state.iter_mut().zip(state).enumerate() {
            let largest = match place {
                CLOCK => STEPS as f64,
                HAS_KEY => 1.0,
                _ => (SIDE - 1) as f64,
            };
            *own = given.round().clamp(0.0, largest);
        }
    }

    fn draw(&self) -> Frame {
        let mut canvas = Canvas::new(600, 240);
        for room in 0..ROOMS {
            Picture::new(room).floor(&mut canvas, room == self.room());
        }
        let (first, last) = (Picture::new(0), Picture::new(ROOMS - 1));
        let key = first.middle(self.cell(KEY));
        if self.has_key() {
            canvas.ring(key, 8.0, 2.0, colour::LINE);
        } else {
            draw_key(&mut canvas, key);
        }
        last.door(&mut canvas, self.cell(DOOR));
        let here = Picture::new(self.room()).middle(self.cell(AGENT));
        canvas.circle(here, 12.0, colour::BODY);
        if self.has_key() {
            canvas.circle((here.0 + 3.0, here.1 - 13.0), 13.0, colour::PAPER);
            draw_key(&mut canvas, (here.0 + 3.0, here.1 - 13.0));
        }
        canvas.into_frame()
    }
}

/// The position of a room in the picture.
struct Picture {
    left: f64,
}

impl Picture {
    const TOP: f64 = 30.0;
    const CELL: f64 = 36.0;
    const WIDTH: f64 = SIDE as f64 * Self::CELL;

    fn new(room: i64) -> Self {
        Self {
            left: 12.0 + room as f64 * (Self::WIDTH + 18.0),
        }
    }

    fn middle(&self, [row, column]: [f64; 2]) -> (f64, f64) {
        (
            self.left + (column + 0.5) * Self::CELL,
            Self::TOP + (row + 0.5) * Self::CELL,
        )
    }

    /// The cells, with a frame around the room where the agent is.
    fn floor(&self, canvas: &mut Canvas, is_here: bool) {
        let middle = self.middle([2.0, 2.0]);
        let frame = if is_here { colour::DARK } else { colour::LINE };
        for (grow, corner, colour) in [(10.0, 8.0, frame), (4.0, 5.0, colour::PAPER)] {
            let size = (Self::WIDTH + grow, Self::WIDTH + grow);
            canvas.rounded_rectangle(middle, size, corner, colour);
        }
        for number in 0..SIDE * SIDE {
            let size = (Self::CELL - 2.0, Self::CELL - 2.0);
            canvas.rounded_rectangle(self.middle(cell(number)), size, 4.0, colour::GROUND);
        }
    }

    fn door(&self, canvas: &mut Canvas, cell: [f64; 2]) {
        let (x, y) = self.middle(cell);
        canvas.rounded_rectangle((x, y), (20.0, 30.0), 3.0, colour::DARK);
        canvas.circle((x + 5.0, y + 1.0), 2.5, colour::ACCENT);
    }
}

fn draw_key(canvas: &mut Canvas, (x, y): (f64, f64)) {
    canvas.ring((x - 5.0, y), 5.0, 3.0, colour::ACCENT);
    canvas.line(
        &[(x, y), (x + 9.0, y), (x + 9.0, y + 5.0)],
        3.0,
        colour::ACCENT,
    );
    canvas.line(&[(x + 5.0, y), (x + 5.0, y + 4.0)], 3.0, colour::ACCENT);
}

#[cfg(test)]
mod tests;
