//! Plans as flat keys and values, and the differences between them.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::statistics::Interval;

/// Keys and tables that do not affect the result, only how often it is recorded or where it is
/// computed.
const NOT_THE_EXPERIMENT: [&str; 7] = [
    "seed",
    "threads",
    "run_dir",
    "device",
    "store",
    "checkpoint_every",
    "logging",
];
/// Keys of the evaluation that do not define the experiment: one follows from the data (earlier
/// versions did not write it), one decides where the evaluation is computed.
const NOT_OF_THE_EVALUATION: [&str; 2] = ["evaluation.return_range", "evaluation.beside"];
/// Keys that identify the task, not the method.
const TASK: [&str; 3] = ["env", "dataset", "mix"];
/// Keys that come first in the name of a group.
const FIRST: [&str; 2] = ["algorithm", "recipe"];

/// Keys with their values as text: `optimiser.batch_size` is `64`.
pub(super) type Settings = BTreeMap<String, String>;

/// The keys of a plan that define the experiment.
pub(super) fn settings(plan: &Table) -> Settings {
    let mut settings = Settings::new();
    for (key, value) in plan {
        if !NOT_THE_EXPERIMENT.contains(&key.as_str()) {
            flatten(key, value, &mut settings);
        }
    }
    for key in NOT_OF_THE_EVALUATION {
        settings.remove(key);
    }
    settings
}

fn flatten(key: &str, value: &Value, settings: &mut Settings) {
    match value {
        Value::Table(table) => {
            for (inner, value) in table {
                flatten(&format!("{key}.{inner}"), value, settings);
            }
        }
        Value::String(text) => drop(settings.insert(key.to_owned(), text.clone())),
        other => drop(settings.insert(key.to_owned(), other.to_string())),
    }
}

/// The range of returns in which targets count, if the plan has one.
pub(super) fn return_range(plan: &Table) -> Option<Interval> {
    let ends = plan.get("evaluation")?.get("return_range")?.as_array()?;
    let [low, high] = &ends[..] else { return None };
    Some(Interval {
        low: low.as_float()?,
        high: high.as_float()?,
    })
}

/// The values that identify the task among `settings`.
pub(super) fn task(settings: &Settings) -> Vec<&str> {
    let value = |key: &&str| settings.get(*key).map_or("", String::as_str);
    TASK.iter().map(value).collect()
}

/// The keys in which any two of `plans` differ, without those of the task.
pub(super) fn differing(plans: &[&Settings]) -> Vec<String> {
    let mut keys: Vec<&String> = plans.iter().flat_map(|plan| plan.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let differs = |key: &&String| {
        !TASK.contains(&key.as_str())
            && plans
                .iter()
                .any(|plan| plan.get(*key) != plans[0].get(*key))
    };
    let mut keys: Vec<String> = keys.into_iter().filter(differs).cloned().collect();
    // A stable sort, so that the other keys remain in alphabetical order.
    keys.sort_by_key(|key| {
        FIRST
            .iter()
            .position(|first| first == key)
            .unwrap_or(FIRST.len())
    });
    keys
}

/// A small set of keys that distinguishes all plans of the same task: those of `FIRST` that help,
/// then repeatedly the key that separates most of the remaining equal pairs.
pub(super) fn telling(plans: &[&Settings]) -> Vec<String> {
    let mut alike: Vec<(usize, usize)> = (0..plans.len())
        .flat_map(|i| (0..i).map(move |j| (j, i)))
        .filter(|&(i, j)| task(plans[i]) == task(plans[j]))
        .collect();
    let mut candidates = differing(plans);
    let mut telling = Vec::new();
    while !alike.is_empty() && !candidates.is_empty() {
        let separates =
            |key: &String, &(i, j): &(usize, usize)| plans[i].get(key) != plans[j].get(key);
        let count = |key: &String| alike.iter().filter(|pair| separates(key, pair)).count();
        let first = candidates
            .iter()
            .position(|key| FIRST.contains(&key.as_str()) && count(key) > 0);
        // `max_by_key` returns the last of several maxima, so the search runs backwards.
        let best = first.or_else(|| {
            (0..candidates.len())
                .rev()
                .max_by_key(|&k| count(&candidates[k]))
        });
        let Some(best) = best else { break };
        let key = candidates.remove(best);
        if count(&key) > 0 {
            alike.retain(|pair| !separates(&key, pair));
            telling.push(key);
        }
    }
    telling
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Settings {
        settings(&text.parse().unwrap())
    }

    #[test]
    fn a_plan_is_flat_and_without_what_does_not_change_the_result() {
        let plan = plan("seed = 1\nenv = \"e\"\n[model]\nwidth = 4\n[logging]\nevery = 5\n");
        let expected = [("env", "e"), ("model.width", "4")];
        assert!(
            plan.iter()
                .map(|(k, v)| (k.as_str(), v.as_str()))
                .eq(expected)
        );
    }

    #[test]
    fn few_keys_distinguish_plans_and_the_algorithm_comes_first() {
        let dt = plan("dataset = \"a\"\nalgorithm = \"dt\"\n[model]\nwidth = 4\ncontext = 20\n");
        let wide = plan("dataset = \"a\"\nalgorithm = \"dt\"\n[model]\nwidth = 8\ncontext = 20\n");
        let bc = plan("dataset = \"a\"\nalgorithm = \"bc\"\n[bc]\nwidth = 8\n");
        assert_eq!(telling(&[&dt, &wide, &bc]), ["algorithm", "model.width"]);
        assert_eq!(telling(&[&dt, &bc]), ["algorithm"]);
        assert_eq!(
            differing(&[&dt, &bc]),
            ["algorithm", "bc.width", "model.context", "model.width"]
        );
    }

    #[test]
    fn keys_that_differ_between_tasks_alone_name_no_method() {
        let a = plan("dataset = \"a\"\nalgorithm = \"dt\"\n[evaluation]\ntargets = [1]\n");
        let b = plan("dataset = \"b\"\nalgorithm = \"dt\"\n[evaluation]\ntargets = [9]\n");
        assert!(telling(&[&a, &b]).is_empty());
        assert!(telling(&[]).is_empty());
    }
}
