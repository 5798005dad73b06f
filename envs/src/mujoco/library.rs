//! The C library, loaded at run time: every `unsafe` line of this crate.
//!
//! `MuJoCo` is not needed to build, and no layout of a struct has to be known, so that one program
//! runs with every version from 3.2 to 4.x: numbers are exchanged through `mj_setState` and
//! `mj_getState`, body positions through `mj_local2Global`, and `fields` finds what no function
//! returns.
//!
//! What makes it sound: a [`Model`] is never written after it was compiled, so it may be shared; a
//! [`World`] (`mjData`) belongs to one owner, lengths are checked against the library's own sizes,
//! and body numbers against the model's.
#![expect(unsafe_code, reason = "calls a C library")]

mod fields;
mod functions;
mod world;

pub use fields::Field;
pub(super) use world::{Model, Place, Pose, World};

use crate::Error;
use fields::Fields;
use functions::{Functions, Handler, symbol, text};
use std::{
    ffi::{CString, c_char, c_int},
    mem::ManuallyDrop,
    path::{Path, PathBuf},
    ptr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// The versions that work: from this one on, and below that one.
const FIRST: (u32, u32) = (3, 2);
const END: (u32, u32) = (5, 0);
/// Parts of a simulation state, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// The time, the positions, the velocities.
    pub(super) motion: c_int,
    /// Positions and velocities.
    pub(super) start: c_int,
    /// What the next step depends on: positions, velocities and the accelerations that the solver
    /// starts from.
    pub(super) physics: c_int,
    pub(super) positions: c_int,
    pub(super) velocities: c_int,
    /// The numbers that drive the actuators.
    pub(super) control: c_int,
    /// Forces and torques that are applied to the bodies, six numbers each.
    body_forces: c_int,
}

impl Parts {
    /// From 3.5 on, a part that is not used here precedes the warm start.
    fn of(version: (u32, u32)) -> Self {
        let shift = c_int::from(version >= (3, 5));
        let (time, positions, velocities) = (1, 1 << 1, 1 << 2);
        let (warm_start, control) = (1 << (4 + shift), 1 << (5 + shift));
        Self {
            motion: time | positions | velocities,
            start: positions | velocities,
            physics: positions | velocities | warm_start,
            positions,
            velocities,
            control,
            body_forces: 1 << (7 + shift),
        }
    }
}

/// A loaded library.
pub(super) struct Library {
    functions: Functions,
    parts: Parts,
    version: String,
    path: PathBuf,
    /// The positions in its `mjData` of results that no function returns; set when it is opened.
    fields: OnceLock<Result<Fields, String>>,
}

impl Library {
    /// Loads the library file at `path`. Its warnings are counted and its errors become panics;
    /// neither prints, writes a log file or ends the process. A file must be opened only once.
    pub(super) fn open(path: &Path) -> Result<Arc<Self>, Error> {
        let unusable = |reason: String| Error::MujocoUnusable {
            reason,
            path: path.to_owned(),
        };
        // SAFETY: the caller chose this library; MuJoCo's initialisers have no preconditions.
        let handle = unsafe { libloading::Library::new(path) }
            .map_err(|error| unusable(error.to_string()))?;
        // Never unloaded: simulations, models and handlers refer to it until the process ends.
        let handle = ManuallyDrop::new(handle);
        let name_of_version: unsafe extern "C-unwind" fn() -> *const c_char =
            symbol(&handle, c"mj_versionString").map_err(unusable)?;
        // SAFETY: takes nothing and returns a static string.
        let version = unsafe { text(name_of_version()) };
        let number = parse_version(&version)
            .ok_or_else(|| unusable(format!("its version is '{version}'")))?;
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
            *warning = Some(note);
            *error = Some(give_up);
        }
        // From 4.0 on there is one handler for all messages, which comes before those two.
        let set: Result<SetLogHandler, _> = symbol(&handle, c"mju_setLogHandler");
        if let Ok(set) = set {
            // SAFETY: the function takes a handler of this type and keeps it; this one is never
            // freed.
            unsafe { set(hear) };
        }
        let library = Arc::new(Self {
            functions,
            parts: Parts::of(number),
            version,
            path: path.to_owned(),
            fields: OnceLock::new(),
        });
        library.fields.get_or_init(|| Fields::find(&library));
        Ok(library)
    }

    /// The positions in its `mjData` of results that no function returns, or why they are unknown.
    fn fields(&self) -> Result<&Fields, String> {
        match self.fields.get() {
            Some(Ok(fields)) => Ok(fields),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err("they have not been located".to_owned()),
        }
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

/// The first two numbers of a version.
fn parse_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// The warnings of the library, in all its simulations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings {
    /// Their number.
    pub count: u64,
    /// Its last message.
    pub last: String,
}

