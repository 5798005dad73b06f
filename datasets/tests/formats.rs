//! Every format stores the same content, and what is written is read back unchanged.

use std::path::Path;

use rtg_datasets::convert::copy;
use rtg_datasets::recording::{Array, Attribute, Node, RecordedEpisode, Recording, Source};
use rtg_datasets::{
    Contents, Defects, EnvSpec, Error, MinariFormat, Target, convert, open, open_source, open_with,
};
use rtg_envs::{BoxSpace, Dtype, Space};
use serde_json::json;

fn fixture(name: &str) -> String {
    format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn episodes(source: &mut dyn Source) -> Vec<RecordedEpisode> {
    let next = || {
        source
            .next_episode()
            .unwrap_or_else(|error| panic!("{error}"))
    };
    std::iter::from_fn(next).collect()
}

fn read(path: &str, root: Option<&Path>) -> (Recording, Vec<RecordedEpisode>) {
    let source = open_source(path, root, Contents::Everything);
    let mut source = source.unwrap_or_else(|error| panic!("{error}"));
    let episodes = episodes(&mut *source);
    (source.recording().clone(), episodes)
}

#[test]
fn the_three_formats_of_a_nested_set_hold_the_same() {
    let (_, expected) = read(&fixture("spaces/nested/hdf5-v0"), None);
    let first = &expected[0];
    let array = |node: Option<&Node>| node.and_then(Node::array).unwrap().clone();
    assert_eq!(first.len(), 3);
    assert_eq!(first.seed, Some(1 << 40));
    assert_eq!(
        first.options(),
        Some(json!({"level": 3, "deep": {"start": 0.5}}))
    );
    assert_eq!(array(first.info("speed")).to_f64(), [0.0, 0.25, 0.5, 0.75]);
    assert_eq!(array(first.info("robot/joints")).shape(), [4, 2]);
    assert_eq!(array(first.observations.at("z")).dtype(), Dtype::Float16);
    assert_eq!(array(first.observations.at("bits")).shape(), [4, 2, 2]);
    assert!(
        matches!(first.observations.at("parts/1"), Some(Node::Text(texts)) if texts.len() == 4)
    );
    assert_eq!(array(first.actions.at("1")).shape(), [3, 2]);
    for format in ["arrow", "parquet"] {
        let (_, found) = read(&fixture(&format!("spaces/nested/{format}-v0")), None);
        assert_eq!(found, expected, "{format}");
    }
}

#[test]
fn a_nested_set_is_flattened_by_gymnasiums_rule_whatever_its_format() {
    let hashes = MinariFormat::ALL.map(|format| {
        let dataset = open(
            &fixture(&format!("spaces/nested/{}-v0", format.name())),
            None,
        )
        .unwrap();
        // 4 bits, 3 choices, 2 + 3 choices, 4 characters, 4 numbers; 3 choices and 2 numbers.
        assert_eq!(
            (dataset.observation_width(), dataset.action_width()),
            (20, 5)
        );
        dataset.hash()
    });
    assert_eq!(hashes[0], hashes[1]);
    assert_eq!(hashes[0], hashes[2]);
}

#[test]
fn jpeg_images_are_decoded_and_the_bytes_are_kept() {
    for format in ["hdf5", "arrow", "parquet"] {
        let path = fixture(&format!("spaces/picture/{format}-v0"));
        let (_, recorded) = read(&path, None);
        assert!(
            matches!(&recorded[0].observations, Node::Images(images) if images.len() == 4),
            "{format}"
        );
        let dataset = open(&path, None).unwrap();
        assert_eq!(dataset.observation_width(), 32 * 40 * 3);
        // The fixture's picture is a ramp that JPEG keeps to a few levels.
        let row = &dataset.episode(0).observations[..32 * 40 * 3];
        let ramp = (0..32 * 40 * 3).map(|i| f64::from(i / 16));
        let off = row.iter().zip(ramp).map(|(a, b)| (a - b).abs());
        let mean = off.clone().sum::<f64>() / row.len() as f64;
        assert!(mean < 3.0, "{format}: {mean}");
    }
}

#[test]
fn archives_of_numpy_are_read_stored_and_deflated() {
    let stored = open(&fixture("numpy/stored.npz"), None).unwrap();
    let deflated = open(&fixture("numpy/deflated.npz"), None).unwrap();
    assert_eq!(stored.hash(), deflated.hash());
    let lengths: Vec<_> = stored.iter().map(|episode| episode.len()).collect();
    assert_eq!(lengths, [3, 2]);
    assert_eq!(stored.episode(1).rewards, [3.0, 4.0]);
    assert_eq!(stored.episode(0).actions[..4], [0.0, 0.1, 0.2, 0.3]);
    let (_, recorded) = read(&fixture("numpy/stored.npz"), None);
    let speed = recorded[1].info("speed").and_then(Node::array).unwrap();
    assert_eq!(
        (speed.dtype(), speed.to_f64()),
        (Dtype::Float16, vec![3.0, 4.0])
    );
}

/// A generator of small numbers without a library.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }

    fn space(&mut self, depth: usize) -> Space {
        match self.below(if depth < 2 { 7 } else { 5 }) {
            0 => {
                let dtypes = [
                    Dtype::Bool,
                    Dtype::Float16,
                    Dtype::Float32,
                    Dtype::Float64,
                    Dtype::Int8,
                    Dtype::Int16,
                    Dtype::Int32,
                    Dtype::Int64,
                    Dtype::Uint8,
                    Dtype::Uint16,
                    Dtype::Uint32,
                    Dtype::Uint64,
                ];
                let dtype = dtypes[self.below(dtypes.len())];
                let shape: Vec<usize> = (0..self.below(4)).map(|_| 1 + self.below(3)).collect();
                let width = shape.iter().product();
                let low = if dtype.is_float() {
                    f64::NEG_INFINITY
                } else {
                    0.0
                };
                Space::Box(BoxSpace {
                    low: vec![low; width],
                    high: vec![1.0; width],
                    shape,
                    dtype,
                })
            }
            1 => Space::Discrete {
                n: 1 + self.below(5),
                start: self.below(5) as i64 - 2,
            },
            2 => {
                let nvec: Vec<usize> = (0..=self.below(3)).map(|_| 1 + self.below(4)).collect();
                Space::MultiDiscrete {
                    start: vec![0; nvec.len()],
                    nvec,
                }
            }
            3 => Space::MultiBinary {
                shape: (0..=self.below(2)).map(|_| 1 + self.below(3)).collect(),
            },
            4 => Space::Text {
                min_length: 0,
                max_length: 5,
                charset: "aé\"\\".into(),
            },
            5 => Space::Tuple((0..=self.below(3)).map(|_| self.space(depth + 1)).collect()),
            _ => {
                let parts = 1 + self.below(3);
                Space::Dict(
                    (0..parts)
                        .map(|i| (format!("k{i}"), self.space(depth + 1)))
                        .collect(),
                )
            }
        }
    }

    fn array(&mut self, dtype: Dtype, rows: usize, shape: &[usize]) -> Node {
        let shape = [&[rows], shape].concat();
        let numbers: Vec<f64> = (0..shape.iter().product())
            .map(|_| {
                if dtype == Dtype::Bool {
                    self.below(2) as f64
                } else {
                    self.below(120) as f64
                }
            })
            .collect();
        Node::Array(Array::of(dtype, shape, &numbers))
    }

    fn choices(&mut self, counts: &[usize], start: i64, rows: usize, shape: &[usize]) -> Node {
        let numbers: Vec<f64> = (0..rows * counts.len())
            .map(|i| self.below(counts[i % counts.len()]) as f64 + start as f64)
            .collect();
        Node::Array(Array::of(Dtype::Int64, [&[rows], shape].concat(), &numbers))
    }

    fn rows(&mut self, space: &Space, rows: usize) -> Node {
        match space {
            Space::Box(space) => self.array(space.dtype, rows, &space.shape),
            Space::Discrete { n, start } => self.choices(&[*n], *start, rows, &[]),
            Space::MultiDiscrete { nvec, .. } => self.choices(nvec, 0, rows, &[nvec.len()]),
            Space::MultiBinary { shape } => self.array(Dtype::Int8, rows, shape),
            Space::Text { .. } => {
                let texts = ["", "a", "éé", "\"\\"];
                Node::Text(
                    (0..rows)
                        .map(|_| Some(texts[self.below(4)].to_owned()))
                        .collect(),
                )
            }
            Space::Tuple(parts) => {
                Node::Tuple(parts.iter().map(|part| self.rows(part, rows)).collect())
            }
            Space::Dict(parts) => Node::Dict(
                parts
                    .iter()
                    .map(|(name, part)| (name.clone(), self.rows(part, rows)))
                    .collect(),
            ),
        }
    }

    fn episode(&mut self, recording: &Recording) -> RecordedEpisode {
        let steps = 1 + self.below(5);
        let infos = Node::Dict(vec![
            ("a".into(), self.array(Dtype::Uint16, steps + 1, &[2])),
            (
                "b".into(),
                Node::Dict(vec![("c".into(), self.array(Dtype::Float32, steps, &[]))]),
            ),
            (
                "single".into(),
                Node::Array(Array::of(Dtype::Int32, vec![], &[7.0])),
            ),
        ]);
        RecordedEpisode {
            observations: self.rows(recording.observation_space.space(), steps + 1),
            actions: self.rows(recording.action_space.space(), steps),
            rewards: Array::of(Dtype::Float32, vec![steps], &vec![0.25; steps]),
            terminations: (0..steps).map(|_| self.below(2) == 1).collect(),
            truncations: (0..steps).map(|step| step == steps - 1).collect(),
            infos: (self.below(3) > 0).then_some(infos),
            seed: (self.below(2) == 0).then_some(self.0),
            attributes: vec![
                (
                    "mean".into(),
                    Attribute::Array(Array::of(Dtype::Float64, vec![], &[0.1])),
                ),
                (
                    "options/deep/list".into(),
                    Attribute::Array(Array::of(Dtype::Int64, vec![2], &[1.0, 2.0])),
                ),
                ("options/name".into(), Attribute::Text("x y".into())),
            ],
        }
    }
}

