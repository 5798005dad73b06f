//! The policy that recorded a dataset of discrete actions, as a classifier b(a|s): behaviour
//! cloning that returns probabilities.

use super::adam::Adam;
use super::cloning::{DataActions, Loss};
use crate::nn::initialise::{LayerFill, initialise_mlp};
use crate::random::Stream;
use rtg_kernels::Head;
use rtg_kernels::mlp::heads::categorical;
use rtg_kernels::mlp::{Network, Pass, Pool, Shape, Want};

const HIDDEN: [usize; 2] = [256, 256];
const LEARNING_RATE: f64 = 3e-4;

/// A classifier of actions while it is trained.
pub struct LoggedPolicy {
    network: Network,
    gradient: Vec<f32>,
    adam: Adam,
    pass: Pass,
    loss: Loss,
    wanted: DataActions,
}

impl LoggedPolicy {
    /// Rows of a batch.
    pub const BATCH: usize = 256;

    /// A new classifier of `actions` actions from `observation` numbers.
    pub fn new(observation: usize, actions: usize, stream: &mut Stream) -> Self {
        let shape = Shape::new(&[observation], &HIDDEN, actions);
        let fill = LayerFill::DEFAULT;
        let parameters = initialise_mlp(&shape, fill, fill, stream);
        let count = parameters.len();
        Self {
            network: Network::new(&shape, parameters),
            gradient: vec![0.0; count],
            adam: Adam::new(count),
            pass: Pass::new(),
            loss: Loss::default(),
            wanted: DataActions::default(),
        }
    }

    /// Learns from rows of observations and the indices of their actions. Returns the
    /// cross-entropy.
    pub fn update(&mut self, pool: &Pool, observations: &[f32], choices: &[usize]) -> f64 {
        self.wanted.choices.clear();
        self.wanted.choices.extend_from_slice(choices);
        self.network.forward(pool, &[observations], &mut self.pass);
        let outputs = self.pass.outputs();
        let loss = self.loss.of(Head::Logits, outputs, &self.wanted);
        let want = Want::parameters(&mut self.gradient);
        let gradients = &self.loss.gradients;
        self.network.backward(pool, gradients, want, &mut self.pass);
        let parameters = self.network.parameters_mut();
        self.adam
            .step(pool, LEARNING_RATE, &self.gradient, parameters);
        loss
    }

    /// log b(a|s) of each row's action.
    pub fn log_probabilities(
        &mut self,
        pool: &Pool,
        observations: &[f32],
        choices: &[usize],
    ) -> Vec<f64> {
        let actions = self.network.shape().outputs;
        let mut outputs = vec![0.0; choices.len() * actions];
        self.network.infer(pool, &[observations], &mut outputs);
        let mut logs = vec![0.0; outputs.len()];
        categorical::log_softmax(actions, &outputs, &mut logs);
        let rows = logs.chunks(actions).zip(choices);
        rows.map(|(logs, choice)| f64::from(logs[*choice]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frequencies_of_actions_come_out() {
        let mut stream = Stream::new(1, "logged policy");
        let pool = Pool::new(1);
        let mut policy = LoggedPolicy::new(1, 3, &mut stream);
        // In state -1 actions 0, 1 and 2 are taken with 0.5, 0.3 and 0.2, in state 1 always 2.
        let draw = |stream: &mut Stream| {
            let state = if stream.index(2) == 0 { -1.0 } else { 1.0 };
            let action = match stream.uniform() {
                _ if state > 0.0 => 2,
                x if x < 0.5 => 0,
                x if x < 0.8 => 1,
                _ => 2,
            };
            (state, action)
        };
        for _ in 0..400 {
            let rows: Vec<(f32, usize)> = (0..256).map(|_| draw(&mut stream)).collect();
            let (states, choices): (Vec<f32>, Vec<usize>) = rows.into_iter().unzip();
            policy.update(&pool, &states, &choices);
        }
        let states = [-1.0, -1.0, -1.0, 1.0];
        let found = policy.log_probabilities(&pool, &states, &[0, 1, 2, 2]);
        for (found, expected) in found.iter().zip([0.5, 0.3, 0.2, 1.0]) {
            assert!((found.exp() - expected).abs() < 0.05, "{found} {expected}");
        }
    }
}
