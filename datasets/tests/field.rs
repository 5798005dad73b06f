//! Datasets as found in practice: each is made here, and must be read as its author intended.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot make its files has failed"
)]

#[path = "made/files.rs"]
mod files;
mod made;

use files::{flat, flat_and, numbered};
use made::{Minari, unbounded};
use rtg_datasets::recording::{Array, Node, RecordedEpisode, Recording};
use rtg_datasets::{Contents, Dataset, Defects, EnvSpec, Error, MinariFormat, Target};
use rtg_datasets::{convert, doctor, open, open_source, open_with};
use rtg_envs::{Dtype, Space};
use rust_hdf5::H5File;
use serde_json::json;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn lengths(data: &Dataset) -> Vec<usize> {
    data.iter().map(|episode| episode.len()).collect()
}

fn read(path: &std::path::Path) -> Result<Dataset, Error> {
    open_with(path.to_str().unwrap(), None, Defects::Keep)
}

fn findings(data: &Dataset) -> String {
    let found = doctor::examine(data);
    let found = found
        .iter()
        .map(|finding| format!("{} {}", finding.code, finding.message));
    found.collect::<Vec<_>>().join("\n")
}

/// 60 rows in three episodes of 20, the ends under that name.
fn ends(name: &str) -> (TempDir, std::path::PathBuf) {
    let folder = folder();
    let path = folder.path().join("log.hdf5");
    let flags: Vec<f64> = (0..60)
        .map(|row| match name {
            "episode_index" | "traj_id" | "Episode-ID" => f64::from(row / 20),
            "is_first" | "episode_starts" => f64::from(u8::from(row % 20 == 0)),
            _ => f64::from(u8::from(row % 20 == 19)),
        })
        .collect();
    let columns = [
        ("observations", numbered(60, 3), vec![60, 3]),
        ("actions", numbered(60, 2), vec![60, 2]),
        ("rewards", numbered(60, 1), vec![60]),
        (name, flags, vec![60]),
    ];
    flat(&path, &columns);
    (folder, path)
}

#[test]
fn ends_of_episodes_are_found_under_whatever_name() {
    for name in [
        "terminals",
        "terminal",
        "is_terminal",
        "dones",
        "done",
        "is_last",
        "episode_index",
        "traj_id",
        "Episode-ID",
        "is_first",
        "episode_starts",
        "timeouts",
        "truncated",
    ] {
        let (_folder, path) = ends(name);
        let data = read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(lengths(&data), [20, 20, 20], "{name}");
    }
    let (_folder, path) = ends("dones");
    let found = findings(&read(&path).unwrap());
    assert!(
        found.contains("unclear-ends") && found.contains("dones"),
        "{found}"
    );
}

#[test]
fn without_a_column_for_ends_the_unknown_columns_are_named() {
    let (_folder, path) = ends("finish_line");
    let found = findings(&read(&path).unwrap());
    assert!(
        found.contains("no-ends") && found.contains("finish_line"),
        "{found}"
    );
    let folder = folder();
    let path = folder.path().join("log.csv");
    let rows: Vec<String> = (0..60)
        .map(|row| format!("{row},1,0,{}", row / 20))
        .collect();
    let rows = rows.join("\n");
    std::fs::write(
        &path,
        format!("observation_0,action_0,reward,episodio\n{rows}"),
    )
    .unwrap();
    let found = findings(&read(&path).unwrap());
    assert!(found.contains("episodio"), "{found}");
}

#[test]
fn a_gap_in_numbered_columns_is_reported() {
    let folder = folder();
    let path = folder.path().join("gap.csv");
    std::fs::write(
        &path,
        "observation_0,observation_2,action_0,reward\n1,2,3,4\n",
    )
    .unwrap();
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("observation_1"), "{error}");
}

