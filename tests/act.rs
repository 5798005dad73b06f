//! `rtg-act` acts as rtg does: models of every kind on made-up steps, and runs on recorded ones.
//! `tests/export_check.py` compares every algorithm's.

use std::fs;

use rand::RngExt;
use rtg::algorithms::decision_transformer::Model;
use rtg::algorithms::decision_transformer::config::{ConditionName, ModelConfig};
use rtg::algorithms::decision_transformer::preprocessing::Preprocessing;
use rtg::algorithms::decision_transformer::recipe::Recipe;
use rtg::algorithms::{ActionCodec, Model as _};
use rtg::export::act;
use rtg::kernels::decision_transformer::MixerKind;
use rtg::policy::{Mode, Start};
use rtg::random::Stream;
use rtg_act::{Actions, Error, Policy};
use rtg_datasets::statistics::Normaliser;

use crate::workbench::{TINY, Workbench};

const S: usize = 3;
/// Of an action's range.
const TOLERANCE: f64 = 1e-6;
/// The range of the widest number of [`continuous`].
const RANGE: f64 = 4.0;

fn continuous() -> ActionCodec {
    ActionCodec::Continuous {
        offset: vec![0.5, 0.0, -1.0],
        scale: vec![2.0, 1.0, 0.0],
        max_action: 1.0,
    }
}

fn choices() -> ActionCodec {
    ActionCodec::Discrete { n: 4, start: -1 }
}

fn model(recipe: Recipe, config: &ModelConfig, actions: ActionCodec) -> Model {
    let preprocessing = Preprocessing {
        constant_target: false,
        normaliser: Normaliser {
            mean: vec![0.1, -2.0, 0.0],
            std: vec![1.5, 0.3, 1.0],
        },
        return_scale: 30.0,
        episode_length: 25,
        actions,
    };
    let mut model = Model::new(recipe, config, preprocessing, 3);
    // New weights have zeros, which hide mistakes.
    let mut stream = Stream::new(5, "weights");
    for parameter in &mut model.parameters {
        *parameter += stream.random_range(-0.2..0.2);
    }
    model
}

/// The largest difference of two episodes longer than context and time-step table.
fn largest_difference(model: &Model) -> f64 {
    let file = act::policy(&model.computation().unwrap(), &[], &[40.0]).unwrap();
    let mut ours = rtg::algorithms::Model::policy(model, Mode::Greedy, 1, 1);
    let mut theirs = Policy::load(file).unwrap();
    let width = match theirs.actions() {
        Actions::Continuous(width) => width,
        Actions::Discrete { .. } => 1,
    };
    let mut stream = Stream::new(7, "steps");
    let mut largest = 0.0_f64;
    for target in [40.0, -3.0] {
        let start = Start {
            seed: 0,
            target: Some(target),
        };
        ours.begin(0, &start);
        theirs.reset(target);
        let mut expected = vec![0.0; width];
        let mut reward = 0.0;
        for _ in 0..100 {
            let observation: Vec<f64> = (0..S).map(|_| stream.random_range(-3.0..3.0)).collect();
            ours.act(&[0], &observation, &[reward], &mut expected);
            let found = theirs.act(&observation).unwrap();
            for (found, expected) in found.iter().zip(&expected) {
                largest = largest.max((found - expected).abs());
            }
            theirs.carried_out(&expected).unwrap();
            reward = stream.random_range(-1.0..2.0);
            theirs.reward(reward).unwrap();
        }
    }
    largest
}

#[test]
fn every_condition_mixer_and_head_acts_as_rtg_does() {
    for recipe in [
        Recipe::Corl,
        Recipe::Official,
        Recipe::HuggingFace,
        Recipe::D3rlpy,
    ] {
        for condition in [ConditionName::Token, ConditionName::Adaln] {
            for mixer in [MixerKind::Attention, MixerKind::Convolution] {
                for (context, width, layers, heads) in [(1, 8, 1, 1), (7, 24, 2, 3), (20, 40, 3, 2)]
                {
                    let config = ModelConfig {
                        context,
                        width,
                        layers,
                        heads: if mixer == MixerKind::Attention {
                            heads
                        } else {
                            1
                        },
                        condition,
                        mixer,
                        ..ModelConfig::of(recipe)
                    };
                    let what = format!("{recipe:?} {condition:?} {mixer:?} {context} {width}");
                    let numbers = largest_difference(&model(recipe, &config, continuous()));
                    assert!(numbers <= TOLERANCE * RANGE, "{what}: {numbers}");
                    let chosen = largest_difference(&model(recipe, &config, choices()));
                    assert!(chosen <= 0.0, "{what}: another choice");
                }
            }
        }
    }
}

