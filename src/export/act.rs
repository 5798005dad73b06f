//! The crate `rtg-act`: the whole policy in one safetensors file, which [`rtg_act::format`]
//! describes.

use std::fmt::{Display, Write as _};

use rtg_act::Policy;
use rtg_act::format::{CHECKSUM, ENTRY, VERSION, checksum};

use super::Error;
use crate::algorithms::{ActionCodec, Computation, Perceptron, Rule, Sequence};
use crate::nn::state_dict::{Entry, Values, serialise};
use rtg_kernels::decision_transformer::{self, Condition, MixerKind, NormPlacement};
use rtg_kernels::layer_norm::EPSILON;
use rtg_kernels::mlp::{self, Place};
use rtg_kernels::{Activation, Head, View};

const WHAT: &str = "exported for rtg-act";

/// The file of a policy. `notes` are keys and values about it, `targets` the target returns of its
/// run.
///
/// # Errors
/// [`Error::Unsupported`]: a policy that needs more memory than the crate allows, a selective scan,
/// linear attention, an LSTM, a predicted return-to-go, a target that is an advantage.
pub fn policy(
    computation: &Computation,
    notes: &[(&str, String)],
    targets: &[f64],
) -> Result<Vec<u8>, Error> {
    let unsupported = |reason: String| Error::Unsupported { what: WHAT, reason };
    let mut parts = Parts::default();
    parts.line("version", VERSION);
    for (key, value) in notes {
        parts.line(key, value.replace(['\n', '\r'], " "));
    }
    match computation {
        Computation::Perceptron(of) => parts.perceptron(of),
        Computation::Sequence(of) if of.constant_target => {
            let reason = "rtg-act subtracts rewards from the target, which here is an advantage";
            return Err(unsupported(reason.to_owned()));
        }
        Computation::Sequence(of) => {
            let names = names(of).ok_or_else(|| {
                let reason = "rtg-act has none of the mixers scan, linear and lstm, no condition = \
                              \"predicted\" and no norm_placement = \"post\"";
                unsupported(reason.to_owned())
            })?;
            parts.sequence(&of.merged(), names);
        }
    }
    parts.vector("targets", targets);
    let Parts { mut text, entries } = parts;
    let serialised = |text: String| {
        let metadata = [(ENTRY.to_owned(), text)];
        serialise(&entries, &metadata).map_err(|error| unsupported(error.to_string()))
    };
    // The tensors' bytes do not depend on the text.
    let draft = serialised(text.clone())?;
    let crc = checksum(&[text.as_bytes(), data(&draft)]);
    let _ = writeln!(text, "{CHECKSUM} = {crc:08x}");
    let bytes = serialised(text)?;
    Policy::load(&bytes).map_err(|error| unsupported(error.to_string()))?;
    Ok(bytes)
}

/// The names of condition and mixer, if rtg-act has them.
fn names(policy: &Sequence) -> Option<[&'static str; 2]> {
    if policy.shape.norm_placement != NormPlacement::Pre {
        return None;
    }
    let condition = match policy.shape.condition {
        Condition::Token => "token",
        Condition::Adaln => "adaln",
        Condition::Nullable | Condition::Predicted { .. } => return None,
    };
    let mixer = match policy.shape.mixer {
        MixerKind::Attention => "attention",
        MixerKind::Convolution => "convolution",
        MixerKind::Scan | MixerKind::Linear | MixerKind::Lstm => return None,
    };
    Some([condition, mixer])
}

/// What follows the header.
fn data(file: &[u8]) -> &[u8] {
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return &[];
    };
    rest.get(u64::from_le_bytes(*length) as usize..)
        .unwrap_or_default()
}

/// A file in the making.
#[derive(Default)]
struct Parts {
    text: String,
    entries: Vec<Entry>,
}

impl Parts {
    fn line(&mut self, key: &str, value: impl Display) {
        // Writing into a text cannot fail.
        let _ = writeln!(self.text, "{key} = {value}");
    }

    fn vector(&mut self, name: &str, values: &[f64]) {
        if !values.is_empty() {
            self.entries.push(Entry {
                name: name.to_owned(),
                dimensions: vec![values.len()],
                values: Values::F64(values.to_vec()),
            });
        }
    }

