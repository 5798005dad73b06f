//! Initial weights of each recipe.

use rand::RngExt;
use rand_distr::{Distribution, Normal, StandardNormal, Uniform};

use crate::random::Stream;
use rtg_kernels::causal_convolution::TAPS;
use rtg_kernels::decision_transformer::Layout;
use rtg_kernels::lstm::GATES;
use rtg_kernels::mlp;
use rtg_kernels::selective_scan;

/// How a recipe initialises a new model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialisation {
    /// kzl: the GPT-2 body N(0, 0.02) with zero biases; the layers around it as PyTorch makes them
    /// (`Linear`: U(-1/sqrt(inputs), 1/sqrt(inputs)) for weight and bias; `Embedding`: N(0, 1)).
    Official,
    /// CORL: every `Linear` and `Embedding` N(0, 0.02), biases zero. The joint query-key-value
    /// matrix of `MultiheadAttention` is a bare parameter that CORL's loop over modules does not
    /// reach, so it keeps PyTorch's Xavier bounds, U(-sqrt(6 / 4C), sqrt(6 / 4C)).
    Corl,
    /// `transformers`: every matrix and table N(0, 0.02), biases zero; the layers that add to the
    /// residual stream N(0, 0.02 / sqrt(2 L)), as in GPT-2.
    HuggingFace,
    /// min-decision-transformer and Reinformer: every layer as PyTorch makes it.
    PyTorch,
    /// d3rlpy: the body and the timestep table N(0, 0.02) with zero biases; the layers around it
    /// are made afterwards, as PyTorch makes them.
    D3rlpy,
}

impl Initialisation {
    /// The deviation of a normal distribution without biases, where a parameter of `layer` has one.
    fn normal(self, layer: &str, kind: &str, layers: usize) -> Option<f32> {
        let is_table = matches!(kind, "timestep" | "position");
        let is_reached = match self {
            Self::Official => layer.starts_with("block"),
            Self::D3rlpy => layer.starts_with("block") || is_table,
            Self::Corl | Self::HuggingFace => true,
            Self::PyTorch => false,
        };
        let adds = layer.ends_with(".attention.projection") || layer.ends_with(".mlp.down");
        let deviation = if self == Self::HuggingFace && adds {
            0.02 / (2.0 * layers as f32).sqrt()
        } else {
            0.02
        };
        // The table of positions is GPT-2's, whatever is around it.
        (is_reached || kind == "position").then_some(deviation)
    }
}

/// How the steps of a selective scan start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StepFill {
    /// `mamba_ssm`: a bias that gives steps between 0.001 and 0.1, evenly in their logarithm, and
    /// weights in U(-1/sqrt(inputs), 1/sqrt(inputs)): memories of 10 to 1000 tokens.
    #[default]
    Package,
    /// Ota's Decision Mamba, whose initialisation of a GPT-2 body reaches these layers too: steps
    /// near ln 2, and even the slowest memory is halved by each token.
    Ota,
}

/// A new flat parameter vector. A LayerNorm starts at gain 1 and bias 0 in both recipes; the slopes
/// of an adaptive one start at 0. Neither code's loops reach a `Conv1d`: it keeps PyTorch's
/// default, U(-1/sqrt(taps), 1/sqrt(taps)). A scan's memory starts with decay rates of 1 to N, and
/// D is 1. An LSTM keeps PyTorch's default, too, U(-1/sqrt C, 1/sqrt C) for both matrices and both
/// biases: its one bias here is the sum of two such draws. Both heads of a squashed
/// Gaussian start orthogonal without biases, as in online-dt; free logarithms of deviations at 0.
pub fn initialise(
    layout: &Layout,
    (how, steps): (Initialisation, StepFill),
    stream: &mut Stream,
) -> Vec<f32> {
    let mut parameters = vec![0.0; layout.len()];
    let mut inputs = 1;
    let is_squashed = layout.range("log_sigma.weight").is_some();
    for view in layout.views() {
        let values = &mut parameters[view.range.clone()];
        let (layer, kind) = view.name.rsplit_once('.').unwrap_or((&view.name, ""));
        if layer.contains("norm") {
            values.fill(if kind == "weight" { 1.0 } else { 0.0 });
        } else if layer == "condition" || view.name == "log_sigma" {
            values.fill(0.0);
        } else if is_squashed && (layer == "mean" || layer == "log_sigma") {
            if kind == "weight" {
                fill_orthogonal(values, view.dims[1], 1.0, stream);
            }
        } else if how == Initialisation::Corl && layer.ends_with("qkv") {
            if kind == "weight" {
                let bound = (6.0 / (view.dims[0] + view.dims[1]) as f32).sqrt();
                fill_uniform(values, bound, stream);
            }
        } else if kind == "log_decay" {
            let rates = values.chunks_mut(view.dims[1]);
            rates
                .zip(1_u16..)
                .for_each(|(row, rate)| row.fill(f32::from(rate).ln()));
        } else if kind == "skip" {
            values.fill(1.0);
        } else if layer.ends_with("scan.filter") {
            fill_uniform(values, linear_bound(selective_scan::TAPS), stream);
        } else if layer.ends_with("scan.step") && steps == StepFill::Package {
            if kind == "weight" {
                fill_uniform(values, linear_bound(view.dims[0]), stream);
            } else {
                fill_steps(values, stream);
            }
        } else if layer.contains(".convolution.") {
            fill_uniform(values, linear_bound(TAPS), stream);
        } else if layer.contains(".lstm.") {
            let bound = linear_bound(view.dims[view.dims.len() - 1] / GATES);
            fill_uniform(values, bound, stream);
            if kind == "bias" {
                let mut second = vec![0.0; values.len()];
                fill_uniform(&mut second, bound, stream);
                values.iter_mut().zip(second).for_each(|(x, y)| *x += y);
            }
        } else if let Some(deviation) = how.normal(layer, kind, layout.layers()) {
            if kind != "bias" {
                fill_normal(values, deviation, stream);
            }
        } else if view.name == "embed.timestep" {
            for value in values {
                *value = StandardNormal.sample(stream);
            }
        } else {
            // A bias is stored after its weight, which has as many rows as the layer has inputs.
            if kind == "weight" {
                inputs = view.dims[0];
            }
            fill_uniform(values, linear_bound(inputs), stream);
        }
    }
    parameters
}

