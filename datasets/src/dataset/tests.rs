use rtg_envs::{BoxSpace, Dtype};

use super::*;

/// A box without bounds.
pub(crate) fn unbounded(width: usize) -> Space {
    let shape = vec![width];
    let (low, high) = (vec![f64::NEG_INFINITY; width], vec![f64::INFINITY; width]);
    Space::Box(BoxSpace {
        low,
        high,
        shape,
        dtype: Dtype::Float64,
    })
}

/// A dataset of the given lengths: observation `[e + t/100, t]`, action `10 e + t`, reward `e + t`.
pub(crate) fn staircase(lengths: &[usize]) -> Dataset {
    let info = Info {
        provenance: "made for tests".into(),
        ..Info::new("staircase", unbounded(2), unbounded(1))
    };
    let mut dataset = Dataset::new(info);
    for (e, &steps) in lengths.iter().enumerate() {
        let row = |t| [e as f64 + t as f64 / 100.0, t as f64];
        dataset
            .push(Episode {
                observations: (0..=steps).flat_map(row).collect(),
                actions: (0..steps).map(|t| (10 * e + t) as f64).collect(),
                rewards: (0..steps).map(|t| (e + t) as f64).collect(),
                terminated: true,
                ..Episode::default()
            })
            .unwrap();
    }
    dataset
}

#[test]
fn episodes_come_back_as_they_were_pushed() {
    let dataset = staircase(&[3, 1, 2]);
    assert_eq!((dataset.episodes(), dataset.steps()), (3, 6));
    let last = dataset.episode(2);
    assert_eq!(last.observations, [2.0, 0.0, 2.01, 1.0, 2.02, 2.0]);
    assert_eq!(last.actions, [20.0, 21.0]);
    assert_eq!(last.rewards, [2.0, 3.0]);
    assert_eq!(
        dataset
            .iter()
            .map(|episode| episode.len())
            .collect::<Vec<_>>(),
        [3, 1, 2]
    );
}

#[test]
fn the_first_number_that_is_not_finite_is_named() {
    let mut dataset = staircase(&[2]);
    let mut episode = Episode {
        observations: vec![0.0, 1.0, 2.0, 3.0, 4.0, f64::NAN],
        actions: vec![0.0, 0.0],
        rewards: vec![0.0, 0.0],
        ..Episode::default()
    };
    let error = dataset.push(episode.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "observation is NaN at episode 1, step 2, dimension 1"
    );
    episode.observations[5] = 5.0;
    episode.rewards[1] = f64::INFINITY;
    let error = dataset.push(episode.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "reward is inf at episode 1, step 1, dimension 0"
    );
    episode.rewards[1] = 0.0;
    episode.actions[0] = f64::NEG_INFINITY;
    let error = dataset.push(episode.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "action is -inf at episode 1, step 0, dimension 0"
    );
    assert_eq!((dataset.episodes(), dataset.steps()), (1, 2));

    let mut keeping = Dataset::with(dataset.info().clone(), Defects::Keep);
    keeping.push(episode).unwrap();
    assert_eq!(keeping.episodes(), 1);
}

#[test]
fn episodes_of_the_wrong_size_are_refused() {
    let mut dataset = staircase(&[]);
    let episode = Episode {
        observations: vec![0.0; 4],
        actions: vec![0.0; 2],
        rewards: vec![0.0; 2],
        ..Episode::default()
    };
    let error = dataset.push(episode.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "episode 0 has 2 observations for 2 steps, expected 3"
    );
    let error = dataset
        .push(Episode {
            actions: vec![0.0; 3],
            ..episode.clone()
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "episode 0 has 3 action numbers, expected 2"
    );
    let error = dataset
        .push(Episode {
            observations: vec![0.0; 7],
            ..episode
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "episode 0 has 7 observation numbers, expected 6"
    );
    let error = dataset.push(Episode::default()).unwrap_err();
    assert_eq!(error.to_string(), "episode 0 has no steps");
}

#[test]
fn the_hash_depends_on_numbers_and_flags_and_on_nothing_else() {
    let dataset = staircase(&[3, 1]);
    let copy = |change: &dyn Fn(&mut Episode)| {
        let mut copy = Dataset::new(Info {
            id: "other".into(),
            ..dataset.info().clone()
        });
        for view in dataset.iter() {
            let mut episode = Episode {
                observations: view.observations.to_vec(),
                actions: view.actions.to_vec(),
                rewards: view.rewards.to_vec(),
                terminated: view.terminated,
                truncated: view.truncated,
                seed: None,
            };
            change(&mut episode);
            copy.push(episode).unwrap();
        }
        copy.hash()
    };
    assert_eq!(copy(&|episode| episode.seed = Some(1)), dataset.hash());
    assert_ne!(copy(&|episode| episode.truncated = true), dataset.hash());
    assert_ne!(copy(&|episode| episode.rewards[0] += 1e-9), dataset.hash());
    assert_eq!(dataset.hash().len(), 64);
    // Recorded once: a change of the definition would orphan the hashes in published results.
    assert_eq!(&staircase(&[2, 1]).hash()[..16], "d75a2c9f52415e12");
}
