//! The sizes of a Decision Transformer, and where each of its parameters lies in one flat buffer.

use crate::kernels::activation::Activation;
use crate::kernels::loss::Head;
use std::ops::Range;

/// The sizes of the model. `width` must be a multiple of `heads`, and none may be zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// S, numbers in an observation
    pub observation: usize,
    /// A, numbers in an action (discrete: the number of actions)
    pub action: usize,
    /// K, steps in a window
    pub context: usize,
    /// C, numbers in a token
    pub width: usize,
    /// H
    pub heads: usize,
    /// L
    pub layers: usize,
    /// rows of the timestep table: timesteps are below it
    pub timesteps: usize,
    /// between the two products of an MLP
    pub activation: Activation,
    /// what becomes of the head's numbers
    pub head: Head,
}

/// One parameter in the flat buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// for instance `block.0.mlp.up.weight`
    pub name: String,
    /// row-major; a weight is \[in, out\]
    pub dims: Vec<usize>,
    /// its place in the buffer
    pub range: Range<usize>,
}

/// Weight and bias of a fully connected layer, or gain ("weight") and bias of a norm.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) weight: Range<usize>,
    pub(crate) bias: Range<usize>,
}

/// The parameters of one block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) norm_1: Pair,
    pub(crate) qkv: Pair,
    pub(crate) projection: Pair,
    pub(crate) norm_2: Pair,
    pub(crate) up: Pair,
    pub(crate) down: Pair,
}

/// Where each parameter lies. Parameters, gradients and an optimiser's moments all have this layout.
#[derive(Clone, Debug)]
pub struct Layout {
    views: Vec<View>,
    pub(crate) timestep: Range<usize>,
    pub(crate) return_to_go: Pair,
    pub(crate) observation: Pair,
    pub(crate) action: Pair,
    pub(crate) embed_norm: Pair,
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_norm: Pair,
    pub(crate) head: Pair,
}

/// Hands out places one behind the other.
#[derive(Default)]
struct Places(Vec<View>);

impl Places {
    fn view(&mut self, name: String, dims: &[usize]) -> Range<usize> {
        let start = self.0.last().map_or(0, |view| view.range.end);
        let range = start..start + dims.iter().product::<usize>();
        self.0.push(View {
            name,
            dims: dims.to_vec(),
            range: range.clone(),
        });
        range
    }

    fn pair(&mut self, name: &str, weight: &[usize]) -> Pair {
        let outputs = weight[weight.len() - 1];
        Pair {
            weight: self.view(format!("{name}.weight"), weight),
            bias: self.view(format!("{name}.bias"), &[outputs]),
        }
    }
}

impl Layout {
    /// The layout of a model of this shape.
    pub fn new(shape: &Shape) -> Self {
        let c = shape.width;
        let mut places = Places::default();
        let timestep = places.view("embed.timestep".into(), &[shape.timesteps, c]);
        let return_to_go = places.pair("embed.return_to_go", &[1, c]);
        let observation = places.pair("embed.observation", &[shape.observation, c]);
        let action = places.pair("embed.action", &[shape.action, c]);
        let embed_norm = places.pair("embed.norm", &[c]);
        let block = |l| Block {
            norm_1: places.pair(&format!("block.{l}.norm_1"), &[c]),
            qkv: places.pair(&format!("block.{l}.attention.qkv"), &[c, 3 * c]),
            projection: places.pair(&format!("block.{l}.attention.projection"), &[c, c]),
            norm_2: places.pair(&format!("block.{l}.norm_2"), &[c]),
            up: places.pair(&format!("block.{l}.mlp.up"), &[c, 4 * c]),
            down: places.pair(&format!("block.{l}.mlp.down"), &[4 * c, c]),
        };
        let blocks = (0..shape.layers).map(block).collect();
        let final_norm = places.pair("final_norm", &[c]);
        let head = places.pair("head", &[c, shape.action]);
        Self {
            views: places.0,
            timestep,
            return_to_go,
            observation,
            action,
            embed_norm,
            blocks,
            final_norm,
            head,
        }
    }

    /// Numbers in the buffer.
    #[expect(clippy::len_without_is_empty, reason = "a model always has parameters")]
    pub fn len(&self) -> usize {
        self.views.last().map_or(0, |view| view.range.end)
    }

    /// Every parameter, in the order of the buffer, without gaps.
    pub fn views(&self) -> impl ExactSizeIterator<Item = &View> {
        self.views.iter()
    }

    /// The place of a parameter.
    pub fn range(&self, name: &str) -> Option<Range<usize>> {
        let view = self.views.iter().find(|view| view.name == name)?;
        Some(view.range.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_official_hopper_model_has_its_published_number_of_trained_parameters() {
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
        };
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
