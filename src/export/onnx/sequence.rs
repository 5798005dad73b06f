//! The graph of a Decision Transformer's policy.
//!
//! It takes any number of steps, padded on either side where `attention_mask` is 0, and returns an
//! action for each; the last one belongs to the newest observation. The input action of that step
//! is ignored, so it may have any value. `returns_to_go` are in the environment's units; a discrete
//! action is a one-hot row.

use super::graph::{BATCH, Element, Graph, Size, Value};
use super::{decoded, finish, is_identity, normalised, single};
use crate::algorithms::{ActionCodec, Sequence};
use rtg_kernels::decision_transformer::Layout;
use rtg_kernels::layer_norm::EPSILON;
use rtg_kernels::{Activation, Head};

const CONTEXT: Size = Size::Free("context");
/// The score of a masked token; finite, so that a row with only masked tokens is not NaN.
const MASKED: f32 = -1e9;

pub(super) fn write(graph: &mut Graph, policy: &Sequence) {
    let policy = &policy.merged();
    let shape = &policy.shape;
    let mut writer = Writer {
        graph,
        policy,
        layout: Layout::new(shape),
    };
    let (mut x, seen) = writer.tokens();
    let allowed = writer.allowed(&seen);
    x = writer.layer_norm(&x, "embed.norm");
    for layer in 0..shape.layers {
        let block = format!("block.{layer}");
        let normed = writer.layer_norm(&x, &format!("{block}.norm_1"));
        let attended = writer.attend(&normed, &allowed, &block);
        x = writer.graph.op("Add", &[&x, &attended]);
        let normed = writer.layer_norm(&x, &format!("{block}.norm_2"));
        let up = writer.linear(&normed, &format!("{block}.mlp.up"));
        let activation = match shape.activation {
            Activation::Relu => "Relu",
            Activation::Gelu => "Gelu",
        };
        let hidden = writer.graph.op(activation, &[&up]);
        let down = writer.linear(&hidden, &format!("{block}.mlp.down"));
        x = writer.graph.op("Add", &[&x, &down]);
    }
    x = writer.layer_norm(&x, "final_norm");
    // The action is read from the observation token, the second of a step.
    let steps = writer.graph.reshape(&x, &[0, -1, 3, shape.width as i64]);
    let second = writer.graph.int("observation_token", 1);
    let of_observations = writer
        .graph
        .op_with("Gather", &[&steps, &second], &[("axis", 2)]);
    let mut actions = writer.linear(&of_observations, "head");
    if let Head::Tanh { scale } = shape.head {
        let tanh = graph.op("Tanh", &[&actions]);
        let scale = graph.float("largest_action", scale);
        actions = graph.op("Mul", &[&tanh, &scale]);
    }
    let actions = decoded(graph, actions, &policy.actions);
    finish(graph, &actions, &policy.actions, &[BATCH, CONTEXT]);
}

struct Writer<'a> {
    graph: &'a mut Graph,
    policy: &'a Sequence,
    layout: Layout,
}

