//! The table of algorithms. To add an algorithm, add its folder and its entry here.

use super::actor_critic::ActorCriticEntry;
use super::{
    Algorithm, awac, bc, cql, decision_transformer, discrete_awac, discrete_bcq, discrete_cql,
    discrete_iql, dqn, edac, iql, ppo, rebrac, rvs, sac, td3, td3_bc,
};

/// Every algorithm; the first is the default.
pub static TABLE: [&dyn Algorithm; 17] = [
    &decision_transformer::DecisionTransformer,
    &bc::BehaviourCloning,
    &rvs::Rvs,
    &ActorCriticEntry::<td3_bc::Td3Bc>::NEW,
    &ActorCriticEntry::<iql::Iql>::NEW,
    &ActorCriticEntry::<awac::Awac>::NEW,
    &ActorCriticEntry::<rebrac::Rebrac>::NEW,
    &ActorCriticEntry::<cql::Cql>::NEW,
    &ActorCriticEntry::<edac::Edac>::NEW,
    &ActorCriticEntry::<sac::Sac>::NEW,
    &ActorCriticEntry::<td3::Td3>::NEW,
    &dqn::Dqn,
    &ppo::Ppo,
    &discrete_cql::DiscreteCql,
    &discrete_bcq::DiscreteBcq,
    &ActorCriticEntry::<discrete_iql::DiscreteIql>::NEW,
    &ActorCriticEntry::<discrete_awac::DiscreteAwac>::NEW,
];
