//! Updates of the baselines compared with PyTorch's: losses, every gradient, weights, targets and
//! moments.

use rtg::algorithms::iql::config::{ActorKind, Conventions, RewardScaling};
use rtg::algorithms::{ActionCodec, PublishedCode, bc, iql, rvs, td3, td3_bc};
use rtg_datasets::Normaliser;
use safetensors::SafeTensors;

use crate::fixture::{Comparison, Fixture};

fn td3_bc(name: &str) {
    let fixture = Fixture::open(name);
    assert_eq!(fixture.case.algorithm, "td3_bc");
    let config = td3_bc::config::Config {
        width: fixture.case.hidden[0],
        layers: fixture.case.hidden.len(),
        normalise: false,
        ..td3_bc::config::Config::of(&fixture.case.recipe)
    };
    fixture.expect(&[
        ("learning_rate", config.actor_learning_rate),
        ("learning_rate", config.critic_learning_rate),
        ("discount", config.discount),
        ("tau", config.tau),
        ("alpha", config.alpha),
        ("policy_noise", config.policy_noise),
        ("noise_clip", config.noise_clip),
        ("policy_delay", config.policy_delay as f64),
    ]);
    fixture.compare::<td3_bc::Td3Bc>(
        1000,
        config,
        &[
            ("cloning_loss", "loss.cloning"),
            ("q_policy", "q_policy.mean"),
            ("lambda", "lambda"),
        ],
    );
}

#[test]
fn three_updates_of_td3_bc_are_those_of_pytorch() {
    td3_bc("td3_bc");
}

#[test]
fn so_are_they_where_actions_reach_to_two() {
    td3_bc("td3_bc_max_action_2");
}

#[test]
fn so_are_they_where_d3rlpy_counts_from_zero() {
    td3_bc("td3_bc_d3rlpy");
}

fn td3(name: &str) {
    let fixture = Fixture::open(name);
    assert_eq!(fixture.case.algorithm, "td3");
    let code = td3::config::OnlineConventions::named(&fixture.case.recipe);
    let config = td3::config::Config {
        hidden: fixture.case.hidden.clone(),
        ..td3::config::Config::of(code)
    };
    fixture.expect(&[
        ("learning_rate", config.actor_learning_rate),
        ("learning_rate", config.critic_learning_rate),
        ("discount", config.discount),
        ("tau", config.tau),
        ("policy_noise", config.policy_noise),
        ("noise_clip", config.noise_clip),
        ("policy_delay", config.policy_delay as f64),
    ]);
    fixture.compare::<td3::Td3>(1000, config, &[("q_policy", "q_policy.mean")]);
}

#[test]
fn three_updates_of_td3_in_an_uneven_box_are_those_of_cleanrl() {
    td3("td3_cleanrl");
}

#[test]
fn three_updates_of_td3_are_those_of_stable_baselines3() {
    td3("td3_sb3");
}

fn iql(name: &str) {
    let fixture = Fixture::open(name);
    assert_eq!(fixture.case.algorithm, "iql");
    let deterministic = fixture.case.hyperparameters["deterministic"] == true;
    let config = iql::config::Config {
        width: fixture.case.hidden[0],
        layers: fixture.case.hidden.len(),
        actor: if deterministic {
            ActorKind::Deterministic
        } else {
            ActorKind::Gaussian
        },
        normalise: false,
        reward_scaling: RewardScaling::None,
        ..iql::config::Config::of(Conventions::named(&fixture.case.recipe))
    };
    fixture.expect(&[
        ("learning_rate", config.actor_learning_rate),
        ("learning_rate", config.critic_learning_rate),
        ("learning_rate", config.value_learning_rate),
        ("discount", config.discount),
        ("tau", config.tau),
        ("expectile", config.expectile),
        ("beta", config.beta),
    ]);
    if let Some(bounds) = fixture.case.hyperparameters.get("log_sigma_bounds") {
        assert_eq!(bounds[0], config.log_sigma_low);
    }
    let steps = fixture.hyperparameter("schedule_steps") as u64;
    fixture.compare::<iql::Iql>(
        steps,
        config,
        &[
            ("value_loss", "loss.value"),
            ("value", "value.mean"),
            ("advantage", "advantage_actor.mean"),
            ("weight", "weight.mean"),
            ("cloning_loss", "cloning.mean"),
            ("learning_rate", "learning_rate.actor"),
        ],
    );
}

#[test]
fn three_updates_of_iql_are_those_of_pytorch() {
    iql("iql_corl_gaussian");
}

#[test]
fn so_are_they_with_a_deterministic_actor() {
    iql("iql_corl_deterministic");
}

#[test]
fn so_are_they_in_the_order_of_the_authors() {
    iql("iql_paper");
}

#[test]
fn so_are_they_as_d3rlpy_has_them() {
    iql("iql_d3rlpy");
}

fn bc(name: &str, actions: ActionCodec) {
    let fixture = Fixture::open(name);
    assert_eq!(fixture.case.algorithm, "bc");
    let published = PublishedCode::named(&fixture.case.recipe);
    let config = bc::config::BcConfig {
        width: fixture.case.hidden[0],
        layers: fixture.case.hidden.len(),
        ..bc::config::BcConfig::of(published)
    };
    let optimiser = bc::config::optimiser(published);
    assert_eq!(
        fixture.case.hyperparameters["learning_rate"],
        optimiser.learning_rate
    );
    let normaliser = Normaliser::identity(fixture.case.observation);
    let mut model = bc::Model::new((published, config), normaliser, actions, 0);
    let weights = fixture.weights_of("actor");
    model
        .load_weights(&SafeTensors::deserialize(&weights).unwrap())
        .unwrap();
    let mut learner = bc::Learner::new(model, optimiser, (0, 1000, 2));
    let comparison = Comparison::within("actor.", &fixture);
    comparison.updates(
        &mut learner,
        &[("loss", "loss.actor")],
        |learner, number| {
            learner.accumulate(&fixture.windows(number));
            learner.apply()
        },
    );
}

#[test]
fn three_updates_of_cloning_are_those_of_pytorch() {
    let actions = ActionCodec::Continuous {
        offset: vec![0.0; 3],
        scale: vec![1.0; 3],
        max_action: 2.0,
    };
    bc("bc_continuous", actions);
}

#[test]
fn so_are_they_with_discrete_actions() {
    bc("bc_discrete", ActionCodec::Discrete { n: 3, start: 0 });
}

fn rvs(name: &str) {
    let fixture = Fixture::open(name);
    assert_eq!(fixture.case.algorithm, "rvs");
    let config = rvs::config::Config {
        width: fixture.case.hidden[0],
        layers: fixture.case.hidden.len(),
        horizon: Some(fixture.hyperparameter("horizon") as usize),
        normalise: false,
        ..rvs::config::Config::of(rvs::config::Defaults::named(&fixture.case.recipe))
    };
    let rate = fixture.hyperparameter("learning_rate");
    assert_eq!(rate.to_bits(), config.learning_rate.to_bits());
    let mut learner = fixture.learner(1000, |setup| rvs::Learner::new(setup, config));
    let names = [("loss", "loss.actor")];
    Comparison::new(&fixture).updates(&mut learner, &names, |learner, number| {
        learner.learn(&fixture.windows(number))
    });
}

#[test]
fn three_updates_of_rvs_are_those_of_pytorch() {
    rvs("rvs");
}

#[test]
fn so_are_they_with_discrete_actions_and_outcomes() {
    rvs("rvs_discrete");
}