impl Writer<'_> {
    /// The embedded tokens, B x 3K x C in the order return-to-go, observation, action of each step,
    /// and the mask of steps, B x K.
    fn tokens(&mut self) -> (Value, Value) {
        let Sequence {
            shape,
            normaliser,
            return_scale,
            episode_length,
            constant_target: _,
            ..
        } = self.policy;
        let mut input = |name, element, last: Option<usize>| {
            let sizes = [&[BATCH, CONTEXT][..], last.map(Size::Fixed).as_slice()].concat();
            self.graph.input(name, element, &sizes)
        };
        let states = input("states", Element::F32, Some(shape.observation));
        let actions = input("actions", Element::F32, Some(shape.action));
        let returns = input("returns_to_go", Element::F32, Some(1));
        let timesteps = input("timesteps", Element::I64, None);
        let mask = input("attention_mask", Element::I64, None);

        let states = normalised(self.graph, &states, &normaliser.mean, &normaliser.std);
        let scale = self.graph.float("return_scale", *return_scale as f32);
        let returns = self.graph.op("Div", &[&returns, &scale]);
        let actions = self.encoded(actions);
        let last = self.graph.int("last_timestep", *episode_length as i64 - 1);
        let timesteps = self.graph.op("Min", &[&timesteps, &last]);
        let table = self.parameter("embed.timestep");
        let time = self
            .graph
            .op_with("Gather", &[&table, &timesteps], &[("axis", 0)]);

        let inputs = [
            (returns, "embed.return_to_go"),
            (states, "embed.observation"),
            (actions, "embed.action"),
        ];
        let tokens = inputs.map(|(input, name)| {
            let embedded = self.linear(&input, name);
            let token = self.graph.op("Add", &[&embedded, &time]);
            self.graph.unsqueeze(&token, 2)
        });
        let tokens = self
            .graph
            .op_with("Concat", &tokens.each_ref(), &[("axis", 2)]);
        (
            self.graph.reshape(&tokens, &[0, -1, shape.width as i64]),
            mask,
        )
    }

    /// Actions in the network's units.
    fn encoded(&mut self, actions: Value) -> Value {
        let ActionCodec::Continuous { offset, scale, .. } = &self.policy.actions else {
            return actions;
        };
        let Some(map) = self
            .policy
            .actions
            .action_map()
            .filter(|_| !is_identity(offset, scale))
        else {
            return actions;
        };
        let scale = self
            .graph
            .floats("action.divisor", &[scale.len()], &single(&map.scale));
        let offset = self
            .graph
            .floats("action.centre", &[offset.len()], &single(offset));
        let centred = self.graph.op("Sub", &[&actions, &offset]);
        self.graph.op("Div", &[&centred, &scale])
    }

    /// Whether a token may attend to another, B x 1 x 3K x 3K: not to later ones, and not to
    /// padding.
    fn allowed(&mut self, seen: &Value) -> Value {
        let graph = &mut *self.graph;
        let seen = graph.cast(seen, Element::Bool);
        let seen = graph.unsqueeze(&seen, 2);
        let seen = graph.op_with("Concat", &[&seen, &seen, &seen], &[("axis", 2)]);
        let keys = graph.reshape(&seen, &[0, 1, 1, -1]);
        let sizes = graph.op("Shape", &[&keys]);
        let last = graph.int("last_axis", 3);
        let tokens = graph.op_with("Gather", &[&sizes, &last], &[("axis", 0)]);
        let (zero, one) = (graph.int("zero", 0), graph.int("one", 1));
        let places = graph.op("Range", &[&zero, &tokens, &one]);
        let (rows, columns) = (graph.unsqueeze(&places, 1), graph.unsqueeze(&places, 0));
        let causal = graph.op("GreaterOrEqual", &[&rows, &columns]);
        graph.op("And", &[&causal, &keys])
    }

    /// Multi-head self-attention with its output projection.
    fn attend(&mut self, x: &Value, allowed: &Value, block: &str) -> Value {
        let (width, heads) = (self.policy.shape.width, self.policy.shape.heads);
        let head_width = width / heads;
        let qkv = self.linear(x, &format!("{block}.attention.qkv"));
        let graph = &mut *self.graph;
        let [query, key, value] = graph
            .split(&qkv, -1)
            .map(|part: Value| graph.reshape(&part, &[0, 0, heads as i64, head_width as i64]));
        let query = graph.transpose(&query, &[0, 2, 1, 3]);
        let key = graph.transpose(&key, &[0, 2, 3, 1]);
        let value = graph.transpose(&value, &[0, 2, 1, 3]);
        let scores = graph.op("MatMul", &[&query, &key]);
        let scale = graph.float("score_scale", 1.0 / (head_width as f32).sqrt());
        let scores = graph.op("Mul", &[&scores, &scale]);
        let masked = graph.float("masked", MASKED);
        let scores = graph.op("Where", &[allowed, &scores, &masked]);
        let probabilities = graph.op_with("Softmax", &[&scores], &[("axis", -1)]);
        let mixed = graph.op("MatMul", &[&probabilities, &value]);
        let mixed = graph.transpose(&mixed, &[0, 2, 1, 3]);
        let joined = graph.reshape(&mixed, &[0, 0, width as i64]);
        self.linear(&joined, &format!("{block}.attention.projection"))
    }

    fn linear(&mut self, x: &Value, name: &str) -> Value {
        let weight = self.parameter(&format!("{name}.weight"));
        let bias = self.parameter(&format!("{name}.bias"));
        self.graph.linear(x, &weight, &bias)
    }

    fn layer_norm(&mut self, x: &Value, name: &str) -> Value {
        let gain = self.parameter(&format!("{name}.weight"));
        let bias = self.parameter(&format!("{name}.bias"));
        let epsilon = match name {
            "embed.norm" => EPSILON,
            _ => self.policy.shape.norm_epsilon,
        };
        self.graph.layer_norm(x, [&gain, &bias], epsilon)
    }

    fn parameter(&mut self, name: &str) -> Value {
        let view = self.layout.views().find(|view| view.name == name);
        let (dims, range) = view.map_or((Vec::new(), 0..0), |view| {
            (view.dims.clone(), view.range.clone())
        });
        self.graph
            .floats(name, &dims, &self.policy.parameters[range])
    }
}
