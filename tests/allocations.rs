//! The allocations of a training step, once its buffers exist.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use rtg::kernels::decision_transformer::{
    self as kernels, Acting, Condition, LossTargets, Memory, MixerKind, NormPlacement, Shape, Side,
    StepInputs, Windows,
};
use rtg::kernels::layer_norm::EPSILON;
use rtg::kernels::{Activation, Denominator, Dropout, Head, Objective, Precision};
use rtg::nn::network::SequenceNetwork;
use rtg::optimise::{Moments, OptimiserConfig};

/// Counts the bytes of every thread and of the current one, and remembers the largest piece.
struct Counting;

static TOTAL: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OWN: Cell<usize> = const { Cell::new(0) };
}

#[expect(
    unsafe_code,
    reason = "the trait is unsafe; all calls are passed to the system's allocator"
)]
// SAFETY: Each call is the system allocator's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TOTAL.fetch_add(layout.size(), Ordering::Relaxed);
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        OWN.set(OWN.get() + layout.size());
        // SAFETY: The caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: The caller keeps the contract.
        unsafe { System.dealloc(at, layout) }
    }
}

const STEPS: usize = 10;

const SHAPE: Shape = Shape {
    observation: 5,
    action: 2,
    context: 10,
    width: 32,
    heads: 2,
    layers: 2,
    timesteps: 40,
    activation: Activation::Gelu,
    head: Head::Tanh { scale: 1.0 },
    condition: Condition::Token,
    mixer: MixerKind::Attention,
    deviation: None,
    positions: 0,
    norm_placement: NormPlacement::Pre,
    norm_epsilon: EPSILON,
    next_observation: None,
};

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_step_allocates_nothing_that_grows_with_the_model_or_the_batch() {
    let (batch, shape) = (24, SHAPE);
    let context = shape.context;
    let steps = batch * context;
    let windows = Windows {
        observations: &vec![0.5; steps * shape.observation],
        actions: &vec![0.25; steps * shape.action],
        returns_to_go: &vec![1.0; steps],
        timesteps: &(0..steps)
            .map(|step| (step % context) as u32)
            .collect::<Vec<_>>(),
        lengths: &vec![context; batch],
        side: Side::Right,
        context,
        targets: LossTargets::default(),
    };
    let mut parameters = vec![0.01; kernels::Layout::new(&shape).len()];
    let mut moments = Moments::zeros(parameters.len());
    let dropout = Dropout {
        probability_attention: 0.1,
        probability_residual: 0.1,
        probability_embedding: 0.1,
        key: 7,
    };
    let how = OptimiserConfig::default().step(1e-4, 1, 1.0);
    for threads in [1, 2] {
        let mut network = SequenceNetwork::new(shape, Some(Precision::F32), threads);
        let mut gradient = Vec::new();
        let mut step = || {
            let objective = Objective::SquaredError;
            let (denominator, dropout) = (Denominator::Valid, Some(&dropout));
            network.accumulate(&parameters, &windows, objective, denominator, dropout);
            network.take_gradient(&mut gradient);
            network.update(&how, moments.buffers(&gradient, &mut parameters));
        };
        for _ in 0..3 {
            step();
        }
        TOTAL.store(0, Ordering::Relaxed);
        LARGEST.store(0, Ordering::Relaxed);
        for _ in 0..STEPS {
            step();
        }
        let (total, largest) = (
            TOTAL.load(Ordering::Relaxed),
            LARGEST.load(Ordering::Relaxed),
        );
        // Lists of the threads' shares and of the optimiser's parts, and dfdx's tape of one number.
        assert!(
            largest <= 512,
            "{threads} threads: a piece of {largest} bytes"
        );
        assert!(
            total / STEPS <= 4096,
            "{threads} threads: {} bytes a step",
            total / STEPS
        );
    }
}

#[test]
fn a_decision_in_one_row_on_one_thread_allocates_nothing() {
    let parameters = vec![0.01; kernels::Layout::new(&SHAPE).len()];
    for memory in [Memory::Exact, Memory::Streaming] {
        let mut acting = Acting::with(memory, SHAPE, &parameters, 1, 1);
        let (observation, previous) = ([0.5; SHAPE.observation], [0.25; SHAPE.action]);
        let mut action = [0.0; SHAPE.action];
        let mut decide = |step: u32| {
            let inputs = StepInputs {
                observations: &observation,
                returns_to_go: &[1.0],
                timesteps: &[step],
                previous_actions: &previous,
            };
            acting.act(&[0], &inputs, &mut action);
        };
        // Past the first slide of the window.
        (0..20).for_each(&mut decide);
        let before = OWN.get();
        (20..39).for_each(&mut decide);
        assert_eq!(OWN.get() - before, 0, "{memory:?}");
    }
}