#[test]
fn a_name_matches_the_start_of_a_task_in_whole_words_only() {
    let folder = folder();
    for (name, limit, env) in [
        ("pendulum_random", 200, Some("Pendulum-v1")),
        ("Pendulum-v1.random", 200, Some("Pendulum-v1")),
        ("pen-human-v1", 100, None),
        ("penguin", 1000, None),
        ("doorman_v0", 1000, None),
        ("hopper2_medium", 1000, None),
        ("antics", 1000, None),
    ] {
        let path = folder.path().join(format!("{name}.hdf5"));
        let rows = 400;
        let columns = [
            ("observations", numbered(rows, 3), vec![rows, 3]),
            ("actions", numbered(rows, 1), vec![rows, 1]),
            ("rewards", numbered(rows, 1), vec![rows]),
            ("terminals", vec![0.0; rows], vec![rows]),
        ];
        flat(&path, &columns);
        let data = read(&path).unwrap();
        assert_eq!(data.info().env_id(), env, "{name}");
        assert_eq!(lengths(&data)[0], limit.min(rows), "{name}");
    }
}

#[test]
fn next_observations_of_a_wider_type_are_read() {
    let folder = folder();
    let path = folder.path().join("hopper-v2.hdf5");
    {
        let file = H5File::create(&path).unwrap();
        let narrow: Vec<f32> = (0..22).map(|i| i as f32 / 8.0).collect();
        let wide: Vec<f64> = (0..22).map(|i| f64::from(i + 2) / 8.0 + 1e-9).collect();
        let put = |name: &str, shape: &[usize]| file.new_dataset::<f32>().shape(shape).create(name);
        put("observations", &[11, 2])
            .unwrap()
            .write_raw(&narrow)
            .unwrap();
        let next = file
            .new_dataset::<f64>()
            .shape([11, 2])
            .create("next_observations")
            .unwrap();
        next.write_raw(&wide).unwrap();
        put("actions", &[11, 1])
            .unwrap()
            .write_raw(&narrow[..11])
            .unwrap();
        put("rewards", &[11])
            .unwrap()
            .write_raw(&narrow[..11])
            .unwrap();
        let ends: Vec<u8> = (0..11).map(|row| u8::from(row % 5 == 4)).collect();
        let flags = file
            .new_dataset::<u8>()
            .shape([11])
            .create("terminals")
            .unwrap();
        flags.write_raw(&ends).unwrap();
        file.close().unwrap();
    }
    let data = read(&path).unwrap();
    assert_eq!(lengths(&data), [5, 5]);
    assert_eq!(data.episode(0).observations[10..11], [10.0 / 8.0 + 1e-9]);
    assert!(!findings(&data).contains("discontinuity"));
}

#[test]
fn chunks_that_were_never_written_have_the_fill_value() {
    let folder = folder();
    let path = folder.path().join("room.hdf5");
    {
        let file = H5File::create(&path).unwrap();
        for (name, width, fill) in [
            ("observations", 4, 7.0_f32),
            ("actions", 2, 0.0),
            ("rewards", 1, 0.5),
        ] {
            let made = file
                .new_dataset::<f32>()
                .shape([600, width])
                .chunk(&[100, width])
                .max_shape(&[None, Some(width)])
                .fill_value(fill)
                .create(name)
                .unwrap();
            let rows = (0..100 * width).map(|i| (i / width) as f32);
            let numbers: Vec<u8> = rows.flat_map(f32::to_le_bytes).collect();
            for chunk in 0..3 {
                made.write_chunk(chunk, &numbers).unwrap();
            }
            made.extend(&[600, width]).unwrap();
        }
        let last = |row: usize| u8::from([149, 299, 599].contains(&row));
        let ends: Vec<u8> = (0..600).map(last).collect();
        let flags = file
            .new_dataset::<u8>()
            .shape([600])
            .create("timeouts")
            .unwrap();
        flags.write_raw(&ends).unwrap();
        file.close().unwrap();
    }
    let data = read(&path).unwrap();
    assert_eq!(lengths(&data), [150, 150, 300]);
    let recorded = files::episodes(&path);
    assert_eq!(recorded[1].rewards.to_f64()[149..], [99.0]);
    assert_eq!(recorded[2].rewards.to_f64(), [0.5; 300]);
    let unwritten = recorded[2].observations.array().unwrap().to_f64();
    assert_eq!(unwritten, [7.0; 301 * 4]);
}

