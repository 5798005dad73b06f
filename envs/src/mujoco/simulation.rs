//! The common part of the environments: stepping a model, noise, the state.

use super::{
    arithmetic::sum_of_squares,
    drawing::{self, Camera},
    installation,
    library::{Field, Model, Place, World},
};
use crate::{BoxSpace, Env, Error, Frame, Space, Spec, Step, options::Options, random::NumpyRng};
use std::{borrow::Cow, sync::Arc};

/// One task for a model: Gymnasium's constructor options as fields, and the rules that they
/// control.
pub trait Task: Options + Send {
    /// Gymnasium's id.
    const ID: &'static str;
    /// The model's time step in seconds.
    const TIME_STEP: f64;
    /// The bound of each action number, on both sides.
    const ACTION_BOUNDS: &'static [f32];
    /// The points that the task observes: a body's name and a place in that body's frame, in
    /// metres.
    const POINTS: &'static [(&'static str, [f64; 3])] = &[];
    /// The fields that it observes.
    const FIELDS: &'static [Field] = &[];
    /// The camera of its pictures.
    const CAMERA: Camera = Camera::beside(0.75, 3.2);

    /// The model, in MJCF.
    fn model(&self) -> Cow<'static, str>;

    /// Time steps of the model in one step of the environment.
    fn frame_skip(&self) -> usize;

    /// Numbers in an observation.
    fn observation_width(&self) -> usize;

    /// Perturbs the model's default start, which the slices contain.
    fn start(&self, rng: &mut NumpyRng, positions: &mut [f64], velocities: &mut [f64]);

    /// The position along x in metres: that of the first joint. Its change in a step is
    /// [`Move::x_velocity`].
    fn x(&self, seen: View) -> f64 {
        seen.positions[0]
    }

    /// Writes the observation.
    fn observe(&self, seen: View, observation: &mut [f64]);

    /// The reward of a step, and whether the episode has terminated.
    fn judge(&self, made: &Move) -> (f64, bool);
}

/// Arguments of Gymnasium's constructors for pictures only, the last one not in version 4: see
/// [`Options::PICTURE`].
pub(super) const PICTURE: &[&str] = &[
    "render_mode",
    "width",
    "height",
    "camera_id",
    "camera_name",
    "max_geom",
    "visual_options",
    "default_camera_config",
];

/// A task's view of its simulation.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The joints' positions.
    pub positions: &'a [f64],
    /// The joints' velocities.
    pub velocities: &'a [f64],
    /// The positions of [`Task::POINTS`].
    pub points: &'a [[f64; 3]],
    fields: &'a [(Field, Vec<f64>)],
}

impl<'a> View<'a> {
    /// The numbers of a field, if [`Task::FIELDS`] lists it; else none.
    pub fn field(self, field: Field) -> &'a [f64] {
        let known = self.fields.iter().find(|(known, _)| *known == field);
        known.map_or(&[], |(_, numbers)| numbers)
    }
}

/// One step of the environment, from which its reward is computed.
#[derive(Clone, Copy, Debug)]
pub struct Move<'a> {
    /// [`Task::x`] before the step.
    pub x_before: f64,
    /// [`Task::x`] after the step.
    pub x_after: f64,
    /// Seconds that the step took.
    pub duration: f64,
    /// The action before the actuators' limits.
    pub action: &'a [f32],
    /// The simulation after the step.
    pub after: View<'a>,
}

impl Move<'_> {
    /// Velocity along x over the step.
    pub fn x_velocity(&self) -> f64 {
        (self.x_after - self.x_before) / self.duration
    }

    /// The sum of the squared action numbers, in the action's own precision.
    pub fn effort(&self) -> f32 {
        sum_of_squares(self.action)
    }
}

/// An environment made of one task, still without a time limit ([`make`](crate::make) adds it).
///
/// Its state is the joints' positions, their velocities, the accelerations that the solver starts
/// from, and the points and fields that the task observes. `MuJoCo` computes the latter inside the
/// last time step, so they do not follow from the others.
pub struct MujocoEnv<T> {
    task: T,
    world: World,
    rng: NumpyRng,
    spec: Arc<Spec>,
    /// The model's start: positions and velocities.
    origin: Vec<f64>,
    /// The time, positions and velocities after the last step.
    motion: Vec<f64>,
    places: Vec<Place>,
    points: Vec<[f64; 3]>,
    fields: Vec<(Field, Vec<f64>)>,
    /// Numbers among the positions.
    joints: usize,
    action: Vec<f32>,
    control: Vec<f64>,
    instabilities: u64,
}

