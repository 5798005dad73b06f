//! Attention as a mixer on a device. Weights are read in place, not packed; the last layer has keys
//! and values like the others.

use super::Parameters;
use crate::attention::cuda::{Attention, storage};
use crate::decision_transformer::network::cuda::{Branch, Network, PLAIN, Take, observations};
use crate::decision_transformer::network::workspace::Workspace;
use crate::decision_transformer::positionwise::cuda::Positionwise;
use crate::device::backend::{Address, Error, Launch};
use crate::dropout::Site;
use crate::linear::cuda::{Finish, Slices, Storage};

/// What the forward pass stores of a layer. In the last layer, queries and everything after them
/// have the observations' rows only, and keys and values are stored separately.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tape {
    q: Address,
    q_stride: usize,
    kv: Address,
    kv_stride: usize,
    attended: Address,
    logs: Address,
}

/// Scratch memory of the backward pass.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scratch {
    attended: Address,
    /// M x 3 C: queries, keys and values side by side; in the last layer, keys and values.
    qkv: Address,
    /// The last layer's queries.
    q: Address,
}

/// The parts of the gradient.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    qkv: Slices,
    projection: Slices,
}

/// One layer's memory.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Memory {
    pub(in super::super) tape: Tape,
    pub(in super::super) scratch: Scratch,
    pub(in super::super) parts: Parts,
}

impl Parameters {
    /// How queries, keys, values and the gradient of what queries attend to are stored.
    fn storage(&self, factors: Storage) -> Storage {
        storage(factors, self.width() / self.heads)
    }

    /// The epilogue of a product that gives them.
    fn finish(&self, network: &Network<'_>, bias: Address) -> Finish {
        match self.storage(network.storage) {
            Storage::Floats => Finish::Store { bias },
            Storage::Halves => Finish::Factor { bias },
        }
    }
}

impl Tape {
    pub(in super::super) fn take(
        at: &Parameters,
        (steps, storage): (usize, Storage),
        last: bool,
        take: &mut Take<'_>,
    ) -> Result<Self, Error> {
        let (c, tokens) = (at.width(), 3 * steps);
        let rows = if last { steps } else { tokens };
        let of_heads = at.storage(storage);
        let mut factors = |count| take(of_heads.words(count));
        let (q, q_stride, kv, kv_stride) = if last {
            (factors(steps * c)?, c, factors(tokens * 2 * c)?, 2 * c)
        } else {
            let qkv = factors(tokens * 3 * c)?;
            (qkv, 3 * c, of_heads.behind(qkv, c), 3 * c)
        };
        Ok(Self {
            q,
            q_stride,
            kv,
            kv_stride,
            attended: take(storage.words(rows * c))?,
            logs: take(rows * at.heads)?,
        })
    }
}

impl Scratch {
    pub(in super::super) fn take(
        at: &Parameters,
        (steps, storage): (usize, Storage),
        take: &mut Take<'_>,
    ) -> Result<Self, Error> {
        let (c, tokens) = (at.width(), 3 * steps);
        Ok(Self {
            attended: take(at.storage(storage).words(tokens * c))?,
            qkv: take(storage.words(tokens * 3 * c))?,
            q: take(storage.words(steps * c))?,
        })
    }
}

impl Parts {
    /// Takes memory for a layer of this many rows of tokens, of which `outputs` continue after it.
    pub(in super::super) fn take(
        at: &Parameters,
        tokens: usize,
        outputs: usize,
        workspace: &mut Workspace,
    ) -> Self {
        Self {
            qkv: workspace.linear(&at.qkv, tokens),
            projection: workspace.linear(&at.projection, outputs),
        }
    }
}

/// Queries, keys and values from the normed tokens.
pub(in super::super) fn inputs(
    at: &Parameters,
    network: &Network<'_>,
    layer: usize,
    normed: Address,
    memory: Memory,
    launches: &mut Vec<Launch>,
) {
    let (c, tape) = (at.width(), memory.tape);
    let x = network.factor(normed, c);
    let weight = network.weight(&at.qkv);
    let bias = network.parameter(&at.qkv.bias);
    if network.is_last(layer) {
        let finish = at.finish(network, bias);
        let factors = (x.only(observations()), weight);
        launches.push(network.linear((network.steps(), c), factors, finish, (tape.q, c)));
        let weight = network.factor(network.storage.behind(weight.at, c), 3 * c);
        let finish = at.finish(network, bias.words(c));
        let sizes = (network.tokens(), 2 * c);
        launches.push(network.linear(sizes, (x, weight), finish, (tape.kv, 2 * c)));
    } else {
        let (sizes, finish) = ((network.tokens(), 3 * c), at.finish(network, bias));
        launches.push(network.linear(sizes, (x, weight), finish, (tape.q, 3 * c)));
    }
}

/// What each query attends to.
pub(in super::super) fn mix(
    at: &Parameters,
    network: &Network<'_>,
    layer: usize,
    memory: Memory,
) -> Launch {
    heads(at, network, layer, memory).forward(at.storage(network.storage), network.windows)
}

/// The branch from what queries attend to.
pub(in super::super) fn output(
    at: &Parameters,
    network: &Network<'_>,
    layer: usize,
    memory: Memory,
    branch: Branch,
) -> Launch {
    let (c, tape) = (at.width(), memory.tape);
    let (rows, tokens) = network.outputs(layer);
    let finish = branch.finish(network, &at.projection.bias, tokens);
    let factors = (
        network.factor(tape.attended, c),
        network.weight(&at.projection),
    );
    network.linear((rows, c), factors, finish, (branch.to, c))
}

