use super::*;
use crate::mujoco;

#[test]
fn every_id_makes_an_environment_of_that_id() {
    for id in ids() {
        assert_eq!(spec(id).unwrap().id, id);
        if !needs_mujoco(id) || mujoco::is_here(id) {
            assert_eq!(make(id).unwrap().spec(), &spec(id).unwrap());
        }
    }
}

#[test]
fn an_unknown_id_names_the_nearest() {
    let Err(Error::UnknownId { id, nearest }) = make("mountaincar") else {
        panic!("no such environment")
    };
    assert_eq!(id, "mountaincar");
    assert_eq!(nearest[..2], ["MountainCar-v0", "MountainCarContinuous-v0"]);
    assert_eq!(
        make("CartPole-v0")
            .err()
            .unwrap()
            .to_string()
            .split(',')
            .next()
            .unwrap(),
        "unknown environment 'CartPole-v0'; the nearest are CartPole-v1"
    );
}

#[test]
fn defaults_are_omitted_from_an_id() {
    for (asked, meant) in [
        (
            "Hopper-v5?frame_skip=4&max_episode_steps=1000&xml_file=hopper.xml&render_mode=human",
            "Hopper-v5",
        ),
        (
            "Hopper-v5?healthy_z_range=[0.7,Infinity]&default_camera_config={distance=3}",
            "Hopper-v5",
        ),
        ("Ant-v5?main_body=torso", "Ant-v5"),
        ("Ant-v5?main_body=aux_1", "Ant-v5?main_body=3"),
        (
            "Walker2d-v5?xml_file=walker2d.xml",
            "Walker2d-v5?xml_file=walker2d.xml",
        ),
        (
            "delayed/Hopper-v5?exclude_current_positions_from_observation=false&frame_skip=8.0",
            "delayed/Hopper-v5?frame_skip=8&exclude_current_positions_from_observation=false",
        ),
        (
            "CartPole-v1?TimeLimit(max_episode_steps=9)&OrderEnforcing()",
            "CartPole-v1?max_episode_steps=9",
        ),
        (
            "Pendulum-v1?RescaleAction(max_action=1.0,min_action=-1)&ClipReward(min_reward=-1,max_reward=null)",
            "Pendulum-v1?RescaleAction(min_action=-1,max_action=1)&ClipReward(min_reward=-1)",
        ),
        (
            "CartPole-v1?TimeLimit(max_episode_steps=900)",
            "CartPole-v1",
        ),
    ] {
        let config = resolve(asked).unwrap();
        assert_eq!(config.to_string(), meant, "{asked}");
        assert_eq!(resolve(meant), Ok(config), "{asked}");
        assert_eq!(spec(asked).unwrap().id, meant);
    }
}

#[test]
fn a_score_belongs_to_the_bare_id() {
    let scored = |id| spec(id).unwrap().reference_returns.is_some();
    for id in [
        "Hopper-v5",
        "Hopper-v5?frame_skip=4",
        "delayed/Hopper-v5",
        "Pendulum-v1?g=10",
    ] {
        assert!(scored(id), "{id}");
    }
    for id in [
        "Hopper-v5?frame_skip=8",
        "Hopper-v5?exclude_current_positions_from_observation=false",
        "CartPole-v1?max_episode_steps=100",
        "Pendulum-v1?RescaleAction(min_action=-1,max_action=1)",
    ] {
        assert!(!scored(id), "{id}");
    }
}

#[test]
fn every_option_takes_its_own_default_value() {
    for id in ids() {
        for (option, value) in options(id) {
            let text = format!("{id}?{option}={value}");
            assert_eq!(
                resolve(&text).map(|config| config.to_string()).as_deref(),
                Ok(id),
                "{text}"
            );
        }
    }
    assert_eq!(options("Hopper-v4").len() + 2, options("Hopper-v5").len());
    assert_eq!(options("nothing"), []);
}

#[test]
fn widths_follow_the_options() {
    for (id, observation, action) in [
        (
            "Hopper-v5?exclude_current_positions_from_observation=false",
            12,
            3,
        ),
        ("Ant-v5?include_cfrc_ext_in_observation=false", 27, 8),
        ("Ant-v4?use_contact_forces=true", 111, 8),
        (
            "Humanoid-v5?include_cinert_in_observation=false",
            348 - 130,
            17,
        ),
    ] {
        let spec = spec(id).unwrap();
        let widths = (spec.observation_space.width(), spec.action_space.width());
        assert_eq!(widths, (observation, action), "{id}");
    }
}

#[test]
fn invalid_option_values_are_refused_with_a_message() {
    for (id, words) in [
        (
            "Hopper-v5?frame_skip=2.5",
            "'frame_skip' of Hopper-v5 cannot be 2.5: a whole number",
        ),
        ("Hopper-v5?frame_skip=1e9", "from 1 to 1000"),
        ("Hopper-v5?reset_noise_scale=-1", "from 0 to"),
        (
            "Hopper-v5?ctrl_cost_weight=inf",
            "a number from -1e12 to 1e12",
        ),
        ("Hopper-v5?healthy_z_range=[1]", "two numbers"),
        ("Hopper-v5?healthy_z_range=[\"NaN\",1]", "two numbers"),
        ("Hopper-v5?terminate_when_unhealthy=1", "true or false"),
        ("Hopper-v5?xml_file=./mine.xml", "only hopper.xml"),
        ("Ant-v5?main_body=head", "torso"),
        ("Ant-v5?main_body=14", "a number below 14"),
        ("Hopper-v4?frame_skip=4", "no option 'frame_skip'"),
        ("Acrobot-v1?g=1", "it has none"),
        ("CartPole-v1?max_episode_steps=1000001", "above the maximum"),
        (
            "CartPole-v1?TimeLimit(max_episode_steps=0)",
            "whole number from 1 on",
        ),
    ] {
        let error = make(id).err().unwrap().to_string();
        assert!(error.contains(words), "{id}: {error}");
    }
}

#[test]
fn environments_with_options_keep_the_contract() {
    for id in [
        "CartPole-v1?sutton_barto_reward=true&max_episode_steps=30",
        "MountainCarContinuous-v0?goal_velocity=0.02&ClipAction()&ClipReward(max_reward=0)",
        "delayed/Pendulum-v1?g=2&RescaleAction(min_action=-1,max_action=1)",
    ] {
        let mut env = make(id).unwrap();
        assert_eq!(crate::check::check_env(&mut *env), Ok(()), "{id}");
        assert_eq!(env.spec(), &spec(id).unwrap());
        let rows = make_vec(id, 3, Autoreset::SameStep).unwrap();
        assert_eq!(rows.spec(), env.spec());
    }
}
