//! The greedy policy of a run.

use std::path::Path;
use std::sync::Mutex;

use numpy::{PyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rtg::error::Error;
use rtg::policy::{Mode, Start};
use rtg::trained::{TrainedPolicy, Which};
use rtg_envs::Spec;

use crate::array;
use crate::error::raised;
use crate::space::gymnasium;

/// What is known of a run, and its policy for some rows.
#[pyclass(module = "returntogo._native")]
pub(crate) struct Policy {
    /// Only to be `Sync`: methods that use it have the object to themselves.
    acting: Mutex<Box<dyn rtg::policy::Policy>>,
    spec: Spec,
    targets: Vec<f64>,
    rows: usize,
    /// Rows in which an episode has begun.
    begun: Vec<bool>,
    /// All rows.
    active: Vec<usize>,
    /// Rows x S.
    observations: Vec<f64>,
    rewards: Vec<f64>,
    /// Rows x A: the actions of the last step, zeros at an episode's first.
    actions: Vec<f64>,
    #[pyo3(get)]
    algorithm: &'static str,
    #[pyo3(get)]
    step: u64,
    #[pyo3(get)]
    takes_target: bool,
}

#[pymethods]
impl Policy {
    #[new]
    fn load(
        py: Python<'_>,
        run: &str,
        checkpoint: &str,
        rows: usize,
        threads: usize,
    ) -> PyResult<Self> {
        let which = Which::ALL
            .into_iter()
            .find(|which| which.name() == checkpoint);
        let which = which.ok_or_else(|| {
            let known = Which::ALL.map(Which::name).join("' or '");
            PyValueError::new_err(format!("checkpoint must be '{known}', not '{checkpoint}'"))
        })?;
        if rows == 0 || threads == 0 {
            return Err(PyValueError::new_err(
                "num_envs and threads must be at least 1",
            ));
        }
        let open = || -> Result<Self, Error> {
            let (trained, spec) = TrainedPolicy::describe(Path::new(run), which)?;
            let (targets, _) = trained.targets(None)?;
            Ok(Self {
                acting: Mutex::new(trained.model.policy(Mode::Greedy, rows, threads)),
                targets,
                begun: vec![false; rows],
                active: (0..rows).collect(),
                observations: vec![0.0; rows * spec.observation_space.width()],
                rewards: vec![0.0; rows],
                actions: vec![0.0; rows * spec.action_space.width()],
                algorithm: trained.algorithm,
                step: trained.step,
                takes_target: trained.takes_target,
                spec,
                rows,
            })
        };
        py.detach(open).map_err(raised)
    }

    /// The environment that it was trained for, as rtg's text for it.
    #[getter]
    fn env(&self) -> &str {
        &self.spec.id
    }

    /// The returns that the run's evaluations ask for.
    #[getter]
    fn targets(&self) -> Vec<f64> {
        self.targets.clone()
    }

    #[getter]
    fn observation_space<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        gymnasium(py, &self.spec.observation_space)
    }

    #[getter]
    fn action_space<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        gymnasium(py, &self.spec.action_space)
    }

    /// An episode begins in `row`.
    fn begin(&mut self, row: usize, target: Option<f64>) -> PyResult<()> {
        let begun = self.begun.get_mut(row);
        *begun.ok_or_else(|| PyValueError::new_err("no such row"))? = true;
        let width = self.actions.len() / self.rows;
        self.actions[row * width..][..width].fill(0.0);
        // A greedy policy draws nothing from the seed.
        let start = Start { seed: 0, target };
        policy(&mut self.acting)?.begin(row, &start);
        Ok(())
    }

    /// The actions of all rows, rows x A, from observations, rows x S, and the rewards of the last
    /// step; a row that has just begun has the reward 0.
    fn act<'py>(
        &mut self,
        py: Python<'py>,
        observations: &Bound<'py, PyAny>,
        rewards: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        if let Some(row) = self.begun.iter().position(|begun| !begun) {
            let text = format!("call reset() before act(): no episode has begun in row {row}");
            return Err(PyRuntimeError::new_err(text));
        }
        let width = self.observations.len() / self.rows;
        copy(observations, &[self.rows, width], &mut self.observations)?;
        copy(rewards, &[self.rows], &mut self.rewards)?;
        let Self {
            active,
            observations,
            rewards,
            actions,
            ..
        } = self;
        let acting = policy(&mut self.acting)?;
        py.detach(|| acting.act(active, observations, rewards, actions));
        let width = actions.len() / self.rows;
        Ok(array::copied(py, &[self.rows, width], actions))
    }
}

fn policy(
    held: &mut Mutex<Box<dyn rtg::policy::Policy>>,
) -> PyResult<&mut dyn rtg::policy::Policy> {
    let held = held.get_mut();
    let text = "the policy has failed before; load it again";
    Ok(held.map_err(|_| PyRuntimeError::new_err(text))?.as_mut())
}

/// Copies an array of this shape.
fn copy(array: &Bound<'_, PyAny>, shape: &[usize], to: &mut [f64]) -> PyResult<()> {
    let Some(numbers) = array::numbers(array, shape) else {
        let found = array
            .cast::<PyArrayDyn<f64>>()
            .map(|array| array.shape().to_vec());
        let text = format!("expected float64 numbers of shape {shape:?}, got {found:?}");
        return Err(PyValueError::new_err(text));
    };
    to.copy_from_slice(numbers);
    Ok(())
}