/// The same and more in one launch with what follows: fills in what is read of this layer.
pub(in super::super) fn output_in(
    at: &Parameters,
    network: &Network<'_>,
    layer: usize,
    memory: Memory,
    to: &mut Positionwise,
) {
    to.attended = memory.tape.attended;
    to.projection = network.layer(&at.projection);
    to.projection_drop = network.drop(Site::Projection { layer });
}

/// Fills in where this layer's queries, keys and values go.
pub(in super::super) fn inputs_in(
    at: &Parameters,
    network: &Network<'_>,
    layer: usize,
    memory: Memory,
    to: &mut Positionwise,
) {
    let tape = memory.tape;
    let (_, query_rows) = network.outputs(layer);
    to.qkv = network.layer(&at.qkv);
    (to.q, to.kv) = [tape.q, tape.kv]
        .map(|of| at.storage(network.storage).numbers(of))
        .into();
    (to.q_stride, to.kv_stride) = (tape.q_stride as i32, tape.kv_stride as i32);
    to.query_rows = query_rows;
}

/// The heads of a layer, forward and backward.
fn heads(at: &Parameters, network: &Network<'_>, layer: usize, memory: Memory) -> Attention {
    let Memory { tape, scratch, .. } = memory;
    let last = network.is_last(layer);
    let c = at.width();
    let (dq, dkv) = if last {
        (scratch.q, scratch.qkv)
    } else {
        (scratch.qkv, network.storage.behind(scratch.qkv, c))
    };
    let context = network.shape.context;
    Attention {
        q: tape.q,
        kv: tape.kv,
        out: network.storage.numbers(tape.attended),
        logs: tape.logs,
        dout: scratch.attended,
        dq: network.storage.numbers(dq),
        dkv: network.storage.numbers(dkv),
        lengths: network.inputs.lengths,
        drop: network.drop(Site::Attention { layer, head: 0 }),
        queries: if last { context } else { 3 * context } as i32,
        keys: 3 * context as i32,
        width: c as i32,
        heads: at.heads as i32,
        q_stride: tape.q_stride as i32,
        kv_stride: tape.kv_stride as i32,
        visible_stride: if last { 3 } else { 1 },
        visible_offset: if last { 2 } else { 1 },
    }
}

/// From the gradient of the branch, scratch.dropped, to that of the normed tokens, scratch.normed.
pub(in super::super) fn backward(
    at: &Parameters,
    network: &Network<'_>,
    layer: usize,
    normed: Address,
    memory: Memory,
    launches: &mut Vec<Launch>,
) {
    let (c, precision) = (at.width(), network.precision);
    let (rows, _) = network.outputs(layer);
    let branch = network.factor(network.scratch.dropped, c);
    let attended = network.factor(memory.tape.attended, c);
    let parts = memory.parts.projection;
    let projection = network.weight_gradient((c, c, rows), (attended, branch), parts);
    let factors = (branch, network.weight(&at.projection));
    let to = memory.scratch.attended;
    let finish = at.finish(network, Address::NULL);
    let back = network.linear_back(precision, (rows, c, c), factors, finish, to);
    launches.extend(projection.and(back).launches());
    let storage = at.storage(network.storage);
    launches.push(heads(at, network, layer, memory).backward(storage, network.windows));
    qkv_back(at, network, layer, normed, memory, launches);
}

/// Computes scratch.normed from the gradients of queries, keys and values.
fn qkv_back(
    at: &Parameters,
    network: &Network<'_>,
    layer: usize,
    normed: Address,
    memory: Memory,
    launches: &mut Vec<Launch>,
) {
    let (scratch, parts) = (memory.scratch, memory.parts.qkv);
    let (precision, c, tokens) = (network.precision, at.width(), network.tokens());
    let to = network.scratch.normed;
    let normed = network.factor(normed, c);
    let weight = network.weight(&at.qkv);
    if !network.is_last(layer) {
        let dqkv = network.factor(scratch.qkv, 3 * c);
        let qkv = network.weight_gradient((c, 3 * c, tokens), (normed, dqkv), parts);
        let sizes = (tokens, c, 3 * c);
        let back = network.linear_back(precision, sizes, (dqkv, weight), PLAIN, to);
        launches.extend(qkv.and(back).launches());
        return;
    }
    let steps = network.steps();
    let dq = network.factor(scratch.q, c);
    let dkv = network.factor(scratch.qkv, 2 * c);
    let query_rows = normed.only(observations());
    let queries = network.weight_gradient((c, c, steps), (query_rows, dq), parts);
    let behind = Slices {
        weight: parts.weight.words(c),
        bias: parts.bias.words(c),
        ..parts
    };
    let others = network.weight_gradient((c, 2 * c, tokens), (normed, dkv), behind);
    let keys_values = network.factor(network.storage.behind(weight.at, c), 3 * c);
    let sizes = (tokens, c, 2 * c);
    let back = network.linear_back(precision, sizes, (dkv, keys_values), PLAIN, to);
    launches.extend(others.and(back).launches());
    let add = Finish::Add {
        rows: observations(),
    };
    let back = network.linear_back(precision, (steps, c, c), (dq, weight), add, to);
    launches.extend(queries.and(back).launches());
}
