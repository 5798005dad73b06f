//! Plans that need more than the machine has, and checkpoints with false metadata: an error before
//! memory is allocated, never a panic.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rtg::algorithms::AlgorithmRef;
use rtg::checkpoint::Checkpoint;
use rtg::experiment::{Experiment, reference};
use rtg::policy::{Mode, Start};
use rtg::train::new_learner;
use rtg::{data, error::Error};
use rtg_envs::registry;
use serde_json::{Value, json};

use crate::workbench::{TINY, Workbench};

/// A plan of one key, up to the learner; whether that was refused.
fn is_refused(algorithm: &str, key: &str, value: i64) -> bool {
    let dataset = match algorithm {
        "sac" => "",
        "td3_bc" | "iql" => "dataset=builtin/pendulum/random",
        _ => "dataset=builtin/cartpole/random",
    };
    let env = if dataset.is_empty() {
        "env=Pendulum-v1"
    } else {
        dataset
    };
    let build = || -> Result<(), Error> {
        let settings = [
            format!("algorithm={algorithm}"),
            env.to_owned(),
            format!("{key}={value}"),
        ];
        let layers = settings
            .iter()
            .map(|setting| Experiment::parse_setting(setting));
        let planned = Experiment::from_layers(&layers.collect::<Result<Vec<_>, _>>()?)?;
        let opened = data::open(&planned)?;
        let experiment = planned.resolve(&opened.spec, opened.data.as_ref())?;
        drop(new_learner(
            &experiment,
            &rtg::parallel::World::alone(),
            &opened,
            None,
        )?);
        Ok(())
    };
    match build() {
        Ok(()) => false,
        Err(error) => {
            assert!(error.hint().is_some(), "{key}: {error} has no hint");
            true
        }
    }
}

#[test]
fn sizes_that_nothing_can_hold_are_refused_before_memory_is_taken() {
    for algorithm in ["decision_transformer", "bc", "td3_bc", "iql", "sac"] {
        for table in reference(AlgorithmRef::named(algorithm).unwrap()) {
            let counts = table.keys.iter().filter(|key| key.kind.contains("usize"));
            for key in counts.filter(|key| {
                !key.name.ends_with("_length") || table.table == "decision_transformer"
            }) {
                let path = table.path(key.name);
                assert!(is_refused(algorithm, &path, 1 << 40), "{algorithm}: {path}");
                assert!(
                    is_refused(algorithm, &path, i64::MAX),
                    "{algorithm}: {path}"
                );
            }
        }
    }
}

#[test]
fn sizes_within_their_ranges_that_no_memory_holds_are_refused_too() {
    let bench = Workbench::new();
    for settings in [
        "--set decision_transformer.width=65536 --set decision_transformer.layers=1024",
        "--set decision_transformer.context=65536 --set decision_transformer.width=65536",
        "--set decision_transformer.episode_length=16777216 --set decision_transformer.width=65536",
        "--algorithm bc --set bc.width=65536 --set bc.layers=1024",
        "--algorithm td3_bc --set td3_bc.width=65536 --set td3_bc.layers=1024",
    ] {
        let transcript = bench.transcript(&format!("train --steps 1 {settings}"));
        assert!(transcript.starts_with("exit code 1"), "{transcript}");
        assert!(
            transcript.contains("error: the plan needs at least "),
            "{transcript}"
        );
        assert!(!bench.path("runs").exists());
    }
}

/// The tensors of a checkpoint and its metadata.
fn taken_apart(bytes: &[u8]) -> (Value, Value, Vec<u8>) {
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let notes = header["__metadata__"]["rtg"].as_str().unwrap();
    let notes = serde_json::from_str(notes).unwrap();
    (header, notes, bytes[8 + length..].to_vec())
}

fn put_together(path: &Path, (header, notes, tensors): &(Value, Value, Vec<u8>)) {
    let mut header = header.clone();
    header["__metadata__"]["rtg"] = json!(notes.to_string());
    let mut header = header.to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let length = (header.len() as u64).to_le_bytes();
    fs::write(path, [&length, header.as_bytes(), tensors].concat()).unwrap();
}

