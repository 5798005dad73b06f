//! The naive model, window by window: the references of the ops, in sequence.

use crate::decision_transformer::bins;
use crate::decision_transformer::block;
use crate::decision_transformer::embedding;
use crate::decision_transformer::layout::{Layout, LogSigma};
use crate::decision_transformer::network::reference::{Backward, Embedded, Network, Tokens, sum};
use crate::decision_transformer::shape::{Condition, Prediction, Shape};
use crate::decision_transformer::windows::Windows;
use crate::dropout::{self, Dropout, Site};
use crate::expectile::{self, Scales};
use crate::likelihood::{self, Entropy, Numbers};
use crate::loss::{self, Denominator, Head, Objective};
use crate::precision::Precision;
use crate::real::Real;

/// What the loss depends on besides the parameters.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// the sizes
    pub shape: &'a Shape,
    /// the batch
    pub windows: &'a Windows<'a>,
    /// number format of the large products' factors
    pub precision: Precision,
    /// number format of attention's factors
    pub attention: Precision,
    /// squared error or cross-entropy
    pub objective: Objective,
    /// which steps the mean counts
    pub denominator: Denominator,
    /// masks, or none
    pub dropout: Option<&'a Dropout>,
    /// how the entropy of a stochastic policy counts
    pub entropy: Entropy,
}

/// Predictions (B x K x A, zero at padded steps), loss, and the gradient of every parameter.
pub fn loss_and_gradient<R: Real>(task: Task<'_>, parameters: &[R]) -> (Vec<R>, f64, Vec<R>) {
    let Task {
        shape,
        windows,
        denominator,
        ..
    } = task;
    let layout = Layout::new(shape);
    let steps = match denominator {
        Denominator::Valid => windows.steps(),
        Denominator::All | Denominator::Steps => windows.lengths.len() * windows.context,
    };
    let mut predictions = Vec::new();
    let mut total = 0.0;
    let mut gradient = vec![R::zero(); layout.len()];
    for window in 0..windows.lengths.len() {
        let length = windows.lengths[window];
        let mut rows = vec![R::zero(); windows.context * shape.action];
        if length > 0 {
            let tape = forward(task, &layout, parameters, window);
            let y = loss::reference::predict(shape.head, &tape.logits);
            let (loss, dz, draw) = actions_loss(task, window, steps, &tape);
            total += loss;
            let (loss, dr) = returns_loss(task, window, steps, &tape);
            total += loss;
            let (loss, dn) = next_observations_loss(task, window, steps, &tape);
            total += loss;
            let at_heads = [&*dz, &*dr, &*draw, &*dn];
            backward(
                task,
                &layout,
                parameters,
                window,
                &tape,
                at_heads,
                &mut gradient,
            );
            let start = windows.first_step(window) * shape.action;
            rows[start..start + y.len()].copy_from_slice(&y);
        }
        predictions.extend(rows);
    }
    (predictions, total, gradient)
}

/// The returns-to-go that are predicted, to act for or to compare histories by: B x K, zero at
/// padded steps and where none are.
pub fn predicted_returns<R: Real>(task: Task<'_>, parameters: &[R], which: ReturnChoice) -> Vec<R> {
    let (layout, windows) = (Layout::new(task.shape), task.windows);
    let mut all = vec![R::zero(); windows.lengths.len() * windows.context];
    for (window, rows) in all.chunks_mut(windows.context).enumerate() {
        if windows.lengths[window] > 0
            && let Some(found) = forward(task, &layout, parameters, window).returns
        {
            let first = windows.first_step(window);
            let found = chosen_returns(task.shape, &found.predictions, which);
            rows[first..first + found.len()].copy_from_slice(&found);
        }
    }
    all
}

/// Which of a step's predictions: `Prediction::chosen` or `Prediction::promised`.
pub type ReturnChoice = fn(Prediction, &[f32]) -> f32;

/// One return-to-go of each step, from what the head for them gives.
pub(in super::super) fn chosen_returns<R: Real>(
    shape: &Shape,
    predictions: &[R],
    which: ReturnChoice,
) -> Vec<R> {
    match shape.condition.prediction() {
        None | Some(Prediction::Expectile(_)) => predictions.to_vec(),
        Some(of @ Prediction::Bins { .. }) => {
            let rows = predictions.chunks(of.numbers());
            let rows = rows.map(|row| row.iter().map(|y| y.to_f64() as f32).collect());
            rows.map(|row: Vec<f32>| R::from_f64(which(of, &row).into()))
                .collect()
        }
    }
}