#[test]
fn a_user_block_before_the_file_is_skipped() {
    let (_folder, path) = ends("terminals");
    let bytes = std::fs::read(&path).unwrap();
    for block in [512, 2048] {
        let moved = path.with_file_name(format!("moved{block}.hdf5"));
        std::fs::write(&moved, [vec![b'm'; block], bytes.clone()].concat()).unwrap();
        assert_eq!(read(&moved).unwrap().hash(), read(&path).unwrap().hash());
    }
}

#[test]
fn one_observation_more_than_rows_is_reported_with_both_counts() {
    let folder = folder();
    let path = folder.path().join("more.hdf5");
    let columns = [
        ("observations", numbered(61, 3), vec![61, 3]),
        ("actions", numbered(60, 2), vec![60, 2]),
        ("rewards", numbered(60, 1), vec![60]),
    ];
    flat(&path, &columns);
    let error = read(&path).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("61 observations") && text.contains("60 actions"),
        "{text}"
    );
    assert!(error.hint().unwrap().contains("next_observations"));
}

#[test]
fn integers_are_choices_whatever_their_sign_and_number() {
    let folder = folder();
    let write = |name: &str, actions: &[i32], shape: &[usize]| {
        let path = folder.path().join(name);
        let columns = [
            ("observations", numbered(6, 1), vec![6, 1]),
            ("rewards", numbered(6, 1), vec![6]),
            ("terminals", vec![0.0, 0.0, 1.0, 0.0, 0.0, 1.0], vec![6]),
        ];
        flat_and(&path, &columns, |file| {
            let made = file
                .new_dataset::<i32>()
                .shape(shape)
                .create("actions")
                .unwrap();
            made.write_raw(actions).unwrap();
        });
        read(&path).unwrap()
    };
    let signed = write("signed.hdf5", &[-1, 0, 1, 1, -1, 0], &[6]);
    assert_eq!(
        signed.info().action_space,
        Space::Discrete { n: 3, start: -1 }
    );
    let several = write(
        "several.hdf5",
        &[0, 3, 2, 0, 1, 1, 0, 0, 2, 2, 1, 3],
        &[6, 2],
    );
    assert_eq!((lengths(&several), several.action_width()), (vec![3, 3], 7));
    let found = findings(&several);
    assert!(
        found.contains("MultiDiscrete [3, 4]") && found.contains("7 real numbers"),
        "{found}"
    );
    let wide = write("wide.hdf5", &[-2_000_000, 3, 9_000_000, 0, 1, 1], &[6]);
    assert!(matches!(wide.info().action_space, Space::Box(_)));
}

#[test]
fn a_file_is_its_own_dataset_beside_main_data() {
    let folder = folder();
    for (name, episodes) in [("main_data.hdf5", 3), ("second.hdf5", 1)] {
        let file = H5File::create(folder.path().join(name)).unwrap();
        let set = Minari::new(&unbounded(3), &Space::Discrete { n: 2, start: 0 });
        for (key, value) in set.entries(episodes, 5) {
            match value {
                serde_json::Value::String(text) => file.set_attr_string(&key, &text).unwrap(),
                value => file
                    .set_attr_numeric(&key, &value.as_i64().unwrap())
                    .unwrap(),
            }
        }
        for index in 0..episodes {
            set.episode(&file, index, 5);
        }
        file.close().unwrap();
    }
    let count = |name: &str| read(&folder.path().join(name)).unwrap().episodes();
    assert_eq!((count("second.hdf5"), count("main_data.hdf5")), (1, 3));
}

#[test]
fn links_into_other_files_are_named() {
    let folder = folder();
    let set = Minari::new(&unbounded(3), &Space::Discrete { n: 2, start: 0 });
    let data = set.create(folder.path(), "combined-v0", 1, 5, |file| {
        file.create_external_link("episode_0", "../../part0/main_data.hdf5", "/episode_0")
            .unwrap();
    });
    let error = open(data.to_str().unwrap(), None).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("external link") && text.contains("part0"),
        "{text}"
    );
    assert!(error.hint().is_some());

    let path = folder.path().join("virtual.hdf5");
    let columns = [
        ("actions", numbered(6, 1), vec![6, 1]),
        ("rewards", numbered(6, 1), vec![6]),
    ];
    flat_and(&path, &columns, |file| {
        let all = rust_hdf5::Selection::All;
        let made = file.new_dataset::<f64>().shape([6, 2]);
        let mapped = made.virtual_mapping(all.clone(), "other.h5", "o", all);
        mapped.create("observations").unwrap();
    });
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("virtual dataset"), "{error}");
}

