use std::path::Path;

use rtg_datasets::MinariFormat;

use super::*;
use crate::behaviour::{self, mixture};

fn plan(steps: usize, rows: usize) -> CollectionPlan {
    CollectionPlan {
        env: "CartPole-v1".to_owned(),
        steps,
        seed: 7,
        targets: Vec::new(),
        policy: "controller".to_owned(),
        noise: 0.5,
        mixture: &[],
        rows,
        threads: 2,
    }
}

/// The controller, and for a part without noise of its own the random policy.
fn controller(noise: Option<f64>, rows: usize) -> Box<dyn Policy> {
    let space = registry::spec("CartPole-v1").unwrap().action_space;
    match noise {
        Some(noise) => behaviour::controller("CartPole-v1", noise, rows).unwrap(),
        None => Box::new(behaviour::Random::new(&space, rows)),
    }
}

fn in_folder(root: &Path, id: &str) -> Target {
    Target::named(id, Some(MinariFormat::Hdf5), root)
}

fn open(root: &Path, id: &str) -> rtg_datasets::Dataset {
    rtg_datasets::open(id, Some(root)).unwrap()
}

#[test]
fn a_collection_is_a_dataset_whose_episodes_follow_from_their_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut hashes = Vec::new();
    for (id, rows) in [("cart/one-v0", 1), ("cart/many-v0", 5)] {
        let mut collection = Collection::begin(plan(300, rows), id, in_folder(root, id)).unwrap();
        collection.play(&mut controller, &mut |_| ()).unwrap();
        collection.finish().unwrap();
        let data = open(root, id);
        assert!(data.steps() >= 300);
        let without_last = data.steps() - data.episode(data.episodes() - 1).len();
        assert!(without_last < 300, "no episode more than needed");
        for (index, episode) in data.iter().enumerate() {
            assert_eq!(episode.seed, Some(7 + index as u64));
        }
        assert_eq!(data.info().env_id(), Some("CartPole-v1"));
        hashes.push(data.hash());
    }
    assert_eq!(hashes[0], hashes[1], "rows change the speed only");
}

#[test]
fn an_interrupted_collection_resumes_to_the_same_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut whole =
        Collection::begin(plan(400, 3), "whole-v0", in_folder(root, "whole-v0")).unwrap();
    whole.play(&mut controller, &mut |_| ()).unwrap();
    whole.finish().unwrap();

    let target = || in_folder(root, "parts-v0");
    let mut first = Collection::begin(plan(150, 3), "parts-v0", target()).unwrap();
    first.play(&mut controller, &mut |_| ()).unwrap();
    let done = first.episodes();
    drop(first);
    let again = Collection::begin(plan(400, 3), "parts-v0", target())
        .err()
        .unwrap();
    assert!(again.hint().unwrap().contains("--resume"), "{again}");
    let other = CollectionPlan {
        seed: 8,
        ..plan(400, 3)
    };
    let error = Collection::resume(other, "parts-v0", target())
        .err()
        .unwrap();
    assert!(matches!(error, Error::OtherCollection { .. }), "{error}");

    let mut second = Collection::resume(plan(400, 4), "parts-v0", target()).unwrap();
    assert_eq!(second.episodes(), done);
    second.play(&mut controller, &mut |_| ()).unwrap();
    second.finish().unwrap();
    assert_eq!(open(root, "parts-v0").hash(), open(root, "whole-v0").hash());
    // As if it had been killed just before it removed the journal.
    let journal = root.join(".parts-v0.journal");
    std::fs::write(&journal, "").unwrap();
    assert!(is_complete(&target()).unwrap() && !journal.exists());
    assert!(!is_complete(&in_folder(root, "other-v0")).unwrap());
    // With all of its episodes still in the journal, and with others.
    for (seed, same) in [(7, true), (8, false)] {
        let other = CollectionPlan {
            seed,
            ..plan(400, 3)
        };
        let mut other = Collection::begin(other, "kept-v0", in_folder(root, "kept-v0")).unwrap();
        other.play(&mut controller, &mut |_| ()).unwrap();
        drop(other);
        std::fs::rename(root.join(".kept-v0.journal"), &journal).unwrap();
        assert_eq!(is_complete(&target()).is_ok(), same);
        assert_eq!(
            journal.exists(),
            !same,
            "only what is in the dataset is removed"
        );
    }
    std::fs::remove_file(&journal).unwrap();
    let left = std::fs::read_dir(root).unwrap().filter_map(Result::ok);
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn targets_are_cycled_through() {
    let plan = CollectionPlan {
        targets: vec![500.0, 100.0],
        ..plan(1, 1)
    };
    let targets: Vec<_> = (0..3).map(|episode| plan.start(episode).target).collect();
    assert_eq!(targets, [Some(500.0), Some(100.0), Some(500.0)]);
}

