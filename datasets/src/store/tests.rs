use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;

use super::open::{fingerprint, open_in};
use super::*;
use crate::dataset::tests::staircase;
use crate::{Batch, Normaliser, Selection, WindowConfig, WindowSampler, doctor, mix};

fn cache() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Everything about a dataset except where its numbers are.
fn content(dataset: &Dataset) -> (Info, Vec<Episode>, Vec<Finding>) {
    let episodes = dataset.iter().map(|episode| episode.to_owned()).collect();
    (
        dataset.info().clone(),
        episodes,
        dataset.findings().to_vec(),
    )
}

/// The one store in a cache directory.
fn only(cache: &Path) -> PathBuf {
    let mut stores: Vec<_> = fs::read_dir(cache)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(stores.len(), 1, "{stores:?}");
    stores.pop().unwrap()
}

fn with_seeds() -> Dataset {
    let source = staircase(&[3, 1, 7]);
    let mut dataset = Dataset::new(source.info().clone());
    for (index, view) in source.iter().enumerate() {
        let mut episode = view.to_owned();
        episode.seed = (index != 1).then_some(u64::MAX - index as u64);
        (episode.terminated, episode.truncated) = (index == 0, index != 0);
        dataset.push(episode).unwrap();
    }
    dataset.note(Finding::note("dropped-tail", 5, "rows".into()));
    dataset
}

#[test]
fn a_mapped_dataset_is_the_same_dataset() {
    let (cache, dataset) = (cache(), with_seeds());
    let mapped = map(&dataset, cache.path()).unwrap();
    assert!(mapped.is_mapped() && !dataset.is_mapped());
    assert_eq!(content(&mapped), content(&dataset));
    assert_eq!(mapped.hash(), dataset.hash());
    // The hash was stored; the numbers have the same.
    let opened = open(&only(cache.path())).unwrap();
    let mut forgotten = opened;
    forgotten.known_hash = None;
    assert_eq!(forgotten.hash(), dataset.hash());
    assert_eq!(doctor::check_up(&mapped), doctor::check_up(&dataset));
}