#[test]
fn frames_that_compress_very_well_are_read() {
    const ROWS: usize = 2000;
    let frame = |row: usize| {
        let mut frame = vec![0_u8; 84 * 84];
        frame[row % (84 * 84)] = 200;
        frame
    };
    let folder = folder();
    let recording = Recording::new(
        "frames",
        files::frames(),
        Space::Discrete { n: 3, start: 0 },
    );
    let path = folder.path().join("frames.hdf5");
    let episodes = (0..2).map(|part| {
        let rows = (0..=ROWS / 2)
            .flat_map(|row| frame(part * ROWS / 2 + row))
            .collect();
        let actions: Vec<f64> = (0..ROWS / 2).map(|row| (row % 3) as f64).collect();
        RecordedEpisode {
            observations: Node::Array(
                Array::new(Dtype::Uint8, vec![ROWS / 2 + 1, 84, 84], rows).unwrap(),
            ),
            actions: Node::Array(Array::of(Dtype::Int64, vec![ROWS / 2], &actions)),
            rewards: Array::of(Dtype::Float32, vec![ROWS / 2], &vec![0.0; ROWS / 2]),
            terminations: (0..ROWS / 2).map(|row| row + 1 == ROWS / 2).collect(),
            truncations: vec![false; ROWS / 2],
            infos: None,
            seed: None,
            attributes: Vec::new(),
        }
    });
    let target = Target::D4rl { path: path.clone() };
    let mut source = files::InMemory::new(recording, episodes.collect());
    convert::copy(&mut source, &target, &mut |_, _| {}).unwrap();
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes * 50 < (ROWS * 84 * 84) as u64, "{bytes} bytes");
    let mut source = open_source(path.to_str().unwrap(), None, Contents::Steps).unwrap();
    let first = source.next_episode().unwrap().unwrap();
    assert_eq!(first.len(), ROWS / 2);
    let Node::Array(frames) = &first.observations else {
        panic!("frames")
    };
    assert_eq!(frames.bytes()[3 * 84 * 84 + 3], 200);
}

#[test]
fn a_part_that_is_short_names_its_episode_and_the_rest_is_shown() {
    let folder = folder();
    let goals = Space::Dict(vec![
        ("achieved_goal".into(), unbounded(2)),
        ("desired_goal".into(), unbounded(2)),
        ("observation".into(), unbounded(4)),
    ]);
    let recording = Recording::new("maze-v0", goals, unbounded(2));
    let column = |rows: usize, width: usize| {
        Node::Array(Array::of(
            Dtype::Float32,
            vec![rows, width],
            &numbered(rows, width),
        ))
    };
    let episode = |short: usize| RecordedEpisode {
        observations: Node::Dict(vec![
            ("achieved_goal".into(), column(6, 2)),
            ("desired_goal".into(), column(6 - short, 2)),
            ("observation".into(), column(6, 4)),
        ]),
        actions: column(5, 2),
        rewards: Array::of(Dtype::Float64, vec![5], &numbered(5, 1)),
        terminations: vec![false; 5],
        truncations: vec![false, false, false, false, true],
        infos: None,
        seed: None,
        attributes: Vec::new(),
    };
    let path = files::unchecked(
        folder.path(),
        &recording,
        &[episode(0), episode(1), episode(0)],
    );
    let data = open_with(path.to_str().unwrap(), None, Defects::Keep).unwrap();
    assert_eq!(data.episodes(), 2);
    let found = findings(&data);
    assert!(found.contains("unreadable-episode"), "{found}");
    assert!(
        found.contains("episode 1") && found.contains("desired_goal"),
        "{found}"
    );
    let widths: Vec<_> = data
        .info()
        .observation_parts
        .iter()
        .map(|part| part.width)
        .collect();
    assert_eq!(widths, [2, 2, 4]);
    let error = open(path.to_str().unwrap(), None).unwrap_err().to_string();
    assert!(error.contains("episode 1"), "{error}");
    for format in MinariFormat::ALL {
        let target = Target::Minari {
            root: folder.path().join("out"),
            id: format!("{}-v0", format.name()),
            format,
        };
        let error = convert(path.to_str().unwrap(), None, &target, &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains("episode 1"), "{error}");
        assert!(!target.path().exists());
    }
}

