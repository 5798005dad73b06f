//! Rows of an environment. One call is one step of all of them.

use std::sync::Mutex;

use numpy::PyArrayDyn;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rtg_envs::{Autoreset, BoxSpace, Dtype, Space, VecEnv, mujoco, registry};

use crate::error::{gymnasium, raised};
use crate::{array, options, space};

/// From this many rows of classic control on, a step releases the GIL. A shorter one takes some
/// microseconds, less than it may cost to get the GIL back.
const MANY_ROWS: usize = 4096;

/// Observations, rewards, terminations, truncations and infos.
type Stepped<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyArrayDyn<f64>>,
    Bound<'py, PyArrayDyn<bool>>,
    Bound<'py, PyArrayDyn<bool>>,
    Bound<'py, PyDict>,
);

/// Rows of an environment.
#[pyclass(module = "returntogo._native")]
pub(crate) struct Rows {
    /// None when closed. The lock is only to be `Sync`: methods have the object to themselves.
    envs: Mutex<Option<VecEnv>>,
    count: usize,
    /// The shape of observations, rows x ...
    observed: Vec<usize>,
    is_single: bool,
    choices: Option<Choices>,
    /// The shape of actions, rows x ...
    acted: Vec<usize>,
    actions: Vec<f64>,
    autoreset: Autoreset,
    /// Whether a step releases the GIL.
    is_long: bool,
    /// Whether the rows have been reset.
    is_ready: bool,
    #[pyo3(get)]
    id: String,
    #[pyo3(get)]
    max_episode_steps: Option<usize>,
    #[pyo3(get)]
    reward_threshold: Option<f64>,
}

/// The integers that a discrete action may be.
#[derive(Clone, Copy)]
struct Choices {
    n: usize,
    start: i64,
}

#[pymethods]
impl Rows {
    /// `threads` 0 is one for each core, where a step is worth it. `mujoco_folder` is where this
    /// Python has MuJoCo.
    #[new]
    fn make(
        py: Python<'_>,
        id: &str,
        rows: usize,
        autoreset: &str,
        threads: usize,
        mujoco_folder: Option<std::path::PathBuf>,
        kwargs: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let env = options::environment(id, Some(kwargs))?;
        let autoreset = match autoreset {
            "NextStep" => Autoreset::NextStep,
            "SameStep" => Autoreset::SameStep,
            "Disabled" => Autoreset::Disabled,
            other => {
                return Err(PyValueError::new_err(format!(
                    "no autoreset mode '{other}'"
                )));
            }
        };
        let is_slow = registry::needs_mujoco(&env);
        let threads = match threads {
            0 if is_slow => rtg::experiment::default_threads(),
            0 => 1,
            given => given,
        };
        let make = || -> Result<VecEnv, rtg_envs::Error> {
            if let Some(folder) = mujoco_folder.filter(|_| is_slow) {
                mujoco::find_at(&folder)?;
            }
            Ok(rtg_envs::make_vec(&env, rows, autoreset)?.with_threads(threads))
        };
        let envs = py.detach(make).map_err(raised)?;
        let spec = envs.spec().clone();
        let unknown = |space: &Space| PyTypeError::new_err(format!("{env} has {space:?}"));
        let Space::Box(seen) = &spec.observation_space else {
            return Err(unknown(&spec.observation_space));
        };
        let is_single = match seen.dtype {
            Dtype::Float32 => true,
            Dtype::Float64 => false,
            _ => return Err(unknown(&spec.observation_space)),
        };
        let (choices, shape) = match &spec.action_space {
            &Space::Discrete { n, start } => (Some(Choices { n, start }), Vec::new()),
            Space::Box(BoxSpace { shape, .. }) => (None, shape.clone()),
            other => return Err(unknown(other)),
        };
        Ok(Self {
            count: rows,
            observed: [vec![rows], seen.shape.clone()].concat(),
            is_single,
            choices,
            acted: [vec![rows], shape].concat(),
            actions: vec![0.0; rows * spec.action_space.width()],
            autoreset,
            is_long: is_slow || rows >= MANY_ROWS,
            is_ready: false,
            id: spec.id,
            max_episode_steps: spec.max_episode_steps,
            reward_threshold: spec.reward_threshold,
            envs: Mutex::new(Some(envs)),
        })
    }

