//! Small trained networks: parameters shared with policies, an optimiser, and possibly a target
//! network.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::adam::Adam;
use super::{Error, Saved};
use crate::nn::state_dict::{self, Entry, StateDictError, TensorFile};
use rtg_kernels::adamw::clip;
use rtg_kernels::mlp::{Layout, Network, Norm, Place, Pool, Shape};

/// A network that a learner changes and policies read, shared without copying weights.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Network>>);

impl Shared {
    pub(super) fn new(network: Network) -> Self {
        Self(Arc::new(Mutex::new(network)))
    }

    /// A copy, which the learner does not change.
    pub(super) fn copied(&self) -> Self {
        Self::new(self.lock().clone())
    }

    /// The network, until the guard is dropped.
    pub(super) fn lock(&self) -> MutexGuard<'_, Network> {
        // After a panic elsewhere the numbers are still valid.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A network or an ensemble, with its training state.
pub struct Trained {
    /// The name of its weights in files; an ensemble's members are `NAME_1`, `NAME_2`, ...
    name: &'static str,
    layout: Layout,
    members: usize,
    norm: Option<Norm>,
    pub(super) network: Shared,
    /// The target network, if it has one.
    pub(super) target: Option<Network>,
    /// The last gradient.
    pub(super) gradient: Vec<f32>,
    adam: Adam,
}

impl Trained {
    /// A network before its first step; with `target`, its target network starts as a copy.
    pub(super) fn new(
        name: &'static str,
        shape: &Shape,
        parameters: Vec<f32>,
        target: bool,
    ) -> Self {
        let network = Network::new(shape, parameters);
        let count = network.parameters().len();
        Self {
            name,
            layout: network.layout().clone(),
            members: shape.members,
            norm: shape.norm,
            target: target.then(|| network.clone()),
            network: Shared::new(network),
            gradient: vec![0.0; count],
            adam: Adam::new(count),
        }
    }

    /// One step of Adam with the current gradient.
    pub(super) fn step(&mut self, pool: &Pool, rate: f64) {
        self.step_scaled(pool, rate, 1.0);
    }

    /// One step of Adam with the current gradient, clipped to a norm of `limit`. Returns the norm
    /// before clipping.
    pub(super) fn step_limited(&mut self, pool: &Pool, rate: f64, limit: f64) -> f64 {
        let norm = norm([&self.gradient]);
        self.step_scaled(pool, rate, clip(norm, limit));
        norm
    }

    /// One step of Adam with `scale` times the present gradient.
    pub(super) fn step_scaled(&mut self, pool: &Pool, rate: f64, scale: f64) {
        let mut network = self.network.lock();
        let parameters = network.parameters_mut();
        self.adam
            .step_scaled(pool, rate, scale, &self.gradient, parameters);
    }

    /// One step of Adam with the current gradient plus `decay` times the parameters: PyTorch's
    /// `weight_decay` of Adam. `sum` is scratch memory.
    pub(super) fn step_decayed(&mut self, pool: &Pool, rate: f64, decay: f64, sum: &mut Vec<f32>) {
        let mut network = self.network.lock();
        let parameters = network.parameters_mut();
        decayed(decay, &self.gradient, parameters, sum);
        self.adam.step(pool, rate, sum, parameters);
    }

    /// Replaces Adam's epsilon, 1e-8.
    pub(super) fn with_epsilon(mut self, epsilon: f64) -> Self {
        self.adam = self.adam.with_epsilon(epsilon);
        self
    }

    /// Optimiser steps done.
    pub(super) fn steps(&self) -> u64 {
        self.adam.steps()
    }

    /// Moves the target network by the fraction `tau` towards the trained weights.
    pub(super) fn follow(&mut self, pool: &Pool, tau: f64) {
        if let Some(target) = &mut self.target {
            let network = self.network.lock();
            pool.polyak(tau, network.parameters(), target.parameters_mut());
        }
    }

