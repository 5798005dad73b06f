use rand::RngExt;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use rtg_envs::Space;

use super::*;
use crate::dataset::tests::staircase;
use crate::{Episode, Info, LabelKind, Labels};

/// Means 0.5 and 2, divisors 0.25 and 4: exact in `f32`.
fn normaliser() -> Normaliser {
    Normaliser {
        mean: vec![0.5, 2.0],
        std: vec![0.25, 4.0],
    }
}

fn window(sampler: &WindowSampler, step: usize) -> Batch {
    let mut batch = Batch::default();
    sampler.shape(1, &mut batch);
    // Nothing of an earlier batch may remain.
    batch.observations.fill(7.0);
    batch.actions.fill(7.0);
    batch.labels.fill(7);
    batch.returns_to_go.fill(7.0);
    batch.timesteps.fill(7);
    sampler.write(sampler.stretch(step), 0, &mut batch);
    batch
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

#[test]
fn the_official_recipe_pads_on_the_left_as_its_table_says() {
    // Episode 1 of lengths 3 and 3: observations [1 + t/100, t], actions 10 + t, rewards 1 + t.
    let dataset = staircase(&[3, 3]);
    let config = WindowConfig::official(4, 2.0, 2);
    let sampler = WindowSampler::new(&dataset, &normaliser(), config).unwrap();
    let batch = window(&sampler, 4);
    assert_eq!(
        (batch.lengths[0], batch.valid(0), batch.side),
        (2, 2..4, Side::Left)
    );
    assert!(close(
        &batch.observations,
        &[-2.0, -0.5, -2.0, -0.5, 2.04, -0.25, 2.08, 0.0]
    ));
    assert_eq!(batch.actions, [-10.0, -10.0, 11.0, 12.0]);
    assert_eq!(batch.returns_to_go, [0.0, 0.0, 2.5, 1.5]);
    // The last step is step 2, but episodes of 2 steps have timesteps 0 and 1 only.
    assert_eq!(batch.timesteps, [0, 0, 1, 1]);
    assert!(batch.labels.is_empty());
}

#[test]
fn the_corl_recipe_pads_on_the_right_as_its_table_says() {
    let dataset = staircase(&[3, 3]);
    let sampler = WindowSampler::new(&dataset, &normaliser(), WindowConfig::corl(4, 2.0)).unwrap();
    let batch = window(&sampler, 4);
    assert_eq!(
        (batch.lengths[0], batch.valid(0), batch.side),
        (2, 0..2, Side::Right)
    );
    assert!(close(
        &batch.observations,
        &[2.04, -0.25, 2.08, 0.0, 0.0, 0.0, 0.0, 0.0]
    ));
    assert_eq!(batch.actions, [11.0, 12.0, 0.0, 0.0]);
    assert_eq!(batch.returns_to_go, [2.5, 1.5, 0.0, 0.0]);
    assert_eq!(batch.timesteps, [1, 2, 3, 4]);
}

#[test]
fn the_d3rlpy_recipe_ends_windows_at_the_drawn_step_and_counts_from_one() {
    let dataset = staircase(&[3, 3]);
    let config = WindowConfig::d3rlpy(4, 2.0, 2);
    let sampler = WindowSampler::new(&dataset, &normaliser(), config).unwrap();
    let batch = window(&sampler, 4);
    assert_eq!(
        (batch.lengths[0], batch.valid(0), batch.side),
        (2, 2..4, Side::Left)
    );
    assert!(close(
        &batch.observations,
        &[-2.0, -0.5, -2.0, -0.5, 2.0, -0.5, 2.04, -0.25]
    ));
    assert_eq!(batch.actions, [0.0, 0.0, 10.0, 11.0]);
    // The steps behind the window count.
    assert_eq!(batch.returns_to_go, [0.0, 0.0, 3.0, 2.5]);
    assert_eq!(batch.timesteps, [0, 0, 1, 2]);
    // The last step's timestep is clamped to the table, whose row 0 is the padding's.
    assert_eq!(window(&sampler, 5).timesteps, [0, 1, 2, 2]);
    // The window holds the newest steps of an episode that is longer.
    let config = WindowConfig::d3rlpy(2, 2.0, 9);
    let sampler = WindowSampler::new(&dataset, &normaliser(), config).unwrap();
    let batch = window(&sampler, 5);
    assert_eq!((batch.lengths[0], &*batch.timesteps), (2, &[2, 3][..]));
    assert_eq!(batch.actions, [11.0, 12.0]);
}

#[test]
fn a_window_that_the_episode_fills_has_no_padding() {
    let dataset = staircase(&[2, 6]);
    let config = WindowConfig::official(3, 1.0, 1000);
    let sampler = WindowSampler::new(&dataset, &normaliser(), config).unwrap();
    let batch = window(&sampler, 4);
    assert_eq!(batch.lengths, [3]);
    assert_eq!(batch.actions, [12.0, 13.0, 14.0]);
    assert_eq!(batch.timesteps, [2, 3, 4]);
    // Rewards 1 + t up to t = 5.
    assert_eq!(batch.returns_to_go, [18.0, 15.0, 11.0]);
}

#[test]
fn actions_are_mapped_into_the_units_of_the_model() {
    let dataset = staircase(&[3]);
    let mut config = WindowConfig::corl(3, 1.0);
    config.action_map = Some(ActionMap {
        offset: vec![1.0],
        scale: vec![2.0],
    });
    let sampler = WindowSampler::new(&dataset, &normaliser(), config).unwrap();
    assert_eq!(window(&sampler, 1).actions, [0.0, 0.5, 0.0]);
}

/// One episode that takes the choices 3, 5, 4 out of 3, 4, 5.
fn choices() -> Dataset {
    let info = Info {
        action_space: Space::Discrete { n: 3, start: 3 },
        ..staircase(&[]).info().clone()
    };
    let mut dataset = Dataset::new(info);
    dataset
        .push(Episode {
            observations: vec![0.0; 8],
            actions: vec![3.0, 5.0, 4.0],
            rewards: vec![0.0; 3],
            ..Episode::default()
        })
        .unwrap();
    dataset
}

#[test]
fn discrete_actions_become_one_hot_rows_and_labels() {
    let config = WindowConfig::official(4, 1.0, 10);
    let sampler = WindowSampler::new(&choices(), &normaliser(), config).unwrap();
    assert_eq!(sampler.action_width(), 3);
    let batch = window(&sampler, 1);
    let rows: Vec<_> = batch.actions.chunks(3).collect();
    assert_eq!(
        rows,
        [[-10.0; 3], [-10.0; 3], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    );
    assert_eq!(batch.labels, [0, 0, 2, 1]);
}

#[test]
fn data_that_cannot_be_sampled_are_an_error() {
    let refused = |dataset: &Dataset, normaliser: &Normaliser, config: WindowConfig| {
        let error = WindowSampler::new(dataset, normaliser, config).unwrap_err();
        assert!(error.hint().is_some());
        error.to_string()
    };
    let (sound, config) = (staircase(&[3]), WindowConfig::corl(2, 1.0));
    let error = refused(&staircase(&[]), &normaliser(), config.clone());
    assert!(error.ends_with("the dataset has no steps"), "{error}");
    let error = refused(&sound, &Normaliser::identity(3), config.clone());
    assert!(
        error.ends_with("the normaliser has 3 dimensions, observations 2"),
        "{error}"
    );
    let error = refused(&sound, &normaliser(), WindowConfig::corl(0, 1.0));
    assert!(
        error.ends_with("context must be at least 1 step"),
        "{error}"
    );
    let error = refused(&sound, &normaliser(), WindowConfig::corl(2, 0.0));
    assert!(error.ends_with("the return scale is 0"), "{error}");
    let map = Some(ActionMap {
        offset: vec![0.0],
        scale: vec![0.0],
    });
    let error = refused(
        &sound,
        &normaliser(),
        WindowConfig {
            action_map: map,
            ..config.clone()
        },
    );
    assert!(
        error.ends_with("the action map does not fit 1 numbers"),
        "{error}"
    );

    let mut dataset = choices();
    let view = dataset.episode(0);
    let episode = Episode {
        observations: view.observations.to_vec(),
        actions: vec![3.0, 2.0, 3.5],
        rewards: view.rewards.to_vec(),
        ..Episode::default()
    };
    dataset.push(episode).unwrap();
    let error = refused(&dataset, &normaliser(), config);
    assert!(error.contains("action 2 at episode 1, step 1"), "{error}");
}

/// Windows of random datasets: each must be a stretch of one episode, and padding elsewhere.
#[test]
fn every_window_lies_within_one_episode_and_is_padded_where_it_must_be() {
    let mut rng = Pcg64::seed_from_u64(1);
    let mut batch = Batch::default();
    for round in 0..60 {
        let lengths: Vec<usize> = (0..rng.random_range(1..8))
            .map(|_| rng.random_range(1..30))
            .collect();
        let dataset = staircase(&lengths);
        let context = rng.random_range(1..25);
        let config = if round % 2 == 0 {
            WindowConfig::official(context, 1.0, 20)
        } else {
            WindowConfig::corl(context, 1.0)
        };
        let config = WindowConfig {
            next_observations: round % 3 > 0,
            ..config
        };
        let sampler = WindowSampler::new(&dataset, &Normaliser::identity(2), config).unwrap();
        let rows = rng.random_range(1..20);
        sampler.sample(&mut rng, rows, &mut batch);
        assert_eq!(
            (batch.rows, batch.context, batch.lengths.len()),
            (rows, context, rows)
        );
        for row in 0..rows {
            let valid = batch.valid(row);
            let place = |k: usize| row * context + k;
            // The observation [e + t/100, t] identifies the step.
            let episode = batch.observations[place(valid.start) * 2].floor() as usize;
            let start = batch.observations[place(valid.start) * 2 + 1] as usize;
            assert_eq!(batch.lengths[row], context.min(lengths[episode] - start));
            let view = dataset.episode(episode);
            let returns = crate::returns_to_go(view.rewards, 1.0);
            if round % 3 > 0 {
                let next = start + batch.lengths[row];
                let expected = &view.observations[2 * next..2 * next + 2];
                let found = &batch.next_observations[2 * row..2 * row + 2];
                assert_eq!(found, [expected[0] as f32, expected[1] as f32]);
            } else {
                assert!(batch.next_observations.is_empty());
            }
            for k in 0..context {
                let here = place(k);
                if valid.contains(&k) {
                    let t = start + k - valid.start;
                    assert_eq!(batch.observations[here * 2 + 1..][..1], [t as f32]);
                    assert_eq!(batch.actions[here..=here], [view.actions[t] as f32]);
                    assert_eq!(batch.returns_to_go[here..=here], [returns[t] as f32]);
                    let timestep = if round % 2 == 0 { t.min(19) } else { t };
                    assert_eq!(batch.timesteps[here], timestep as u32);
                } else {
                    assert_eq!(batch.observations[here * 2..here * 2 + 2], [0.0, 0.0]);
                    let padding = if round % 2 == 0 { -10.0 } else { 0.0 };
                    assert_eq!(batch.actions[here..=here], [padding]);
                    assert_eq!(batch.returns_to_go[here..=here], [0.0]);
                    let timestep = if round % 2 == 0 { 0 } else { start + k };
                    assert_eq!(batch.timesteps[here], timestep as u32);
                }
            }
        }
    }
}

#[test]
fn episodes_are_drawn_by_their_lengths_and_starts_uniformly() {
    let lengths = [1, 2, 5, 12, 20];
    let steps: usize = lengths.iter().sum();
    let dataset = staircase(&lengths);
    let sampler = WindowSampler::new(
        &dataset,
        &Normaliser::identity(2),
        WindowConfig::corl(1, 1.0),
    )
    .unwrap();
    let mut rng = Pcg64::seed_from_u64(7);
    let mut batch = Batch::default();
    let draws = 40_000;
    sampler.sample(&mut rng, draws, &mut batch);
    // Steps count over all episodes; each must be as likely as any other.
    let mut counts = vec![0.0; steps];
    for row in batch.observations.chunks(2) {
        let (episode, t) = (row[0].floor() as usize, row[1] as usize);
        counts[lengths[..episode].iter().sum::<usize>() + t] += 1.0;
    }
    let expected = draws as f64 / steps as f64;
    let chi_square: f64 = counts
        .iter()
        .map(|count: &f64| (count - expected).powi(2) / expected)
        .sum();
    // 39 degrees of freedom: 99.9 % of all draws stay below 72.1, and all but 0.1 % above 15.7.
    assert!((15.7..72.1).contains(&chi_square), "{chi_square}");
}

#[test]
fn the_same_seed_gives_the_same_batch_and_another_gives_another() {
    let dataset = staircase(&[30, 40, 50]);
    let sampler = WindowSampler::new(&dataset, &normaliser(), WindowConfig::corl(20, 1.0)).unwrap();
    let drawn = |seed, mut batch: Batch| {
        let mut rng = Pcg64::seed_from_u64(seed);
        sampler.sample(&mut rng, 16, &mut batch);
        batch
    };
    let first = drawn(3, Batch::default());
    // A batch that was larger before gets the same values, too.
    let mut used = Batch::default();
    sampler.sample(&mut Pcg64::seed_from_u64(9), 64, &mut used);
    assert_eq!(drawn(3, used), first);
    assert_ne!(drawn(4, Batch::default()), first);
}

#[test]
fn a_batch_is_not_allocated_twice() {
    let dataset = staircase(&[30, 40, 50]);
    let sampler = WindowSampler::new(&dataset, &normaliser(), WindowConfig::corl(20, 1.0)).unwrap();
    let mut rng = Pcg64::seed_from_u64(3);
    let mut batch = Batch::default();
    sampler.sample(&mut rng, 16, &mut batch);
    let place = batch.observations.as_ptr();
    sampler.sample(&mut rng, 16, &mut batch);
    assert_eq!(batch.observations.as_ptr(), place);
}

#[test]
fn a_mixture_is_drawn_by_length_times_weight() {
    let (short, long) = (staircase(&[4, 6]), staircase(&[30]));
    let mixture = crate::mix(&[(short, 6.0), (long, 0.5)]).unwrap();
    let (config, identity) = (WindowConfig::corl(1, 1.0), Normaliser::identity(2));
    let sampler = WindowSampler::new(&mixture, &identity, config).unwrap();
    let mut rng = Pcg64::seed_from_u64(11);
    let mut counts = [0.0; 40];
    let draws = 60_000;
    for _ in 0..draws {
        counts[sampler.draws.draw(&mut rng)] += 1.0;
    }
    // Ten steps of weight 6 and thirty of weight 0.5.
    let expected = |step: usize| draws as f64 * if step < 10 { 6.0 } else { 0.5 } / 75.0;
    let chi_square: f64 = (0..40)
        .map(|step| (counts[step] - expected(step)).powi(2) / expected(step))
        .sum();
    // 39 degrees of freedom, as above.
    assert!((15.7..72.1).contains(&chi_square), "{chi_square}");
}

#[test]
fn a_selection_is_sampled_as_if_the_rest_did_not_exist() {
    let all = staircase(&[3, 9, 4, 9, 2]);
    let long = crate::Selection {
        min_length: Some(5),
        ..crate::Selection::default()
    };
    let drawn = |dataset: &Dataset| {
        let config = WindowConfig::official(4, 1.0, 20);
        let sampler = WindowSampler::new(dataset, &normaliser(), config).unwrap();
        let mut batch = Batch::default();
        sampler.sample(&mut Pcg64::seed_from_u64(5), 32, &mut batch);
        batch
    };
    let mut copied = Dataset::new(all.info().clone());
    for index in [1, 3] {
        copied.push(all.episode(index).to_owned()).unwrap();
    }
    assert_eq!(drawn(&all.select(&long).unwrap()), drawn(&copied));
}

/// Five steps with rewards 1 + t and labels 10 above the return-to-go at step 2, 1 above elsewhere.
fn labelled(kind: LabelKind) -> WindowSampler {
    let mut dataset = staircase(&[5]);
    let mut labels = crate::returns_to_go(dataset.episode(0).rewards, 1.0);
    for (step, label) in labels.iter_mut().enumerate() {
        *label += if step == 2 { 10.0 } else { 1.0 };
    }
    dataset.set_labels(Labels::new(kind, labels, "")).unwrap();
    let identity = Normaliser::identity(2);
    WindowSampler::new(&dataset, &identity, WindowConfig::official(3, 2.0, 5)).unwrap()
}

#[test]
fn in_consistent_windows_the_last_label_decides_the_others() {
    let sampler = labelled(LabelKind::Return { consistent: true });
    assert!(sampler.is_consistent());
    let returns = |step| window(&sampler, step).returns_to_go;
    // Returns-to-go 10, 10, 9, 7, 4 of rewards 0, 1, 2, 3, 4.
    assert_eq!(returns(0), [10.0, 10.0, 9.5]);
    assert_eq!(returns(1), [5.5, 5.0, 4.0]);
    // A window that is padded before its two steps.
    assert_eq!(returns(3), [0.0, 4.0, 2.5]);
    assert_eq!(sampler.columns().returns_to_go, [5.5, 5.5, 9.5, 4.0, 2.5]);
}

#[test]
fn other_labels_are_those_of_the_steps() {
    for kind in [LabelKind::Return { consistent: false }, LabelKind::Constant] {
        let sampler = labelled(kind);
        assert!(!sampler.is_consistent());
        assert_eq!(window(&sampler, 1).returns_to_go, [5.5, 9.5, 4.0]);
        assert_eq!(window(&sampler, 4).returns_to_go, [0.0, 0.0, 2.5]);
        assert_eq!(sampler.columns().returns_to_go, [5.5, 5.5, 9.5, 4.0, 2.5]);
    }
}
