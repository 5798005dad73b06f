//! Small networks: linear layers with an activation between them, one network or an ensemble of the
//! same sizes.
//!
//! A hidden layer is a linear layer, an activation, optionally a norm before or after it, and in
//! training dropout; the last layer is linear:
//!
//! ```text
//! y = m f(x W + b)        y = m f(norm(x W + b))        y = m norm(f(x W + b))
//! ```
//!
//! [`heads`] turns the outputs into actions or distributions. All parameters of all members are in
//! one flat vector ([`Layout`]); gradients and moments have the same layout, so [`Pool::adam`] and
//! [`Pool::polyak`] are loops over numbers.
//!
//! # Passes
//!
//! [`Network::forward`] keeps the activations in a [`Pass`], and [`Network::backward`] propagates
//! back through it, to the gradient at the parameters, at one part of the input, or at both
//! ([`Want`]): an actor's update needs dQ/da and no gradient of the critics. A loss that contains
//! dQ/da has a separate backward pass to the parameters ([`Network::backward_of_input_gradients`]).
//! [`Network::infer`] keeps nothing; it is for acting and for target networks. The input is one
//! matrix or several parts side by side (observation, action), shared by all members; it is copied
//! into one matrix, which costs a thousandth of the first product. Two batches under the same
//! weights (V(s) and V(s')) are best stacked into one pass.
//!
//! # An update of an actor and its critics
//!
//! All arrays are whole batches, so an update reads like its paper. This is TD3+BC:
//!
//! ```
//! use rtg_kernels::adamw::{AdamW, Buffers, Step};
//! use rtg_kernels::mlp::{Layout, Network, Pass, Pool, Shape, Want, heads::tanh};
//!
//! # let rows = 4;
//! # let (s, a) = (vec![0.1; rows * 11], vec![0.2; rows * 3]);
//! # let targets = vec![0.5; rows];
//! let pool = Pool::new(2);
//! # let new = |shape: &Shape| Network::new(shape, vec![0.01; Layout::new(shape).len()]);
//! let mut actor = new(&Shape::new(&[11], &[256, 256], 3));
//! let mut critics = new(&Shape::new(&[11, 3], &[256, 256], 1).ensemble(2));
//! let mut target_critics = critics.clone();
//! // One for each pass of an update, kept from update to update.
//! let (mut of_critics, mut of_actor) = (Pass::new(), Pass::new());
//! let constants = AdamW { decay: 0.0, ..AdamW::default() };
//! let step = Step { constants, rate: 3e-4, number: 1, clip: 1.0 };
//! let mut gradient = vec![0.0; critics.layout().len()];
//! let (mut mean, mut square) = (gradient.clone(), gradient.clone());
//!
//! // Everything inside runs on one of the pool's threads, so that the others are awake when a
//! // pass shares its work.
//! pool.update(|| {
//!     // Targets: y from `target_critics.infer(&pool, &[&next_s, &next_a], &mut next_q)`.
//!     // Critics: L = sum_j mean_b (Q_j(s, a) - y)^2, outputs are members x rows.
//!     critics.forward(&pool, &[&s, &a], &mut of_critics);
//!     let dq: Vec<f32> = of_critics.outputs().chunks(rows)
//!         .flat_map(|q| q.iter().zip(&targets).map(|(q, y)| 2.0 * (q - y) / rows as f32))
//!         .collect();
//!     critics.backward(&pool, &dq, Want::parameters(&mut gradient), &mut of_critics);
//!     let weights = critics.parameters_mut();
//!     let (mean, square) = (&mut mean, &mut square);
//!     pool.adam(&step, Buffers { gradient: &gradient, weights, mean, square });
//!
//!     // Actor: L = -lambda mean Q_0(s, pi(s)) + mean (pi(s) - a)^2: the first critic, dQ/da.
//!     actor.forward(&pool, &[&s], &mut of_actor);
//!     let mut pi = vec![0.0; rows * 3];
//!     tanh::forward(1.0, of_actor.outputs(), &mut pi);
//!     critics.forward_of(&pool, 0..1, None, &[&s, &pi], &mut of_critics);
//!     let lambda = 2.5 * rows as f32 / of_critics.outputs().iter().map(|q| q.abs()).sum::<f32>();
//!     let dq = vec![-lambda / rows as f32; rows];
//!     critics.backward(&pool, &dq, Want::input(1), &mut of_critics);
//!     let mut da = of_critics.input_gradients().to_vec();
//!     for (da, (pi, a)) in da.iter_mut().zip(pi.iter().zip(&a)) {
//!         *da += 2.0 * (pi - a) / (rows * 3) as f32;
//!     }
//!     let mut dz = da.clone();
//!     tanh::backward(1.0, &pi, &da, &mut dz);
//!     let mut of_parameters = vec![0.0; actor.layout().len()];
//!     actor.backward(&pool, &dz, Want::parameters(&mut of_parameters), &mut of_actor);
//!     // ... `pool.adam` for the actor, then
//!     pool.polyak(0.005, critics.parameters(), target_critics.parameters_mut());
//! });
//! # assert!(gradient.iter().any(|g| *g != 0.0));
//! ```
//!
//! # How the work is divided
//!
//! A forward pass is one parallel section: each thread takes members, or rows of members, through
//! all layers. A backward pass has two: rows again, from the outputs to every layer's output; then
//! matrices, X^T dY for some rows of a weight, over all rows of the batch. So no thread has a
//! separate gradient that would have to be added up, and no sum's order depends on the threads: a
//! pass gives the same bits on any number of them. Of large batches some hundred rows go through
//! all layers, or into the sums of a matrix, at a time, so that they stay in a core's cache.
//! Sections of less than some microseconds of work run on one thread.
//!
//! # Parts
//!
//! A pool may [divide](Pool::divide) batches into parts, of which other processes compute some.
//! Then a pass computes this process's rows and completes outputs and gradients with those of the
//! others, so that every array is still a whole batch and learners need no other code. Gradients at
//! parameters are computed part by part and added up in the order of the parts.
//!
//! # Possible savings
//!
//! Many actions of one state (CQL) can share the state's part of the first product: the parts of an
//! input are separate, and each element of a product is one chain along the depth, state first, so
//! a pass that starts each action's chain from the state's sums has the bits of the plain pass.
//!
//! # Where things are
//!
//! `layout`: sizes and places. `network`: parameters and passes; `weights`: their packing. `layer`:
//! one layer forward, as `forward` (activations kept, in `pass`) and `inference` use it.
//! `backward`: rows; `gradient`: matrices; `divided`: passes in parts; `tangent`: a loss of the
//! input's gradient. `epilogue`: operations on a product before it is stored. `narrow`: products
//! with few columns. `reference`: naive versions of everything.

mod backward;
mod divided;
mod epilogue;
mod forward;
mod gradient;
pub mod heads;
mod inference;
mod layer;
mod layout;
mod narrow;
mod network;
mod pass;
mod pool;
pub mod reference;
mod tangent;
#[cfg(test)]
mod tests;
mod weights;

pub use backward::{Gradient, Want};
pub use divided::DividedBatch;
pub use layout::{Activation, Layout, Norm, Place, Shape};
pub use network::Network;
pub use pass::Pass;
pub use pool::Pool;
