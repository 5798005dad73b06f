//! Weights under the names of the published codes, in safetensors files.
//!
//! A PyTorch state dict of each code loads unchanged, and the files written here load there with
//! `strict=True`. In rtg, every matrix is `inputs x outputs`, inside one flat vector; PyTorch's
//! `Linear` stores `outputs x inputs`, kzl's `Conv1D` stores `inputs x outputs`.

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::initialise::{fill_normal, fill_uniform, linear_bound};
use crate::kernels::decision_transformer::{Layout, MixerKind, Shape};
use crate::kernels::mlp;
use crate::random::Stream;

/// The tensors of a safetensors file.
pub type TensorFile<'a> = SafeTensors<'a>;

/// The code whose names are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// kzl/decision-transformer, `gym/decision_transformer/models/decision_transformer.py`.
    Official,
    /// corl-team/CORL, `algorithms/offline/dt.py`.
    Corl,
    /// beanie00/Decision-ConvFormer, `gym/models/decision_convformer.py`.
    Convformer,
    /// Toshihiro-Ota/decision-mamba, `gym/models/decision_mamba.py`.
    Mamba,
}

/// How a published code stores a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Unchanged.
    Same,
    /// A transposed matrix: outputs x inputs.
    Transposed,
    /// Taps x C as PyTorch's depthwise `Conv1d`: C x 1 x taps.
    Filter,
}

impl Form {
    /// The dimensions in the file.
    fn dimensions(self, dims: &[usize]) -> Vec<usize> {
        match (self, dims) {
            (Self::Transposed, &[rows, columns]) => vec![columns, rows],
            (Self::Filter, &[taps, channels]) => vec![channels, 1, taps],
            _ => dims.to_vec(),
        }
    }

    /// The values in the file.
    fn export(self, dims: &[usize], values: &[f32]) -> Vec<f32> {
        match (self, dims) {
            (Self::Same, _) => values.to_vec(),
            (_, &[rows, columns]) => transpose(values, rows, columns),
            _ => values.to_vec(),
        }
    }

    /// The values in the flat vector.
    fn import(self, dims: &[usize], values: Vec<f32>) -> Vec<f32> {
        match (self, dims) {
            (Self::Same, _) => values,
            (_, &[rows, columns]) => transpose(&values, columns, rows),
            _ => values,
        }
    }
}

/// A named tensor in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Name in the state dict.
    pub name: String,
    /// Dimensions.
    pub dimensions: Vec<usize>,
    /// Values.
    pub values: Values,
}

impl Entry {
    /// A tensor of one dimension.
    pub fn vector(name: &str, values: &[f32]) -> Self {
        Self {
            name: name.to_owned(),
            dimensions: vec![values.len()],
            values: Values::F32(values.to_vec()),
        }
    }
}

/// The element types of tensors in files.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Weights.
    F32(Vec<f32>),
    /// Numbers of a policy's pre- and postprocessing.
    F64(Vec<f64>),
    /// kzl's causal mask.
    U8(Vec<u8>),
    /// CORL's causal mask.
    Bool(Vec<bool>),
}

/// Why a weights file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StateDictError {
    /// Not a safetensors file.
    #[error("not a readable safetensors file: {0}")]
    Unreadable(#[from] safetensors::SafeTensorError),
    /// A weight of the model is missing.
    #[error("weight '{0}' is missing")]
    Missing(String),
    /// A weight's dimensions are not the model's.
    #[error("weight '{name}' has the dimensions {found:?}, the model needs {expected:?}")]
    Shape {
        /// The weight.
        name: String,
        /// Dimensions in the model.
        expected: Vec<usize>,
        /// Dimensions in the file.
        found: Vec<usize>,
    },
    /// A weight is not float32.
    #[error("weight '{name}' has the element type {found:?}, must be float32")]
    ElementType {
        /// The weight.
        name: String,
        /// Element type in the file.
        found: Dtype,
    },
    /// A weight contains NaN or infinity.
    #[error("weight '{0}' contains a number that is not finite")]
    NotFinite(String),
    /// The model has more weights than the file has numbers.
    #[error("the model has {expected} weights, the file only {found} numbers")]
    TooFew {
        /// Number of weights in the model.
        expected: usize,
        /// Number of values in the file.
        found: usize,
    },
    /// A tensor that the code of this naming does not have.
    #[error("tensor '{0}' is not part of the model")]
    Unknown(String),
}

