//! Learning algorithms: each has a configuration, a learner and the policy that comes out.

pub mod decision_transformer;
