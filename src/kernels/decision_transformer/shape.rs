//! The sizes of the model.

use crate::kernels::activation::Activation;
use crate::kernels::loss::Head;

/// The sizes of the model. `width` must be a multiple of `heads`, and none may be zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// S, numbers in an observation
    pub observation: usize,
    /// A, numbers in an action (discrete: the number of actions)
    pub action: usize,
    /// K, steps in a window
    pub context: usize,
    /// C, numbers in a token
    pub width: usize,
    /// H
    pub heads: usize,
    /// L
    pub layers: usize,
    /// rows of the timestep table: timesteps are below it
    pub timesteps: usize,
    /// between the two products of an MLP
    pub activation: Activation,
    /// what becomes of the head's numbers
    pub head: Head,
}
