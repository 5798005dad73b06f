//! Metrics as JSON lines: one object for each call of the recorder.
//!
//! ```json
//! {"step":100,"wall_secs":1790000000.5,"train/loss":0.25,"train/learning_rate":0.0001}
//! {"step":100,"wall_secs":1790000000.6,"weights/head.weight":{"count":384,"mean":0.0,...}}
//! ```
//!
//! Metric names contain a slash, so they cannot collide with the two other keys. A histogram is an
//! object of summary numbers. NaN and the infinities are strings ([`super::number`]), so that every
//! line is valid JSON. Hyperparameters are not here: `experiment.toml` next to the file has them
//! all.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Error, Histogram, MetricSink, Moment, number};

/// Lines written here are far shorter; a longer one is not read into memory.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// Appends to a file of JSON lines.
#[derive(Debug)]
pub struct JsonLines {
    file: BufWriter<File>,
    path: PathBuf,
}

impl JsonLines {
    /// Opens `path` for appending and creates it where it does not exist.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|source| Error::Create {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            file: BufWriter::new(file),
            path: path.to_owned(),
        })
    }

    fn line(
        &mut self,
        at: Moment,
        values: impl Iterator<Item = (String, Value)>,
    ) -> Result<(), Error> {
        let mut line = Map::new();
        line.insert("step".into(), at.step.into());
        line.insert("wall_secs".into(), number::to_json(at.wall_secs));
        line.extend(values);
        writeln!(self.file, "{}", Value::Object(line)).map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> Error {
        Error::Write {
            path: self.path.clone(),
            source,
        }
    }
}

impl MetricSink for JsonLines {
    fn scalars(&mut self, at: Moment, values: &[(&str, f64)]) -> Result<(), Error> {
        self.line(
            at,
            values
                .iter()
                .map(|&(name, value)| (name.to_owned(), number::to_json(value))),
        )
    }

    fn histogram(&mut self, at: Moment, name: &str, values: &Histogram) -> Result<(), Error> {
        let summary = serde_json::json!({
            "count": values.count,
            "non_finite": values.non_finite,
            "mean": number::to_json(values.mean()),
            "std": number::to_json(values.std()),
            "min": number::to_json(values.min),
            "max": number::to_json(values.max),
        });
        self.line(at, std::iter::once((name.to_owned(), summary)))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.file.flush().map_err(|source| self.error(source))
    }
}

/// One line of the file: the step and the scalars. Histograms are omitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Optimiser steps done so far.
    pub step: u64,
    /// Seconds since 1970.
    pub wall_secs: f64,
    /// Names and values, in the order of their names.
    pub scalars: Vec<(String, f64)>,
}

/// Passes every line to `take` and returns the number of those that cannot be read: a damaged byte
/// costs only its own line. A last line without its line break was left by a killed process and is
/// ignored.
pub fn read(input: &mut impl BufRead, mut take: impl FnMut(Line)) -> io::Result<usize> {
    let mut unreadable = 0;
    while let Some(bytes) = next_line(input)? {
        match parse(&bytes) {
            Some(line) => take(line),
            None => unreadable += 1,
        }
    }
    Ok(unreadable)
}

/// Copies the lines of steps up to `last_step`, for a run that continues from there, and returns
/// the number of those that cannot be read.
pub fn copy_until(
    input: &mut impl BufRead,
    output: &mut impl Write,
    last_step: u64,
) -> io::Result<usize> {
    let mut unreadable = 0;
    while let Some(bytes) = next_line(input)? {
        match parse(&bytes) {
            Some(line) if line.step <= last_step => output.write_all(&bytes)?,
            Some(_) => {}
            None => unreadable += 1,
        }
    }
    Ok(unreadable)
}

/// The next line, or a part of one that is longer than the limit.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    input.take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)?;
    let is_whole = bytes.last() == Some(&b'\n') || bytes.len() as u64 == MAX_LINE_BYTES;
    Ok(is_whole.then_some(bytes))
}

fn parse(bytes: &[u8]) -> Option<Line> {
    let line: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
    let step = line.get("step")?.as_u64()?;
    let wall_secs = number::from_json(line.get("wall_secs")?)?;
    let scalars = line
        .into_iter()
        .filter(|(name, _)| name.contains('/'))
        .filter_map(|(name, value)| Some((name, number::from_json(&value)?)))
        .collect();
    Some(Line {
        step,
        wall_secs,
        scalars,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(steps: std::ops::Range<u64>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut lines = JsonLines::open(&path).unwrap();
        for step in steps {
            let at = Moment {
                step,
                wall_secs: 1.5,
            };
            let loss = if step == 2 { f64::NAN } else { step as f64 };
            lines.scalars(at, &[("train/loss", loss)]).unwrap();
            lines
                .histogram(at, "weights/w", &Histogram::of(&[1.0]))
                .unwrap();
        }
        lines.flush().unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn every_line_is_valid_json_and_comes_back_even_with_a_nan() {
        let text = written(0..3);
        let mut input = text.as_bytes();
        let mut losses = Vec::new();
        let take = |line: Line| losses.extend(line.scalars.into_iter().map(|(_, loss)| loss));
        assert_eq!(read(&mut input, take).unwrap(), 0);
        assert_eq!(losses[..2], [0.0, 1.0]);
        assert!(losses[2].is_nan());
        assert_eq!(text.lines().count(), 6);
        assert!(
            text.lines()
                .all(|line| serde_json::from_str::<Value>(line).is_ok())
        );
    }

    #[test]
    fn a_file_is_cut_back_to_a_step_and_loses_its_torn_last_line() {
        let text = written(0..5) + "{\"step\":1,\"wall";
        let mut kept = Vec::new();
        let unreadable = copy_until(&mut text.as_bytes(), &mut kept, 2).unwrap();
        assert_eq!(unreadable, 0);
        assert_eq!(
            String::from_utf8(kept).unwrap(),
            text.lines()
                .take(6)
                .fold(String::new(), |all, line| all + line + "\n",)
        );
    }

    #[test]
    fn foreign_lines_are_counted_and_a_huge_one_is_not_read_at_once() {
        let unreadable =
            |text: &str| read(&mut text.as_bytes(), |line| panic!("{line:?}")).unwrap();
        assert_eq!(unreadable("hello\n"), 1);
        assert_eq!(unreadable("{\"step\":-1,\"wall_secs\":0}\n"), 1);
        assert_eq!(unreadable(&"[[[[\n".repeat(3)), 3);
        assert_eq!(unreadable(&"x".repeat(2 << 20)), 2);
        assert_eq!(unreadable("{\"step\":1"), 0);
    }

    #[test]
    fn a_damaged_byte_loses_only_its_line_and_is_counted() {
        let mut bytes = written(0..5).into_bytes();
        let second = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        bytes[second + 3] ^= 0x80;
        let mut steps = Vec::new();
        let unreadable = read(&mut bytes.as_slice(), |line| steps.push(line.step)).unwrap();
        assert_eq!(
            (unreadable, steps.as_slice()),
            (1, [0, 1, 1, 2, 2, 3, 3, 4, 4].as_slice())
        );
        let mut kept = Vec::new();
        let unreadable = copy_until(&mut bytes.as_slice(), &mut kept, 9).unwrap();
        assert_eq!(
            (unreadable, kept.split(|&byte| byte == b'\n').count()),
            (1, 10)
        );
    }
}
