//! Parameters as named ranges of one flat buffer.

use std::ops::Range;

/// One parameter in the flat buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// for instance `block.0.mlp.up.weight`
    pub name: String,
    /// row-major; a weight is \[in, out\]
    pub dims: Vec<usize>,
    /// its range in the buffer
    pub range: Range<usize>,
}

/// Weight and bias of a fully connected layer, or gain ("weight") and bias of a norm.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) weight: Range<usize>,
    pub(crate) bias: Range<usize>,
}

/// Allocates ranges one after the other.
#[derive(Default)]
pub(crate) struct Places(Vec<View>);

impl Places {
    /// Every parameter so far.
    pub(crate) fn views(self) -> Vec<View> {
        self.0
    }

    /// A parameter of these dimensions.
    pub(crate) fn view(&mut self, name: String, dims: &[usize]) -> Range<usize> {
        let start = self.0.last().map_or(0, |view| view.range.end);
        // Sizes beyond any memory saturate: allocating them is refused.
        let count = dims
            .iter()
            .fold(1_usize, |count, &size| count.saturating_mul(size));
        let range = start..start.saturating_add(count);
        self.0.push(View {
            name,
            dims: dims.to_vec(),
            range: range.clone(),
        });
        range
    }

    /// A weight of these dimensions and its bias.
    pub(crate) fn pair(&mut self, name: &str, weight: &[usize]) -> Pair {
        let outputs = weight[weight.len() - 1];
        Pair {
            weight: self.view(format!("{name}.weight"), weight),
            bias: self.view(format!("{name}.bias"), &[outputs]),
        }
    }
}
