//! Weights under the names of the published codes, in safetensors files.
//!
//! A PyTorch state dict of each code loads unchanged, and the files written here load there with
//! `strict=True`. In rtg, every matrix is `inputs x outputs`, inside one flat vector; PyTorch's
//! `Linear` stores `outputs x inputs`, kzl's `Conv1D` stores `inputs x outputs`.

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

pub use self::names::{GPT2_POSITIONS, Naming};
use self::names::{outer_name, peers};
use super::initialise::{fill_normal, fill_uniform, linear_bound};
use crate::random::Stream;
use rtg_kernels::decision_transformer::{Layout, MixerKind, Shape};
use rtg_kernels::lamb::Parameter;
use rtg_kernels::mlp;

mod names;

/// The tensors of a safetensors file.
pub type TensorFile<'a> = SafeTensors<'a>;

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

/// Weights that kzl's model, that of `transformers` and those after min-decision-transformer have
/// and never train: they are kept with the model so that its state dict is complete. The other
/// codes have none.
pub fn untrained(naming: Naming, shape: &Shape, stream: &mut Stream) -> Vec<Entry> {
    let words = match naming {
        Naming::Official => Some("transformer.wte.weight"),
        Naming::HuggingFace => Some("encoder.wte.weight"),
        Naming::MinDt => None,
        Naming::Corl | Naming::Convformer | Naming::Mamba | Naming::D3rlpy => return Vec::new(),
    };
    let width = shape.width;
    let mut entry = |name: &str, dimensions: Vec<usize>| {
        let mut values = vec![0.0; dimensions.iter().product()];
        if Some(name) == words {
            fill_normal(&mut values, 0.02, stream);
        } else if naming != Naming::HuggingFace {
            fill_uniform(&mut values, linear_bound(width), stream);
        } else if dimensions.len() > 1 {
            fill_normal(&mut values, 0.02, stream);
        }
        Entry {
            name: name.to_owned(),
            dimensions,
            values: Values::F32(values),
        }
    };
    let mut entries = Vec::new();
    entries.extend(words.map(|words| entry(words, vec![1, width])));
    // Where next observations or returns are predicted, those heads are trained.
    if shape.next_observation.is_none() || naming != Naming::MinDt {
        entries.push(entry(
            "predict_state.weight",
            vec![shape.observation, width],
        ));
        entries.push(entry("predict_state.bias", vec![shape.observation]));
    } else {
        // kristery/Elastic-DT has heads and embeddings of rewards, too.
        for (layer, dims) in [("embed_reward", [width, 1]), ("predict_reward", [1, width])] {
            entries.push(entry(&format!("{layer}.weight"), dims.to_vec()));
            entries.push(entry(&format!("{layer}.bias"), vec![dims[0]]));
        }
    }
    if shape.condition.prediction().is_none() {
        let name = outer_name(naming, "return_head");
        entries.push(entry(&format!("{name}.weight"), vec![1, width]));
        entries.push(entry(&format!("{name}.bias"), vec![1]));
    }
    entries
}

/// The masks that the peers register as buffers; the model does not need them, a strict
/// `load_state_dict` does. Only attention has masks.
pub fn buffers(naming: Naming, shape: &Shape) -> Vec<Entry> {
    const POSITIONS: usize = GPT2_POSITIONS;
    let tokens = shape.condition.stride() * shape.context;
    let triangle = |n: usize| (0..n * n).map(move |index| index % n <= index / n);
    let layers = match shape.mixer {
        MixerKind::Attention => shape.layers,
        MixerKind::Convolution | MixerKind::Scan | MixerKind::Linear | MixerKind::Lstm => 0,
    };
    (0..layers)
        .flat_map(|layer| match naming {
            Naming::Convformer | Naming::Mamba | Naming::HuggingFace => Vec::new(),
            Naming::D3rlpy | Naming::MinDt => {
                let hidden = shape.condition.hidden_tokens();
                let is_hidden = |token: usize| {
                    hidden.is_some_and(|(first, stride)| {
                        token >= first && (token - first).is_multiple_of(stride)
                    })
                };
                let seen = (triangle(tokens).enumerate())
                    .map(|(at, seen)| f32::from(u8::from(seen && !is_hidden(at % tokens))));
                vec![Entry {
                    name: match naming {
                        Naming::MinDt => format!("transformer.{layer}.attention.mask"),
                        _ => format!("_gpt2._transformer.{layer}._attention._mask"),
                    },
                    dimensions: vec![1, 1, tokens, tokens],
                    values: Values::F32(seen.collect()),
                }]
            }
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
                dimensions: vec![tokens; 2],
                values: Values::Bool(triangle(tokens).map(|seen| !seen).collect()),
            }],
        })
        .collect()
}

/// The trained weights under the published code's names.
pub fn export(naming: Naming, layout: &Layout, parameters: &[f32]) -> Vec<Entry> {
    (layout.views())
        .flat_map(|view| {
            let values = &parameters[view.range.clone()];
            peers(naming, layout.layers(), view)
                .into_iter()
                .map(move |peer| {
                    let dims = peer.dims(&view.dims);
                    let values = peer.cut(&view.dims, values);
                    Entry {
                        dimensions: peer.form.dimensions(&dims),
                        values: Values::F32(peer.form.export(&dims, &values)),
                        name: peer.name,
                    }
                })
        })
        .collect()
}

/// How the published code divides the parameters of a model into tensors.
pub fn tensors(naming: Naming, layout: &Layout) -> Vec<Parameter> {
    let layers = layout.layers();
    let views = layout.views();
    views
        .map(|view| names::tensors(naming, layers, view))
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
        for peer in peers(naming, layout.layers(), view) {
            let found = file
                .tensor(&peer.name)
                .map_err(|_| StateDictError::Missing(peer.name.clone()))?;
            let dims = peer.dims(&view.dims);
            let values = weight(&peer.name, &peer.form.dimensions(&dims), &found)?;
            let values = peer.form.import(&dims, values);
            peer.put(&view.dims, &values, &mut parameters[view.range.clone()]);
            known.push(peer.name);
        }
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
            || name.ends_with("._attention._mask")
            || name.ends_with(".attention.mask")
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
        Naming::Corl => format!("net.{}.{kind}", 2 * index),
        _ => format!("model.{}.{kind}", 3 * index),
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
