//! A comparison as a sweep: every algorithm that fits a dataset, with its own defaults, under the
//! same seeds.
//!
//! Which algorithms fit is read from their cards: what they learn from, and which actions they can
//! choose. Each run computes on one thread, so that its bits do not depend on how many run at a
//! time, and a machine's cores are best used by as many runs.

mod budget;

use std::path::Path;

use rtg_envs::Space;

use self::budget::updates_in;
pub use self::budget::{Budget, BudgetError};
use crate::algorithms::{AlgorithmRef, Input};
use crate::data::ExperimentData;
use crate::error::{Error, describe};
use crate::experiment::{Experiment, merged};
use crate::keys::{Table, Value};
use crate::labels;
use crate::parallel::World;
use crate::sweep::{Folder, PlannedRun, SweepPlan};
use crate::train::new_learner;

/// What to compare.
#[derive(Debug)]
pub struct ComparisonPlan {
    /// Datasets, as in a plan.
    pub datasets: Vec<String>,
    /// The algorithms; with none, all that fit.
    pub algorithms: Vec<AlgorithmRef>,
    /// Seeds of each algorithm on each dataset, from 0.
    pub seeds: u64,
    /// The length of each run.
    pub budget: Budget,
    /// Keys that hold for all runs whose algorithm has them.
    pub settings: Vec<Table>,
}

/// The runs of a comparison.
#[derive(Debug)]
pub struct Planned {
    /// The runs: the first seed of every algorithm on every dataset, then the second, ...
    pub sweep: SweepPlan,
    /// Algorithms that were omitted although they fit by their card, and why.
    pub left_out: Vec<String>,
}

