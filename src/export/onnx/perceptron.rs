//! The graph of a small network's policy.

use super::graph::{BATCH, Element, Graph, Size, Value};
use super::{decoded, finish, normalised, single};
use crate::algorithms::{Perceptron, Rule};
use rtg_kernels::mlp::{Activation, Layout, Place};

/// The input is `states [batch, S]`; for a network with K > 1 observations, `states [batch, K, S]`
/// with the newest last, and `attention_mask [batch, K]`, 0 for those before the episode's first. A
/// policy with a target has the input `target_returns [batch, 1]`.
pub(super) fn write(graph: &mut Graph, policy: &Perceptron) {
    let x = inputs(graph, policy);
    let outputs = |graph: &mut Graph, member| network(graph, policy, &x, member);
    let width = policy.actions.width();
    let chosen = match policy.rule {
        Rule::Outputs => outputs(graph, 0),
        Rule::Tanh { scale } => {
            let outputs = outputs(graph, 0);
            let first = first_columns(graph, &outputs, width, policy.shape.outputs);
            let tanh = graph.op("Tanh", &[&first]);
            let scale = graph.float("largest_action", scale);
            graph.op("Mul", &[&tanh, &scale])
        }
        Rule::Values { quantiles, dueling } => {
            let outputs = outputs(graph, 0);
            values(graph, &outputs, (width, quantiles), dueling)
        }
        Rule::Constrained {
            threshold,
            ruled_out,
        } => {
            let (values, logits) = (outputs(graph, 0), outputs(graph, 1));
            let axes = graph.ints("axes", &[-1]);
            let largest = graph.op_with("ReduceMax", &[&logits, &axes], &[("keepdims", 1)]);
            let below = graph.op("Sub", &[&logits, &largest]);
            let likelihoods = graph.op("Exp", &[&below]);
            let threshold = graph.float("threshold", threshold as f32);
            let allowed = graph.op("Greater", &[&likelihoods, &threshold]);
            let ruled_out = graph.float("ruled_out", ruled_out);
            graph.op("Where", &[&allowed, &values, &ruled_out])
        }
    };
    let mut actions = decoded(graph, chosen, &policy.actions);
    if let Some([low, high]) = &policy.bounds {
        let low = graph.floats("action.low", &[width], &single(low));
        let high = graph.floats("action.high", &[width], &single(high));
        let raised = graph.op("Max", &[&actions, &low]);
        actions = graph.op("Min", &[&raised, &high]);
    }
    finish(graph, &actions, &policy.actions, &[BATCH]);
}

/// The network's input: observations, and the target where the policy has one.
fn inputs(graph: &mut Graph, policy: &Perceptron) -> Value {
    let observations = observations(graph, policy);
    let Some(divisor) = policy.target_divisor else {
        return observations;
    };
    let one = Size::Fixed(1);
    let target = graph.input("target_returns", Element::F32, &[BATCH, one]);
    let divisor = graph.float("target_divisor", divisor as f32);
    let target = graph.op("Div", &[&target, &divisor]);
    graph.op_with("Concat", &[&observations, &target], &[("axis", 1)])
}

/// Normalised observations, B x K S.
fn observations(graph: &mut Graph, policy: &Perceptron) -> Value {
    let width = policy.observation;
    let targets = usize::from(policy.target_divisor.is_some());
    let context = (policy.shape.width() - targets) / width.max(1);
    let [steps, columns] = [context, width].map(Size::Fixed);
    let sizes = [BATCH, steps, columns];
    let sizes = if context == 1 {
        &[BATCH, columns][..]
    } else {
        &sizes
    };
    let states = graph.input("states", Element::F32, sizes);
    let x = match &policy.normaliser {
        Some(normaliser) => normalised(graph, &states, &normaliser.mean, &normaliser.std),
        None => states,
    };
    if context == 1 {
        return x;
    }
    let mask = graph.input("attention_mask", Element::I64, &[BATCH, steps]);
    let mask = graph.cast(&mask, Element::F32);
    let mask = graph.unsqueeze(&mask, 2);
    let seen = graph.op("Mul", &[&x, &mask]);
    graph.reshape(&seen, &[0, (context * width) as i64])
}

/// The outputs of one member of the ensemble, B x outputs.
fn network(graph: &mut Graph, policy: &Perceptron, x: &Value, member: usize) -> Value {
    let shape = &policy.shape;
    let layout = Layout::new(shape);
    let prefix = match shape.members {
        1 => String::new(),
        _ => format!("member.{member}."),
    };
    let parameter = |graph: &mut Graph, name: &str| {
        let name = format!("{prefix}{name}");
        let mut views = layout.views();
        let view = views.find(|view| view.name == name);
        view.map(|view| graph.floats(&name, &view.dims, &policy.parameters[view.range.clone()]))
    };
    let mut x = x.clone();
    for layer in 0..=shape.hidden.len() {
        let name = format!("layer.{layer}");
        let pair = |graph: &mut Graph, of: &str| {
            let weight = parameter(graph, &format!("{name}{of}.weight"))?;
            Some((weight, parameter(graph, &format!("{name}{of}.bias"))?))
        };
        if let Some((weight, bias)) = pair(graph, "") {
            x = graph.linear(&x, &weight, &bias);
        }
        if layer == shape.hidden.len() {
            break;
        }
        let place = shape.norm.map(|norm| norm.place);
        for step in [
            Some(Place::BeforeActivation),
            None,
            Some(Place::AfterActivation),
        ] {
            if step.is_none() {
                x = activated(graph, &x, shape.activation);
            } else if step == place
                && let Some((gain, bias)) = pair(graph, ".norm")
            {
                let epsilon = shape.norm.map_or(0.0, |norm| norm.epsilon);
                x = graph.layer_norm(&x, [&gain, &bias], epsilon);
            }
        }
    }
    x
}

fn activated(graph: &mut Graph, x: &Value, activation: Activation) -> Value {
    let name = match activation {
        Activation::Relu => "Relu",
        Activation::Tanh => "Tanh",
        Activation::Gelu => "Gelu",
    };
    graph.op(name, &[x])
}

/// A value for each action, from a Q-network's outputs.
fn values(
    graph: &mut Graph,
    outputs: &Value,
    (actions, quantiles): (usize, usize),
    dueling: bool,
) -> Value {
    if dueling {
        let advantages = columns(graph, outputs, 0, actions);
        let value = columns(graph, outputs, actions, actions + 1);
        let axes = graph.ints("axes", &[-1]);
        let mean = graph.op_with("ReduceMean", &[&advantages, &axes], &[("keepdims", 1)]);
        let beside = graph.op("Sub", &[&advantages, &mean]);
        return graph.op("Add", &[&value, &beside]);
    }
    if quantiles == 1 {
        return outputs.clone();
    }
    let by_action = graph.reshape(outputs, &[0, actions as i64, quantiles as i64]);
    let axes = graph.ints("axes", &[-1]);
    graph.op_with("ReduceMean", &[&by_action, &axes], &[("keepdims", 0)])
}

fn first_columns(graph: &mut Graph, x: &Value, wanted: usize, there: usize) -> Value {
    if wanted == there {
        return x.clone();
    }
    columns(graph, x, 0, wanted)
}

/// Columns `from..to` of the last axis.
fn columns(graph: &mut Graph, x: &Value, from: usize, to: usize) -> Value {
    let mut ints = |name, number: i64| graph.ints(name, &[number]);
    let (from, to, axis) = (
        ints("from", from as i64),
        ints("to", to as i64),
        ints("axis", -1),
    );
    graph.op("Slice", &[x, &from, &to, &axis])
}
