//! A video among a run's metrics: TensorBoard plays a GIF.

use rtg_envs::Frame;

use super::Reel;
use super::gif::Gif;
use crate::error::Error;
use crate::metrics::{self, Image};
use crate::run::Run;

/// The tag under which TensorBoard has the videos for a target return, or for a policy that takes
/// none.
pub fn tag(target: Option<f64>) -> String {
    metrics::for_target(metrics::ROLLOUT, target)
}

/// Writes a video into the TensorBoard of a run that no other process writes to.
pub struct Board {
    run: Run,
    tag: String,
    step: u64,
    gif: Gif,
    size: (usize, usize),
}

impl Board {
    /// A video for the image `tag` at an optimiser step of `run`, which is locked.
    pub fn new(run: Run, tag: String, step: u64) -> Self {
        Self {
            gif: Gif::new(run.path()),
            run,
            tag,
            step,
            size: (0, 0),
        }
    }
}

impl Reel for Board {
    fn add(&mut self, frame: &Frame, seconds: f64) -> Result<(), Error> {
        self.size = (frame.width, frame.height);
        self.gif.add(frame, seconds)
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let image = Image {
            width: self.size.0,
            height: self.size.1,
            encoded: self.gif.into_bytes()?,
        };
        Ok(self.run.add_image(self.step, &self.tag, image)?)
    }
}
