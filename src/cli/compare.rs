//! `rtg compare`: which algorithm is better on a dataset, and how certain that is.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::harmless::line;
use super::print;
use super::sweep::work_and_show;
use crate::algorithms::AlgorithmRef;
use crate::compare::{Budget, ComparisonPlan};
use crate::error::Error;
use crate::experiment::{Experiment, default_threads};
use crate::sweep::Folder;

/// Train algorithms on datasets with several seeds and compare them.
#[derive(Args)]
#[command(
    after_help = "The folder is that of a sweep, so `rtg sweep DIR --status`, `--slurm` and `--print` work on \
    it. After an interruption, run the same command again: finished runs are kept, unfinished ones \
    are resumed. Each run uses one thread.\n\n\
    Examples: rtg compare builtin/cartpole/mixed\n          \
    rtg compare sb3/pendulum/mixed-v0 --algorithms bc,td3_bc --seeds 10 --budget 3min"
)]
pub(super) struct Compare {
    /// Minari ids, paths of datasets, or builtin/<env>/<kind>.
    #[arg(required = true, value_name = "DATASET")]
    datasets: Vec<String>,
    /// Algorithms [default: all that can learn from the datasets].
    #[arg(long, value_delimiter = ',', value_name = "NAME,NAME")]
    algorithms: Vec<String>,
    /// Seeds of each algorithm on each dataset.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Training of each run: updates (20000) or minutes (3min) [default: the algorithm's default].
    #[arg(long)]
    budget: Option<Budget>,
    /// Runs at a time on this machine [default: number of cores].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
    /// Folder of the comparison [default: comparisons/<datasets>].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Any key, for all runs whose algorithm has it. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Write the plans without starting runs.
    #[arg(long)]
    plan_only: bool,
}

impl Compare {
    pub(super) fn run(self) -> Result<(), Error> {
        let out = self
            .out
            .clone()
            .unwrap_or_else(|| default_folder(&self.datasets));
        let planned = self.comparison()?.plan(&out)?;
        for words in &planned.left_out {
            drop(writeln!(std::io::stderr(), "{}", line(words)));
        }
        let folder = Folder::write(&out, &planned.sweep)?;
        let indices = folder.indices(&planned.sweep);
        if self.plan_only {
            let (count, out) = (indices.len(), out.display());
            return print(&format!(
                "{count} plans in {out}; `rtg sweep {out}` starts the runs\n"
            ));
        }
        let workers = self.workers.map_or_else(default_threads, usize::from);
        work_and_show(workers, &folder, &indices, &out)
    }

    fn comparison(&self) -> Result<ComparisonPlan, Error> {
        let named = self.algorithms.iter().map(|name| AlgorithmRef::named(name));
        let settings = self.set.iter().map(|text| Experiment::parse_setting(text));
        Ok(ComparisonPlan {
            datasets: self.datasets.clone(),
            algorithms: named.collect::<Result<_, _>>()?,
            seeds: self.seeds,
            budget: self.budget.unwrap_or(Budget::Own),
            settings: settings.collect::<Result<_, _>>()?,
        })
    }
}

/// A folder named after the datasets.
fn default_folder(datasets: &[String]) -> PathBuf {
    let name = datasets.join("+");
    let safe = |letter: char| letter.is_alphanumeric() || "._+".contains(letter);
    let name: String = name
        .chars()
        .map(|c| if safe(c) { c } else { '-' })
        .collect();
    Path::new("comparisons").join(name.trim_start_matches(['-', '.', '+']))
}
