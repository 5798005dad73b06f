//! Heads on a network's outputs: bounded actions, distributions over actions.
//!
//! A head is a set of loops over rows; it has no parameters of its own. Forward loops take the
//! network's outputs z and, where something is drawn, the noise; backward loops take the gradients
//! of the loss at the forward loops' results and write the gradient at z, which `Network::backward`
//! takes.

pub mod categorical;
pub mod gaussian;
pub mod squashed;
pub mod tanh;

/// The logarithm of sqrt(2 pi).
const LOG_ROOT_TAU: f64 = 0.918_938_533_204_672_7;
