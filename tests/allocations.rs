//! The allocations of a training step, once its buffers exist.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use rtg::kernels::decision_transformer::{
    self as kernels, Condition, MixerKind, Shape, Side, Windows,
};
use rtg::kernels::{Activation, Denominator, Head, Objective, Precision};
use rtg::nn::network::SequenceNetwork;

/// Counts the bytes of every thread, and remembers the largest piece.
struct Counting;

static TOTAL: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

#[expect(
    unsafe_code,
    reason = "the trait is unsafe; all calls are passed to the system's allocator"
)]
// SAFETY: Each call is the system allocator's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TOTAL.fetch_add(layout.size(), Ordering::Relaxed);
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: The caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: The caller keeps the contract.
        unsafe { System.dealloc(at, layout) }
    }
}

const STEPS: usize = 10;

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_step_allocates_nothing_that_grows_with_the_model_or_the_batch() {
    let (batch, context) = (24, 10);
    let shape = Shape {
        observation: 5,
        action: 2,
        context,
        width: 32,
        heads: 2,
        layers: 2,
        timesteps: 40,
        activation: Activation::Gelu,
        head: Head::Tanh { scale: 1.0 },
        condition: Condition::Token,
        mixer: MixerKind::Attention,
    };
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
    };
    let parameters = vec![0.01; kernels::Layout::new(&shape).len()];
    for threads in [1, 2] {
        let mut network = SequenceNetwork::new(shape, Some(Precision::F32), threads);
        let mut gradient = Vec::new();
        let mut step = || {
            let objective = Objective::SquaredError;
            network.accumulate(&parameters, &windows, objective, Denominator::Valid, None);
            network.take_gradient(&mut gradient);
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
        // Lists of the threads' shares, and dfdx's tape of one number.
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
