//! Off-policy evaluation: updates compared with PyTorch's, and estimates beside simulation.

use rtg::algorithms::ActionCodec;
use rtg::algorithms::action_codec::BoxUnits;
use rtg::algorithms::fitted_q::FittedQ;
use rtg::kernels::mlp::Pool;
use rtg::nn::state_dict::Values;
use rtg::random::Stream;
use serde_json::Value;

use crate::fixture::Fixture;
use crate::workbench::{TINY, Workbench};

fn close(name: &str, found: &[f32], expected: &[f32], limit: f64) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        let difference = f64::from(found - expected).abs();
        assert!(difference <= limit, "{name}: {found}, {expected}");
    }
}

fn fitted_q(name: &str) {
    let fixture = Fixture::open(name);
    assert_eq!(fixture.case.algorithm, "fqe");
    let spec = fixture.spec();
    let codec = ActionCodec::of(BoxUnits::Unit, &spec.action_space).unwrap();
    let mut stream = Stream::new(0, "test");
    let (rate, every) = (
        fixture.hyperparameter("learning_rate"),
        fixture.hyperparameter("target_every") as u64,
    );
    let scale = fixture.hyperparameter("reward_scale") as f32;
    let (hidden, pool) = (&fixture.case.hidden, Pool::new(2));
    let observation = fixture.case.observation;
    let mut q = FittedQ::of(observation, &codec, hidden, &mut stream).with(rate, every);
    q.load_weights(&fixture.file()).unwrap();
    let tolerance = fixture.case.tolerance;
    let largest = |numbers: &[f32]| numbers.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    for number in 1..=fixture.case.updates {
        let mut batch = fixture.batch(number);
        batch.rewards.iter_mut().for_each(|reward| *reward *= scale);
        let before = q.values(&pool, &batch.observations, &batch.actions);
        let loss = q.update(&pool, &batch);
        let of = |what: &str| fixture.numbers(&format!("update.{number}.{what}"));
        for (what, found) in [
            ("target", q.targets()),
            ("q", q.predictions()),
            ("q", &before),
        ] {
            let expected = of(what);
            let limit = tolerance.values * f64::from(largest(expected));
            close(what, found, expected, limit);
        }
        let in_reward_units: Vec<f32> = before.iter().map(|value| value / scale).collect();
        let expected = of("value");
        let limit = tolerance.values * f64::from(largest(expected));
        close("value", &in_reward_units, expected, limit);
        let expected = f64::from(of("loss.critic")[0]);
        assert!(
            (loss - expected).abs() <= tolerance.values * expected,
            "{loss} {expected}"
        );
        if !fixture.case.optimiser_steps.contains_key(&number) {
            continue;
        }
        let mut compared = 0;
        for entry in q.state() {
            let Values::F32(values) = entry.values else {
                panic!("{} is not float32", entry.name);
            };
            if !entry.name.starts_with("rtg.") {
                let expected = fixture.numbers(&format!("after.{number}.{}", entry.name));
                close(&entry.name, &values, expected, tolerance.after);
                compared += 1;
            }
        }
        assert_eq!(compared, 4 * (hidden.len() + 1));
    }
}

#[test]
fn three_updates_of_fitted_q_evaluation_are_those_of_pytorch() {
    fitted_q("fqe");
}

#[test]
fn so_are_they_for_discrete_actions() {
    fitted_q("fqe_discrete");
}

fn estimate(bench: &Workbench, options: &str) -> Value {
    let text = bench.succeed(&format!("estimate run {options} --json"));
    let mut answer: Value = serde_json::from_str(&text).unwrap();
    assert!(answer["seconds"].take().is_number());
    answer
}

