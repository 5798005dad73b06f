//! Commands that reproduce a row of a table.

use super::{Group, RunReport, escape::shell};

/// Trains the same run again, from its plan, in another directory.
pub(super) fn of_run(run: &RunReport) -> String {
    let path = run.path.display().to_string();
    let path = path.trim_end_matches('/');
    format!(
        "rtg train {} --run-dir {}",
        shell(&format!("{path}/experiment.toml")),
        shell(&format!("{path}-again"))
    )
}

/// Trains all runs of a group again, in a loop over their seeds.
pub(super) fn of_group(group: &Group<'_>) -> String {
    let [run] = group.runs[..] else {
        let seeds: Vec<String> = group.runs.iter().map(|run| run.seed.to_string()).collect();
        let path = group.first().path.display().to_string();
        let path = path.trim_end_matches('/');
        return format!(
            "for seed in {}; do rtg train {} --seed $seed --run-dir {}-$seed; done",
            seeds.join(" "),
            shell(&format!("{path}/experiment.toml")),
            shell(&format!("{path}-again"))
        );
    };
    of_run(run)
}

#[cfg(test)]
mod tests {
    use super::super::{Comparison, tests::runs};
    use super::*;

    #[test]
    fn a_command_names_the_stored_plan_and_a_new_directory() {
        let mut runs = runs();
        runs[0].path = "runs/a|1".into();
        runs[2].path = "runs/b/".into();
        assert_eq!(
            of_run(&runs[2]),
            "rtg train runs/b/experiment.toml --run-dir runs/b-again"
        );
        assert_eq!(
            of_group(&Comparison::of(&runs).groups[0]),
            "for seed in 0 1; do rtg train 'runs/a|1/experiment.toml' --seed $seed --run-dir \
             'runs/a|1-again'-$seed; done"
        );
    }
}
