//! The names of parameters in the published codes, and how they are stored there.

use std::ops::Range;

use super::transpose;
use rtg_kernels::View;
use rtg_kernels::lamb::Parameter;

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
    /// huggingface/transformers, `modeling_decision_transformer.py`.
    HuggingFace,
    /// takuseno/d3rlpy, `models/torch/transformers.py`.
    D3rlpy,
    /// nikhilbarhate99/min-decision-transformer, `decision_transformer/model.py`, whose blocks have
    /// post-norm, and codes that are built on it: Dragon-Zhuang/Reinformer, `model/reinformer.py`.
    MinDt,
}

/// Rows of GPT-2's table of positions and of its causal mask: the default of `n_positions` in
/// `transformers`, which kzl uses too.
pub const GPT2_POSITIONS: usize = 1024;

/// How a published code stores a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Unchanged.
    Same,
    /// A transposed matrix: outputs x inputs.
    Transposed,
    /// Taps x C as PyTorch's depthwise `Conv1d`: C x 1 x taps.
    Filter,
}

impl Form {
    /// The dimensions in the file.
    pub(super) fn dimensions(self, dims: &[usize]) -> Vec<usize> {
        match (self, dims) {
            (Self::Transposed, &[rows, columns]) => vec![columns, rows],
            (Self::Filter, &[taps, channels]) => vec![channels, 1, taps],
            _ => dims.to_vec(),
        }
    }

    /// The values in the file.
    pub(super) fn export(self, dims: &[usize], values: &[f32]) -> Vec<f32> {
        match (self, dims) {
            (Self::Same, _) => values.to_vec(),
            (_, &[rows, columns]) => transpose(values, rows, columns),
            _ => values.to_vec(),
        }
    }

    /// The values in the flat vector.
    pub(super) fn import(self, dims: &[usize], values: Vec<f32>) -> Vec<f32> {
        match (self, dims) {
            (Self::Same, _) => values,
            (_, &[rows, columns]) => transpose(&values, columns, rows),
            _ => values,
        }
    }
}

/// A tensor of a published code.
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) form: Form,
    part: Part,
}

/// What a tensor holds of a parameter.
enum Part {
    Whole,
    Columns(Range<usize>),
    /// A second term: the parameter is the sum of two tensors. Written as zeros.
    Term,
}

impl Peer {
    /// The dimensions of this part of a parameter.
    pub(super) fn dims(&self, of: &[usize]) -> Vec<usize> {
        let mut dims = of.to_vec();
        if let (Part::Columns(columns), Some(last)) = (&self.part, dims.last_mut()) {
            *last = columns.len();
        }
        dims
    }

    /// This part of a parameter's values.
    pub(super) fn cut(&self, dims: &[usize], values: &[f32]) -> Vec<f32> {
        let columns = match &self.part {
            Part::Whole => return values.to_vec(),
            Part::Term => return vec![0.0; values.len()],
            Part::Columns(columns) => columns,
        };
        let rows = values.chunks(dims[dims.len() - 1]);
        rows.flat_map(|row| &row[columns.clone()])
            .copied()
            .collect()
    }

    /// Writes this part into a parameter's values.
    pub(super) fn put(&self, dims: &[usize], values: &[f32], to: &mut [f32]) {
        let columns = match &self.part {
            Part::Whole => return to.copy_from_slice(values),
            Part::Term => return to.iter_mut().zip(values).for_each(|(to, x)| *to += x),
            Part::Columns(columns) => columns,
        };
        let rows = to.chunks_mut(dims[dims.len() - 1]);
        for (row, values) in rows.zip(values.chunks(columns.len())) {
            row[columns.clone()].copy_from_slice(values);
        }
    }
}

