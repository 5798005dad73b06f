//! Models (`mjModel`) and their data (`mjData`): the library's two large structs, behind pointers.

use super::{
    Field, Library, Parts,
    functions::{Functions, Opaque},
};
use std::{
    ffi::{CString, c_int},
    sync::Arc,
};

/// The number of bodies among the kinds of named things, `mjOBJ_BODY`.
const BODY: c_int = 1;
const ORIGIN: [f64; 3] = [0.0; 3];
const UPRIGHT: [f64; 4] = [1.0, 0.0, 0.0, 0.0];

/// A compiled model.
pub(in crate::mujoco) struct Model {
    pub(super) library: Arc<Library>,
    pub(super) pointer: Opaque,
}

// SAFETY: after `compile` the model is only read, by this crate and, being `const` in its
// signatures, by the library.
unsafe impl Send for Model {}
unsafe impl Sync for Model {}

impl Model {
    pub(in crate::mujoco) fn parts(&self) -> Parts {
        self.library.parts
    }

    /// Numbers in these parts of a simulation state.
    pub(in crate::mujoco) fn width(&self, parts: c_int) -> usize {
        // SAFETY: a live model.
        unsafe { (self.library.functions.state_size)(self.pointer, parts) as usize }
    }

    /// Bodies, the world body included.
    pub(in crate::mujoco) fn bodies(&self) -> usize {
        self.width(self.library.parts.body_forces) / 6
    }

    /// Whether the fields of this library can be read; the error says why not.
    pub(in crate::mujoco) fn knows_fields(&self) -> Result<(), String> {
        self.library.fields().map(|_| ())
    }

    /// Numbers in a field.
    pub(in crate::mujoco) fn field_width(&self, field: Field) -> usize {
        let parts = self.parts();
        match field {
            Field::Control => self.width(parts.control),
            Field::ActuatorForces | Field::ConstraintForces => self.width(parts.velocities),
            Field::BodyPositions | Field::MassCentres => 3 * self.bodies(),
            Field::Velocities | Field::ExternalForces => 6 * self.bodies(),
            Field::Inertias => 10 * self.bodies(),
        }
    }

    /// The number of the body of this name.
    fn body(&self, name: &str) -> Result<c_int, String> {
        let c_name = CString::new(name).map_err(|error| error.to_string())?;
        // SAFETY: a live model and a string that ends with a zero.
        let id =
            unsafe { (self.library.functions.name_to_id)(self.pointer, BODY, c_name.as_ptr()) };
        (id >= 0)
            .then_some(id)
            .ok_or_else(|| format!("no body is called {name}"))
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: made by `compile`, and no data refers to it any more.
        unsafe { (self.library.functions.delete_model)(self.pointer) }
    }
}

/// A simulation of a model (`mjData`): everything that changes.
pub(in crate::mujoco) struct World {
    model: Arc<Model>,
    pub(super) pointer: Opaque,
}

// SAFETY: it belongs to one owner and is not tied to a thread.
unsafe impl Send for World {}

/// A point fixed to a body: the body's number and a point in its frame.
#[derive(Clone, Copy, Debug)]
pub(in crate::mujoco) struct Place {
    body: c_int,
    point: [f64; 3],
}

/// Where a body's frame is: its origin, and its axes as the columns of a matrix in rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::mujoco) struct Pose {
    pub(in crate::mujoco) origin: [f64; 3],
    pub(in crate::mujoco) axes: [f64; 9],
}

impl World {
    /// A simulation at rest.
    pub(in crate::mujoco) fn new(model: &Arc<Model>) -> Result<Self, String> {
        // SAFETY: a live model.
        let pointer = unsafe { (model.library.functions.make_data)(model.pointer) };
        if pointer.is_null() {
            return Err("there is no memory for it".to_owned());
        }
        Ok(Self {
            model: Arc::clone(model),
            pointer,
        })
    }

    pub(super) fn call(&self) -> &Functions {
        &self.model.library.functions
    }

    pub(in crate::mujoco) fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// A point of this model, by a body's name.
    pub(in crate::mujoco) fn place(&self, body: &str, point: [f64; 3]) -> Result<Place, String> {
        let body = self.model.body(body)?;
        Ok(Place { body, point })
    }

