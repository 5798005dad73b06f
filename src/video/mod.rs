//! Videos of episodes: the environment next to curves of the episode.
//!
//! An episode follows from its start alone, so it is played twice: once for its curves, then again
//! for its frames, each of which is drawn, written and dropped. A video of any length needs the
//! memory of one frame.

mod board;
mod gif;
mod png;
mod sheet;
mod mp4;

use std::path::Path;

use rtg_datasets::Episode;
use rtg_envs::{Env, Frame};

pub use self::board::{Board, tag};
pub use self::gif::Gif;
pub use self::mp4::Mp4;
pub use self::png::FrameFolder;
pub use self::sheet::{Caption, compose};

use crate::error::Error;
use crate::policy::{Policy, Start};
use crate::rollout::{Beginning, Rollout, Transition, TransitionSink};

/// Writes the frames of a video, all of one size, in their order. The file has its name only after
/// `finish`.
pub trait Reel {
    /// One more frame, shown for `seconds`.
    fn add(&mut self, frame: &Frame, seconds: f64) -> Result<(), Error>;

    /// Completes the video.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

/// The reel for the name of a file: `.gif`, `.mp4` (by ffmpeg), or a folder of PNG frames.
pub fn reel(path: &Path, frames_per_second: f64) -> Result<Box<dyn Reel>, Error> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    Ok(match extension.map(str::to_lowercase).as_deref() {
        Some("gif") => Box::new(Gif::new(path)),
        Some("mp4") => Box::new(Mp4::new(path, frames_per_second)),
        None => Box::new(FrameFolder::create(path)?),
        Some(_) => {
            return Err(Error::VideoKind {
                path: path.to_owned(),
            });
        }
    })
}

/// What to record.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoPlan {
    /// Environment id.
    pub env: String,
    /// Target return of every episode; none for a policy that takes none.
    pub target: Option<f64>,
    /// Episodes.
    pub episodes: usize,
    /// Seed of the first episode's start; the next has the next seed.
    pub seed: u64,
    /// Frames a second; `None`: at most 30, in real time.
    pub frames_per_second: Option<f64>,
}

/// The rate of a video's frames, relative to environment steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Steps from one frame to the next.
    pub every: usize,
    /// Seconds that a frame is shown.
    pub seconds: f64,
}

impl Pace {
    /// At most `wanted` frames a second, in simulated time.
    pub fn of(env: &dyn Env, wanted: Option<f64>) -> Self {
        let steps = env.steps_per_second();
        let every = (steps / wanted.unwrap_or(30.0)).ceil().max(1.0);
        Self {
            every: every as usize,
            seconds: every / steps,
        }
    }

    /// Frames a second.
    pub fn frames_per_second(&self) -> f64 {
        self.seconds.recip()
    }
}

/// How long an episode's last frame is shown, in seconds.
const LAST_FRAME_SECS: f64 = 1.0;

/// The pace at which a plan is recorded.
///
/// # Errors
/// An unknown environment, or one that cannot be drawn.
pub fn pace(plan: &VideoPlan) -> Result<Pace, Error> {
    let env = rtg_envs::make(&plan.env)?;
    if env.render().is_none() {
        return Err(Error::NoPicture {
            env: plan.env.clone(),
        });
    }
    Ok(Pace::of(&env, plan.frames_per_second))
}

/// Plays the plan's episodes at its [`pace`] and adds their frames to `reels`; returns the
/// episodes.
///
/// `progress` is called after each step of the second pass: steps done, steps in all.
pub fn record(
    policy: &mut dyn FnMut(usize) -> Box<dyn Policy>,
    plan: &VideoPlan,
    pace: Pace,
    reels: &mut [Box<dyn Reel>],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Episode>, Error> {
    let first = Start {
        seed: plan.seed,
        target: plan.target,
    };
    let count = plan.episodes;
    let rollout = || {
        Rollout::open(&plan.env, 1, 1, move |index| {
            let seed = first.seed.wrapping_add(index as u64);
            (index < count).then_some(Start { seed, ..first })
        })
    };
    let episodes = rollout()?.run_episodes(&mut *policy(1));
    let mut camera = Camera {
        plan,
        episodes: &episodes,
        pace,
        reels,
        step: 0,
        done: 0,
        steps: episodes.iter().map(Episode::len).sum(),
        progress,
        failure: None,
    };
    rollout()?.play(&mut *policy(1), &mut camera);
    camera.failure.map_or(Ok(()), Err)?;
    Ok(episodes)
}

/// Draws each step.
struct Camera<'a> {
    plan: &'a VideoPlan,
    episodes: &'a [Episode],
    pace: Pace,
    reels: &'a mut [Box<dyn Reel>],
    /// Steps taken in the current episode.
    step: usize,
    /// Steps taken in all episodes.
    done: usize,
    steps: usize,
    progress: &'a mut dyn FnMut(usize, usize),
    /// The first error; nothing is drawn after it.
    failure: Option<Error>,
}

impl Camera<'_> {
    fn shoot(&mut self, index: usize, env: &dyn Env) {
        let episode = &self.episodes[index];
        let last = self.step == episode.len();
        if self.failure.is_some() || !(last || self.step.is_multiple_of(self.pace.every)) {
            return;
        }
        let seconds = if last {
            LAST_FRAME_SECS
        } else {
            self.pace.seconds
        };
        let Some(scene) = env.render() else {
            return;
        };
        let shot = self.sheet(index, episode, &scene);
        for reel in &mut *self.reels {
            if let Err(error) = reel.add(&shot, seconds) {
                self.failure.get_or_insert(error);
            }
        }
    }

    fn sheet(&self, index: usize, episode: &Episode, scene: &Frame) -> Frame {
        compose(
            scene,
            episode,
            &Caption {
                env: &self.plan.env,
                target: self.plan.target,
                episode: (index + 1, self.plan.episodes),
                step: self.step,
            },
        )
    }
}

impl TransitionSink for Camera<'_> {
    fn begun(&mut self, beginning: &Beginning<'_>) {
        self.step = 0;
        self.shoot(beginning.index, beginning.env);
    }

    fn stepped(&mut self, transition: &Transition<'_>) {
        self.step += 1;
        self.done += 1;
        self.shoot(transition.index, transition.env);
        (self.progress)(self.done, self.steps);
    }
}

#[cfg(test)]
mod tests;
