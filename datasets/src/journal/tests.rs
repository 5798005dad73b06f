use rtg_envs::{Dtype, Space};

use super::*;
use crate::recording::{Array, Attribute, Node};

fn recording() -> Recording {
    let space = Space::Discrete { n: 4, start: 0 };
    Recording::new("a-v0", space.clone(), space).with("description", "NaN \u{e9}")
}

fn episode(steps: usize) -> RecordedEpisode {
    let numbers: Vec<f64> = (0..=steps).map(|step| step as f64).collect();
    let array = |dtype, rows: usize| Array::of(dtype, vec![rows], &numbers[..rows]);
    let nested = Node::Dict(vec![
        (
            "a".into(),
            Node::Tuple(vec![Node::Array(array(Dtype::Float16, steps))]),
        ),
        ("b".into(), Node::Text(vec![None, Some("x".into())])),
        ("c".into(), Node::Images(vec![vec![1, 2], vec![]])),
    ]);
    RecordedEpisode {
        observations: Node::Array(array(Dtype::Int64, steps + 1)),
        actions: Node::Array(array(Dtype::Uint8, steps)),
        rewards: array(Dtype::Float32, steps),
        terminations: vec![false; steps],
        truncations: vec![true; steps],
        infos: Some(nested),
        seed: Some(u64::MAX),
        attributes: vec![
            ("options/x".into(), Attribute::Text("y".into())),
            (
                "mean".into(),
                Attribute::Array(Array::of(Dtype::Float64, vec![], &[0.5])),
            ),
            ("none".into(), Attribute::Json(Value::Null)),
        ],
    }
}

fn episodes(mut source: JournalSource) -> Vec<RecordedEpisode> {
    let mut episodes = Vec::new();
    while let Some(episode) = source.next_episode().unwrap() {
        episodes.push(episode);
    }
    episodes
}

#[test]
fn episodes_come_back_after_the_journal_was_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let settings = json!({"seed": 7});
    let mut journal = Journal::create(&path, &recording(), &settings).unwrap();
    journal.append(&episode(3)).unwrap();
    journal.flush().unwrap();
    journal.append(&episode(1)).unwrap();
    drop(journal);

    let mut journal = Journal::open_to_resume(&path).unwrap();
    assert_eq!(
        (journal.episodes(), journal.steps()),
        (1, 3),
        "the second was not flushed"
    );
    assert_eq!(journal.settings(), &settings);
    assert_eq!(journal.recording(), &recording());
    journal.append(&episode(2)).unwrap();
    assert_eq!(
        episodes(journal.source().unwrap()),
        [episode(3), episode(2)]
    );
}

#[test]
fn a_journal_that_was_cut_anywhere_keeps_its_whole_episodes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let mut journal = Journal::create(&path, &recording(), &Value::Null).unwrap();
    let mut ends = vec![journal.end];
    for steps in 1..4 {
        journal.append(&episode(steps)).unwrap();
        journal.flush().unwrap();
        ends.push(journal.end);
    }
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    for length in ends[0] as usize..=whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let kept = ends.iter().filter(|&&end| end <= length as u64).count() - 1;
        let mut journal = Journal::open_to_resume(&path).unwrap();
        assert_eq!(journal.episodes(), kept);
        journal.append(&episode(9)).unwrap();
        let read = episodes(journal.source().unwrap());
        assert_eq!(read.len(), kept + 1);
        assert_eq!(read[kept], episode(9));
    }
}

#[test]
fn a_changed_byte_in_the_middle_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let mut journal = Journal::create(&path, &recording(), &Value::Null).unwrap();
    let first = journal.end as usize;
    journal.append(&episode(3)).unwrap();
    journal.append(&episode(3)).unwrap();
    journal.flush().unwrap();
    drop(journal);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[first + 40] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = Journal::open_to_resume(&path).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("checksum"), "{error}");
}

#[test]
fn only_one_process_can_append() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let journal = Journal::create(&path, &recording(), &Value::Null).unwrap();
    let error = Journal::open_to_resume(&path).map(|_| ()).unwrap_err();
    assert!(error.hint().is_some(), "{error}");
    assert!(Journal::create(&path, &recording(), &Value::Null).is_err());
    drop(journal);
    assert!(Journal::open_to_resume(&path).is_ok());
}

#[test]
fn only_a_journal_cut_off_in_its_header_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    drop(Journal::create(&path, &recording(), &Value::Null).unwrap());
    let whole = std::fs::read(&path).unwrap();
    assert!(Journal::is_begun(&path).unwrap());
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(!Journal::is_begun(&path).unwrap(), "{length}");
    }
    std::fs::write(&path, [0; 100]).unwrap();
    drop(Journal::create(&path, &recording(), &Value::Null).unwrap());
    assert_eq!(Journal::open_to_resume(&path).unwrap().episodes(), 0);
    for foreign in [
        b"my notes".as_slice(),
        b"rtg-journal-1\n0123456789abcdef{} and more",
    ] {
        std::fs::write(&path, foreign).unwrap();
        let error = Journal::create(&path, &recording(), &Value::Null)
            .map(drop)
            .unwrap_err();
        assert!(error.to_string().contains("exists already"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), foreign);
    }
    let left = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 1, "no draft stays");
}
