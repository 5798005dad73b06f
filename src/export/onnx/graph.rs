//! An ONNX graph under construction.

use super::proto::Message;

/// A tensor of the graph, by its name.
#[derive(Clone)]
pub(super) struct Value(String);

/// The type of a tensor's numbers, with the codes of `TensorProto.DataType`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F32 = 1,
    I64 = 7,
    Bool = 9,
}

/// One size of an input or output.
#[derive(Clone, Copy)]
pub(super) enum Size {
    /// A fixed size.
    Fixed(usize),
    /// A symbolic size.
    Free(&'static str),
}

/// The rows of a batch, B.
pub(super) const BATCH: Size = Size::Free("batch");

/// Nodes in topological order, constants, inputs and outputs.
#[derive(Default)]
pub(super) struct Graph {
    nodes: Message,
    constants: Message,
    signature: Message,
    inputs: Vec<String>,
    outputs: Vec<String>,
    names: usize,
}

// Field numbers of `AttributeProto`, and its types.
const FLOAT: (u32, i64) = (2, 1);
const INT: (u32, i64) = (3, 2);
const INTS: (u32, i64) = (8, 7);

impl Graph {
    /// An input of the graph.
    pub(super) fn input(&mut self, name: &str, element: Element, sizes: &[Size]) -> Value {
        self.inputs.push(described(name, sizes));
        self.sign(11, name, element, sizes);
        Value(name.to_owned())
    }

    /// Makes a tensor a named output.
    pub(super) fn output(&mut self, name: &str, value: &Value, element: Element, sizes: &[Size]) {
        self.outputs.push(described(name, sizes));
        self.sign(12, name, element, sizes);
        self.node("Identity", &[value], &[name], &Message::default());
    }

    /// Constant float32 numbers in row-major order.
    pub(super) fn floats(&mut self, name: &str, sizes: &[usize], values: &[f32]) -> Value {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let sizes: Vec<i64> = sizes.iter().map(|&size| size as i64).collect();
        self.constant(name, Element::F32, &sizes, &bytes)
    }

    /// A constant float32 number.
    pub(super) fn float(&mut self, name: &str, value: f32) -> Value {
        self.floats(name, &[], &[value])
    }

    /// A constant integer.
    pub(super) fn int(&mut self, name: &str, value: i64) -> Value {
        self.constant(name, Element::I64, &[], &value.to_le_bytes())
    }

    /// A row of constant integers.
    pub(super) fn ints(&mut self, name: &str, values: &[i64]) -> Value {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.constant(name, Element::I64, &[values.len() as i64], &bytes)
    }

    fn constant(&mut self, name: &str, element: Element, sizes: &[i64], bytes: &[u8]) -> Value {
        let mut tensor = Message::default();
        for &size in sizes {
            tensor = tensor.int(1, size);
        }
        // Two constants may have the same name here, but not in a file.
        let name = self.fresh(name);
        let tensor = tensor.int(2, element as i64).text(8, &name).field(9, bytes);
        self.constants = std::mem::take(&mut self.constants).message(5, &tensor);
        Value(name)
    }

    /// The result of an operator.
    pub(super) fn op(&mut self, kind: &str, inputs: &[&Value]) -> Value {
        self.op_with(kind, inputs, &[])
    }

    /// The result of an operator with integer attributes.
    pub(super) fn op_with(
        &mut self,
        kind: &str,
        inputs: &[&Value],
        attributes: &[(&str, i64)],
    ) -> Value {
        let result = self.fresh(kind);
        let attributes = ints_of(attributes);
        self.node(kind, inputs, &[&result], &attributes);
        Value(result)
    }

    /// Several results of an operator with integer attributes.
    pub(super) fn split<const N: usize>(&mut self, input: &Value, axis: i64) -> [Value; N] {
        let results: [String; N] = std::array::from_fn(|_| self.fresh("Split"));
        let attributes = ints_of(&[("axis", axis), ("num_outputs", N as i64)]);
        let names = results.each_ref().map(String::as_str);
        self.node("Split", &[input], &names, &attributes);
        results.map(Value)
    }

