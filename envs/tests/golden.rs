//! Trajectories that the real Gymnasium gave, against ours. `golden/record.py` made them and says
//! what the files hold.

use rtg_envs::{Env, Step, ids, make};
use std::{fs, path::Path};

#[derive(serde::Deserialize)]
struct Header {
    environment: String,
    action_width: usize,
    state_width: usize,
    observation_width: usize,
    records: usize,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Seeded(u64),
    Continued,
    Stepped,
}

struct Record {
    kind: Kind,
    action: Vec<f64>,
    step: Step,
    state: Vec<f64>,
    observation: Vec<f64>,
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
            observation: self.singles(header.observation_width),
        }
    }
}

fn golden(id: &str) -> Vec<Record> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(format!("{id}.bin"));
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
    records
}

/// Largest difference between two rows, relative for numbers above 1.
fn difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs() / b.abs().max(1.0))
        .fold(0.0, f64::max)
}

#[test]
fn start_states_are_gymnasiums_bit_for_bit() {
    for id in ids() {
        let mut env = make(id).unwrap();
        for record in golden(id)
            .iter()
            .filter(|record| matches!(record.kind, Kind::Seeded(_)))
        {
            let Kind::Seeded(seed) = record.kind else {
                unreachable!()
            };
            let mut observation = vec![0.0; record.observation.len()];
            env.reset(Some(seed), &mut observation);
            assert_eq!(env.state(), record.state, "{id}, seed {seed}");
            assert_eq!(observation, record.observation, "{id}, seed {seed}");
        }
    }
}

#[test]
fn whole_trajectories_are_gymnasiums() {
    for id in ids() {
        let mut env = make(id).unwrap();
        for (i, record) in golden(id).iter().enumerate() {
            let mut observation = vec![0.0; record.observation.len()];
            let step = match record.kind {
                Kind::Seeded(seed) => {
                    env.reset(Some(seed), &mut observation);
                    None
                }
                Kind::Continued => {
                    env.reset(None, &mut observation);
                    None
                }
                Kind::Stepped => Some(env.step(&record.action, &mut observation)),
            };
            assert!(
                difference(&env.state(), &record.state) <= 1e-12,
                "{id}, record {i}: {:?}, {:?}",
                env.state(),
                record.state
            );
            assert!(
                difference(&observation, &record.observation) <= 6e-8,
                "{id}, record {i}"
            );
            if let Some(step) = step {
                assert!(
                    difference(&[step.reward], &[record.step.reward]) <= 1e-12,
                    "{id}, record {i}: {step:?}"
                );
                assert_eq!(
                    Step {
                        reward: 0.0,
                        ..step
                    },
                    Step {
                        reward: 0.0,
                        ..record.step
                    },
                    "{id}, record {i}"
                );
            }
        }
    }
}

/// From each recorded state on its own, so that a difference cannot grow: this must hold on every
/// platform.
#[test]
fn single_steps_are_gymnasiums() {
    for id in ids() {
        let mut env = make(id).unwrap();
        for pair in golden(id)
            .windows(2)
            .filter(|pair| pair[1].kind == Kind::Stepped)
        {
            let mut observation = vec![0.0; pair[1].observation.len()];
            env.set_state(&pair[0].state).unwrap();
            let step = env.step(&pair[1].action, &mut observation);
            assert!(difference(&env.state(), &pair[1].state) <= 1e-12, "{id}");
            assert!(
                difference(&[step.reward], &[pair[1].step.reward]) <= 1e-12,
                "{id}"
            );
            assert_eq!(step.terminated, pair[1].step.terminated, "{id}");
        }
    }
}

#[test]
fn on_linux_every_bit_is_gymnasiums() {
    if !cfg!(all(
        target_os = "linux",
        target_arch = "x86_64",
        target_env = "gnu"
    )) {
        return;
    }
    for id in ids() {
        let mut env = make(id).unwrap();
        for (i, record) in golden(id).iter().enumerate() {
            let mut observation = vec![0.0; record.observation.len()];
            let mut reward = 0.0;
            match record.kind {
                Kind::Seeded(seed) => env.reset(Some(seed), &mut observation),
                Kind::Continued => env.reset(None, &mut observation),
                Kind::Stepped => reward = env.step(&record.action, &mut observation).reward,
            }
            assert_eq!(
                (env.state(), observation),
                (record.state.clone(), record.observation.clone()),
                "{id}, record {i}"
            );
            assert_eq!(
                reward.to_bits(),
                record.step.reward.to_bits(),
                "{id}, record {i}"
            );
        }
    }
}