/// The tensors of a published code that a parameter is stored in: one, except for the matrix of
/// queries, keys and values where there is a layer for each, two heads of returns-to-go, and the
/// bias of an LSTM, which in PyTorch is the sum of two. The model has `layers` blocks.
pub(super) fn peers(naming: Naming, layers: usize, view: &View) -> Vec<Peer> {
    if let Some(tensors) = lstm_peers(naming, &view.name) {
        return tensors;
    }
    let (layer, kind) = view.name.rsplit_once('.').unwrap_or((&view.name, ""));
    let separate = match naming {
        Naming::D3rlpy => Some(["_attention._q", "_attention._k", "_attention._v"]),
        Naming::MinDt => Some(["attention.q_net", "attention.k_net", "attention.v_net"]),
        _ => None,
    };
    if let (Some(block), Some(names)) = (layer.strip_suffix(".attention.qkv"), separate) {
        let number = block.trim_start_matches("block.");
        let width = view.dims[view.dims.len() - 1] / 3;
        let part = |(at, name): (usize, &str)| Peer {
            name: format!("{}.{number}.{name}.{kind}", blocks(naming)),
            form: Form::Transposed,
            part: Part::Columns(at * width..(at + 1) * width),
        };
        return names.into_iter().enumerate().map(part).collect();
    }
    if layer == "return_heads" {
        let bins = view.dims[view.dims.len() - 1] - 1;
        let part = |(layer, columns)| Peer {
            name: format!("{}.{kind}", outer_name(naming, layer)),
            form: Form::Transposed,
            part: Part::Columns(columns),
        };
        let parts = [("return_head", 0..bins), ("estimate", bins..bins + 1)];
        return parts.into_iter().map(part).collect();
    }
    let (name, form) = match behind_sum(layers, layer) {
        Some(norm) if naming == Naming::MinDt => (format!("{norm}.{kind}"), Form::Same),
        _ => peer_name(naming, &view.name),
    };
    vec![Peer {
        name,
        form,
        part: Part::Whole,
    }]
}

/// The tensors that a parameter is in this published code, for an optimiser that treats tensors
/// separately.
pub(super) fn tensors(naming: Naming, layers: usize, view: &View) -> Parameter {
    let peers = peers(naming, layers, view);
    let columns = view.dims.last().copied().unwrap_or(1);
    let width = match peers.first().map(|peer| &peer.part) {
        Some(Part::Columns(first)) => first.len(),
        _ => columns,
    };
    Parameter {
        len: view.range.len(),
        columns,
        width,
    }
}

/// The name of a norm where it belongs to the sum before it: a block's first norm to the block
/// before, the last norm to the last block.
fn behind_sum(layers: usize, layer: &str) -> Option<String> {
    let block = layer
        .strip_prefix("block.")
        .and_then(|rest| rest.split_once('.'));
    let (block, name) = match block {
        Some((number, "norm_2")) => (number.parse().ok()?, "ln1"),
        Some((number, "norm_1")) => (number.parse::<usize>().ok()?.checked_sub(1)?, "ln2"),
        None if layer == "final_norm" => (layers.checked_sub(1)?, "ln2"),
        _ => return None,
    };
    Some(format!("{}.{block}.{name}", blocks(Naming::MinDt)))
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
    // Tables have no bias, and are stored as they are.
    let is_table = view == "embed.timestep" || view == "embed.position";
    let (layer, kind) = match view.rsplit_once('.') {
        Some(parts) if !is_table => parts,
        _ => (view, "weight"),
    };
    let block = layer
        .strip_prefix("block.")
        .and_then(|rest| rest.split_once('.'));
    let Some((number, part)) = block else {
        let form = if is_table {
            Form::Same
        } else {
            Form::Transposed
        };
        return (format!("{}.{kind}", outer_name(naming, layer)), form);
    };
    if part.starts_with("convolution.") {
        let name = convolution_name(naming, number, part);
        return (format!("{name}.{kind}"), Form::Filter);
    }
    // MultiheadAttention joins these two names with an underscore.
    if naming == Naming::Corl && part == "attention.qkv" {
        let name = format!("blocks.{number}.attention.in_proj_{kind}");
        return (name, Form::Transposed);
    }
    let (part, form) = block_name(naming, part);
    (format!("{}.{number}.{part}.{kind}", blocks(naming)), form)
}

/// The name of a layer in a block.
fn block_name(naming: Naming, part: &str) -> (&'static str, Form) {
    let name = match naming {
        Naming::Official | Naming::HuggingFace => match part {
            "norm_1" => "ln_1",
            "norm_2" => "ln_2",
            "attention.qkv" => "attn.c_attn",
            "attention.projection" => "attn.c_proj",
            "mlp.up" => "mlp.c_fc",
            _ => "mlp.c_proj",
        },
        Naming::Convformer | Naming::Mamba => match part {
            "norm_1" if naming == Naming::Mamba => "norm_mamba",
            "mlp.up" if naming == Naming::Mamba => "mlp_channels.0",
            "mlp.down" if naming == Naming::Mamba => "mlp_channels.2",
            "norm_1" => "ln_1",
            "norm_2" => "ln_2",
            "mlp.up" => "mlp.0",
            "mlp.down" => "mlp.2",
            // These codes have no attention; it is stored as in the official one.
            "attention.qkv" => return ("attn.c_attn", Form::Same),
            _ => return ("attn.c_proj", Form::Same),
        },
        Naming::Corl => match part {
            "norm_1" => "norm1",
            "norm_2" => "norm2",
            "attention.projection" => "attention.out_proj",
            "mlp.up" => "mlp.0",
            _ => "mlp.2",
        },
        Naming::D3rlpy => match part {
            "norm_1" => "_layer_norm1",
            "norm_2" => "_layer_norm2",
            "attention.projection" => "_attention._proj",
            "mlp.up" => "_mlp._l1",
            _ => "_mlp._l2",
        },
        // The norms have other places there; a first one is that of no source.
        Naming::MinDt => match part {
            "norm_1" => "ln0",
            "attention.projection" => "attention.proj_net",
            "mlp.up" => "mlp.0",
            _ => "mlp.2",
        },
    };
    let form = match naming {
        Naming::Official | Naming::HuggingFace => Form::Same,
        Naming::Corl | Naming::Convformer | Naming::Mamba | Naming::D3rlpy | Naming::MinDt => {
            Form::Transposed
        }
    };
    (name, form)
}

