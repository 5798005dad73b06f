use rtg_envs::{BoxSpace, Dtype, Env, Space};

use super::*;
use crate::{Defects, EnvSpec, Episode, Info};

fn unit_box(width: usize) -> Space {
    let (low, high) = (vec![-1.0; width], vec![1.0; width]);
    Space::Box(BoxSpace {
        low,
        high,
        shape: vec![width],
        dtype: Dtype::Float64,
    })
}

/// Four sound episodes of 5 steps, numbers from a fixed pseudo-random sequence, the limit at 10
/// steps.
fn sound() -> Vec<Episode> {
    let mut state = 1_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f64 / f64::from(1 << 24) * 1.8 - 0.9
    };
    (0..4)
        .map(|_| Episode {
            observations: (0..12).map(|_| random()).collect(),
            actions: (0..5).map(|_| random()).collect(),
            rewards: (0..5).map(|_| random()).collect(),
            terminated: true,
            ..Episode::default()
        })
        .collect()
}

fn findings(episodes: Vec<Episode>) -> Vec<Finding> {
    let info = Info {
        max_episode_steps: Some(10),
        ..Info::new("planted", unit_box(2), unit_box(1))
    };
    let mut dataset = Dataset::with(info, Defects::Keep);
    for episode in episodes {
        dataset.push(episode).unwrap();
    }
    examine(&dataset)
}

fn examined(episodes: Vec<Episode>) -> Vec<(&'static str, Severity, usize)> {
    findings(episodes)
        .into_iter()
        .map(|finding| (finding.code, finding.severity, finding.count))
        .collect()
}

fn planted(change: impl FnOnce(&mut Vec<Episode>)) -> Vec<(&'static str, Severity, usize)> {
    let mut episodes = sound();
    change(&mut episodes);
    examined(episodes)
}

#[test]
fn sound_data_give_no_finding() {
    assert_eq!(planted(|_| {}), []);
    assert_eq!(examined(Vec::new()), []);
}

#[test]
fn each_planted_defect_is_found_and_nothing_else() {
    use Severity::{Error, Note, Warning};
    let found = planted(|e| {
        e[1].observations[3] = f64::NAN;
        e[2].rewards[0] = f64::INFINITY;
    });
    assert_eq!(found, [("nan", Error, 2)]);
    assert_eq!(
        planted(|e| e[0].actions[2] = 1.5),
        [("action-outside-space", Warning, 1)]
    );
    assert_eq!(
        planted(|e| e[0].observations[11] = -2.0),
        [("observation-outside-space", Warning, 1)]
    );
    assert_eq!(
        planted(|e| e[3].terminated = false),
        [("unfinished-episode", Warning, 1)]
    );
    assert_eq!(
        planted(|e| e.push(e[0].clone())),
        [
            ("duplicate-episodes", Warning, 1),
            ("duplicate-rows", Note, 5)
        ]
    );
    let found = planted(|e| {
        for x in e
            .iter_mut()
            .flat_map(|e| e.observations.iter_mut().step_by(2))
        {
            *x = 0.5;
        }
    });
    assert_eq!(found, [("constant-column", Note, 1)]);
    let found = planted(|e| e.iter_mut().for_each(|e| e.actions[1..].fill(-1.0)));
    assert_eq!(found, [("saturated-actions", Note, 1)]);
    let found = planted(|e| e.iter_mut().for_each(|e| e.rewards.fill(0.25)));
    assert_eq!(found, [("constant-return", Note, 4)]);
    let found = planted(|e| {
        let episode = &mut e[2];
        episode.observations.truncate(4);
        episode.actions.truncate(1);
        episode.rewards.truncate(1);
    });
    assert_eq!(found, [("single-step-episodes", Note, 1)]);
}

/// One episode joined from the first `count`.
fn joined(episodes: &[Episode], count: usize) -> Episode {
    let mut long = episodes[0].clone();
    for episode in &episodes[1..count] {
        long.observations.extend(&episode.observations[2..]);
        long.actions.extend(&episode.actions);
        long.rewards.extend(&episode.rewards);
    }
    long
}

#[test]
fn the_time_limit_is_compared_with_the_lengths() {
    let found = planted(|e| {
        let unfinished = Episode {
            terminated: false,
            ..joined(&e[2..], 2)
        };
        *e = vec![joined(e, 2), unfinished];
    });
    assert_eq!(found, [("unmarked-timeout", Severity::Warning, 1)]);
    let found = planted(|e| *e = vec![joined(e, 3), e[3].clone()]);
    assert_eq!(found, [("overlong-episode", Severity::Warning, 1)]);
}

