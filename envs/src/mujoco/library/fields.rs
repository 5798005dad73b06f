//! The positions in `mjData` of results that no function of the library returns.
//!
//! The layout of that struct differs between versions, and there is no table of them here. It is
//! found once, when the library is loaded: a small simulation with contacts, forces and speeds is
//! printed by the library, by name and with all digits. The position of a field is that of the
//! pointer in the struct that refers to exactly these numbers. While that simulation is created,
//! its memory is recorded, so that the search stays inside it. If no array fits, or more than one,
//! the fields are not used.

use super::{
    Library,
    functions::{Allocator, Functions, Opaque},
    world::World,
};
use std::{
    cell::RefCell,
    env,
    ffi::CString,
    fs, process, ptr, slice,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// Results of a step besides the state: arrays of `mjData`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `ctrl`: the number that drives each actuator.
    Control,
    /// `xpos`: where each body's frame is, three numbers each; the world body is the first.
    BodyPositions,
    /// `xipos`: where each body's centre of mass is, three numbers each.
    MassCentres,
    /// `cinert`: each body's inertia about the centre of mass of its tree, six numbers of a
    /// symmetric matrix, mass times offset, mass.
    Inertias,
    /// `cvel`: each body's velocity there, angular and then linear.
    Velocities,
    /// `qfrc_actuator`: the actuators' force on each degree of freedom.
    ActuatorForces,
    /// `qfrc_constraint`: the constraints' force on each degree of freedom.
    ConstraintForces,
    /// `cfrc_ext`: contacts' torque and force on each body, six numbers each.
    ExternalForces,
}

impl Field {
    const ALL: [Self; 8] = [
        Self::Control,
        Self::BodyPositions,
        Self::MassCentres,
        Self::Inertias,
        Self::Velocities,
        Self::ActuatorForces,
        Self::ConstraintForces,
        Self::ExternalForces,
    ];

    /// Its heading in the library's listing.
    fn heading(self) -> &'static str {
        match self {
            Self::Control => "CTRL",
            Self::BodyPositions => "XPOS",
            Self::MassCentres => "XIPOS",
            Self::Inertias => "CINERT",
            Self::Velocities => "CVEL",
            Self::ActuatorForces => "QFRC_ACTUATOR",
            Self::ConstraintForces => "QFRC_CONSTRAINT",
            Self::ExternalForces => "CFRC_EXT",
        }
    }
}

/// A wheel that nothing touches, a body that has sunk into the floor, and an arm on it beyond the
/// limits of both its joints. The controls are beyond the actuators' limits, too. So no two fields
/// have the same numbers.
const PROBE: &str = r#"<mujoco>
  <worldbody>
    <geom type="plane" size="1 1 1"/>
    <body pos="0 0 9">
      <joint axis="0 0 1"/>
      <geom type="sphere" size="0.1" pos="0.1 0 0"/>
      <geom type="sphere" size="0.2" pos="0 0.2 0"/>
    </body>
    <body pos="0.1 0.2 0.25">
      <freejoint/>
      <geom type="sphere" size="0.3"/>
      <geom type="sphere" size="0.1" pos="0.1 0.2 0.3"/>
      <body pos="0.5 0.1 0.2">
        <joint name="shoulder" axis="0 1 0" range="10 20"/>
        <geom type="capsule" size="0.05" fromto="0 0 0 0.3 0 0.1"/>
        <body pos="0.3 0 0.1">
          <joint name="elbow" axis="1 0 1" range="10 20"/>
          <geom type="box" size="0.1 0.05 0.02" pos="0.1 0.1 0"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="shoulder" gear="3" ctrlrange="-1 1"/>
    <motor joint="elbow" gear="5" ctrlrange="-2 2"/>
  </actuator>
</mujoco>"#;

/// The offsets of the fields in `mjData`, in bytes, in the order of [`Field::ALL`].
pub(super) struct Fields([usize; Field::ALL.len()]);

