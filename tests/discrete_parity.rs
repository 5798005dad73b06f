//! Updates of DQN, PPO and the offline algorithms of discrete actions compared with PyTorch's:
//! losses, gradients, weights, targets and moments.
#![expect(
    clippy::float_cmp,
    reason = "the fixtures' numbers are copies of the recipes'"
)]

use rtg::algorithms::ppo::advantages::{Horizon, advantages, next_values, open_ends};
use rtg::algorithms::ppo::config::Annealing;
use rtg::algorithms::q_learning::{self, Loss, Method};
use rtg::algorithms::{Learner, discrete_awac, discrete_bcq, discrete_cql, discrete_iql, dqn, ppo};

use crate::fixture::{Comparison, Fixture};

/// A number of the fixture, or a default if it does not mention it.
fn number(fixture: &Fixture, name: &str, or: f64) -> f64 {
    let found = fixture.case.hyperparameters.get(name);
    found.map_or(or, |value| value.as_f64().unwrap())
}

/// Three updates; the environment's step number before update U is U times `update_every`.
fn q_learning(fixture: &Fixture, method: Method, steps: u64, update_every: u64) {
    let clips = method.gradient_limit > 0.0;
    let mut learner = fixture.learner(steps, |setup| q_learning::Learner::new(setup, method));
    let mut comparison = Comparison::new(fixture);
    for number in 1..=fixture.case.updates {
        learner.at_step(u64::from(number) * update_every);
        let report = learner.learn(&fixture.batch(number));
        comparison.report(
            number,
            &report,
            &[
                ("critic_loss", "loss.critic"),
                ("td_loss", "loss.td"),
                ("conservative_gap", "gap"),
                ("q", "q.mean"),
                ("q_target", "target.mean"),
                ("gradient_norm", "gradient_norm"),
            ],
        );
        if clips {
            // The fixture has the clipped ones.
            comparison.without_gradients(number);
        } else {
            comparison.gradients(number, &mut learner);
        }
        comparison.state(number, &mut learner);
    }
    comparison.finish();
}

fn dqn(name: &str) {
    let fixture = Fixture::open(name);
    let code = dqn::config::OnlineConventions::named(&fixture.case.recipe);
    let own = dqn::config::Config::of(code);
    assert_eq!(fixture.hyperparameter("learning_rate"), own.learning_rate);
    assert_eq!(fixture.hyperparameter("discount"), own.discount);
    let squared = fixture.case.hyperparameters.get("loss");
    assert_eq!(squared.is_some(), own.loss == Loss::Squared);
    let is = |name: &str| fixture.case.hyperparameters.contains_key(name);
    let config = dqn::config::Config {
        hidden: fixture.case.hidden.clone(),
        target_every: number(&fixture, "target_every", 0.0) as u64,
        gradient_limit: number(&fixture, "gradient_limit", own.gradient_limit),
        double: is("double"),
        dueling: is("dueling"),
        learning_starts: Some(0),
        ..own
    };
    let every = number(&fixture, "update_every", 0.0) as u64;
    q_learning(&fixture, config.method(code, 1000), 1000, every);
}

#[test]
fn three_updates_of_dqn_are_those_of_cleanrl() {
    dqn("dqn_cleanrl");
}

#[test]
fn so_are_they_double_and_dueling_in_the_order_of_stable_baselines3() {
    dqn("dqn_sb3_double_dueling");
}

fn discrete_cql(name: &str) {
    let fixture = Fixture::open(name);
    let whose = discrete_cql::config::Defaults::named(&fixture.case.recipe);
    let own = discrete_cql::config::Config::of(whose);
    assert_eq!(fixture.hyperparameter("learning_rate"), own.learning_rate);
    assert_eq!(number(&fixture, "tau", 1.0), own.tau);
    let config = discrete_cql::config::Config {
        hidden: fixture.case.hidden.clone(),
        alpha: fixture.hyperparameter("alpha"),
        quantiles: number(&fixture, "quantiles", 1.0) as usize,
        target_every: number(&fixture, "target_every", 1.0) as u64,
        ..own
    };
    q_learning(&fixture, config.method(), 1000, 0);
}

#[test]
fn three_updates_of_discrete_cql_are_those_of_d3rlpy() {
    discrete_cql("discrete_cql");
}

#[test]
fn so_are_they_with_quantiles_and_a_target_that_follows() {
    discrete_cql("discrete_cql_quantiles");
}

#[test]
fn three_updates_of_discrete_bcq_are_those_of_its_authors() {
    let fixture = Fixture::open("discrete_bcq");
    let own = discrete_bcq::config::Config::of(discrete_bcq::config::Defaults::Authors);
    fixture.expect(&[
        ("learning_rate", own.learning_rate),
        ("discount", own.discount),
    ]);
    let config = discrete_bcq::config::Config {
        hidden: fixture.case.hidden.clone(),
        ..own
    };
    let mut learner = fixture.learner(1000, |setup| discrete_bcq::Learner::new(setup, config));
    let names = [
        ("critic_loss", "loss.critic"),
        ("td_loss", "loss.td"),
        ("cloning_loss", "loss.cloning"),
        ("q", "q.mean"),
        ("q_target", "target.mean"),
        ("actions_allowed", "allowed"),
    ];
    Comparison::new(&fixture).updates(&mut learner, &names, |learner, number| {
        learner.learn(&fixture.batch(number))
    });
}

