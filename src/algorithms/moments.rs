//! An optimiser's moments in a checkpoint.

use super::{Error, Saved};
use crate::nn::state_dict::Entry;
use crate::optimise::Moments;

const FIRST: &str = "rtg.first_moment";
const SECOND: &str = "rtg.second_moment";

/// The tensors of these moments.
pub(super) fn entries(moments: &Moments) -> Vec<Entry> {
    vec![
        Entry::vector(FIRST, &moments.first),
        Entry::vector(SECOND, &moments.second),
    ]
}

/// The moments of `count` parameters in a checkpoint.
pub(super) fn read(saved: &Saved, count: usize) -> Result<Moments, Error> {
    Ok(Moments {
        first: saved.floats(FIRST, count)?,
        second: saved.floats(SECOND, count)?,
    })
}