#[test]
fn folders_of_robots_and_plain_parquet_files_are_read() {
    let folder = folder();
    let robot = folder.path().join("robot");
    for index in 0..3 {
        let chunk = robot.join("data/chunk-000");
        std::fs::create_dir_all(&chunk).unwrap();
        files::parquet(&chunk.join(format!("episode_{index:06}.parquet")), index);
    }
    std::fs::create_dir_all(robot.join("meta")).unwrap();
    let info = json!({"codebase_version": "v2.1", "total_episodes": 3, "fps": 10});
    std::fs::write(robot.join("meta/info.json"), info.to_string()).unwrap();
    let data = read(&robot).unwrap();
    assert_eq!(lengths(&data), [20, 20, 20]);
    assert_eq!((data.observation_width(), data.action_width()), (3, 2));
    assert_eq!(data.episode(1).rewards[..1], [20.0]);
    let plain = robot.join("data/chunk-000/episode_000001.parquet");
    assert_eq!(lengths(&read(&plain).unwrap()), [20]);
    std::fs::write(
        robot.join("meta/info.json"),
        r#"{"codebase_version": "v9"}"#,
    )
    .unwrap();
    let error = read(&robot).unwrap_err().to_string();
    assert!(error.contains("LeRobot's layout v9"), "{error}");
}

#[test]
fn a_d4rl_file_written_here_is_recognised() {
    let folder = folder();
    let actions = Space::Discrete { n: 3, start: 0 };
    let recording = Recording::new("a-v0", unbounded(2), actions.clone()).with_env_spec(&EnvSpec {
        max_episode_steps: Some(200),
        ..EnvSpec::new("MountainCar-v0")
    });
    let episode = |steps: usize| RecordedEpisode {
        observations: Node::Array(Array::of(
            Dtype::Float32,
            vec![steps + 1, 2],
            &numbered(steps + 1, 2),
        )),
        actions: Node::Array(Array::of(Dtype::Int64, vec![steps], &vec![1.0; steps])),
        rewards: Array::of(Dtype::Float64, vec![steps], &vec![-1.0; steps]),
        terminations: vec![false; steps],
        truncations: (0..steps).map(|step| step + 1 == steps).collect(),
        infos: None,
        seed: None,
        attributes: Vec::new(),
    };
    let episodes = vec![episode(200), episode(7)];
    let path = folder.path().join("penguins.hdf5");
    let target = Target::D4rl { path: path.clone() };
    let mut source = files::InMemory::new(recording, episodes);
    convert::copy(&mut source, &target, &mut |_, _| {}).unwrap();
    let data = read(&path).unwrap();
    assert_eq!(data.info().env_id(), Some("MountainCar-v0"));
    assert_eq!(data.info().max_episode_steps, Some(200));
    assert_eq!(data.info().action_space, actions);
    assert_eq!(lengths(&data), [200, 7]);
}

#[test]
fn a_new_dataset_may_be_named_by_its_path() {
    let folder = folder();
    let (_held, path) = ends("terminals");
    let name = folder.path().join("deep/er/set-v0");
    let target = Target::named(
        name.to_str().unwrap(),
        Some(MinariFormat::Arrow),
        "/no".as_ref(),
    );
    convert(path.to_str().unwrap(), None, &target, &mut |_, _| {}).unwrap();
    assert_eq!(open(name.to_str().unwrap(), None).unwrap().episodes(), 3);
    for bad in [
        "../up-v0",
        "/tmp/../up-v0",
        "a/../../up-v0",
        "./no-version",
        "/",
        "",
    ] {
        let target = Target::named(bad, Some(MinariFormat::Hdf5), folder.path());
        assert!(matches!(target.check(), Err(Error::BadId(_))), "{bad}");
    }
}
