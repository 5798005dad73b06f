//! SAC's updates compared with PyTorch's: losses, gradients, weights, targets and moments.

use rtg::algorithms::sac::Learner;
use rtg::algorithms::sac::config::{Config, OnlineConventions};

use crate::fixture::{Comparison, Fixture};

/// Three updates; `log_prob` is the fixture's name for the log-probabilities of the actor's loss.
fn sac(name: &str, log_prob: &str) {
    let fixture = Fixture::open(name);
    let config = Config {
        width: fixture.case.hidden[0],
        layers: fixture.case.hidden.len(),
        ..Config::of(OnlineConventions::named(&fixture.case.recipe))
    };
    fixture.expect(&[
        ("actor_learning_rate", config.actor_learning_rate),
        ("critic_learning_rate", config.critic_learning_rate),
        ("alpha_learning_rate", config.alpha_learning_rate),
        ("discount", config.discount),
        ("tau", config.tau),
    ]);
    let delay = fixture.case.hyperparameters.get("policy_delay");
    assert_eq!(
        delay.map_or(1, |delay| delay.as_u64().unwrap()),
        config.policy_delay
    );
    let rounds = config.policy_delay;
    let mut learner = fixture.learner(1000, |setup| Learner::new(setup, config));
    let mut comparison = Comparison::new(&fixture);
    for number in 1..=fixture.case.updates {
        let report = fixture.learn(&mut learner, number);
        comparison.report(
            number,
            &report,
            &[
                ("critic_loss", "loss.critic"),
                ("q", "q_1.mean"),
                ("q_target", "target.mean"),
                ("actor_loss", "loss.actor"),
                ("alpha_loss", "loss.alpha"),
                ("alpha", "alpha_after"),
            ],
        );
        let log_prob = fixture.find(&format!("update.{number}.{log_prob}.mean"));
        let entropy = report.get("entropy");
        assert_eq!(entropy.is_some(), log_prob.is_some());
        if let (Some(entropy), Some(log_prob)) = (entropy, log_prob) {
            let error = (entropy + f64::from(log_prob[0])).abs();
            assert!(error < 1e-5, "{entropy}, not -{}", log_prob[0]);
        }
        if rounds > 1 && entropy.is_some() {
            // The fixture has those of the first round.
            comparison.without_gradients(number);
        } else {
            comparison.gradients(number, &mut learner);
        }
        comparison.state(number, &mut learner);
    }
    comparison.finish();
}

#[test]
fn three_updates_in_an_uneven_box_are_those_of_cleanrl() {
    sac("sac_cleanrl", "round.2.log_prob");
}

#[test]
fn three_updates_are_those_of_stable_baselines3() {
    sac("sac_sb3", "log_prob");
}
