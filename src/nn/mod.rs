//! Models in dfdx: parameters, the composed reference, the fused engine as a node of the tape, a
//! perceptron.

mod fused;
mod gelu;
pub mod initialise;
pub mod loss;
pub mod mlp;
pub mod network;
pub mod state_dict;
pub mod transformer;