/// The name of a parameter in a published code, and how it is stored there.
fn peer_name(naming: Naming, view: &str) -> (String, Form) {
    if let Some(named) = scan_name(naming, view) {
        return named;
    }
    if view == "log_sigma" {
        // A vector of parameters, not a layer.
        let name = peer_name(naming, "log_sigma.bias").0;
        return (name.trim_end_matches(".bias").to_owned(), Form::Same);
    }
    let (layer, kind) = view.rsplit_once('.').unwrap_or((view, "weight"));
    let block = layer
        .strip_prefix("block.")
        .and_then(|rest| rest.split_once('.'));
    let (name, form) = match (naming, block) {
        (_, Some((number, part))) if part.starts_with("convolution.") => {
            let name = convolution_name(naming, number, part);
            return (format!("{name}.{kind}"), Form::Filter);
        }
        (Naming::Official | Naming::Convformer | Naming::Mamba, Some((number, part))) => {
            let linear = naming != Naming::Official && part.starts_with("mlp.");
            let part = match part {
                "norm_1" if naming == Naming::Mamba => "norm_mamba",
                "mlp.up" if naming == Naming::Mamba => "mlp_channels.0",
                "mlp.down" if naming == Naming::Mamba => "mlp_channels.2",
                "norm_1" => "ln_1",
                "norm_2" => "ln_2",
                "attention.qkv" => "attn.c_attn",
                "attention.projection" => "attn.c_proj",
                "mlp.up" if linear => "mlp.0",
                "mlp.down" if linear => "mlp.2",
                "mlp.up" => "mlp.c_fc",
                _ => "mlp.c_proj",
            };
            let form = if linear { Form::Transposed } else { Form::Same };
            (format!("transformer.h.{number}.{part}"), form)
        }
        (Naming::Corl, Some((number, part))) => {
            let part = match part {
                "norm_1" => "norm1",
                "norm_2" => "norm2",
                // MultiheadAttention joins these two names with an underscore.
                "attention.qkv" => {
                    return (
                        format!("blocks.{number}.attention.in_proj_{kind}"),
                        Form::Transposed,
                    );
                }
                "attention.projection" => "attention.out_proj",
                "mlp.up" => "mlp.0",
                _ => "mlp.2",
            };
            (format!("blocks.{number}.{part}"), Form::Transposed)
        }
        (naming, None) => {
            let layer = if view == "embed.timestep" {
                view
            } else {
                layer
            };
            let (official, corl) = match layer {
                "embed.timestep" => ("embed_timestep", "timestep_emb"),
                "embed.return_to_go" => ("embed_return", "return_emb"),
                "embed.observation" => ("embed_state", "state_emb"),
                "embed.action" => ("embed_action", "action_emb"),
                "embed.norm" => ("embed_ln", "emb_norm"),
                "final_norm" => ("transformer.ln_f", "out_norm"),
                "condition" => ("condition", "condition"),
                "return_head" => ("predict_return", "return_head"),
                "mean" => ("predict_action.mu", "action_head.mu"),
                "log_sigma" => ("predict_action.log_std", "action_head.log_std"),
                _ => ("predict_action.0", "action_head.0"),
            };
            let name = if naming == Naming::Corl {
                corl
            } else {
                official
            };
            let form = if layer == "embed.timestep" {
                Form::Same
            } else {
                Form::Transposed
            };
            (name.to_owned(), form)
        }
    };
    let kind = if view == "embed.timestep" {
        "weight"
    } else {
        kind
    };
    (format!("{name}.{kind}"), form)
}

