use crate::{Defects, open, open_with};

fn fixture(name: &str) -> String {
    format!("{}/fixtures/d3rlpy/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_second_layout_is_read_episode_by_episode() {
    let dataset = open(&fixture("second.h5"), None).unwrap();
    let lengths: Vec<_> = dataset.iter().map(|episode| episode.len()).collect();
    assert_eq!(lengths, [3, 2]);
    let (first, second) = (dataset.episode(0), dataset.episode(1));
    assert!(first.terminated && !first.truncated);
    assert!(!second.terminated && second.truncated);
    assert_eq!(first.observations, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 4.0, 5.0]);
    assert_eq!(first.actions, [0.0, 2.0, 1.0]);
    let space = &dataset.info().action_space;
    assert_eq!(*space, rtg_envs::Space::Discrete { n: 3, start: 0 });
}

#[test]
fn tuples_of_observations_are_flattened() {
    let dataset = open_with(&fixture("tuple.h5"), None, Defects::Refuse).unwrap();
    assert_eq!(dataset.observation_width(), 3);
    assert_eq!(dataset.episode(0).observations[..3], [0.0, 1.0, 10.0]);
}

#[test]
fn the_first_layout_ends_episodes_for_either_reason() {
    let dataset = open(&fixture("first.h5"), None).unwrap();
    let ends: Vec<_> = dataset
        .iter()
        .map(|episode| (episode.len(), episode.terminated, episode.truncated))
        .collect();
    assert_eq!(ends, [(3, true, false), (2, false, true)]);
}
