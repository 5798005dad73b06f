use crate::{Dataset, Defects, open, open_with};

use rtg_envs::Space;

fn fixture(name: &str) -> String {
    format!("{}/fixtures/d4rl/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn lengths(dataset: &Dataset) -> Vec<usize> {
    dataset.iter().map(|episode| episode.len()).collect()
}

fn codes(dataset: &Dataset) -> Vec<(&'static str, usize)> {
    dataset
        .findings()
        .iter()
        .map(|finding| (finding.code, finding.count))
        .collect()
}

#[test]
fn episodes_end_at_terminals_and_at_timeouts_and_the_tail_is_dropped() {
    // 40 rows: a terminal at row 9, a timeout at row 24, a terminal at row 34, five rows more.
    let dataset = open(&fixture("hopper_marked-v2.hdf5"), None).unwrap();
    assert_eq!(lengths(&dataset), [10, 15, 10]);
    let ends: Vec<_> = dataset
        .iter()
        .map(|e| (e.terminated, e.truncated))
        .collect();
    assert_eq!(ends, [(true, false), (false, true), (true, false)]);
    assert_eq!(codes(&dataset), [("dropped-tail", 5)]);
    // The fixture's observations count rows, its next_observations are one ahead.
    let second = dataset.episode(1);
    assert_eq!(second.observations[..3], [10.0, 20.0, -10.0]);
    assert_eq!(second.observations[15 * 3..], [25.0, 50.0, -25.0]);
    assert_eq!(dataset.info().env_id(), Some("Hopper-v5"));
    assert!(matches!(&dataset.info().action_space, Space::Box(space) if space.high == [1.0, 1.0]));
}

#[test]
fn without_timeouts_the_time_limit_cuts_and_without_next_observations_the_last_is_repeated() {
    // 250 rows of the pen, whose limit is 100; a terminal at row 29.
    let dataset = open(&fixture("pen-plain-v0.hdf5"), None).unwrap();
    assert_eq!(lengths(&dataset), [30, 100, 100]);
    assert_eq!(
        codes(&dataset),
        [
            ("unmarked-timeout", 2),
            ("dropped-tail", 20),
            ("repeated-final-observation", 3)
        ]
    );
    let first = dataset.episode(0);
    assert_eq!(
        first.observations[29 * 3..30 * 3],
        first.observations[30 * 3..]
    );
    // Actions beyond [-1, 1] widen the space.
    assert!(matches!(&dataset.info().action_space, Space::Box(space) if space.high == [2.5, 2.5]));
}

#[test]
fn integer_actions_are_choices_and_columns_of_one_number_are_squeezed() {
    let dataset = open(&fixture("choices.hdf5"), None).unwrap();
    assert_eq!(
        dataset.info().action_space,
        Space::Discrete { n: 4, start: 0 }
    );
    assert_eq!(dataset.info().env_id(), None);
    assert_eq!(lengths(&dataset), [6, 6]);
}

#[test]
fn numbers_that_are_not_finite_are_refused_or_kept() {
    let path = fixture("hopper_broken-v2.hdf5");
    let error = open(&path, None).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("reward is NaN at episode 1, step 2, dimension 0: {path}")
    );
    let dataset = open_with(&path, None, Defects::Keep).unwrap();
    assert_eq!(codes(&dataset), [("discontinuity", 1)]);
    assert!(dataset.episode(1).rewards[2].is_nan());
}

#[test]
fn a_file_without_an_end_is_one_unfinished_episode() {
    let dataset = open(&fixture("endless.hdf5"), None).unwrap();
    assert_eq!(lengths(&dataset), [8]);
    let findings = crate::doctor::examine(&dataset);
    let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["unfinished-episode"]);
}
