//! The plan of one run: the recipe's values, then the experiment file, then the command line.
//!
//! Layers are merged as TOML tables before anything is parsed, so a file holds only what differs,
//! and a key that does not exist is an error with the nearest ones that do. General keys are typed
//! here; the tables of the algorithm stay a [`Table`] that the algorithm itself reads. What depends
//! on the data (targets, return scale, ...) is filled in by [`Experiment::resolve`] once the
//! dataset is open; the resolved plan is written into the run directory.

mod error;
mod layers;
mod plan;
mod targets;

use std::convert::Infallible;

use std::path::PathBuf;

use rtg_datasets::{Dataset, LabelKind, ReturnSummary};
use rtg_envs::{Spec, registry};
use serde::de::DeserializeOwned;

use self::layers::{all_keys, check_keys, known_keys, merge, rename_former, table};
use self::targets::FORMS;
use crate::algorithms::labels::LabelsConfig;
use crate::algorithms::{AlgorithmRef, Facts, Input};
use crate::device::Device;
use crate::keys::wrong_type;
use crate::keys::{KeyError, PlanError, Table, Value};
use crate::policy::Acting;
use crate::statistics::Interval;

pub use self::error::ExperimentError;
pub use self::layers::merged;
pub use self::plan::{
    EvaluationConfig, Experiment, LoggingConfig, MixPart, OnlineConfig, TrajectoriesConfig,
    general, reference,
};
pub use self::targets::{Returns, Target, Targets};

/// The percentiles of advantages that are targets by default; the first is that of the command
/// network of ACT.
const USUAL_ADVANTAGES: [f64; 2] = [0.98, 0.5];

/// In place of an environment id: the policy is trained without evaluation.
pub const NONE: &str = "none";

impl Experiment {
    /// Merges the layers, later ones over earlier ones, onto the algorithm and recipe they name.
    ///
    /// # Errors
    /// Unknown keys, values of a wrong type, invalid values.
    pub fn from_layers(layers: &[Table]) -> Result<Self, ExperimentError> {
        let algorithm = match last::<String>(layers, "algorithm")? {
            Some(name) => AlgorithmRef::named(&name)?,
            None => AlgorithmRef::default(),
        };
        let recipe = last::<String>(layers, "recipe")?;
        let card = algorithm.card();
        let recipe = recipe.unwrap_or_else(|| card.recipes[0].to_owned());
        if !card.recipes.contains(&recipe.as_str()) {
            return Err(KeyError::new("recipe", recipe, card.recipes.join(" or ")).into());
        }
        let mut merged = table(&Self::of(algorithm))?;
        merge(&mut merged, algorithm.defaults(&recipe)?);
        let from = last::<PathBuf>(layers, "from")?;
        let own = (from.is_some()).then(|| Self::interaction(card.input, card.takes_target));
        let own = own.transpose()?.flatten();
        for (name, what) in [
            (
                "online",
                "offline algorithms that learn from transitions and",
            ),
            ("trajectories", "Decision Transformers that"),
        ] {
            let is_own = own.as_ref().is_some_and(|(own, _)| *own == name);
            if !is_own && layers.iter().any(|layer| layer.contains_key(name)) {
                let expected = format!("omitted: it is for {what} continue `from` another run");
                return Err(KeyError::new(name, "a table", expected).into());
            }
        }
        if let Some((name, table)) = own {
            merged.insert(name.to_owned(), table);
        }
        if layers.iter().any(|layer| layer.contains_key("labels")) {
            let labels = Value::try_from(LabelsConfig::of(()))
                .map_err(|error| PlanError::Type(error.to_string()))?;
            merged.entry("labels").or_insert(labels);
        }
        let known = known_keys(algorithm);
        for layer in layers {
            let mut layer = layer.clone();
            rename_former(&mut layer, &card);
            check_keys(&layer, "", &known, &known)?;
            merge(&mut merged, layer);
        }
        for keys in reference(algorithm) {
            match merged.get(keys.table) {
                Some(Value::Table(table)) => keys.check(table)?,
                Some(Value::Array(tables)) => {
                    let tables = tables.iter().filter_map(Value::as_table);
                    tables.into_iter().try_for_each(|table| keys.check(table))?;
                }
                _ => keys.check(&merged)?,
            }
        }
        let mut own = Table::new();
        for keys in algorithm.tables() {
            own.extend(merged.remove_entry(keys.table));
        }
        let mut experiment: Self = Value::Table(merged)
            .try_into()
            .map_err(|error| wrong_type(&error))?;
        experiment.tables = own;
        experiment.validate()?;
        Ok(experiment)
    }

