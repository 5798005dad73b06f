//! Draws a simulation from its bodies' shapes, in parallel projection, far shapes first.

use super::{
    library::Pose,
    scene::{Geom, Scene},
};
use crate::{
    Frame,
    render::{Canvas, colour},
};
use std::cmp::Reverse;

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 400.0;
/// Colours of limbs, and of further bodies such as targets, in turn.
const LIMBS: [colour::Rgb; 2] = [colour::ACCENT, colour::DARK];
const THINGS: [colour::Rgb; 2] = [colour::DARK, colour::LINE];

type Vector = [f64; 3];

/// The camera of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// The direction of view around the vertical: 0 looks along x, 90 along y, so that x is to the
    /// right.
    pub azimuth_deg: f64,
    /// The direction of view against the horizon: 0 looks from the side, -90 from above.
    pub elevation_deg: f64,
    /// The point in the middle of the picture, in metres.
    pub target: [f64; 3],
    /// Whether the target's x and y are relative to the first body.
    pub follows: bool,
    /// Metres from the left edge to the right.
    pub width: f64,
}

impl Camera {
    /// A view from the side, x to the right, that follows the first body; `height` is in the
    /// middle.
    pub const fn beside(height: f64, width: f64) -> Self {
        Self {
            azimuth_deg: 90.0,
            elevation_deg: 0.0,
            target: [0.0, 0.0, height],
            follows: true,
            width,
        }
    }

    /// A fixed view from above, x to the right and y upwards.
    pub const fn above(x: f64, y: f64, width: f64) -> Self {
        Self {
            azimuth_deg: 90.0,
            elevation_deg: -90.0,
            target: [x, y, 0.0],
            follows: false,
            width,
        }
    }
}

/// A camera's axes in world coordinates.
struct View {
    target: Vector,
    right: Vector,
    up: Vector,
    forward: Vector,
    pixels_per_metre: f64,
    /// Metres between the marks on the floor.
    marks: f64,
}

impl View {
    fn new(camera: Camera, first: Vector) -> Self {
        let (sin_a, cos_a) = camera.azimuth_deg.to_radians().sin_cos();
        let (sin_e, cos_e) = camera.elevation_deg.to_radians().sin_cos();
        let mut target = camera.target;
        if camera.follows {
            target[0] += first[0];
            target[1] += first[1];
        }
        Self {
            target,
            right: [sin_a, -cos_a, 0.0],
            up: [-sin_e * cos_a, -sin_e * sin_a, cos_e],
            forward: [cos_e * cos_a, cos_e * sin_a, sin_e],
            pixels_per_metre: WIDTH / camera.width,
            marks: if camera.width < 3.0 { 0.25 } else { 1.0 },
        }
    }

    /// Where a point is in the picture, in pixels, y downwards.
    fn project(&self, point: Vector) -> (f64, f64) {
        let from_target = super::arithmetic::difference(point, self.target);
        (
            WIDTH / 2.0 + self.pixels_per_metre * dot(from_target, self.right),
            HEIGHT / 2.0 - self.pixels_per_metre * dot(from_target, self.up),
        )
    }
}

fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The picture of a model's bodies in these poses; none if the model cannot be read or has other
/// bodies.
pub(super) fn draw(mjcf: &str, poses: &[Pose], camera: Camera) -> Option<Frame> {
    let scene = Scene::parse(mjcf).filter(|scene| scene.parents.len() == poses.len())?;
    let view = View::new(camera, poses.get(1)?.origin);
    let mut canvas = Canvas::new(WIDTH as u32, HEIGHT as u32);
    if let Some(floor) = scene.floor {
        draw_floor(&mut canvas, &view, floor);
    }
    let mut shapes: Vec<_> = (scene.geoms.iter())
        .map(|geom| {
            let ends = geom.ends.map(|end| in_world(poses[geom.body], end));
            let depth = dot(ends[0], view.forward) + dot(ends[1], view.forward);
            // Micrometres: shapes at practically equal distance keep the model's order.
            (Reverse((1e6 * depth) as i64), geom, ends)
        })
        .collect();
    shapes.sort_by_key(|shape| shape.0);
    for (_, geom, ends) in shapes {
        let [a, b] = ends.map(|end| view.project(end));
        let width = 2.0 * geom.radius * view.pixels_per_metre;
        let rim = width + 2.0;
        for (width, colour) in [(rim, colour::PAPER), (width, colour_of(&scene, geom))] {
            if (a.0 - b.0).hypot(a.1 - b.1) < 0.01 {
                canvas.circle(a, width / 2.0, colour);
            } else {
                canvas.line(&[a, b], width, colour);
            }
        }
    }
    Some(canvas.into_frame())
}