    fn observation_space<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        space::gymnasium(py, &open(py, &mut self.envs)?.spec().observation_space)
    }

    fn action_space<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        space::gymnasium(py, &open(py, &mut self.envs)?.spec().action_space)
    }

    fn frames_per_second(&mut self, py: Python<'_>) -> PyResult<f64> {
        Ok(open(py, &mut self.envs)?.env(0).steps_per_second())
    }

    /// Resets the rows for which there is an entry, with the seed in it or with their generators.
    fn reset<'py>(
        &mut self,
        py: Python<'py>,
        seeds: Vec<(usize, Option<u64>)>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let envs = open(py, &mut self.envs)?;
        for (row, seed) in seeds {
            if row >= self.count {
                return Err(PyValueError::new_err(format!("no row {row}")));
            }
            envs.reset_row(row, seed);
        }
        self.is_ready = true;
        let envs = open(py, &mut self.envs)?;
        Ok(observations(
            py,
            &self.observed,
            self.is_single,
            envs.observations(),
        ))
    }

    fn step<'py>(
        &mut self,
        py: Python<'py>,
        actions: &Bound<'py, PyAny>,
    ) -> PyResult<Stepped<'py>> {
        let envs = open(py, &mut self.envs)?;
        if !self.is_ready {
            let text = "call reset() before step()".to_owned();
            return Err(gymnasium(py, "ResetNeeded", text));
        }
        read(actions, &self.acted, self.choices, &mut self.actions)?;
        if self.autoreset == Autoreset::Disabled {
            let mut ends = envs.terminated().iter().zip(envs.truncated());
            if let Some(row) = ends.position(|(terminated, truncated)| terminated | truncated) {
                let text = format!("the episode in row {row} is over: reset it before step()");
                return Err(gymnasium(py, "ResetNeeded", text));
            }
        }
        let actions = &self.actions;
        if self.is_long {
            py.detach(|| envs.step(actions));
        } else {
            envs.step(actions);
        }
        let rows = &[self.count];
        Ok((
            observations(py, &self.observed, self.is_single, envs.observations()),
            array::copied(py, rows, envs.rewards()),
            array::copied(py, rows, envs.terminated()),
            array::copied(py, rows, envs.truncated()),
            PyDict::new(py),
        ))
    }

    /// The last observations of the episodes that have ended, where rows are reset in the same
    /// step.
    fn final_observations<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let envs = open(py, &mut self.envs)?;
        let last = envs.final_observations();
        Ok(observations(py, &self.observed, self.is_single, last))
    }

    /// A picture of each row.
    fn render<'py>(&mut self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyArrayDyn<u8>>>> {
        let rows = self.count;
        let envs = open(py, &mut self.envs)?;
        let picture = |row: usize| {
            let frame = envs.env(row).render();
            let frame = frame.ok_or_else(|| {
                raised(rtg::error::Error::NoPicture {
                    env: envs.spec().id.clone(),
                })
            })?;
            Ok(array::copied(
                py,
                &[frame.height, frame.width, 3],
                &frame.pixels,
            ))
        };
        (0..rows).map(picture).collect()
    }

    fn close(&mut self) {
        if let Ok(envs) = self.envs.get_mut() {
            *envs = None;
        }
    }
}

/// The environments, if they have not been closed.
fn open<'a>(py: Python<'_>, envs: &'a mut Mutex<Option<VecEnv>>) -> PyResult<&'a mut VecEnv> {
    let held = envs.get_mut().ok().and_then(Option::as_mut);
    let closed = || {
        let text = "the environments have been closed".to_owned();
        gymnasium(py, "ClosedEnvironmentError", text)
    };
    held.ok_or_else(closed)
}

/// A new array of observations, in the space's own type.
fn observations<'py>(
    py: Python<'py>,
    shape: &[usize],
    is_single: bool,
    numbers: &[f64],
) -> Bound<'py, PyAny> {
    if !is_single {
        return array::copied(py, shape, numbers).into_any();
    }
    let array = array::new(py, shape, |to: &mut [f32]| {
        for (to, &number) in to.iter_mut().zip(numbers) {
            *to = number as f32;
        }
    });
    array.into_any()
}

/// Reads actions: arrays of the space's own type as they are, anything else as NumPy understands
/// it.
fn read(
    given: &Bound<'_, PyAny>,
    shape: &[usize],
    choices: Option<Choices>,
    to: &mut [f64],
) -> PyResult<()> {
    let is_read = match choices {
        Some(choices) => match array::numbers::<i64>(given, shape) {
            Some(numbers) => choose(choices, numbers, to).map(|()| true)?,
            None => false,
        },
        None => {
            copy(array::numbers::<f32>(given, shape), to)
                || copy(array::numbers::<f64>(given, shape), to)
        }
    };
    if is_read {
        return Ok(());
    }
    let py = given.py();
    let (kinds, dtype) = match choices {
        Some(_) => ("iu", "int64"),
        None => ("iuf", "float64"),
    };
    let given = py.import("numpy")?.call_method1("asarray", (given,))?;
    let found: Vec<usize> = given.getattr("shape")?.extract()?;
    let kind: String = given.getattr("dtype")?.getattr("kind")?.extract()?;
    if found != shape || !kinds.contains(&kind) {
        let what = if choices.is_some() {
            "integers"
        } else {
            "numbers"
        };
        let found_type = given.getattr("dtype")?;
        let text =
            format!("actions must be {what} of shape {shape:?}, not {found_type} of {found:?}");
        return Err(PyValueError::new_err(text));
    }
    let options = PyDict::new(py);
    options.set_item("order", "C")?;
    let converted = given.call_method("astype", (dtype,), Some(&options))?;
    let failed = || PyRuntimeError::new_err("NumPy's astype has returned another type");
    match choices {
        Some(choices) => {
            let numbers = array::numbers::<i64>(&converted, shape).ok_or_else(failed)?;
            choose(choices, numbers, to)
        }
        None => copy(array::numbers::<f64>(&converted, shape), to)
            .then_some(())
            .ok_or_else(failed),
    }
}

/// Copies discrete actions and refuses those that do not exist.
fn choose(choices: Choices, numbers: &[i64], to: &mut [f64]) -> PyResult<()> {
    let Choices { n, start } = choices;
    let is_known = |number: i64| (number.wrapping_sub(start) as u64) < n as u64;
    let mut all_known = true;
    for (to, &number) in to.iter_mut().zip(numbers) {
        all_known &= is_known(number);
        *to = number as f64;
    }
    if all_known {
        return Ok(());
    }
    let row = numbers.iter().position(|&number| !is_known(number));
    let row = row.unwrap_or_default();
    let last = start + n as i64 - 1;
    Err(PyValueError::new_err(format!(
        "the action of row {row} must be between {start} and {last}, not {}",
        numbers[row]
    )))
}

/// Copies numbers, if there are any.
fn copy<T: Copy + Into<f64>>(numbers: Option<&[T]>, to: &mut [f64]) -> bool {
    let Some(numbers) = numbers else {
        return false;
    };
    for (to, &number) in to.iter_mut().zip(numbers) {
        *to = number.into();
    }
    true
}
