//! Recorded trajectories of Gymnasium's `MuJoCo` environments against those of this crate, and
//! tests of the library itself. Without `MuJoCo` each test reports that it was skipped.

use crate::recording::{Header, Kind, Record, recording};
use rtg_envs::{
    Autoreset, Env, Error, TimeLimit, ids, make, make_vec,
    mujoco::{
        self, Ant, HalfCheetah, Hopper, Humanoid, InvertedDoublePendulum, InvertedPendulum,
        MujocoEnv, Pusher, Reacher, Swimmer, Task, Walker2d, is_here,
    },
    random::NumpyRng,
    registry::needs_mujoco,
    spec,
};
use std::{env, fs, path::Path};

/// Largest difference that is tolerated; on Linux it is 0.
const TOLERANCE: f64 = 1e-10;

fn mujoco_ids() -> impl Iterator<Item = &'static str> {
    ids().filter(|id| needs_mujoco(id))
}

/// Whether the library is the one that was recorded with. Numbers of another version drift apart
/// from these, so a comparison is meaningless.
fn is_recorded_version(header: &Header, name: &str) -> bool {
    let found = mujoco::find().expect("a library was found");
    if found.version == header.mujoco {
        return true;
    }
    let reason = format!(
        "it was recorded with MuJoCo {}, found is {} ({})",
        header.mujoco,
        found.version,
        found.path.display()
    );
    mujoco::skip(name, &reason);
    false
}

/// Follows a recording; returns the largest difference.
fn follow(env: &mut dyn Env, name: &str, records: &[Record]) -> f64 {
    let mut largest = 0.0_f64;
    for (i, record) in records.iter().enumerate() {
        let mut observation = vec![0.0; record.observation.len()];
        let mut step = record.step;
        match record.kind {
            Kind::Seeded(seed) => env.reset(Some(seed), &mut observation),
            Kind::Continued => env.reset(None, &mut observation),
            Kind::Stepped => step = env.step(&record.action, &mut observation),
        }
        for (ours, theirs) in observation.iter().zip(&record.observation) {
            largest = largest.max((ours - theirs).abs());
        }
        largest = largest.max((step.reward - record.step.reward).abs());
        assert_eq!(
            (step.terminated, step.truncated),
            (record.step.terminated, record.step.truncated),
            "{name}, record {i}"
        );
        assert!(largest <= TOLERANCE, "{name}, record {i}: off by {largest}");
    }
    largest
}

#[test]
fn start_states_are_gymnasiums_with_every_version() {
    for id in mujoco_ids().filter(|id| is_here(id)) {
        let mut env = make(id).unwrap();
        for record in &recording(id, id).1 {
            if let Kind::Seeded(seed) = record.kind {
                let mut observation = vec![0.0; record.observation.len()];
                env.reset(Some(seed), &mut observation);
                let gap = (observation.iter().zip(&record.observation))
                    .map(|(ours, theirs)| (ours - theirs).abs())
                    .fold(0.0, f64::max);
                assert!(gap <= 1e-15, "{id}, seed {seed}: off by {gap}");
            }
        }
    }
}

#[test]
fn trajectories_of_the_recorded_version_are_gymnasiums() {
    for id in mujoco_ids().filter(|id| is_here(id)) {
        let (header, records) = recording(id, id);
        if is_recorded_version(&header, id) {
            follow(&mut *make(id).unwrap(), id, &records);
        }
    }
}

fn follow_with_options<T: Task>(task: T) {
    let name = format!("{}-options", T::ID);
    let (header, records) = recording(&name, T::ID);
    if is_here(&name) && is_recorded_version(&header, &name) {
        let limit = spec(T::ID).ok().and_then(|spec| spec.max_episode_steps);
        let env = MujocoEnv::new(task).expect("the library is here");
        let mut env = TimeLimit::new(env, limit.expect("a time limit"));
        follow(&mut env, &name, &records);
    }
}