#[test]
fn a_store_is_built_once() {
    let (cache, dataset) = (cache(), with_seeds());
    map(&dataset, cache.path()).unwrap();
    let made = |path: &Path| {
        fs::metadata(path.join(METADATA))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = made(&only(cache.path()));
    map(&dataset, cache.path()).unwrap();
    assert_eq!(made(&only(cache.path())), before);
}

#[test]
fn batches_are_the_same_in_memory_and_mapped_bit_for_bit() {
    let cache = cache();
    let lengths: Vec<usize> = (1..40).map(|i| 1 + i * 7 % 23).collect();
    let continuous = staircase(&lengths);
    let mut discrete = Dataset::new(Info {
        action_space: rtg_envs::Space::Discrete { n: 5, start: -1 },
        ..continuous.info().clone()
    });
    for view in continuous.iter() {
        let mut episode = view.to_owned();
        for action in &mut episode.actions {
            *action = *action % 5.0 - 1.0;
        }
        discrete.push(episode).unwrap();
    }
    let mixture = mix(&[(continuous.clone(), 1.0), (staircase(&[40, 3]), 2.5)]).unwrap();
    for (number, dataset) in [continuous, discrete, mixture].into_iter().enumerate() {
        let mapped = map(&dataset, &cache.path().join(number.to_string())).unwrap();
        for (selection, config) in [
            ("{}", WindowConfig::official(20, 3.0, 15)),
            (r#"{"top_fraction": 0.4}"#, WindowConfig::corl(5, 7.0)),
            (r#"{"delayed_rewards": true}"#, WindowConfig::corl(20, 0.1)),
            (
                r#"{"random_fraction": 0.5, "delayed_rewards": true}"#,
                WindowConfig::official(3, 1.0, 100),
            ),
        ] {
            let selection: Selection = serde_json::from_str(selection).unwrap();
            let drawn = |dataset: &Dataset| {
                let dataset = dataset.select(&selection).unwrap();
                let normaliser = Normaliser::of(&dataset, 1e-6);
                let sampler = WindowSampler::new(&dataset, &normaliser, config.clone()).unwrap();
                let mut batch = Batch::default();
                sampler.sample(&mut Pcg64::seed_from_u64(9), 100, &mut batch);
                (batch, dataset.hash(), normaliser)
            };
            assert_eq!(drawn(&mapped), drawn(&dataset), "{number}: {selection}");
        }
    }
}

#[test]
fn a_mapped_dataset_can_be_grown_in_memory() {
    let (cache, dataset) = (cache(), with_seeds());
    let mut mapped = map(&dataset, cache.path()).unwrap();
    let more = dataset.episode(2).to_owned();
    mapped.push(more.clone()).unwrap();
    let mut grown = dataset.clone();
    grown.push(more).unwrap();
    assert_eq!(content(&mapped), content(&grown));
    assert_eq!(mapped.hash(), grown.hash());
}

#[test]
fn damaged_stores_are_refused_and_rebuilt() {
    let (cache, dataset) = (cache(), with_seeds());
    map(&dataset, cache.path()).unwrap();
    let store = only(cache.path());
    let json = fs::read_to_string(store.join(METADATA)).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        // The files are read only: a new one takes the name.
        fs::remove_file(store.join(name)).unwrap();
        fs::write(store.join(name), bytes).unwrap();
    };
    let index = fs::read(store.join(INDEX)).unwrap();
    let mut long = index.clone();
    long[0] = 200;
    let mut endless = index.clone();
    endless[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut flagged = index.clone();
    flagged[8] = 9;
    let other_endian = json.replace("\"little_endian\": true", "\"little_endian\": false");
    for (name, bytes, reason) in [
        (METADATA, b"{".to_vec(), "unusable store"),
        (
            METADATA,
            json.replace("\"version\": 3", "\"version\": 1").into(),
            "version 1",
        ),
        (METADATA, other_endian.into(), "byte order"),
        (
            METADATA,
            json.replace("\"steps\": 11", "\"steps\": 99999999999999999")
                .into(),
            "episodes of 11 steps in all",
        ),
        (INDEX, index[1..].to_vec(), "bytes in the list"),
        (INDEX, long, "episode 0 has 200 steps"),
        (INDEX, endless, "episode 0 has 18446744073709551615 steps"),
        (INDEX, flagged, "flags 9"),
        ("rewards", vec![0; 80], "80 bytes instead of 88"),
        ("observations", Vec::new(), "0 bytes instead of 224"),
    ] {
        write(name, &bytes);
        let error = open(&store).unwrap_err();
        assert!(error.to_string().contains(reason), "{name}: {error}");
        assert!(error.hint().is_some());
        let mapped = map(&dataset, cache.path()).unwrap();
        assert_eq!(content(&mapped), content(&dataset), "{name}");
        assert_eq!(only(cache.path()), store);
    }
    fs::remove_file(store.join("actions")).unwrap();
    assert!(open(&store).is_err());
    assert_eq!(
        content(&map(&dataset, cache.path()).unwrap()),
        content(&dataset)
    );
}

#[test]
fn a_store_of_another_source_is_rebuilt() {
    let (cache, dataset) = (cache(), with_seeds());
    let make = |source: &str, dataset: &Dataset| {
        let source = [source.to_owned()];
        open_or_make(cache.path(), "key", &source, |target| {
            let mut writer = Writer::create(target, dataset.info().clone(), Defects::Refuse)?;
            for episode in dataset.iter() {
                writer.push(episode.to_owned())?;
            }
            Ok(writer)
        })
        .unwrap()
    };
    let first = make("a", &dataset);
    let other = staircase(&[2, 2]);
    assert_eq!(make("a", &other).hash(), dataset.hash());
    assert_eq!(make("b", &other).hash(), other.hash());
    // Numbers that were mapped before do not change.
    assert_eq!(content(&first).1, content(&dataset).1);
}

#[test]
fn a_store_is_built_from_episodes_one_by_one() {
    let (cache, dataset) = (cache(), with_seeds());
    let directory = cache.path().join("own");
    let episodes = || dataset.iter().map(|episode| Ok(episode.to_owned()));
    let made = make(&directory, dataset.info().clone(), episodes()).unwrap();
    assert_eq!(made.hash(), dataset.hash());
    // A sound store is opened, whatever the episodes were.
    let again = make(&directory, dataset.info().clone(), episodes().take(1)).unwrap();
    assert_eq!(again.hash(), dataset.hash());
    // An error on the way leaves nothing.
    let broken = episodes().chain([Err(Error::NotADataset)]);
    let elsewhere = cache.path().join("elsewhere");
    assert!(make(&elsewhere, dataset.info().clone(), broken).is_err());
    assert_eq!(only(cache.path()), directory);
}

#[test]
fn unfinished_datasets_leave_nothing_behind() {
    let (cache, dataset) = (cache(), with_seeds());
    let target = cache.path().join("unfinished");
    let mut writer = Writer::create(&target, dataset.info().clone(), Defects::Refuse).unwrap();
    writer.push(dataset.episode(0).to_owned()).unwrap();
    let mut bad = dataset.episode(1).to_owned();
    bad.rewards[0] = f64::NAN;
    assert!(
        writer
            .push(bad)
            .unwrap_err()
            .to_string()
            .contains("episode 1")
    );
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    drop(writer);
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[test]
fn two_processes_that_build_the_same_store_both_get_it() {
    let (cache, dataset) = (cache(), with_seeds());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mapped = map(&dataset, cache.path()).unwrap();
                assert_eq!(content(&mapped), content(&dataset));
            });
        }
    });
    only(cache.path());
}