impl ComparisonPlan {
    /// Plans every run, and checks that its learner can be built. Updates that `folder` has already
    /// measured for the same budget are kept, so that a second call plans the same runs.
    ///
    /// # Errors
    /// A dataset that cannot be opened or evaluated on, an algorithm that was requested and does
    /// not fit.
    pub fn plan(&self, folder: &Path) -> Result<Planned, Error> {
        let earlier = Folder::open(folder).ok();
        let (mut of_seeds, mut left_out) = (Vec::new(), Vec::new());
        for dataset in &self.datasets {
            let opened = self.open(dataset)?;
            for algorithm in self.fitting(dataset, &opened)? {
                let name = algorithm.card().name;
                let layer = self.layer(dataset, algorithm);
                match self.budgeted(&layer, &opened, earlier.as_ref()) {
                    Ok((steps, note)) => of_seeds.push((dataset, name, layer, steps, note)),
                    Err(error) if self.algorithms.is_empty() => {
                        left_out.push(format!("{name} is omitted on {dataset}: {error}"));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        let mut runs = Vec::new();
        for seed in 0..self.seeds {
            for (dataset, name, layer, steps, note) in &of_seeds {
                let mut layer = layer.clone();
                layer.insert("steps".to_owned(), Value::Integer(steps.cast_signed()));
                layer.insert("seed".to_owned(), Value::Integer(seed.cast_signed()));
                let mut run = PlannedRun::new(&name_of(dataset, name, seed), &layer)?;
                run.text.insert_str(0, note);
                runs.push(run);
            }
        }
        Ok(Planned {
            sweep: SweepPlan::new(runs, Vec::new())?,
            left_out,
        })
    }

    /// Opens a dataset for all algorithms: with the selection of the settings, and an environment
    /// to evaluate in.
    fn open(&self, dataset: &str) -> Result<ExperimentData, Error> {
        let first = self.algorithms.first().copied();
        let offline =
            AlgorithmRef::all().find(|algorithm| algorithm.card().input != Input::Environment);
        let algorithm = first.or(offline).unwrap_or_default();
        let planned = Experiment::from_layers(&[self.layer(dataset, algorithm)])?;
        let opened = labels::open(&planned, None)?;
        match opened.unsimulated {
            Some(reason) => Err(Error::NoComparison {
                dataset: dataset.to_owned(),
                reason,
            }),
            None => Ok(opened),
        }
    }

    /// The algorithms that were requested, or all that learn from a dataset with these actions.
    fn fitting(&self, dataset: &str, opened: &ExperimentData) -> Result<Vec<AlgorithmRef>, Error> {
        let actions = &opened.spec.action_space;
        let fitting: Vec<AlgorithmRef> = AlgorithmRef::all()
            .filter(|algorithm| fits(*algorithm, actions))
            .collect();
        if self.algorithms.is_empty() {
            return Ok(fitting);
        }
        match self
            .algorithms
            .iter()
            .find(|asked| !fitting.contains(asked))
        {
            None => Ok(self.algorithms.clone()),
            Some(other) => Err(Error::DoesNotFit {
                algorithm: other.card().name,
                dataset: dataset.to_owned(),
                actions: describe(actions),
                fitting: fitting.iter().map(|one| one.card().name).collect(),
            }),
        }
    }

    /// The common settings of the runs of an algorithm on a dataset.
    fn layer(&self, dataset: &str, algorithm: AlgorithmRef) -> Table {
        let mut layer = Table::new();
        let words = [("dataset", dataset), ("algorithm", algorithm.card().name)];
        layer.extend(words.map(|(key, word)| (key.to_owned(), Value::String(word.to_owned()))));
        layer.insert("threads".to_owned(), Value::Integer(1));
        let concerning = self.settings.iter().filter(|s| concerns(s, algorithm));
        let layers: Vec<Table> = [layer].into_iter().chain(concerning.cloned()).collect();
        merged(&layers)
    }

    /// The steps of a run, and a comment for its plan that states their source.
    fn budgeted(
        &self,
        layer: &Table,
        opened: &ExperimentData,
        earlier: Option<&Folder>,
    ) -> Result<(u64, String), Error> {
        let plan = Experiment::from_layers(std::slice::from_ref(layer))?;
        let plan = plan.resolve(&opened.spec, opened.data.as_ref())?;
        // All errors in a plan are found before the first run.
        let mut learner = new_learner(&plan, &World::alone(), opened, None)?;
        let (minutes, data) = match (self.budget, &opened.data) {
            (Budget::Minutes(minutes), Some(data)) => (minutes, data),
            (Budget::Updates(updates), _) => return Ok((updates, String::new())),
            _ => return Ok((plan.steps, String::new())),
        };
        let note = format!("# updates that took {minutes} min, measured before the runs\n");
        let steps = match earlier.and_then(|folder| measured(folder, layer, &note)) {
            Some(steps) => steps,
            None => updates_in(minutes, &mut *learner, data)?,
        };
        Ok((steps, note))
    }
}

/// The steps of a run in `folder` with the settings of `layer`, if its plan has this comment.
fn measured(folder: &Folder, layer: &Table, note: &str) -> Option<u64> {
    (0..folder.names().len()).find_map(|index| {
        let text = std::fs::read_to_string(folder.plan(index)).ok()?;
        let mut plan = Experiment::parse_layer(text.strip_prefix(note)?).ok()?;
        let steps = plan.remove("steps")?.as_integer()?;
        plan.remove("seed");
        (plan == *layer).then_some(steps.cast_unsigned())
    })
}

/// The parts of a run's name.
fn name_of(dataset: &str, algorithm: &str, seed: u64) -> [String; 3] {
    [dataset.to_owned(), algorithm.to_owned(), seed.to_string()]
}

/// Whether an algorithm learns from a dataset with such actions.
fn fits(algorithm: AlgorithmRef, actions: &Space) -> bool {
    let card = algorithm.card();
    let chooses = match actions {
        Space::Box(_) => card.continuous,
        Space::Discrete { .. } => card.discrete,
        _ => false,
    };
    chooses && card.input != Input::Environment
}

/// Whether a setting applies to this algorithm: all do except those in tables of other algorithms.
fn concerns(setting: &Table, algorithm: AlgorithmRef) -> bool {
    let has = |algorithm: AlgorithmRef, name: &str| {
        let tables = algorithm.tables();
        tables.iter().any(|keys| keys.table == name)
    };
    let names = setting.keys();
    let mut foreign = names
        .filter(|name| AlgorithmRef::all().any(|other| has(other, name)) && !has(algorithm, name));
    foreign.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(datasets: &[&str], algorithms: &[&str], budget: Budget) -> ComparisonPlan {
        let named = |name: &&str| AlgorithmRef::named(name).unwrap();
        ComparisonPlan {
            datasets: datasets.iter().map(|&dataset| dataset.to_owned()).collect(),
            algorithms: algorithms.iter().map(named).collect(),
            seeds: 2,
            budget,
            settings: Vec::new(),
        }
    }

    fn planned(comparison: &ComparisonPlan) -> Vec<Table> {
        let planned = comparison.plan(Path::new("nowhere")).unwrap();
        assert_eq!(planned.left_out, Vec::<String>::new());
        let runs = planned.sweep.runs.iter();
        runs.map(|run| Experiment::parse_layer(&run.text).unwrap())
            .collect()
    }

    #[test]
    fn all_algorithms_that_fit_the_actions_of_a_dataset_are_compared() {
        for (dataset, discrete) in [
            ("builtin/cartpole/random", true),
            ("builtin/pendulum/random", false),
        ] {
            let plans = planned(&comparison(&[dataset], &[], Budget::Own));
            let names: Vec<&str> = plans
                .iter()
                .map(|p| p["algorithm"].as_str().unwrap())
                .collect();
            let fitting: Vec<&str> = AlgorithmRef::all()
                .map(|algorithm| algorithm.card())
                .filter(|card| card.input != Input::Environment)
                .filter(|card| {
                    if discrete {
                        card.discrete
                    } else {
                        card.continuous
                    }
                })
                .map(|card| card.name)
                .collect();
            assert!(fitting.len() >= 2);
            // Seed by seed, so that an early look compares all of them.
            assert_eq!(names, [fitting.clone(), fitting].concat());
            for plan in &plans {
                let algorithm = AlgorithmRef::named(plan["algorithm"].as_str().unwrap()).unwrap();
                let own = Experiment::from_layers(&[Table::from_iter([(
                    "algorithm".to_owned(),
                    Value::String(algorithm.card().name.to_owned()),
                )])]);
                assert_eq!(
                    plan["steps"].as_integer().unwrap(),
                    own.unwrap().steps as i64
                );
                assert_eq!(plan["threads"].as_integer(), Some(1));
            }
        }
    }

    #[test]
    fn a_setting_applies_to_the_algorithms_that_have_its_key() {
        let mut compared = comparison(
            &["builtin/cartpole/random"],
            &["decision_transformer", "bc"],
            Budget::Updates(30),
        );
        compared.settings = ["decision_transformer.width=16", "evaluation.episodes=3"]
            .map(|setting| Experiment::parse_setting(setting).unwrap())
            .into();
        let plans = planned(&compared);
        assert_eq!(plans.len(), 4);
        assert_eq!(
            plans[0]["decision_transformer"]["width"].as_integer(),
            Some(16)
        );
        assert!(plans[1].get("decision_transformer").is_none());
        let seeds = plans.iter().map(|plan| plan["seed"].as_integer().unwrap());
        assert_eq!(seeds.collect::<Vec<_>>(), [0, 0, 1, 1]);
        for plan in plans {
            assert_eq!(plan["evaluation"]["episodes"].as_integer(), Some(3));
            assert_eq!(plan["steps"].as_integer(), Some(30));
        }
    }

    #[test]
    fn updates_are_measured_once() {
        let place = tempfile::tempdir().unwrap();
        let mut compared = comparison(&["builtin/cartpole/random"], &["bc"], Budget::Minutes(0.1));
        let planned = compared.plan(place.path()).unwrap();
        let steps = |text: &str| Experiment::parse_layer(text).unwrap()["steps"].as_integer();
        let first = &planned.sweep.runs[0].text;
        assert!(first.starts_with("# updates that took 0.1 min"), "{first}");
        assert!(steps(first) > Some(1));
        // The steps in the folder are kept, whatever a new measurement would be.
        let mut kept = planned.sweep.clone();
        for run in &mut kept.runs {
            let number = steps(&run.text).unwrap();
            run.text = run.text.replace(&format!("steps = {number}"), "steps = 77");
        }
        Folder::write(place.path(), &kept).unwrap();
        assert_eq!(compared.plan(place.path()).unwrap().sweep, kept);
        compared.budget = Budget::Minutes(0.2);
        let other = compared.plan(place.path()).unwrap();
        assert_ne!(steps(&other.sweep.runs[0].text), Some(77));
    }

    #[test]
    fn incomparable_runs_are_refused() {
        let own = |datasets: &[&str], algorithms: &[&str]| {
            comparison(datasets, algorithms, Budget::Own).plan(Path::new("nowhere"))
        };
        let error = own(&["builtin/cartpole/random"], &["bc", "td3_bc"]).unwrap_err();
        assert!(
            error.to_string().starts_with("td3_bc does not fit"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("decision_transformer"));
        let error = own(&["builtin/pendulum/random"], &["sac"]).unwrap_err();
        assert!(error.to_string().starts_with("sac does not fit"), "{error}");
        let twice = own(&["builtin/cartpole/random"; 2], &["bc"]).unwrap_err();
        assert!(
            twice.to_string().contains("two runs would have the name"),
            "{twice}"
        );
        let mut alone = comparison(&["builtin/cartpole/random"], &["bc"], Budget::Own);
        alone.settings = vec![Experiment::parse_setting("env=none").unwrap()];
        let error = alone.plan(Path::new("nowhere")).unwrap_err();
        assert!(
            error.to_string().contains("cannot be compared on"),
            "{error}"
        );
    }
}