/// The convolution of a kind of token. CORL has none: it gets the other code's names, inside CORL's
/// blocks.
fn convolution_name(naming: Naming, number: &str, part: &str) -> String {
    let kind = match part {
        "convolution.return_to_go" => "rtg",
        "convolution.observation" => "obs",
        _ => "act",
    };
    format!("{}.{number}.conv.{kind}_conv1d", blocks(naming))
}

/// The name in `mamba_ssm` of a parameter of a scan, in the blocks of this naming.
fn scan_name(naming: Naming, view: &str) -> Option<(String, Form)> {
    let (number, part) = view.strip_prefix("block.")?.split_once(".scan.")?;
    let (part, form) = match part {
        "input.weight" => ("in_proj.weight", Form::Transposed),
        "filter.weight" => ("conv1d.weight", Form::Filter),
        "filter.bias" => ("conv1d.bias", Form::Same),
        "inputs.weight" => ("x_proj.weight", Form::Transposed),
        "step.weight" => ("dt_proj.weight", Form::Transposed),
        "step.bias" => ("dt_proj.bias", Form::Same),
        "log_decay" => ("A_log", Form::Transposed),
        "skip" => ("D", Form::Same),
        _ => ("out_proj.weight", Form::Transposed),
    };
    Some((format!("{}.{number}.mamba.{part}", blocks(naming)), form))
}

/// What comes before a block's number.
fn blocks(naming: Naming) -> &'static str {
    match naming {
        Naming::Corl => "blocks",
        Naming::Official | Naming::Convformer | Naming::Mamba => "transformer.h",
    }
}

/// Weights that kzl's model has and never trains: they are kept with the model so that its state
/// dict is complete. The other codes have none.
pub fn untrained(naming: Naming, shape: &Shape, stream: &mut Stream) -> Vec<Entry> {
    if naming != Naming::Official {
        return Vec::new();
    }
    let width = shape.width;
    let mut entry = |name: &str, dimensions: Vec<usize>| {
        let mut values = vec![0.0; dimensions.iter().product()];
        match name {
            "transformer.wte.weight" => fill_normal(&mut values, 0.02, stream),
            _ => fill_uniform(&mut values, linear_bound(width), stream),
        }
        Entry {
            name: name.to_owned(),
            dimensions,
            values: Values::F32(values),
        }
    };
    let mut entries = vec![
        entry("transformer.wte.weight", vec![1, width]),
        entry("predict_state.weight", vec![shape.observation, width]),
        entry("predict_state.bias", vec![shape.observation]),
    ];
    // Where returns are predicted, that head is trained.
    if shape.condition.expectile().is_none() {
        entries.push(entry("predict_return.weight", vec![1, width]));
        entries.push(entry("predict_return.bias", vec![1]));
    }
    entries
}

/// The masks that the peers register as buffers; the model does not need them, a strict
/// `load_state_dict` does. Only attention has masks.
pub fn buffers(naming: Naming, shape: &Shape) -> Vec<Entry> {
    /// kzl passes `n_positions` = 1024 to its GPT-2.
    const POSITIONS: usize = 1024;
    let triangle = |n: usize| (0..n * n).map(move |index| index % n <= index / n);
    let layers = match shape.mixer {
        MixerKind::Attention => shape.layers,
        MixerKind::Convolution | MixerKind::Scan => 0,
    };
    (0..layers)
        .flat_map(|layer| match naming {
            Naming::Convformer | Naming::Mamba => Vec::new(),
            Naming::Official => vec![
                Entry {
                    name: format!("transformer.h.{layer}.attn.bias"),
                    dimensions: vec![1, 1, POSITIONS, POSITIONS],
                    values: Values::U8(triangle(POSITIONS).map(u8::from).collect()),
                },
                Entry {
                    name: format!("transformer.h.{layer}.attn.masked_bias"),
                    dimensions: vec![],
                    values: Values::F32(vec![-1e4]),
                },
            ],
            Naming::Corl => vec![Entry {
                name: format!("blocks.{layer}.causal_mask"),
                dimensions: vec![shape.condition.stride() * shape.context; 2],
                values: Values::Bool(
                    triangle(shape.condition.stride() * shape.context)
                        .map(|seen| !seen)
                        .collect(),
                ),
            }],
        })
        .collect()
}