#[test]
fn every_option_means_what_it_means_in_gymnasium() {
    follow_with_options(Hopper {
        frame_skip: 3,
        forward_reward_weight: 1.5,
        ctrl_cost_weight: 0.02,
        healthy_reward: 0.7,
        rewards_last_step: false,
        terminate_when_unhealthy: false,
        healthy_state_range: -30.0..20.0,
        healthy_z_range: 0.9..1.3,
        healthy_angle_range: -0.15..0.1,
        reset_noise_scale: 0.02,
        exclude_current_positions_from_observation: false,
    });
    follow_with_options(HalfCheetah {
        frame_skip: 3,
        forward_reward_weight: 1.5,
        ctrl_cost_weight: 0.2,
        reset_noise_scale: 0.02,
        exclude_current_positions_from_observation: false,
    });
    follow_with_options(Walker2d {
        xml_file: "walker2d_v5.xml",
        frame_skip: 3,
        forward_reward_weight: 1.5,
        ctrl_cost_weight: 0.02,
        healthy_reward: 0.7,
        rewards_last_step: false,
        terminate_when_unhealthy: false,
        healthy_z_range: 1.0..1.3,
        healthy_angle_range: -0.3..0.2,
        reset_noise_scale: 0.02,
        exclude_current_positions_from_observation: false,
    });
    follow_with_options(Ant {
        frame_skip: 3,
        forward_reward_weight: 1.5,
        ctrl_cost_weight: 0.02,
        contact_cost_weight: 0.01,
        healthy_reward: 0.7,
        rewards_last_step: false,
        main_body: 3,
        terminate_when_unhealthy: false,
        healthy_z_range: 0.4..=0.9,
        contact_force_range: -3.0..=2.0,
        reset_noise_scale: 0.02,
        exclude_current_positions_from_observation: false,
        include_cfrc_ext_in_observation: true,
        use_contact_forces: None,
    });
    follow_with_options(Humanoid {
        frame_skip: 3,
        forward_reward_weight: 1.5,
        ctrl_cost_weight: 0.02,
        contact_cost_weight: 1e-5,
        contact_cost_range: 0.5..3.0,
        healthy_reward: 0.7,
        terminate_when_unhealthy: false,
        healthy_z_range: 1.1..1.35,
        reset_noise_scale: 0.02,
        exclude_current_positions_from_observation: false,
        include_cinert_in_observation: false,
        include_cvel_in_observation: false,
        include_qfrc_actuator_in_observation: true,
        include_cfrc_ext_in_observation: true,
    });
    follow_with_options(InvertedDoublePendulum {
        frame_skip: 3,
        healthy_reward: 2.0,
        reset_noise_scale: 0.2,
    });
    follow_with_options(Swimmer {
        frame_skip: 3,
        forward_reward_weight: 1.5,
        ctrl_cost_weight: 0.02,
        reset_noise_scale: 0.02,
        exclude_current_positions_from_observation: false,
    });
    follow_with_options(Reacher {
        frame_skip: 3,
        reward_dist_weight: 0.3,
        reward_control_weight: 0.7,
    });
    follow_with_options(InvertedPendulum {
        frame_skip: 3,
        reset_noise_scale: 0.1,
    });
    follow_with_options(Pusher {
        frame_skip: 3,
        reward_near_weight: 0.3,
        reward_dist_weight: 0.9,
        reward_control_weight: 0.2,
    });
}

/// Mean return of the first episodes, whose actions are `act`'s.
fn mean_return(id: &str, episodes: u64, mut act: impl FnMut(&[f64], &mut NumpyRng) -> f64) -> f64 {
    let mut env = make(id).expect("the library is here");
    let mut observation = vec![0.0; env.spec().observation_space.width()];
    let mut total = 0.0;
    for seed in 0..episodes {
        env.reset(Some(seed), &mut observation);
        let mut rng = NumpyRng::for_actions(seed);
        loop {
            let action = act(&observation, &mut rng);
            let step = env.step(&[action], &mut observation);
            total += step.reward;
            if step.is_last() {
                break;
            }
        }
    }
    total / episodes as f64
}