/// What forward keeps of one window.
struct Tape<R> {
    embedded: Vec<R>,
    blocks: Vec<block::reference::Tape<R>>,
    stream: Vec<R>,
    normed: Vec<R>,
    logits: Vec<R>,
    raw_deviations: Vec<R>,
    returns: Option<Returns<R>>,
    next_observations: Option<NextObservations<R>>,
}

/// What forward keeps of predicted returns-to-go: the observations' tokens and their norm.
struct Returns<R> {
    stream: Vec<R>,
    normed: Vec<R>,
    predictions: Vec<R>,
}

/// What forward keeps of predicted next observations: what they are predicted from.
struct NextObservations<R> {
    inputs: Vec<R>,
    predictions: Vec<R>,
}

impl Task<'_> {
    fn tokens(&self, window: usize) -> Tokens<'_> {
        Tokens {
            dropout: self.dropout,
            window,
            first: self.shape.condition.stride() * self.windows.first_step(window),
            count: (self.shape.condition).tokens(self.windows.lengths[window]),
        }
    }
}

/// The embedding's norm and the vector behind it.
fn embedded_at(layout: &Layout) -> Embedded<'_> {
    (&layout.embed_norm, layout.position.as_ref())
}

fn forward<R: Real>(task: Task<'_>, layout: &Layout, parameters: &[R], window: usize) -> Tape<R> {
    let (c, activation) = (task.shape.width, task.shape.activation);
    let exact = Network {
        precision: Precision::F32,
        attention: task.attention,
        epsilon: task.shape.norm_epsilon,
        parameters,
    };
    let network = Network {
        precision: task.precision,
        attention: task.attention,
        epsilon: task.shape.norm_epsilon,
        parameters,
    };
    let (tokens, steps) = (task.tokens(window), task.windows.sequence(window));
    let embedded = embedding::reference::forward(&layout.embedding, parameters, steps);
    let normed = network.embed_norm(embedded_at(layout), &embedded);
    let mut x = dropout::reference::forward(&tokens.mask(Site::Embedding, c), &normed);
    let mut blocks = Vec::new();
    for (layer, at) in layout.blocks.iter().enumerate() {
        let (tape, behind) = at.reference_forward(network, activation, tokens, layer, x);
        blocks.push(tape);
        x = behind;
    }
    let condition = task.shape.condition;
    let observations = x.chunks(c).skip(condition.predicting_token());
    let stream: Vec<R> = (observations.step_by(condition.stride()).flatten())
        .copied()
        .collect();
    let normed = match &layout.condition {
        None => exact.norm(&layout.final_norm, &stream),
        Some(slopes) => {
            exact.adaptive_norm((&layout.final_norm, slopes), steps.returns_to_go, &stream)
        }
    };
    let logits = exact.linear(&layout.head, &normed);
    let raw_deviations = match &layout.log_sigma {
        None => Vec::new(),
        Some(LogSigma::Head(head)) => exact.linear(head, &normed),
        Some(LogSigma::Free(range)) => parameters[range.clone()].to_vec(),
    };
    let returns = layout.return_head.as_ref().map(|head| {
        let rows = x.chunks(c).step_by(condition.stride()).flatten();
        let stream: Vec<R> = rows.copied().collect();
        let normed = exact.norm(&layout.final_norm, &stream);
        Returns {
            predictions: exact.linear(head, &normed),
            stream,
            normed,
        }
    });
    let next_observations = layout.next_observation.as_ref().map(|head| {
        let actions = loss::reference::predict(task.shape.head, &logits);
        let rows = normed.chunks(c).zip(actions.chunks(task.shape.action));
        let inputs: Vec<R> = rows
            .flat_map(|(row, action)| [row, action].concat())
            .collect();
        NextObservations {
            predictions: exact.linear(head, &inputs),
            inputs,
        }
    });
    Tape {
        embedded,
        blocks,
        stream,
        normed,
        logits,
        raw_deviations,
        returns,
        next_observations,
    }
}