#[test]
fn a_source_that_changed_has_another_fingerprint() {
    let folder = cache();
    let file = folder.path().join("data.hdf5");
    fs::write(&file, b"one").unwrap();
    let first = fingerprint("my/data-v0", folder.path(), Defects::Refuse).unwrap();
    assert!(first.key.starts_with("my-data-v0-"));
    assert_eq!(first.bytes, 3);
    assert_eq!(
        fingerprint("my/data-v0", folder.path(), Defects::Refuse).unwrap(),
        first
    );
    assert_ne!(
        fingerprint("my/data-v0", folder.path(), Defects::Keep).unwrap(),
        first
    );
    fs::write(&file, b"three").unwrap();
    assert_ne!(
        fingerprint("my/data-v0", folder.path(), Defects::Refuse).unwrap(),
        first
    );
    let error = fingerprint("x", &folder.path().join("absent"), Defects::Refuse).unwrap_err();
    assert!(error.to_string().contains("absent"));
}

#[test]
fn a_dataset_opened_by_name_is_mapped_or_not_as_the_mode_says() {
    let cache = cache();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let root = fixtures.join("minari");
    let open = |name: &str, mode| {
        let opened = open_in(cache.path(), name, Some(&root), Defects::Keep, mode);
        opened.unwrap()
    };
    for name in [
        "tiny/cartpole-v0",
        "tiny/broken-rows-v0",
        fixtures.join("d4rl/pen-plain-v0.hdf5").to_str().unwrap(),
    ] {
        let memory = open(name, StoreMode::Memory);
        let mapped = open(name, StoreMode::Mapped);
        assert!(mapped.is_mapped() && !memory.is_mapped(), "{name}");
        assert_eq!(content(&mapped), content(&memory), "{name}");
        assert!(!open(name, StoreMode::Auto).is_mapped(), "{name} is small");
    }
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 3);
    let error = open_in(
        cache.path(),
        "no/such-v0",
        Some(&root),
        Defects::Keep,
        StoreMode::Mapped,
    );
    assert!(error.unwrap_err().to_string().contains("no/such-v0"));
}
