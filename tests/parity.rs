//! The recipes against PyTorch: modules written after the two published codes computed the fixtures
//! (`tests/parity/make_fixtures.py`); both engines must reproduce their outputs, losses, gradients
//! and parameters after three optimiser steps.

use std::path::PathBuf;

use rtg::algorithms::decision_transformer::config::{
    ActionHead, ConditionName, EngineKind, ModelConfig,
};
use rtg::algorithms::decision_transformer::preprocessing::Preprocessing;
use rtg::algorithms::decision_transformer::recipe::Recipe;
use rtg::algorithms::decision_transformer::{Learner, Model, windows};
use rtg::algorithms::{self, ActionCodec, PublishedCode};
use rtg::kernels::decision_transformer::{Engine, Layout, LossTargets, MixerKind, Windows};
use rtg::nn::state_dict::{self, Entry, Values};
use rtg::optimise::{OptimiserConfig, OptimiserMethod};
use rtg::policy::{ActingMode, Start};
use rtg_datasets::sample::{Batch, Side};
use rtg_datasets::statistics::Normaliser;
use safetensors::SafeTensors;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    recipe: Recipe,
    condition: String,
    observation: usize,
    action: usize,
    context: usize,
    width: usize,
    layers: usize,
    heads: usize,
    discrete: bool,
    max_action: f64,
    episode: usize,
    #[serde(default = "tanh")]
    action_head: ActionHead,
    /// The recipe's if none is named.
    mixer: Option<String>,
    #[serde(default)]
    method: OptimiserMethod,
    optimiser: Optimiser,
    tolerance: Tolerance,
    without_gradient: Vec<String>,
}

/// The head of a case that does not say.
fn tanh() -> ActionHead {
    ActionHead::Tanh
}

impl Case {
    /// Whether there is no softmax, so that the bias of the keys matters.
    fn is_linear(&self) -> bool {
        self.mixer.as_deref() == Some("linear")
    }

    /// Whether returns-to-go are bins, which the fixture has in place of them.
    fn has_bins(&self) -> bool {
        self.condition == "bins"
    }

    /// Whether the fixture says which windows are without returns-to-go.
    fn is_nullable(&self) -> bool {
        self.condition == "nullable"
    }
}

#[derive(Deserialize)]
struct Optimiser {
    betas: [f64; 2],
    clip_norm: f64,
    epsilon: f64,
    learning_rate: f64,
    steps: u64,
    warmup_steps: u64,
    weight_decay: f64,
}

#[derive(Deserialize)]
struct Tolerance {
    outputs: f64,
    loss: f64,
    gradients: f64,
    after: f64,
    after_key_bias: f64,
}

#[test]
fn every_recipe_gives_what_pytorch_gives() {
    let mut cases = 0;
    for path in fixtures() {
        let bytes = std::fs::read(&path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let case: Case =
            serde_json::from_str(&metadata.metadata().as_ref().unwrap()["case"]).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        compare(&case, &file);
        cases += 1;
    }
    assert_eq!(cases, 29, "a fixture is missing");
}

fn compare(case: &Case, file: &SafeTensors) {
    let (model, batch) = (model(case, file), batch(case, file));
    let mut predictions = vec![0.0; batch.rows * batch.context * case.action];
    Engine::new(model.shape, 2).predict(&model.parameters, &windows(&batch), &mut predictions);
    let expected = floats(file, "outputs/actions");
    let valid = |values: &[f32]| -> Vec<f32> {
        let row = |row: usize| batch.valid(row).map(move |step| row * case.context + step);
        (0..batch.rows)
            .flat_map(row)
            .flat_map(|step| values[step * case.action..(step + 1) * case.action].to_vec())
            .collect()
    };
    close(
        &valid(&predictions),
        &valid(&expected),
        case.tolerance.outputs,
        &format!("{}: outputs", case.name),
    );

    if case.is_nullable() {
        assert_guided(case, file, &model, &batch);
    }
    let returns = if case.has_bins() {
        floats(file, "batch/scaled_returns")
    } else {
        Vec::new()
    };
    let plain = windows(&batch);
    let binned = Windows {
        targets: LossTargets {
            returns_to_go: &returns,
            ..plain.targets
        },
        ..plain
    };
    for engine in engines(&model) {
        let label = |what: &str| format!("{} ({engine:?}): {what}", case.name);
        let mut learner = learner(case, &model, engine);
        for step in 0..=case.optimiser.steps {
            if case.is_nullable() {
                learner.accumulate_windows(&windows(&batch));
            } else if case.has_bins() {
                learner.accumulate_windows(&binned);
            } else {
                learner.accumulate(&batch);
            }
            let update = learner.apply();
            let name = if step == 0 {
                "loss".to_owned()
            } else {
                format!("loss/after_{step}")
            };
            close(
                &[update.get("loss").unwrap() as f32],
                &floats(file, &name),
                case.tolerance.loss,
                &label(&name),
            );
            if let (Some(alpha), true) = (update.get("alpha"), step < case.optimiser.steps) {
                let name = format!("alpha/after_{}", step + 1);
                let expected = floats(file, &name);
                close(&[alpha as f32], &expected, 1e-6, &label(&name));
            }
            if step == 0 {
                let gradient: Vec<f32> = learner
                    .histograms()
                    .flat_map(|(_, _, gradient)| gradient.to_vec())
                    .collect();
                check(
                    case,
                    file,
                    &learner,
                    &gradient,
                    "gradients",
                    case.tolerance.gradients,
                    &label("gradient"),
                );
            }
            if step + 1 == case.optimiser.steps {
                let parameters = learner.model().parameters.clone();
                check(
                    case,
                    file,
                    &learner,
                    &parameters,
                    "after",
                    case.tolerance.after,
                    &label("after 3 steps"),
                );
            }
        }
    }
}

/// A window from an episode's first step, acted by a guided policy.
fn assert_guided(case: &Case, file: &SafeTensors, model: &Model, batch: &Batch) {
    let (row, factor) = (2, 2.0);
    let guided = algorithms::Model::guided(model, factor).unwrap();
    let mut policy = guided.greedy(ActingMode::Exact, 1, 1);
    let steps = batch.valid(row).map(|step| row * case.context + step);
    let return_to_go = |step: usize| f64::from(batch.returns_to_go[2 * step]);
    policy.begin(
        0,
        &Start {
            seed: 0,
            target: Some(return_to_go(steps.clone().next().unwrap())),
        },
    );
    let expected = floats(file, "outputs/guided");
    let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|x| f64::from(*x)).collect() };
    let mut actions = vec![0.0; case.action];
    for (age, step) in steps.enumerate() {
        assert_eq!(batch.timesteps[step] as usize, age);
        let (s, a) = (case.observation, case.action);
        let observation = wide(&batch.observations[step * s..(step + 1) * s]);
        let reward = if age == 0 {
            0.0
        } else {
            return_to_go(step - 1) - return_to_go(step)
        };
        policy.act(&[0], &observation, &[reward], &mut actions);
        let found: Vec<f32> = actions.iter().map(|x| *x as f32).collect();
        let label = format!("{}: guided action {age}", case.name);
        let expected = &expected[step * a..(step + 1) * a];
        close(&found, expected, case.tolerance.outputs, &label);
        actions = wide(&batch.actions[step * a..(step + 1) * a]);
    }
}

