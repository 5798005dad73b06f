//! The functions of the library that are used, with the types of its C headers.

use std::ffi::{CStr, c_char, c_int, c_void};

/// An opaque struct of the library: a specification, a model, its data.
pub(super) type Opaque = *mut c_void;
/// The callback for the library's messages.
pub(super) type Handler = Option<unsafe extern "C-unwind" fn(*const c_char)>;
/// The type of a replacement for the library's allocator.
pub(super) type Allocator = Option<unsafe extern "C-unwind" fn(usize) -> Opaque>;

pub(super) struct Functions {
    pub(super) parse:
        unsafe extern "C-unwind" fn(*const c_char, Opaque, *mut c_char, c_int) -> Opaque,
    pub(super) compile: unsafe extern "C-unwind" fn(Opaque, Opaque) -> Opaque,
    pub(super) spec_error: unsafe extern "C-unwind" fn(Opaque) -> *const c_char,
    pub(super) delete_spec: unsafe extern "C-unwind" fn(Opaque),
    pub(super) delete_model: unsafe extern "C-unwind" fn(Opaque),
    pub(super) make_data: unsafe extern "C-unwind" fn(Opaque) -> Opaque,
    pub(super) delete_data: unsafe extern "C-unwind" fn(Opaque),
    pub(super) reset: unsafe extern "C-unwind" fn(Opaque, Opaque),
    pub(super) forward: unsafe extern "C-unwind" fn(Opaque, Opaque),
    pub(super) step: unsafe extern "C-unwind" fn(Opaque, Opaque),
    pub(super) kinematics: unsafe extern "C-unwind" fn(Opaque, Opaque),
    pub(super) contact_forces: unsafe extern "C-unwind" fn(Opaque, Opaque),
    pub(super) state_size: unsafe extern "C-unwind" fn(Opaque, c_int) -> c_int,
    pub(super) get_state: unsafe extern "C-unwind" fn(Opaque, Opaque, *mut f64, c_int),
    pub(super) set_state: unsafe extern "C-unwind" fn(Opaque, Opaque, *const f64, c_int),
    pub(super) name_to_id: unsafe extern "C-unwind" fn(Opaque, c_int, *const c_char) -> c_int,
    pub(super) local_to_global:
        unsafe extern "C-unwind" fn(Opaque, *mut f64, *mut f64, *const f64, *const f64, c_int, u8),
    pub(super) print: unsafe extern "C-unwind" fn(Opaque, Opaque, *const c_char, *const c_char),
    pub(super) allocate: unsafe extern "C-unwind" fn(usize) -> Opaque,
    /// The library's variable for another allocator.
    pub(super) allocator: *mut Allocator,
}

// SAFETY: functions may be called from any thread; `allocator` is dereferenced only while a single
// thread uses the library, in `fields`.
unsafe impl Send for Functions {}
unsafe impl Sync for Functions {}

impl Functions {
    pub(super) fn of(handle: &libloading::Library) -> Result<Self, String> {
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
            kinematics: symbol(handle, c"mj_kinematics")?,
            contact_forces: symbol(handle, c"mj_rnePostConstraint")?,
            state_size: symbol(handle, c"mj_stateSize")?,
            get_state: symbol(handle, c"mj_getState")?,
            set_state: symbol(handle, c"mj_setState")?,
            name_to_id: symbol(handle, c"mj_name2id")?,
            local_to_global: symbol(handle, c"mj_local2Global")?,
            print: symbol(handle, c"mj_printFormattedData")?,
            allocate: symbol(handle, c"mju_malloc")?,
            allocator: symbol(handle, c"mju_user_malloc")?,
        })
    }
}

/// A symbol of the library as the type that the C headers give it.
pub(super) fn symbol<T: Copy>(handle: &libloading::Library, name: &CStr) -> Result<T, String> {
    // SAFETY: the types above are those of the headers of MuJoCo 3.2 to 4.0.
    unsafe { handle.get::<T>(name.to_bytes_with_nul()) }
        .map(|symbol| *symbol)
        .map_err(|error| error.to_string())
}

/// A C string, or nothing for null.
///
/// # Safety
/// The pointer is null or points to bytes that end with a zero.
pub(super) unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(pointer) }
        .to_string_lossy()
        .into_owned()
}
