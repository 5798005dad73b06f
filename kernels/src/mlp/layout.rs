//! The sizes of a small network, or of an ensemble of them, and the position of each parameter in
//! one flat vector.

use super::narrow;
use crate::View;
use std::ops::Range;

/// What a hidden layer applies to each of its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// the hyperbolic tangent
    Tanh,
    /// x Phi(x), exactly
    Gelu,
}

/// The position of `LayerNorm` in a hidden layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// linear, norm, activation
    BeforeActivation,
    /// linear, activation, norm (`ReBRAC`)
    AfterActivation,
}

/// A `LayerNorm` in every hidden layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// before or after the activation
    pub place: Place,
    /// added to the variance: 1e-5 in PyTorch, 1e-6 in Flax
    pub epsilon: f32,
}

/// The sizes. No width may be zero, and there is at least one input part and one member.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Widths of the parts of the input, side by side: `[S]` for a policy, `[S, A]` for a critic.
    pub inputs: Vec<usize>,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Outputs of a row; the last layer is linear.
    pub outputs: usize,
    /// Networks of these sizes, all with the same input; 1 for a single network.
    pub members: usize,
    /// Of the hidden layers.
    pub activation: Activation,
    /// Of the hidden layers.
    pub norm: Option<Norm>,
    /// The dropout rate of a hidden layer's outputs in training, in 0..1.
    pub dropout: f32,
}

impl Shape {
    /// A single network with `ReLU`, neither norm nor dropout.
    pub fn new(inputs: &[usize], hidden: &[usize], outputs: usize) -> Self {
        Self {
            inputs: inputs.to_vec(),
            hidden: hidden.to_vec(),
            outputs,
            members: 1,
            activation: Activation::Relu,
            norm: None,
            dropout: 0.0,
        }
    }

    /// `members` networks of these sizes.
    #[must_use]
    pub fn ensemble(self, members: usize) -> Self {
        Self { members, ..self }
    }

    /// Numbers in a row of input, all parts together.
    pub fn width(&self) -> usize {
        let add = |sum: usize, &width: &usize| sum.saturating_add(width);
        self.inputs.iter().fold(0, add)
    }

    /// The columns of an input part.
    pub(super) fn part(&self, part: usize) -> Range<usize> {
        let start = self.inputs[..part].iter().sum();
        start..start + self.inputs[part]
    }
}

/// The places of one layer's parameters, counted from the start of its member.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// inputs x outputs
    pub(crate) weight: Range<usize>,
    pub(crate) bias: Range<usize>,
    /// Gain and bias of the norm, one after the other.
    pub(crate) norm: Option<Range<usize>>,
    /// Whether it is the last layer and has few outputs (`narrow`).
    pub(crate) narrow: bool,
}

impl Layer {
    /// All of it.
    pub(super) fn range(&self) -> Range<usize> {
        let end = self.norm.as_ref().map_or(self.bias.end, |norm| norm.end);
        self.weight.start..end
    }
}

/// The position of each parameter: member after member, layer after layer, the weight (inputs x
/// outputs, row-major), the bias, then gain and bias of the layer's norm. Gradients and moments
/// have the same layout.
#[derive(Clone, Debug)]
pub struct Layout {
    views: Vec<View>,
    layers: Vec<Layer>,
    member: usize,
}

impl Layout {
    /// The layout of networks of this shape. The names are `layer.0.weight`, `layer.0.bias`,
    /// `layer.0.norm.weight`, `layer.0.norm.bias`; in an ensemble `member.0.layer.0.weight` and so
    /// on.
    pub fn new(shape: &Shape) -> Self {
        let mut layers: Vec<Layer> = Vec::new();
        let mut inputs = shape.width();
        for (index, &outputs) in shape.hidden.iter().chain([&shape.outputs]).enumerate() {
            let start = layers.last().map_or(0, |layer| layer.range().end);
            // Sizes beyond any memory saturate: allocating them is refused.
            let weight = start..start.saturating_add(inputs.saturating_mul(outputs));
            let bias = weight.end..weight.end.saturating_add(outputs);
            let has_norm = shape.norm.is_some() && index < shape.hidden.len();
            let norm_end = bias.end.saturating_add(outputs.saturating_mul(2));
            let norm = has_norm.then_some(bias.end..norm_end);
            layers.push(Layer {
                inputs,
                outputs,
                weight,
                bias,
                norm,
                narrow: index == shape.hidden.len() && outputs <= narrow::MOST,
            });
            inputs = outputs;
        }
        let member = layers.last().map_or(0, |layer| layer.range().end);
        let views = (0..shape.members)
            .flat_map(|index| {
                let prefix = match shape.members {
                    1 => String::new(),
                    _ => format!("member.{index}."),
                };
                views_of(&layers, &prefix, index.saturating_mul(member))
            })
            .collect();
        Self {
            views,
            layers,
            member,
        }
    }