struct InMemory {
    recording: Recording,
    episodes: std::vec::IntoIter<RecordedEpisode>,
}

impl Source for InMemory {
    fn recording(&self) -> &Recording {
        &self.recording
    }

    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn next_episode(&mut self) -> Result<Option<RecordedEpisode>, Error> {
        Ok(self.episodes.next())
    }
}

#[test]
fn random_recordings_come_back_from_every_format_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    for seed in 1..=40_u64 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let recording = Recording::new("x-v0", dice.space(0), dice.space(0))
            .with_env_spec(&EnvSpec {
                max_episode_steps: Some(500),
                ..EnvSpec::new("CartPole-v1")
            })
            .with("ref_max_score", 0.1)
            .with("author", json!(["A", "B"]));
        let written: Vec<_> = (0..3).map(|_| dice.episode(&recording)).collect();
        for format in MinariFormat::ALL {
            let id = format!("random/{}/{seed}-v0", format.name());
            let target = Target::Minari {
                root: directory.path().into(),
                id: id.clone(),
                format,
            };
            let mut source = InMemory {
                recording: recording.clone(),
                episodes: written.clone().into_iter(),
            };
            let mut heard = Vec::new();
            let summary = copy(&mut source, &target, &mut |done, total| {
                heard.push((done, total));
            })
            .unwrap();
            assert_eq!((summary.episodes, heard.len()), (3, 3));
            let (found, episodes) = read(&id, Some(directory.path()));
            assert_eq!(found.observation_space, recording.observation_space, "{id}");
            assert_eq!(found.action_space, recording.action_space, "{id}");
            assert_eq!(found.total_steps, Some(summary.steps));
            assert_eq!(found.env_id().as_deref(), Some("CartPole-v1"));
            assert_eq!(found.entries["ref_max_score"], 0.1);
            assert_eq!(episodes, written, "{id}");
        }
    }
    assert!(
        directory
            .path()
            .join("random/hdf5/namespace_metadata.json")
            .is_file()
    );
}