static WARNINGS: Mutex<Warnings> = Mutex::new(Warnings {
    count: 0,
    last: String::new(),
});

/// The warnings of `MuJoCo` about simulations since the program began, such as unstable ones
/// (which [`Env::instabilities`](crate::Env::instabilities) counts for each environment) or a lack
/// of memory for contacts. It writes no log file.
pub fn warnings() -> Warnings {
    WARNINGS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

unsafe extern "C-unwind" fn note(message: *const c_char) {
    // SAFETY: the library passes a string that ends with a zero.
    let message = unsafe { text(message) };
    if is_about_a_file(&message) {
        return;
    }
    let mut warnings = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
    warnings.count += 1;
    warnings.last = message;
}

/// Whether a message is about the form of a model's file, as newer versions have for files of
/// Gymnasium: it says nothing about a simulation, and comes with each environment that is made.
fn is_about_a_file(message: &str) -> bool {
    message.contains("is deprecated")
}

/// The library must not continue after an error, such as one of memory.
unsafe extern "C-unwind" fn give_up(message: *const c_char) {
    // SAFETY: the library passes a string that ends with a zero.
    let message = unsafe { text(message) };
    panic!("MuJoCo failed: {message}");
}

/// The beginning of a message in every version from 4.0 on.
#[repr(C)]
struct LogMessage {
    level: c_int,
    topic: c_int,
    subject: [c_char; 1024],
}

const LOG_WARNING: c_int = 2;
const LOG_ERROR: c_int = 3;

type LogHandler = unsafe extern "C-unwind" fn(*const LogMessage);
type SetLogHandler = unsafe extern "C-unwind" fn(LogHandler) -> Option<LogHandler>;

/// Sorts messages by their level; what is neither a warning nor an error is ignored.
unsafe extern "C-unwind" fn hear(message: *const LogMessage) {
    // SAFETY: the library passes a message, whose subject ends with a zero.
    unsafe {
        let subject = (&raw const (*message).subject).cast();
        match (*message).level {
            LOG_WARNING => note(subject),
            LOG_ERROR => give_up(subject),
            _ => {}
        }
    }
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
    fn a_deprecated_element_of_a_file_is_no_warning_about_a_simulation() {
        assert!(is_about_a_file(
            "compiler attribute 'settotalmass' is deprecated and will be removed in a future \
             release: scale the masses and densities in the model"
        ));
        assert!(!is_about_a_file(
            "Nan, Inf or huge value in QACC at DOF 0. The simulation is unstable. Time = 0.0500."
        ));
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
        let library = mujoco::installation::library().unwrap();
        let handle = unsafe { libloading::Library::new(library.path()) }.unwrap();
        let error: unsafe extern "C-unwind" fn(*const c_char) =
            symbol(&handle, c"mju_error").unwrap();
        let caught = std::panic::catch_unwind(|| unsafe { error(c"as a test".as_ptr()) });
        let message = *caught.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("as a test"), "{message}");
    }

    #[test]
    fn an_invalid_model_is_refused_with_the_librarys_message() {
        if !mujoco::is_here("invalid models") {
            return;
        }
        let library = mujoco::installation::library().unwrap();
        let message = library
            .compile("<mujoco><nonsense/></mujoco>")
            .err()
            .unwrap();
        assert!(message.contains("nonsense"), "{message}");
        let massless = "<mujoco><worldbody><body><joint/></body></worldbody></mujoco>";
        let message = library.compile(massless).err().unwrap();
        assert!(message.contains("mass"), "{message}");
        let model = Arc::new(library.compile("<mujoco/>").unwrap());
        let world = World::new(&model).unwrap();
        assert!(world.place("no_such_body", [0.0; 3]).is_err());
    }
}
