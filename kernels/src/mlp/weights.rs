//! A member's weights as the products read them. They are packed when a pass first needs them after
//! a change.

use super::layout::{Layer, Layout, Shape};
use super::narrow;
use super::pool::Pool;
use crate::linear::cpu::Panels;
use crate::simd::Level;
use std::ops::Range;

/// One packed matrix.
#[derive(Debug, Default)]
pub(super) struct Pack {
    pub(super) panels: Panels,
    /// For a layer with few outputs: its columns, one after the other.
    pub(super) columns: Vec<f32>,
    /// The version and purpose of the packing.
    state: Option<(u64, Level)>,
}

/// All matrices of an ensemble, members x layers.
#[derive(Debug, Default)]
pub(super) struct Weights {
    /// For the forward product, X W.
    pub(super) forward: Vec<Pack>,
    /// For the backward one, dY W^T. Of the first layer only the rows of `part`.
    pub(super) across: Vec<Pack>,
    part: Option<usize>,
}

/// What a pass needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Forward,
    /// And, of the input, the gradient at this part.
    Backward(Option<usize>),
}

/// One matrix to be packed.
struct Job<'a> {
    layer: &'a Layer,
    /// The rows of the weight to pack: those of a part of the input.
    inputs: Range<usize>,
    of_input: bool,
    weight: &'a [f32],
    pack: &'a mut Pack,
}

impl Weights {
    /// Packs what these members' pass needs and is not packed yet. `version` numbers the
    /// parameters.
    pub(super) fn prepare(
        &mut self,
        pool: &Pool,
        (shape, layout): (&Shape, &Layout),
        (version, parameters): (u64, &[f32]),
        members: Range<usize>,
        need: Need,
    ) {
        let layers = layout.layers();
        let state = Some((version, pool.level()));
        let all = match need {
            Need::Forward => &mut self.forward,
            Need::Backward(_) => &mut self.across,
        };
        all.resize_with(shape.members * layers.len(), Pack::default);
        if let Need::Backward(Some(part)) = need
            && self.part != Some(part)
        {
            self.part = Some(part);
            for pack in all.iter_mut().step_by(layers.len()) {
                pack.state = None;
            }
        }
        let mut jobs = Vec::new();
        for (member, packs) in all.chunks_mut(layers.len()).enumerate() {
            if !members.contains(&member) {
                continue;
            }
            let parameters = layout.of_member(parameters, member);
            for (index, (layer, pack)) in layers.iter().zip(packs).enumerate() {
                let inputs = match need {
                    Need::Backward(None) if index == 0 => continue,
                    Need::Backward(Some(part)) if index == 0 => shape.part(part),
                    _ => 0..layer.inputs,
                };
                if pack.state != state {
                    pack.state = state;
                    let weight = &parameters[layer.weight.clone()];
                    jobs.push(Job {
                        layer,
                        inputs,
                        of_input: index == 0,
                        weight,
                        pack,
                    });
                }
            }
        }
        let numbers: usize = jobs.iter().map(|job| job.weight.len()).sum();
        pool.each(pool.shares(16 * numbers), &mut jobs, |job| {
            job.run(pool.level(), need);
        });
    }
}

impl Job<'_> {
    fn run(&mut self, level: Level, need: Need) {
        let (inputs, outputs) = (self.layer.inputs, self.layer.outputs);
        let Pack {
            panels, columns, ..
        } = &mut *self.pack;
        match need {
            Need::Forward if self.layer.narrow => {
                columns.clear();
                for o in 0..outputs {
                    columns.extend(self.weight[o..].iter().step_by(outputs));
                }
            }
            Need::Forward => panels.pack(level, self.weight, outputs, inputs, outputs, None),
            // The rows of the weight are read where they are.
            Need::Backward(_) if self.of_input && self.inputs.len() <= narrow::MOST => {}
            Need::Backward(_) => {
                let rows = &self.weight[self.inputs.start * outputs..];
                panels.pack_transposed(level, rows, outputs, outputs, self.inputs.len());
            }
        }
    }
}