#[test]
fn three_updates_of_discrete_iql_are_those_of_its_formulas_in_pytorch() {
    let fixture = Fixture::open("discrete_iql");
    let config = discrete_iql::config::Config {
        width: fixture.case.hidden[0],
        layers: fixture.case.hidden.len(),
        weight_limit: fixture.hyperparameter("weight_limit"),
        normalise: false,
        ..discrete_iql::config::Config::of(&fixture.case.recipe)
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
    let steps = fixture.hyperparameter("schedule_steps") as u64;
    let names = [
        ("value_loss", "loss.value"),
        ("value", "value.mean"),
        ("advantage", "advantage.mean"),
        ("weight", "weight.mean"),
        ("cloning_loss", "cloning.mean"),
        ("learning_rate", "learning_rate.actor"),
    ];
    fixture.compare::<discrete_iql::DiscreteIql>(steps, config, &names);
}

#[test]
fn three_updates_of_discrete_awac_are_those_of_its_formulas_in_pytorch() {
    let fixture = Fixture::open("discrete_awac");
    let config = discrete_awac::config::Config {
        width: fixture.case.hidden[0],
        layers: fixture.case.hidden.len(),
        weight_limit: fixture.hyperparameter("weight_limit"),
        normalise: false,
        ..discrete_awac::config::Config::of(&fixture.case.recipe)
    };
    fixture.expect(&[
        ("learning_rate", config.actor_learning_rate),
        ("learning_rate", config.critic_learning_rate),
        ("discount", config.discount),
        ("tau", config.tau),
        ("temperature", config.temperature),
    ]);
    let names = [
        ("advantage", "advantage.mean"),
        ("weight", "weight.mean"),
        ("cloning_loss", "cloning.mean"),
        ("q_policy", "q_policy.mean"),
    ];
    fixture.compare::<discrete_awac::DiscreteAwac>(1000, config, &names);
}

fn ppo(name: &str) {
    let fixture = Fixture::open(name);
    let of = |name: &str| fixture.case.hyperparameters.get(name);
    let own = ppo::config::Config::of(ppo::config::OnlineConventions::named(&fixture.case.recipe));
    assert_eq!(fixture.hyperparameter("learning_rate"), own.learning_rate);
    let config = ppo::config::Config {
        hidden: fixture.case.hidden.clone(),
        environments: 4,
        rollout_steps: fixture.case.batch / 4,
        epochs: 2,
        minibatch_size: 16,
        learning_rate_schedule: Annealing::Linear,
        clip: fixture.hyperparameter("clip"),
        clip_schedule: match of("clip_schedule") {
            Some(_) => Annealing::Linear,
            None => Annealing::Constant,
        },
        value_clip: fixture.hyperparameter("value_clip"),
        entropy_weight: fixture.hyperparameter("entropy_weight"),
        bootstrap_truncated: of("bootstrap").unwrap().as_bool().unwrap(),
        ..own
    };
    // The fixture's schedules fall over ten updates.
    let steps = 10 * fixture.case.batch as u64;
    let bootstrap = config.bootstrap_truncated;
    let horizon = Horizon {
        discount: config.discount,
        lambda: config.gae_lambda,
    };
    let mut learner = fixture.learner(steps, |setup| ppo::Learner::new(setup, config));
    let mut comparison = Comparison::new(&fixture);
    for number in 1..=fixture.case.updates {
        let (collection, orders) = fixture.collection(number, 4);
        let close = |found: &[f32], name: &str| {
            let expected = fixture.numbers(&format!("update.{number}.{name}"));
            let pairs = found.iter().zip(expected);
            let most = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(
                found.len() == expected.len() && most < 1e-5,
                "{name}: {most}"
            );
        };
        let values = fixture.numbers(&format!("update.{number}.values"));
        let beyond = fixture.numbers(&format!("update.{number}.beyond"));
        let open = open_ends(&collection, bootstrap);
        let ends: Vec<f32> = open.iter().map(|row| beyond[*row]).collect();
        let next = next_values(&collection, values, &open, &ends);
        let (found, returns) = advantages(&collection, values, &next, horizon);
        close(&found, "advantages");
        close(&returns, "returns");

        let mut orders = orders.into_iter();
        let report = learner.learn(&collection, &mut |order| {
            order.copy_from_slice(&orders.next().unwrap());
        });
        assert!(orders.next().is_none(), "an epoch is left over");
        comparison.report(
            number,
            &report,
            &[
                ("critic_loss", "loss.critic"),
                ("entropy", "entropy"),
                ("clipped", "clipped"),
                ("gradient_norm", "norm"),
                ("learning_rate", "learning_rate"),
            ],
        );
        for (metric, name) in [("actor_loss", "actor_and_1"), ("kl", "kl_and_1")] {
            close(&[report.get(metric).unwrap() as f32, 1.0], name);
        }
        // The fixture has those of the first minibatch.
        comparison.without_gradients(number);
        comparison.state(number, &mut learner);
    }
    comparison.finish();
}

#[test]
fn three_updates_of_ppo_are_those_of_cleanrl() {
    ppo("ppo_cleanrl");
}

#[test]
fn so_are_they_with_continuous_actions_as_stable_baselines3_computes_them() {
    ppo("ppo_sb3");
}