#[test]
fn exported_runs_act_as_rtg_collects() {
    let short = "--steps 2 --threads 1 --set evaluation.final_episodes=1";
    let runs = [
        format!("builtin/pendulum/random --recipe official --steps 2 {TINY}"),
        format!("builtin/cartpole/mixed --recipe corl --steps 2 {TINY}"),
        format!("builtin/pendulum/random --algorithm bc --set bc.context=4 {short}"),
        format!(
            "builtin/pendulum/random --algorithm rvs --set rvs.width=16 \
             --set rvs.batch_size=64 {short}"
        ),
    ];
    for options in runs {
        let bench = Workbench::new();
        bench.succeed(&format!("train --dataset {options} --run-dir run"));
        bench.succeed("export run --act policy.safetensors");
        bench.succeed("collect --policy run --steps 200 --seed 5 --out ./played-v0");
        let file = fs::read(bench.path("policy.safetensors")).unwrap();
        let mut policy = Policy::load(&file).unwrap();
        let targets = policy.targets().to_vec();
        let played = bench.path("played-v0");
        let played = rtg_datasets::open(played.to_str().unwrap(), None).unwrap();
        let mut steps = 0;
        for (number, episode) in played.iter().enumerate() {
            let target = targets.get(number % targets.len().max(1));
            policy.reset(target.copied().unwrap_or(0.0));
            let observations = episode.observations.chunks(played.observation_width());
            let actions = episode.actions.chunks(played.action_width());
            for ((observation, action), reward) in observations.zip(actions).zip(episode.rewards) {
                let found = policy.act(observation).unwrap();
                for (found, action) in found.iter().zip(action) {
                    let distance = (found - action).abs();
                    assert!(distance <= TOLERANCE * action.abs().max(1.0), "{options}");
                }
                policy.reward(*reward).unwrap();
                steps += 1;
            }
        }
        assert!(steps >= 200, "{options}: {steps} steps");
    }
}

#[test]
fn a_file_says_where_it_comes_from_and_has_the_same_bytes_each_time() {
    let bench = Workbench::new();
    bench.succeed("train --algorithm bc --steps 1 --set evaluation.final_episodes=1 --run-dir run");
    let told = bench.succeed("export run --act policy.safetensors --json");
    bench.succeed("export run --act again.safetensors");
    let file = fs::read(bench.path("policy.safetensors")).unwrap();
    assert!(file == fs::read(bench.path("again.safetensors")).unwrap());
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["act"]["bytes"], file.len());
    let policy = Policy::load(&file).unwrap();
    assert_eq!(policy.entry("algorithm"), Some("bc"));
    assert_eq!(policy.entry("environment"), Some("CartPole-v1"));
    assert_eq!(policy.entry("step"), Some("1"));
    let choices = Actions::Discrete { count: 2, first: 0 };
    assert_eq!((policy.observation_len(), policy.actions()), (4, choices));
    assert!(!policy.takes_target());
}

#[test]
fn a_policy_that_needs_too_much_memory_is_refused() {
    let config = ModelConfig {
        context: 1 << 20,
        width: 64,
        ..ModelConfig::of(Recipe::Official)
    };
    let model = model(Recipe::Official, &config, continuous());
    let refused = act::policy(&model.computation().unwrap(), &[], &[]);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("which is too much"), "{refused}");
}

#[test]
fn a_changed_byte_is_an_error() {
    let config = ModelConfig {
        context: 2,
        width: 4,
        layers: 1,
        ..ModelConfig::of(Recipe::Official)
    };
    let model = model(Recipe::Official, &config, continuous());
    let file = act::policy(&model.computation().unwrap(), &[], &[]).unwrap();
    for at in (0..file.len()).step_by(7) {
        let mut changed = file.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(Policy::load(&changed).is_err(), "byte {at}");
        assert!(Policy::load(&file[..at]).is_err(), "{at} bytes");
    }
    let mut policy = Policy::load(&file).unwrap();
    let wrong = policy.act(&[0.0; 2]).map(<[f64]>::len);
    assert_eq!(
        wrong,
        Err(Error::Length {
            what: "observation",
            expected: 3,
            found: 2
        })
    );
}
