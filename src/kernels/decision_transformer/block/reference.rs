//! A naive block for one window. All tokens continue after the mixer, in the last block too.

use super::Parameters;
use crate::kernels::activation::Activation;
use crate::kernels::decision_transformer::network::reference::{Backward, Network, Tokens, sum};
use crate::kernels::decision_transformer::{mixer, mlp};
use crate::kernels::dropout::{Site, reference as dropout};
use crate::kernels::real::Real;

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
        let c = self.norm_1.bias.len();
        let normed_1 = network.norm(&self.norm_1, &x);
        let (mixer, branch) = (self.mixer).reference_forward(network, tokens, layer, &normed_1);
        let branch = if self.mixer.drops() {
            let keep = tokens.mask(Site::Projection { layer }, c);
            dropout::forward(&keep, &branch)
        } else {
            branch
        };
        let middle = sum(&x, &branch);
        let normed_2 = network.norm(&self.norm_2, &middle);
        let (mlp, branch) = (self.mlp).reference_forward(network, activation, &normed_2);
        let keep = tokens.mask(Site::Mlp { layer }, c);
        let behind = sum(&middle, &dropout::forward(&keep, &branch));
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
        let c = self.norm_1.bias.len();
        let branch = dropout::backward(&tokens.mask(Site::Mlp { layer }, c), dx);
        let given = (&*tape.normed_2, &tape.mlp);
        let normed = (self.mlp).reference_backward(back, activation, given, &branch);
        let middle = sum(dx, &back.norm(&self.norm_2, &tape.middle, &normed));
        let branch = if self.mixer.drops() {
            let keep = tokens.mask(Site::Projection { layer }, c);
            dropout::backward(&keep, &middle)
        } else {
            middle.clone()
        };
        let given = (&*tape.normed_1, &tape.mixer);
        let normed = (self.mixer).reference_backward(back, tokens, layer, given, &branch);
        sum(&middle, &back.norm(&self.norm_1, &tape.x, &normed))
    }
}
