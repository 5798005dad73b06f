//! Initial weights, as each recipe draws them.

use rand::RngExt;
use rand_distr::{Distribution, Normal, StandardNormal, Uniform};

use crate::kernels::Layout;
use crate::random::Stream;

/// How a recipe fills a new model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialisation {
    /// kzl: the GPT-2 body N(0, 0.02) with zero biases; the layers around it as PyTorch makes them
    /// (`Linear`: U(-1/sqrt(inputs), 1/sqrt(inputs)) for weight and bias; `Embedding`: N(0, 1)).
    Official,
    /// CORL: every `Linear` and `Embedding` N(0, 0.02), biases zero.
    Corl,
}

/// A new flat parameter vector. LayerNorms start at gain 1 and bias 0 in both recipes.
pub fn initialise(layout: &Layout, how: Initialisation, stream: &mut Stream) -> Vec<f32> {
    let mut parameters = vec![0.0; layout.len()];
    for view in layout.views() {
        let values = &mut parameters[view.range.clone()];
        let (layer, kind) = view.name.rsplit_once('.').unwrap_or((&view.name, ""));
        if layer.contains("norm") {
            values.fill(if kind == "weight" { 1.0 } else { 0.0 });
        } else if how == Initialisation::Corl || layer.starts_with("block") {
            if kind != "bias" {
                fill_normal(values, 0.02, stream);
            }
        } else if view.name == "embed.timestep" {
            values.iter_mut().for_each(|value| *value = StandardNormal.sample(stream));
        } else {
            let inputs = layout.dimensions(&format!("{layer}.weight"))[0];
            fill_uniform(values, inputs, stream);
        }
    }
    parameters
}

/// N(0, deviation).
pub(super) fn fill_normal(values: &mut [f32], deviation: f32, stream: &mut Stream) {
    if let Ok(normal) = Normal::new(0.0, deviation) {
        values.iter_mut().for_each(|value| *value = normal.sample(stream));
    }
}

/// PyTorch's default for a `Linear` with this many inputs.
pub(super) fn fill_uniform(values: &mut [f32], inputs: usize, stream: &mut Stream) {
    let bound = (inputs as f32).sqrt().recip();
    if let Ok(uniform) = Uniform::new(-bound, bound) {
        values.iter_mut().for_each(|value| *value = stream.sample(uniform));
    }
}