    /// The table of a run that continues from another one, and its defaults: none for an algorithm
    /// whose own table has these keys.
    fn interaction(
        input: Input,
        takes_target: bool,
    ) -> Result<Option<(&'static str, Value)>, ExperimentError> {
        let (name, table) = match input {
            Input::Environment => return Ok(None),
            Input::Windows if takes_target => {
                ("trajectories", Value::try_from(TrajectoriesConfig::of(())))
            }
            _ => ("online", Value::try_from(OnlineConfig::of(()))),
        };
        let table = table.map_err(|error| PlanError::Type(error.to_string()))?;
        Ok(Some((name, table)))
    }

    /// Refuses invalid combinations of values.
    fn validate(&mut self) -> Result<(), ExperimentError> {
        let card = self.algorithm.card();
        let takes_target = self.takes_target();
        let unasked = if card.takes_target {
            format!("omitted: this {} predicts its returns", card.name)
        } else {
            format!("omitted: {} takes no target return", card.name)
        };
        if let Some(targets) = &self.evaluation.targets {
            // The target in old plans of algorithms without targets.
            let nothing = Targets::of(vec![0.0; targets.numbers().len()]);
            if !takes_target && *targets == nothing {
                self.evaluation.targets = None;
            } else if !takes_target {
                return Err(KeyError::new("evaluation.targets", targets, unasked).into());
            } else if targets.is_empty() {
                let expected = format!("a list, each of it {FORMS}");
                return Err(KeyError::new("evaluation.targets", targets, expected).into());
            }
        }
        if let Some([low, high]) = self.evaluation.return_range
            && (!takes_target || low > high)
        {
            let expected = if takes_target {
                "the least return and the largest".to_owned()
            } else {
                unasked
            };
            let found = format!("[{low}, {high}]");
            return Err(KeyError::new("evaluation.return_range", found, expected).into());
        }
        self.check_labels()?;
        if let (Some(_), Some(path)) = (&self.from, &self.initial_weights) {
            let expected = "omitted: the weights are those of the run in `from`";
            return Err(KeyError::new("initial_weights", path.display(), expected).into());
        }
        self.check_acting(self.evaluation.acting())?;
        if let Some(trajectories) = &self.trajectories {
            if let (Some(target), false) = (trajectories.target, takes_target) {
                return Err(KeyError::new("trajectories.target", target, unasked).into());
            }
            if self.labels.is_some() {
                let expected = "omitted with `from`: a run's own trajectories have no labels";
                return Err(KeyError::new("labels", "a table", expected).into());
            }
        }
        let on_gpu = matches!(self.device, Device::Cuda(_));
        if on_gpu && !card.cuda {
            let expected = format!("cpu: {} has no other device", card.name);
            return Err(KeyError::new("device", self.device, expected).into());
        }
        if on_gpu && self.parts > 1 {
            let expected = "1 on a GPU; parts and --mpi are for the CPU";
            return Err(KeyError::new("parts", self.parts, expected).into());
        }
        Ok(self.algorithm.check(&self.recipe, &self.tables, on_gpu)?)
    }

    /// Refuses labels that the algorithm or the device does not support. The critic may still be
    /// missing: a file without it is completed on the command line.
    fn check_labels(&self) -> Result<(), KeyError> {
        let Some(labels) = &self.labels else {
            return Ok(());
        };
        let card = self.algorithm.card();
        if card.input != Input::Windows || !card.takes_target {
            let expected = format!("omitted: {} does not learn from returns-to-go", card.name);
            return Err(KeyError::new("labels", "a table", expected));
        }
        if labels.kind() == (LabelKind::Return { consistent: true })
            && matches!(self.device, Device::Cuda(_))
        {
            let expected = "false on a GPU";
            return Err(KeyError::new("labels.consistent", true, expected));
        }
        if let (LabelKind::Constant, Some([low, high])) =
            (labels.kind(), self.evaluation.return_range)
        {
            let found = format!("[{low}, {high}]");
            let expected = "omitted: the targets are advantages, not returns";
            return Err(KeyError::new("evaluation.return_range", found, expected));
        }
        Ok(())
    }

