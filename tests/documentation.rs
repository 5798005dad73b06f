//! Documents that the program prints are those it prints now.

use std::fs;

use crate::workbench::{Workbench, repository};

#[test]
fn the_key_reference_is_what_the_program_prints() {
    let printed = Workbench::new().succeed("keys --markdown");
    let stored = fs::read_to_string(repository("docs/keys.md")).unwrap_or_default();
    let differs = |(line, (stored, printed)): (usize, (&str, &str))| {
        (stored != printed).then(|| format!("line {}: {printed}", line + 1))
    };
    let ends = printed.lines().map(Some).chain([None]);
    let stored_ends = stored.lines().map(Some).chain(std::iter::repeat(None));
    let pairs = stored_ends
        .zip(ends)
        .map(|(stored, printed)| (stored.unwrap_or("(end)"), printed.unwrap_or("(end)")));
    let first = pairs.enumerate().find_map(differs);
    assert!(
        stored == printed,
        "docs/keys.md is out of date; renew it with `cargo run -- keys --markdown > docs/keys.md`; \
         the first difference is in {}",
        first.unwrap_or_default()
    );
}