impl Fields {
    /// Finds them. Nothing else may use the library yet.
    pub(super) fn find(library: &Arc<Library>) -> Result<Self, String> {
        let model = Arc::new(library.compile(PROBE)?);
        let (world, blocks) = recorded(&library.functions, || World::new(&model));
        let mut world = world?;
        let parts = model.parts();
        for (part, scale) in [(parts.velocities, 0.1), (parts.control, 1.5)] {
            let numbers: Vec<f64> = (1..=model.width(part)).map(|i| scale * i as f64).collect();
            world.write(part, &numbers);
        }
        world.forward();
        world.contact_forces();
        let printed = print(&world)?;
        let mut offsets = [0; Field::ALL.len()];
        for (offset, field) in offsets.iter_mut().zip(Field::ALL) {
            let numbers = numbers_under(&printed, field.heading())
                .filter(|numbers| numbers.len() == model.field_width(field))
                .ok_or_else(|| format!("it does not print {} as expected", field.heading()))?;
            *offset = search(&world, &blocks, &numbers)
                .ok_or_else(|| format!("{} is nowhere in its mjData", field.heading()))?;
        }
        Ok(Self(offsets))
    }

    /// Copies a field.
    ///
    /// # Safety
    /// `world` is live data of the library that the fields were found in, and `numbers` is as long
    /// as the field is in its model.
    pub(super) unsafe fn copy(&self, field: Field, world: Opaque, numbers: &mut [f64]) {
        // SAFETY: the struct has the layout that was found, so the pointer there is to this field.
        let source = unsafe { *world.byte_add(self.0[field as usize]).cast::<*const f64>() };
        if !numbers.is_empty() {
            // SAFETY: the caller's promise; the library does not run while its data is borrowed.
            unsafe { ptr::copy_nonoverlapping(source, numbers.as_mut_ptr(), numbers.len()) }
        }
    }
}

/// A piece of memory: its start and its length in bytes.
type Block = (usize, usize);

/// The state of recording allocations.
struct Recorder {
    allocator: *mut Allocator,
    allocate: unsafe extern "C-unwind" fn(usize) -> Opaque,
    blocks: Vec<Block>,
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// Runs `work` and returns the memory that the library allocated meanwhile.
fn recorded<T>(functions: &Functions, work: impl FnOnce() -> T) -> (T, Vec<Block>) {
    RECORDER.set(Some(Recorder {
        allocator: functions.allocator,
        allocate: functions.allocate,
        blocks: Vec::new(),
    }));
    // SAFETY: the library's own variable for that purpose; nothing else uses the library yet.
    unsafe { *functions.allocator = Some(record) }
    let result = work();
    // SAFETY: as before.
    unsafe { *functions.allocator = None }
    let blocks = RECORDER
        .take()
        .map_or_else(Vec::new, |recorder| recorder.blocks);
    (result, blocks)
}

/// Gets memory from the library's own allocator, so that the library can free it as usual, and
/// records it.
unsafe extern "C-unwind" fn record(size: usize) -> Opaque {
    RECORDER.with_borrow_mut(|recorder| {
        let Some(recorder) = recorder else {
            return ptr::null_mut();
        };
        // SAFETY: `recorded` is running in this thread, which alone uses the library. Once this
        // function is taken out of the variable, the library uses its own allocator again.
        unsafe {
            *recorder.allocator = None;
            let block = (recorder.allocate)(size);
            *recorder.allocator = Some(record);
            recorder.blocks.push((block.addr(), size));
            block
        }
    })
}

/// The library's own listing of its data, with enough digits to distinguish all numbers.
fn print(world: &World) -> Result<String, String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = env::temp_dir().join(format!("rtg-mujoco-{}-{count}.txt", process::id()));
    let name =
        CString::new(path.to_string_lossy().as_bytes()).map_err(|error| error.to_string())?;
    let (model, world_pointer) = (world.model().pointer, world.pointer);
    // SAFETY: live data and its model, and two strings that end with a zero.
    unsafe { (world.call().print)(model, world_pointer, name.as_ptr(), c"%.17g".as_ptr()) }
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("it could not print into {}: {error}", path.display()));
    let _ = fs::remove_file(&path);
    text
}

/// The numbers between a heading and the next empty line.
fn numbers_under(printed: &str, heading: &str) -> Option<Vec<f64>> {
    let mut lines = printed.lines().map(str::trim);
    lines.find(|line| *line == heading)?;
    lines
        .take_while(|line| !line.is_empty())
        .flat_map(str::split_whitespace)
        .map(|number| number.parse().ok())
        .collect()
}

/// Whether these bytes lie inside a block. `start` is any number that is found in the struct: the
/// end of its bytes may be beyond the largest address.
fn holds((block, bytes): Block, start: usize, size: usize) -> bool {
    start
        .checked_sub(block)
        .and_then(|before| bytes.checked_sub(before))
        .is_some_and(|room| size <= room)
}

