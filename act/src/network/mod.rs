//! The networks that policies consist of.

mod attention;
mod convolution;
mod embedding;
mod layer;
mod perceptron;
mod sequence;

use alloc::boxed::Box;

use crate::error::Error;
use crate::functions::{gelu, tanh};
use crate::reader::{Memory, Reader};

use self::perceptron::Perceptron;
use self::sequence::Sequence;

/// A network with the memory that it needs to act.
pub(crate) enum Network {
    Perceptron(Box<Perceptron>),
    Sequence(Box<Sequence>),
}

/// The sizes of a policy.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// S, numbers in an observation.
    pub(crate) observation: usize,
    /// A, numbers of an action, or choices.
    pub(crate) action: usize,
}

/// A step as the network sees it.
pub(crate) struct Step<'a> {
    /// S numbers, normalised.
    pub(crate) observation: &'a [f32],
    /// A numbers: the action taken in the step before; of no meaning in an episode's first.
    pub(crate) previous_action: &'a [f32],
    pub(crate) return_to_go: f64,
}

impl Network {
    pub(crate) fn read(reader: &mut Reader<'_>, sizes: Sizes) -> Result<Self, Error> {
        let memory = &mut Memory::default();
        if reader.choice("policy", &[("sequence", true), ("perceptron", false)])? {
            let sequence = Sequence::read(reader, sizes, memory)?;
            Ok(Self::Sequence(Box::new(sequence)))
        } else {
            let perceptron = Perceptron::read(reader, sizes, memory)?;
            Ok(Self::Perceptron(Box::new(perceptron)))
        }
    }

    /// Whether its actions depend on a target return.
    pub(crate) fn takes_target(&self) -> bool {
        match self {
            Self::Perceptron(perceptron) => perceptron.takes_target(),
            Self::Sequence(_) => true,
        }
    }

    /// An episode begins.
    pub(crate) fn begin(&mut self, target: f64) {
        match self {
            Self::Perceptron(perceptron) => perceptron.begin(target),
            Self::Sequence(sequence) => sequence.begin(),
        }
    }

    /// A numbers in the network's units: an action, or a number for each choice.
    pub(crate) fn act(&mut self, bytes: &[u8], step: &Step<'_>) -> &[f32] {
        match self {
            Self::Perceptron(perceptron) => perceptron.act(bytes, step.observation),
            Self::Sequence(sequence) => sequence.act(bytes, step),
        }
    }
}

/// What a hidden layer applies to each of its numbers.
#[derive(Clone, Copy, Debug)]
enum Activation {
    Relu,
    Tanh,
    Gelu,
}

impl Activation {
    fn apply(self, x: &mut [f32]) {
        let each = |x: &mut [f32], of: fn(f32) -> f32| x.iter_mut().for_each(|x| *x = of(*x));
        match self {
            Self::Relu => each(x, |x| x.max(0.0)),
            Self::Tanh => each(x, tanh),
            Self::Gelu => each(x, gelu),
        }
    }
}