    /// Resets to the model's own start, at rest.
    pub(in crate::mujoco) fn reset(&mut self) {
        // SAFETY: live data and its model.
        unsafe { (self.call().reset)(self.model.pointer, self.pointer) }
    }

    /// Computes everything that follows from the state, without a step.
    pub(in crate::mujoco) fn forward(&mut self) {
        // SAFETY: live data and its model.
        unsafe { (self.call().forward)(self.model.pointer, self.pointer) }
    }

    /// Computes the poses of bodies, and nothing else.
    pub(in crate::mujoco) fn kinematics(&mut self) {
        // SAFETY: live data and its model.
        unsafe { (self.call().kinematics)(self.model.pointer, self.pointer) }
    }

    /// Computes [`Field::ExternalForces`], which a step does not.
    pub(in crate::mujoco) fn contact_forces(&mut self) {
        // SAFETY: live data and its model.
        unsafe { (self.call().contact_forces)(self.model.pointer, self.pointer) }
    }

    /// Simulates some time steps of the model.
    pub(in crate::mujoco) fn step(&mut self, steps: usize) {
        let step = self.call().step;
        for _ in 0..steps {
            // SAFETY: live data and its model.
            unsafe { step(self.model.pointer, self.pointer) }
        }
    }

    /// Copies parts of the state into `numbers`.
    ///
    /// # Panics
    /// If they have another length.
    pub(in crate::mujoco) fn read(&self, parts: c_int, numbers: &mut [f64]) {
        assert_eq!(numbers.len(), self.model.width(parts), "width of a state");
        // SAFETY: the length has just been checked.
        unsafe {
            (self.call().get_state)(
                self.model.pointer,
                self.pointer,
                numbers.as_mut_ptr(),
                parts,
            );
        }
    }

    /// Sets parts of the state.
    ///
    /// # Panics
    /// If `numbers` has another length.
    pub(in crate::mujoco) fn write(&mut self, parts: c_int, numbers: &[f64]) {
        assert_eq!(numbers.len(), self.model.width(parts), "width of a state");
        // SAFETY: the length has just been checked.
        unsafe {
            (self.call().set_state)(self.model.pointer, self.pointer, numbers.as_ptr(), parts);
        }
    }

    /// The position of a point after the last step.
    ///
    /// # Panics
    /// If it belongs to a larger model.
    pub(in crate::mujoco) fn locate(&self, place: Place) -> [f64; 3] {
        self.pose(place.body as usize, place.point).origin
    }

    /// The frames of the bodies, in their order.
    pub(in crate::mujoco) fn poses(&self) -> Vec<Pose> {
        (0..self.model.bodies())
            .map(|body| self.pose(body, ORIGIN))
            .collect()
    }

    fn pose(&self, body: usize, point: [f64; 3]) -> Pose {
        assert!(body < self.model.bodies(), "there is no body {body}");
        let mut pose = Pose {
            origin: ORIGIN,
            axes: [0.0; 9],
        };
        // SAFETY: the body is one of this model; the arrays have the sizes that are written and
        // read; the last argument says that the point is given in the body's frame.
        unsafe {
            (self.call().local_to_global)(
                self.pointer,
                pose.origin.as_mut_ptr(),
                pose.axes.as_mut_ptr(),
                point.as_ptr(),
                UPRIGHT.as_ptr(),
                body as c_int,
                0,
            );
        }
        pose
    }

    /// Copies a field into `numbers`.
    ///
    /// # Panics
    /// If they have another length, or if it [is not known](Model::knows_fields) where fields are.
    pub(in crate::mujoco) fn read_field(&self, field: Field, numbers: &mut [f64]) {
        assert_eq!(
            numbers.len(),
            self.model.field_width(field),
            "width of a field"
        );
        let fields = match self.model.library.fields() {
            Ok(fields) => fields,
            Err(reason) => panic!("{reason}"),
        };
        // SAFETY: live data of this library, and the field's own width.
        unsafe { fields.copy(field, self.pointer, numbers) }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // SAFETY: made by `new`, used by nothing else.
        unsafe { (self.call().delete_data)(self.pointer) }
    }
}
