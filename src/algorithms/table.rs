//! The table of algorithms. An algorithm is its folder and its entry here.

use super::actor_critic::Entry;
use super::{
    Algorithm, awac, bc, cql, decision_transformer, discrete_bcq, discrete_cql, dqn, edac, iql,
    ppo, rebrac, rvs, sac, td3_bc,
};

/// Every algorithm; the first is the default.
pub static TABLE: [&dyn Algorithm; 14] = [
    &decision_transformer::DecisionTransformer,
    &bc::BehaviourCloning,
    &rvs::Rvs,
    &Entry::<td3_bc::Td3Bc>::NEW,
    &Entry::<iql::Iql>::NEW,
    &Entry::<awac::Awac>::NEW,
    &Entry::<rebrac::Rebrac>::NEW,
    &Entry::<cql::Cql>::NEW,
    &Entry::<edac::Edac>::NEW,
    &Entry::<sac::Sac>::NEW,
    &dqn::Dqn,
    &ppo::Ppo,
    &discrete_cql::DiscreteCql,
    &discrete_bcq::DiscreteBcq,
];
