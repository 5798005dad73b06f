//! Acting on a device compared with acting on the CPU.

use super::model::SMALL;
use crate::decision_transformer::acting::{Acting, StepInputs};
use crate::decision_transformer::cuda::DeviceActing;
use crate::decision_transformer::layout::Layout;
use crate::decision_transformer::shape::{Condition, Shape};
use crate::decision_transformer::testing::parameters;
use crate::device::backend::Error;
use crate::device::tests::backends;
use crate::loss::Head;
use crate::testing::{assert_close, numbers};

const ROWS: usize = 3;
const STEPS: usize = 11;

/// What acts: the CPU or a device.
trait Acts {
    fn begin(&mut self, row: usize);
    fn act(&mut self, active: &[usize], inputs: &StepInputs<'_>, actions: &mut [f32]);
}

impl Acts for Acting {
    fn begin(&mut self, row: usize) {
        self.begin(row);
    }

    fn act(&mut self, active: &[usize], inputs: &StepInputs<'_>, actions: &mut [f32]) {
        self.act(active, inputs, actions);
    }
}

impl Acts for DeviceActing {
    fn begin(&mut self, row: usize) {
        self.begin(row);
    }

    fn act(&mut self, active: &[usize], inputs: &StepInputs<'_>, actions: &mut [f32]) {
        self.act(active, inputs, actions).unwrap();
    }
}

/// All actions of the episodes of `names`, one in each row: an episode depends on its name alone.
/// The last row's begins again at step 5 and pauses at step 8. Rows x steps x A.
fn episodes(acts: &mut impl Acts, shape: &Shape, names: &[usize]) -> Vec<f32> {
    let (rows, s, a) = (names.len(), shape.observation, shape.action);
    let (mut actions, mut all) = (vec![0.0; rows * a], vec![0.0; rows * STEPS * a]);
    let mut timesteps = vec![0; rows];
    (0..rows).for_each(|row| acts.begin(row));
    for step in 0..STEPS {
        let begins = step == 5 && names.last() == Some(&(ROWS - 1));
        let pauses = step == 8 && names.last() == Some(&(ROWS - 1));
        if begins {
            acts.begin(rows - 1);
            timesteps[rows - 1] = 0;
        }
        let of_names = |stream: u64, width: usize| -> Vec<f32> {
            let seed = |name: usize| stream + 10 * (name + ROWS * step) as u64;
            let all = names.iter().map(|name| numbers(seed(*name), width));
            all.collect::<Vec<_>>().concat()
        };
        let active: Vec<usize> = (0..rows - usize::from(pauses)).collect();
        let inputs = StepInputs {
            observations: &of_names(1, s),
            returns_to_go: &of_names(2, 1),
            timesteps: &timesteps,
            previous_actions: &of_names(3, a),
        };
        acts.act(&active, &inputs, &mut actions);
        for row in active {
            all[(row * STEPS + step) * a..][..a].copy_from_slice(&actions[row * a..][..a]);
            timesteps[row] += 1;
        }
    }
    all
}

#[test]
fn rows_act_as_on_the_cpu_and_with_the_same_bits_in_any_number() {
    let logits = Shape {
        head: Head::Logits,
        ..SMALL
    };
    for shape in [SMALL, logits] {
        let weights = parameters(&Layout::new(&shape));
        let all: Vec<usize> = (0..ROWS).collect();
        let expected = episodes(&mut Acting::new(shape, &weights, ROWS, 1), &shape, &all);
        for (one, many) in backends().into_iter().zip(backends()) {
            let mut acting = DeviceActing::new(many, shape, &weights, ROWS).unwrap();
            let found = episodes(&mut acting, &shape, &all);
            assert_close(&found, &expected, "an action");
            let mut acting = DeviceActing::new(one, shape, &weights, 1).unwrap();
            let alone = episodes(&mut acting, &shape, &[1]);
            let length = STEPS * shape.action;
            assert_eq!(found[length..2 * length], alone);
        }
    }
}

#[test]
fn a_model_without_kernels_is_refused() {
    let shape = Shape {
        condition: Condition::Nullable,
        ..SMALL
    };
    for backend in backends() {
        let refused = DeviceActing::new(backend, shape, &[], 1);
        assert!(matches!(refused.unwrap_err(), Error::Model));
    }
}
