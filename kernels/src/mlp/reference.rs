//! Naive small networks, layer by layer.

use super::layout::{Activation, Layer, Layout, Place, Shape};
use crate::dropout::Site;
use crate::dropout::cpu::{Rate, Row};
use crate::layer_norm::reference as layer_norm;
use crate::linear::reference as linear;
use crate::precision::Precision::F32;
use crate::real::{Real, normal_distribution};

/// The gradients of a pass.
pub struct Gradients<R> {
    /// In the layout of the network.
    pub parameters: Vec<R>,
    /// members x rows x width of the whole input
    pub inputs: Vec<R>,
}

/// f(x).
pub fn activate<R: Real>(activation: Activation, x: R) -> R {
    let x = x.to_f64();
    R::from_f64(match activation {
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
        Activation::Gelu => x * normal_distribution(x),
    })
}

/// f'(x).
pub fn slope<R: Real>(activation: Activation, x: R) -> R {
    let x = x.to_f64();
    R::from_f64(match activation {
        Activation::Relu => f64::from(x > 0.0),
        Activation::Tanh => 1.0 - x.tanh().powi(2),
        Activation::Gelu => {
            let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
            normal_distribution(x) + x * density
        }
    })
}

/// The intermediate results of a hidden layer.
struct Hidden<R> {
    /// The linear layer's output.
    linear: Vec<R>,
    /// The input of the activation.
    inner: Vec<R>,
    /// The input of the norm, if it is after the activation.
    activated: Vec<R>,
    /// 0 or 1 / (1 - p)
    mask: Vec<R>,
    output: Vec<R>,
}

/// A member of an ensemble.
struct Member<'a, R> {
    shape: &'a Shape,
    layout: &'a Layout,
    parameters: &'a [R],
    index: usize,
    key: Option<u64>,
}

impl<R: Real> Member<'_, R> {
    fn norm(&self, layer: &Layer) -> Option<(&[R], &[R])> {
        let place = layer.norm.clone()?;
        Some(self.parameters[place].split_at(layer.outputs))
    }

    fn mask(&self, index: usize, width: usize, len: usize) -> Vec<R> {
        let Some(key) = self.key else {
            return vec![R::from_f64(1.0); len];
        };
        let rate = Rate::new(self.shape.dropout);
        let site = Site::Mlp { layer: index };
        let of = |at: usize| rate.mask(Row::new(key, site, at / width, self.index), at % width);
        (0..len).map(|at| R::from_f64(of(at).into())).collect()
    }

    fn linear(&self, layer: &Layer, x: &[R]) -> Vec<R> {
        let weight = &self.parameters[layer.weight.clone()];
        linear::forward(F32, x, weight, &self.parameters[layer.bias.clone()])
    }

    fn hidden(&self, index: usize, x: &[R]) -> Hidden<R> {
        let layer = &self.layout.layers()[index];
        let linear = self.linear(layer, x);
        let activation = self.shape.activation;
        let norm = self.shape.norm.zip(self.norm(layer));
        let before = norm.filter(|(norm, _)| norm.place == Place::BeforeActivation);
        let after = norm.filter(|(norm, _)| norm.place == Place::AfterActivation);
        let inner = match before {
            None => linear.clone(),
            Some((norm, (gain, bias))) => layer_norm::forward_at(norm.epsilon, &linear, gain, bias),
        };
        let activated: Vec<R> = inner.iter().map(|x| activate(activation, *x)).collect();
        let mut output = match after {
            None => activated.clone(),
            Some((norm, (gain, bias))) => {
                layer_norm::forward_at(norm.epsilon, &activated, gain, bias)
            }
        };
        let mask = self.mask(index, layer.outputs, output.len());
        for (y, m) in output.iter_mut().zip(&mask) {
            *y = *y * *m;
        }
        Hidden {
            linear,
            inner,
            activated,
            mask,
            output,
        }
    }

    fn forward(&self, input: &[R]) -> (Vec<Hidden<R>>, Vec<R>) {
        let mut hidden: Vec<Hidden<R>> = Vec::new();
        for index in 0..self.shape.hidden.len() {
            let x = hidden.last().map_or(input, |hidden| &hidden.output);
            hidden.push(self.hidden(index, x));
        }
        let x = hidden.last().map_or(input, |hidden| &hidden.output);
        let last = &self.layout.layers()[self.shape.hidden.len()];
        let outputs = self.linear(last, x);
        (hidden, outputs)
    }

    /// The gradients at the parameters, added to `to`, and at the input.
    fn backward(&self, input: &[R], output_gradients: &[R], to: &mut [R]) -> Vec<R> {
        let (hidden, _) = self.forward(input);
        let mut dy = output_gradients.to_vec();
        for (index, layer) in self.layout.layers().iter().enumerate().rev() {
            if let Some(hidden) = hidden.get(index) {
                dy = self.hidden_backward(layer, hidden, dy, to);
            }
            let x = match index.checked_sub(1) {
                None => input,
                Some(below) => &hidden[below].output,
            };
            let weight = &self.parameters[layer.weight.clone()];
            let gradient = linear::backward(F32, x, weight, &dy, layer.outputs);
            add(&mut to[layer.weight.clone()], &gradient.weight);
            add(&mut to[layer.bias.clone()], &gradient.bias);
            dy = gradient.x;
        }
        dy
    }

    /// The gradient at a hidden layer's linear output.
    fn hidden_backward(
        &self,
        layer: &Layer,
        hidden: &Hidden<R>,
        mut dy: Vec<R>,
        to: &mut [R],
    ) -> Vec<R> {
        let multiply = |dy: &mut Vec<R>, factors: &[R]| {
            dy.iter_mut().zip(factors).for_each(|(d, f)| *d = *d * *f);
        };
        multiply(&mut dy, &hidden.mask);
        let slopes = hidden
            .inner
            .iter()
            .map(|x| slope(self.shape.activation, *x));
        let slopes: Vec<R> = slopes.collect();
        let Some((norm, (gain, _))) = self.shape.norm.zip(self.norm(layer)) else {
            multiply(&mut dy, &slopes);
            return dy;
        };
        let is_before = norm.place == Place::BeforeActivation;
        let x = if is_before {
            &hidden.linear
        } else {
            &hidden.activated
        };
        if is_before {
            multiply(&mut dy, &slopes);
        }
        let gradient = layer_norm::backward_at(norm.epsilon, x, gain, &dy);
        if let Some(place) = layer.norm.clone() {
            let (gain, bias) = to[place].split_at_mut(layer.outputs);
            add(gain, &gradient.gain);
            add(bias, &gradient.bias);
        }
        dy = gradient.x;
        if !is_before {
            multiply(&mut dy, &slopes);
        }
        dy
    }
}

