use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use rtg_envs::Space;

use super::*;
use crate::dataset::tests::staircase;
use crate::sample::{ActionMap, Prefetcher};
use crate::{Defects, Episode, Info, Selection, mix, store};

mod peers;

pub(super) fn fixture(name: &str) -> Dataset {
    crate::open(
        &format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR")),
        None,
    )
    .unwrap()
}

/// Episodes of these lengths and flags (terminated, truncated), as those of `staircase`.
pub(super) fn episodes(ends: &[(usize, bool, bool)]) -> Dataset {
    let lengths: Vec<usize> = ends.iter().map(|&(steps, _, _)| steps).collect();
    let all = staircase(&lengths);
    let mut dataset = Dataset::new(all.info().clone());
    for (view, &(_, terminated, truncated)) in all.iter().zip(ends) {
        let episode = Episode {
            terminated,
            truncated,
            ..view.to_owned()
        };
        dataset.push(episode).unwrap();
    }
    dataset
}

pub(super) fn sampler(dataset: &Dataset, config: &TransitionConfig) -> TransitionSampler {
    let identity = Normaliser::identity(dataset.observation_width());
    TransitionSampler::new(dataset, &identity, config.clone()).unwrap()
}

fn config(truncated_last: TruncatedLast, n_step: usize) -> TransitionConfig {
    TransitionConfig {
        truncated_last,
        n_step,
        discount: 0.5,
        ..TransitionConfig::default()
    }
}

fn is_finite(batch: &Transitions) -> bool {
    let columns = [
        &batch.observations,
        &batch.actions,
        &batch.rewards,
        &batch.next_observations,
        &batch.discounts,
        &batch.next_actions,
        &batch.returns_to_go,
    ];
    columns.into_iter().flatten().all(|x| x.is_finite())
}

