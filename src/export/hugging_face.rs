//! `transformers.DecisionTransformerModel`: a folder with `config.json` and `model.safetensors`.
//!
//! Its network is kzl's with two renamed parts and one more weight: a table of positions, whose row
//! 0 is added to every token after the embedding's norm. A model with that vector (the recipe
//! `huggingface`) has the table, both ways, to the bit. Of others the table is zeros on export, and
//! on import its row 0 is added to the norm's bias. Pre- and postprocessing are not part of the
//! class: [`write()`] stores them in `config.json` under `rtg`, which `transformers` keeps and
//! ignores.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::Error;
use crate::algorithms::{Computation, Sequence};
use crate::nn::state_dict::{
    self, Entry, GPT2_POSITIONS, Naming, StateDictError, Values, untrained,
};
use crate::random::Stream;
use crate::run::{read_text, write_whole};
use rtg_kernels::decision_transformer::{Layout, Shape};
use rtg_kernels::layer_norm::EPSILON;
use rtg_kernels::{Activation, Head};

/// The file name of the configuration.
pub const CONFIG: &str = "config.json";
/// The file name of the weights.
pub const WEIGHTS: &str = "model.safetensors";

/// The table of positions.
const POSITIONS: &str = "encoder.wpe.weight";
/// kzl's prefix of the GPT-2.
const OFFICIAL: &str = "transformer.";
/// The class's prefix of the same part.
const THEIRS: &str = "encoder.";

/// Writes a policy into a new folder, with `notes` in its configuration.
///
/// # Errors
/// [`Error::Unsupported`]: not a Decision Transformer, or one whose actions exceed 1 in the
/// network. A folder that is not empty, or cannot be written.
pub fn write(
    folder: &Path,
    computation: &Computation,
    notes: &[(&str, String)],
) -> Result<(), Error> {
    let unsupported = |reason: String| Error::Unsupported {
        what: "exported to Hugging Face's format",
        reason,
    };
    let Computation::Sequence(policy) = computation else {
        let reason = "DecisionTransformerModel is only for Decision Transformers";
        return Err(unsupported(reason.to_owned()));
    };
    super::check_switches(policy, "exported to Hugging Face's format")?;
    if let Head::Tanh { scale } = policy.shape.head
        && (scale - 1.0).abs() > 0.0
    {
        return Err(unsupported(format!(
            "its actions reach {scale} in the network, those of DecisionTransformerModel 1"
        )));
    }
    let config = serde_json::to_string_pretty(&config(policy, notes))
        .map_err(|error| unsupported(error.to_string()))?;
    let path = folder.join(WEIGHTS);
    let format = [("format".to_owned(), "pt".to_owned())];
    let weights = state_dict::serialise(&weights(policy), &format)
        .map_err(|error| weights_error(&path, error.into()))?;
    fs::create_dir_all(folder).map_err(|source| Error::Read {
        source,
        path: folder.to_owned(),
    })?;
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::FolderInUse {
            path: folder.to_owned(),
        });
    }
    write_whole(&path, |file| file.write_all(&weights))?;
    write_whole(&folder.join(CONFIG), |file| writeln!(file, "{config}"))?;
    Ok(())
}

fn config(policy: &Sequence, notes: &[(&str, String)]) -> Value {
    let shape = &policy.shape;
    let notes = notes
        .iter()
        .map(|(name, text)| ((*name).to_owned(), json!(text)));
    let mut notes: serde_json::Map<String, Value> = notes.collect();
    let about = json!({
        "observation_mean": policy.normaliser.mean,
        "observation_std": policy.normaliser.std,
        "return_scale": policy.return_scale,
        "context": shape.context,
        "actions": policy.actions,
    });
    notes.extend(about.as_object().cloned().unwrap_or_default());
    json!({
        "architectures": ["DecisionTransformerModel"],
        "model_type": "decision_transformer",
        "state_dim": shape.observation,
        "act_dim": shape.action,
        "hidden_size": shape.width,
        "max_ep_len": shape.timesteps,
        "action_tanh": matches!(shape.head, Head::Tanh { .. }),
        "vocab_size": 1,
        "n_positions": positions(shape),
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_inner": 4 * shape.width,
        "activation_function": activation_name(shape.activation),
        "layer_norm_epsilon": shape.norm_epsilon,
        "bos_token_id": null,
        "eos_token_id": null,
        "dtype": "float32",
        "rtg": notes,
    })
}

fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu => "relu",
        Activation::Gelu => "gelu",
    }
}

/// Rows of the table of positions.
fn positions(shape: &Shape) -> usize {
    match shape.positions {
        0 => GPT2_POSITIONS.max(3 * shape.context),
        rows => rows,
    }
}

/// The weights under the class's names.
fn weights(policy: &Sequence) -> Vec<Entry> {
    let (shape, naming) = (&policy.shape, Naming::HuggingFace);
    let mut entries = state_dict::export(naming, &Layout::new(shape), &policy.parameters);
    // Other models than kzl's and the class's have none of these; they get those of a new model.
    entries.extend(match policy.naming {
        Naming::Official | Naming::HuggingFace if !policy.untrained.is_empty() => {
            policy.untrained.clone()
        }
        _ => untrained(naming, shape, &mut Stream::new(0, "untrained")),
    });
    for entry in &mut entries {
        if let Some(rest) = entry.name.strip_prefix(OFFICIAL) {
            entry.name = format!("{THEIRS}{rest}");
        }
    }
    if shape.positions == 0 {
        entries.push(table(
            vec![0.0; positions(shape) * shape.width],
            shape.width,
        ));
    }
    entries
}

/// The table of positions.
fn table(values: Vec<f32>, width: usize) -> Entry {
    Entry {
        name: POSITIONS.to_owned(),
        dimensions: vec![values.len() / width, width],
        values: Values::F32(values),
    }
}

/// The weights of a folder as a state dict of the published code that `computation` is based on.
/// `content` are the bytes of its `model.safetensors`.
///
/// # Errors
/// A configuration that differs from the model, another algorithm's model, weights that do not fit.
pub fn read(
    folder: &Path,
    content: &[u8],
    computation: Option<&Computation>,
) -> Result<Vec<u8>, Error> {
    let Some(Computation::Sequence(policy)) = computation else {
        return Err(Error::OtherAlgorithm {
            path: folder.to_owned(),
        });
    };
    let what = "started from Hugging Face's weights";
    super::check_switches(policy, what)?;
    if policy.naming == Naming::D3rlpy {
        let reason = "the recipe d3rlpy counts time steps from 1, DecisionTransformerModel from 0";
        return Err(Error::Unsupported {
            what,
            reason: reason.to_owned(),
        });
    }
    check(policy, &folder.join(CONFIG))?;
    state_dict_of(policy, content).map_err(|error| weights_error(&folder.join(WEIGHTS), error))
}

/// Refuses the configuration of another network than the plan's.
fn check(policy: &Sequence, path: &Path) -> Result<(), Error> {
    let config = read_config(path)?;
    let wrong = |key, found: String, expected: String, decided_by| {
        Err(Error::Config {
            key,
            found,
            expected,
            decided_by,
            path: path.to_owned(),
        })
    };
    for (key, default, expected, decided_by) in wanted(policy) {
        let found = config.get(key).unwrap_or(&default);
        if *found != expected {
            return wrong(key, found.to_string(), expected.to_string(), decided_by);
        }
    }
    let inner = 4 * policy.shape.width as u64;
    let found = config.get("n_inner").and_then(Value::as_u64);
    if let Some(found) = found.filter(|&found| found != inner) {
        return wrong("n_inner", found.to_string(), inner.to_string(), NOTHING);
    }
    let epsilon = f64::from(policy.shape.norm_epsilon);
    let found = config.get("layer_norm_epsilon").and_then(Value::as_f64);
    let found = found.unwrap_or(f64::from(EPSILON));
    if (found - epsilon).abs() > 1e-3 * epsilon {
        let expected = policy.shape.norm_epsilon.to_string();
        return wrong(
            "layer_norm_epsilon",
            found.to_string(),
            expected,
            "norm_epsilon",
        );
    }
    match policy.shape.head {
        Head::Tanh { scale } if (scale - 1.0).abs() > 0.0 => {
            let expected = format!("tanh times {scale}");
            wrong("action_tanh", "true".to_owned(), expected, DATA)
        }
        _ => Ok(()),
    }
}

