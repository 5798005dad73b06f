//! What an environment costs on top of `mj_step`: `Hopper-v5` against a loop over the library's
//! function alone, in turn on the same seeds and actions.
//!
//! ```text
//! cargo bench -p rtg-envs --bench bare [-- ROUNDS]
//! ```
//!
//! The bare loop does what any user of the library must: sets the control, steps four times, reads
//! positions and velocities, starts again when the body has fallen. Both print the same number of
//! falls, so they did the same work. Needs `MuJoCo`, and knows the bits of its version for
//! controls.
#![expect(unsafe_code, reason = "the baseline is the C library itself")]

use rtg_envs::{
    Env, make,
    mujoco::{self, Hopper, Task},
    random::NumpyRng,
};
use std::{
    error::Error,
    ffi::{CString, c_char, c_int, c_void},
    io::{Write, stdout},
    ptr,
    time::Instant,
};

const STEPS: usize = 10_000;
/// Positions and velocities.
const JOINTS: c_int = 1 << 1 | 1 << 2;

type Opaque = *mut c_void;

/// The library's functions, a model and its data (`mjData`).
struct Bare {
    step: unsafe extern "C" fn(Opaque, Opaque),
    reset: unsafe extern "C" fn(Opaque, Opaque),
    forward: unsafe extern "C" fn(Opaque, Opaque),
    get: unsafe extern "C" fn(Opaque, Opaque, *mut f64, c_int),
    set: unsafe extern "C" fn(Opaque, Opaque, *const f64, c_int),
    model: Opaque,
    world: Opaque,
    control: c_int,
    start: [f64; 12],
}

impl Bare {
    fn new(found: &mujoco::Found) -> Result<Self, Box<dyn Error>> {
        let source = CString::new(&*Hopper::default().model())?;
        // SAFETY: the functions have these types in the headers of MuJoCo 3.2 to 4.0; the library
        // stays loaded because the environment's is the same; model and data are checked.
        unsafe {
            let library = libloading::Library::new(&found.path)?;
            let parse = *library.get::<unsafe extern "C" fn(
                *const c_char,
                Opaque,
                *mut c_char,
                c_int,
            ) -> Opaque>(b"mj_parseXMLString")?;
            let compile =
                *library.get::<unsafe extern "C" fn(Opaque, Opaque) -> Opaque>(b"mj_compile")?;
            let make = *library.get::<unsafe extern "C" fn(Opaque) -> Opaque>(b"mj_makeData")?;
            let spec = parse(source.as_ptr(), ptr::null_mut(), ptr::null_mut(), 0);
            let model = if spec.is_null() {
                spec
            } else {
                compile(spec, ptr::null_mut())
            };
            let world = if model.is_null() { model } else { make(model) };
            if world.is_null() {
                return Err("the library refuses the model".into());
            }
            let is_early = ["3.2.", "3.3.", "3.4."]
                .iter()
                .any(|v| found.version.starts_with(v));
            let mut bare = Self {
                step: *library.get(b"mj_step")?,
                reset: *library.get(b"mj_resetData")?,
                forward: *library.get(b"mj_forward")?,
                get: *library.get(b"mj_getState")?,
                set: *library.get(b"mj_setState")?,
                model,
                world,
                control: if is_early { 1 << 5 } else { 1 << 6 },
                start: [0.0; 12],
            };
            (bare.get)(model, world, bare.start.as_mut_ptr(), JOINTS);
            Ok(bare)
        }
    }

    fn restart(&mut self, rng: &mut NumpyRng) {
        let start = self.start.map(|number| number + rng.uniform(-5e-3, 5e-3));
        // SAFETY: live data and its model; the hopper has six positions and six velocities.
        unsafe {
            (self.reset)(self.model, self.world);
            (self.set)(self.model, self.world, start.as_ptr(), JOINTS);
            (self.forward)(self.model, self.world);
        }
    }

    /// Steps through the actions and returns the number of falls.
    fn run(&mut self, actions: &[[f64; 3]]) -> usize {
        let mut rng = NumpyRng::from_seed(9);
        let (mut joints, mut falls) = ([0.0; 12], 0);
        self.restart(&mut rng);
        for action in actions {
            // SAFETY: as before; the hopper has three actuators.
            unsafe {
                (self.set)(self.model, self.world, action.as_ptr(), self.control);
                for _ in 0..4 {
                    (self.step)(self.model, self.world);
                }
                (self.get)(self.model, self.world, joints.as_mut_ptr(), JOINTS);
            }
            let is_healthy = joints[1] > 0.7
                && joints[2].abs() < 0.2
                && joints[2..].iter().all(|number| number.abs() < 100.0);
            if !is_healthy {
                falls += 1;
                self.restart(&mut rng);
            }
        }
        falls
    }
}

fn run(env: &mut dyn Env, actions: &[[f64; 3]]) -> usize {
    let (mut observation, mut falls) = ([0.0; 11], 0);
    env.reset(Some(9), &mut observation);
    for action in actions {
        if env.step(action, &mut observation).terminated {
            falls += 1;
            env.reset(None, &mut observation);
        }
    }
    falls
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let rounds: usize = words.next().map_or(Ok(9), |word| word.parse())?;
    let mut env = make("Hopper-v5")?;
    let mut bare = Bare::new(&mujoco::find()?)?;
    let space = env.spec().action_space.clone();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut rng = NumpyRng::from_seed(round as u64);
        let mut actions = vec![[0.0; 3]; STEPS];
        for action in &mut actions {
            space.sample(&mut rng, action);
        }
        let began = Instant::now();
        let bare_falls = bare.run(&actions);
        theirs.push(STEPS as f64 / began.elapsed().as_secs_f64());
        let began = Instant::now();
        let falls = run(&mut *env, &actions);
        ours.push(STEPS as f64 / began.elapsed().as_secs_f64());
        if falls != bare_falls {
            return Err(format!("{falls} falls, {bare_falls} in the bare loop").into());
        }
    }
    let ratios = ours
        .iter()
        .zip(&theirs)
        .map(|(ours, theirs)| ours / theirs)
        .collect();
    let answer = serde_json::json!({
        "what": "Hopper-v5 and a bare loop over mj_step", "rounds": rounds,
        "per_second": median(ours).round(), "bare_per_second": median(theirs).round(),
        "ratio": median(ratios),
    });
    writeln!(stdout(), "{answer}")?;
    Ok(())
}
