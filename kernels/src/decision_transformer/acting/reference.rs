//! Naive streaming: the whole episode as one sequence, in which a token attends to the tokens of
//! the last K steps, at the time when it is new, up to itself.

use crate::attention::{Visible, reference as attention};
use crate::decision_transformer::embedding::{self, Steps};
use crate::decision_transformer::layout::Layout;
use crate::decision_transformer::mixer::Mixer;
use crate::decision_transformer::network::reference::{Network, sum};
use crate::decision_transformer::shape::{Prediction, Shape};
use crate::decision_transformer::trunk::reference::chosen_returns;
use crate::loss;
use crate::precision::Precision;
use crate::real::Real;

/// The prediction of each step's action, steps x A, with the given returns-to-go; and that of each
/// step's return-to-go, where the model predicts them.
pub(super) fn stream<R: Real>(
    shape: &Shape,
    parameters: &[R],
    steps: Steps<'_>,
) -> (Vec<R>, Vec<R>) {
    let (c, layout) = (shape.width, Layout::new(shape));
    let network = Network {
        precision: Precision::F32,
        attention: Precision::F32,
        epsilon: shape.norm_epsilon,
        parameters,
    };
    let embedded = embedding::reference::forward(&layout.embedding, parameters, steps);
    let mut x = network.embed_norm((&layout.embed_norm, layout.position.as_ref()), &embedded);
    for block in &layout.blocks {
        let Mixer::Attention(at) = &block.mixer else {
            panic!("attention alone streams");
        };
        let normed = block.reference_norm(network, &x);
        let qkv = network.linear(&at.qkv, &normed);
        let residual = block.residual(&x, &normed);
        let mut attended = Vec::new();
        for token in 0..x.len() / c {
            // An action is seen, and computed, with the step behind it.
            let stride = shape.condition.stride();
            let step = (token + 1) / stride;
            let first = (step + 1).saturating_sub(shape.context) * stride;
            // With a context of one step, no later token sees the action.
            let first = first.min(token);
            let problem = attention::Problem {
                precision: Precision::F32,
                width: c,
                heads: shape.heads,
                visible: Visible::behind(token - first).hiding(shape.condition.hidden_tokens()),
                mask: None,
            };
            let rows = qkv[first * 3 * c..(token + 1) * 3 * c].chunks(3 * c);
            let kv: Vec<R> = rows.flat_map(|row| row[c..].to_vec()).collect();
            let q = &qkv[token * 3 * c..][..c];
            attended.extend(attention::forward(problem, q, &kv));
        }
        let middle = sum(residual, &network.linear(&at.projection, &attended));
        let normed = network.norm(&block.norm_2, &middle);
        let (_, branch) = (block.mlp).reference_forward(network, shape.activation, &normed);
        x = sum(block.residual(&middle, &normed), &branch);
    }
    let every_step = |first: usize| -> Vec<R> {
        let rows = x.chunks(c).skip(first).step_by(shape.condition.stride());
        rows.flatten().copied().collect()
    };
    let predicting = every_step(shape.condition.predicting_token());
    let normed = match &layout.condition {
        None => network.norm(&layout.final_norm, &predicting),
        Some(slopes) => network.adaptive_norm(
            (&layout.final_norm, slopes),
            steps.returns_to_go,
            &predicting,
        ),
    };
    let logits = network.linear(&layout.head, &normed);
    let returns = layout.return_head.as_ref().map(|head| {
        let normed = network.norm(&layout.final_norm, &every_step(0));
        chosen_returns(shape, &network.linear(head, &normed), Prediction::chosen)
    });
    let actions = loss::reference::predict(shape.head, &logits);
    (actions, returns.unwrap_or_default())
}
