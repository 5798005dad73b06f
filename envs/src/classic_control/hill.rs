//! The track of both mountain cars: its bounds, its observations, its rendering.

use crate::{
    BoxSpace, Frame, Space,
    render::{Canvas, colour},
};

/// Smallest and largest position.
pub(super) const POSITIONS: (f64, f64) = (-1.2, 0.6);
/// Largest speed.
pub(super) const MAX_SPEED: f64 = 0.07;

/// The observation space of both mountain cars.
pub(super) fn observation_space() -> Space {
    Space::Box(BoxSpace::float32(
        &[POSITIONS.0, -MAX_SPEED],
        &[POSITIONS.1, MAX_SPEED],
    ))
}

const PIXELS_PER_UNIT: f64 = 600.0 / (POSITIONS.1 - POSITIONS.0);

/// A point of the track, `lift` pixels above the ground along the ground's normal.
fn track(position: f64, lift: f64) -> (f64, f64) {
    let (x, height) = (
        (position - POSITIONS.0) * PIXELS_PER_UNIT,
        (3.0 * position).sin() * 0.45 + 0.55,
    );
    let slope = slope_rad(position);
    (
        x - lift * slope.sin(),
        400.0 - height * PIXELS_PER_UNIT - lift * slope.cos(),
    )
}

/// The angle of the ground. The track's height is `0.45 sin 3x + 0.55`.
fn slope_rad(position: f64) -> f64 {
    (3.0 * 0.45 * (3.0 * position).cos()).atan()
}

/// The hill, the flag at `goal` and the car at `position`.
pub(super) fn draw(position: f64, goal: f64) -> Frame {
    let mut canvas = Canvas::new(600, 400);
    let ridge: Vec<(f64, f64)> = (0..=120)
        .map(|i| {
            track(
                POSITIONS.0 + (POSITIONS.1 - POSITIONS.0) * f64::from(i) / 120.0,
                0.0,
            )
        })
        .collect();
    let mut ground = ridge.clone();
    ground.extend([(600.0, 400.0), (0.0, 400.0)]);
    canvas.polygon(&ground, colour::GROUND);
    canvas.line(&ridge, 3.0, colour::LINE);

    let (flag_x, flag_y) = track(goal, 0.0);
    canvas.line(
        &[(flag_x, flag_y), (flag_x, flag_y - 52.0)],
        3.0,
        colour::DARK,
    );
    canvas.polygon(
        &[
            (flag_x, flag_y - 53.0),
            (flag_x + 26.0, flag_y - 44.0),
            (flag_x, flag_y - 35.0),
        ],
        colour::ACCENT,
    );

    let (sin, cos) = slope_rad(position).sin_cos();
    let (centre_x, centre_y) = track(position, 16.0);
    // A point of the car, `along` and `up` the slope from its middle.
    let at = |along: f64, up: f64| {
        let (along, up) = (along, up);
        (
            centre_x + along * cos - up * sin,
            centre_y - along * sin - up * cos,
        )
    };
    canvas.polygon(
        &[
            at(-22.0, -6.0),
            at(-22.0, 6.0),
            at(22.0, 6.0),
            at(22.0, -6.0),
        ],
        colour::BODY,
    );
    canvas.polygon(
        &[at(-13.0, 6.0), at(-8.0, 16.0), at(8.0, 16.0), at(13.0, 6.0)],
        colour::BODY,
    );
    for along in [-12.0, 12.0] {
        canvas.circle(at(along, -8.0), 7.5, colour::DARK);
        canvas.circle(at(along, -8.0), 2.5, colour::PAPER);
    }
    canvas.into_frame()
}