    /// Refuses a way of acting that its policy does not support.
    ///
    /// # Errors
    /// Names the key `evaluation.acting` or `evaluation.device`.
    pub fn check_acting(&self, acting: Acting) -> Result<(), ExperimentError> {
        Ok(self.algorithm.check_acting(&self.tables, acting)?)
    }

    /// Whether its policy is conditioned on a target return.
    pub fn takes_target(&self) -> bool {
        self.algorithm.takes_target(&self.tables)
    }

    /// Fills in the values that depend on the data, so that the plan is complete.
    ///
    /// # Errors
    /// Values that do not fit the data.
    pub fn resolve(mut self, spec: &Spec, data: Option<&Dataset>) -> Result<Self, ExperimentError> {
        let facts = Facts {
            spec,
            data,
            recipe: &self.recipe,
            steps: self.steps,
        };
        self.algorithm.resolve(&mut self.tables, &facts)?;
        if let Some(online) = &self.online {
            facts.fit_into("online.capacity", online.capacity)?;
        }
        self.evaluation.every = Some(self.evaluation.every_for(self.steps));
        if self.takes_target()
            && let Some(data) = data
        {
            let range = self.evaluation.range();
            let range = range.unwrap_or_else(|| Returns::of(data).range());
            if self.targets_are_returns() {
                self.evaluation.return_range = Some([range.low, range.high]);
            }
            self.evaluation.targets = Some(self.targets_for(&spec.id, data, range));
        }
        if let Some(trajectories) = &mut self.trajectories {
            (trajectories.drop_worst).get_or_insert(self.recipe == "online_dt");
            let targets = self.evaluation.targets.as_ref().map(Targets::numbers);
            let first = targets.and_then(|targets| targets.first().copied());
            let double = first.map(|target| target + target.abs());
            trajectories.target = trajectories.target.or(double);
        }
        let labels = data.and_then(Dataset::labels);
        if let Some(config) = &mut self.labels {
            let expected = "omitted: these data were opened without labels";
            let labels = labels.ok_or_else(|| KeyError::new("labels", "a table", expected))?;
            config.critic_hash = Some(labels.source().to_owned());
        }
        self.env = Some(spec.id.clone());
        self.selection.delayed_rewards = registry::is_delayed(&spec.id);
        Ok(self)
    }

    /// Whether targets are returns, which an evaluation's returns can be compared with.
    pub fn targets_are_returns(&self) -> bool {
        let kind = self.labels.as_ref().map(LabelsConfig::kind);
        kind != Some(LabelKind::Constant)
    }

    /// Target returns for this data, the deciding one first.
    fn targets_for(&self, env_id: &str, data: &Dataset, range: Interval) -> Targets {
        let given = self.evaluation.targets.as_ref().map(|targets| {
            let returns = || Ok::<_, Infallible>(Returns::of(data));
            let Ok(targets) = targets.returns(Some(range), returns);
            targets
        });
        if !self.targets_are_returns() {
            let usual = || {
                USUAL_ADVANTAGES
                    .map(|q| Returns::of(data).quantile(q))
                    .to_vec()
            };
            return Targets::of(given.unwrap_or_else(usual));
        }
        let targets = given.or_else(|| self.algorithm.targets(env_id));
        Targets::of(targets.unwrap_or_else(|| {
            let summary = ReturnSummary::over(&data.conditions());
            vec![rounded(summary.max), rounded(summary.mean)]
        }))
    }

    /// The plan as the text of a file.
    ///
    /// # Errors
    /// Values that TOML cannot represent.
    pub fn to_toml(&self) -> Result<String, ExperimentError> {
        self::layers::text(&self.plan()?)
    }

    /// The plan as a table, the algorithm's tables among the others.
    ///
    /// # Errors
    /// Values that TOML cannot represent.
    pub fn plan(&self) -> Result<Table, ExperimentError> {
        let mut plan = table(self)?;
        plan.extend(self.tables.clone());
        Ok(plan)
    }

