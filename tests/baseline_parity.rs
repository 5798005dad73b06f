//! Updates of the baselines beside PyTorch's: losses, every gradient, weights, targets and moments.

use rtg::algorithms::td3_bc;

use crate::fixture::{Comparison, Fixture};

fn td3_bc(name: &str) {
    let fixture = Fixture::open(name);
    let config = td3_bc::config::Config {
        width: fixture.case.hidden[0],
        layers: fixture.case.hidden.len(),
        normalise: false,
        ..td3_bc::config::Config::of(&fixture.case.recipe)
    };
    for (key, value) in [
        ("learning_rate", config.actor_learning_rate),
        ("learning_rate", config.critic_learning_rate),
        ("discount", config.discount),
        ("tau", config.tau),
        ("alpha", config.alpha),
        ("policy_noise", config.policy_noise),
        ("noise_clip", config.noise_clip),
        ("policy_delay", config.policy_delay as f64),
    ] {
        assert_eq!(fixture.hyperparameter(key), value, "{key}");
    }
    let mut learner = fixture.learner(1000, |setup| td3_bc::Learner::new(setup, config));
    let mut comparison = Comparison::new(&fixture);
    for number in 1..=fixture.case.updates {
        let report = learner.learn(&fixture.batch(number), fixture.noise(number)[0]);
        comparison.report(
            number,
            &report,
            &[
                ("critic_loss", "loss.critic"),
                ("q", "q_1.mean"),
                ("q_target", "target.mean"),
                ("actor_loss", "loss.actor"),
                ("cloning_loss", "loss.cloning"),
                ("q_policy", "q_policy.mean"),
                ("lambda", "lambda"),
            ],
        );
        comparison.gradients(number, &mut learner);
        comparison.state(number, &mut learner);
    }
    comparison.finish();
}

#[test]
fn three_updates_of_td3_bc_are_those_of_pytorch() {
    td3_bc("td3_bc");
}

#[test]
fn so_are_they_where_actions_reach_to_two() {
    td3_bc("td3_bc_max_action_2");
}
