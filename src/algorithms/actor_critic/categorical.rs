//! An actor that outputs probabilities of A actions, and critics that output the values of all of
//! them.

use super::update::least;
use super::{Method, Work};
use crate::algorithms::actor_policy::Decision;
use crate::algorithms::networks::{Trained, mean};
use crate::algorithms::{Rule, Update};
use crate::random::Stream;
use rtg_kernels::mlp::heads::categorical;
use rtg_kernels::mlp::{Pass, Want};

/// The likeliest of this many actions; exploring, one drawn from their probabilities.
pub struct Categorical(pub(in crate::algorithms) usize);

impl Decision for Categorical {
    fn greedy(&self, outputs: &[f32], actions: &mut [f32]) {
        actions.copy_from_slice(outputs);
    }

    /// One number from U\[0, 1), the row's first.
    fn draw(&self, stream: &mut Stream, noise: &mut [f32]) {
        noise[0] = stream.uniform();
    }

    fn explore(&self, outputs: &[f32], noise: &[f32], actions: &mut [f32]) {
        let mut logs = vec![0.0; outputs.len()];
        categorical::log_softmax(self.0, outputs, &mut logs);
        actions.fill(0.0);
        let rows = logs.chunks(self.0).zip(noise.chunks(self.0));
        for ((logs, noise), action) in rows.zip(actions.chunks_mut(self.0)) {
            action[categorical::pick(logs, noise[0])] = 1.0;
        }
    }

    fn rule(&self) -> Option<Rule> {
        Some(Rule::Outputs)
    }
}

/// The indices of the batch's actions in rows x A numbers.
fn places<'a, M: Method>(work: &Work<'a, M>) -> impl Iterator<Item = usize> + use<'a, M> {
    let count = work.made_of.actions.width();
    let labels = work.batch.labels.iter().enumerate();
    labels.map(move |(row, label)| row * count + *label as usize)
}

/// The entries of the batch's actions, row by row, from rows x A.
pub(in crate::algorithms) fn taken<M: Method>(work: &Work<M>, all: &[f32], to: &mut Vec<f32>) {
    to.clear();
    to.extend(places(work).map(|at| all[at]));
}

/// Scratch memory of the critics' step, kept for the next one.
#[derive(Default)]
pub(in crate::algorithms) struct Critics {
    /// Members x rows x A.
    values: Vec<f32>,
    /// y, the targets.
    pub(in crate::algorithms) targets: Vec<f32>,
    gradients: Vec<f32>,
    pass: Pass,
}

impl Critics {
    /// `min_j Q_j'(s, b)` of the target critics for every action b, rows x A, into `to`.
    pub(in crate::algorithms) fn least_of_targets<M: Method>(
        &mut self,
        work: &Work<M>,
        critics: &mut Trained,
        observations: &[f32],
        to: &mut Vec<f32>,
    ) {
        let Some(target) = &mut critics.target else {
            return;
        };
        let each = work.batch.rows * target.shape().outputs;
        self.values.resize(target.shape().members * each, 0.0);
        target.infer(work.pool, &[observations], &mut self.values);
        least(&self.values, each, to);
    }

    /// `min_j Q_j(s, b)` of the current critics, at the batch's observations.
    pub(in crate::algorithms) fn least<M: Method>(
        &mut self,
        work: &Work<M>,
        critics: &Trained,
        to: &mut Vec<f32>,
    ) {
        let mut network = critics.network.lock();
        let each = work.batch.rows * network.shape().outputs;
        self.values.resize(network.shape().members * each, 0.0);
        network.infer(work.pool, &[&work.batch.observations], &mut self.values);
        least(&self.values, each, to);
    }

    /// Steps the critics towards the targets: L = factor `sum_j` mean `(Q_j(s, a) - y)^2`.
    pub(in crate::algorithms) fn step<M: Method>(
        &mut self,
        report: Update,
        work: &Work<M>,
        critics: &mut Trained,
        (factor, rate): (f32, f64),
    ) -> Update {
        let rows = work.batch.rows as f32;
        let mut network = critics.network.lock();
        network.forward(work.pool, &[&work.batch.observations], &mut self.pass);
        let each = work.batch.rows * network.shape().outputs;
        let values = self.pass.outputs();
        self.gradients.clear();
        self.gradients.resize(values.len(), 0.0);
        let (mut squares, mut first) = (0.0_f64, Vec::new());
        let members = values.chunks(each).zip(self.gradients.chunks_mut(each));
        for (index, (values, gradients)) in members.enumerate() {
            for (at, target) in places(work).zip(&self.targets) {
                let error = values[at] - target;
                squares += f64::from(error) * f64::from(error);
                gradients[at] = factor * 2.0 * error / rows;
            }
            if index == 0 {
                taken(work, values, &mut first);
            }
        }
        let want = Want::parameters(&mut critics.gradient);
        network.backward(work.pool, &self.gradients, want, &mut self.pass);
        drop(network);
        critics.step(work.pool, rate);
        report
            .mean("critic_loss", f64::from(factor) * squares / f64::from(rows))
            .mean("q", mean(&first))
            .mean("q_target", mean(&self.targets))
    }
}

