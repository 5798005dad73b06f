//! The dfdx side of the model: parameters, the composed reference, the fused engine on the tape.

mod fused;
mod gelu;
pub mod initialise;
pub mod loss;
pub mod network;
pub mod state_dict;
pub mod transformer;
