use super::*;
use crate::dataset::tests::staircase;
use crate::{Episode, Info};

/// Episodes of these lengths and returns, each with all its reward in equal parts.
fn with_returns(episodes: &[(usize, f64)]) -> Dataset {
    let mut dataset = Dataset::new(staircase(&[]).info().clone());
    for (e, &(steps, return_)) in episodes.iter().enumerate() {
        let episode = Episode {
            observations: (0..=steps).flat_map(|t| [e as f64, t as f64]).collect(),
            actions: vec![e as f64; steps],
            rewards: vec![return_ / steps as f64; steps],
            truncated: true,
            ..Episode::default()
        };
        dataset.push(episode).unwrap();
    }
    dataset
}

/// Which episodes of [`with_returns`] are there.
fn which(dataset: &Dataset) -> Vec<usize> {
    dataset
        .iter()
        .map(|episode| episode.actions[0] as usize)
        .collect()
}

fn top(fraction: f64, top_by: TopBy) -> Selection {
    Selection {
        top_fraction: Some(fraction),
        top_by,
        ..Selection::default()
    }
}

#[test]
fn the_best_part_by_trajectories_is_cut_as_corl_cuts_it() {
    let dataset = with_returns(&[(2, 5.0), (4, 9.0), (8, 1.0), (1, 7.0), (3, 8.0)]);
    let cut = |fraction| which(&dataset.select(&top(fraction, TopBy::Trajectories)).unwrap());
    // int(0.5 * 5) = 2 episodes, the best ones, in their old order.
    assert_eq!(cut(0.5), [1, 4]);
    assert_eq!(cut(0.6), [1, 3, 4]);
    // int(0.1 * 5) = 0, but one is kept.
    assert_eq!(cut(0.1), [1]);
    assert_eq!(cut(1.0), [0, 1, 2, 3, 4]);
}

#[test]
fn the_best_part_by_steps_is_cut_as_the_official_script_cuts_it() {
    // 18 steps. Best first: episode 1 (4 steps), 4 (3), 3 (1), 0 (2), 2 (8).
    let dataset = with_returns(&[(2, 5.0), (4, 9.0), (8, 1.0), (1, 7.0), (3, 8.0)]);
    let cut = |fraction| which(&dataset.select(&top(fraction, TopBy::Steps)).unwrap());
    // int(0.1 * 18) = 1 step: the best episode stays although it is longer.
    assert_eq!(cut(0.1), [1]);
    // int(0.38 * 18) = 6: episode 4 would make 7, and nothing after it is tried.
    assert_eq!(cut(0.38), [1]);
    // int(0.5 * 18) = 9: 4 + 3 + 1 = 8, two more would make 10.
    assert_eq!(cut(0.5), [1, 3, 4]);
    assert_eq!(cut(1.0), [0, 1, 2, 3, 4]);
}

#[test]
fn of_equal_returns_the_earlier_is_chosen() {
    let dataset = with_returns(&[(2, 1.0), (2, 3.0), (2, 3.0), (2, 3.0)]);
    assert_eq!(
        which(&dataset.select(&top(0.5, TopBy::Trajectories)).unwrap()),
        [1, 2]
    );
}

#[test]
fn lengths_are_bounded_on_both_sides() {
    let dataset = with_returns(&[(2, 0.0), (4, 0.0), (8, 0.0), (1, 0.0)]);
    let selection = Selection {
        min_length: Some(2),
        max_length: Some(4),
        ..Selection::default()
    };
    let part = dataset.select(&selection).unwrap();
    assert_eq!(which(&part), [0, 1]);
    assert_eq!((part.steps(), part.starts()), (6, &[0, 2, 6][..]));
    let nothing = Selection {
        min_length: Some(9),
        ..Selection::default()
    };
    let error = dataset.select(&nothing).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot select episodes, none of 4 episodes is selected by min_length=9"
    );
    assert!(error.hint().is_some());
}

