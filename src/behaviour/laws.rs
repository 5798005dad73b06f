//! Hand-written control laws: from an observation to an action, without memory and without
//! learning.
//!
//! Each solves its environment from every start state; the mean returns over 1000 episodes are the
//! experts' reference returns in the registry.

use rtg_envs::maze::Cell;
use rtg_envs::stitching_maze::{self, MAZE};

/// From an observation to an action. Continuous ones are float32 values within their bounds.
#[derive(Clone, Copy)]
pub enum ControlLaw {
    /// An action of one number.
    One(fn(&[f64]) -> f64),
    /// An action of two.
    Two(fn(&[f64]) -> [f64; 2]),
}

impl ControlLaw {
    /// Writes the action for an observation.
    pub fn act(self, observation: &[f64], action: &mut [f64]) {
        match self {
            Self::One(law) => action.copy_from_slice(&[law(observation)]),
            Self::Two(law) => action.copy_from_slice(&law(observation)),
        }
    }
}

/// The law for an environment, if there is one.
pub fn law(env_id: &str) -> Option<ControlLaw> {
    match env_id {
        "CartPole-v1" => Some(ControlLaw::One(cartpole)),
        "MountainCar-v0" => Some(ControlLaw::One(mountain_car)),
        "MountainCarContinuous-v0" => Some(ControlLaw::One(mountain_car_continuous)),
        "Acrobot-v1" => Some(ControlLaw::One(acrobot)),
        "Pendulum-v1" => Some(ControlLaw::One(pendulum)),
        "KeyToDoor-v0" => Some(ControlLaw::One(key_to_door)),
        "StitchingMaze-v0" => Some(ControlLaw::Two(stitching_maze)),
        _ => None,
    }
}

/// Linear feedback: push to the side to which the pole leans and falls; the small weights on the
/// cart bring it back to the middle, because pushing outwards first tilts the pole inwards.
/// Balances all 500 steps.
pub fn cartpole(observation: &[f64]) -> f64 {
    let &[x, x_dot, theta, theta_dot] = observation else {
        return 0.0;
    };
    f64::from(theta + 0.4 * theta_dot + 0.05 * x + 0.1 * x_dot > 0.0)
}

/// Pump energy by pushing the way the car moves, but turn around a little early on the left slope,
/// where the run-up is already long enough: push right when the velocity is above a curve over the
/// position. The curve was found by random search; the car needs 83 to 116 steps.
pub fn mountain_car(observation: &[f64]) -> f64 {
    let &[position, velocity] = observation else {
        return 1.0;
    };
    let offset = position + 0.5;
    if velocity > -0.0011 + 0.0214 * offset - 0.0342 * offset * offset {
        2.0
    } else {
        0.0
    }
}

/// Pump energy gently: effort costs its square and time costs nothing, so a fifth of full throttle
/// in the direction of motion beats haste.
pub fn mountain_car_continuous(observation: &[f64]) -> f64 {
    let &[_, velocity] = observation else {
        return 0.0;
    };
    f64::from(0.2_f32.copysign(velocity as f32))
}

/// Pump energy through the elbow: torque in the direction in which the elbow moves against the
/// shoulder, shifted by the lean of the first link so that the second is thrown upwards as the
/// first comes up. The weights were found by random search.
pub fn acrobot(observation: &[f64]) -> f64 {
    let &[_, sin1, _, _, velocity1, velocity2] = observation else {
        return 1.0;
    };
    if velocity2 - 0.5 * velocity1 + 2.5 * sin1 > 0.0 {
        2.0
    } else {
        0.0
    }
}

/// Swing up by energy, hold by linear feedback. Far from the top, the torque drives the energy
/// `θ̇²/2 + 15 (cos θ - 1)` to 0, that of resting upright; within 37 degrees of it, a spring and a
/// damper take over (K. J. Åström, K. Furuta, "Swinging up a pendulum by energy control", 2000).
pub fn pendulum(observation: &[f64]) -> f64 {
    let &[cos, sin, velocity] = observation else {
        return 0.0;
    };
    let torque = if cos > 0.8 {
        -(10.0 * sin + 2.5 * velocity)
    } else {
        let energy = velocity * velocity / 2.0 + 15.0 * (cos - 1.0);
        (-energy).copysign(-energy * velocity)
    };
    f64::from(torque.clamp(-2.0, 2.0) as f32)
}

/// Walk to the object in the room, along the rows first; where there is none, walk right. It needs
/// no memory: the observed key or door is the whole task.
pub fn key_to_door(observation: &[f64]) -> f64 {
    let &[_, _, _, down, right] = observation else {
        return 0.0;
    };
    if down < 0.0 {
        0.0
    } else if down > 0.0 {
        1.0
    } else if right < 0.0 {
        2.0
    } else {
        3.0
    }
}

/// The shortest path to the goal.
pub fn stitching_maze(observation: &[f64]) -> [f64; 2] {
    toward(stitching_maze::GOAL, observation)
}

/// In the maze of `StitchingMaze-v0`: follows the shortest path to a cell, from the middle of one
/// cell to the middle of the next, by a spring and a damper.
pub fn toward(goal: Cell, observation: &[f64]) -> [f64; 2] {
    let &[x, y, x_speed, y_speed] = observation else {
        return [0.0; 2];
    };
    let way = MAZE.way(stitching_maze::cell(x, y), goal);
    let (goal_x, goal_y) = stitching_maze::middle(way.get(1).copied().unwrap_or(goal));
    let push = |distance: f64, speed: f64| {
        f64::from((3.0 * distance - 4.0 * speed).clamp(-1.0, 1.0) as f32)
    };
    [push(goal_x - x, x_speed), push(goal_y - y, y_speed)]
}
