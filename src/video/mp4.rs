//! An MP4 file, by the ffmpeg that is on `PATH`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rtg_envs::Frame;

use super::Reel;
use crate::error::Error;

/// Sends frames to ffmpeg, which writes a file next to the final one.
pub struct Mp4 {
    path: PathBuf,
    frames_per_second: f64,
    ffmpeg: Option<Child>,
}

impl Mp4 {
    /// Starts a video for the file at `path`.
    pub fn new(path: &Path, frames_per_second: f64) -> Self {
        Self {
            path: path.to_owned(),
            frames_per_second,
            ffmpeg: None,
        }
    }

    /// The file that ffmpeg writes; `./` keeps a name that begins with `-` from being an option.
    fn partial(&self) -> PathBuf {
        Path::new(".").join(self.path.with_extension("partial.mp4"))
    }

    fn start(&self, frame: &Frame) -> Result<Child, Error> {
        Command::new("ffmpeg")
            .args([
                "-y",
                "-loglevel",
                "error",
                "-f",
                "rawvideo",
                "-pix_fmt",
                "rgb24",
                "-s",
            ])
            .arg(format!("{}x{}", frame.width, frame.height))
            .arg("-r")
            .arg(self.frames_per_second.to_string())
            .args(["-i", "-", "-pix_fmt", "yuv420p", "-movflags", "+faststart"])
            .arg(self.partial())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| Error::Ffmpeg {
                reason: source.to_string(),
                path: self.path.clone(),
            })
    }

    /// Waits for ffmpeg and returns its error message.
    fn end(&mut self) -> Result<(), Error> {
        let Some(ffmpeg) = self.ffmpeg.take() else {
            return Ok(());
        };
        let failed = |reason| Error::Ffmpeg {
            reason,
            path: self.path.clone(),
        };
        let output = (ffmpeg.wait_with_output()).map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        let reason = String::from_utf8_lossy(&output.stderr);
        Err(failed(
            reason.lines().last().unwrap_or("it failed").to_owned(),
        ))
    }
}

impl Reel for Mp4 {
    fn add(&mut self, frame: &Frame, seconds: f64) -> Result<(), Error> {
        if self.ffmpeg.is_none() {
            self.ffmpeg = Some(self.start(frame)?);
        }
        let repeats = (seconds * self.frames_per_second).round().max(1.0) as usize;
        let sent = (|| {
            let pipe = self
                .ffmpeg
                .as_mut()
                .and_then(|ffmpeg| ffmpeg.stdin.as_mut());
            let pipe = pipe.ok_or(io::ErrorKind::BrokenPipe)?;
            (0..repeats).try_for_each(|_| pipe.write_all(&frame.pixels))
        })();
        sent.map_err(|source: io::Error| {
            // A broken pipe is less informative than ffmpeg's own message.
            let reason = source.to_string();
            self.end().err().unwrap_or(Error::Ffmpeg {
                reason,
                path: self.path.clone(),
            })
        })
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        if self.ffmpeg.is_none() {
            return Ok(());
        }
        self.end()?;
        std::fs::rename(self.partial(), &self.path).map_err(|source| Error::Write {
            source,
            path: self.path.clone(),
        })
    }
}

impl Drop for Mp4 {
    /// An abandoned video leaves neither a process nor half a file.
    fn drop(&mut self) {
        if let Some(mut ffmpeg) = self.ffmpeg.take() {
            let _ = ffmpeg.kill();
            let _ = ffmpeg.wait();
            let _ = std::fs::remove_file(self.partial());
        }
    }
}
