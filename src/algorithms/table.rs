//! The table of algorithms. An algorithm is its folder and its entry here.

use super::{Algorithm, bc, decision_transformer};

/// Every algorithm; the first is the default.
pub static TABLE: [&dyn Algorithm; 2] = [
    &decision_transformer::DecisionTransformer,
    &bc::BehaviourCloning,
];