/// The loss of the actions, and the gradients at the head's outputs and at the raw deviations.
fn actions_loss<R: Real>(
    task: Task<'_>,
    window: usize,
    steps: usize,
    tape: &Tape<R>,
) -> (f64, Vec<R>, Vec<R>) {
    let Task {
        shape,
        windows,
        objective,
        entropy,
        ..
    } = task;
    let a = shape.action;
    let reals = |x: &[f32]| -> Vec<R> { x.iter().map(|x| R::from_f64((*x).into())).collect() };
    let actions = reals(windows.sequence(window).actions);
    let Some(deviation) = shape.deviation else {
        let count = objective.count(task.denominator, steps, a) as f64;
        let (_, loss, dz) =
            loss::reference::loss(shape.head, objective, &tape.logits, &actions, a, count);
        return (loss, dz, Vec::new());
    };
    let mut noise = vec![0.0; actions.len()];
    for (step, noise) in (windows.first_step(window)..).zip(noise.chunks_mut(a)) {
        likelihood::noise(entropy.key, window, step, noise);
    }
    let scales = likelihood::LikelihoodScales {
        deviation,
        largest: shape.largest_action(),
        temperature: entropy.temperature,
        count: steps,
        action: a,
    };
    let numbers = Numbers {
        means: &tape.logits,
        raw: &tape.raw_deviations,
        actions: &actions,
        noise: &reals(&noise),
    };
    let (found, dz, draw) = likelihood::reference::loss(scales, numbers);
    (found.loss(entropy.temperature), dz, draw)
}

/// The loss of predicted returns-to-go, and the gradient at them.
fn returns_loss<R: Real>(
    task: Task<'_>,
    window: usize,
    count: usize,
    tape: &Tape<R>,
) -> (f64, Vec<R>) {
    let (
        Condition::Predicted {
            prediction, weight, ..
        },
        Some(returns),
    ) = (task.shape.condition, &tape.returns)
    else {
        return (0.0, Vec::new());
    };
    let found = task.windows.sequence(window).returns_to_go;
    let (loss, mut gradient) = match prediction {
        Prediction::Expectile(expectile) => {
            let scales = Scales {
                expectile,
                scale: task.windows.mean_magnitude_of_returns(),
                count,
            };
            let found: Vec<R> = found.iter().map(|r| R::from_f64((*r).into())).collect();
            expectile::reference::loss(scales, &returns.predictions, &found)
        }
        Prediction::Bins { bins, estimate, .. } => {
            let numbers = prediction.numbers();
            let mut loss = 0.0;
            let mut gradient = Vec::new();
            for (step, row) in returns.predictions.chunks(numbers).enumerate() {
                let mut target = vec![R::zero(); bins];
                target[bins::of_number(found[step], bins)] = R::from_f64(1.0);
                let (head, objective) = (Head::Logits, Objective::CrossEntropy);
                let (y, count) = (&row[..bins], count as f64);
                let (_, part, dy) = loss::reference::loss(head, objective, y, &target, bins, count);
                loss += part;
                gradient.extend(dy);
                gradient.extend(estimate.map(|_| R::zero()));
            }
            (loss, gradient)
        }
    };
    let weight = f64::from(weight);
    for dy in &mut gradient {
        *dy = R::from_f64(weight * dy.to_f64());
    }
    let estimate = prediction.estimate().map(|estimate| {
        let scales = Scales {
            expectile: estimate.expectile,
            scale: 1.0,
            count,
        };
        let numbers = prediction.numbers();
        let last = returns.predictions.iter().skip(numbers - 1);
        let y: Vec<R> = last.step_by(numbers).copied().collect();
        let found = task.windows.unbinned_returns(window).iter();
        let found: Vec<R> = found.map(|r| R::from_f64((*r).into())).collect();
        let (loss, dy) = expectile::reference::loss(scales, &y, &found);
        let weight = f64::from(estimate.weight);
        for (row, dy) in gradient.chunks_mut(numbers).zip(dy) {
            row[numbers - 1] = R::from_f64(weight * dy.to_f64());
        }
        weight * loss
    });
    (weight * loss + estimate.unwrap_or_default(), gradient)
}

