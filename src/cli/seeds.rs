//! `rtg train --seeds`: one plan with several seeds, concurrently.

use std::path::Path;
use std::str::FromStr;

use super::sweep::work_and_show;
use crate::error::Error;
use crate::experiment::{Experiment, default_threads, merged};
use crate::keys::{Table, Value};
use crate::labels;
use crate::parallel::World;
use crate::sweep::{Folder, PlannedRun, SweepPlan};
use crate::train::new_learner;

/// The most seeds at once.
const MOST: u64 = 10_000;

/// Seeds of runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seeds(Vec<u64>);

/// A text that names no seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seeds must be a range, such as 0..5 for 0 to 4, or a list, such as 0,1,7")]
pub(super) struct SeedsError;

impl FromStr for Seeds {
    type Err = SeedsError;

    fn from_str(text: &str) -> Result<Self, SeedsError> {
        let number = |text: &str| {
            let number: u64 = text.trim().parse().map_err(|_| SeedsError)?;
            // Plans store signed numbers.
            i64::try_from(number)
                .map(|_| number)
                .map_err(|_| SeedsError)
        };
        let seeds: Vec<u64> = match text.split_once("..") {
            Some((from, to)) => {
                let (from, to) = (number(from)?, number(to)?);
                if to.saturating_sub(from) > MOST {
                    return Err(SeedsError);
                }
                (from..to).collect()
            }
            None => text.split(',').map(number).collect::<Result<_, _>>()?,
        };
        let mut distinct = seeds.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if seeds.is_empty() || distinct.len() < seeds.len() {
            return Err(SeedsError);
        }
        Ok(Self(seeds))
    }
}

impl Seeds {
    /// Trains a run for each seed with the plan of `layers`, as a sweep in the folder `out`, and
    /// shows their results. `planned` is that plan.
    ///
    /// A run computes on one thread unless the plan has another number, and as many runs are active
    /// as the cores allow: this uses a machine better than one run after another on all cores.
    pub(super) fn train(
        &self,
        layers: &[Table],
        planned: &Experiment,
        out: &Path,
    ) -> Result<(), Error> {
        let mut layer = merged(layers);
        layer
            .entry("threads".to_owned())
            .or_insert(Value::Integer(1));
        let runs = self.0.iter().map(|seed| {
            let mut layer = layer.clone();
            layer.insert("seed".to_owned(), Value::Integer(seed.cast_signed()));
            PlannedRun::new(&["seed".to_owned(), seed.to_string()], &layer)
        });
        let sweep = SweepPlan::new(runs.collect::<Result<_, _>>()?, Vec::new())?;
        // All errors of the plan are reported before the first run.
        let opened = labels::open(planned, None)?;
        let experiment = planned
            .clone()
            .resolve(&opened.spec, opened.data.as_ref())?;
        drop(new_learner(&experiment, &World::alone(), &opened, None)?);
        let folder = Folder::write(out, &sweep)?;
        let threads = layer.get("threads").and_then(Value::as_integer);
        let threads = threads.and_then(|threads| usize::try_from(threads).ok());
        let workers = (default_threads() / threads.unwrap_or(1).max(1)).max(1);
        work_and_show(workers, &folder, &folder.indices(&sweep), out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_or_a_list() {
        let seeds = |text: &str| text.parse::<Seeds>().map(|seeds| seeds.0);
        assert_eq!(seeds("0..4"), Ok(vec![0, 1, 2, 3]));
        assert_eq!(seeds("7..8"), Ok(vec![7]));
        assert_eq!(seeds("3, 1,2"), Ok(vec![3, 1, 2]));
        for wrong in [
            "",
            "4..4",
            "5..4",
            "0..",
            "..4",
            "1,1",
            "-1",
            "1,,2",
            "a",
            "0..99999999",
            "9223372036854775808",
        ] {
            assert_eq!(seeds(wrong), Err(SeedsError), "{wrong:?}");
        }
    }
}
