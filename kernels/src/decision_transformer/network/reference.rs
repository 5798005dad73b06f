//! What the naive parts of the model share: parameters, gradient, and the masks of a window.

use crate::dropout::{Dropout, Site};
use crate::parameters::Pair;
use crate::precision::Precision;
use crate::real::Real;
use crate::{adaptive_norm, layer_norm, linear};
use std::ops::Range;

/// All parameters, and the precision of the large products.
#[derive(Clone, Copy)]
pub(crate) struct Network<'a, R> {
    pub(crate) precision: Precision,
    /// That of attention's factors.
    pub(crate) attention: Precision,
    /// Added to the variance in all norms but the embedding's.
    pub(crate) epsilon: f32,
    pub(crate) parameters: &'a [R],
}

impl<R: Real> Network<'_, R> {
    /// x W + b.
    pub(crate) fn linear(&self, at: &Pair, x: &[R]) -> Vec<R> {
        let weight = &self.parameters[at.weight.clone()];
        let bias = &self.parameters[at.bias.clone()];
        linear::reference::forward(self.precision, x, weight, bias)
    }

    /// The norm of each row.
    pub(crate) fn norm(&self, at: &Pair, x: &[R]) -> Vec<R> {
        let gain = &self.parameters[at.weight.clone()];
        let bias = &self.parameters[at.bias.clone()];
        layer_norm::reference::forward_at(self.epsilon, x, gain, bias)
    }

    /// The embedding's norm of each row, plus the vector that every token gets, if there is one.
    pub(crate) fn embed_norm(&self, at: Embedded<'_>, x: &[R]) -> Vec<R> {
        let (norm, position) = at;
        let gain = &self.parameters[norm.weight.clone()];
        let bias = &self.parameters[norm.bias.clone()];
        let mut y = layer_norm::reference::forward(x, gain, bias);
        if let Some(position) = position {
            let added = &self.parameters[position.clone()];
            for row in y.chunks_mut(added.len()) {
                row.iter_mut().zip(added).for_each(|(y, p)| *y += *p);
            }
        }
        y
    }

    /// The adaptive norm of each row, whose gain and bias depend on its return-to-go.
    pub(crate) fn adaptive_norm(&self, at: Adaptive<'_>, returns: &[f32], x: &[R]) -> Vec<R> {
        adaptive_norm::reference::forward(self.epsilon, x, &exact(returns), self.adaptive(at))
    }

    fn adaptive(&self, (norm, slopes): Adaptive<'_>) -> adaptive_norm::reference::Weights<'_, R> {
        // The bias is stored directly after the gain.
        let affine = &self.parameters[norm.weight.start..norm.bias.end];
        adaptive_norm::reference::Weights::new(affine, &self.parameters[slopes.clone()])
    }
}

/// The embedding's norm, and the vector that every token gets, if there is one.
pub(crate) type Embedded<'a> = (&'a Pair, Option<&'a Range<usize>>);

/// A norm, and the slopes of its gain and bias in the return-to-go.
pub(crate) type Adaptive<'a> = (&'a Pair, &'a Range<usize>);

fn exact<R: Real>(numbers: &[f32]) -> Vec<R> {
    numbers.iter().map(|x| R::from_f64((*x).into())).collect()
}

/// The gradient of all parameters, being accumulated.
pub(crate) struct Backward<'a, R> {
    pub(crate) network: Network<'a, R>,
    pub(crate) gradient: &'a mut [R],
}

impl<R: Real> Backward<'_, R> {
    pub(crate) fn add(&mut self, range: &Range<usize>, by: &[R]) {
        for (to, by) in self.gradient[range.clone()].iter_mut().zip(by) {
            *to += *by;
        }
    }

    /// dx, from x and dy.
    pub(crate) fn linear(&mut self, at: &Pair, x: &[R], dy: &[R]) -> Vec<R> {
        let Network {
            precision,
            parameters,
            ..
        } = self.network;
        let weight = &parameters[at.weight.clone()];
        let found = linear::reference::backward(precision, x, weight, dy, at.bias.len());
        self.add(&at.weight, &found.weight);
        self.add(&at.bias, &found.bias);
        found.x
    }

    /// dx, from x and dy.
    pub(crate) fn norm(&mut self, at: &Pair, x: &[R], dy: &[R]) -> Vec<R> {
        let gain = &self.network.parameters[at.weight.clone()];
        let found = layer_norm::reference::backward_at(self.network.epsilon, x, gain, dy);
        self.add(&at.weight, &found.gain);
        self.add(&at.bias, &found.bias);
        found.x
    }

    /// dx, from x and dy.
    pub(crate) fn embed_norm(
        &mut self,
        (norm, position): Embedded<'_>,
        x: &[R],
        dy: &[R],
    ) -> Vec<R> {
        let gain = &self.network.parameters[norm.weight.clone()];
        let found = layer_norm::reference::backward(x, gain, dy);
        self.add(&norm.weight, &found.gain);
        self.add(&norm.bias, &found.bias);
        for dy in dy.chunks(norm.bias.len()) {
            if let Some(position) = position {
                self.add(position, dy);
            }
        }
        found.x
    }

    /// dx, from x and dy.
    pub(crate) fn adaptive_norm(
        &mut self,
        at: Adaptive<'_>,
        returns: &[f32],
        x: &[R],
        dy: &[R],
    ) -> Vec<R> {
        let weights = self.network.adaptive(at);
        let epsilon = self.network.epsilon;
        let found = adaptive_norm::reference::backward(epsilon, x, &exact(returns), weights, dy);
        let (norm, slopes) = at;
        self.add(&(norm.weight.start..norm.bias.end), &found.affine);
        self.add(slopes, &found.slopes);
        found.x
    }
}

/// The valid tokens of a window, and their position in it.
#[derive(Clone, Copy)]
pub(crate) struct Tokens<'a> {
    pub(crate) dropout: Option<&'a Dropout>,
    pub(crate) window: usize,
    /// The position of the first one in the padded window.
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl Tokens<'_> {
    /// The mask of a dropout site with this many channels: tokens x channels, all ones without
    /// dropout.
    pub(crate) fn mask<R: Real>(&self, site: Site, channels: usize) -> Vec<R> {
        let mut all = Vec::new();
        for token in 0..self.count {
            let mut row = vec![1.0; channels];
            if let Some(dropout) = self.dropout {
                dropout.mask(site, self.window, self.first + token, &mut row);
            }
            all.extend(row.iter().map(|m| R::from_f64((*m).into())));
        }
        all
    }
}

/// a + b.
pub(crate) fn sum<R: Real>(a: &[R], b: &[R]) -> Vec<R> {
    a.iter().zip(b).map(|(a, b)| *a + *b).collect()
}
