use crate::open;

fn fixture(name: &str) -> String {
    format!("{}/fixtures/pickle/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn trajectories_of_every_protocol_are_the_same() {
    let hash = open(&fixture("protocol4.pkl"), None).unwrap().hash();
    for protocol in 0..=5 {
        let dataset = open(&fixture(&format!("protocol{protocol}.pkl")), None).unwrap();
        assert_eq!(dataset.hash(), hash, "protocol {protocol}");
        let ends: Vec<_> = dataset
            .iter()
            .map(|episode| (episode.len(), episode.terminated, episode.truncated))
            .collect();
        assert_eq!(ends, [(3, true, false), (2, false, true)]);
        let second = dataset.episode(1);
        assert_eq!(second.observations, [6.0, 7.0, 8.0, 9.0, 10.5, 11.5]);
    }
}

#[test]
fn a_pickle_that_would_run_code_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("evil.pkl");
    // os.system("true")
    let bytes: &[u8] = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.";
    std::fs::write(&path, bytes).unwrap();
    let error = open(path.to_str().unwrap(), None).unwrap_err().to_string();
    assert!(error.contains("os.system"), "{error}");
}

#[test]
fn hostile_pickles_are_errors_and_take_little() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hostile.pkl");
    let nested = [b"\x80\x02".as_slice(), &vec![b']'; 1 << 20]].concat();
    let long = b"\x80\x04B\xff\xff\xff\xff.".to_vec();
    let popped = b"\x80\x020.".to_vec();
    let unmarked = b"\x80\x02]e.".to_vec();
    let circular = b"\x80\x02]q\x00h\x00a.".to_vec();
    for bytes in [nested, long, popped, unmarked, circular] {
        std::fs::write(&path, bytes).unwrap();
        assert!(open(path.to_str().unwrap(), None).is_err());
    }
}
