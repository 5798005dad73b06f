use std::fs;
use std::io::Write;

use super::*;
use crate::{Defects, open_with};

fn mutants(name: &str, each: usize) {
    let path = format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let original = fs::read(&path).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("main_data.hdf5");
    let metadata = Path::new(&path).with_file_name("metadata.json");
    if metadata.exists() {
        fs::copy(metadata, directory.path().join("metadata.json")).unwrap();
    }
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let (mut opened, mut refused) = (0, 0);
    for round in 0..each {
        let mut bytes = original.clone();
        if round % 4 == 0 {
            bytes.truncate(random(original.len()));
        } else {
            for _ in 0..=random(8) {
                let at = random(original.len());
                bytes[at] = [0, 0xff, bytes[at] ^ (1 << random(8)), random(256) as u8][random(4)];
            }
        }
        fs::File::create(&copy).unwrap().write_all(&bytes).unwrap();
        // Every read returns: no panic, no hang, no unbounded allocation.
        match open_with(copy.to_str().unwrap(), None, Defects::Keep) {
            Ok(dataset) => {
                crate::doctor::examine(&dataset);
                opened += 1;
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
    }
    assert!(
        opened > 0 && refused > each / 8,
        "{opened} opened, {refused} refused"
    );
}

#[test]
fn mutated_minari_files_end_in_data_or_an_error() {
    mutants("minari/tiny/cartpole-v0/data/main_data.hdf5", 400);
}

#[test]
fn mutated_d4rl_files_end_in_data_or_an_error() {
    mutants("d4rl/hopper_marked-v2.hdf5", 400);
}

#[test]
fn every_truncated_file_is_refused_with_a_hint() {
    let path = format!(
        "{}/fixtures/d4rl/hopper_marked-v2.hdf5",
        env!("CARGO_MANIFEST_DIR")
    );
    let original = fs::read(path).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("cut.hdf5");
    for length in (0..original.len()).step_by(97) {
        fs::write(&copy, &original[..length]).unwrap();
        let error = open_with(copy.to_str().unwrap(), None, Defects::Refuse).unwrap_err();
        assert!(error.hint().is_some(), "{length}: {error}");
    }
}

#[test]
fn a_file_that_claims_a_billion_rows_is_refused_before_memory_is_taken() {
    let path = format!("{}/fixtures/d4rl/claims.hdf5", env!("CARGO_MANIFEST_DIR"));
    let error = open_with(&path, None, Defects::Keep)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("would take 4.0 GB") && error.ends_with(&path),
        "{error}"
    );
}