#[test]
fn the_fitted_value_of_a_policy_is_near_its_simulated_return() {
    let bench = Workbench::new();
    bench.succeed(
        "train --algorithm bc --dataset builtin/pendulum/mixed --steps 200 --threads 1 \
         --set evaluation.final_episodes=2 --run-dir run",
    );
    let answer = estimate(&bench, "--updates 1000 --rollouts 100 --discount 0.75");
    let number = |value: &Value| value.as_f64().unwrap();
    let target = &answer["targets"][0];
    assert!(target["target"].is_null() && target["importance"].is_null());
    let (fitted, simulated) = (&target["fitted"]["value"], &target["rollouts"]);
    let (found, truth) = (number(&fitted["mean"]), number(&simulated["mean"]));
    assert!((found - truth).abs() < 0.2 * truth.abs(), "{found} {truth}");
    for value in [fitted, simulated, &answer["recorded"]] {
        let interval = &value["interval"];
        assert!(number(&interval["low"]) < number(&value["mean"]));
        assert!(number(&value["mean"]) < number(&interval["high"]));
    }
    let range = &answer["recorded_range"];
    let recorded = number(&answer["recorded"]["mean"]);
    assert!(number(&range["low"]) < recorded && recorded < number(&range["high"]));
    let course = target["fitted"]["course"].as_array().unwrap();
    assert_eq!(course.len(), 10);
    assert_eq!(course[9], serde_json::json!([1000, found]));
    let again = estimate(&bench, "--updates 30 --seed 5");
    assert_eq!(again, estimate(&bench, "--updates 30 --seed 5"));
    assert_ne!(again, estimate(&bench, "--updates 30 --seed 6"));
}

#[test]
fn a_policy_with_targets_is_estimated_for_each_and_discrete_actions_by_importance_too() {
    let bench = Workbench::new();
    bench.succeed(&format!(
        "train --dataset builtin/cartpole/mixed --steps 20 {TINY} --run-dir run"
    ));
    let answer = estimate(&bench, "--updates 50 --targets 500,20 --epsilon 0.2");
    let targets = answer["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 2);
    for (target, asked) in targets.iter().zip([500.0, 20.0]) {
        assert_eq!(target["target"], asked);
        assert!(target["rollouts"].is_null());
        assert_eq!(target["fitted"]["course"].as_array().unwrap().len(), 10);
        let importance = &target["importance"];
        assert_eq!(importance["epsilon"], 0.2);
        let agreement = importance["agreement"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&agreement));
        let effective = importance["effective_episodes"].as_f64().unwrap();
        assert!((1.0 - 1e-9..=500.0).contains(&effective), "{effective}");
        let estimates = importance["estimates"].as_object().unwrap();
        let names = [
            "per_decision",
            "trajectory",
            "weighted",
            "weighted_per_decision",
        ];
        assert_eq!(estimates.keys().collect::<Vec<_>>(), names);
        // A weighted mean of returns lies among them.
        let weighted = estimates["weighted"].as_f64().unwrap();
        assert!((0.0..100.0).contains(&weighted), "{weighted}");
    }
    // Untrained values are near zero, less than any recorded return.
    let text = bench.succeed("estimate run --updates 1 --targets 500");
    assert!(text.contains("outside the recorded returns"), "{text}");
    let text = bench.succeed("estimate run --updates 20 --targets 500");
    for part in [
        "fitted Q evaluation",
        "importance sampling, weighted, per decision",
        "the recorded episodes",
        "effective episodes",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn what_cannot_be_estimated_is_refused_with_a_way_out() {
    let bench = Workbench::new();
    bench.succeed(
        "train --algorithm dqn --env CartPole-v1 --steps 60 --threads 1 \
         --set evaluation.final_episodes=1 --run-dir online",
    );
    bench.succeed(
        "train --algorithm bc --dataset builtin/cartpole/mixed --steps 2 --threads 1 \
         --set evaluation.final_episodes=1 --set env=none --run-dir unsimulated",
    );
    for (arguments, error, hint) in [
        ("online", "this run learned from no dataset", "--dataset"),
        (
            "online --dataset builtin/pendulum/mixed",
            "builtin/pendulum/mixed",
            "",
        ),
        (
            "unsimulated --rollouts 5",
            "can be simulated",
            "omit --rollouts",
        ),
        (
            "online --dataset builtin/cartpole/mixed --targets 5",
            "takes no target",
            "--targets",
        ),
        ("online --discount 1.5", "a number from 0 to 1", ""),
        ("online --epsilon 0", "above 0 and at most 1", ""),
    ] {
        let output = bench.run(&format!("estimate {arguments}"));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{arguments}");
        assert!(
            text.contains(error) && text.contains(hint),
            "{arguments}: {text}"
        );
    }
    let answer = bench.succeed(
        "estimate online --dataset builtin/cartpole/mixed --updates 20 --json --rollouts 2",
    );
    assert!(answer.contains("\"importance\""));
}
