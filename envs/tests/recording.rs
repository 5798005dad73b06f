//! Reads what `golden/record.py` recorded; that script describes the format.

use rtg_envs::Step;
use std::{fs, path::Path};

#[derive(serde::Deserialize)]
pub(crate) struct Header {
    environment: String,
    /// The version of `MuJoCo`, where it was used.
    #[serde(default)]
    pub(crate) mujoco: String,
    #[serde(default)]
    observation_bits: u8,
    action_width: usize,
    state_width: usize,
    observation_width: usize,
    records: usize,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Kind {
    Seeded(u64),
    Continued,
    Stepped,
}

pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) action: Vec<f64>,
    pub(crate) step: Step,
    pub(crate) state: Vec<f64>,
    pub(crate) observation: Vec<f64>,
}

/// Reads little-endian numbers off the front of a slice.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().expect("a whole record");
        self.0 = rest;
        *head
    }

    fn singles(&mut self, count: usize) -> Vec<f64> {
        (0..count)
            .map(|_| f64::from(f32::from_le_bytes(self.take())))
            .collect()
    }

    fn doubles(&mut self, count: usize) -> Vec<f64> {
        (0..count)
            .map(|_| f64::from_le_bytes(self.take()))
            .collect()
    }

    fn record(&mut self, header: &Header) -> Record {
        let [kind] = self.take();
        let seed = u64::from(u32::from_le_bytes(self.take()));
        let action = self.singles(header.action_width);
        let reward = f64::from_le_bytes(self.take());
        let [flags] = self.take();
        Record {
            kind: [Kind::Seeded(seed), Kind::Continued, Kind::Stepped][kind as usize],
            action,
            step: Step {
                reward,
                terminated: flags & 1 == 1,
                truncated: flags & 2 == 2,
            },
            state: self.doubles(header.state_width),
            observation: if header.observation_bits == 64 {
                self.doubles(header.observation_width)
            } else {
                self.singles(header.observation_width)
            },
        }
    }
}

/// The header and the records of the file of this name, of this environment.
pub(crate) fn recording(name: &str, id: &str) -> (Header, Vec<Record>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(format!("{name}.bin"));
    let bytes = fs::read(path).expect("a golden file for every environment");
    let end = bytes
        .iter()
        .position(|&byte| byte == b'\n')
        .expect("a header");
    let header: Header = serde_json::from_slice(&bytes[..end]).expect("a header in JSON");
    assert_eq!(header.environment, id);
    let mut reader = Reader(&bytes[end + 1..]);
    let records = (0..header.records)
        .map(|_| reader.record(&header))
        .collect();
    assert!(reader.0.is_empty());
    (header, records)
}

/// Largest difference between two rows, relative for numbers above 1.
pub(crate) fn difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs() / b.abs().max(1.0))
        .fold(0.0, f64::max)
}