/// The trained weights under the published code's names.
pub fn export(naming: Naming, layout: &Layout, parameters: &[f32]) -> Vec<Entry> {
    (layout.views())
        .map(|view| {
            let (name, form) = peer_name(naming, &view.name);
            let values = &parameters[view.range.clone()];
            Entry {
                name,
                dimensions: form.dimensions(&view.dims),
                values: Values::F32(form.export(&view.dims, values)),
            }
        })
        .collect()
}

/// Allocates the weights of a model, unless the file is too small to contain them.
///
/// # Errors
/// [`StateDictError::TooFew`].
pub fn room(weights: usize, file: &TensorFile) -> Result<Vec<f32>, StateDictError> {
    let bytes: usize = file.iter().map(|(_, tensor)| tensor.data().len()).sum();
    if weights > bytes / size_of::<f32>() {
        return Err(StateDictError::TooFew {
            expected: weights,
            found: bytes / size_of::<f32>(),
        });
    }
    Ok(vec![0.0; weights])
}

/// Reads the trained weights into `parameters` and returns the untrained ones of the file. Names
/// that start with `rtg.` belong to a checkpoint and are ignored.
pub fn import(
    naming: Naming,
    shape: &Shape,
    layout: &Layout,
    file: &SafeTensors,
    parameters: &mut [f32],
) -> Result<Vec<Entry>, StateDictError> {
    let mut known = Vec::new();
    for view in layout.views() {
        let (name, form) = peer_name(naming, &view.name);
        let found = file
            .tensor(&name)
            .map_err(|_| StateDictError::Missing(name.clone()))?;
        let values = weight(&name, &form.dimensions(&view.dims), &found)?;
        let values = form.import(&view.dims, values);
        parameters[view.range.clone()].copy_from_slice(&values);
        known.push(name);
    }
    let mut carried = Vec::new();
    for mut entry in untrained(naming, shape, &mut Stream::new(0, "placeholder")) {
        if let Ok(found) = file.tensor(&entry.name) {
            entry.values = Values::F32(weight(&entry.name, &entry.dimensions, &found)?);
            known.push(entry.name.clone());
            carried.push(entry);
        }
    }
    let is_buffer = |name: &str| {
        name.ends_with(".attn.bias")
            || name.ends_with(".masked_bias")
            || name.ends_with(".causal_mask")
    };
    for name in file.names() {
        if !(known.iter().any(|known| known == name) || is_buffer(name) || name.starts_with("rtg."))
        {
            return Err(StateDictError::Unknown(name.to_owned()));
        }
    }
    Ok(carried)
}

/// The name of a perceptron's parameter `layer.I.KIND` in the published `nn.Sequential`, whose
/// modules between two linear layers are `ReLU` (CORL, `any_percent_bc.py`) or `ReLU` and dropout
/// (kzl, `mlp_bc.py`).
fn peer_layer(naming: Naming, view: &str) -> String {
    let mut parts = view.split('.').skip(1);
    let index = parts.next().and_then(|index| index.parse().ok());
    let index: usize = index.unwrap_or_default();
    let kind = parts.next().unwrap_or_default();
    match naming {
        Naming::Official | Naming::Convformer | Naming::Mamba => {
            format!("model.{}.{kind}", 3 * index)
        }
        Naming::Corl => format!("net.{}.{kind}", 2 * index),
    }
}

/// A perceptron's weights under the published code's names.
pub fn export_mlp(naming: Naming, layout: &mlp::Layout, parameters: &[f32]) -> Vec<Entry> {
    let views = layout.views().map(|view| {
        let name = peer_layer(naming, &view.name);
        linear_entry(name, &view.dims, &parameters[view.range.clone()])
    });
    views.collect()
}