/// The pointers to all values below one, itself included.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(entries) => {
            for (name, entry) in entries {
                pointers(entry, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            // Whatever is wrong with one number of a list is wrong with each.
            for (index, item) in items.iter().take(1).enumerate() {
                pointers(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Reads a checkpoint and acts with its model, if it is one.
fn act(path: &Path) -> Result<(), Error> {
    let checkpoint = Checkpoint::load(path)?;
    let spec = registry::spec(&checkpoint.notes.env)?;
    checkpoint.check_fits(&spec)?;
    let mut policy = checkpoint.model()?.policy(Mode::Greedy, 2, 1);
    let target = policy.takes_target().then_some(1.0);
    let (seen, done) = (spec.observation_space.width(), spec.action_space.width());
    for row in 0..2 {
        policy.begin(row, &Start { seed: 1, target });
    }
    policy.act(
        &[0, 1],
        &vec![0.5; 2 * seen],
        &[0.0; 2],
        &mut vec![0.0; 2 * done],
    );
    Ok(())
}

#[test]
fn wrong_checkpoint_metadata_is_refused_or_followed_without_a_panic() {
    let bench = Workbench::new();
    let small = "--steps 1 --set evaluation.final_episodes=1";
    let of = |table: &str| format!("--set {table}.width=16 --set {table}.layers=1");
    bench.succeed(&format!(
        "train {small} {TINY} --run-dir decision_transformer"
    ));
    bench.succeed(&format!(
        "train {small} {TINY} --recipe official --run-dir official"
    ));
    for algorithm in ["bc", "td3_bc", "iql"] {
        let size = of(algorithm);
        bench.succeed(&format!(
            "train --algorithm {algorithm} {small} {size} --run-dir {algorithm}"
        ));
    }
    let sac = format!("--algorithm sac --env Pendulum-v1 {small} {}", of("sac"));
    bench.succeed(&format!("train {sac} --run-dir sac"));
    let path = bench.path("lie.safetensors");
    let lies = [
        json!(null),
        json!(0),
        json!(-1),
        json!(1),
        json!(1e300),
        json!(1_u64 << 40),
        json!(u64::MAX),
        json!("lie"),
        json!([]),
        json!([1.0]),
        json!({}),
    ];
    for run in [
        "decision_transformer",
        "official",
        "bc",
        "td3_bc",
        "iql",
        "sac",
    ] {
        let latest = bench.path(run).join("checkpoints/latest.safetensors");
        let whole = taken_apart(&fs::read(latest).unwrap());
        put_together(&path, &whole);
        act(&path).unwrap();
        let mut places = Vec::new();
        pointers(&whole.1, "", &mut places);
        let mut refused = 0;
        for place in &places {
            for lie in &lies {
                let mut changed = whole.clone();
                *changed.1.pointer_mut(place).unwrap() = lie.clone();
                put_together(&path, &changed);
                let result = catch_unwind(AssertUnwindSafe(|| act(&path)));
                assert!(result.is_ok(), "{run}: {place} = {lie} panics");
                refused += usize::from(result.is_ok_and(|result| result.is_err()));
            }
        }
        assert!(
            refused > places.len(),
            "{run}: {refused} of {} places",
            places.len()
        );
    }
}

#[test]
fn a_model_acts_only_in_environments_like_its_own() {
    let bench = Workbench::new();
    bench.succeed(&format!("train --steps 1 {TINY} --run-dir run"));
    let transcript =
        bench.transcript("collect --policy run --env Acrobot-v1 --steps 9 --out ./a-v0");
    let error =
        "error: the model is made for observations of 4 numbers, not for those of Acrobot-v1";
    assert!(transcript.contains(error), "{transcript}");
    bench.succeed(
        "collect --policy run --env CartPole-v1?sutton_barto_reward=true --steps 9 --out ./b-v0",
    );
}