fn in_world(pose: Pose, point: Vector) -> Vector {
    std::array::from_fn(|i| {
        let row = [pose.axes[3 * i], pose.axes[3 * i + 1], pose.axes[3 * i + 2]];
        pose.origin[i] + dot(row, point)
    })
}

/// The trunk is the first body and those below it up to a branch; each branch is a limb.
fn colour_of(scene: &Scene, geom: &Geom) -> colour::Rgb {
    let children =
        |parent: usize| (1..scene.parents.len()).filter(move |&body| scene.parents[body] == parent);
    let place = |body: usize| children(scene.parents[body]).position(|child| child == body);
    let branches = |body: usize| {
        (1..scene.parents.len())
            .any(|other| scene.is_below(other, body) && children(other).count() > 1)
    };
    if geom.body == 0 {
        return colour::LINE;
    }
    let mut body = geom.body;
    if !scene.is_below(body, 1) {
        while scene.parents[body] != 0 {
            body = scene.parents[body];
        }
        return THINGS[(place(body).unwrap_or(1) - 1) % THINGS.len()];
    }
    if body == 1 || branches(body) {
        return colour::BODY;
    }
    while scene.parents[body] != 1 && !branches(scene.parents[body]) {
        body = scene.parents[body];
    }
    LIMBS[place(body).unwrap_or(0) % LIMBS.len()]
}

