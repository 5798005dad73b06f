//! Runs grouped by the differences between their plans.
//!
//! A *group* is a set of runs whose plans differ only in the seed. A *task* is an environment and a
//! dataset. A *method* is a set of groups, one per task, with the same values in the few keys that
//! distinguish the groups of a task ([`super::plan::telling`]).

use super::RunReport;
use super::plan::{self, Settings};
use super::read::NO_DATASET;

/// Runs of one experiment with different seeds.
#[derive(Debug)]
pub struct Group<'a> {
    /// At least one run.
    pub runs: Vec<&'a RunReport>,
    /// Index of its task.
    pub task: usize,
    /// Index of its method.
    pub method: usize,
}

impl<'a> Group<'a> {
    pub(super) fn first(&self) -> &'a RunReport {
        self.runs[0]
    }

    /// The evaluated targets, the headline's first.
    pub(super) fn targets(&self) -> Vec<Option<f64>> {
        let mut targets = Vec::new();
        for target in self.runs.iter().flat_map(|run| run.targets()) {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        targets
    }

    /// The target of the group's headline: the first of its plan, chosen before any result.
    pub(super) fn headline_target(&self) -> Option<f64> {
        self.targets().first().copied().flatten()
    }
}

/// The name of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) env: String,
    pub(super) dataset: String,
}

/// All runs of a report, grouped.
#[derive(Debug)]
pub struct Comparison<'a> {
    /// The groups, in the order of their first runs.
    pub groups: Vec<Group<'a>>,
    pub(super) tasks: Vec<Task>,
    /// Names of the methods.
    pub(super) methods: Vec<String>,
    /// Keys in which groups differ, besides those of the task.
    pub(super) differing: Vec<String>,
}

impl<'a> Comparison<'a> {
    /// Groups `runs`.
    pub fn of(runs: &'a [RunReport]) -> Self {
        let mut groups: Vec<Group<'a>> = Vec::new();
        for run in runs {
            let same = |group: &&mut Group<'_>| group.first().settings == run.settings;
            match groups.iter_mut().find(same) {
                Some(group) => group.runs.push(run),
                None => groups.push(Group {
                    runs: vec![run],
                    task: 0,
                    method: 0,
                }),
            }
        }
        let plans: Vec<&Settings> = groups.iter().map(|group| &group.first().settings).collect();
        let (differing, telling) = (plan::differing(&plans), plan::telling(&plans));
        let (mut task_names, mut tasks): (Vec<Vec<&str>>, Vec<Task>) = (Vec::new(), Vec::new());
        let mut methods: Vec<String> = Vec::new();
        for group in &mut groups {
            let first = group.first();
            let name = plan::task(&first.settings);
            group.task = task_names
                .iter()
                .position(|known| *known == name)
                .unwrap_or_else(|| {
                    task_names.push(name);
                    tasks.push(Task {
                        env: first.env.clone(),
                        dataset: first.dataset.clone(),
                    });
                    tasks.len() - 1
                });
            let method = method_name(first, &telling);
            group.method = methods
                .iter()
                .position(|known| *known == method)
                .unwrap_or_else(|| {
                    methods.push(method);
                    methods.len() - 1
                });
        }
        Self {
            groups,
            tasks,
            methods,
            differing,
        }
    }

    /// The groups of one task.
    pub(super) fn of_task(&self, task: usize) -> impl Iterator<Item = &Group<'a>> {
        self.groups.iter().filter(move |group| group.task == task)
    }

    /// The name of a group among those of its task.
    pub(super) fn label(&self, group: &Group<'_>) -> &str {
        &self.methods[group.method]
    }

    /// The name of a task: its dataset, and its environment if several use that dataset or there is
    /// none.
    pub(super) fn task_name(&self, task: usize) -> String {
        let Task { env, dataset } = &self.tasks[task];
        if dataset == NO_DATASET {
            return env.clone();
        }
        let others = self.tasks.iter().filter(|other| other.dataset == *dataset);
        if others.count() > 1 {
            format!("{dataset} in {env}")
        } else {
            dataset.clone()
        }
    }
}

/// The values of the keys that distinguish groups; if none is needed, the algorithm.
fn method_name(run: &RunReport, telling: &[String]) -> String {
    let part = |key: &String| {
        let value = run.settings.get(key)?;
        let short = key.rsplit('.').next().unwrap_or(key);
        let clash = telling
            .iter()
            .filter(|other| other.rsplit('.').next() == Some(short))
            .count();
        Some(match key.as_str() {
            "algorithm" | "recipe" => value.clone(),
            _ if clash > 1 => format!("{key}={value}"),
            _ => format!("{short}={value}"),
        })
    };
    let parts: Vec<String> = telling.iter().filter_map(part).collect();
    if parts.is_empty() {
        run.algorithm.clone()
    } else {
        parts.join(" · ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::runs;
    use super::*;

    #[test]
    fn runs_that_differ_in_the_seed_alone_are_one_group() {
        let runs = runs();
        let comparison = Comparison::of(&runs);
        let sizes: Vec<_> = comparison
            .groups
            .iter()
            .map(|group| group.runs.len())
            .collect();
        assert_eq!(sizes, [2, 1]);
        assert_eq!(comparison.methods, ["corl", "official"]);
        assert_eq!(comparison.differing, ["recipe"]);
        assert_eq!(comparison.task_name(0), "builtin/cartpole/mixed");
    }

    #[test]
    fn a_method_is_the_same_on_another_task() {
        let mut runs = runs();
        runs[1].settings.insert("dataset".into(), "other".into());
        runs[1]
            .settings
            .insert("evaluation.targets".into(), "[7]".into());
        runs[1].dataset = "other".into();
        let comparison = Comparison::of(&runs);
        assert_eq!(comparison.tasks.len(), 2);
        let methods: Vec<_> = comparison.groups.iter().map(|group| group.method).collect();
        assert_eq!(methods, [0, 0, 1]);
    }

    #[test]
    fn differing_keys_name_groups_and_a_single_group_has_its_algorithm() {
        let mut runs = runs();
        runs[0].settings.insert("model.context".into(), "5".into());
        runs[1].settings.insert("model.context".into(), "9".into());
        let comparison = Comparison::of(&runs[..2]);
        assert_eq!(comparison.methods, ["context=5", "context=9"]);
        let alone = Comparison::of(&runs[2..]);
        assert_eq!(alone.methods, ["decision_transformer"]);
        assert!(Comparison::of(&[]).groups.is_empty());
    }
}