#[test]
fn a_random_part_depends_on_its_seed_and_on_nothing_else() {
    let dataset = with_returns(&[(1, 0.0); 40]);
    let part = |seed| {
        let selection = Selection {
            random_fraction: Some(0.25),
            seed,
            ..Selection::default()
        };
        which(&dataset.select(&selection).unwrap())
    };
    assert_eq!(part(1).len(), 10);
    assert_eq!(part(1), part(1));
    assert_ne!(part(1), part(2));
    // Over many seeds every episode is drawn about a quarter of the times.
    let mut counts = [0; 40];
    for seed in 0..400 {
        for index in part(seed) {
            counts[index] += 1;
        }
    }
    // The standard deviation of each count is 8.7.
    assert!(
        counts.iter().all(|count| (60..140).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn training_and_validation_parts_share_no_episode_and_lose_none() {
    let dataset = with_returns(&[(3, 1.0); 30]);
    let (training, validation) = dataset.split(0.2, 7).unwrap();
    assert_eq!((training.episodes(), validation.episodes()), (24, 6));
    let mut all = [which(&training), which(&validation)].concat();
    all.sort_unstable();
    assert_eq!(all, (0..30).collect::<Vec<_>>());
    // The same parts through a selection, which says what it did.
    let selection = Selection {
        validation_fraction: Some(0.2),
        seed: 7,
        ..Selection::default()
    };
    let again = dataset.select_validation(&selection).unwrap().unwrap();
    assert_eq!(again.hash(), validation.hash());
    assert!(
        again
            .info()
            .provenance
            .ends_with("; validation part of validation_fraction=0.2 seed=7")
    );
    assert!(
        dataset
            .select_validation(&Selection::default())
            .unwrap()
            .is_none()
    );
    let error = with_returns(&[(3, 1.0)]).split(0.5, 0).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("one episode cannot be split into two parts")
    );
}

#[test]
fn delayed_rewards_come_with_the_last_step_and_the_source_is_unchanged() {
    let dataset = staircase(&[3, 2]);
    let delayed = Selection {
        delayed_rewards: true,
        ..Selection::default()
    };
    let part = dataset.select(&delayed).unwrap();
    assert_eq!(part.episode(0).rewards, [0.0, 0.0, 3.0]);
    assert_eq!(part.episode(1).rewards, [0.0, 3.0]);
    assert_eq!(dataset.episode(0).rewards, [0.0, 1.0, 2.0]);
    assert_eq!(
        part.episode(1).observations,
        dataset.episode(1).observations
    );
    assert_ne!(part.hash(), dataset.hash());
}

#[test]
fn a_selection_copies_no_observation_and_changes_the_hash() {
    let dataset = with_returns(&[(2, 5.0), (4, 9.0), (8, 1.0)]);
    let part = dataset.select(&top(0.7, TopBy::Trajectories)).unwrap();
    assert_eq!(
        part.episode(1).observations.as_ptr(),
        dataset.episode(1).observations.as_ptr()
    );
    assert_ne!(part.hash(), dataset.hash());
    let copied = with_returns(&[(2, 5.0), (4, 9.0)]);
    assert_eq!(part.hash(), copied.hash());
    assert_eq!(
        dataset.select(&Selection::default()).unwrap().hash(),
        dataset.hash()
    );
}

#[test]
fn a_selection_of_a_selection_counts_its_own_episodes() {
    let dataset = with_returns(&[(2, 5.0), (4, 9.0), (8, 1.0), (1, 7.0)]);
    let long = Selection {
        min_length: Some(2),
        ..Selection::default()
    };
    let part = dataset.select(&long).unwrap();
    let best = part.select(&top(0.4, TopBy::Trajectories)).unwrap();
    assert_eq!(which(&best), [1]);
}

#[test]
fn a_shared_dataset_can_be_grown_without_the_others_seeing_it() {
    let mut dataset = with_returns(&[(2, 5.0), (4, 9.0)]);
    let before = dataset.clone();
    dataset.push(before.episode(0).to_owned()).unwrap();
    dataset.push(before.episode(1).to_owned()).unwrap();
    assert_eq!(which(&dataset), [0, 1, 0, 1]);
    assert_eq!(which(&before), [0, 1]);
    assert_eq!(dataset.starts(), [0, 2, 6, 8, 12]);
    let copied = with_returns(&[(2, 5.0), (4, 9.0)]);
    assert_eq!(before.hash(), copied.hash());
}

#[test]
fn a_mixture_has_the_episodes_of_all_and_weighs_them() {
    let (a, b) = (
        with_returns(&[(2, 5.0)]),
        with_returns(&[(4, 9.0), (1, 1.0)]),
    );
    let plain = mix(&[(a.clone(), 1.0), (b.clone(), 1.0)]).unwrap();
    assert_eq!(
        (plain.episodes(), plain.steps(), plain.weights()),
        (3, 7, None)
    );
    let weighted = mix(&[(a.clone(), 3.0), (b.clone(), 1.0)]).unwrap();
    assert_eq!(weighted.weights(), Some(&[3.0, 1.0, 1.0][..]));
    assert_ne!(weighted.hash(), plain.hash());
    // Weights only compare.
    let doubled = mix(&[(a, 2.0), (b, 2.0)]).unwrap();
    assert_eq!(doubled.hash(), plain.hash());
    // A selection keeps the weights of what it keeps, a mixture of mixtures multiplies them.
    let best = weighted.select(&top(0.7, TopBy::Trajectories)).unwrap();
    assert_eq!(best.weights(), Some(&[3.0, 1.0][..]));
    let nested = mix(&[(weighted, 2.0), (plain, 5.0)]).unwrap();
    assert_eq!(nested.weights(), Some(&[6.0, 2.0, 2.0, 5.0, 5.0, 5.0][..]));
    assert!(nested.info().provenance.starts_with("mixture 2 x 3 x "));
}

#[test]
fn datasets_that_cannot_be_mixed_are_named() {
    let a = with_returns(&[(2, 5.0)]);
    let info = Info {
        id: "discrete".into(),
        action_space: rtg_envs::Space::Discrete { n: 2, start: 0 },
        ..a.info().clone()
    };
    let error = mix(&[(a.clone(), 1.0), (Dataset::new(info), 1.0)]).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("the actions of") && text.contains("discrete do not fit"),
        "{text}"
    );
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(mix(&[(a.clone(), weight)]).is_err(), "{weight}");
    }
    assert!(mix(&[]).is_err());
}