    /// The outputs with the trained weights, without storing activations.
    pub(super) fn infer(&self, pool: &Pool, inputs: &[&[f32]], outputs: &mut [f32]) {
        self.network.lock().infer(pool, inputs, outputs);
    }

    /// The trained weights under their published names.
    pub(super) fn weights(&self) -> Vec<Entry> {
        entries(self.name, &self.network.lock())
    }

    /// The state for a checkpoint, besides the trained weights.
    pub(super) fn state(&self) -> Vec<Entry> {
        let mut entries = match &self.target {
            Some(target) => export(
                self.name,
                "_target",
                (self.members, self.norm),
                target.parameters(),
                &self.layout,
            ),
            None => Vec::new(),
        };
        entries.extend(self.adam.state(self.name));
        entries
    }

    /// Replaces the trained weights; the target network becomes a copy if the file has none.
    pub(super) fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError> {
        let parameters = import(self.name, "", (self.members, self.norm), &self.layout, file)?;
        if let Some(target) = &mut self.target {
            let stored = import(
                self.name,
                "_target",
                (self.members, self.norm),
                &self.layout,
                file,
            );
            let stored = stored.unwrap_or_else(|_| parameters.clone());
            target.parameters_mut().copy_from_slice(&stored);
        }
        self.network
            .lock()
            .parameters_mut()
            .copy_from_slice(&parameters);
        Ok(())
    }

    /// Restores the state of a checkpoint, saved after this many steps of this network.
    pub(super) fn restore(&mut self, saved: &Saved, steps: u64) -> Result<(), Error> {
        self.load_weights(saved.tensors)?;
        if self.target.is_some() {
            // A checkpoint has them; a file of weights need not.
            import(
                self.name,
                "_target",
                (self.members, self.norm),
                &self.layout,
                saved.tensors,
            )?;
        }
        self.adam.restore(self.name, saved, steps)
    }

    /// Its parameters and their last gradients by name, from a copy of the parameters.
    pub(super) fn histograms<'a>(
        &'a self,
        parameters: &'a [f32],
    ) -> impl Iterator<Item = (String, &'a [f32], &'a [f32])> {
        self.layout.views().map(move |view| {
            let place = view.range.clone();
            let name = format!("{}.{}", self.name, view.name);
            (name, &parameters[place.clone()], &self.gradient[place])
        })
    }
}

/// A gradient plus `decay` times the parameters, into `sum`.
pub(super) fn decayed(decay: f64, gradient: &[f32], parameters: &[f32], sum: &mut Vec<f32>) {
    let decay = decay as f32;
    sum.clear();
    let numbers = gradient.iter().zip(parameters);
    sum.extend(numbers.map(|(gradient, parameter)| gradient + decay * parameter));
}

/// The mean of a batch's numbers, in f64; 0 for an empty batch.
pub(super) fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len().max(1) as f64
}

/// The Euclidean norm of the concatenation of several vectors.
pub(super) fn norm<'a>(vectors: impl IntoIterator<Item = &'a Vec<f32>>) -> f64 {
    let numbers = vectors.into_iter().flatten();
    let squares = numbers.map(|&x| f64::from(x) * f64::from(x));
    squares.sum::<f64>().sqrt()
}

/// Multiply-adds with the weights of a network, per row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Products {
    /// Of the forward pass.
    pub(super) all: f64,
    /// Those of them in the first layer.
    pub(super) first: f64,
}

impl Products {
    pub(super) fn of(shape: &Shape) -> Self {
        let first_width = shape.hidden.first().copied().unwrap_or(shape.outputs);
        let mut inputs = shape.width();
        let mut all = 0;
        for &outputs in shape.hidden.iter().chain([&shape.outputs]) {
            all += inputs * outputs;
            inputs = outputs;
        }
        Self {
            all: all as f64,
            first: (shape.width() * first_width) as f64,
        }
    }

    /// Of the forward pass and the gradients of the weights; the input needs no gradient.
    pub(super) fn learning(self) -> f64 {
        3.0 * self.all - self.first
    }

