//! Updates of AWAC, ReBRAC, CQL, EDAC and SAC-N compared with PyTorch's: losses, every gradient,
//! weights, targets and moments.

use rtg::algorithms::actor_critic::Method;
use rtg::algorithms::{awac, cql, edac, rebrac};

use crate::fixture::Fixture;

fn compare<M: Method>(
    fixture: &Fixture,
    values: &[(&str, f64)],
    config: M::Config,
    names: &[(&str, &str)],
) {
    fixture.expect(values);
    fixture.compare::<M>(1000, config, names);
}

fn awac(name: &str, weights: awac::config::AdvantageWeights) {
    let fixture = Fixture::open(name);
    assert_eq!(fixture.case.algorithm, "awac");
    let limit = fixture.case.hyperparameters.get("weight_limit");
    let config = awac::config::Config {
        width: fixture.case.hidden[0],
        layers: fixture.case.hidden.len(),
        temperature: fixture.hyperparameter("temperature"),
        weight_limit: limit.map_or(100.0, |limit| limit.as_f64().unwrap()),
        weights,
        normalise: false,
        ..awac::config::Config::of(&fixture.case.recipe)
    };
    let values = [
        ("learning_rate", config.actor_learning_rate),
        ("learning_rate", config.critic_learning_rate),
        ("discount", config.discount),
        ("tau", config.tau),
    ];
    let decay = fixture.case.hyperparameters.get("weight_decay");
    let decay = decay.map_or(0.0, |decay| decay.as_f64().unwrap());
    assert_eq!(decay.to_bits(), config.actor_weight_decay.to_bits());
    let names = [
        ("advantage", "advantage.mean"),
        ("weight", "weight.mean"),
        ("cloning_loss", "cloning.mean"),
    ];
    compare::<awac::Awac>(&fixture, &values, config, &names);
}

#[test]
fn three_updates_of_awac_are_those_of_pytorch() {
    awac("awac_clip", awac::config::AdvantageWeights::Clip);
}

#[test]
fn so_are_they_with_weights_from_a_softmax() {
    awac("awac_softmax", awac::config::AdvantageWeights::Softmax);
}

#[test]
fn so_are_they_as_d3rlpy_has_them() {
    awac("awac_d3rlpy", awac::config::AdvantageWeights::Softmax);
}

fn rebrac(name: &str) {
    let fixture = Fixture::open(name);
    assert_eq!(fixture.case.algorithm, "rebrac");
    let config = rebrac::config::Config {
        width: fixture.case.hidden[0],
        layers: fixture.case.hidden.len(),
        actor_penalty: fixture.hyperparameter("actor_penalty"),
        critic_penalty: fixture.hyperparameter("critic_penalty"),
        normalise: false,
        ..rebrac::config::Config::of(&fixture.case.recipe)
    };
    let values = [
        ("learning_rate", config.actor_learning_rate),
        ("learning_rate", config.critic_learning_rate),
        ("discount", config.discount),
        ("tau", config.tau),
        ("policy_noise", config.policy_noise),
        ("noise_clip", config.noise_clip),
        ("policy_delay", config.policy_delay as f64),
    ];
    let names = [
        ("critic_penalty", "penalty.mean"),
        ("cloning_loss", "cloning.mean"),
        ("q_policy", "q_policy.mean"),
        ("lambda", "lambda"),
    ];
    compare::<rebrac::Rebrac>(&fixture, &values, config, &names);
}

#[test]
fn three_updates_of_rebrac_are_those_of_its_authors() {
    rebrac("rebrac");
}

#[test]
fn three_updates_of_rebrac_are_those_of_d3rlpy() {
    rebrac("rebrac_d3rlpy");
}

fn cql(name: &str, names: &[(&str, &str)]) {
    let fixture = Fixture::open(name);
    assert_eq!(fixture.case.algorithm, "cql");
    let given = &fixture.case.hyperparameters;
    let flag = |key: &str| given.get(key).is_some_and(|value| value == true);
    let number = |key: &str| given.get(key).map(|value| value.as_f64().unwrap());
    let variant = cql::config::CqlVariant::named(&fixture.case.recipe);
    let defaults = cql::config::Config::of(variant);
    let config = cql::config::Config {
        width: fixture.case.hidden[0],
        layers: fixture.case.hidden.len(),
        critic_layers: None,
        conservative_weight: fixture.hyperparameter("penalty"),
        samples: fixture.hyperparameter("samples") as usize,
        lagrange: flag("lagrange"),
        gap: number("gap").unwrap_or(defaults.gap),
        difference_low: number("penalty_low"),
        max_target_backup: flag("max_target_backup"),
        normalise: false,
        ..defaults
    };
    let values = [
        ("actor_learning_rate", config.actor_learning_rate),
        ("actor_learning_rate", config.alpha_learning_rate),
        ("critic_learning_rate", config.critic_learning_rate),
        ("temperature", config.temperature),
        ("discount", config.discount),
        ("tau", config.tau),
    ];
    let names = [
        &[
            ("alpha_loss", "loss.alpha"),
            ("alpha", "alpha_after"),
            ("conservative_gap", "difference"),
        ],
        names,
    ];
    compare::<cql::Cql>(&fixture, &values, config, &names.concat());
}

#[test]
fn three_updates_of_cql_are_those_of_pytorch() {
    cql("cql", &[]);
}

#[test]
fn so_are_they_with_the_values_of_young_geng() {
    cql("cql_young_geng", &[]);
}

#[test]
fn so_are_they_one_by_one_as_in_d3rlpy() {
    cql("cql_d3rlpy", &[]);
}

#[test]
fn so_are_they_with_everything_that_antmaze_needs() {
    let names = [
        ("lagrange_loss", "loss.alpha_prime"),
        ("lagrange_multiplier", "alpha_prime"),
    ];
    cql("cql_antmaze", &names);
}

#[test]
fn three_updates_of_cal_ql_are_those_of_pytorch() {
    cql("cal_ql", &[("bounded_share", "bounded")]);
}

fn edac(name: &str) {
    let fixture = Fixture::open(name);
    assert_eq!(fixture.case.algorithm, "edac");
    let variant = edac::config::Variant::named(&fixture.case.recipe);
    let config = edac::config::Config {
        width: fixture.case.hidden[0],
        layers: fixture.case.hidden.len(),
        members: fixture.hyperparameter("members") as usize,
        eta: fixture.hyperparameter("eta"),
        ..edac::config::Config::of(variant)
    };
    let values = [
        ("actor_learning_rate", config.actor_learning_rate),
        ("critic_learning_rate", config.critic_learning_rate),
        ("alpha_learning_rate", config.alpha_learning_rate),
        ("discount", config.discount),
        ("tau", config.tau),
    ];
    let names = [
        ("alpha_loss", "loss.alpha"),
        ("alpha", "alpha_after"),
        ("diversity_loss", "loss.diversity"),
    ];
    compare::<edac::Edac>(&fixture, &values, config, &names);
}

#[test]
fn three_updates_of_sac_n_are_those_of_pytorch() {
    edac("edac_sac_n");
}

#[test]
fn so_are_those_of_edac_with_its_second_derivatives() {
    edac("edac");
}

#[test]
fn so_are_they_with_two_critics() {
    edac("edac_two_members");
}