/// Reads the configuration of a Decision Transformer.
fn read_config(path: &Path) -> Result<Value, Error> {
    let text = read_text(path).map_err(|source| Error::Read {
        source,
        path: path.to_owned(),
    })?;
    let unclear = |reason: String| Error::NoConfig {
        reason,
        path: path.to_owned(),
    };
    let config: Value = serde_json::from_str(&text).map_err(|error| unclear(error.to_string()))?;
    match config.get("model_type").and_then(Value::as_str) {
        Some("decision_transformer") => Ok(config),
        Some(other) => Err(unclear(format!("its model_type is {other}"))),
        None => Err(unclear("it has no model_type".to_owned())),
    }
}

const DATA: &str = "the data";
const NOTHING: &str = "nothing";

/// Keys of a configuration with the class's default, the value that they must have, and what in the
/// plan determines it.
fn wanted(policy: &Sequence) -> [(&'static str, Value, Value, &'static str); 11] {
    let shape = &policy.shape;
    let is_tanh = matches!(shape.head, Head::Tanh { .. });
    let activation = activation_name(shape.activation);
    [
        ("state_dim", json!(17), json!(shape.observation), DATA),
        ("act_dim", json!(4), json!(shape.action), DATA),
        ("action_tanh", json!(true), json!(is_tanh), DATA),
        (
            "max_ep_len",
            json!(4096),
            json!(shape.timesteps),
            "episode_length",
        ),
        ("hidden_size", json!(128), json!(shape.width), "width"),
        ("n_layer", json!(3), json!(shape.layers), "layers"),
        ("n_head", json!(1), json!(shape.heads), "heads"),
        (
            "activation_function",
            json!("relu"),
            json!(activation),
            "activation",
        ),
        ("scale_attn_weights", json!(true), json!(true), NOTHING),
        (
            "scale_attn_by_inverse_layer_idx",
            json!(false),
            json!(false),
            NOTHING,
        ),
        ("add_cross_attention", json!(false), json!(false), NOTHING),
    ]
}

fn state_dict_of(policy: &Sequence, content: &[u8]) -> Result<Vec<u8>, StateDictError> {
    let (shape, width) = (&policy.shape, policy.shape.width);
    let file = SafeTensors::deserialize(content)?;
    let mut positions = Vec::new();
    let mut entries = Vec::new();
    for (name, view) in file.iter() {
        if view.dtype() != safetensors::Dtype::F32 {
            // The masks of older versions; other unknown tensors are reported below.
            continue;
        }
        let values = state_dict::floats(view.data());
        if name == POSITIONS {
            positions = values;
            continue;
        }
        entries.push(Entry {
            name: name.to_owned(),
            dimensions: view.shape().to_vec(),
            values: Values::F32(values),
        });
    }
    let missing = || StateDictError::Missing(POSITIONS.to_owned());
    let added = positions.get(..width).ok_or_else(missing)?.to_vec();
    if shape.positions > 0 {
        // Rows beyond the first are not used, so the class's table may have more or fewer.
        positions.resize(shape.positions * width, 0.0);
        entries.push(table(positions, width));
    }
    let layout = Layout::new(shape);
    let theirs = state_dict::serialise(&entries, &[])?;
    let theirs = SafeTensors::deserialize(&theirs)?;
    let mut parameters = state_dict::room(layout.len(), &theirs)?;
    let naming = Naming::HuggingFace;
    let mut carried = state_dict::import(naming, shape, &layout, &theirs, &mut parameters)?;
    if let (0, Some(bias)) = (shape.positions, layout.range("embed.norm.bias")) {
        for (bias, added) in parameters[bias].iter_mut().zip(added) {
            *bias += added;
        }
    }
    let mut entries = state_dict::export(policy.naming, &layout, &parameters);
    if policy.naming == Naming::Official {
        for entry in &mut carried {
            if let Some(rest) = entry.name.strip_prefix(THEIRS) {
                entry.name = format!("{OFFICIAL}{rest}");
            }
        }
    }
    if matches!(policy.naming, Naming::Official | Naming::HuggingFace) {
        entries.extend(carried);
    }
    Ok(state_dict::serialise(&entries, &[])?)
}

fn weights_error(path: &Path, source: StateDictError) -> Error {
    Error::Weights {
        source,
        path: path.to_owned(),
    }
}
