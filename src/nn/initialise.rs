//! Initial weights, as each recipe draws them.

use rand::RngExt;
use rand_distr::{Distribution, Normal, StandardNormal, Uniform};

use crate::kernels::decision_transformer::Layout;
use crate::random::Stream;

/// How a recipe fills a new model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialisation {
    /// kzl: the GPT-2 body N(0, 0.02) with zero biases; the layers around it as PyTorch makes them
    /// (`Linear`: U(-1/sqrt(inputs), 1/sqrt(inputs)) for weight and bias; `Embedding`: N(0, 1)).
    Official,
    /// CORL: every `Linear` and `Embedding` N(0, 0.02), biases zero. The joint query-key-value matrix
    /// of `MultiheadAttention` is a bare parameter that CORL's loop over modules passes by, so it
    /// keeps PyTorch's Xavier bounds, U(-sqrt(6 / 4C), sqrt(6 / 4C)).
    Corl,
}

/// A new flat parameter vector. A LayerNorm starts at gain 1 and bias 0 in both recipes.
pub fn initialise(layout: &Layout, how: Initialisation, stream: &mut Stream) -> Vec<f32> {
    let mut parameters = vec![0.0; layout.len()];
    let mut inputs = 1;
    for view in layout.views() {
        let values = &mut parameters[view.range.clone()];
        let (layer, kind) = view.name.rsplit_once('.').unwrap_or((&view.name, ""));
        if layer.contains("norm") {
            values.fill(if kind == "weight" { 1.0 } else { 0.0 });
        } else if how == Initialisation::Corl && layer.ends_with("qkv") {
            if kind == "weight" {
                let bound = (6.0 / (view.dims[0] + view.dims[1]) as f32).sqrt();
                fill_uniform(values, bound, stream);
            }
        } else if how == Initialisation::Corl || layer.starts_with("block") {
            if kind != "bias" {
                fill_normal(values, 0.02, stream);
            }
        } else if view.name == "embed.timestep" {
            for value in values {
                *value = StandardNormal.sample(stream);
            }
        } else {
            // A bias follows its weight, which has as many rows as the layer has inputs.
            if kind == "weight" {
                inputs = view.dims[0];
            }
            fill_uniform(values, linear_bound(inputs), stream);
        }
    }
    parameters
}

/// N(0, deviation).
pub(super) fn fill_normal(values: &mut [f32], deviation: f32, stream: &mut Stream) {
    if let Ok(normal) = Normal::new(0.0, deviation) {
        for value in values {
            *value = normal.sample(stream);
        }
    }
}

/// The bound of PyTorch's default for the weight and bias of a `Linear` with this many inputs.
pub(super) fn linear_bound(inputs: usize) -> f32 {
    (inputs as f32).sqrt().recip()
}

/// U(-bound, bound).
pub(super) fn fill_uniform(values: &mut [f32], bound: f32, stream: &mut Stream) {
    if let Ok(uniform) = Uniform::new(-bound, bound) {
        for value in values {
            *value = stream.sample(uniform);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::decision_transformer::Shape;
    use crate::kernels::{Activation, Head};

    fn deviation(values: &[f32]) -> f64 {
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        (values
            .iter()
            .map(|&v| (f64::from(v) - mean).powi(2))
            .sum::<f64>()
            / values.len() as f64)
            .sqrt()
    }

    #[test]
    fn each_recipe_draws_each_weight_from_its_own_distribution() {
        let shape = Shape {
            observation: 64,
            action: 64,
            context: 20,
            width: 128,
            heads: 1,
            layers: 1,
            timesteps: 100,
            activation: Activation::Relu,
            head: Head::Logits,
        };
        let layout = Layout::new(&shape);
        let uniform = |bound: f64| bound / 3.0_f64.sqrt();
        let qkv = uniform((6.0_f64 / 512.0).sqrt());
        let expected = [
            (Initialisation::Official, "embed.timestep", 1.0),
            (
                Initialisation::Official,
                "embed.observation.weight",
                uniform(0.125),
            ),
            (
                Initialisation::Official,
                "head.bias",
                uniform(1.0 / 128.0_f64.sqrt()),
            ),
            (
                Initialisation::Official,
                "block.0.attention.qkv.weight",
                0.02,
            ),
            (Initialisation::Official, "block.0.mlp.up.bias", 0.0),
            (Initialisation::Corl, "embed.timestep", 0.02),
            (Initialisation::Corl, "embed.observation.weight", 0.02),
            (Initialisation::Corl, "head.bias", 0.0),
            (Initialisation::Corl, "block.0.attention.qkv.weight", qkv),
            (
                Initialisation::Corl,
                "block.0.attention.projection.weight",
                0.02,
            ),
        ];
        for (how, name, expected) in expected {
            let parameters = initialise(&layout, how, &mut Stream::new(1, "initialisation"));
            let found = deviation(&parameters[layout.range(name).unwrap()]);
            assert!(
                (found - expected).abs() <= 0.2 * expected,
                "{how:?} {name}: {found}, not {expected}"
            );
        }
    }
}