    /// Of the forward pass and the gradient of a `share` of the inputs, without the weights'
    /// gradients.
    pub(super) fn to_input(self, share: f64) -> f64 {
        2.0 * self.all - (1.0 - share) * self.first
    }
}

/// A network's weights under the names that a file gives to the network called `name`.
pub(super) fn entries(name: &str, network: &Network) -> Vec<Entry> {
    let Shape { members, norm, .. } = *network.shape();
    export(
        name,
        "",
        (members, norm),
        network.parameters(),
        network.layout(),
    )
}

/// The parameters of the network called `name` in a file.
pub(super) fn read(
    name: &str,
    shape: &Shape,
    file: &TensorFile,
) -> Result<Vec<f32>, StateDictError> {
    import(
        name,
        "",
        (shape.members, shape.norm),
        &Layout::new(shape),
        file,
    )
}

/// Weights under PyTorch's names for an `nn.Sequential` called `net`: `NAME.net.0.weight`, ...;
/// each hidden layer has as many modules as its linear layer, its activation and its norm.
fn export(
    name: &str,
    suffix: &str,
    (members, norm): (usize, Option<Norm>),
    parameters: &[f32],
    layout: &Layout,
) -> Vec<Entry> {
    let views = layout.views().map(|view| {
        let peer = peer_name(name, suffix, (members, norm), &view.name);
        state_dict::linear_entry(peer, &view.dims, &parameters[view.range.clone()])
    });
    views.collect()
}

fn import(
    name: &str,
    suffix: &str,
    (members, norm): (usize, Option<Norm>),
    layout: &Layout,
    file: &TensorFile,
) -> Result<Vec<f32>, StateDictError> {
    let mut parameters = state_dict::room(layout.len(), file)?;
    for view in layout.views() {
        let peer = peer_name(name, suffix, (members, norm), &view.name);
        let values = state_dict::read_linear(&peer, &view.dims, file)?;
        parameters[view.range.clone()].copy_from_slice(&values);
    }
    Ok(parameters)
}

/// `critic_2_target.net.4.bias` for `member.1.layer.2.bias` of the ensemble `critic`.
fn peer_name(
    name: &str,
    suffix: &str,
    (members, norm): (usize, Option<Norm>),
    view: &str,
) -> String {
    let mut parts = view.split('.');
    let mut next = || parts.next().unwrap_or_default();
    let number = |text: &str| text.parse::<usize>().unwrap_or_default();
    let network = if members > 1 {
        next();
        format!("{name}_{}", number(next()) + 1)
    } else {
        name.to_owned()
    };
    next();
    let layer = number(next());
    let rest: Vec<&str> = parts.collect();
    let first = layer * if norm.is_some() { 3 } else { 2 };
    let module = match (rest.first(), norm.map(|norm| norm.place)) {
        (Some(&"norm"), Some(Place::AfterActivation)) => first + 2,
        (Some(&"norm"), _) => first + 1,
        _ => first,
    };
    let kind = rest.last().copied().unwrap_or_default();
    format!("{network}{suffix}.net.{module}.{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_a_sequential_and_of_the_members() {
        let name = |members, view| peer_name("critic", "_target", (members, None), view);
        assert_eq!(name(1, "layer.0.weight"), "critic_target.net.0.weight");
        assert_eq!(
            name(2, "member.1.layer.2.bias"),
            "critic_2_target.net.4.bias"
        );
        let normed = |place, view| {
            let epsilon = 1e-6;
            peer_name("critic", "", (2, Some(Norm { place, epsilon })), view)
        };
        for (place, view, expected) in [
            (
                Place::AfterActivation,
                "member.0.layer.1.bias",
                "critic_1.net.3.bias",
            ),
            (
                Place::AfterActivation,
                "member.0.layer.1.norm.bias",
                "critic_1.net.5.bias",
            ),
            (
                Place::BeforeActivation,
                "member.1.layer.0.norm.weight",
                "critic_2.net.1.weight",
            ),
        ] {
            assert_eq!(normed(place, view), expected);
        }
    }
}
