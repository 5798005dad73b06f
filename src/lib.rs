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
//!
//! The program `rtg` is the usual way in. In code, a plan becomes a learner, and its model acts:
//!
//! ```
//! use rtg::algorithms::Source;
//! use rtg::experiment::Experiment;
//! use rtg::policy::{Mode, Start};
//! use rtg::random::Stream;
//!
//! let plan = "dataset = 'builtin/pendulum/random'\nsteps = 2\nthreads = 1\n\
//!     optimiser.batch_size = 4\ndecision_transformer = { width = 8, layers = 1, context = 5 }";
//! let planned = Experiment::from_layers(&[Experiment::parse_layer(plan)?])?;
//! let opened = rtg::labels::open(&planned, None)?;
//! let experiment = planned.resolve(&opened.spec, opened.data.as_ref())?;
//! let alone = rtg::parallel::World::alone();
//! let mut learner = rtg::train::new_learner(&experiment, &alone, &opened, None)?;
//! let dataset = opened.data.as_ref().expect("the plan names a dataset");
//! let batches = Stream::new(experiment.seed, "batches");
//! let mut source = Source::open(&learner.needs(), dataset, batches, false)?;
//! for step in 0..experiment.steps {
//!     learner.update(&mut source, experiment.steps - step)?;
//! }
//!
//! let mut policy = learner.model().policy(Mode::Greedy, 1, 1);
//! let target = Some(-200.0);
//! policy.begin(0, &Start { seed: 0, target });
//! let mut action = [0.0];
//! policy.act(&[0], &[1.0, 0.0, 0.5], &[0.0], &mut action);
//! assert!(action[0].abs() <= 2.0);
//! # Ok::<(), rtg::error::Error>(())
//! ```

pub mod interrupt;
pub mod random;
pub mod statistics;
pub mod parallel;
pub use rtg_kernels as kernels;
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
pub mod acting;
pub mod builtin;
pub mod data;
pub mod checkpoint;
pub mod labels;
pub mod video;
pub mod collect;
pub mod train;
pub mod trained;
pub mod off_policy;
pub mod compare;
pub mod report;
pub mod bench;
pub mod cli;