/// The loss of predicted next observations, and the gradient at them.
fn next_observations_loss<R: Real>(
    task: Task<'_>,
    window: usize,
    steps: usize,
    tape: &Tape<R>,
) -> (f64, Vec<R>) {
    let (Some(weight), Some(tape)) = (task.shape.next_observation, &tape.next_observations) else {
        return (0.0, Vec::new());
    };
    let s = task.shape.observation;
    let next = task.windows.next_observations(window).flatten();
    let next: Vec<R> = next.map(|x| R::from_f64((*x).into())).collect();
    let (head, objective) = (Head::Logits, Objective::SquaredError);
    let (y, count) = (&tape.predictions, (steps * s) as f64);
    let (_, loss, mut dy) = loss::reference::loss(head, objective, y, &next, s, count);
    for dy in &mut dy {
        *dy = R::from_f64(f64::from(weight) * dy.to_f64());
    }
    (f64::from(weight) * loss, dy)
}

fn backward<R: Real>(
    task: Task<'_>,
    layout: &Layout,
    parameters: &[R],
    window: usize,
    tape: &Tape<R>,
    [dz, dr, draw, dn]: [&[R]; 4],
    gradient: &mut [R],
) {
    let (c, a, activation) = (task.shape.width, task.shape.action, task.shape.activation);
    let tokens = task.tokens(window);
    let network = Network {
        precision: Precision::F32,
        attention: task.attention,
        epsilon: task.shape.norm_epsilon,
        parameters,
    };
    let mut back = Backward { network, gradient };
    let (mut dz, mut through) = (dz.to_vec(), Vec::new());
    if let (Some(head), Some(next)) = (&layout.next_observation, &tape.next_observations) {
        let actions = loss::reference::predict(task.shape.head, &tape.logits);
        for (step, row) in (back.linear(head, &next.inputs, dn).chunks(c + a)).enumerate() {
            through.extend_from_slice(&row[..c]);
            for (number, dy) in row[c..].iter().enumerate() {
                let at = step * a + number;
                let slope = match task.shape.head {
                    Head::Tanh { scale } => {
                        f64::from(scale) - actions[at].to_f64().powi(2) / f64::from(scale)
                    }
                    Head::Logits => 1.0,
                };
                dz[at] += R::from_f64(slope * dy.to_f64());
            }
        }
    }
    let mut normed = back.linear(&layout.head, &tape.normed, &dz);
    if !through.is_empty() {
        normed = sum(&normed, &through);
    }
    match &layout.log_sigma {
        None => {}
        Some(LogSigma::Head(head)) => {
            normed = sum(&normed, &back.linear(head, &tape.normed, draw));
        }
        Some(LogSigma::Free(range)) => {
            let sums = back.gradient[range.clone()].iter_mut().zip(draw);
            sums.for_each(|(sum, part)| *sum += *part);
        }
    }
    back.network.precision = task.precision;
    let steps = task.windows.sequence(window);
    let (norm, x) = (&layout.final_norm, &tape.stream);
    let stream = match &layout.condition {
        None => back.norm(norm, x, &normed),
        Some(slopes) => back.adaptive_norm((norm, slopes), steps.returns_to_go, x, &normed),
    };
    let mut dx = vec![R::zero(); tape.embedded.len()];
    let condition = task.shape.condition;
    let observations = dx.chunks_mut(c).skip(condition.predicting_token());
    for (to, from) in (observations.step_by(condition.stride())).zip(stream.chunks(c)) {
        to.copy_from_slice(from);
    }
    if let (Some(head), Some(returns)) = (&layout.return_head, &tape.returns) {
        back.network.precision = Precision::F32;
        let normed = back.linear(head, &returns.normed, dr);
        back.network.precision = task.precision;
        let stream = back.norm(norm, &returns.stream, &normed);
        let observations = dx.chunks_mut(c).step_by(condition.stride());
        for (to, from) in observations.zip(stream.chunks(c)) {
            to.copy_from_slice(from);
        }
    }
    for (layer, at) in layout.blocks.iter().enumerate().rev() {
        let tape = &tape.blocks[layer];
        dx = at.reference_backward(&mut back, activation, tokens, layer, tape, &dx);
    }
    let normed = dropout::reference::backward(&tokens.mask(Site::Embedding, c), &dx);
    let embedded = back.embed_norm(embedded_at(layout), &tape.embedded, &normed);
    embedding::reference::backward(&layout.embedding, steps, &embedded, gradient);
}