/// The floor with marks at fixed places, so that motion can be seen.
fn draw_floor(canvas: &mut Canvas, view: &View, height: f64) {
    // The lower the camera, the further away the floor is seen.
    let metres = WIDTH / view.pixels_per_metre / view.forward[2].abs().max(0.1);
    let reach = (metres / view.marks).ceil();
    let mark = |i: usize, n: f64| ((view.target[i] / view.marks).round() + n) * view.marks;
    let marks = |i: usize| (-(reach as i64)..=reach as i64).map(move |n| mark(i, n as f64));
    let ends = |i: usize| [mark(i, -reach), mark(i, reach)];
    let pixels = |[x, y]: [f64; 2]| view.project([x, y, height]);
    if view.forward[2].abs() < 1e-9 {
        let (_, level) = pixels([view.target[0], view.target[1]]);
        let ground = [(0.0, level), (WIDTH, level), (WIDTH, HEIGHT), (0.0, HEIGHT)];
        if level < HEIGHT {
            canvas.polygon(&ground, colour::GROUND);
        }
        for x in marks(0) {
            for (x, depth) in [(x, 22.0), (x + view.marks / 2.0, 10.0)] {
                let (across, _) = pixels([x, view.target[1]]);
                canvas.line(
                    &[(across, level), (across, level + depth)],
                    2.0,
                    colour::LINE,
                );
            }
        }
        canvas.line(&ground[..2], 3.0, colour::LINE);
        return;
    }
    let ([left, right], [near, far]) = (ends(0), ends(1));
    let corners = [[left, near], [right, near], [right, far], [left, far]];
    canvas.polygon(&corners.map(pixels), colour::GROUND);
    for x in marks(0) {
        canvas.line(&[[x, near], [x, far]].map(pixels), 1.5, colour::PAPER);
    }
    for y in marks(1) {
        canvas.line(&[[left, y], [right, y]].map(pixels), 1.5, colour::PAPER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = r#"<mujoco>
      <default><geom type="capsule" size="0.1"/></default>
      <worldbody>
        <geom type="plane"/>
        <body><geom fromto="0 0 -0.3 0 0 0.3"/>
          <body><geom fromto="0 0 0 0.5 0 0"/></body>
          <body><geom fromto="0 1 0 0.5 1 0"/></body>
        </body>
        <body><geom type="sphere"/></body>
      </worldbody>
    </mujoco>"#;
    const UPRIGHT: [f64; 9] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    /// Upside down around y.
    const OVER: [f64; 9] = [-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0];

    fn poses(x: f64, axes: [f64; 9]) -> Vec<Pose> {
        [
            [0.0; 3],
            [x, 0.0, 1.0],
            [x, 0.0, 1.0],
            [x, 0.0, 1.0],
            [-1.0, 0.0, 1.5],
        ]
        .map(|origin| Pose { origin, axes })
        .to_vec()
    }

    /// The colour at a place of the picture: metres to the right of its middle and upwards, of 6.
    fn at(frame: &Frame, across: f64, up: f64) -> colour::Rgb {
        let (x, y) = (300.0 + 100.0 * across, 200.0 - 100.0 * up);
        frame.pixel(x as usize, y as usize).unwrap()
    }

    #[test]
    fn shapes_are_where_their_bodies_are_and_near_ones_hide_far_ones() {
        let camera = Camera::beside(1.0, 6.0);
        let frame = draw(MODEL, &poses(0.0, UPRIGHT), camera).unwrap();
        assert_eq!((frame.width, frame.height), (600, 400));
        assert_eq!(at(&frame, 0.0, 0.35), colour::BODY);
        // Two arms behind each other, the nearer one has the smaller y.
        assert_eq!(at(&frame, 0.4, 0.0), LIMBS[0]);
        assert_eq!(at(&frame, -1.0, 0.5), THINGS[0]);
        assert_eq!(at(&frame, 2.0, 0.5), colour::PAPER);
        assert_eq!(at(&frame, 2.2, -1.5), colour::GROUND);
        let frame = draw(MODEL, &poses(0.0, OVER), camera).unwrap();
        assert_eq!(at(&frame, 0.4, 0.0), colour::PAPER);
        assert_eq!(at(&frame, -0.4, 0.0), LIMBS[0]);
        let above = draw(MODEL, &poses(0.0, UPRIGHT), Camera::above(0.0, 0.0, 6.0)).unwrap();
        assert_eq!(at(&above, 0.4, 1.0), LIMBS[1]);
        assert_eq!(at(&above, -1.0, 0.0), THINGS[0]);
    }

    #[test]
    fn the_camera_follows_and_the_marks_show_the_motion() {
        let camera = Camera::beside(1.0, 6.0);
        let [here, there] = [0.0, 0.3].map(|x| draw(MODEL, &poses(x, UPRIGHT), camera).unwrap());
        assert_eq!(at(&there, 0.0, 0.35), colour::BODY);
        assert_eq!(at(&there, -1.3, 0.5), THINGS[0]);
        assert_eq!(
            [at(&here, 1.0, -1.1), at(&there, 1.0, -1.1)],
            [colour::LINE, colour::GROUND]
        );
        assert_eq!(at(&there, 0.7, -1.1), colour::LINE);
        let still = Camera {
            follows: false,
            ..camera
        };
        let frame = draw(MODEL, &poses(0.3, UPRIGHT), still).unwrap();
        assert_eq!(at(&frame, 0.3, 0.35), colour::BODY);
    }

    #[test]
    fn poses_of_another_model_draw_nothing() {
        let camera = Camera::beside(1.0, 6.0);
        assert!(draw(MODEL, &poses(0.0, UPRIGHT)[..4], camera).is_none());
        assert!(draw("no XML", &[], camera).is_none());
    }
}