/// The initial distribution of a weight in a small network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightFill {
    /// U(-1/sqrt(inputs), 1/sqrt(inputs)): PyTorch's `Linear`.
    Default,
    /// U(-x, x).
    Uniform(f32),
    /// U(-x, x) with x = gain sqrt(6 / (inputs + outputs)).
    Xavier(f32),
    /// A random matrix with orthogonal rows (or columns, if it has more rows than columns), times
    /// this gain.
    Orthogonal(f32),
}

/// The initial distribution of a bias in a small network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BiasFill {
    /// U(-1/sqrt(inputs), 1/sqrt(inputs)): PyTorch's `Linear`.
    Default,
    /// U(-x, x).
    Uniform(f32),
    /// The same number everywhere.
    Constant(f32),
}

/// The initial distributions of a layer in a small network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerFill {
    /// inputs x outputs
    pub weight: WeightFill,
    /// outputs
    pub bias: BiasFill,
}

impl LayerFill {
    /// PyTorch's `Linear`.
    pub const DEFAULT: Self = Self {
        weight: WeightFill::Default,
        bias: BiasFill::Default,
    };
}

/// New parameters of a small network or an ensemble, whose members are drawn in turn. A norm starts
/// at gain 1 and bias 0.
pub fn initialise_mlp(
    shape: &mlp::Shape,
    hidden: LayerFill,
    last: LayerFill,
    stream: &mut Stream,
) -> Vec<f32> {
    let layout = mlp::Layout::new(shape);
    let mut parameters = vec![0.0; layout.len()];
    let last_layer = format!("layer.{}.", shape.hidden.len());
    let mut inputs = 1;
    for view in layout.views() {
        let values = &mut parameters[view.range.clone()];
        let fill = if view.name.contains(&last_layer) {
            last
        } else {
            hidden
        };
        if view.name.contains(".norm.") {
            values.fill(if view.name.ends_with("weight") {
                1.0
            } else {
                0.0
            });
        } else if let [rows, columns] = view.dims[..] {
            inputs = rows;
            match fill.weight {
                WeightFill::Default => fill_uniform(values, linear_bound(inputs), stream),
                WeightFill::Uniform(bound) => fill_uniform(values, bound, stream),
                WeightFill::Xavier(gain) => {
                    let bound = gain * (6.0 / (rows + columns) as f32).sqrt();
                    fill_uniform(values, bound, stream);
                }
                WeightFill::Orthogonal(gain) => fill_orthogonal(values, columns, gain, stream),
            }
        } else {
            match fill.bias {
                BiasFill::Default => fill_uniform(values, linear_bound(inputs), stream),
                BiasFill::Uniform(bound) => fill_uniform(values, bound, stream),
                BiasFill::Constant(x) => values.fill(x),
            }
        }
    }
    parameters
}

