//! Properties of any dataset: what is written is read back in every format, and samplers draw each
//! step within its episode as often as its weight says.
//!
//! The cases are the same in each run; others are tried with
//! `PROPTEST_CASES=5000 PROPTEST_RNG_SEED=2 cargo test --workspace --test properties`.
//! What fails is reduced to a small case before it is shown.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot make its files has failed"
)]
#![expect(clippy::float_cmp, reason = "whole numbers are exact")]

use std::env;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use rtg_datasets::convert::{create_sink, same_episodes};
use rtg_datasets::{
    Batch, Contents, Dataset, Episode, Info, Journal, MinariFormat, Normaliser, RecordedEpisode,
    Recording, Source, Target, TransitionConfig, TransitionSampler, Transitions, WindowConfig,
    WindowSampler, mix, open, open_source, store,
};
use rtg_envs::{BoxSpace, Dtype, Space};
use serde_json::json;

/// Few cases, always the same, unless the environment asks for others.
fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config
}

/// A space of numbers, and a strategy for its rows.
type Numbers = (Space, BoxedStrategy<Vec<f64>>);

fn boxes() -> impl Strategy<Value = Numbers> + Clone {
    let dtypes = [Dtype::Float32, Dtype::Float64, Dtype::Int32, Dtype::Uint8];
    (prop::sample::select(dtypes.to_vec()), 1..4_usize).prop_map(|(dtype, width)| {
        let bound = if dtype == Dtype::Uint8 { 0.0 } else { -1e9 };
        let space = Space::Box(BoxSpace {
            low: vec![bound; width],
            high: vec![if dtype == Dtype::Uint8 { 255.0 } else { 1e9 }; width],
            shape: vec![width],
            dtype,
        });
        let number = match dtype {
            Dtype::Uint8 => (0..=255_i32).prop_map(f64::from).boxed(),
            _ => (-1e9..1e9_f64).prop_map(move |x| dtype.round(x)).boxed(),
        };
        (space, vec(number, width).boxed())
    })
}

fn choices() -> impl Strategy<Value = Numbers> + Clone {
    (1..5_usize, -3..4_i64).prop_map(|(n, start)| {
        let space = Space::Discrete { n, start };
        let number = (start..start + n as i64).prop_map(|choice| vec![choice as f64]);
        (space, number.boxed())
    })
}

fn leaves() -> impl Strategy<Value = Numbers> + Clone {
    prop_oneof![boxes(), choices()]
}

/// Numbers, a choice, or named or numbered parts of such.
fn spaces() -> impl Strategy<Value = Numbers> + Clone {
    let joined = |parts: Vec<Numbers>, is_named: bool| {
        let (spaces, rows): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let named = spaces.iter().enumerate();
        let named = named.map(|(index, space)| (format!("part_{index}"), space.clone()));
        let space = if is_named {
            Space::Dict(named.collect())
        } else {
            Space::Tuple(spaces)
        };
        (space, rows.prop_map(|parts| parts.concat()).boxed())
    };
    let parts = (vec(leaves(), 1..4), any::<bool>());
    prop_oneof![
        2 => leaves(),
        1 => parts.prop_map(move |(parts, is_named)| joined(parts, is_named)),
    ]
}

/// Episodes of 1 to 6 steps, with a seed or without.
fn episodes(
    observations: BoxedStrategy<Vec<f64>>,
    actions: BoxedStrategy<Vec<f64>>,
) -> impl Strategy<Value = Vec<Episode>> {
    let episode = (1..7_usize).prop_flat_map(move |steps| {
        let flags = (any::<bool>(), any::<bool>(), any::<Option<u32>>());
        let columns = (
            vec(observations.clone(), steps + 1),
            vec(actions.clone(), steps),
            vec(-1e6..1e6_f64, steps),
        );
        (columns, flags).prop_map(|(columns, (terminated, truncated, seed))| Episode {
            observations: columns.0.concat(),
            actions: columns.1.concat(),
            rewards: columns.2,
            terminated,
            truncated: truncated || !terminated,
            seed: seed.map(u64::from),
        })
    });
    vec(episode, 1..5)
}

fn recordings(
    spaces: impl Strategy<Value = Numbers> + Clone,
) -> impl Strategy<Value = (Recording, Vec<Episode>)> {
    (spaces.clone(), spaces).prop_flat_map(|((observation, rows), (action, choices))| {
        let recording = Recording::new("any/thing-v0", observation, action);
        (Just(recording), episodes(rows, choices))
    })
}

fn write(target: &Target, recording: &Recording, episodes: &[RecordedEpisode]) {
    let mut sink = create_sink(target, recording).unwrap();
    for episode in episodes {
        sink.write(episode).unwrap();
    }
    sink.finish().unwrap();
}

fn read(path: &Path) -> Box<dyn Source> {
    open_source(path.to_str().unwrap(), None, Contents::Everything).unwrap()
}

