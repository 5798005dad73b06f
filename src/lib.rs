//! rtg (return-to-go): a Decision Transformer workbench.
//!
//! Offline trajectories train a Decision Transformer; rollouts evaluate it for every target return
//! at once. Data flow one way:
//!
//! ```text
//! envs -> rollout -> Episode -> Dataset -> Batch -> Learner -> checkpoint -> evaluate -> report
//! ```
//!
//! Each module uses only those above it in this file; `ARCHITECTURE.md` has the picture.

pub mod interrupt;
pub mod random;
pub mod statistics;
pub mod parallel;
pub mod kernels;
pub mod nn;
pub mod device;
pub mod keys;
pub mod optimise;
pub mod policy;
pub mod behaviour;
pub mod algorithms;
pub mod rollout;
pub mod evaluate;
pub mod metrics;
pub mod run;
pub mod export;
pub mod experiment;
pub mod sweep;
pub mod error;
pub mod builtin;
pub mod data;
pub mod checkpoint;
pub mod video;
pub mod collect;
pub mod train;
pub mod trained;
pub mod compare;
pub mod report;
pub mod bench;
pub mod cli;
