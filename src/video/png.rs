//! Frames as PNG files.

use std::io;
use std::path::{Path, PathBuf};

use png::{BitDepth, ColorType, Compression, Encoder};
use rtg_envs::Frame;

use super::Reel;
use crate::error::Error;
use crate::run::write_whole;

/// Numbered frames in a folder: `frame_00000.png` and so on.
pub struct FrameFolder {
    path: PathBuf,
    frames: usize,
}

impl FrameFolder {
    /// Creates the folder, which must be empty if it exists, because frames of two videos would
    /// mix.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Write {
            source,
            path: path.to_owned(),
        };
        std::fs::create_dir_all(path).map_err(failed)?;
        if path.read_dir().map_err(failed)?.next().is_some() {
            return Err(Error::FolderInUse {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            frames: 0,
        })
    }
}

impl Reel for FrameFolder {
    fn add(&mut self, frame: &Frame, _: f64) -> Result<(), Error> {
        let path = self.path.join(format!("frame_{:05}.png", self.frames));
        self.frames += 1;
        Ok(write_whole(&path, |file| encode(frame, file))?)
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

/// Writes a frame as PNG.
fn encode(frame: &Frame, to: impl io::Write) -> io::Result<()> {
    let mut encoder = Encoder::new(to, frame.width as u32, frame.height as u32);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&frame.pixels)?;
    Ok(writer.finish()?)
}
