//! `rtg estimate`: the return of a run's policy, estimated from a dataset without simulation.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use rtg_datasets::select::Selection;

use super::progress::bar;
use super::{print, print_json};
use crate::data;
use crate::error::Error;
use crate::experiment::{Experiment, Target};
use crate::metrics::spread;
use crate::off_policy::{Estimation, EstimationPlan, TargetEstimates, Value, estimate};
use crate::parallel::{World, cores};
use crate::statistics::Interval;
use crate::trained::{TrainedPolicy, Which};

/// Estimate a run's return from a dataset, without its environment (off-policy evaluation).
#[derive(Args)]
#[command(after_help = "Example: rtg estimate runs/pendulum --rollouts 100")]
pub(super) struct Estimate {
    /// Run directory of `rtg train`.
    run: PathBuf,
    /// The dataset, all of its episodes [default: the run's, as it was selected].
    #[arg(long)]
    dataset: Option<String>,
    /// Target returns, as for `rtg evaluate` [default: the run's].
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    targets: Option<Vec<Target>>,
    /// The discount of one step.
    #[arg(long, default_value_t = 0.99, value_parser = discount)]
    discount: f64,
    /// Updates of fitted Q evaluation; 100 of them look one step further ahead.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    updates: u64,
    /// Importance sampling (discrete actions only) evaluates the policy with this share of
    /// uniformly random actions.
    #[arg(long, default_value_t = 0.1, value_parser = share)]
    epsilon: f64,
    /// Simulate this many episodes as well, for comparison.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_048_576))]
    rollouts: u64,
    /// The seed of batches and weights, and of the first simulated episode.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Which checkpoint: the latest, or the one with the best return for the run's first target.
    #[arg(long, value_enum, default_value_t = Which::Latest)]
    checkpoint: Which,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn number(
    text: &str,
    fits: impl Fn(f64) -> bool,
    expected: &str,
) -> Result<f64, String> {
    let found = text.parse().ok().filter(|number| fits(*number));
    found.ok_or_else(|| format!("a number {expected}"))
}

fn discount(text: &str) -> Result<f64, String> {
    number(text, |x| (0.0..=1.0).contains(&x), "from 0 to 1")
}

fn share(text: &str) -> Result<f64, String> {
    number(text, |x| x > 0.0 && x <= 1.0, "above 0 and at most 1")
}

impl Estimate {
    pub(super) fn run(self) -> Result<(), Error> {
        super::watch()?;
        let (trained, _) = TrainedPolicy::describe(&self.run, self.checkpoint)?;
        let (targets, _) = trained.targets(self.targets.as_deref())?;
        let own = &trained.plan;
        let planned = Experiment {
            env: Some(trained.env.clone()),
            labels: None,
            ..match &self.dataset {
                None => own.clone(),
                Some(dataset) => Experiment {
                    dataset: Some(dataset.clone()),
                    mix: Vec::new(),
                    selection: Selection::default(),
                    ..own.clone()
                },
            }
        };
        let opened = data::open(&planned)?;
        let Some(data) = &opened.data else {
            return Err(Error::NoRecordings);
        };
        if let Some(reason) = opened.unsimulated.filter(|_| self.rollouts > 0) {
            return Err(Error::NothingToSimulate { reason });
        }
        let threads = cores(&World::alone());
        let acting = own.evaluation.acting;
        let plan = EstimationPlan {
            targets,
            discount: self.discount,
            updates: self.updates,
            epsilon: self.epsilon,
            seed: self.seed,
            rollouts: (self.rollouts > 0).then(|| (trained.env.clone(), self.rollouts as usize)),
            threads,
        };
        let bar = bar(0, "updates");
        let model = &trained.model;
        let estimation = estimate(
            &mut |rows| model.greedy(acting, rows, threads),
            data,
            &plan,
            |done, all| {
                bar.set_length(all);
                bar.set_position(done);
            },
        )?;
        bar.finish_and_clear();
        if self.json {
            print_json(&estimation)
        } else {
            print(&table(&estimation))
        }
    }
}

fn table(estimation: &Estimation) -> String {
    let mut text = format!(
        "{} episodes, {} steps, discount {}, {:.1} s\n{:>10} {:<43} {:>12} {:>24}\n",
        estimation.episodes,
        estimation.steps,
        estimation.discount,
        estimation.seconds,
        "target",
        "estimate",
        "return",
        "95 %"
    );
    for estimates in &estimation.targets {
        rows(&mut text, estimates);
    }
    let Value { mean, interval } = estimation.recorded;
    row(&mut text, "", "the recorded episodes", mean, interval);
    for estimates in &estimation.targets {
        text += &remarks(estimates, estimation.recorded_range);
    }
    text
}

fn rows(text: &mut String, estimates: &TargetEstimates) {
    let target = (estimates.target).map_or("-".to_owned(), |target| target.to_string());
    let Value { mean, interval } = estimates.fitted.value;
    row(text, &target, "fitted Q evaluation", mean, interval);
    if let Some(importance) = &estimates.importance {
        let values = importance.estimates.named().into_iter();
        for ((name, value), (_, interval)) in values.zip(importance.intervals.named()) {
            let name = format!("importance sampling, {name}");
            row(text, &target, &name, *value, Some(*interval));
        }
    }
    if let Some(Value { mean, interval }) = estimates.rollouts {
        row(text, &target, "simulated episodes", mean, interval);
    }
}

fn row(text: &mut String, target: &str, name: &str, value: f64, interval: Option<Interval>) {
    let interval = interval.map_or("-".to_owned(), |Interval { low, high }| {
        format!("{} to {}", spread(low, None), spread(high, None))
    });
    let value = spread(value, None);
    let _ = writeln!(text, "{target:>10} {name:<43} {value:>12} {interval:>24}");
}

/// What a reader has to know of the estimates of one target.
fn remarks(estimates: &TargetEstimates, recorded: Interval) -> String {
    let of = (estimates.target).map_or(String::new(), |target| format!("target {target}: "));
    let mut text = String::new();
    let Interval { low, high } = recorded;
    let found = estimates.fitted.value.mean;
    if !(low..=high).contains(&found) {
        let (low, high) = (spread(low, None), spread(high, None));
        let _ = writeln!(
            text,
            "{of}CAUTION: the fitted value is outside the recorded returns, {low} to {high}: the \
             policy takes actions that the data do not have"
        );
    }
    if let [.., (_, before), (_, last)] = estimates.fitted.course[..] {
        let moved = spread(last - before, None);
        let _ = writeln!(
            text,
            "{of}the fitted value moved by {moved} in the last tenth of the updates"
        );
    }
    if let Some(importance) = &estimates.importance {
        let _ = writeln!(
            text,
            "{of}importance sampling is of the policy with a share of {} random actions; the greedy \
             one takes {:.0} % of the recorded actions; {:.1} effective episodes",
            importance.epsilon,
            100.0 * importance.agreement,
            importance.effective_episodes
        );
    }
    text
}
