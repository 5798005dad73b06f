//! The table of algorithms. To add an algorithm, add its folder and its entry here.

use super::actor_critic::Entry;
use super::{
    Algorithm, awac, bc, cql, decision_transformer, discrete_awac, discrete_bcq, discrete_cql,
    discrete_iql, dqn, edac, iql, ppo, rebrac, rvs, sac, td3, td3_bc,
};

/// Every algorithm; the first is the default.
pub static TABLE: [&dyn Algorithm; 17] = [
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
    &Entry::<td3::Td3>::NEW,
    &dqn::Dqn,
    &ppo::Ppo,
    &discrete_cql::DiscreteCql,
    &discrete_bcq::DiscreteBcq,
    &Entry::<discrete_iql::DiscreteIql>::NEW,
    &Entry::<discrete_awac::DiscreteAwac>::NEW,
];