impl<T: Task> MujocoEnv<T> {
    /// Makes the environment, loading the library if that has not happened yet.
    pub fn new(task: T) -> Result<Self, Error> {
        let model = installation::library()?
            .compile(&task.model())
            .map_err(refused::<T>)?;
        Self::of(task, &Arc::new(model))
    }

    /// Another environment with the same model, at the start state of seed 0.
    pub fn twin(&self) -> Result<Self, Error> {
        Self::of(self.task.clone(), self.world.model())
    }

    fn of(task: T, model: &Arc<Model>) -> Result<Self, Error> {
        let world = World::new(model).map_err(refused::<T>)?;
        let places = (T::POINTS.iter())
            .map(|&(body, point)| world.place(body, point))
            .collect::<Result<Vec<_>, _>>()
            .map_err(refused::<T>)?;
        if !T::FIELDS.is_empty() {
            model.knows_fields().map_err(refused::<T>)?;
        }
        let parts = model.parts();
        let controls = model.width(parts.control);
        if controls != T::ACTION_BOUNDS.len() {
            return Err(refused::<T>(format!("it has {controls} actuators")));
        }
        let mut origin = vec![0.0; model.width(parts.start)];
        world.read(parts.start, &mut origin);
        let mut env = Self {
            spec: Arc::new(spec(&task)),
            task,
            rng: NumpyRng::from_seed(0),
            motion: vec![0.0; model.width(parts.motion)],
            points: vec![[0.0; 3]; places.len()],
            places,
            fields: (T::FIELDS.iter())
                .map(|&field| (field, vec![0.0; model.field_width(field)]))
                .collect(),
            joints: model.width(parts.positions),
            action: vec![0.0; controls],
            control: vec![0.0; controls],
            instabilities: 0,
            origin,
            world,
        };
        env.restart();
        Ok(env)
    }

    fn restart(&mut self) {
        self.world.reset();
        let start = &mut self.motion[1..];
        start.copy_from_slice(&self.origin);
        let (positions, velocities) = start.split_at_mut(self.joints);
        self.task.start(&mut self.rng, positions, velocities);
        let parts = self.world.model().parts();
        self.world.write(parts.start, start);
        self.world.forward();
        self.look();
    }

    /// Copies what the library computed.
    fn look(&mut self) {
        let parts = self.world.model().parts();
        self.world.read(parts.motion, &mut self.motion);
        for (point, place) in self.points.iter_mut().zip(&self.places) {
            *point = self.world.locate(*place);
        }
        for (field, numbers) in &mut self.fields {
            self.world.read_field(*field, numbers);
        }
    }

    /// The observed numbers besides positions and velocities.
    fn extras_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        let fields = self.fields.iter_mut().flat_map(|(_, numbers)| numbers);
        self.points.as_flattened_mut().iter_mut().chain(fields)
    }

    fn view(&self) -> View<'_> {
        let (positions, velocities) = self.motion[1..].split_at(self.joints);
        View {
            positions,
            velocities,
            points: &self.points,
            fields: &self.fields,
        }
    }
}

fn refused<T: Task>(message: String) -> Error {
    Error::MujocoModel {
        id: T::ID.to_owned(),
        message,
    }
}

/// The description of a task's environment, without its time limit. It needs no library.
pub(crate) fn spec(task: &impl Task) -> Spec {
    fn of<T: Task>(task: &T) -> Spec {
        let high: Vec<f64> = T::ACTION_BOUNDS.iter().copied().map(f64::from).collect();
        let low: Vec<f64> = high.iter().map(|bound| -bound).collect();
        Spec {
            id: T::ID.to_owned(),
            observation_space: Space::Box(BoxSpace::unbounded(task.observation_width())),
            action_space: Space::Box(BoxSpace::float32(&low, &high)),
            max_episode_steps: None,
            reward_threshold: None,
            reference_returns: None,
        }
    }
    of(task)
}

