//! A small network that sees the last observations.

use alloc::format;
use alloc::vec::Vec;

use super::{Activation, Sizes};
use crate::error::Error;
use crate::functions::{exp, tanh};
use crate::product::{Linear, Scratch};
use crate::reader::{Memory, Pair, Reader, invalid};

/// A small network, or two of the same sizes.
pub(crate) struct Perceptron {
    /// The layers of each network.
    members: Vec<Vec<Layer>>,
    activation: Activation,
    norm: Option<Norm>,
    rule: Rule,
    /// A.
    actions: usize,
    /// S.
    width: usize,
    /// The target is divided by this and is one more input.
    target_divisor: Option<f64>,
    /// All inputs: the last observations, the newest last, and the target.
    seen: Vec<f32>,
    /// The outputs of two layers in turn.
    hidden: [Vec<f32>; 2],
    /// Of each member.
    outputs: Vec<f32>,
    chosen: Vec<f32>,
    scratch: Scratch,
}

struct Layer {
    linear: Linear,
    norm: Option<Pair>,
}

/// Where a hidden layer has its norm.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    BeforeActivation,
    AfterActivation,
}

#[derive(Clone, Copy)]
struct Norm {
    order: Order,
    epsilon: f32,
}

/// From outputs to A numbers.
enum Rule {
    Outputs,
    Tanh { scale: f32 },
    Values { quantiles: usize },
    Dueling,
    Constrained { threshold: f64, ruled_out: f32 },
}

impl Rule {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let rules = ["outputs", "tanh", "values", "constrained"].map(|name| (name, name));
        Ok(match reader.choice("rule", &rules)? {
            "outputs" => Self::Outputs,
            "tanh" => Self::Tanh {
                scale: reader.scalar("largest_action")? as f32,
            },
            "values" if reader.choice("dueling", &[("yes", true), ("no", false)])? => Self::Dueling,
            "values" => Self::Values {
                quantiles: reader.size("quantiles")?,
            },
            _ => Self::Constrained {
                threshold: reader.scalar("threshold")?,
                ruled_out: reader.scalar("ruled_out")? as f32,
            },
        })
    }

    /// The least outputs that A numbers are made of.
    fn outputs(&self, actions: usize) -> Option<usize> {
        match self {
            Self::Outputs | Self::Tanh { .. } | Self::Constrained { .. } => Some(actions),
            Self::Values { quantiles } => actions.checked_mul(*quantiles),
            Self::Dueling => actions.checked_add(1),
        }
    }
}

impl Perceptron {
    pub(super) fn read(
        reader: &mut Reader<'_>,
        sizes: Sizes,
        memory: &mut Memory,
    ) -> Result<Self, Error> {
        let activations = [
            ("relu", Activation::Relu),
            ("tanh", Activation::Tanh),
            ("gelu", Activation::Gelu),
        ];
        let orders = [
            ("none", None),
            ("before", Some(Order::BeforeActivation)),
            ("after", Some(Order::AfterActivation)),
        ];
        let activation = reader.choice("activation", &activations)?;
        let norm = match reader.choice("norm", &orders)? {
            None => None,
            Some(order) => Some(Norm {
                order,
                epsilon: reader.scalar("norm.epsilon")? as f32,
            }),
        };
        let rule = Rule::read(reader)?;
        let members = match rule {
            Rule::Constrained { .. } => {
                let has_norm = norm.is_some();
                let first = layers(reader, "member.0.", has_norm)?;
                Vec::from([first, layers(reader, "member.1.", has_norm)?])
            }
            _ => Vec::from([layers(reader, "", norm.is_some())?]),
        };
        let target_divisor = if reader.has("target_divisor") {
            Some(reader.scalar("target_divisor")?)
        } else {
            None
        };
        let widths = |of: fn(&Layer) -> usize| {
            let layers = members.iter().flatten();
            layers.map(of).max().unwrap_or_default()
        };
        let ends = |layers: &Vec<Layer>| {
            let linear = |layer: Option<&Layer>| layer.map(|layer| layer.linear);
            Some((
                linear(layers.first())?.inputs,
                linear(layers.last())?.outputs,
            ))
        };
        let (inputs, outputs) = ends(&members[0]).ok_or_else(|| invalid("layer.0"))?;
        // A tanh may leave outputs beside: those of a distribution's width.
        let is_enough = match rule {
            Rule::Tanh { .. } => outputs >= sizes.action,
            _ => rule.outputs(sizes.action) == Some(outputs),
        };
        let observations = inputs - usize::from(target_divisor.is_some());
        let are_whole = observations > 0 && observations.is_multiple_of(sizes.observation);
        let are_same = members
            .iter()
            .all(|layers| ends(layers) == Some((inputs, outputs)));
        if !(is_enough && are_whole && are_same) {
            return Err(invalid("layer.0"));
        }
        let widest = widths(|layer| layer.linear.outputs);
        let deepest = widths(|layer| layer.linear.inputs);
        Ok(Self {
            activation,
            norm,
            rule,
            actions: sizes.action,
            width: sizes.observation,
            target_divisor,
            seen: memory.zeros(&[inputs])?,
            hidden: [memory.zeros(&[widest])?, memory.zeros(&[widest])?],
            outputs: memory.zeros(&[members.len(), outputs])?,
            chosen: memory.zeros(&[sizes.action])?,
            scratch: Scratch::new(memory, 1, deepest)?,
            members,
        })
    }