    fn scalar(&mut self, name: &str, value: impl Into<f64>) {
        self.vector(name, &[value.into()]);
    }

    fn weight(&mut self, name: &str, view: &View, parameters: &[f32]) {
        self.entries.push(Entry {
            name: name.to_owned(),
            dimensions: view.dims.clone(),
            values: Values::F32(parameters[view.range.clone()].to_vec()),
        });
    }

    /// What both kinds of policies have.
    fn ends(&mut self, observation: usize, actions: &ActionCodec) {
        self.line("observation", observation);
        self.line("action", actions.width());
        match actions {
            ActionCodec::Discrete { start, .. } => {
                self.line("actions", "discrete");
                self.line("first_action", start);
            }
            ActionCodec::Continuous { offset, scale, .. } => {
                self.line("actions", "continuous");
                self.vector("action.offset", offset);
                self.vector("action.scale", scale);
            }
        }
    }

    fn perceptron(&mut self, policy: &Perceptron) {
        self.line("policy", "perceptron");
        self.ends(policy.observation, &policy.actions);
        let activation = match policy.shape.activation {
            mlp::Activation::Relu => "relu",
            mlp::Activation::Tanh => "tanh",
            mlp::Activation::Gelu => "gelu",
        };
        self.line("activation", activation);
        let norm = policy.shape.norm.map(|norm| {
            self.scalar("norm.epsilon", norm.epsilon);
            norm.place
        });
        let norm = match norm {
            None => "none",
            Some(Place::BeforeActivation) => "before",
            Some(Place::AfterActivation) => "after",
        };
        self.line("norm", norm);
        self.rule(policy.rule);
        if let Some(normaliser) = &policy.normaliser {
            self.vector("normaliser.mean", &normaliser.mean);
            self.vector("normaliser.std", &normaliser.std);
        }
        if let Some([low, high]) = &policy.bounds {
            self.vector("action.low", low);
            self.vector("action.high", high);
        }
        if let Some(divisor) = policy.target_divisor {
            self.scalar("target_divisor", divisor);
        }
        let layout = mlp::Layout::new(&policy.shape);
        for view in layout.views() {
            self.weight(&view.name, view, &policy.parameters);
        }
    }

    fn rule(&mut self, rule: Rule) {
        match rule {
            Rule::Outputs => self.line("rule", "outputs"),
            Rule::Tanh { scale } => {
                self.line("rule", "tanh");
                self.scalar("largest_action", scale);
            }
            Rule::Values { quantiles, dueling } => {
                self.line("rule", "values");
                self.line("quantiles", quantiles);
                self.line("dueling", if dueling { "yes" } else { "no" });
            }
            Rule::Constrained {
                threshold,
                ruled_out,
            } => {
                self.line("rule", "constrained");
                self.scalar("threshold", threshold);
                self.scalar("ruled_out", ruled_out);
            }
        }
    }

    fn sequence(&mut self, policy: &Sequence, [condition, mixer]: [&str; 2]) {
        let shape = &policy.shape;
        self.line("policy", "sequence");
        self.ends(shape.observation, &policy.actions);
        let activation = match shape.activation {
            Activation::Relu => "relu",
            Activation::Gelu => "gelu",
        };
        self.line("activation", activation);
        self.line("context", shape.context);
        self.line("layers", shape.layers);
        self.line("heads", shape.heads);
        self.line("episode_length", policy.episode_length.max(1));
        self.line("condition", condition);
        self.line("mixer", mixer);
        match shape.head {
            Head::Logits => self.line("head", "logits"),
            Head::Tanh { scale } => {
                self.line("head", "tanh");
                self.scalar("largest_action", scale);
            }
        }
        self.scalar("return_scale", policy.return_scale);
        self.vector("normaliser.mean", &policy.normaliser.mean);
        self.vector("normaliser.std", &policy.normaliser.std);
        if shape.norm_epsilon.to_bits() != EPSILON.to_bits() {
            self.scalar("norm.epsilon", shape.norm_epsilon);
        }
        let layout = decision_transformer::Layout::new(shape);
        for view in layout.views() {
            self.weight(&view.name, view, &policy.parameters);
        }
    }
}