fn add<R: Real>(to: &mut [R], x: &[R]) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to += *x);
}

/// The outputs of all members, members x rows x outputs. `input` is rows x width, all parts side by
/// side.
pub fn forward<R: Real>(shape: &Shape, parameters: &[R], input: &[R], key: Option<u64>) -> Vec<R> {
    let layout = Layout::new(shape);
    let outputs = parameters.chunks(layout.member_len()).enumerate();
    let outputs = outputs.map(|(index, parameters)| {
        let member = Member {
            shape,
            layout: &layout,
            parameters,
            index,
            key,
        };
        member.forward(input).1
    });
    outputs.collect::<Vec<_>>().concat()
}

/// The gradients from those at the outputs, members x rows x outputs.
pub fn backward<R: Real>(
    shape: &Shape,
    parameters: &[R],
    input: &[R],
    key: Option<u64>,
    output_gradients: &[R],
) -> Gradients<R> {
    let layout = Layout::new(shape);
    let mut gradients = Gradients {
        parameters: vec![R::zero(); parameters.len()],
        inputs: Vec::new(),
    };
    let len = layout.member_len();
    let to = gradients.parameters.chunks_mut(len);
    let each = output_gradients.chunks(output_gradients.len() / shape.members);
    let members = parameters.chunks(len).zip(each).zip(to).enumerate();
    for (index, ((parameters, output_gradients), to)) in members {
        let member = Member {
            shape,
            layout: &layout,
            parameters,
            index,
            key,
        };
        let at_input = member.backward(input, output_gradients, to);
        gradients.inputs.extend(at_input);
    }
    gradients
}

/// The gradient at the parameters of the sum of `cotangents` (members x rows x width) times the
/// gradient at the input, for `ReLU` without norm and dropout.
pub fn backward_of_input_gradients<R: Real>(
    shape: &Shape,
    parameters: &[R],
    input: &[R],
    output_gradients: &[R],
    cotangents: &[R],
) -> Vec<R> {
    let layout = Layout::new(shape);
    let len = layout.member_len();
    let each = |whole: &[R]| whole.len() / shape.members;
    let members = parameters.chunks(len).enumerate();
    let gradients = members.map(|(index, parameters)| {
        let of = |whole: &'_ [R]| whole[index * each(whole)..(index + 1) * each(whole)].to_vec();
        let member = Member {
            shape,
            layout: &layout,
            parameters,
            index,
            key: None,
        };
        let (hidden, _) = member.forward(input);
        let mask = |layer: usize, x: &mut Vec<R>| {
            for (x, inner) in x.iter_mut().zip(&hidden[layer].inner) {
                *x = *x * slope(Activation::Relu, *inner);
            }
        };
        // e, from the last layer to the first.
        let mut deltas = vec![of(output_gradients)];
        for at in (1..layout.layers().len()).rev() {
            let layer = &layout.layers()[at];
            let weight = &parameters[layer.weight.clone()];
            let x = &hidden[at - 1].output;
            let above = &deltas[deltas.len() - 1];
            let mut delta = linear::backward(F32, x, weight, above, layer.outputs).x;
            mask(at - 1, &mut delta);
            deltas.push(delta);
        }
        let mut gradient = vec![R::zero(); len];
        let mut tangent = of(cotangents);
        for (at, layer) in layout.layers().iter().enumerate() {
            let weight = &parameters[layer.weight.clone()];
            let delta = &deltas[deltas.len() - 1 - at];
            let product = linear::backward(F32, &tangent, weight, delta, layer.outputs);
            add(&mut gradient[layer.weight.clone()], &product.weight);
            if at < hidden.len() {
                let no_bias = vec![R::zero(); layer.outputs];
                tangent = linear::forward(F32, &tangent, weight, &no_bias);
                mask(at, &mut tangent);
            }
        }
        gradient
    });
    gradients.collect::<Vec<_>>().concat()
}
