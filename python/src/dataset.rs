//! Stored trajectories as NumPy views.

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use rtg_datasets::store::StoreMode;
use rtg_datasets::{Defects, EnvSpec};

use crate::array;
use crate::error::raised;
use crate::space::gymnasium;

/// An episode's observations, actions and rewards, whether it terminated and was truncated, and the
/// seed of its reset.
type Parts<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    bool,
    bool,
    Option<u64>,
);

/// A dataset. It never changes, so that views of its numbers stay valid.
#[pyclass(frozen, module = "returntogo._native")]
pub(crate) struct Dataset(rtg_datasets::Dataset);

#[pymethods]
impl Dataset {
    #[new]
    fn open(py: Python<'_>, id: &str) -> PyResult<Self> {
        let open = || rtg::data::open_dataset(id, Defects::Refuse, StoreMode::default());
        py.detach(open).map(Self).map_err(raised)
    }

    #[getter]
    fn id(&self) -> &str {
        &self.0.info().id
    }

    /// The environment as rtg's text for it.
    #[getter]
    fn env(&self) -> Option<String> {
        self.0.info().env_spec.as_ref().map(EnvSpec::environment)
    }

    #[getter]
    fn episodes(&self) -> usize {
        self.0.episodes()
    }

    #[getter]
    fn steps(&self) -> usize {
        self.0.steps()
    }

    #[getter]
    fn observation_space<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        gymnasium(py, &self.0.info().observation_space)
    }

    #[getter]
    fn action_space<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        gymnasium(py, &self.0.info().action_space)
    }

    fn hash(&self, py: Python<'_>) -> String {
        py.detach(|| self.0.hash())
    }

    fn episode<'py>(this: &Bound<'py, Self>, index: usize) -> PyResult<Parts<'py>> {
        let data = &this.get().0;
        if index >= data.episodes() {
            let text = format!("no episode {index} in {}", data.episodes());
            return Err(PyIndexError::new_err(text));
        }
        let episode = data.episode(index);
        let steps = episode.len();
        let view = |shape: &[usize], numbers: &[f64]| {
            #[expect(unsafe_code, reason = "a view instead of a copy")]
            // SAFETY: a dataset that is not changed keeps its numbers where they are, and this one
            // is behind a frozen class.
            let array = unsafe { array::view(this, shape, numbers) }?;
            Ok::<_, PyErr>(array.into_any())
        };
        Ok((
            view(&[steps + 1, data.observation_width()], episode.observations)?,
            view(&[steps, data.action_width()], episode.actions)?,
            view(&[steps], episode.rewards)?,
            episode.terminated,
            episode.truncated,
            episode.seed,
        ))
    }
}