/// The composed model is written for return tokens, attention and deterministic actions.
fn engines(model: &Model) -> Vec<EngineKind> {
    let mut engines = vec![EngineKind::Fused];
    let shape = &model.shape;
    if shape.has_return_tokens_and_attention() && shape.deviation.is_none() {
        engines.push(EngineKind::Composed);
    }
    engines
}

/// Compares a flat vector with tensors of the fixture, by the peer's names.
fn check(
    case: &Case,
    file: &SafeTensors,
    learner: &Learner,
    flat: &[f32],
    group: &str,
    tolerance: f64,
    label: &str,
) {
    let layout = Layout::new(&learner.model().shape);
    for Entry { name, values, .. } in state_dict::export(learner.model().naming(), &layout, flat) {
        let Values::F32(values) = values else {
            panic!("{name} is not a weight")
        };
        // Of the two biases that PyTorch has, the fixture keeps one at zero, without a gradient.
        if name.ends_with(".bias_hh_l0") {
            assert!(values.iter().all(|x| x.abs() < f32::MIN_POSITIVE));
            continue;
        }
        assert!(
            !case.without_gradient.contains(&name),
            "{name} is not trained"
        );
        let expected = floats(file, &format!("{group}/{name}"));
        let label = format!("{label} of {name}");
        // The loss does not depend on the bias of the keys: its gradient is rounding noise around
        // zero, which Adam turns into steps of full length. It is compared at its own tolerance.
        let (qkv, width) = (
            !case.is_linear() && (name.contains("c_attn.bias") || name.contains("in_proj_bias")),
            case.width,
        );
        if name.ends_with("_attention._k.bias") || name.ends_with("k_net.bias") {
            assert_key_bias(case, &values, &expected, (group, 1.0), &label);
        } else if qkv {
            let parts = |all: &[f32]| [all[..width].to_vec(), all[2 * width..].to_vec()].concat();
            close(&parts(&values), &parts(&expected), tolerance, &label);
            let keys = width..2 * width;
            let largest = (expected.iter()).fold(1.0_f64, |most, x| most.max(x.abs().into()));
            let [values, expected] = [&values, &expected].map(|all| &all[keys.clone()]);
            assert_key_bias(case, values, expected, (group, largest), &label);
        } else {
            close(&values, &expected, tolerance, &label);
        }
    }
}

/// See [`check`].
fn assert_key_bias(
    case: &Case,
    found: &[f32],
    expected: &[f32],
    (group, largest): (&str, f64),
    label: &str,
) {
    let pairs = found.iter().zip(expected);
    let worst = pairs
        .map(|(found, expected)| f64::from((found - expected).abs()))
        .fold(0.0, f64::max);
    let allowed = if group == "after" {
        3.0 * case.optimiser.learning_rate
    } else {
        1e-7 * largest
    };
    assert!(
        worst <= allowed.max(case.tolerance.after_key_bias * 1e-3),
        "{label}: key bias differs by {worst}"
    );
}

