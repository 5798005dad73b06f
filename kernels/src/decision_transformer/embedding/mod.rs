//! The embedding: from the steps of a window to tokens.
//!
//! Step k becomes p tokens. They are p = 3, return-to-go, observation, action; or p = 2, without
//! the return-to-go, where that enters elsewhere; or p = 3 with the return-to-go behind the
//! observation ([`Condition`]). Each is the product of its numbers with a weight of its own, plus a
//! bias, plus the row of the timestep table that all of a step share:
//!
//! ```text
//! x[p k + i] = input_i[k] W_i + b_i + table[t_k]          i = 0 .. p - 1
//! dW_i += sum_k input_i[k]^T dx[p k + i],   db_i += sum_k dx[p k + i]
//! dtable[t_k] += sum_i dx[p k + i]
//! ```
//!
//! The inputs are data and get no gradient. No token follows the last action, and no prediction is
//! made from it, so it is omitted: n steps are p n - 1 tokens. The interleaving is a stride of the
//! products' output, and costs nothing.

pub(crate) mod cpu;
pub(crate) mod cuda;
pub mod reference;

use super::shape::{Condition, Shape};
use crate::parameters::{Pair, Places};
use std::ops::Range;

/// Where the parameters are stored.
#[derive(Clone, Debug)]
pub struct Parameters {
    condition: Condition,
    pub(crate) timestep: Range<usize>,
    /// None if the return-to-go is not a token.
    pub(crate) return_to_go: Option<Pair>,
    pub(crate) observation: Pair,
    pub(crate) action: Pair,
}

impl Parameters {
    pub(crate) fn new(places: &mut Places, shape: &Shape) -> Self {
        let c = shape.width;
        Self {
            condition: shape.condition,
            timestep: places.view("embed.timestep".into(), &[shape.timesteps, c]),
            return_to_go: (shape.condition != Condition::Adaln)
                .then(|| places.pair("embed.return_to_go", &[shape.condition.numbers(), c])),
            observation: places.pair("embed.observation", &[shape.observation, c]),
            action: places.pair("embed.action", &[shape.action, c]),
        }
    }

    /// C, channels.
    fn width(&self) -> usize {
        self.observation.bias.len()
    }

    /// The kinds of tokens, in the order of a step.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &Pair> {
        let (before, behind) = self.around_the_observation(self.return_to_go.as_ref());
        (before.into_iter().chain([&self.observation]))
            .chain(behind)
            .chain([&self.action])
    }

    /// What belongs to a step's return-to-go, if that is a token: in front of the observation, or
    /// behind it.
    fn around_the_observation<T>(&self, of_return: Option<T>) -> (Option<T>, Option<T>) {
        match self.condition {
            Condition::Predicted { .. } => (None, of_return),
            Condition::Token | Condition::Nullable | Condition::Adaln => (of_return, None),
        }
    }

    /// p, tokens per step.
    fn stride(&self) -> usize {
        self.kinds().count()
    }
}

/// The valid steps of one window, n of them.
#[derive(Clone, Copy, Debug)]
pub struct Steps<'a> {
    /// n x S
    pub observations: &'a [f32],
    /// n x A
    pub actions: &'a [f32],
    /// n x R
    pub returns_to_go: &'a [f32],
    /// n
    pub timesteps: &'a [u32],
}

#[cfg(test)]
mod tests {
    use super::{Condition, Steps, cpu, reference};
    use crate::activation::Activation;
    use crate::decision_transformer::layout::Layout;
    use crate::decision_transformer::shape::{MixerKind, NormPlacement, Shape};
    use crate::layer_norm::EPSILON;
    use crate::linear::cpu::Panels;
    use crate::loss::Head;
    use crate::simd::Level;
    use crate::testing::{assert_close, assert_gradient, numbers, to_f64};

    const CONDITIONS: [Condition; 4] = [
        Condition::Token,
        Condition::Nullable,
        Condition::Adaln,
        Condition::expectile(0.9),
    ];

    fn shape(width: usize, condition: Condition) -> Shape {
        Shape {
            observation: 11,
            action: 3,
            context: 20,
            width,
            heads: 1,
            layers: 0,
            timesteps: 9,
            activation: Activation::Relu,
            head: Head::Logits,
            condition,
            mixer: MixerKind::Attention,
            deviation: None,
            positions: 0,
            norm_placement: NormPlacement::Pre,
            norm_epsilon: EPSILON,
            next_observation: None,
        }
    }

    #[test]
    fn the_fast_embedding_is_the_reference_in_value_and_every_gradient() {
        let timesteps: Vec<u32> = (0..20).map(|i| (i * i) % 9).collect();
        let observations = numbers(1, 20 * 11);
        let actions = numbers(2, 20 * 3);
        let returns_to_go = numbers(3, 20 * 2);
        let sizes = [(1, 128), (2, 20), (20, 96)];
        let conditions = CONDITIONS;
        let cases = conditions.map(|condition| sizes.map(|(n, width)| (condition, n, width)));
        for (condition, n, width) in cases.into_iter().flatten() {
            let layout = Layout::new(&shape(width, condition));
            let tokens = condition.tokens(n);
            let parameters = numbers(4, layout.len());
            let steps = Steps {
                observations: &observations[..n * 11],
                actions: &actions[..n * 3],
                returns_to_go: &returns_to_go[..n * condition.numbers()],
                timesteps: &timesteps[..n],
            };
            let dx = numbers(5, tokens * width);
            let exact = to_f64(&parameters);
            for level in Level::available() {
                let mut panels = <[Panels; 3]>::default();
                cpu::pack(level, &layout.embedding, &parameters, &mut panels);
                let mut x = vec![0.0; tokens * width];
                cpu::forward(
                    level,
                    &layout.embedding,
                    &parameters,
                    &panels,
                    steps,
                    &mut x,
                );
                assert_close(
                    &x,
                    &reference::forward(&layout.embedding, &exact, steps),
                    "tokens",
                );
                let mut gradient = vec![0.0; layout.len()];
                let mut scratch = Panels::default();
                cpu::backward(
                    level,
                    &layout.embedding,
                    steps,
                    &dx,
                    &mut gradient,
                    &mut scratch,
                );
                let mut expected = vec![0.0; layout.len()];
                reference::backward(&layout.embedding, steps, &to_f64(&dx), &mut expected);
                assert_close(&gradient, &expected, "gradient");
            }
        }
    }

    #[test]
    fn the_reference_gradient_is_the_finite_difference() {
        CONDITIONS.into_iter().for_each(check_gradient);
    }

    fn check_gradient(condition: Condition) {
        let layout = Layout::new(&shape(2, condition));
        let (observations, actions) = (numbers(1, 2 * 11), numbers(2, 2 * 3));
        let steps = Steps {
            observations: &observations,
            actions: &actions,
            returns_to_go: &[0.5, -0.25, 0.0, 1.0][..2 * condition.numbers()],
            timesteps: &[4, 4],
        };
        let dx = to_f64(&numbers(5, condition.tokens(2) * 2));
        let parameters = to_f64(&numbers(6, layout.len()));
        let mut gradient = vec![0.0; layout.len()];
        reference::backward(&layout.embedding, steps, &dx, &mut gradient);
        assert_gradient(&parameters, &gradient, |parameters| {
            let x = reference::forward(&layout.embedding, parameters, steps);
            x.iter().zip(&dx).map(|(x, d)| x * d).sum()
        });
    }
}