#[test]
fn a_d4rl_file_converted_to_minari_and_back_is_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let first = fixture("d4rl/hopper_marked-v2.hdf5");
    let target = Target::Minari {
        root: directory.path().into(),
        id: "d4rl/hopper-v2".into(),
        format: MinariFormat::Parquet,
    };
    convert(&first, None, &target, &mut |_, _| {}).unwrap();
    let back = directory.path().join("hopper_marked-v2.hdf5");
    let target = Target::D4rl { path: back.clone() };
    convert(
        "d4rl/hopper-v2",
        Some(directory.path()),
        &target,
        &mut |_, _| {},
    )
    .unwrap();
    let (before, after) = (read(&first, None), read(back.to_str().unwrap(), None));
    assert_eq!(before.1, after.1);
    assert_eq!(before.0.entries["d4rl/metadata/iteration"], 3);
    assert_eq!(before.0.entries, after.0.entries);
}

#[test]
fn data_that_d4rl_cannot_represent_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nested.hdf5");
    let target = Target::D4rl { path: path.clone() };
    let summary = convert(
        &fixture("spaces/nested/arrow-v0"),
        None,
        &target,
        &mut |_, _| {},
    )
    .unwrap();
    let text = summary.left_out.join("\n");
    for word in [
        "structure of the observations",
        "seeds",
        "options",
        "after the last step",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let flat = open(path.to_str().unwrap(), None).unwrap();
    let nested = open(&fixture("spaces/nested/arrow-v0"), None).unwrap();
    assert_eq!(flat.hash(), nested.hash());
}

#[test]
fn nothing_is_overwritten_and_a_failed_conversion_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let target = |id: &str| Target::Minari {
        root: root.into(),
        id: id.into(),
        format: MinariFormat::Hdf5,
    };
    let source = fixture("minari/tiny/cartpole-v0");
    convert(&source, None, &target("a-v0"), &mut |_, _| {}).unwrap();
    let error = convert(&source, None, &target("a-v0"), &mut |_, _| {}).unwrap_err();
    assert!(error.hint().unwrap().contains("another name"), "{error}");
    let broken = fixture("minari/tiny/broken-rows-v0");
    assert!(convert(&broken, None, &target("b-v0"), &mut |_, _| {}).is_err());
    let names: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["a-v0"]);
    for id in ["no-version", "../a-v0", "x/a-v0"] {
        assert!(matches!(
            convert(&source, None, &target(id), &mut |_, _| {}),
            Err(Error::BadId(_))
        ));
    }
}

#[test]
fn a_set_for_the_doctor_alone_is_read_from_tables_too() {
    let dataset = open_with(&fixture("spaces/nested/parquet-v0"), None, Defects::Keep).unwrap();
    assert_eq!(dataset.episodes(), 2);
}
