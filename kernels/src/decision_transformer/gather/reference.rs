//! A naive gather.

use super::{Actions, Columns};
use crate::decision_transformer::windows::Side;

/// One window, its valid steps first, followed by zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// K x S
    pub observations: Vec<f32>,
    /// K x A
    pub actions: Vec<f32>,
    /// K
    pub returns_to_go: Vec<f32>,
    /// K
    pub timesteps: Vec<u32>,
    /// valid steps
    pub length: usize,
    /// the first of them in the padded window
    pub first_step: usize,
}

/// The window of `context` steps that starts at `step`, with actions of `width` numbers.
pub fn window(columns: &Columns<'_>, step: usize, context: usize, width: usize) -> Window {
    let s = columns.observations.len() / columns.steps();
    let episode = columns.starts.iter().rposition(|start| *start <= step);
    let episode = episode.unwrap_or(0);
    let (begin, end) = (columns.starts[episode], columns.starts[episode + 1]);
    let length = context.min(end - step);
    let mut window = Window {
        observations: vec![0.0; context * s],
        actions: vec![0.0; context * width],
        returns_to_go: vec![0.0; context],
        timesteps: vec![0; context],
        length,
        first_step: match columns.side {
            Side::Left => context - length,
            Side::Right => 0,
        },
    };
    for k in 0..length {
        let from = step + k;
        window.observations[k * s..(k + 1) * s]
            .copy_from_slice(&columns.observations[from * s..(from + 1) * s]);
        window.returns_to_go[k] = columns.returns_to_go[from];
        window.timesteps[k] = ((from - begin) as u32).min(columns.max_timestep);
        let row = &mut window.actions[k * width..(k + 1) * width];
        match columns.actions {
            Actions::Numbers(numbers) => {
                row.copy_from_slice(&numbers[from * width..(from + 1) * width]);
            }
            Actions::Labels(labels) => row[labels[from] as usize] = 1.0,
        }
    }
    window
}
