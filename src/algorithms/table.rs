//! The table of algorithms. An algorithm is its folder and its entry here.

use super::actor_critic::Entry;
use super::{Algorithm, bc, decision_transformer, iql, sac, td3_bc};

/// Every algorithm; the first is the default.
pub static TABLE: [&dyn Algorithm; 5] = [
    &decision_transformer::DecisionTransformer,
    &bc::BehaviourCloning,
    &Entry::<td3_bc::Td3Bc>::NEW,
    &Entry::<iql::Iql>::NEW,
    &Entry::<sac::Sac>::NEW,
];
