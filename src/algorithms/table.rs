//! The table of algorithms. An algorithm is its folder and its entry here.

use super::{Algorithm, bc, decision_transformer, iql, sac, td3_bc};

/// Every algorithm; the first is the default.
pub static TABLE: [&dyn Algorithm; 5] = [
    &decision_transformer::DecisionTransformer,
    &bc::BehaviourCloning,
    &td3_bc::Td3Bc,
    &iql::Iql,
    &sac::Sac,
];
