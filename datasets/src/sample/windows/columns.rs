//! A sampler's numbers as whole columns, and its draws without the windows: for devices that cut
//! windows themselves.

use rand::Rng;

use super::WindowSampler;
use super::source::EpisodeSlice;

/// All steps of all episodes, concatenated, in the model's units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// `N x S`, normalised.
    pub observations: Vec<f32>,
    /// `N x A`; empty for discrete actions.
    pub actions: Vec<f32>,
    /// `N`: the index of each discrete action; empty for continuous ones.
    pub labels: Vec<u32>,
    /// `N`, divided by the return scale; labels, where the dataset has any.
    pub returns_to_go: Vec<f32>,
    /// The first step of each episode, and finally `N`.
    pub starts: Vec<usize>,
}

impl WindowSampler {
    /// The whole dataset, in the numbers of its windows.
    pub fn columns(&self) -> Columns {
        let steps = self.draws.rows();
        let (s, width) = (self.padded_observation.len(), self.action_width());
        let is_discrete = self.source.action_units().is_discrete();
        let mut columns = Columns {
            observations: vec![0.0; steps * s],
            actions: vec![0.0; if is_discrete { 0 } else { steps * width }],
            labels: vec![0; if is_discrete { steps } else { 0 }],
            returns_to_go: vec![0.0; steps],
            starts: self.draws.starts().to_vec(),
        };
        let all = EpisodeSlice {
            first: 0,
            ends: None,
            step: 0,
            length: steps,
        };
        let mut step = 0;
        let is_consistent = self.source.is_consistent();
        for [observations, actions, returns] in self.source.pieces(all) {
            let end = step + returns.len() / (1 + usize::from(is_consistent));
            columns.observations[step * s..end * s].copy_from_slice(observations);
            let told = &mut columns.returns_to_go[step..end];
            if is_consistent {
                let (pairs, _) = returns.as_chunks();
                let labels = pairs
                    .iter()
                    .map(|[return_to_go, above]| return_to_go + above);
                told.iter_mut()
                    .zip(labels)
                    .for_each(|(told, label)| *told = label);
            } else {
                told.copy_from_slice(returns);
            }
            if is_discrete {
                for (label, &choice) in columns.labels[step..end].iter_mut().zip(actions) {
                    *label = choice as u32;
                }
            } else {
                columns.actions[step * width..end * width].copy_from_slice(actions);
            }
            step = end;
        }
        columns
    }

    /// The steps at which the `rows` windows of the next batch begin: those that
    /// [`sample`](WindowSampler::sample) would draw from the same generator.
    pub fn draw_starts(&self, rng: &mut impl Rng, rows: usize, starts: &mut Vec<u32>) {
        starts.extend((0..rows).map(|_| self.draws.draw(rng) as u32));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Batch, WindowConfig};
    use super::*;
    use crate::{Dataset, Normaliser};
    use rand_pcg::rand_core::SeedableRng;

    fn fixture(name: &str) -> Dataset {
        let path = format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
        crate::open(&path, None).unwrap()
    }

    #[test]
    fn windows_cut_from_the_columns_at_the_drawn_steps_are_the_batch() {
        for name in ["minari/tiny/cartpole-v0", "minari/tiny/pendulum-v0"] {
            let dataset = fixture(name);
            let normaliser = Normaliser::of(&dataset, Normaliser::EPSILON);
            let config = WindowConfig::corl(3, 10.0);
            let sampler = WindowSampler::new(&dataset, &normaliser, config).unwrap();
            let columns = sampler.columns();
            let generator = || rand_pcg::Pcg64::seed_from_u64(4);
            let (mut batch, mut starts) = (Batch::default(), Vec::new());
            sampler.sample(&mut generator(), 20, &mut batch);
            sampler.draw_starts(&mut generator(), 20, &mut starts);
            let s = dataset.observation_width();
            let a = sampler.action_width();
            for (row, start) in starts.into_iter().enumerate() {
                let (start, length) = (start as usize, batch.lengths[row]);
                let (at, end) = (row * 3, row * 3 + length);
                let end_step = start + length;
                assert_eq!(
                    columns.observations[start * s..end_step * s],
                    batch.observations[at * s..end * s]
                );
                assert_eq!(
                    columns.returns_to_go[start..end_step],
                    batch.returns_to_go[at..end]
                );
                if batch.labels.is_empty() {
                    let own = &columns.actions[start * a..end_step * a];
                    assert_eq!(own, &batch.actions[at * a..end * a]);
                } else {
                    assert_eq!(columns.labels[start..end_step], batch.labels[at..end]);
                }
            }
        }
    }
}