    /// The tensor with its axes in another order.
    pub(super) fn transpose(&mut self, input: &Value, axes: &[i64]) -> Value {
        let mut attribute = Message::default().text(1, "perm");
        for &axis in axes {
            attribute = attribute.int(INTS.0, axis);
        }
        let attribute = attribute.int(20, INTS.1);
        let result = self.fresh("Transpose");
        let attributes = Message::default().message(5, &attribute);
        self.node("Transpose", &[input], &[&result], &attributes);
        Value(result)
    }

    /// The tensor with other sizes; 0 keeps a size, -1 is inferred.
    pub(super) fn reshape(&mut self, input: &Value, sizes: &[i64]) -> Value {
        let sizes = self.ints("sizes", sizes);
        self.op("Reshape", &[input, &sizes])
    }

    /// The tensor with a new axis of size 1.
    pub(super) fn unsqueeze(&mut self, input: &Value, axis: i64) -> Value {
        let axis = self.ints("axis", &[axis]);
        self.op("Unsqueeze", &[input, &axis])
    }

    /// The tensor as numbers of another type.
    pub(super) fn cast(&mut self, input: &Value, element: Element) -> Value {
        self.op_with("Cast", &[input], &[("to", element as i64)])
    }

    /// `x W + b` over the last axis.
    pub(super) fn linear(&mut self, x: &Value, weight: &Value, bias: &Value) -> Value {
        let product = self.op("MatMul", &[x, weight]);
        self.op("Add", &[&product, bias])
    }

    /// `LayerNorm` over the last axis.
    pub(super) fn layer_norm(
        &mut self,
        x: &Value,
        [gain, bias]: [&Value; 2],
        epsilon: f32,
    ) -> Value {
        let epsilon = Message::default()
            .text(1, "epsilon")
            .float(FLOAT.0, epsilon)
            .int(20, FLOAT.1);
        let result = self.fresh("LayerNormalization");
        let attributes = ints_of(&[("axis", -1)]).message(5, &epsilon);
        let inputs = [x, gain, bias];
        self.node("LayerNormalization", &inputs, &[&result], &attributes);
        Value(result)
    }

    /// The inputs, as text.
    pub(super) fn inputs(&self) -> Vec<String> {
        self.inputs.clone()
    }

    /// The outputs, as text.
    pub(super) fn outputs(&self) -> Vec<String> {
        self.outputs.clone()
    }

    /// The graph as a message.
    pub(super) fn finish(self) -> Message {
        let name = Message::default().text(2, "policy").bytes();
        let parts = [
            self.nodes.bytes(),
            name,
            self.constants.bytes(),
            self.signature.bytes(),
        ];
        Message::of(parts.concat())
    }

    fn node(&mut self, kind: &str, inputs: &[&Value], outputs: &[&str], attributes: &Message) {
        let mut node = Message::default();
        for input in inputs {
            node = node.text(1, &input.0);
        }
        for output in outputs {
            node = node.text(2, output);
        }
        node = node.text(4, kind).with(attributes);
        self.nodes = std::mem::take(&mut self.nodes).message(1, &node);
    }

    fn sign(&mut self, field: u32, name: &str, element: Element, sizes: &[Size]) {
        let mut shape = Message::default();
        for size in sizes {
            let size = match *size {
                Size::Fixed(size) => Message::default().int(1, size as i64),
                Size::Free(name) => Message::default().text(2, name),
            };
            shape = shape.message(1, &size);
        }
        let tensor = Message::default().int(1, element as i64).message(2, &shape);
        let kind = Message::default().message(1, &tensor);
        let value = Message::default().text(1, name).message(2, &kind);
        self.signature = std::mem::take(&mut self.signature).message(field, &value);
    }

    fn fresh(&mut self, name: &str) -> String {
        self.names += 1;
        format!("{name}/{}", self.names)
    }
}

fn ints_of(attributes: &[(&str, i64)]) -> Message {
    let mut message = Message::default();
    for (name, value) in attributes {
        let attribute = Message::default()
            .text(1, name)
            .int(INT.0, *value)
            .int(20, INT.1);
        message = message.message(5, &attribute);
    }
    message
}

/// `states [batch, 3]`.
fn described(name: &str, sizes: &[Size]) -> String {
    let sizes = sizes.iter().map(|size| match size {
        Size::Fixed(size) => size.to_string(),
        Size::Free(name) => (*name).to_owned(),
    });
    format!("{name} [{}]", sizes.collect::<Vec<_>>().join(", "))
}