    pub(super) fn takes_target(&self) -> bool {
        self.target_divisor.is_some()
    }

    pub(super) fn begin(&mut self, target: f64) {
        self.seen.fill(0.0);
        if let (Some(divisor), Some(last)) = (self.target_divisor, self.seen.last_mut()) {
            *last = (target / divisor) as f32;
        }
    }

    pub(super) fn act(&mut self, bytes: &[u8], observation: &[f32]) -> &[f32] {
        let observations = self.seen.len() - usize::from(self.takes_target());
        let seen = &mut self.seen[..observations];
        seen.rotate_left(self.width);
        seen[observations - self.width..].copy_from_slice(observation);
        let each = self.outputs.len() / self.members.len();
        for (member, outputs) in self.outputs.chunks_exact_mut(each).enumerate() {
            let mut inputs = &*self.seen;
            let [hidden, next] = &mut self.hidden;
            let (mut hidden, mut next) = (hidden, next);
            let Some((last, layers)) = self.members[member].split_last() else {
                continue;
            };
            for Layer { linear, norm } in layers {
                let width = linear.outputs;
                linear.forward(bytes, inputs, &mut self.scratch, &mut hidden[..width]);
                let pair = self.norm.zip(*norm);
                if let Some((Norm { order, epsilon }, pair)) = pair
                    && order == Order::BeforeActivation
                {
                    pair.norm(bytes, epsilon, &hidden[..width], &mut next[..width]);
                    core::mem::swap(&mut hidden, &mut next);
                }
                self.activation.apply(&mut hidden[..width]);
                if let Some((Norm { order, epsilon }, pair)) = pair
                    && order == Order::AfterActivation
                {
                    pair.norm(bytes, epsilon, &hidden[..width], &mut next[..width]);
                    core::mem::swap(&mut hidden, &mut next);
                }
                (hidden, next) = (next, hidden);
                inputs = &next[..width];
            }
            last.linear
                .forward(bytes, inputs, &mut self.scratch, outputs);
        }
        self.choose();
        &self.chosen
    }

    /// `chosen` from `outputs`.
    fn choose(&mut self) {
        let (chosen, outputs) = (&mut self.chosen, &self.outputs);
        match self.rule {
            Rule::Tanh { scale } => {
                for (to, output) in chosen.iter_mut().zip(outputs) {
                    *to = scale * tanh(*output);
                }
            }
            Rule::Outputs | Rule::Values { quantiles: 1 } => chosen.copy_from_slice(outputs),
            Rule::Values { quantiles } => {
                for (to, outputs) in chosen.iter_mut().zip(outputs.chunks_exact(quantiles)) {
                    let sum: f64 = outputs.iter().map(|output| f64::from(*output)).sum();
                    *to = (sum / quantiles as f64) as f32;
                }
            }
            Rule::Dueling => {
                let (advantages, value) = outputs.split_at(self.actions);
                let mean = advantages.iter().sum::<f32>() / self.actions as f32;
                for (to, advantage) in chosen.iter_mut().zip(advantages) {
                    *to = value[0] + advantage - mean;
                }
            }
            Rule::Constrained {
                threshold,
                ruled_out,
            } => {
                let (values, logits) = outputs.split_at(self.actions);
                let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                for (to, (value, logit)) in chosen.iter_mut().zip(values.iter().zip(logits)) {
                    let is_allowed = f64::from(exp(logit - largest)) > threshold;
                    *to = if is_allowed { *value } else { ruled_out };
                }
            }
        }
    }
}

/// The layers of one network; each has the inputs that the one before has outputs.
fn layers(reader: &mut Reader<'_>, member: &str, has_norm: bool) -> Result<Vec<Layer>, Error> {
    let mut layers: Vec<Layer> = Vec::new();
    loop {
        let name = format!("{member}layer.{}", layers.len());
        let weight = format!("{name}.weight");
        let &[inputs, outputs] = reader.dimensions(&weight)? else {
            return Err(invalid(&weight));
        };
        let before = layers.last().map_or(inputs, |layer| layer.linear.outputs);
        if inputs == 0 || outputs == 0 {
            return Err(invalid(&weight));
        }
        let linear = Linear::read(reader, &name, before, outputs)?;
        let is_last = !reader.has(&format!("{member}layer.{}.weight", layers.len() + 1));
        let norm = if has_norm && !is_last {
            Some(reader.pair(&format!("{name}.norm"), &[outputs])?)
        } else {
            None
        };
        layers.push(Layer { linear, norm });
        if is_last {
            return Ok(layers);
        }
    }
}