#[test]
fn messages_name_the_first_position_and_no_endless_lists() {
    let mut episodes = sound();
    episodes[1].observations[3] = f64::NAN;
    let found = findings(episodes);
    let message = "numbers are NaN or infinite; the first observation is NaN at episode 1, step 1, \
        dimension 1";
    assert_eq!(found[0].message, message);
    let names: Vec<String> = (0..9).map(|i| i.to_string()).collect();
    assert_eq!(
        crate::finding::listed(&names),
        "0, 1, 2, 3, 4, 5 and 3 more"
    );
    let finding = Finding::error("nan", 1, "x".into());
    let json = serde_json::to_string(&finding).unwrap();
    assert_eq!(
        json,
        r#"{"code":"nan","severity":"error","count":1,"message":"x"}"#
    );
}

#[test]
fn episodes_cut_while_running_are_found_by_what_follows_them() {
    use Severity::{Note, Warning};
    let found = planted(|e| {
        (e[1].terminated, e[1].truncated) = (false, true);
        let end = e[1].observations[10..].to_vec();
        e[2].observations[..2].copy_from_slice(&end);
    });
    assert_eq!(found, [("mid-episode-cut", Warning, 1)]);
    // Where several episodes begin with it, it proves nothing: an early truncation.
    let found = planted(|e| {
        (e[1].terminated, e[1].truncated) = (false, true);
        let end = e[1].observations[10..].to_vec();
        e[2].observations[..2].copy_from_slice(&end);
        e[3].observations[..2].copy_from_slice(&end);
    });
    assert_eq!(found, [("early-truncation", Warning, 1)]);
    let found = planted(|e| (e[3].terminated, e[3].truncated) = (false, true));
    assert_eq!(found, [("unfinished-tail", Note, 1)]);
}

/// Episodes of a real environment with random actions, `seeded` or not.
fn played(id: &str, seeded: bool) -> Dataset {
    let mut env = rtg_envs::make(id).unwrap();
    let spec = env.spec().clone();
    let mut dataset = Dataset::with(
        Info {
            env_spec: Some(EnvSpec::new(id)),
            max_episode_steps: spec.max_episode_steps,
            ..Info::new(
                "played",
                spec.observation_space.clone(),
                spec.action_space.clone(),
            )
        },
        Defects::Keep,
    );
    for seed in 0..4 {
        dataset.push(play(env.as_mut(), seed, seeded)).unwrap();
    }
    dataset
}

fn play(env: &mut dyn Env, seed: u64, seeded: bool) -> Episode {
    let space = env.spec().action_space.clone();
    let mut rng = rtg_envs::random::NumpyRng::for_actions(seed);
    let mut observation = vec![0.0; env.spec().observation_space.width()];
    let mut action = vec![0.0; space.width()];
    env.reset(Some(seed), &mut observation);
    let mut episode = Episode {
        observations: observation.clone(),
        seed: seeded.then_some(seed),
        ..Episode::default()
    };
    loop {
        space.sample(&mut rng, &mut action);
        let step = env.step(&action, &mut observation);
        episode.observations.extend(&observation);
        episode.actions.extend(&action);
        episode.rewards.push(step.reward);
        if step.is_last() {
            (episode.terminated, episode.truncated) = (step.terminated, step.truncated);
            return episode;
        }
    }
}

/// The same data with some episode changed.
fn changed(dataset: &Dataset, change: impl Fn(usize, &mut Episode)) -> Dataset {
    let mut copy = Dataset::with(dataset.info().clone(), Defects::Keep);
    for (index, view) in dataset.iter().enumerate() {
        let mut episode = view.to_owned();
        change(index, &mut episode);
        copy.push(episode).unwrap();
    }
    copy
}

const CLASSIC: [&str; 5] = [
    "CartPole-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Acrobot-v1",
    "Pendulum-v1",
];

#[test]
fn a_replay_of_an_environments_data_equals_them() {
    for id in CLASSIC {
        for (seeded, kind) in [(true, ReplayKind::Seed), (false, ReplayKind::State)] {
            let checkup = check_up(&played(id, seeded));
            let replay = &checkup.replay;
            assert_eq!(replay.kind, Some(kind), "{id}");
            assert_eq!(
                (replay.episodes, replay.skipped.as_ref()),
                (4, None),
                "{id}"
            );
            assert!(replay.steps >= 4 * 10, "{id}: {replay:?}");
            assert_eq!(replay.observation_mismatches, 0, "{id}: {replay:?}");
            let of_replay = |finding: &&Finding| finding.code.ends_with("-mismatch");
            assert_eq!(checkup.findings.iter().find(of_replay), None, "{id}");
        }
    }
}