#[test]
fn the_pendulums_reference_returns_are_what_random_actions_and_linear_feedback_earn() {
    fn single(seen: &[f64]) -> f64 {
        0.6 * seen[0] + 7.2 * seen[1] + seen[2] + 1.3 * seen[3]
    }
    fn double(seen: &[f64]) -> f64 {
        let (lower, upper) = (seen[1].atan2(seen[3]), seen[2].atan2(seen[4]));
        let speeds = 0.18 * seen[5] + 0.6 * seen[6] + 0.66 * seen[7];
        -(0.09 * seen[0] + 0.96 * lower + 4.4 * upper + speeds)
    }
    type Expert = fn(&[f64]) -> f64;
    for (id, expert, tolerance) in [
        ("InvertedPendulum-v5", single as Expert, 0.0),
        ("InvertedDoublePendulum-v5", double as Expert, 1.0),
    ] {
        if !is_here(id) || !is_recorded_version(&recording(id, id).0, id) {
            continue;
        }
        let spec = spec(id).unwrap();
        let reference = spec.reference_returns.unwrap();
        let mut action = [0.0];
        let random = mean_return(id, 1000, |_, rng| {
            spec.action_space.sample(rng, &mut action);
            action[0]
        });
        assert!(
            (random - reference.random).abs() < 1e-6,
            "{id}: random {random}"
        );
        // Ten episodes of the thousand.
        let expert = mean_return(id, 10, |seen, _| expert(seen));
        assert!(
            (expert - reference.expert).abs() <= tolerance,
            "{id}: expert {expert}"
        );
    }
}

#[test]
fn an_unstable_simulation_starts_over_and_is_counted() {
    if !is_here("unstable simulations") {
        return;
    }
    let mut env = MujocoEnv::new(HalfCheetah::default()).unwrap();
    let mut observation = [0.0; 17];
    env.reset(Some(1), &mut observation);
    env.step(&[0.5; 6], &mut observation);
    let mut state = env.state();
    state[9] = 1e11; // a velocity that the library does not accept
    env.set_state(&state).unwrap();
    assert_eq!(env.instabilities(), 0);
    let broken = env.step(&[0.5; 6], &mut observation);
    assert_eq!(env.instabilities(), 1);
    // The library's messages are kept, and not written to a file in the working directory.
    let warnings = mujoco::warnings();
    assert!(
        warnings.count > 0 && warnings.last.contains("unstable"),
        "{warnings:?}"
    );
    assert!(!Path::new("MUJOCO_LOG.TXT").exists());
    assert!(broken.reward.is_finite() && !broken.terminated);

    // The library went back to the model's start, dropped the action and continued.
    let mut rested = MujocoEnv::new(HalfCheetah::default()).unwrap();
    rested.set_state(&[0.0; 27]).unwrap();
    let mut expected = [0.0; 17];
    rested.step(&[0.0; 6], &mut expected);
    assert_eq!(observation.map(f64::to_bits), expected.map(f64::to_bits));
}

#[test]
fn frames_show_the_body_and_change_with_it() {
    for id in mujoco_ids().filter(|id| is_here(id)) {
        let mut env = make(id).unwrap();
        let mut observation = vec![0.0; env.spec().observation_space.width()];
        env.reset(Some(5), &mut observation);
        let start = env.render().expect("a picture");
        assert_eq!((start.width, start.height), (600, 400), "{id}");
        let action: Vec<f64> = vec![0.4; env.spec().action_space.width()];
        (0..5).for_each(|_| {
            env.step(&action, &mut observation);
        });
        let moved = env.render().expect("a picture");
        let changed = (start.pixels.chunks(3).zip(moved.pixels.chunks(3)))
            .filter(|(a, b)| a != b)
            .count();
        assert!(changed > 100, "{id}: {changed} pixels changed");
    }
    if is_here("the hopper's picture") {
        let mut hopper = MujocoEnv::new(Hopper::default()).unwrap();
        let mut state = hopper.state();
        // The torso's middle is at 1.25 m, the picture's is at 0.75 m, and 3.2 m are 600 pixels.
        let row = |torso: f64| (200.0 - (torso - 0.75) * 600.0 / 3.2) as usize;
        state[1] = 1.25;
        state[2] = 0.0;
        hopper.set_state(&state).unwrap();
        let torso = hopper.render().unwrap().pixel(300, row(1.25 + 0.15));
        state[1] = 1.65;
        state[0] = 17.0;
        hopper.set_state(&state).unwrap();
        let frame = hopper.render().unwrap();
        assert_eq!(frame.pixel(300, row(1.65 + 0.15)), torso);
        assert_ne!(frame.pixel(300, row(1.25 - 0.2)), torso);
    }
}