/// The name of a layer outside the blocks.
pub(super) fn outer_name(naming: Naming, layer: &str) -> &'static str {
    let names = match layer {
        "embed.timestep" => [
            "embed_timestep",
            "timestep_emb",
            "_position_encoding._embed",
        ],
        "embed.position" if naming == Naming::HuggingFace => return "encoder.wpe",
        "embed.position" => ["transformer.wpe", "wpe", "_gpt2._wpe"],
        "embed.return_to_go" if naming == Naming::MinDt => return "embed_rtg",
        "embed.return_to_go" => ["embed_return", "return_emb", "_rtg_embed"],
        "embed.observation" => ["embed_state", "state_emb", "_encoder._layers.0"],
        "embed.action" => ["embed_action", "action_emb", "_action_embed"],
        "embed.norm" => ["embed_ln", "emb_norm", "_embed_ln"],
        "final_norm" if naming == Naming::HuggingFace => return "encoder.ln_f",
        "final_norm" => ["transformer.ln_f", "out_norm", "_gpt2._layer_norm"],
        "condition" => ["condition", "condition", "_condition"],
        "return_head" if naming == Naming::MinDt => return "predict_rtg",
        "return_head" => ["predict_return", "return_head", "_return_output"],
        "estimate" if naming == Naming::MinDt => return "predict_rtg2",
        "estimate" => ["predict_estimate", "estimate_head", "_estimate_output"],
        "next_observation" if naming == Naming::MinDt => return "predict_state",
        "next_observation" => [
            "predict_next_state",
            "next_state_head",
            "_next_state_output",
        ],
        "mean" => ["predict_action.mu", "action_head.mu", "_output.mu"],
        "log_sigma" => [
            "predict_action.log_std",
            "action_head.log_std",
            "_output.log_std",
        ],
        _ => ["predict_action.0", "action_head.0", "_output"],
    };
    match naming {
        Naming::Corl => names[1],
        Naming::D3rlpy => names[2],
        Naming::Official
        | Naming::Convformer
        | Naming::Mamba
        | Naming::HuggingFace
        | Naming::MinDt => names[0],
    }
}

/// The convolution of a kind of token. Codes without one get the names of the code that has it,
/// inside their blocks.
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

/// The tensors of `nn.LSTM` that a parameter of an LSTM is stored in, in the blocks of this naming.
/// PyTorch has two biases, of which only the sum has an effect. Written are that and zeros.
fn lstm_peers(naming: Naming, view: &str) -> Option<Vec<Peer>> {
    let (number, part) = view.strip_prefix("block.")?.split_once(".lstm.")?;
    let tensors = match part {
        "input.weight" => vec![("weight_ih_l0", Form::Transposed, Part::Whole)],
        "hidden.weight" => vec![("weight_hh_l0", Form::Transposed, Part::Whole)],
        _ => vec![
            ("bias_ih_l0", Form::Same, Part::Whole),
            ("bias_hh_l0", Form::Same, Part::Term),
        ],
    };
    let peer = |(name, form, part)| Peer {
        name: format!("{}.{number}.lstm.{name}", blocks(naming)),
        form,
        part,
    };
    Some(tensors.into_iter().map(peer).collect())
}

/// What comes before a block's number.
fn blocks(naming: Naming) -> &'static str {
    match naming {
        Naming::Corl => "blocks",
        Naming::Official | Naming::Convformer | Naming::Mamba => "transformer.h",
        Naming::HuggingFace => "encoder.h",
        Naming::D3rlpy => "_gpt2._transformer",
        Naming::MinDt => "transformer",
    }
}