/// Reads a perceptron's weights. Names that start with `rtg.` are ignored.
pub fn import_mlp(
    naming: Naming,
    layout: &mlp::Layout,
    file: &SafeTensors,
) -> Result<Vec<f32>, StateDictError> {
    let mut parameters = room(layout.len(), file)?;
    let mut known = Vec::new();
    for view in layout.views() {
        let name = peer_layer(naming, &view.name);
        let values = read_linear(&name, &view.dims, file)?;
        parameters[view.range.clone()].copy_from_slice(&values);
        known.push(name);
    }
    let unknown = |name: &&str| !(name.starts_with("rtg.") || known.iter().any(|k| k == name));
    match file.names().into_iter().find(unknown) {
        Some(name) => Err(StateDictError::Unknown(name.to_owned())),
        None => Ok(parameters),
    }
}

/// A weight (inputs x outputs) or a bias as PyTorch's `Linear` stores it: outputs x inputs.
pub fn linear_entry(name: String, dims: &[usize], values: &[f32]) -> Entry {
    let (dimensions, values) = match *dims {
        [rows, columns] => (vec![columns, rows], transpose(values, rows, columns)),
        _ => (dims.to_vec(), values.to_vec()),
    };
    Entry {
        name,
        dimensions,
        values: Values::F32(values),
    }
}

/// The inverse of [`linear_entry`]: a weight (inputs x outputs) or a bias, finite.
///
/// # Errors
/// The tensor is missing, or has other dimensions or another type.
pub fn read_linear(
    name: &str,
    dims: &[usize],
    file: &TensorFile,
) -> Result<Vec<f32>, StateDictError> {
    let found = file
        .tensor(name)
        .map_err(|_| StateDictError::Missing(name.to_owned()))?;
    let expected: Vec<usize> = dims.iter().rev().copied().collect();
    let values = weight(name, &expected, &found)?;
    Ok(match *dims {
        [rows, columns] => transpose(&values, columns, rows),
        _ => values,
    })
}

/// A finite float32 tensor of the expected dimensions.
fn weight(name: &str, expected: &[usize], found: &TensorView) -> Result<Vec<f32>, StateDictError> {
    if found.dtype() != Dtype::F32 {
        return Err(StateDictError::ElementType {
            name: name.to_owned(),
            found: found.dtype(),
        });
    }
    if found.shape() != expected {
        return Err(StateDictError::Shape {
            name: name.to_owned(),
            expected: expected.to_vec(),
            found: found.shape().to_vec(),
        });
    }
    let values = floats(found.data());
    if values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err(StateDictError::NotFinite(name.to_owned()))
    }
}

/// Little-endian float32 numbers.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&chunk| f32::from_le_bytes(chunk))
        .collect()
}

/// The bytes of a safetensors file with these tensors and this text metadata.
pub fn serialise(
    entries: &[Entry],
    metadata: &[(String, String)],
) -> Result<Vec<u8>, safetensors::SafeTensorError> {
    let bytes: Vec<(Dtype, Vec<u8>)> = (entries.iter())
        .map(|entry| match &entry.values {
            Values::F32(values) => (
                Dtype::F32,
                values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect(),
            ),
            Values::F64(values) => (
                Dtype::F64,
                values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect(),
            ),
            Values::U8(values) => (Dtype::U8, values.clone()),
            Values::Bool(values) => (
                Dtype::BOOL,
                values.iter().map(|&value| u8::from(value)).collect(),
            ),
        })
        .collect();
    let views = (entries.iter().zip(&bytes))
        .map(|(entry, (dtype, bytes))| {
            TensorView::new(*dtype, entry.dimensions.clone(), bytes).map(|view| (&entry.name, view))
        })
        .collect::<Result<Vec<_>, _>>()?;
    safetensors::serialize(views, Some(metadata.iter().cloned().collect()))
}

/// The transpose of a row-major matrix of `rows` x `columns`.
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns)
        .flat_map(|column| (0..rows).map(move |row| values[row * columns + column]))
        .collect()
}

#[cfg(test)]
mod tests;