#[test]
fn rewards_and_rows_that_contradict_the_environment_are_found() {
    let codes = |dataset: &Dataset| -> Vec<_> {
        let findings = examine(dataset).into_iter();
        let severe = findings.filter(|finding| finding.severity != Severity::Note);
        severe.map(|finding| finding.code).collect()
    };
    for seeded in [true, false] {
        let sound = played("Pendulum-v1", seeded);
        // The rewards of one episode, one step late.
        let late = changed(&sound, |index, episode| {
            if index == 1 {
                episode.rewards.rotate_right(1);
            }
        });
        assert_eq!(codes(&late), ["reward-mismatch"], "{seeded}");
        // The actions of one episode, one step early.
        let early = changed(&sound, |index, episode| {
            if index == 2 {
                episode.actions.rotate_left(1);
            }
        });
        let found = codes(&early);
        assert!(
            found.contains(&"observation-mismatch"),
            "{seeded}: {found:?}"
        );
    }
}

#[test]
fn a_dataset_that_cannot_be_replayed_has_a_reason() {
    let replay = |dataset: &Dataset| check_up(dataset).replay.skipped.unwrap_or_default();
    let mut unknown = played("Pendulum-v1", true);
    unknown.info.env_spec = None;
    assert_eq!(replay(&unknown), "the environment is not known");
    unknown.info.env_spec = Some(EnvSpec::new("CartPole-v1"));
    assert_eq!(replay(&unknown), "the rows do not fit CartPole-v1");
    unknown.info.env_spec = Some(EnvSpec::new("NoSuchWorld-v0"));
    assert!(replay(&unknown).contains("NoSuchWorld-v0"));
    let mut spec = EnvSpec::new("Pendulum-v1");
    spec.kwargs.insert("gravity".into(), 2.0.into());
    unknown.info.env_spec = Some(spec);
    assert!(replay(&unknown).contains("no option 'gravity'"));
}

#[test]
fn a_checkup_counts_returns_lengths_and_returns_to_go() {
    let episode = |steps: usize, reward: f64| Episode {
        observations: vec![0.0; 2 * (steps + 1)],
        actions: vec![0.0; steps],
        rewards: vec![reward; steps],
        terminated: true,
        ..Episode::default()
    };
    let mut dataset = Dataset::new(crate::dataset::tests::staircase(&[]).info().clone());
    for (steps, reward) in [(1, 400.0), (2, 150.0), (2, -50.0), (4, 60.0), (4, 70.0)] {
        dataset.push(episode(steps, reward)).unwrap();
    }
    let checkup = check_up(&dataset);
    // Returns 400, 300, 280, 240, -100.
    assert_eq!(checkup.returns_to_go, (-100.0, 400.0));
    let (target, scale) = (
        checkup.largest_supported_target,
        checkup.suggested_return_scale,
    );
    assert_eq!(vec![target, scale], [400.0, 100.0]);
    assert_eq!(checkup.suggested_targets, [400.0, 280.0]);
    // The first, second and third steps average over different episodes.
    let means: Vec<f64> = checkup
        .return_to_go_curve
        .iter()
        .map(|point| point.mean)
        .collect();
    assert_eq!(means, [224.0, 122.5, 130.0, 65.0]);
    assert_eq!(checkup.length_histogram.counts, [1, 2, 0, 2]);
    assert_eq!(checkup.length_histogram.sparkline(), "▄█ █");
    assert_eq!(checkup.return_histogram.counts.iter().sum::<usize>(), 5);
    let json = serde_json::to_value(&checkup).unwrap();
    assert_eq!(json["return"]["max"], 400.0);
}

#[test]
fn histograms_of_odd_values_are_whole() {
    for values in [
        vec![],
        vec![f64::NAN, f64::INFINITY],
        vec![3.5],
        vec![f64::MAX, f64::MIN, 0.0],
        vec![1e-300, 2e-300],
    ] {
        let finite = values.iter().filter(|value| value.is_finite()).count();
        let histogram = Histogram::of(&values);
        assert_eq!(histogram.counts.iter().sum::<usize>(), finite, "{values:?}");
        assert_eq!(
            histogram.sparkline().chars().count(),
            histogram.counts.len()
        );
    }
}

/// Every code of a finding in the sources is in the table of the module's page.
#[test]
fn every_code_is_in_the_table() {
    let page = include_str!("../doctor.rs");
    for source in [
        include_str!("content.rs"),
        include_str!("ends.rs"),
        include_str!("replay.rs"),
    ] {
        for rest in source
            .split("Finding::")
            .skip(1)
            .filter(|rest| rest.contains('"'))
        {
            let code = rest.split('"').nth(1).unwrap();
            assert!(page.contains(&format!("`{code}`")), "{code}");
        }
    }
}
