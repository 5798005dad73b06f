//! The plan of a sweep: base, grid and groups, and the runs that follow.

use std::collections::BTreeSet;

use super::Error;
use crate::experiment::{Experiment, merged};
use crate::keys::{Table, Value};

/// The most runs of a sweep.
const MOST_RUNS: usize = 100_000;
/// The tables of a sweep's plan.
const TABLES: [&str; 4] = ["base", "grid", "groups", "slurm"];

/// One run of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRun {
    /// Name of the run, composed of the values that differ between the runs.
    pub name: String,
    /// Its plan: the differences from the recipe, as the text of a file.
    pub text: String,
}

/// A parsed sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepPlan {
    /// Every run: each group with each combination of the grid, the last key changing fastest.
    pub runs: Vec<PlannedRun>,
    /// Options of `sbatch`, without their dashes.
    pub slurm: Vec<(String, String)>,
}

/// A key with its values.
type Choice = (String, Vec<Value>);

impl SweepPlan {
    /// Reads the text of a plan and checks the plan of every run.
    ///
    /// # Errors
    /// What is wrong with the text, or with the first run whose plan is invalid.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let plan = Experiment::parse_layer(text).map_err(|error| Error::Plan(error.to_string()))?;
        if let Some(other) = plan.keys().find(|key| !TABLES.contains(&key.as_str())) {
            return Err(Error::Plan(format!("'{other}' is not a table of a sweep")));
        }
        let base = table(&plan, "base")?;
        let mut grid = Vec::new();
        choices("", &table(&plan, "grid")?, &mut grid)?;
        let groups = groups(&table(&plan, "groups")?)?;
        let combinations = grid
            .iter()
            .try_fold(groups.len(), |n, (_, v)| n.checked_mul(v.len()));
        if combinations.is_none_or(|count| count > MOST_RUNS) {
            return Err(Error::Plan(format!(
                "the grid has more than {MOST_RUNS} runs"
            )));
        }
        let mut runs = Vec::new();
        for (group, keys) in &groups {
            let layer = merged(&[base.clone(), keys.clone()]);
            product(&grid, &layer, group, &mut runs)?;
        }
        let slurm = table(&plan, "slurm")?
            .into_iter()
            .map(|(key, value)| (key, plain(&value)));
        Self::new(runs, slurm.collect())
    }

    /// A sweep of these runs, with options of `sbatch`.
    ///
    /// # Errors
    /// Two runs of the same name.
    pub fn new(runs: Vec<PlannedRun>, slurm: Vec<(String, String)>) -> Result<Self, Error> {
        let mut names = BTreeSet::new();
        if let Some(run) = runs.iter().find(|run| !names.insert(&run.name)) {
            return Err(Error::Plan(format!(
                "two runs would have the name '{}'",
                run.name
            )));
        }
        Ok(Self { runs, slurm })
    }
}

impl PlannedRun {
    /// A run whose name is made of `parts` and whose plan is `layer`.
    ///
    /// # Errors
    /// An invalid plan.
    pub fn new(parts: &[String], layer: &Table) -> Result<Self, Error> {
        let name = if parts.is_empty() {
            "run".to_owned()
        } else {
            file_name(&parts.join("-"))
        };
        match Experiment::from_layers(std::slice::from_ref(layer)) {
            Ok(_) => Ok(Self {
                text: layer.to_string(),
                name,
            }),
            Err(source) => Err(Error::Run { name, source }),
        }
    }
}

fn table(plan: &Table, name: &str) -> Result<Table, Error> {
    match plan.get(name) {
        None => Ok(Table::new()),
        Some(Value::Table(table)) => Ok(table.clone()),
        Some(_) => Err(Error::Plan(format!("'{name}' is not a table"))),
    }
}

/// The groups by name; where there are none, one without a name and without keys.
fn groups(tables: &Table) -> Result<Vec<(String, Table)>, Error> {
    let mut groups = Vec::new();
    for name in tables.keys() {
        let mut group = Table::new();
        let mut flat = Vec::new();
        flatten("", &table(tables, name)?, &mut flat);
        for (key, value) in flat {
            put(&mut group, &key, value);
        }
        groups.push((name.clone(), group));
    }
    if groups.is_empty() {
        groups.push((String::new(), Table::new()));
    }
    Ok(groups)
}

fn flatten(prefix: &str, table: &Table, flat: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value {
            Value::Table(inner) => flatten(&format!("{key}."), inner, flat),
            value => flat.push((key, value.clone())),
        }
    }
}

/// The keys of the grid with their values. A table with `from` and `to` is a range, another one
/// holds keys of a table of the plan.
fn choices(prefix: &str, table: &Table, grid: &mut Vec<Choice>) -> Result<(), Error> {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value {
            Value::Array(values) if !values.is_empty() => grid.push((key, values.clone())),
            Value::Table(range) if range.contains_key("from") => {
                grid.push((key.clone(), expand(&key, range)?));
            }
            Value::Table(inner) => choices(&format!("{key}."), inner, grid)?,
            _ => {
                return Err(Error::Plan(format!(
                    "'grid.{key}' is neither a list nor a range"
                )));
            }
        }
    }
    Ok(())
}