#[test]
fn invalid_fractions_are_refused_by_their_name() {
    let dataset = with_returns(&[(2, 5.0), (4, 9.0)]);
    let of = |json: &str| serde_json::from_str::<Selection>(json).unwrap();
    for json in [
        r#"{"random_fraction": 0.0}"#,
        r#"{"top_fraction": 1.5}"#,
        r#"{"validation_fraction": 1.0}"#,
    ] {
        let error = dataset.select(&of(json)).unwrap_err().to_string();
        assert!(error.contains("must be between 0 and 1"), "{error}");
    }
    assert!(serde_json::from_str::<Selection>(r#"{"topfraction": 1.0}"#).is_err());
}

#[test]
fn the_canonical_text_holds_what_selects_and_nothing_more() {
    let text = |json: &str| serde_json::from_str::<Selection>(json).unwrap().to_string();
    assert_eq!(text("{}"), "everything");
    // A seed that nothing draws with, and a rule without a fraction, select nothing.
    assert_eq!(text(r#"{"seed": 4, "top_by": "steps"}"#), "everything");
    assert_eq!(
        text(
            r#"{"seed": 4, "delayed_rewards": true, "random_fraction": 0.5, "top_by": "steps", "top_fraction": 0.1}"#
        ),
        "random_fraction=0.5 top_fraction=0.1 top_by=steps delayed_rewards=true seed=4"
    );
}

#[test]
fn balanced_returns_give_each_class_the_same_part_of_the_steps() {
    // Three classes of width 3: [0, 3), [3, 6) without an episode, [6, 9].
    let dataset = with_returns(&[(10, 0.0), (20, 1.0), (6, 9.0), (4, 7.0)]);
    let balance = |dataset: &Dataset, classes| {
        let selection = Selection {
            balance_returns: Some(classes),
            ..Selection::default()
        };
        dataset.select(&selection)
    };
    let balanced = balance(&dataset, 3).unwrap();
    let part = |dataset: &Dataset, episodes: &[usize]| -> f64 {
        let weights = dataset.weights().unwrap();
        let steps = |&index: &usize| dataset.episode(index).len() as f64 * weights[index];
        episodes.iter().map(steps).sum()
    };
    for class in [[0, 1], [2, 3]] {
        assert!((part(&balanced, &class) - 20.0).abs() < 1e-12);
    }
    let weights = balanced.weights().unwrap();
    assert_eq!(weights[0].to_bits(), weights[1].to_bits());
    assert_eq!(weights[2].to_bits(), weights[3].to_bits());
    assert_ne!(balanced.hash(), dataset.hash());
    assert!(
        balanced
            .info()
            .provenance
            .ends_with("selected balance_returns=3")
    );
    // Weights of a mixture are kept inside a class.
    let mixed = mix(&[(dataset.clone(), 1.0), (dataset.clone(), 3.0)]).unwrap();
    let balanced = balance(&mixed, 3).unwrap();
    let weights = balanced.weights().unwrap();
    assert!((weights[4] / weights[0] - 3.0).abs() < 1e-12);
    assert!((part(&balanced, &[0, 1, 4, 5]) / part(&balanced, &[2, 3, 6, 7]) - 1.0).abs() < 1e-12);
    // One class, or one return, changes nothing; no class is refused.
    assert!(balance(&dataset, 1).unwrap().weights().is_none());
    let alike = with_returns(&[(3, 2.0), (5, 2.0)]);
    assert!(balance(&alike, 4).unwrap().weights().is_none());
    assert!(balance(&dataset, 0).is_err());
}

#[test]
fn the_strength_of_a_balance_goes_from_none_to_all_of_it() {
    let dataset = with_returns(&[(10, 0.0), (20, 1.0), (6, 9.0), (4, 7.0)]);
    let balance = |strength| {
        let selection = Selection {
            balance_returns: Some(3),
            balance_strength: strength,
            ..Selection::default()
        };
        dataset.select(&selection)
    };
    let weights = |strength| balance(strength).unwrap().weights().map(<[f64]>::to_vec);
    // No weights: the very draws of the data as they are.
    assert_eq!(weights(Some(0.0)), None);
    assert_eq!(weights(Some(1.0)), weights(None));
    // 30 and 10 steps: their weights are as 1 to 3, or to its root.
    let half = weights(Some(0.5)).unwrap();
    assert!((half[2] / half[0] - 3.0_f64.sqrt()).abs() < 1e-12);
    assert!(balance(Some(1.1)).is_err() && balance(Some(f64::NAN)).is_err());
    let alone = Selection {
        balance_strength: Some(0.5),
        ..Selection::default()
    };
    assert!(dataset.select(&alone).is_err());
}