    /// Whether it learns from its own steps in an environment.
    pub fn is_online(&self) -> bool {
        self.from.is_some() || self.algorithm.card().input == Input::Environment
    }

    /// Refuses to continue a run under another plan. More steps than before are fine.
    ///
    /// # Errors
    /// The first key that differs.
    pub fn continues(&self, before: &Self) -> Result<(), ExperimentError> {
        let (mut old, new) = (before.plan()?, self.plan()?);
        if self.steps >= before.steps {
            old.insert("steps".to_owned(), Value::Integer(self.steps as i64));
        }
        if let (None, Some(Value::Table(evaluation))) =
            (before.evaluation.return_range, old.get_mut("evaluation"))
        {
            // Measured only since; it changes nothing that is learned.
            let range = self
                .evaluation
                .return_range
                .map(|ends| Value::from(ends.to_vec()));
            evaluation.extend(range.map(|range| ("return_range".to_owned(), range)));
        }
        // A checkpoint does not depend on the devices.
        let copy_device = |from: &Table, to: &mut Table| {
            if let Some(device) = from.get("device") {
                to.insert("device".to_owned(), device.clone());
            }
        };
        copy_device(&new, &mut old);
        if let (Some(Value::Table(old)), Some(Value::Table(new))) =
            (old.get_mut("evaluation"), new.get("evaluation"))
        {
            copy_device(new, old);
        }
        let keys = all_keys(&old, "").into_iter().chain(all_keys(&new, ""));
        let shown = |table: &Table, key: &str| {
            let mut value = Some(Value::Table(table.clone()));
            for part in key.split('.') {
                value = value.and_then(|value| value.get(part).cloned());
            }
            value.map_or("(unset)".to_owned(), |value| value.to_string())
        };
        for key in keys {
            let (before, now) = (shown(&old, &key), shown(&new, &key));
            if before != now {
                return Err(ExperimentError::OtherPlan { key, before, now });
            }
        }
        Ok(())
    }
}

impl EvaluationConfig {
    /// How and where policies act.
    pub fn acting(&self) -> Acting {
        Acting {
            mode: self.acting,
            device: self.device,
        }
    }

    /// Steps between evaluations in a run of `steps`; 0: only at the end.
    pub fn every_for(&self, steps: u64) -> u64 {
        self.every.unwrap_or(steps.div_ceil(5))
    }

    /// The range of returns within which targets count, where it is known.
    pub fn range(&self) -> Option<Interval> {
        let [low, high] = self.return_range?;
        Some(Interval { low, high })
    }
}

/// A whole number, or two digits of a small one; never minus zero.
fn rounded(return_: f64) -> f64 {
    let digits = 1 - return_.abs().log10().floor().clamp(-300.0, 1.0) as i32;
    let scale = 10_f64.powi(digits);
    (return_ * scale).round() / scale + 0.0
}

/// The default number of threads: those that Slurm assigns to a task, else all cores. Without it a
/// task would take every core of its node.
pub fn default_threads() -> usize {
    let of_task = std::env::var("SLURM_CPUS_PER_TASK").ok();
    let of_task = of_task.and_then(|count| count.parse().ok());
    of_task
        .filter(|count| *count > 0)
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// The value in the last layer that has this key.
fn last<T: DeserializeOwned>(layers: &[Table], key: &str) -> Result<Option<T>, ExperimentError> {
    let value = layers.iter().rev().find_map(|layer| layer.get(key));
    value
        .map(|value| value.clone().try_into())
        .transpose()
        .map_err(|error| wrong_type(&error).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_returns_give_small_targets_and_large_ones_whole_numbers() {
        let targets = [
            -0.094_6, -0.1, 0.0, -0.0, 2.4, 0.96, 12.4, -1012.7, 1e300, 4e-310,
        ];
        let expected = [-0.095, -0.1, 0.0, 0.0, 2.4, 0.96, 12.0, -1013.0, 1e300, 0.0];
        for (return_, expected) in targets.into_iter().zip(expected) {
            let target = rounded(return_);
            let error = (target - expected).abs();
            assert!(error <= 1e-12 * expected.abs(), "{return_} became {target}");
            assert!(target != 0.0 || target.is_sign_positive());
        }
    }
}
