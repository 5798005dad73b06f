//! The C library, loaded at run time: every `unsafe` line of this crate.
//!
//! Nothing of `MuJoCo` is needed to build. Its types stay opaque: numbers go in and out through
//! `mj_setState` and `mj_getState` and body positions through `mj_local2Global`, so that no layout
//! of a struct has to be known and one program runs with every version from 3.2 to 4.x.
//!
//! What makes it sound: a [`Model`] is never written after it was compiled, so it may be shared; a
//! [`World`] belongs to one owner, lengths are checked against the library's own sizes, and body
//! numbers are looked up in the model that they are used with.
#![expect(unsafe_code, reason = "calls a C library")]

use crate::Error;
use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    mem::ManuallyDrop,
    path::{Path, PathBuf},
    ptr,
    sync::Arc,
};

/// The versions that work: from this one on, and below that one.
const FIRST: (u32, u32) = (3, 2);
const END: (u32, u32) = (5, 0);
/// The number of bodies among the kinds of named things, `mjOBJ_BODY`.
const BODY: c_int = 1;

type Opaque = *mut c_void;
type Handler = Option<unsafe extern "C-unwind" fn(*const c_char)>;

/// Parts of a world's state, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// The clock, the positions, the velocities.
    pub(super) motion: c_int,
    /// Positions and velocities.
    pub(super) start: c_int,
    /// What the next step depends on: positions, velocities and the accelerations that the solver
    /// starts from.
    pub(super) physics: c_int,
    pub(super) positions: c_int,
    /// The numbers that drive the actuators.
    pub(super) control: c_int,
}

impl Parts {
    /// From 3.5 on a part of its own lies before the last two.
    fn of(version: (u32, u32)) -> Self {
        let shift = c_int::from(version >= (3, 5));
        let (time, positions, velocities) = (1, 1 << 1, 1 << 2);
        let (warm_start, control) = (1 << (4 + shift), 1 << (5 + shift));
        Self {
            motion: time | positions | velocities,
            start: positions | velocities,
            physics: positions | velocities | warm_start,
            positions,
            control,
        }
    }
}

/// The functions that are used.
struct Functions {
    parse: unsafe extern "C-unwind" fn(*const c_char, Opaque, *mut c_char, c_int) -> Opaque,
    compile: unsafe extern "C-unwind" fn(Opaque, Opaque) -> Opaque,
    spec_error: unsafe extern "C-unwind" fn(Opaque) -> *const c_char,
    delete_spec: unsafe extern "C-unwind" fn(Opaque),
    delete_model: unsafe extern "C-unwind" fn(Opaque),
    make_data: unsafe extern "C-unwind" fn(Opaque) -> Opaque,
    delete_data: unsafe extern "C-unwind" fn(Opaque),
    reset: unsafe extern "C-unwind" fn(Opaque, Opaque),
    forward: unsafe extern "C-unwind" fn(Opaque, Opaque),
    step: unsafe extern "C-unwind" fn(Opaque, Opaque),
    state_size: unsafe extern "C-unwind" fn(Opaque, c_int) -> c_int,
    get_state: unsafe extern "C-unwind" fn(Opaque, Opaque, *mut f64, c_int),
    set_state: unsafe extern "C-unwind" fn(Opaque, Opaque, *const f64, c_int),
    name_to_id: unsafe extern "C-unwind" fn(Opaque, c_int, *const c_char) -> c_int,
    local_to_global:
        unsafe extern "C-unwind" fn(Opaque, *mut f64, *mut f64, *const f64, *const f64, c_int, u8),
}

/// A loaded library.
pub(super) struct Library {
    functions: Functions,
    parts: Parts,
    version: String,
    path: PathBuf,
}