fn close(found: &[f32], expected: &[f32], tolerance: f64, label: &str) {
    assert_eq!(found.len(), expected.len(), "{label}");
    let size = expected
        .iter()
        .fold(0.0_f64, |size, value| size.max(f64::from(value.abs())));
    let worst = (found.iter().zip(expected))
        .map(|(found, expected)| f64::from((found - expected).abs()))
        .fold(0.0, f64::max);
    assert!(
        worst <= tolerance * size,
        "{label}: differs by {worst:e}, largest value {size:e}"
    );
}

fn model(case: &Case, file: &SafeTensors) -> Model {
    let mut config = ModelConfig {
        context: case.context,
        width: case.width,
        layers: case.layers,
        heads: case.heads,
        condition: match case.condition.as_str() {
            "token" | "nullable" => ConditionName::Token,
            "adaln" => ConditionName::Adaln,
            "predicted" | "bins" => ConditionName::Predicted,
            other => panic!("no fixture has the condition {other}"),
        },
        return_bins: if case.has_bins() { 5 } else { 0 },
        hide_returns: case.has_bins(),
        return_weight: if case.has_bins() { 0.3 } else { 1.0 },
        condition_dropout: if case.is_nullable() { 0.5 } else { 0.0 },
        action_head: Some(case.action_head),
        attention_dropout: 0.0,
        residual_dropout: 0.0,
        embedding_dropout: 0.0,
        positions: file
            .tensor("weights/encoder.wpe.weight")
            .map_or(0, |table| table.shape()[0]),
        ..ModelConfig::of(case.recipe)
    };
    if let Some(mixer) = &case.mixer {
        config.mixer = match mixer.as_str() {
            "linear" => MixerKind::Linear,
            "lstm" => MixerKind::Lstm,
            other => panic!("no fixture has the mixer {other}"),
        };
    }
    let actions = if case.discrete {
        ActionCodec::Discrete {
            n: case.action,
            start: 0,
        }
    } else {
        ActionCodec::Continuous {
            offset: vec![0.0; case.action],
            scale: vec![1.0; case.action],
            max_action: case.max_action,
        }
    };
    let preprocessing = Preprocessing {
        constant_target: false,
        normaliser: Normaliser::identity(case.observation),
        return_scale: 1.0,
        episode_length: case.episode,
        actions,
    };
    let model = Model::new(case.recipe, &config, preprocessing, 0);
    // The state dict as PyTorch saved it, buffers included.
    let entries: Vec<_> = (file.names().into_iter())
        .filter_map(|name| {
            Some((
                name.strip_prefix("weights/")?.to_owned(),
                file.tensor(name).unwrap(),
            ))
        })
        .collect();
    let bytes = safetensors::serialize(entries, None).unwrap();
    let mut model = model;
    model
        .load_weights(&SafeTensors::deserialize(&bytes).unwrap())
        .unwrap();
    model
}

fn learner(case: &Case, model: &Model, engine: EngineKind) -> Learner {
    let config = ModelConfig {
        engine,
        ..model.config.clone()
    };
    let Optimiser {
        betas,
        clip_norm,
        epsilon,
        learning_rate,
        steps,
        warmup_steps,
        weight_decay,
    } = case.optimiser;
    let optimiser = OptimiserConfig {
        method: case.method,
        learning_rate,
        weight_decay,
        beta_1: betas[0],
        beta_2: betas[1],
        epsilon,
        warmup_steps: Some(warmup_steps),
        gradient_clip: clip_norm,
        ..OptimiserConfig::default()
    };
    Learner::new(model.clone(), &config, &optimiser, (0, steps, 2))
}

fn batch(case: &Case, file: &SafeTensors) -> Batch {
    let integers = |name: &str| -> Vec<i64> {
        let view = file.tensor(name).unwrap();
        view.data()
            .as_chunks::<8>()
            .0
            .iter()
            .map(|&bytes| i64::from_le_bytes(bytes))
            .collect()
    };
    let lengths: Vec<usize> = integers("batch/lengths")
        .iter()
        .map(|&length| length as usize)
        .collect();
    Batch {
        observations: floats(file, "batch/observations"),
        actions: floats(file, "batch/actions"),
        returns_to_go: floats(file, "batch/returns_to_go"),
        timesteps: integers("batch/timesteps")
            .iter()
            .map(|&step| step as u32)
            .collect(),
        side: if case.recipe.published() == PublishedCode::Official {
            Side::Left
        } else {
            Side::Right
        },
        rows: lengths.len(),
        context: case.context,
        lengths,
        next_observations: if case.has_bins() {
            floats(file, "batch/next_observations")
        } else {
            Vec::new()
        },
        ..Batch::default()
    }
}

fn floats(file: &SafeTensors, name: &str) -> Vec<f32> {
    state_dict::floats(
        file.tensor(name)
            .unwrap_or_else(|_| panic!("no {name}"))
            .data(),
    )
}

fn fixtures() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/parity");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "safetensors")
        })
        .collect();
    paths.sort();
    paths
}
