//! `rtg evaluate`: the returns of a run's policy for each target.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::estimate::number;
use super::progress::bar;
use super::ranks::Ranks;
use super::{print, print_json, say};
use crate::acting;
use crate::device::Device;
use crate::error::Error;
use crate::evaluate::{self, EvaluationPlan, EvaluationResult};
use crate::experiment::Target;
use crate::metrics::spread;
use crate::parallel::{World, cores};
use crate::policy::ActingMode;
use crate::statistics::Calibration;
use crate::trained::{TrainedPolicy, Which};

/// Evaluate a trained run in its environment.
#[derive(Args)]
#[command(
    after_help = "Example: rtg evaluate runs/pendulum --targets=-150,-500 --episodes 100 --json"
)]
pub(super) struct Evaluate {
    /// Run directory of `rtg train`.
    run: PathBuf,
    /// Target returns, `sweep`, `sweep:11`, `quantile:0.9`, separated by commas [default: the
    /// run's].
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    targets: Option<Vec<Target>>,
    /// Episodes for each target.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    episodes: u64,
    /// Seed of the first episode's start [default: the run's evaluation.seed].
    #[arg(long)]
    seed: Option<u64>,
    /// Which checkpoint: the latest, or the one with the best return for the run's first target.
    #[arg(long, value_enum, default_value_t = Which::Latest)]
    checkpoint: Which,
    /// How a Decision Transformer acts in episodes longer than its context; `streaming` is faster,
    /// `search` chooses how much history it uses, and both are other functions than `exact`
    /// [default: the run's evaluation.acting].
    #[arg(long, value_enum)]
    acting: Option<ActingMode>,
    /// Where a Decision Transformer acts: cpu, or all environments at once on a GPU: cuda, cuda:N,
    /// or auto (a GPU if one is usable) [default: the run's evaluation.device].
    #[arg(long)]
    device: Option<Device>,
    /// How far a Decision Transformer that was trained with `condition_dropout` follows its target:
    /// 0 ignores it, 1 acts as the model alone, more exaggerates [default: the run's guidance].
    #[arg(long, value_parser = not_negative)]
    guidance: Option<f32>,
    /// How large a return a Decision Transformer with `return_bins` acts for, among those that it
    /// predicts: 0 is the median [default: the run's optimism].
    #[arg(long, value_parser = not_negative)]
    optimism: Option<f32>,
    /// Environments that are stepped together; affects the speed, not the result.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    rows: Option<u64>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    ranks: Ranks,
}

fn not_negative(text: &str) -> Result<f32, String> {
    let fits = |x: f64| x >= 0.0 && (x as f32).is_finite();
    number(text, fits, "of at least 0").map(|number| number as f32)
}

impl Evaluate {
    pub(super) fn run(self) -> Result<(), Error> {
        self.ranks.run(|world| self.evaluate(world))
    }

    fn evaluate(&self, world: &World) -> Result<(), Error> {
        let trained = TrainedPolicy::open(&self.run, self.checkpoint, None)?;
        let trained = trained.guided(self.guidance)?.optimistic(self.optimism)?;
        let (targets, return_range) = trained.targets(self.targets.as_deref())?;
        let (acting, message) = acting::choose(&trained.plan, world, (self.acting, self.device))?;
        if let Some(message) = message {
            say(&message);
        }
        let TrainedPolicy {
            model, env, plan, ..
        } = trained;
        let plan = EvaluationPlan {
            env,
            episodes: self.episodes as usize,
            seed: self.seed.unwrap_or(plan.evaluation.seed),
            rows: self.rows.map(|rows| rows as usize),
            threads: cores(world),
            targets,
            return_range,
        };
        let threads = plan.threads;
        let bar = bar(0, "episodes");
        let evaluation = evaluate::share(
            world,
            &mut |rows| model.acting(acting, rows, threads),
            &plan,
            |ended, all| {
                if world.is_first() {
                    bar.set_length(all as u64);
                    bar.set_position(ended as u64);
                }
            },
        )?;
        bar.finish_and_clear();
        if !world.is_first() {
            Ok(())
        } else if self.json {
            print_json(&evaluation)
        } else {
            print(&table(&evaluation))
        }
    }
}

fn table(evaluation: &EvaluationResult) -> String {
    let takes_target = evaluation
        .targets
        .iter()
        .any(|score| score.target.is_some());
    let mut text = format!(
        "{}, {} episodes{}, {} steps in {:.1} s\n{:>10} {:>22} {:>20} {:>10} {:>16}\n",
        evaluation.env,
        evaluation.episodes,
        if takes_target { " for each target" } else { "" },
        evaluation.env_steps,
        evaluation.seconds,
        "target",
        "return",
        "95 % of the mean",
        "length",
        "score"
    );
    for score in &evaluation.targets {
        let normalised = match (score.score, score.score_std) {
            (Some(mean), Some(std)) => format!("{mean:.1} ± {std:.1}"),
            _ => "-".to_owned(),
        };
        let target = score
            .target
            .map_or("-".to_owned(), |target| target.to_string());
        let interval = score.return_interval.map_or("-".to_owned(), |interval| {
            format!("{:.1} to {:.1}", interval.low, interval.high)
        });
        let achieved = spread(score.return_mean, Some(score.return_std));
        let _ = writeln!(
            text,
            "{target:>10} {achieved:>22} {interval:>20} {:>10.1} {normalised:>16}",
            score.length_mean
        );
    }
    if let Some(calibration) = &evaluation.calibration {
        text += &sentence(calibration);
    }
    text
}

/// The calibration over the targets within the data's range, in words.
fn sentence(calibration: &Calibration) -> String {
    let Calibration { range, targets, .. } = calibration;
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    let interval = calibration
        .error_interval
        .map_or(String::new(), |interval| {
            format!(" [{:.3}, {:.3}]", interval.low, interval.high)
        });
    format!(
        "calibration error {:.3}{interval} of the data's range {} to {}, over {targets} target{}; \
         Spearman {}, slope {}, intercept {}, {:.0} % within a tenth of the range\n",
        calibration.error,
        range.low,
        range.high,
        if *targets == 1 { "" } else { "s" },
        number(calibration.spearman),
        number(calibration.slope),
        number(calibration.intercept),
        100.0 * calibration.within
    )
}
