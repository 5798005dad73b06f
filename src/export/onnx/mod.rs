//! ONNX: the whole policy as one graph, for onnxruntime and similar programs.
//!
//! The graph takes an environment's observations and returns its actions: the normaliser and the
//! scales of returns and actions are part of it. Inputs and outputs have the names of the exporter
//! of Hugging Face's `transformers` for `DecisionTransformerModel`: `states`, `actions`,
//! `returns_to_go`, `timesteps`, `attention_mask` and `action_preds`. For discrete actions
//! `action_preds` contains a number for each action (a logit, or the value of a Q-network), and
//! `greedy_actions` the index of the largest. Operators are those of opset 20, the file's format is
//! IR version 9.

mod graph;
mod perceptron;
mod proto;
mod sequence;

use super::Error;
use crate::algorithms::{ActionCodec, Computation};

use self::graph::{Element, Graph, Size, Value};
use self::proto::Message;

const IR_VERSION: i64 = 9;
const OPSET: i64 = 20;
/// Protobuf messages must be smaller than 2 GiB.
const MOST_PARAMETERS: usize = (i32::MAX as usize - (1 << 20)) / size_of::<f32>();

/// An ONNX file.
pub struct OnnxFile {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its inputs with their sizes, `states [batch, 3]`.
    pub inputs: Vec<String>,
    /// Its outputs.
    pub outputs: Vec<String>,
}

/// The file of a policy. `notes` are its metadata: pairs of names and texts.
///
/// # Errors
/// [`Error::Unsupported`]: weights above 2 GiB, or a network without return-to-go tokens and
/// attention.
pub fn model(computation: &Computation, notes: &[(&str, String)]) -> Result<OnnxFile, Error> {
    if computation.parameters() > MOST_PARAMETERS {
        return Err(Error::Unsupported {
            what: "exported to ONNX",
            reason: format!(
                "its {} weights need more than the 2 GiB of a file",
                computation.parameters()
            ),
        });
    }
    let mut graph = Graph::default();
    match computation {
        Computation::Perceptron(of) => perceptron::write(&mut graph, of),
        Computation::Sequence(of) => {
            super::check_switches(of, "exported to ONNX")?;
            sequence::write(&mut graph, of);
        }
    }
    let (inputs, outputs) = (graph.inputs(), graph.outputs());
    let opset = Message::default().text(1, "").int(2, OPSET);
    let mut file = Message::default()
        .int(1, IR_VERSION)
        .text(2, env!("CARGO_PKG_NAME"))
        .text(3, env!("CARGO_PKG_VERSION"))
        .message(7, &graph.finish())
        .message(8, &opset);
    for (name, text) in notes {
        file = file.message(14, &Message::default().text(1, name).text(2, text));
    }
    Ok(OnnxFile {
        bytes: file.bytes(),
        inputs,
        outputs,
    })
}

/// (x - mean) / std.
fn normalised(graph: &mut Graph, x: &Value, mean: &[f64], std: &[f64]) -> Value {
    let mean = graph.floats("normaliser.mean", &[mean.len()], &single(mean));
    let std = graph.floats("normaliser.std", &[std.len()], &single(std));
    let centred = graph.op("Sub", &[x, &mean]);
    graph.op("Div", &[&centred, &std])
}

/// Names the outputs: the actions and, for discrete actions, the choice. `sizes` are all but the
/// last.
fn finish(graph: &mut Graph, last: &Value, actions: &ActionCodec, sizes: &[Size]) {
    let width = [sizes, &[Size::Fixed(actions.width())]].concat();
    graph.output("action_preds", last, Element::F32, &width);
    if let ActionCodec::Discrete { start, .. } = actions {
        let best = graph.op_with("ArgMax", &[last], &[("axis", -1), ("keepdims", 0)]);
        let start = graph.int("first_action", *start);
        let choice = graph.op("Add", &[&best, &start]);
        graph.output("greedy_actions", &choice, Element::I64, sizes);
    }
}

/// Converts actions from the network's units to the environment's; discrete actions remain a number
/// for each choice.
fn decoded(graph: &mut Graph, x: Value, actions: &ActionCodec) -> Value {
    match actions {
        ActionCodec::Continuous { offset, scale, .. } if !is_identity(offset, scale) => {
            let scale = graph.floats("action.scale", &[scale.len()], &single(scale));
            let offset = graph.floats("action.offset", &[offset.len()], &single(offset));
            let scaled = graph.op("Mul", &[&x, &scale]);
            graph.op("Add", &[&scaled, &offset])
        }
        _ => x,
    }
}

#[expect(clippy::float_cmp, reason = "exactly these numbers are the identity")]
fn is_identity(offset: &[f64], scale: &[f64]) -> bool {
    offset.iter().all(|&x| x == 0.0) && scale.iter().all(|&x| x == 1.0)
}

fn single(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&x| x as f32).collect()
}
