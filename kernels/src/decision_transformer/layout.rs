//! Where each parameter of a Decision Transformer is stored in one flat buffer.

use super::block;
use super::embedding;
use super::shape::{Condition, Shape};
use crate::likelihood::Deviation;
use crate::parameters::{Pair, Places, View};
use std::ops::Range;

/// Where each parameter is stored. Parameters, gradients and an optimiser's moments all have this
/// layout.
#[derive(Clone, Debug)]
pub struct Layout {
    views: Vec<View>,
    pub(crate) embedding: embedding::Parameters,
    pub(crate) embed_norm: Pair,
    /// The vector that is added to every token, if there is one: C numbers.
    pub(crate) position: Option<Range<usize>>,
    pub(crate) blocks: Vec<block::Parameters>,
    pub(crate) final_norm: Pair,
    /// If the final norm is adaptive: the slopes of its gain and bias in the return-to-go, 2 C
    /// numbers.
    pub(crate) condition: Option<Range<usize>>,
    pub(crate) head: Pair,
    /// From an observation token to its return-to-go, if that is predicted.
    pub(crate) return_head: Option<Pair>,
    /// From a step's predicting token and its predicted action to the next observation, if that is
    /// predicted.
    pub(crate) next_observation: Option<Pair>,
    /// The raw deviations of actions, if the policy is stochastic.
    pub(crate) log_sigma: Option<LogSigma>,
}

/// Where the raw logarithms of the deviations of actions are from.
#[derive(Clone, Debug)]
pub(crate) enum LogSigma {
    /// From the tokens that actions are predicted from.
    Head(Pair),
    /// They are parameters, A numbers.
    Free(Range<usize>),
}

impl Layout {
    /// The layout of a model of this shape.
    pub fn new(shape: &Shape) -> Self {
        let c = shape.width;
        let mut places = Places::default();
        let embedding = embedding::Parameters::new(&mut places, shape);
        let embed_norm = places.pair("embed.norm", &[c]);
        let position = (shape.positions > 0).then(|| {
            let table = places.view("embed.position".into(), &[shape.positions, c]);
            table.start..table.start + c
        });
        let block = |layer| block::Parameters::new(&mut places, layer, shape);
        let blocks = (0..shape.layers).map(block).collect();
        let final_norm = places.pair("final_norm", &[c]);
        let condition = (shape.condition == Condition::Adaln)
            .then(|| places.view("condition.weight".into(), &[1, 2 * c]));
        let name = if shape.deviation.is_none() {
            "head"
        } else {
            "mean"
        };
        let head = places.pair(name, &[c, shape.action]);
        let prediction = shape.condition.prediction();
        let return_head = prediction.map(|of| {
            let name = match of.estimate() {
                None => "return_head",
                // The last column is a head of its own.
                Some(_) => "return_heads",
            };
            places.pair(name, &[c, of.numbers()])
        });
        let log_sigma = shape.deviation.map(|deviation| match deviation {
            Deviation::Squashed => LogSigma::Head(places.pair("log_sigma", &[c, shape.action])),
            Deviation::Free => LogSigma::Free(places.view("log_sigma".into(), &[shape.action])),
        });
        let next_observation = shape.next_observation.map(|_| {
            let dims = [c + shape.action, shape.observation];
            places.pair("next_observation", &dims)
        });
        Self {
            views: places.views(),
            embedding,
            embed_norm,
            position,
            blocks,
            final_norm,
            condition,
            head,
            return_head,
            next_observation,
            log_sigma,
        }
    }

    /// Numbers in the buffer.
    #[expect(clippy::len_without_is_empty, reason = "a model always has parameters")]
    pub fn len(&self) -> usize {
        self.views.last().map_or(0, |view| view.range.end)
    }

    /// Blocks, L.
    pub fn layers(&self) -> usize {
        self.blocks.len()
    }

    /// Every parameter, in the order of the buffer, which has no gaps.
    pub fn views(&self) -> impl ExactSizeIterator<Item = &View> {
        self.views.iter()
    }

    /// The range of a parameter.
    pub fn range(&self, name: &str) -> Option<Range<usize>> {
        let view = self.views.iter().find(|view| view.name == name)?;
        Some(view.range.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::decision_transformer::shape::{MixerKind, NormPlacement};
    use crate::layer_norm::EPSILON;
    use crate::loss::Head;

    #[test]
    fn a_hopper_model_has_its_published_number_of_trained_parameters() {
        let shape = Shape {
            observation: 11,
            action: 3,
            context: 20,
            width: 128,
            heads: 1,
            layers: 3,
            timesteps: 1000,
            activation: Activation::Relu,
            head: Head::Tanh { scale: 1.0 },
            condition: Condition::Token,
            mixer: MixerKind::Attention,
            deviation: None,
            positions: 0,
            norm_placement: NormPlacement::Pre,
            norm_epsilon: EPSILON,
            next_observation: None,
        };
        let convolution = Shape {
            mixer: MixerKind::Convolution,
            ..shape
        };
        assert_eq!(Layout::new(&convolution).len(), 535_939);
        let scan = Shape {
            mixer: MixerKind::Scan,
            ..shape
        };
        assert_eq!(Layout::new(&scan).len(), 877_315);
        let linear = Shape {
            mixer: MixerKind::Linear,
            ..shape
        };
        assert_eq!(Layout::new(&linear).len(), 726_019);
        let lstm = Shape {
            mixer: MixerKind::Lstm,
            ..shape
        };
        // Of a block: attention has 4 (C^2 + C) numbers, an LSTM 8 C^2 + 4 C.
        assert_eq!(Layout::new(&lstm).len(), 726_019 + 3 * 4 * 128 * 128);
        let adaln = Shape {
            condition: Condition::Adaln,
            ..shape
        };
        // Slopes of gain and bias (2 C numbers) replace the return-to-go's embedding (2 C numbers).
        assert_eq!(Layout::new(&adaln).len(), 726_019);
        let layout = Layout::new(&shape);
        assert_eq!(layout.len(), 726_019);
        assert_eq!(layout.range("head.bias"), Some(726_016..726_019));
        assert_eq!(layout.range("head.gain"), None);
        let mut end = 0;
        for view in layout.views() {
            assert_eq!(view.range.start, end);
            assert_eq!(view.range.len(), view.dims.iter().product::<usize>());
            end = view.range.end;
        }
    }
}
