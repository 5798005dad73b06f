//! An animated GIF.

use std::io::{self, Write};
use std::iter;
use std::path::{Path, PathBuf};

use gif::{Encoder, EncodingError, Repeat};
use rtg_envs::Frame;

use super::Reel;
use crate::error::Error;
use crate::run::write_whole;

/// Sampling factor of the colour quantiser, 1 (slow, exact) to 30: the drawings have few colours.
const HASTE: i32 = 30;

/// Makes a GIF that loops for ever. It grows in memory, about a kilobyte a frame.
///
/// A frame contains only the pixels that differ from the frame before; the others are transparent.
pub struct Gif {
    path: PathBuf,
    encoder: Option<Encoder<Vec<u8>>>,
    /// The pixels of the frame before, none before the first frame.
    before: Vec<u8>,
    /// Hundredths of a second carried over by rounding: each frame has a whole number.
    owed: f64,
}

impl Gif {
    /// Starts a video for the file at `path`.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            encoder: None,
            before: Vec::new(),
            owed: 0.0,
        }
    }

    /// The video so far; nothing if it has no frame.
    pub fn into_bytes(mut self) -> Result<Vec<u8>, Error> {
        let encoder = self.encoder.take();
        let bytes = encoder.map_or(Ok(Vec::new()), Encoder::into_inner);
        bytes.map_err(|error| self.failed(io::Error::other(error)))
    }

    fn encode(&mut self, frame: &Frame, seconds: f64) -> Result<(), EncodingError> {
        let (width, height) = (frame.width as u16, frame.height as u16);
        let mut pixels = differences(&self.before, &frame.pixels);
        let mut picture = gif::Frame::from_rgba_speed(width, height, &mut pixels, HASTE);
        self.before.clone_from(&frame.pixels);
        self.owed += 100.0 * seconds;
        // Viewers show a frame of less than two hundredths much longer.
        picture.delay = self.owed.round().max(2.0) as u16;
        self.owed -= f64::from(picture.delay);
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => {
                let mut encoder = Encoder::new(Vec::new(), width, height, &[])?;
                encoder.set_repeat(Repeat::Infinite)?;
                none.insert(encoder)
            }
        };
        encoder.write_frame(&picture)
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Write {
            source,
            path: self.path.clone(),
        }
    }
}

/// RGBA of `after`: opaque where it differs from `before`, which is empty or as long, else
/// transparent.
fn differences(before: &[u8], after: &[u8]) -> Vec<u8> {
    let before = before.chunks_exact(3).map(Some).chain(iter::repeat(None));
    let pairs = after.chunks_exact(3).zip(before);
    pairs
        .flat_map(|(after, before)| match before {
            Some(before) if before == after => [0; 4],
            _ => [after[0], after[1], after[2], u8::MAX],
        })
        .collect()
}

impl Reel for Gif {
    fn add(&mut self, frame: &Frame, seconds: f64) -> Result<(), Error> {
        self.encode(frame, seconds)
            .map_err(|error| self.failed(io::Error::other(error)))
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let path = self.path.clone();
        let bytes = self.into_bytes()?;
        Ok(write_whole(&path, |file| file.write_all(&bytes))?)
    }
}
