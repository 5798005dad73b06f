//! Q-learning with discrete actions: the common part of DQN and its offline variants.
//!
//! A Q-network outputs the value of each of A actions, or N quantiles of each ([`Form`]). With a*
//! the best action at s' and ' for target weights,
//!
//! ```text
//! a*  = argmax_b Q'(s', b)      or, with `double`, argmax_b Q(s', b)
//! y   = r + gamma (1 - terminated) Q'(s', a*)
//! L   = mean l(Q(s, a) - y) + alpha mean (log sum_b e^Q(s, b) - Q(s, a))
//! ```
//!
//! where l is the square or the Huber loss, or the quantile loss of [`losses`], and alpha is 0
//! except in conservative Q-learning. Among actions with equal values, the first is chosen.
//!
//! An algorithm's folder declares its keys and converts them to a [`Method`]; network, update,
//! checkpoint and policy are here.

pub mod losses;

mod form;
mod learner;
mod method;
mod model;
mod update;

pub use self::form::Form;
pub(super) use self::form::argmax;
pub use self::learner::Learner;
pub use self::method::{Copies, Epsilon, Loss, Method, Online};
pub use self::model::Model;
