//! A naive block for one window. All tokens continue after the mixer, in the last block too.

use super::Parameters;
use crate::activation::Activation;
use crate::decision_transformer::network::reference::{Backward, Network, Tokens, sum};
use crate::decision_transformer::shape::NormPlacement;
use crate::decision_transformer::{mixer, mlp};
use crate::dropout::{Site, reference as dropout};
use crate::parameters::Pair;
use crate::real::Real;

/// What the forward pass stores of one window.
pub(crate) struct Tape<R> {
    x: Vec<R>,
    normed_1: Vec<R>,
    mixer: mixer::reference::Tape<R>,
    middle: Vec<R>,
    normed_2: Vec<R>,
    mlp: mlp::reference::Tape<R>,
}

impl Parameters {
    /// x'.
    pub(crate) fn reference_forward<R: Real>(
        &self,
        network: Network<'_, R>,
        activation: Activation,
        tokens: Tokens<'_>,
        layer: usize,
        x: Vec<R>,
    ) -> (Tape<R>, Vec<R>) {
        let c = self.norm_2.bias.len();
        let normed_1 = self.reference_norm(network, &x);
        let (mixer, branch) = (self.mixer).reference_forward(network, tokens, layer, &normed_1);
        let branch = if self.mixer.drops() {
            let keep = tokens.mask(Site::Projection { layer }, c);
            dropout::forward(&keep, &branch)
        } else {
            branch
        };
        let middle = sum(self.residual(&x, &normed_1), &branch);
        let normed_2 = network.norm(&self.norm_2, &middle);
        let (mlp, branch) = (self.mlp).reference_forward(network, activation, &normed_2);
        let keep = tokens.mask(Site::Mlp { layer }, c);
        let residual = self.residual(&middle, &normed_2);
        let behind = sum(residual, &dropout::forward(&keep, &branch));
        let tape = Tape {
            x,
            normed_1,
            mixer,
            middle,
            normed_2,
            mlp,
        };
        (tape, behind)
    }

    /// The gradient with respect to x, from that of x'.
    pub(crate) fn reference_backward<R: Real>(
        &self,
        back: &mut Backward<'_, R>,
        activation: Activation,
        tokens: Tokens<'_>,
        layer: usize,
        tape: &Tape<R>,
        dx: &[R],
    ) -> Vec<R> {
        let c = self.norm_2.bias.len();
        let branch = dropout::backward(&tokens.mask(Site::Mlp { layer }, c), dx);
        let given = (&*tape.normed_2, &tape.mlp);
        let normed = (self.mlp).reference_backward(back, activation, given, &branch);
        let middle =
            self.reference_norm_backward(back, Some(&self.norm_2), &tape.middle, [&normed, dx]);
        let branch = if self.mixer.drops() {
            let keep = tokens.mask(Site::Projection { layer }, c);
            dropout::backward(&keep, &middle)
        } else {
            middle.clone()
        };
        let given = (&*tape.normed_1, &tape.mixer);
        let normed = (self.mixer).reference_backward(back, tokens, layer, given, &branch);
        self.reference_norm_backward(back, self.norm_1.as_ref(), &tape.x, [&normed, &middle])
    }

    /// What the mixer is given: the tokens x behind `norm_1`, where it exists.
    pub(crate) fn reference_norm<R: Real>(&self, network: Network<'_, R>, x: &[R]) -> Vec<R> {
        match &self.norm_1 {
            Some(norm) => network.norm(norm, x),
            None => x.to_vec(),
        }
    }

    /// The gradient with respect to x, from those of the branch behind its norm, and of the
    /// residual connection.
    fn reference_norm_backward<R: Real>(
        &self,
        back: &mut Backward<'_, R>,
        norm: Option<&Pair>,
        x: &[R],
        [branch, residual]: [&[R]; 2],
    ) -> Vec<R> {
        match (norm, self.placement) {
            (Some(norm), NormPlacement::Pre) => sum(residual, &back.norm(norm, x, branch)),
            (Some(norm), NormPlacement::Post) => back.norm(norm, x, &sum(residual, branch)),
            (None, _) => sum(residual, branch),
        }
    }
}
