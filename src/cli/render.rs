//! `rtg render`: videos of a run's policy.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use rtg_datasets::Episode;
use serde_json::json;

use super::progress::bar;
use super::{print, print_json};
use crate::error::Error;
use crate::experiment::{Target, default_threads};
use crate::policy::Mode;
use crate::run::Run;
use crate::trained::{TrainedPolicy, Which};
use crate::video::{self, Reel, VideoPlan};

/// Render a video of a trained run in its environment.
#[derive(Args)]
#[command(
    after_help = "Next to the environment are curves of the return-to-go (the return, if the policy takes no target), the \
    rewards and the actions. The format follows from the name: .gif, .mp4 (needs ffmpeg), or a \
    folder for PNG frames.\n\n\
    Example: rtg render runs/pendulum --episodes 3 --target=-150 --out rollout.gif"
)]
pub(super) struct Render {
    /// Run directory of `rtg train`.
    run: PathBuf,
    /// Output: a .gif, a .mp4 or a folder.
    #[arg(long, default_value = "rollout.gif")]
    out: PathBuf,
    /// Target return [default: the run's first target].
    #[arg(long, allow_hyphen_values = true)]
    target: Option<f64>,
    /// Number of episodes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    episodes: u64,
    /// Seed of the first episode's start [default: the run's evaluation.seed].
    #[arg(long)]
    seed: Option<u64>,
    /// Which checkpoint: the latest, or the one with the best return for the run's first target.
    #[arg(long, value_enum, default_value_t = Which::Latest)]
    checkpoint: Which,
    /// Frames per second, at most [default: 30]; the video runs in the environment's real time.
    #[arg(long, value_parser = frames_per_second)]
    fps: Option<f64>,
    /// Also add the video to the run's TensorBoard.
    #[arg(long)]
    tensorboard: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

fn frames_per_second(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number > 0.0 && number <= 1000.0 {
        Ok(number)
    } else {
        Err("must be above 0 and at most 1000".to_owned())
    }
}

impl Render {
    pub(super) fn run(self) -> Result<(), Error> {
        let trained = TrainedPolicy::open(&self.run, self.checkpoint, None)?;
        let evaluation = &trained.plan.evaluation;
        let target = self.target.map(Target::Return);
        let (targets, _) = trained.targets(target.as_ref().map(std::slice::from_ref))?;
        let plan = VideoPlan {
            env: trained.env,
            target: targets.first().copied(),
            episodes: self.episodes as usize,
            seed: self.seed.unwrap_or(evaluation.seed),
            frames_per_second: self.fps,
        };
        let pace = video::pace(&plan)?;
        let mut reels: Vec<Box<dyn Reel>> = vec![video::reel(&self.out, pace.frames_per_second())?];
        if self.tensorboard {
            let run = Run::resume(&self.run)?;
            let tag = video::tag(plan.target);
            reels.push(Box::new(video::Board::new(run, tag, trained.step)));
        }
        let (model, threads) = (trained.model, default_threads());
        let bar = bar(0, "steps");
        let episodes = video::record(
            &mut |rows| model.policy(Mode::Greedy, rows, threads),
            &plan,
            pace,
            &mut reels,
            &mut |done, steps| {
                bar.set_length(steps as u64);
                bar.set_position(done as u64);
            },
        )?;
        for reel in reels {
            reel.finish()?;
        }
        bar.finish_and_clear();
        let returns: Vec<f64> = episodes.iter().map(Episode::return_).collect();
        if self.json {
            return print_json(&json!({
                "env": plan.env,
                "target": plan.target,
                "seed": plan.seed,
                "returns": returns,
                "lengths": episodes.iter().map(Episode::len).collect::<Vec<_>>(),
                "frames_per_second": pace.frames_per_second(),
                "out": self.out,
            }));
        }
        let mut text = String::new();
        let target = (plan.target).map_or(String::new(), |target| format!("target {target}, "));
        for (number, episode) in episodes.iter().enumerate() {
            let _ = writeln!(
                text,
                "episode {}: {target}return {:.1}, {} steps",
                number + 1,
                episode.return_(),
                episode.len()
            );
        }
        print(&format!("{text}{}\n", self.out.display()))
    }
}