impl Library {
    /// Loads the library file at `path`. Its warnings are silenced and its errors become panics;
    /// neither prints, writes a log file or ends the process.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let unusable = |reason: String| Error::MujocoUnusable {
            reason,
            path: path.to_owned(),
        };
        // SAFETY: the caller asked for this library; MuJoCo's initialisers have no preconditions.
        let handle = unsafe { libloading::Library::new(path) }
            .map_err(|error| unusable(error.to_string()))?;
        // Never unloaded: worlds, models and handlers refer to it until the process ends.
        let handle = ManuallyDrop::new(handle);
        let name_of_version: unsafe extern "C-unwind" fn() -> *const c_char =
            symbol(&handle, c"mj_versionString").map_err(unusable)?;
        // SAFETY: takes nothing and gives a static string.
        let version = unsafe { text(name_of_version()) };
        let number = parse_version(&version)
            .ok_or_else(|| unusable(format!("its version is `{version}`")))?;
        if !(FIRST..END).contains(&number) {
            return Err(Error::MujocoVersion {
                version,
                path: path.to_owned(),
            });
        }
        let functions = Functions::of(&handle).map_err(unusable)?;
        let warning: *mut Handler = symbol(&handle, c"mju_user_warning").map_err(unusable)?;
        let error: *mut Handler = symbol(&handle, c"mju_user_error").map_err(unusable)?;
        // SAFETY: both are the library's own variables for that purpose, written before any call
        // that could read them.
        unsafe {
            *warning = Some(ignore);
            *error = Some(give_up);
        }
        Ok(Self {
            functions,
            parts: Parts::of(number),
            version,
            path: path.to_owned(),
        })
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Compiles a model from MJCF.
    pub(super) fn compile(self: &Arc<Self>, mjcf: &str) -> Result<Model, String> {
        let source = CString::new(mjcf).map_err(|error| error.to_string())?;
        let mut message = [0; 1024];
        let call = &self.functions;
        // SAFETY: the source ends with a zero, the message has the length given, no virtual file
        // system is used, and each pointer is used only if it is not null.
        let pointer = unsafe {
            let spec = (call.parse)(
                source.as_ptr(),
                ptr::null_mut(),
                message.as_mut_ptr(),
                message.len() as c_int,
            );
            if spec.is_null() {
                return Err(text(message.as_ptr()));
            }
            let pointer = (call.compile)(spec, ptr::null_mut());
            let message = text((call.spec_error)(spec));
            (call.delete_spec)(spec);
            if pointer.is_null() {
                return Err(message);
            }
            pointer
        };
        Ok(Model {
            library: Arc::clone(self),
            pointer,
        })
    }
}

impl Functions {
    fn of(handle: &libloading::Library) -> Result<Self, String> {
        Ok(Self {
            parse: symbol(handle, c"mj_parseXMLString")?,
            compile: symbol(handle, c"mj_compile")?,
            spec_error: symbol(handle, c"mjs_getError")?,
            delete_spec: symbol(handle, c"mj_deleteSpec")?,
            delete_model: symbol(handle, c"mj_deleteModel")?,
            make_data: symbol(handle, c"mj_makeData")?,
            delete_data: symbol(handle, c"mj_deleteData")?,
            reset: symbol(handle, c"mj_resetData")?,
            forward: symbol(handle, c"mj_forward")?,
            step: symbol(handle, c"mj_step")?,
            state_size: symbol(handle, c"mj_stateSize")?,
            get_state: symbol(handle, c"mj_getState")?,
            set_state: symbol(handle, c"mj_setState")?,
            name_to_id: symbol(handle, c"mj_name2id")?,
            local_to_global: symbol(handle, c"mj_local2Global")?,
        })
    }
}

/// A compiled model.
pub(super) struct Model {
    library: Arc<Library>,
    pointer: Opaque,
}

// SAFETY: after `compile` the model is only read, by us and, being `const` in its signatures, by
// the library.
unsafe impl Send for Model {}
unsafe impl Sync for Model {}

impl Model {
    pub(super) fn parts(&self) -> Parts {
        self.library.parts
    }

    /// Numbers in these parts of a world's state.
    pub(super) fn width(&self, parts: c_int) -> usize {
        // SAFETY: a live model.
        unsafe { (self.library.functions.state_size)(self.pointer, parts) as usize }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: made by `compile`, and no world refers to it any more.
        unsafe { (self.library.functions.delete_model)(self.pointer) }
    }
}

/// A model's world: everything that moves.
pub(super) struct World {
    model: Arc<Model>,
    pointer: Opaque,
    /// The numbers of the bodies that are watched.
    bodies: Vec<c_int>,
}

// SAFETY: it belongs to one owner and is not tied to a thread.
unsafe impl Send for World {}

impl World {
    /// A world at rest whose bodies of these names are watched.
    pub(super) fn new(model: &Arc<Model>, bodies: &[&str]) -> Result<Self, String> {
        let call = &model.library.functions;
        let bodies = bodies
            .iter()
            .map(|name| {
                let name = CString::new(*name).map_err(|error| error.to_string())?;
                // SAFETY: a live model and a string that ends with a zero.
                let id = unsafe { (call.name_to_id)(model.pointer, BODY, name.as_ptr()) };
                (id >= 0)
                    .then_some(id)
                    .ok_or_else(|| format!("no body is called {}", name.to_string_lossy()))
            })
            .collect::<Result<_, _>>()?;
        // SAFETY: a live model.
        let pointer = unsafe { (call.make_data)(model.pointer) };
        if pointer.is_null() {
            return Err("there is no memory for it".to_owned());
        }
        Ok(Self {
            model: Arc::clone(model),
            pointer,
            bodies,
        })
    }

    fn call(&self) -> &Functions {
        &self.model.library.functions
    }

    pub(super) fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Back to the model's own start, at rest.
    pub(super) fn reset(&mut self) {
        // SAFETY: a live world and its model.
        unsafe { (self.call().reset)(self.model.pointer, self.pointer) }
    }

