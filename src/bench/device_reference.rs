//! The first steps of the measurement on a GPU, by the CPU engine: a time is worth something only
//! if the numbers are right at that size, too.

use serde::Serialize;

use rtg_kernels::Dropout;
use rtg_kernels::adamw::{self, Buffers, Step};
use rtg_kernels::decision_transformer::cuda::TrainerSetup;
use rtg_kernels::decision_transformer::gather::{Columns, reference};
use rtg_kernels::decision_transformer::{Engine, LossTargets, Windows};

/// Loss and gradient norm of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FirstStep {
    /// The mean loss.
    pub loss: f64,
    /// The L2 norm of the gradient before clipping.
    pub norm: f64,
}

/// Loss and gradient norm of steps with these starts of windows, keys of dropout and learning rate,
/// in f32; a step is one batch.
pub(super) fn first_steps(
    setup: &TrainerSetup,
    columns: &Columns<'_>,
    mut weights: Vec<f32>,
    (starts, keys, rate): (&[u32], &[u64], f64),
    threads: usize,
) -> Vec<FirstStep> {
    let mut engine = Engine::new(setup.shape, threads);
    let [mut mean, mut square] = [vec![0.0; weights.len()], vec![0.0; weights.len()]];
    let batches = starts.chunks(setup.windows).zip(keys).zip(1..);
    let step = |((starts, key), step): ((&[u32], &u64), u64)| {
        let batch = Batch::new(columns, starts, setup);
        let dropout = setup.dropout.map(|dropout| Dropout {
            key: *key,
            ..dropout
        });
        let mut gradient = vec![0.0; weights.len()];
        let loss = engine.loss_and_gradient(
            &weights,
            &batch.windows(setup.shape.context, columns),
            setup.objective,
            setup.denominator,
            dropout.as_ref(),
            &mut gradient,
        );
        let norm = adamw::norm(&gradient);
        let clip = adamw::clip(norm, setup.largest_norm);
        let how = Step {
            constants: setup.adamw,
            rate,
            number: step,
            clip,
        };
        let buffers = Buffers {
            gradient: &gradient,
            weights: &mut weights,
            mean: &mut mean,
            square: &mut square,
        };
        adamw::update(&how, buffers);
        FirstStep { loss, norm }
    };
    batches.map(step).collect()
}

/// Windows cut from the dataset.
struct Batch {
    observations: Vec<f32>,
    actions: Vec<f32>,
    returns_to_go: Vec<f32>,
    timesteps: Vec<u32>,
    lengths: Vec<usize>,
}

impl Batch {
    fn new(columns: &Columns<'_>, starts: &[u32], setup: &TrainerSetup) -> Self {
        let shape = &setup.shape;
        let cut: Vec<_> = (starts.iter())
            .map(|start| reference::window(columns, *start as usize, shape.context, shape.action))
            .collect();
        let all = |of: fn(&reference::Window) -> &[f32]| cut.iter().flat_map(of).copied().collect();
        Self {
            observations: all(|window| &window.observations),
            actions: all(|window| &window.actions),
            returns_to_go: all(|window| &window.returns_to_go),
            timesteps: (cut.iter())
                .flat_map(|window| window.timesteps.clone())
                .collect(),
            lengths: cut.iter().map(|window| window.length).collect(),
        }
    }

    fn windows(&self, context: usize, columns: &Columns<'_>) -> Windows<'_> {
        Windows {
            observations: &self.observations,
            actions: &self.actions,
            returns_to_go: &self.returns_to_go,
            timesteps: &self.timesteps,
            lengths: &self.lengths,
            side: columns.side,
            context,
            targets: LossTargets::default(),
        }
    }
}