/// The whole numbers of `{ from, to, step = 1 }`, both ends included.
fn expand(key: &str, range: &Table) -> Result<Vec<Value>, Error> {
    let wrong = || Error::Plan(format!("'grid.{key}' is not a range of whole numbers"));
    let number = |name| range.get(name).and_then(Value::as_integer);
    let (from, to) = (
        number("from").ok_or_else(wrong)?,
        number("to").ok_or_else(wrong)?,
    );
    let step = match range.get("step") {
        None => 1,
        Some(step) => step
            .as_integer()
            .filter(|step| *step > 0)
            .ok_or_else(wrong)?,
    };
    let known = range
        .keys()
        .all(|name| ["from", "to", "step"].contains(&name.as_str()));
    let length = to
        .checked_sub(from)
        .filter(|length| *length >= 0 && known)
        .ok_or_else(wrong)?;
    if length / step >= MOST_RUNS as i64 {
        return Err(Error::Plan(format!(
            "'grid.{key}' has more than {MOST_RUNS} values"
        )));
    }
    Ok((0..=length / step)
        .map(|i| Value::Integer(from + i * step))
        .collect())
}

/// Adds a run for every combination of `grid` over `layer`.
fn product(
    grid: &[Choice],
    layer: &Table,
    group: &str,
    runs: &mut Vec<PlannedRun>,
) -> Result<(), Error> {
    let count: usize = grid.iter().map(|(_, values)| values.len()).product();
    for mut number in 0..count {
        let mut plan = layer.clone();
        let mut parts = Vec::new();
        for (key, values) in grid.iter().rev() {
            let value = &values[number % values.len()];
            number /= values.len();
            put(&mut plan, key, value.clone());
            if values.len() > 1 {
                parts.push(part(key, value));
            }
        }
        parts.reverse();
        if !group.is_empty() {
            parts.insert(0, group.to_owned());
        }
        runs.push(PlannedRun::new(&parts, &plan)?);
    }
    Ok(())
}

/// The part of a run's name for a value.
fn part(key: &str, value: &Value) -> String {
    let value = plain(value);
    match key {
        "algorithm" | "recipe" | "dataset" | "env" => value,
        _ => format!("{}-{value}", key.rsplit('.').next().unwrap_or(key)),
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn file_name(text: &str) -> String {
    let safe = |letter: char| letter.is_ascii_alphanumeric() || "._".contains(letter);
    let name: String = text
        .chars()
        .map(|letter| if safe(letter) { letter } else { '-' })
        .collect();
    name.trim_start_matches(['-', '.']).to_owned()
}

/// Sets a dotted key.
fn put(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(table.insert(key.to_owned(), value)),
        Some((first, rest)) => {
            let inner = table
                .entry(first)
                .or_insert_with(|| Value::Table(Table::new()));
            if !inner.is_table() {
                *inner = Value::Table(Table::new());
            }
            if let Value::Table(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        SweepPlan::parse(text)
            .unwrap()
            .runs
            .into_iter()
            .map(|run| run.name)
            .collect()
    }

    fn refused(text: &str) -> String {
        SweepPlan::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_grid_is_the_product_of_lists_and_ranges() {
        let text = "[base]\nsteps = 10\n[grid]\nalgorithm = [\"decision_transformer\", \"bc\"]\n\
                    seed = { from = 0, to = 4, step = 2 }\noptimiser.batch_size = [8]\n";
        let plan = SweepPlan::parse(text).unwrap();
        assert_eq!(plan.runs.len(), 6);
        assert_eq!(plan.runs[0].name, "decision_transformer-seed-0");
        assert_eq!(plan.runs[5].name, "bc-seed-4");
        let last = Experiment::parse_layer(&plan.runs[5].text).unwrap();
        assert_eq!(last["seed"].as_integer(), Some(4));
        assert_eq!(last["optimiser"]["batch_size"].as_integer(), Some(8));
        assert_eq!(last["steps"].as_integer(), Some(10));
    }

    #[test]
    fn groups_are_alternatives_with_names() {
        let text = "[base.optimiser]\nbatch_size = 4\n[grid]\nseed = [1, 2]\n\
                    [groups.small]\n\"optimiser.batch_size\" = 8\n[groups.clone]\nalgorithm = \"bc\"\n";
        assert_eq!(
            names(text),
            [
                "clone-seed-1",
                "clone-seed-2",
                "small-seed-1",
                "small-seed-2"
            ]
        );
        let plan = SweepPlan::parse(text).unwrap();
        assert!(plan.runs[2].text.contains("batch_size = 8"));
        assert_eq!(names("[base]\nseed = 3\n"), ["run"]);
    }

    #[test]
    fn invalid_plans_are_refused_before_anything_is_written() {
        assert!(refused("[gird]\nseed = [1]\n").contains("'gird'"));
        assert!(refused("[grid]\nseed = 1\n").contains("neither a list nor a range"));
        assert!(refused("[grid]\nseed = { from = 4, to = 0 }\n").contains("not a range"));
        assert!(refused("[grid]\nseed = { from = 0, to = 9999999 }\n").contains("more than"));
        assert!(refused("[grid]\nseed = [1, 1]\n").contains("two runs"));
        assert!(refused("[grid]\nsede = [1, 2]\n").starts_with("run sede-1: "));
        assert!(refused("[base\n").contains("line 1"));
        assert!(refused("base = 3\n").contains("not a table"));
    }

    #[test]
    fn names_are_names_of_files() {
        let text = "[grid]\ndataset = [\"../a b\", \"builtin/cartpole/mixed\"]\n";
        assert_eq!(names(text), ["a-b", "builtin-cartpole-mixed"]);
    }
}