#[test]
fn a_time_limit_is_no_terminal_state_and_its_step_is_kept_or_dropped() {
    let ends = [
        (2, true, false),
        (3, false, true),
        (1, false, false),
        (2, true, true),
    ];
    let dataset = episodes(&ends);
    let kept = sampler(&dataset, &config(TruncatedLast::Keep, 1)).all();
    // Actions `10 e + t` encode the row.
    assert_eq!(kept.actions, [0.0, 1.0, 10.0, 11.0, 12.0, 20.0, 30.0, 31.0]);
    assert_eq!(kept.terminated, [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(kept.rewards, [0.0, 1.0, 1.0, 2.0, 3.0, 2.0, 3.0, 4.0]);
    // Observation `[e + t/100, t]`: the next one is real after a time limit, too.
    let next: Vec<f32> = kept.next_observations.chunks(2).map(|row| row[1]).collect();
    assert_eq!(next, [1.0, 2.0, 1.0, 2.0, 3.0, 1.0, 1.0, 2.0]);
    assert_eq!(kept.discounts, [0.5; 8]);

    let dropped = sampler(&dataset, &config(TruncatedLast::Drop, 1)).all();
    assert_eq!(dropped.actions, [0.0, 1.0, 10.0, 11.0, 30.0]);
    assert_eq!(dropped.terminated, [0.0, 1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn several_steps_stop_at_the_end_with_the_shorter_discount() {
    let dataset = episodes(&[(3, true, false), (3, false, true)]);
    let kept = sampler(&dataset, &config(TruncatedLast::Keep, 2)).all();
    // Rewards `e + t`.
    assert_eq!(kept.rewards, [0.5, 2.0, 2.0, 2.0, 3.5, 3.0]);
    assert_eq!(kept.terminated, [0.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
    assert_eq!(kept.discounts, [0.25, 0.25, 0.5, 0.25, 0.25, 0.5]);
    let next: Vec<f32> = kept.next_observations.chunks(2).map(|row| row[1]).collect();
    assert_eq!(next, [2.0, 3.0, 3.0, 2.0, 3.0, 3.0]);
    let dropped = sampler(&dataset, &config(TruncatedLast::Drop, 2)).all();
    assert_eq!(dropped.rewards, [0.5, 2.0, 2.0, 2.0, 2.0]);
    assert_eq!(dropped.discounts[3..], [0.25, 0.5]);
    assert_eq!(dropped.terminated[3..], [0.0, 0.0]);
}

#[test]
fn a_repeated_final_observation_is_not_learned_from() {
    // Steps 30 (terminal), 100 and 100 (inferred limits), without `next_observations`.
    let keep = config(TruncatedLast::Keep, 1);
    let rows = |name: &str| sampler(&fixture(name), &keep).rows();
    assert_eq!(rows("d4rl/pen-plain-v0.hdf5"), 30 + 99 + 99);
    // With them the row of the time limit is there: 10, 15 (truncated), 10.
    assert_eq!(rows("d4rl/hopper_marked-v2.hdf5"), 35);
    for dataset in [fixture("d3rlpy/first.h5"), fixture("d3rlpy/second.h5")] {
        let cut = dataset.iter().filter(|episode| !episode.terminated).count();
        assert_eq!(sampler(&dataset, &keep).rows(), dataset.steps() - cut);
    }
}

#[test]
fn rewards_are_shifted_then_scaled_and_actions_mapped_then_cut_off() {
    let dataset = episodes(&[(3, true, false)]);
    let config = TransitionConfig {
        reward: RewardTransform {
            scale: 10.0,
            shift: -0.5,
        },
        action_map: Some(ActionMap {
            offset: vec![1.0],
            scale: vec![0.5],
        }),
        action_clip: Some(1.5),
        ..TransitionConfig::default()
    };
    let all = sampler(&dataset, &config).all();
    assert_eq!(all.rewards, [-5.0, 5.0, 15.0]);
    assert_eq!(all.actions, [-1.5, 0.0, 1.5]);
}

#[test]
fn returns_to_go_are_discounted_and_a_failure_of_sparse_rewards_is_endless() {
    let mut dataset = episodes(&[(2, false, true), (2, true, false)]);
    let mut failure = dataset.episode(0).to_owned();
    failure.rewards = vec![0.0; 2];
    dataset.push(failure).unwrap();
    let of = |returns_to_go| {
        let config = TransitionConfig {
            returns_to_go,
            reward: RewardTransform {
                scale: 1.0,
                shift: -1.0,
            },
            ..config(TruncatedLast::Keep, 1)
        };
        sampler(&dataset, &config).all().returns_to_go
    };
    // Rewards -1, 0; 0, 1; -1, -1.
    assert_eq!(
        of(ReturnsToGo::Discounted),
        [-1.0, 0.0, 0.5, 1.0, -1.5, -1.0]
    );
    assert_eq!(of(ReturnsToGo::Sparse), [-1.0, 0.0, 0.5, 1.0, -2.0, -2.0]);
    assert!(of(ReturnsToGo::Off).is_empty());
}

/// One episode that takes the choices 3, 5, 4 out of 3, 4, 5.
fn choices() -> Dataset {
    let mut dataset = Dataset::new(Info {
        action_space: Space::Discrete { n: 3, start: 3 },
        ..staircase(&[]).info().clone()
    });
    let mut episode = staircase(&[3]).episode(0).to_owned();
    episode.actions = vec![3.0, 5.0, 4.0];
    dataset.push(episode).unwrap();
    dataset
}

#[test]
fn discrete_actions_are_one_hot_rows_and_labels() {
    let config = TransitionConfig {
        next_actions: true,
        ..TransitionConfig::default()
    };
    let sampler = sampler(&choices(), &config);
    assert_eq!(sampler.action_width(), 3);
    let all = sampler.all();
    assert_eq!(all.labels, [0, 2, 1]);
    let rows: Vec<_> = all.actions.chunks(3).collect();
    assert_eq!(rows, [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]);
    // After the terminal state nothing is chosen.
    let next: Vec<_> = all.next_actions.chunks(3).collect();
    assert_eq!(next, [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0; 3]]);
}

#[test]
fn delayed_rewards_arrive_with_the_last_step() {
    let selection = Selection {
        delayed_rewards: true,
        ..Selection::default()
    };
    let dataset = episodes(&[(3, true, false), (2, false, true)]);
    let dataset = dataset.select(&selection).unwrap();
    let all = sampler(&dataset, &config(TruncatedLast::Keep, 2)).all();
    assert_eq!(all.rewards, [0.0, 1.5, 3.0, 1.5, 3.0]);
}

#[test]
fn rows_are_drawn_uniformly_and_those_of_a_mixture_by_weight() {
    let few = episodes(&[(1, false, true), (4, true, false), (7, false, true)]);
    let more = episodes(&[(30, true, false)]);
    let mixture = mix(&[(few, 6.0), (more, 0.5)]).unwrap();
    let sampler = sampler(&mixture, &config(TruncatedLast::Drop, 1));
    assert_eq!(sampler.rows(), 40);
    let all = sampler.all();
    let key = |batch: &Transitions, row: usize| {
        let (o, a) = (&batch.observations[row * 2..][..2], batch.actions[row]);
        (o[0].to_bits(), o[1].to_bits(), a.to_bits())
    };
    // Episode 0 of the first dataset has no row, so every key is there once.
    let keys: Vec<_> = (0..40).map(|row| key(&all, row)).collect();
    let (draws, mut counts) = (60_000, [0.0; 40]);
    let mut batch = Transitions::default();
    sampler.sample(&mut Pcg64::seed_from_u64(3), draws, &mut batch);
    for row in 0..draws {
        let own = key(&batch, row);
        counts[keys.iter().position(|key| *key == own).unwrap()] += 1.0;
    }
    let expected = |row: usize| draws as f64 * if row < 10 { 6.0 } else { 0.5 } / 75.0;
    let chi_square: f64 = (0..40)
        .map(|row| (counts[row] - expected(row)).powi(2) / expected(row))
        .sum();
    // 39 degrees of freedom: 99.9 % of all draws stay below 72.1, and all but 0.1 % above 15.7.
    assert!((15.7..72.1).contains(&chi_square), "{chi_square}");
}

#[test]
fn batches_are_the_same_in_memory_and_mapped_bit_for_bit() {
    let cache = tempfile::tempdir().unwrap();
    let ends: Vec<_> = (1..40)
        .map(|i| (1 + i * 7 % 23, i % 3 == 0, i % 3 == 1))
        .collect();
    let continuous = episodes(&ends);
    let mixture = mix(&[(continuous.clone(), 1.0), (staircase(&[40, 3]), 2.5)]).unwrap();
    let balanced = Selection {
        balance_returns: Some(4),
        delayed_rewards: true,
        ..Selection::default()
    };
    let repeats = fixture("d4rl/pen-plain-v0.hdf5");
    for (number, dataset) in [continuous, mixture, choices(), repeats]
        .into_iter()
        .enumerate()
    {
        let mapped = store::map(&dataset, &cache.path().join(number.to_string())).unwrap();
        assert!(mapped.is_mapped());
        for selection in [Selection::default(), balanced.clone()] {
            let drawn = |dataset: &Dataset| {
                let dataset = dataset.select(&selection).unwrap();
                let config = TransitionConfig {
                    next_actions: true,
                    returns_to_go: ReturnsToGo::Discounted,
                    ..config(TruncatedLast::Keep, 3)
                };
                let normaliser = config.normaliser(&dataset);
                let sampler = TransitionSampler::new(&dataset, &normaliser, config).unwrap();
                let mut batch = Transitions::default();
                sampler.sample(&mut Pcg64::seed_from_u64(9), 300, &mut batch);
                (batch, normaliser)
            };
            assert_eq!(drawn(&mapped), drawn(&dataset), "{number}: {selection}");
        }
    }
}

#[test]
fn a_prefetcher_gives_the_same_batches_and_a_batch_is_not_allocated_twice() {
    let sampler = std::sync::Arc::new(sampler(
        &episodes(&[(9, true, false), (30, false, true)]),
        &config(TruncatedLast::Keep, 3),
    ));
    let mut stream = Pcg64::seed_from_u64(3);
    let mut ahead = Prefetcher::new(std::sync::Arc::clone(&sampler), stream.clone(), 7, 3);
    let (mut taken, mut drawn) = (Transitions::default(), Transitions::default());
    let mut place = None;
    for _ in 0..30 {
        ahead.next(&mut taken);
        sampler.sample(&mut stream, 7, &mut drawn);
        assert_eq!(taken, drawn);
        assert_eq!(ahead.stream(), &stream);
        assert_eq!(
            *place.get_or_insert(drawn.observations.as_ptr()),
            drawn.observations.as_ptr()
        );
    }
}

#[test]
fn data_that_cannot_be_sampled_are_an_error() {
    let short = episodes(&[(1, false, true); 5]);
    let refused = |dataset: &Dataset, config: TransitionConfig| {
        let identity = Normaliser::identity(2);
        let error = TransitionSampler::new(dataset, &identity, config).unwrap_err();
        assert!(error.hint().is_some());
        error.to_string()
    };
    let error = refused(&short, config(TruncatedLast::Drop, 1));
    assert!(
        error.ends_with("none of the 5 steps of the dataset is a transition"),
        "{error}"
    );
    refused(&staircase(&[]), TransitionConfig::default());
    // Episodes of one step are data like any other where they end as they should.
    let mut batch = Transitions::default();
    sampler(&short, &config(TruncatedLast::Keep, 5)).sample(
        &mut Pcg64::seed_from_u64(0),
        50,
        &mut batch,
    );
    assert!(is_finite(&batch));
    assert_eq!(batch.discounts, [0.5; 50]);

    let sound = || staircase(&[3]);
    for n_step in [0, 1001] {
        assert!(refused(&sound(), config(TruncatedLast::Keep, n_step)).contains("n_step"));
    }
    let wrong = |change: &dyn Fn(&mut TransitionConfig)| {
        let mut config = TransitionConfig::default();
        change(&mut config);
        refused(&sound(), config)
    };
    assert!(wrong(&|c| c.discount = 1.5).contains("discount"));
    assert!(wrong(&|c| c.discount = f64::NAN).contains("discount"));
    assert!(wrong(&|c| c.reward.scale = 0.0).contains("scale"));
    assert!(wrong(&|c| c.reward.shift = f64::INFINITY).contains("shift"));
    assert!(wrong(&|c| c.action_clip = Some(-1.0)).contains("cut off"));
    let sparse = |c: &mut TransitionConfig| {
        (c.returns_to_go, c.discount) = (ReturnsToGo::Sparse, 1.0);
    };
    assert!(wrong(&sparse).contains("below 1"));
    // Finite numbers whose sums are not.
    assert!(wrong(&|c| c.reward.scale = 1e300).contains("the sum of rewards"));
    let clipped = TransitionConfig {
        action_clip: Some(1.0),
        ..TransitionConfig::default()
    };
    assert!(refused(&choices(), clipped).contains("discrete"));

    let mut defective = Dataset::with(staircase(&[]).info().clone(), Defects::Keep);
    let mut episode = staircase(&[3]).episode(0).to_owned();
    episode.actions[1] = f64::NAN;
    defective.push(episode).unwrap();
    let error = refused(&defective, TransitionConfig::default());
    assert!(
        error.contains("action number 0 of episode 0, step 1"),
        "{error}"
    );
}

#[test]
fn batches_of_one_kind_can_be_joined() {
    let sampler = sampler(&staircase(&[4]), &config(TruncatedLast::Keep, 1));
    let (mut batch, mut all) = (Transitions::default(), sampler.all());
    batch.append(&all);
    assert_eq!(batch, all);
    all.append(&batch);
    assert_eq!((all.rows, all.observations.len()), (8, 16));
    assert_eq!(all.rewards[4..], batch.rewards);
}