    /// Numbers in the flat vector.
    #[expect(clippy::len_without_is_empty, reason = "a network has parameters")]
    pub fn len(&self) -> usize {
        self.views.last().map_or(0, |view| view.range.end)
    }

    /// Numbers of one member.
    pub fn member_len(&self) -> usize {
        self.member
    }

    /// Every parameter, in the order of the vector, without gaps.
    pub fn views(&self) -> impl ExactSizeIterator<Item = &View> {
        self.views.iter()
    }

    /// The place of a parameter.
    pub fn range(&self, name: &str) -> Option<Range<usize>> {
        let view = self.views.iter().find(|view| view.name == name)?;
        Some(view.range.clone())
    }

    /// The layers of any member.
    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// A member's part of a vector with this layout.
    pub(super) fn of_member<'a>(&self, parameters: &'a [f32], member: usize) -> &'a [f32] {
        &parameters[member * self.member..][..self.member]
    }
}

fn views_of(layers: &[Layer], prefix: &str, start: usize) -> Vec<View> {
    let view = |name: String, dims: &[usize], range: &Range<usize>| View {
        name: format!("{prefix}{name}"),
        dims: dims.to_vec(),
        range: start.saturating_add(range.start)..start.saturating_add(range.end),
    };
    let mut views = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let (inputs, outputs) = (layer.inputs, layer.outputs);
        let name = format!("layer.{index}");
        views.push(view(
            format!("{name}.weight"),
            &[inputs, outputs],
            &layer.weight,
        ));
        views.push(view(format!("{name}.bias"), &[outputs], &layer.bias));
        if let Some(norm) = &layer.norm {
            let middle = norm.start.saturating_add(outputs);
            let gain = norm.start..middle;
            views.push(view(format!("{name}.norm.weight"), &[outputs], &gain));
            views.push(view(
                format!("{name}.norm.bias"),
                &[outputs],
                &(middle..norm.end),
            ));
        }
    }
    views
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_networks_have_their_numbers_of_parameters() {
        let length = |shape: &Shape| Layout::new(shape).len();
        assert_eq!(length(&Shape::new(&[11], &[256, 256], 3)), 69_635);
        let critic = Shape::new(&[11, 3], &[256, 256], 1);
        assert_eq!(length(&critic), 69_889);
        assert_eq!(length(&critic.ensemble(10)), 698_890);
        let mut rebrac = Shape::new(&[11, 3], &[256; 3], 1);
        rebrac.norm = Some(Norm {
            place: Place::AfterActivation,
            epsilon: 1e-6,
        });
        assert_eq!(length(&rebrac), 137_217);
    }

    #[test]
    fn views_cover_the_vector_without_gaps() {
        let mut shape = Shape::new(&[4, 2], &[5, 6], 3).ensemble(2);
        shape.norm = Some(Norm {
            place: Place::BeforeActivation,
            epsilon: 1e-5,
        });
        let layout = Layout::new(&shape);
        let mut end = 0;
        for view in layout.views() {
            assert_eq!(view.range.start, end, "{}", view.name);
            assert_eq!(view.range.len(), view.dims.iter().product::<usize>());
            end = view.range.end;
        }
        assert_eq!(end, layout.len());
        assert_eq!(end, 2 * layout.member_len());
        let second = layout.range("member.1.layer.0.weight").unwrap();
        assert_eq!(second, layout.member_len()..layout.member_len() + 30);
        assert!(layout.range("member.1.layer.1.norm.bias").is_some());
        assert_eq!(layout.range("layer.0.weight"), None);
    }
}