/// The offset of the pointer in `mjData` that leads to these numbers.
fn search(world: &World, blocks: &[Block], numbers: &[f64]) -> Option<usize> {
    let is_varied = numbers
        .iter()
        .any(|&x| x != 0.0 && x.to_bits() != numbers[0].to_bits());
    let struct_size = blocks
        .iter()
        .find(|block| block.0 == world.pointer.addr())?
        .1;
    // SAFETY: inside of the struct, which the library has filled, at a multiple of 8.
    let pointer_at =
        |offset: usize| unsafe { *world.pointer.byte_add(offset).cast::<*const f64>() };
    let leads_there = |offset: &usize| {
        let pointer = pointer_at(*offset);
        let (start, size) = (pointer.addr(), size_of_val(numbers));
        let is_inside = blocks.iter().any(|block| holds(*block, start, size));
        if !start.is_multiple_of(align_of::<f64>()) || !is_inside {
            return false;
        }
        // SAFETY: inside of memory that belongs to this data, and aligned.
        let found = unsafe { slice::from_raw_parts(pointer, numbers.len()) };
        found
            .iter()
            .zip(numbers)
            .all(|(a, b)| a.to_bits() == b.to_bits())
    };
    let places: Vec<usize> = (0..=struct_size - size_of::<Opaque>())
        .step_by(size_of::<Opaque>())
        .filter(leads_there)
        .collect();
    // An empty array before this one is at the same address. It is empty in the tasks' models, too
    // (plugins, histories, mocap bodies), so that any of these pointers would do.
    let last = *places.last().filter(|_| is_varied)?;
    let is_one_array = places
        .iter()
        .all(|&place| pointer_at(place) == pointer_at(last));
    is_one_array.then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_inside_a_block_only_as_a_whole() {
        let block = (4096, 64);
        for (start, size, expected) in [
            (4096, 64, true),
            (4152, 8, true),
            (4160, 0, true),
            (4088, 8, false),
            (4152, 16, false),
            (4168, 8, false),
            // No pointer; 64 bytes from there on end at 56.
            (usize::MAX - 7, 64, false),
        ] {
            assert_eq!(holds(block, start, size), expected, "{size} at {start}");
        }
    }

    #[test]
    fn fields_equal_what_functions_return_of_the_same_simulation() {
        if !crate::mujoco::is_here("the fields of mjData") {
            return;
        }
        let library = crate::mujoco::installation::library().unwrap();
        let model = Arc::new(library.compile(include_str!("../models/ant.xml")).unwrap());
        let mut world = World::new(&model).unwrap();
        let parts = model.parts();
        let control: Vec<f64> = (0..8).map(|i| 0.1 * f64::from(i)).collect();
        world.write(parts.control, &control);
        world.step(100);
        world.contact_forces();
        let read = |field| {
            let mut numbers = vec![f64::NAN; model.field_width(field)];
            world.read_field(field, &mut numbers);
            numbers
        };
        assert_eq!(read(Field::Control), control);
        let origins: Vec<f64> = world.poses().iter().flat_map(|pose| pose.origin).collect();
        assert_eq!(read(Field::BodyPositions), origins);
        // The motors' gear is 150; they drive the hips and ankles in the order 4, 1, 2, 3.
        let forces: Vec<f64> = [2, 3, 4, 5, 6, 7, 0, 1]
            .map(|i| 150.0 * control[i])
            .to_vec();
        assert_eq!(read(Field::ActuatorForces)[6..], forces);
        // Its weight in newtons rests on the floor, through the legs.
        let contacts = read(Field::ExternalForces);
        let upwards: f64 = contacts.chunks(6).map(|force| force[5]).sum();
        assert!((upwards - 9.81 * 0.9109).abs() < 0.5 * 9.81, "{upwards} N");
        let masses = read(Field::Inertias)
            .into_iter()
            .skip(9)
            .step_by(10)
            .sum::<f64>();
        assert!((masses - 0.9109).abs() < 1e-3, "{masses} kg");
    }

    #[test]
    fn numbers_are_read_up_to_the_next_empty_line() {
        let printed = "TIME = 3\n\nXPOS\n  0 0 -0\n  1.5 2e-3 1\n\nXIPOS\n\nBAD\n  one\n";
        assert_eq!(
            numbers_under(printed, "XPOS"),
            Some(vec![0.0, 0.0, -0.0, 1.5, 2e-3, 1.0])
        );
        assert_eq!(numbers_under(printed, "XIPOS"), Some(Vec::new()));
        assert_eq!(numbers_under(printed, "BAD"), None);
        assert_eq!(numbers_under(printed, "POS"), None);
    }
}