/// Scratch memory of weighted cloning, kept for the next update.
#[derive(Default)]
pub(in crate::algorithms) struct Cloning {
    /// w, row by row.
    pub(in crate::algorithms) weights: Vec<f32>,
    /// log pi(b | s), rows x A.
    pub(in crate::algorithms) logs: Vec<f32>,
    losses: Vec<f32>,
    gradients: Vec<f32>,
    pass: Pass,
}

impl Cloning {
    /// Fills `logs` at the batch's observations.
    pub(in crate::algorithms) fn forward<M: Method>(&mut self, work: &Work<M>, actor: &Trained) {
        let mut network = actor.network.lock();
        network.forward(work.pool, &[&work.batch.observations], &mut self.pass);
        let outputs = self.pass.outputs();
        self.logs.resize(outputs.len(), 0.0);
        categorical::log_softmax(work.made_of.actions.width(), outputs, &mut self.logs);
    }

    /// Each weight is the exponential of a number, at most `limit`.
    pub(in crate::algorithms) fn weigh(&mut self, of: impl Iterator<Item = f32>, limit: f32) {
        self.weights.clear();
        self.weights.extend(of.map(|x| x.exp().min(limit)));
    }

    /// After [`Self::forward`], one step of the actor to decrease L = mean w (-log pi(a | s)).
    pub(in crate::algorithms) fn step<M: Method>(
        &mut self,
        report: Update,
        work: &Work<M>,
        actor: &mut Trained,
        (limit, rate): (f32, f64),
    ) -> Update {
        let (rows, count) = (work.batch.rows as f32, work.made_of.actions.width());
        taken(work, &self.logs, &mut self.losses);
        for log in &mut self.losses {
            *log = -*log;
        }
        // The gradient of the logits: w (softmax - one-hot) / rows.
        self.gradients.clear();
        let of_rows = self.logs.chunks(count).zip(&self.weights);
        let of_rows = of_rows.flat_map(|(logs, w)| logs.iter().map(move |l| w / rows * l.exp()));
        self.gradients.extend(of_rows);
        for (at, weight) in places(work).zip(&self.weights) {
            self.gradients[at] -= weight / rows;
        }
        let want = Want::parameters(&mut actor.gradient);
        let mut network = actor.network.lock();
        network.backward(work.pool, &self.gradients, want, &mut self.pass);
        drop(network);
        actor.step(work.pool, rate);
        let terms = self.weights.iter().zip(&self.losses);
        let sum: f64 = terms.map(|(w, c)| f64::from(*w) * f64::from(*c)).sum();
        let limited = self.weights.iter().filter(|weight| **weight >= limit);
        let limited = limited.count() as f64 / f64::from(rows);
        report
            .mean("actor_loss", sum / f64::from(rows))
            .mean("cloning_loss", mean(&self.losses))
            .mean("weight", mean(&self.weights))
            .mean("weights_limited", limited)
    }
}

/// The mean of -log pi(a | s) over the batch, and the first critic's mean value of its actions.
pub(in crate::algorithms) fn beside_data<M: Method>(
    work: &Work<M>,
    [actor, critics]: [&Trained; 2],
) -> [f64; 2] {
    let count = work.made_of.actions.width();
    let infer = |of: &Trained| {
        let mut network = of.network.lock();
        let each = work.batch.rows * network.shape().outputs;
        let mut outputs = vec![0.0; network.shape().members * each];
        network.infer(work.pool, &[&work.batch.observations], &mut outputs);
        outputs.truncate(each);
        outputs
    };
    let logits = infer(actor);
    let (mut logs, mut of_data, mut q) = (vec![0.0; logits.len()], Vec::new(), Vec::new());
    categorical::log_softmax(count, &logits, &mut logs);
    taken(work, &logs, &mut of_data);
    taken(work, &infer(critics), &mut q);
    [-mean(&of_data), mean(&q)]
}