/// Normal numbers, orthogonalised vector by vector (Gram-Schmidt), times `gain`. The vectors are
/// the rows of the matrix or, if it has more rows than columns, its columns.
fn fill_orthogonal(values: &mut [f32], columns: usize, gain: f32, stream: &mut Stream) {
    let rows = values.len() / columns;
    let (count, len) = (rows.min(columns), rows.max(columns));
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(count);
    for _ in 0..count {
        let mut vector: Vec<f64> = (0..len).map(|_| StandardNormal.sample(stream)).collect();
        for earlier in &vectors {
            let along: f64 = vector.iter().zip(earlier).map(|(a, b)| a * b).sum();
            vector
                .iter_mut()
                .zip(earlier)
                .for_each(|(a, b)| *a -= along * b);
        }
        let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        for x in &mut vector {
            *x /= norm;
        }
        vectors.push(vector);
    }
    for (at, value) in values.iter_mut().enumerate() {
        let (row, column) = (at / columns, at % columns);
        let x = if rows > columns {
            vectors[column][row]
        } else {
            vectors[row][column]
        };
        *value = gain * x as f32;
    }
}

/// Numbers x for which ln(1 + e^x) is between 0.001 and 0.1, evenly in its logarithm.
fn fill_steps(values: &mut [f32], stream: &mut Stream) {
    if let Ok(logarithms) = Uniform::new(1e-3_f64.ln(), 0.1_f64.ln()) {
        for value in values {
            let step = stream.sample(logarithms).exp();
            *value = (step + (-(-step).exp_m1()).ln()) as f32;
        }
    }
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
    use rtg_kernels::decision_transformer::{Condition, MixerKind, NormPlacement, Shape};
    use rtg_kernels::layer_norm::EPSILON;
    use rtg_kernels::selective_scan::STATES;
    use rtg_kernels::{Activation, Head};

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
            condition: Condition::Token,
            mixer: MixerKind::Attention,
            deviation: None,
            positions: 9,
            norm_placement: NormPlacement::Pre,
            norm_epsilon: EPSILON,
            next_observation: None,
        };
        let layout = Layout::new(&shape);
        let uniform = |bound: f64| bound / 3.0_f64.sqrt();
        let qkv = uniform((6.0_f64 / 512.0).sqrt());
        // One block.
        let added = 0.02 / 2.0_f64.sqrt();
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
            (Initialisation::Official, "embed.position", 0.02),
            (Initialisation::HuggingFace, "embed.position", 0.02),
            (Initialisation::HuggingFace, "embed.timestep", 0.02),
            (
                Initialisation::HuggingFace,
                "block.0.attention.qkv.weight",
                0.02,
            ),
            (
                Initialisation::HuggingFace,
                "block.0.attention.projection.weight",
                added,
            ),
            (
                Initialisation::HuggingFace,
                "block.0.mlp.down.weight",
                added,
            ),
            (Initialisation::HuggingFace, "head.weight", 0.02),
            (Initialisation::HuggingFace, "head.bias", 0.0),
            (Initialisation::D3rlpy, "embed.timestep", 0.02),
            (
                Initialisation::D3rlpy,
                "embed.observation.weight",
                uniform(0.125),
            ),
            (Initialisation::D3rlpy, "block.0.mlp.down.weight", 0.02),
            (Initialisation::D3rlpy, "block.0.mlp.up.bias", 0.0),
        ];
        for (how, name, expected) in expected {
            let stream = &mut Stream::new(1, "initialisation");
            let parameters = initialise(&layout, (how, StepFill::Package), stream);
            let found = deviation(&parameters[layout.range(name).unwrap()]);
            assert!(
                (found - expected).abs() <= 0.2 * expected,
                "{how:?} {name}: {found}, not {expected}"
            );
        }
    }

    #[test]
    fn an_lstm_starts_with_the_bounds_of_pytorch_and_the_sum_of_two_biases() {
        let shape = Shape {
            observation: 3,
            action: 2,
            context: 4,
            width: 64,
            heads: 1,
            layers: 1,
            timesteps: 10,
            activation: Activation::Gelu,
            head: Head::Logits,
            condition: Condition::Token,
            mixer: MixerKind::Lstm,
            deviation: None,
            positions: 0,
            norm_placement: NormPlacement::Pre,
            norm_epsilon: EPSILON,
            next_observation: None,
        };
        let layout = Layout::new(&shape);
        for how in [Initialisation::Official, Initialisation::Corl] {
            let stream = &mut Stream::new(1, "initialisation");
            let all = initialise(&layout, (how, StepFill::Package), stream);
            let of = |name: &str| &all[layout.range(&format!("block.0.lstm.{name}")).unwrap()];
            let one = 0.125 / 3.0_f64.sqrt();
            for (name, bound, expected) in [
                ("input.weight", 0.125, one),
                ("hidden.weight", 0.125, one),
                ("input.bias", 0.25, 2.0_f64.sqrt() * one),
            ] {
                let found = deviation(of(name));
                assert!((found - expected).abs() < 0.1 * expected, "{name}: {found}");
                assert!(of(name).iter().all(|x| x.abs() <= bound), "{name}");
            }
        }
    }

    #[test]
    fn the_steps_of_a_scan_start_as_in_the_package_or_near_ln_2() {
        let shape = Shape {
            observation: 3,
            action: 2,
            context: 4,
            width: 128,
            heads: 1,
            layers: 1,
            timesteps: 10,
            activation: Activation::Gelu,
            head: Head::Logits,
            condition: Condition::Token,
            mixer: MixerKind::Scan,
            deviation: None,
            positions: 0,
            norm_placement: NormPlacement::Pre,
            norm_epsilon: EPSILON,
            next_observation: None,
        };
        let layout = Layout::new(&shape);
        let of = |fill, name: &str| {
            let stream = &mut Stream::new(1, "initialisation");
            let all = initialise(&layout, (Initialisation::Official, fill), stream);
            all[layout.range(&format!("block.0.scan.{name}")).unwrap()].to_vec()
        };
        let steps = |fill| -> Vec<f64> {
            let biases = of(fill, "step.bias").into_iter();
            biases.map(|x| f64::from(x).exp().ln_1p()).collect()
        };
        let within = |low: f64, high: f64| move |step: &f64| (low..high).contains(step);
        let package = steps(StepFill::Package);
        assert!(package.iter().all(within(0.000_99, 0.101)), "{package:?}");
        assert!(package.iter().any(within(0.0, 0.003)) && package.iter().any(within(0.03, 1.0)));
        assert!(steps(StepFill::Ota).iter().all(within(0.693, 0.694)));
        let expected = 1.0 / (3.0 * 8.0_f64).sqrt();
        let found = deviation(&of(StepFill::Package, "step.weight"));
        assert!((found - expected).abs() < 0.1 * expected, "{found}");
        assert!((deviation(&of(StepFill::Ota, "step.weight")) - 0.02).abs() < 2e-3);
        let decay = of(StepFill::Ota, "log_decay");
        let row = |n: usize| &decay[n * 256..(n + 1) * 256];
        for n in 0..STATES {
            let expected = ((n + 1) as f32).ln();
            assert!(row(n).iter().all(|log| (log - expected).abs() < 1e-6));
        }
        assert!(
            of(StepFill::Ota, "skip")
                .iter()
                .all(|d| (d - 1.0).abs() < 1e-9)
        );
    }

    #[test]
    fn a_small_networks_layers_have_their_bounds() {
        let shape = mlp::Shape::new(&[12, 4], &[64], 8).ensemble(2);
        let hidden = LayerFill {
            weight: WeightFill::Default,
            bias: BiasFill::Constant(0.1),
        };
        let last = LayerFill {
            weight: WeightFill::Xavier(0.01),
            bias: BiasFill::Uniform(3e-3),
        };
        let stream = &mut Stream::new(1, "initialisation");
        let parameters = initialise_mlp(&shape, hidden, last, stream);
        let layout = mlp::Layout::new(&shape);
        let largest = |name: &str| {
            let values = &parameters[layout.range(name).unwrap()];
            values.iter().fold(0.0_f32, |most, x| most.max(x.abs()))
        };
        for member in ["member.0", "member.1"] {
            let close = |name: &str, bound: f32| {
                let found = largest(&format!("{member}.layer.{name}"));
                assert!(
                    found <= bound && found > 0.7 * bound,
                    "{name}: {found} of {bound}"
                );
            };
            close("0.weight", 0.25);
            close("0.bias", 0.1);
            close("1.weight", 0.01 * (6.0_f32 / 72.0).sqrt());
            close("1.bias", 3e-3);
        }
        let first = layout.range("member.0.layer.0.weight").unwrap();
        let second = layout.range("member.1.layer.0.weight").unwrap();
        assert_ne!(parameters[first], parameters[second]);
    }

    #[test]
    fn orthogonal_weights_have_orthogonal_vectors_of_the_gains_length() {
        for (inputs, outputs) in [(20, 7), (7, 20), (9, 9)] {
            let shape = mlp::Shape::new(&[inputs], &[], outputs);
            let fill = LayerFill {
                weight: WeightFill::Orthogonal(2.0),
                bias: BiasFill::Constant(0.0),
            };
            let stream = &mut Stream::new(1, "initialisation");
            let w = initialise_mlp(&shape, fill, fill, stream);
            let at = |vector: usize, i: usize| {
                f64::from(if inputs > outputs {
                    w[i * outputs + vector]
                } else {
                    w[vector * outputs + i]
                })
            };
            let (count, len) = (inputs.min(outputs), inputs.max(outputs));
            for a in 0..count {
                for b in 0..=a {
                    let product: f64 = (0..len).map(|i| at(a, i) * at(b, i)).sum();
                    let expected = if a == b { 4.0 } else { 0.0 };
                    assert!((product - expected).abs() < 1e-5, "{a} {b}: {product}");
                }
            }
        }
    }
}
