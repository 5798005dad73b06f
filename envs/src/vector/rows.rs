//! Rows of one type, one after the other.

use super::{
    batch::{Batch, Outcome, StepRequest, step_row},
    team::ThreadTeam,
};
use crate::Env;

impl<E: Env + 'static> Batch for Vec<E> {
    fn step(&mut self, request: StepRequest, outcome: &mut Outcome) {
        let (rows, width) = (self.len(), request.width);
        let step = |row: usize| {
            let action = &request.actions[row * width..][..width];
            step_row(&mut self[row], row, action, request.autoreset, outcome);
        };
        match request.active {
            None => (0..rows).for_each(step),
            Some(active) => active.iter().copied().for_each(step),
        }
    }

    fn reset(&mut self, row: usize, seed: Option<u64>, observation: &mut [f64]) {
        self[row].reset(seed, observation);
    }

    fn env(&self, row: usize) -> &dyn Env {
        &self[row]
    }

    fn shared(self: Box<Self>, threads: usize) -> Box<dyn Batch> {
        if threads == 1 {
            return self;
        }
        Box::new(ThreadTeam::new(*self, threads))
    }
}