impl<T: Task> Env for MujocoEnv<T> {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn reset(&mut self, seed: Option<u64>, observation: &mut [f64]) {
        if let Some(seed) = seed {
            self.rng = NumpyRng::from_seed(seed);
        }
        self.restart();
        self.observe(observation);
    }

    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Step {
        assert_eq!(action.len(), self.action.len(), "width of an action");
        for ((single, double), number) in
            (self.action.iter_mut().zip(&mut self.control)).zip(action)
        {
            *single = *number as f32;
            *double = f64::from(*single);
        }
        let frames = self.task.frame_skip();
        let (time, x_before) = (self.motion[0], self.task.x(self.view()));
        let parts = self.world.model().parts();
        self.world.write(parts.control, &self.control);
        self.world.step(frames);
        if T::FIELDS.contains(&Field::ExternalForces) {
            self.world.contact_forces();
        }
        self.look();
        if self.motion[0] < time + (frames as f64 - 0.5) * T::TIME_STEP {
            // The library resets the time only when the state has become unstable.
            self.instabilities += 1;
        }
        let (reward, terminated) = self.task.judge(&Move {
            x_before,
            x_after: self.task.x(self.view()),
            duration: T::TIME_STEP * frames as f64,
            action: &self.action,
            after: self.view(),
        });
        self.observe(observation);
        Step {
            reward,
            terminated,
            truncated: false,
        }
    }

    fn observe(&self, observation: &mut [f64]) {
        self.task.observe(self.view(), observation);
    }

    fn state(&self) -> Vec<f64> {
        let model = self.world.model();
        let mut state = vec![0.0; model.width(model.parts().physics)];
        self.world.read(model.parts().physics, &mut state);
        state.extend(self.points.as_flattened());
        state.extend(self.fields.iter().flat_map(|(_, numbers)| numbers));
        state
    }

    fn set_state(&mut self, state: &[f64]) -> Result<(), Error> {
        let parts = self.world.model().parts();
        let physics = self.world.model().width(parts.physics);
        let expected = physics + self.extras_mut().count();
        let id = || T::ID.to_owned();
        if state.len() != expected {
            return Err(Error::StateWidth {
                id: id(),
                expected,
                got: state.len(),
            });
        }
        if let Some(index) = state.iter().position(|number| !number.is_finite()) {
            return Err(Error::StateNotFinite {
                id: id(),
                index,
                value: state[index],
            });
        }
        self.world.write(parts.physics, &state[..physics]);
        self.look();
        for (extra, number) in self.extras_mut().zip(&state[physics..]) {
            *extra = *number;
        }
        Ok(())
    }

    fn instabilities(&self) -> u64 {
        self.instabilities
    }

    /// The poses of the bodies by the joints' positions, which differ slightly from those after a
    /// step.
    fn render(&self) -> Option<Frame> {
        let model = self.world.model();
        let mut world = World::new(model).ok()?;
        world.write(model.parts().start, &self.motion[1..]);
        world.kinematics();
        drawing::draw(&self.task.model(), &world.poses(), T::CAMERA)
    }

    fn steps_per_second(&self) -> f64 {
        1.0 / (T::TIME_STEP * self.task.frame_skip() as f64)
    }
}

/// Adds to each number one uniform in `-scale .. scale`.
pub(super) fn add_uniform(rng: &mut NumpyRng, scale: f64, numbers: &mut [f64]) {
    for number in numbers {
        *number += rng.uniform(-scale, scale);
    }
}

/// Adds to each number one that is normal with a standard deviation of `scale`.
pub(super) fn add_normal(rng: &mut NumpyRng, scale: f64, numbers: &mut [f64]) {
    for number in numbers {
        *number += scale * rng.standard_normal();
    }
}

/// Writes the positions without the first `skipped`, then the velocities through `limit`.
pub(super) fn write_joints(
    seen: View,
    skipped: usize,
    limit: impl Fn(f64) -> f64,
    observation: &mut [f64],
) {
    let shown = &seen.positions[skipped..];
    let (positions, velocities) = observation.split_at_mut(shown.len());
    positions.copy_from_slice(shown);
    for (number, &velocity) in velocities.iter_mut().zip(seen.velocities) {
        *number = limit(velocity);
    }
}