    /// Computes everything that follows from the state, without a step.
    pub(super) fn forward(&mut self) {
        // SAFETY: a live world and its model.
        unsafe { (self.call().forward)(self.model.pointer, self.pointer) }
    }

    /// Goes on by some time steps of the model.
    pub(super) fn step(&mut self, steps: usize) {
        let step = self.call().step;
        for _ in 0..steps {
            // SAFETY: a live world and its model.
            unsafe { step(self.model.pointer, self.pointer) }
        }
    }

    /// Copies parts of the state into `numbers`.
    ///
    /// # Panics
    /// If they have another length.
    pub(super) fn read(&self, parts: c_int, numbers: &mut [f64]) {
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
    pub(super) fn write(&mut self, parts: c_int, numbers: &[f64]) {
        assert_eq!(numbers.len(), self.model.width(parts), "width of a state");
        // SAFETY: the length has just been checked.
        unsafe {
            (self.call().set_state)(self.model.pointer, self.pointer, numbers.as_ptr(), parts);
        }
    }

    /// The positions of the watched bodies' frames as the last step left them, three numbers each.
    pub(super) fn body_positions(&self, positions: &mut [[f64; 3]]) {
        const ORIGIN: [f64; 3] = [0.0; 3];
        const UPRIGHT: [f64; 4] = [1.0, 0.0, 0.0, 0.0];
        let mut turn = [0.0; 9];
        for (position, &body) in positions.iter_mut().zip(&self.bodies) {
            // SAFETY: the body belongs to this model; the arrays have the sizes that are written
            // and read; the last argument says that the point is given in the body's frame.
            unsafe {
                (self.call().local_to_global)(
                    self.pointer,
                    position.as_mut_ptr(),
                    turn.as_mut_ptr(),
                    ORIGIN.as_ptr(),
                    UPRIGHT.as_ptr(),
                    body,
                    0,
                );
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // SAFETY: made by `new`, used by nobody else.
        unsafe { (self.call().delete_data)(self.pointer) }
    }
}

/// A symbol of the library as the type that the C headers give it.
fn symbol<T: Copy>(handle: &libloading::Library, name: &CStr) -> Result<T, String> {
    // SAFETY: the types above are those of the headers of MuJoCo 3.2 to 4.0.
    unsafe { handle.get::<T>(name.to_bytes_with_nul()) }
        .map(|symbol| *symbol)
        .map_err(|error| error.to_string())
}

/// A C string, or nothing for null.
///
/// # Safety
/// The pointer is null or points to bytes that end with a zero.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(pointer) }
        .to_string_lossy()
        .into_owned()
}

/// The first two numbers of a version.
fn parse_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Warnings come before the library mends its world by a reset, which the caller sees by the clock.
unsafe extern "C-unwind" fn ignore(_: *const c_char) {}

/// The library must not go on after an error, such as one of memory.
unsafe extern "C-unwind" fn give_up(message: *const c_char) {
    // SAFETY: the library gives a string that ends with a zero.
    let message = unsafe { text(message) };
    panic!("MuJoCo gave up: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mujoco;

    #[test]
    fn parts_of_the_state_moved_once() {
        assert_eq!(Parts::of((3, 4)).control, 1 << 5);
        assert_eq!(Parts::of((3, 5)).control, 1 << 6);
        assert_eq!(Parts::of((4, 0)).physics, 0b10_0110);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parse_version("3.17.0"), Some((3, 17)));
        assert!(parse_version("3.17.0").unwrap() >= FIRST);
        assert_eq!(parse_version("unknown"), None);
    }

    #[test]
    fn an_error_inside_the_library_is_a_panic_that_can_be_caught() {
        if !mujoco::is_here("the library's errors") {
            return;
        }
        let library = mujoco::library().unwrap();
        let handle = unsafe { libloading::Library::new(library.path()) }.unwrap();
        let error: unsafe extern "C-unwind" fn(*const c_char) =
            symbol(&handle, c"mju_error").unwrap();
        let caught = std::panic::catch_unwind(|| unsafe { error(c"as a test".as_ptr()) });
        let message = *caught.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("as a test"), "{message}");
    }

    #[test]
    fn a_model_that_makes_no_sense_is_refused_with_the_librarys_words() {
        if !mujoco::is_here("models that make no sense") {
            return;
        }
        let library = mujoco::library().unwrap();
        let message = library
            .compile("<mujoco><nonsense/></mujoco>")
            .err()
            .unwrap();
        assert!(message.contains("nonsense"), "{message}");
        let massless = "<mujoco><worldbody><body><joint/></body></worldbody></mujoco>";
        let message = library.compile(massless).err().unwrap();
        assert!(message.contains("mass"), "{message}");
        let model = Arc::new(library.compile("<mujoco/>").unwrap());
        assert!(World::new(&model, &["nobody"]).is_err());
    }
}