#[test]
fn entry_points_are_gymnasiums() {
    for (env, expected) in [
        (
            "HalfCheetah-v5",
            "gymnasium.envs.mujoco.half_cheetah_v5:HalfCheetahEnv",
        ),
        (
            "Walker2d-v4",
            "gymnasium.envs.mujoco.walker2d_v4:Walker2dEnv",
        ),
        (
            "MountainCarContinuous-v0",
            "gymnasium.envs.classic_control.continuous_mountain_car:Continuous_MountainCarEnv",
        ),
    ] {
        assert_eq!(registry::entry_point(env).as_deref(), Some(expected));
    }
}

/// Plays as if it were killed after this many steps.
fn play_until(collection: &mut Collection, most: usize) {
    for (noise, end) in collection.plan.parts() {
        let missing = end.min(most).saturating_sub(collection.steps());
        if missing > 0 {
            let mut policy = |rows| controller(noise, rows);
            let played = collection.play_part(&mut policy, missing, &mut |_| ());
            played.unwrap();
        }
    }
}

#[test]
fn a_mixture_has_its_parts_in_order_and_resumes_in_any_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mixed = |rows| CollectionPlan {
        noise: 0.0,
        mixture: mixture::MIXED,
        ..plan(4000, rows)
    };
    let mut whole = Collection::begin(mixed(3), "whole-v0", in_folder(root, "whole-v0")).unwrap();
    whole.play(&mut controller, &mut |_| ()).unwrap();
    whole.finish().unwrap();
    let data = open(root, "whole-v0");
    let metadata = std::fs::read_to_string(root.join("whole-v0/data/metadata.json")).unwrap();
    assert!(metadata.contains("25 % with noise 0.5"), "{metadata}");

    // Which part an episode is in follows from the steps before it.
    let ends = [400, 1400, 2400, 4000];
    let (mut before, mut lengths) = (0, [const { Vec::new() }; 4]);
    for (index, episode) in data.iter().enumerate() {
        assert_eq!(episode.seed, Some(7 + index as u64));
        let part = ends.iter().position(|&end| before < end).unwrap();
        lengths[part].push(episode.len());
        before += episode.len();
    }
    let mean = |of: &[usize]| of.iter().sum::<usize>() as f64 / of.len() as f64;
    let means: Vec<f64> = lengths.iter().map(|of| mean(of)).collect();
    assert!(means[0] < 40.0 && means[3] > 499.0, "{means:?}");
    assert!(means.is_sorted(), "{means:?}");

    // Killed in each part.
    let target = || in_folder(root, "parts-v0");
    let mut parts = Collection::begin(mixed(2), "parts-v0", target()).unwrap();
    for steps in [200, 900, 2000] {
        play_until(&mut parts, steps);
        drop(parts);
        parts = Collection::resume(mixed(1 + steps % 4), "parts-v0", target()).unwrap();
    }
    parts.play(&mut controller, &mut |_| ()).unwrap();
    parts.finish().unwrap();
    assert_eq!(open(root, "parts-v0").hash(), data.hash());

    let longer = CollectionPlan {
        steps: 5000,
        ..mixed(1)
    };
    let other = Collection::begin(mixed(1), "other-v0", in_folder(root, "other-v0"));
    drop(other.unwrap());
    let error = Collection::resume(longer, "other-v0", in_folder(root, "other-v0")).err();
    assert!(
        matches!(error, Some(Error::OtherCollection { .. })),
        "{error:?}"
    );
}
