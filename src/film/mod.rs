//! Episodes as pictures: the world beside what the policy is after.
//!
//! An episode follows from its start alone, so it is played twice: once to know how it goes, then
//! again for its frames, each of which is drawn, shown and forgotten. A film of any length needs the
//! memory of one frame.

mod board;
mod gif;
mod png;
mod sheet;
mod video;

use std::path::Path;

use rtg_datasets::Episode;
use rtg_envs::{Env, Frame};

pub use self::board::{Board, tag};
pub use self::gif::Gif;
pub use self::png::Folder;
pub use self::sheet::{Caption, compose};
pub use self::video::Video;

use crate::error::Error;
use crate::policy::{Policy, Start};
use crate::rollout::{Beginning, Rollout, Sink, Transition};

/// Takes the frames of a film, all of one size, in their order. Nothing is at its place before
/// `finish`.
pub trait Reel {
    /// One more frame, shown for `seconds`.
    fn add(&mut self, frame: &Frame, seconds: f64) -> Result<(), Error>;

    /// The film is complete.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

/// The reel that the name of a file asks for: `.gif`, `.mp4` (by ffmpeg), or a folder of PNG frames.
pub fn reel(path: &Path, frames_per_second: f64) -> Result<Box<dyn Reel>, Error> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    Ok(match ending.map(str::to_lowercase).as_deref() {
        Some("gif") => Box::new(Gif::new(path)),
        Some("mp4") => Box::new(Video::new(path, frames_per_second)),
        None => Box::new(Folder::create(path)?),
        Some(_) => {
            return Err(Error::FilmKind {
                path: path.to_owned(),
            });
        }
    })
}

/// What to film.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Environment id.
    pub env: String,
    /// Target return of every episode; none for a policy that takes none.
    pub target: Option<f64>,
    /// Episodes.
    pub episodes: usize,
    /// Seed of the first episode's start; the next has the next seed.
    pub seed: u64,
    /// Frames a second; `None`: at most 30, as fast as the world's own time.
    pub frames_per_second: Option<f64>,
}

/// How a film's frames follow the steps of its world.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Every how many steps there is a frame.
    pub every: usize,
    /// Seconds that a frame is shown.
    pub seconds: f64,
}

impl Pace {
    /// At most `wanted` frames a second, in the world's own time.
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

/// How long an episode's last frame stays, in seconds.
const LAST_FRAME_SECS: f64 = 1.0;

/// The pace at which a plan is filmed.
///
/// # Errors
/// An unknown environment, or one that cannot be drawn.
pub fn pace(plan: &Plan) -> Result<Pace, Error> {
    let env = rtg_envs::make(&plan.env)?;
    if env.render().is_none() {
        return Err(Error::NoPicture {
            env: plan.env.clone(),
        });
    }
    Ok(Pace::of(&env, plan.frames_per_second))
}

/// Plays the plan's episodes at its [`pace`] and adds their frames to `reels`; gives the episodes.
///
/// `progress` is told of each step of the second playing: steps done, steps in all.
pub fn film(
    policy: &mut dyn FnMut(usize) -> Box<dyn Policy>,
    plan: &Plan,
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

/// Draws what it watches.
struct Camera<'a> {
    plan: &'a Plan,
    episodes: &'a [Episode],
    pace: Pace,
    reels: &'a mut [Box<dyn Reel>],
    /// Steps taken in the present episode.
    step: usize,
    /// Steps taken in all episodes.
    done: usize,
    steps: usize,
    progress: &'a mut dyn FnMut(usize, usize),
    /// The first thing that went wrong; nothing is drawn after it.
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

impl Sink for Camera<'_> {
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