#[test]
fn rows_of_a_vector_follow_single_environments() {
    for id in mujoco_ids().filter(|id| is_here(id)) {
        let mut rows = make_vec(id, 3, Autoreset::SameStep).unwrap();
        rows.reset(Some(11));
        let space = rows.spec().action_space.clone();
        let (width, seen) = (space.width(), rows.spec().observation_space.width());
        let mut singles: Vec<_> = (0..3).map(|_| make(id).unwrap()).collect();
        let mut observations = vec![0.0; 3 * seen];
        for (row, env) in singles.iter_mut().enumerate() {
            env.reset(
                Some(11 + row as u64),
                &mut observations[row * seen..][..seen],
            );
        }
        let mut rng = NumpyRng::from_seed(0);
        let mut actions = vec![0.0; 3 * width];
        for _ in 0..100 {
            (actions.chunks_mut(width)).for_each(|action| space.sample(&mut rng, action));
            rows.step(&actions);
            for (row, env) in singles.iter_mut().enumerate() {
                let observation = &mut observations[row * seen..][..seen];
                let step = env.step(&actions[row * width..][..width], observation);
                assert_eq!(step.reward.to_bits(), rows.rewards()[row].to_bits(), "{id}");
                if step.is_last() {
                    env.reset(None, observation);
                }
            }
            assert_eq!(rows.observations(), observations, "{id}");
        }
    }
}

#[test]
fn the_library_is_named_and_can_be_named() {
    if !is_here("naming the library") {
        return;
    }
    let found = mujoco::find().unwrap();
    assert!(found.version.starts_with(['3', '4']) && found.path.is_file());
    // By its file, its folder, the folder of Python's packages, and a link to any of these.
    let folder = found.path.parent().unwrap();
    let mut names = vec![found.path.clone(), folder.to_owned()];
    if folder.ends_with("mujoco") {
        names.push(folder.parent().unwrap().to_owned());
    }
    #[cfg(unix)]
    {
        let link = env::temp_dir().join(format!("rtg-envs-link-{}", std::process::id()));
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(folder, &link).unwrap();
        assert_eq!(mujoco::find_at(&link), Ok(found.clone()));
        fs::remove_file(&link).unwrap();
    }
    for name in names {
        assert_eq!(
            mujoco::find_at(&name),
            Ok(found.clone()),
            "{}",
            name.display()
        );
    }
    // What was loaded first still works next to what was named later.
    let mut env = make("Hopper-v5").unwrap();
    mujoco::find_at(&found.path).unwrap();
    env.reset(Some(0), &mut [0.0; 11]);
}

#[test]
fn a_name_that_leads_to_no_library_is_an_error_and_changes_nothing() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for name in [Path::new("/nowhere"), &source, &source.join("lib.rs")] {
        let error = mujoco::find_at(name).unwrap_err();
        assert!(
            matches!(&error, Error::MujocoUnusable { path, .. } if path.ends_with(name)),
            "{error}"
        );
    }
    if is_here("naming the library") {
        assert!(make("Hopper-v5").is_ok());
    }
}

#[test]
fn a_missing_library_is_an_error_that_says_how_to_get_it() {
    assert_eq!(
        Error::MujocoMissing.to_string(),
        "MuJoCo was not found on this machine"
    );
    assert!(mujoco::HINT.contains("pip install mujoco"));
    for id in mujoco_ids() {
        let spec = spec(id).unwrap();
        assert!(spec.observation_space.width() > 0 && spec.max_episode_steps.is_some());
    }
}