fn flat(recording: &Recording, episodes: &[Episode]) -> Dataset {
    let info = Info::new(
        "any",
        recording.observation_space.space().clone(),
        recording.action_space.space().clone(),
    );
    let mut dataset = Dataset::new(info);
    for episode in episodes {
        dataset.push(episode.clone()).unwrap();
    }
    dataset
}

proptest! {
    #![proptest_config(config(16))]

    #[test]
    fn a_journal_and_each_of_minaris_formats_return_what_was_written(
        (recording, plain) in recordings(spaces()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let of = |episode: &Episode| RecordedEpisode::of(episode, &recording).unwrap();
        let recorded: Vec<RecordedEpisode> = plain.iter().map(of).collect();
        let path = folder.path().join("journal");
        let mut journal = Journal::create(&path, &recording, &json!(null)).unwrap();
        for episode in &recorded {
            journal.append(episode).unwrap();
        }
        journal.flush().unwrap();
        let mut source = journal.source().unwrap();
        for episode in &recorded {
            let next = source.next_episode().unwrap();
            prop_assert_eq!(next.as_ref(), Some(episode));
        }
        prop_assert_eq!(source.next_episode().unwrap(), None);
        for format in [MinariFormat::Hdf5, MinariFormat::Arrow, MinariFormat::Parquet] {
            let root = folder.path().join(format!("{format:?}"));
            let target = Target::Minari {
                root,
                id: "any/thing-v0".to_owned(),
                format,
            };
            write(&target, &recording, &recorded);
            let mut found = read(&target.path());
            let mut expected = journal.source().unwrap();
            prop_assert!(same_episodes(&mut *found, &mut expected).unwrap(), "{:?}", format);
            let mut found = read(&target.path());
            for episode in &recorded {
                let next = found.next_episode().unwrap().unwrap();
                prop_assert_eq!(&next.observations, &episode.observations);
                prop_assert_eq!(&next.actions, &episode.actions);
                prop_assert_eq!(&next.rewards, &episode.rewards);
                prop_assert_eq!(&next.terminations, &episode.terminations);
                prop_assert_eq!(&next.truncations, &episode.truncations);
                prop_assert_eq!(next.seed, episode.seed);
            }
            prop_assert!(found.next_episode().unwrap().is_none());
        }
    }

    #[test]
    fn a_store_and_a_d4rl_file_return_the_numbers_that_were_written(
        (recording, plain) in recordings(boxes()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let dataset = flat(&recording, &plain);
        let mapped = store::map(&dataset, folder.path()).unwrap();
        prop_assert_eq!(mapped.episodes(), dataset.episodes());
        let again = store::make(
            &folder.path().join("made"),
            dataset.info().clone(),
            dataset.iter().map(|episode| Ok(episode.to_owned())),
        );
        let again = again.unwrap();
        prop_assert_eq!(again.hash(), dataset.hash());
        let path = folder.path().join("any-v0.hdf5");
        let of = |episode: &Episode| RecordedEpisode::of(episode, &recording).unwrap();
        let recorded: Vec<RecordedEpisode> = plain.iter().map(of).collect();
        write(&Target::D4rl { path: path.clone() }, &recording, &recorded);
        let file = open(path.to_str().unwrap(), None).unwrap();
        prop_assert_eq!(file.episodes(), dataset.episodes());
        for (index, expected) in dataset.iter().enumerate() {
            for found in [mapped.episode(index), again.episode(index)] {
                prop_assert_eq!(found, expected);
            }
            let found = file.episode(index);
            prop_assert_eq!(found.observations, expected.observations);
            prop_assert_eq!(found.actions, expected.actions);
            prop_assert_eq!(found.rewards, expected.rewards);
            prop_assert_eq!(found.terminated, expected.terminated);
            prop_assert_eq!(found.truncated, expected.truncated);
        }
    }
}

/// Episodes of these lengths: observation t of episode e is `[first + e, t]`, its action `[t]` and
/// its reward t.
fn counted(first: usize, lengths: &[usize]) -> Dataset {
    let box_of = |width| Space::Box(BoxSpace::unbounded(width));
    let mut dataset = Dataset::new(Info::new("counted", box_of(2), box_of(1)));
    for (episode, steps) in lengths.iter().enumerate() {
        let rows = (0..=*steps).flat_map(|step| [(first + episode) as f64, step as f64]);
        let numbers: Vec<f64> = (0..*steps).map(|step| step as f64).collect();
        let episode = Episode {
            observations: rows.collect(),
            actions: numbers.clone(),
            rewards: numbers,
            terminated: episode % 2 == 0,
            truncated: episode % 2 == 1,
            seed: None,
        };
        dataset.push(episode).unwrap();
    }
    dataset
}

/// Lengths of episodes of two datasets, and the weight of each.
fn mixtures() -> impl Strategy<Value = [(Vec<usize>, f64); 2]> {
    let part = || (vec(1..9_usize, 1..5), 0.1..5.0_f64);
    [part(), part()]
}

/// A mixture, its episodes' lengths, and the share of draws that each is to have.
fn mixture(parts: &[(Vec<usize>, f64); 2]) -> (Dataset, Vec<usize>, Vec<f64>) {
    let [(first, weight), (second, other)] = parts;
    let datasets = [
        (counted(0, first), *weight),
        (counted(first.len(), second), *other),
    ];
    let shares = |(lengths, weight): &(Vec<usize>, f64)| -> Vec<f64> {
        lengths.iter().map(|steps| *steps as f64 * weight).collect()
    };
    let shares: Vec<f64> = parts.iter().flat_map(shares).collect();
    let all: f64 = shares.iter().sum();
    let lengths = [&first[..], second].concat();
    let shares = shares.iter().map(|share| share / all).collect();
    (mix(&datasets).unwrap(), lengths, shares)
}

/// Whether counts fit their shares: each within six standard deviations and one.
fn fit(counts: &[usize], shares: &[f64], draws: usize) -> bool {
    counts.iter().zip(shares).all(|(count, share)| {
        let expected = share * draws as f64;
        let deviation = (expected * (1.0 - share)).sqrt();
        (*count as f64 - expected).abs() <= 6.0 * deviation + 1.0
    })
}

const DRAWS: usize = 4096;

proptest! {
    #![proptest_config(config(32))]

    #[test]
    fn a_window_is_consecutive_steps_of_one_episode_drawn_by_its_weight(
        parts in mixtures(),
        context in 1..8_usize,
        is_official in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (dataset, lengths, shares) = mixture(&parts);
        let config = if is_official {
            WindowConfig::official(context, 1.0, 100)
        } else {
            WindowConfig::corl(context, 1.0)
        };
        let sampler = WindowSampler::new(&dataset, &Normaliser::identity(2), config).unwrap();
        let (mut batch, mut counts) = (Batch::default(), vec![0; lengths.len()]);
        sampler.sample(&mut Pcg64::seed_from_u64(seed), DRAWS, &mut batch);
        prop_assert_eq!((batch.rows, batch.context), (DRAWS, context));
        for row in 0..DRAWS {
            let places = batch.valid(row);
            let at = row * context + places.start;
            let (episode, first) = (batch.observations[2 * at], batch.observations[2 * at + 1]);
            let steps = lengths[episode as usize];
            prop_assert_eq!(places.len(), context.min(steps - first as usize));
            counts[episode as usize] += 1;
            for (offset, at) in places.map(|place| row * context + place).enumerate() {
                let step = first + offset as f32;
                prop_assert_eq!(&batch.observations[2 * at..2 * at + 2], &[episode, step]);
                prop_assert_eq!(batch.actions[at], step);
                prop_assert_eq!(batch.timesteps[at], step as u32);
                let left = (step as usize..steps).sum::<usize>();
                prop_assert_eq!(batch.returns_to_go[at], left as f32);
            }
        }
        prop_assert!(fit(&counts, &shares, DRAWS), "{:?} for {:?}", counts, shares);
    }

    #[test]
    fn a_transition_is_a_step_and_the_next_observation_drawn_by_its_weight(
        parts in mixtures(),
        seed in any::<u64>(),
    ) {
        let (dataset, lengths, shares) = mixture(&parts);
        let config = TransitionConfig::default();
        let sampler = TransitionSampler::new(&dataset, &Normaliser::identity(2), config).unwrap();
        let (mut batch, mut counts) = (Transitions::default(), vec![0; lengths.len()]);
        sampler.sample(&mut Pcg64::seed_from_u64(seed), DRAWS, &mut batch);
        prop_assert_eq!(batch.rows, DRAWS);
        for row in 0..DRAWS {
            let (episode, step) = (batch.observations[2 * row], batch.observations[2 * row + 1]);
            prop_assert_eq!(&batch.next_observations[2 * row..][..2], &[episode, step + 1.0]);
            prop_assert_eq!((batch.actions[row], batch.rewards[row]), (step, step));
            let first = lengths.len().min(parts[0].0.len());
            let index = episode as usize;
            let in_part = if index < first { index } else { index - first };
            let is_last = step as usize + 1 == lengths[index];
            let ends = f32::from(u8::from(is_last && in_part % 2 == 0));
            prop_assert_eq!(batch.terminated[row], ends);
            counts[index] += 1;
        }
        prop_assert!(fit(&counts, &shares, DRAWS), "{:?} for {:?}", counts, shares);
    }

    #[test]
    fn the_same_generator_draws_the_same_windows_from_memory_and_from_a_store(
        lengths in vec(1..9_usize, 1..6),
        seed in any::<u64>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let dataset = counted(0, &lengths);
        let mapped = store::map(&dataset, folder.path()).unwrap();
        let drawn = |dataset: &Dataset| {
            let config = WindowConfig::corl(4, 2.0);
            let sampler = WindowSampler::new(dataset, &Normaliser::identity(2), config).unwrap();
            let mut batch = Batch::default();
            sampler.sample(&mut Pcg64::seed_from_u64(seed), 64, &mut batch);
            batch
        };
        prop_assert!(mapped.is_mapped());
        prop_assert_eq!(drawn(&mapped), drawn(&dataset));
    }
}
