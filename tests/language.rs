//! The language of comments, messages and documents: STYLE.md's words to avoid, the width of lines,
//! and names of public types that mean one thing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::workbench::repository;

/// The heading of STYLE.md's table of words that are not used.
const AVOIDED: &str = "### Words to avoid";

/// Texts that are not reread yet, or generated from such; a path is exempt if it begins like one of
/// these.
const NOT_YET: [&str; 2] = ["docs/commands.md", "docs/keys.md"];

/// Places where a word to avoid is meant literally: path, word, and the reason.
const LITERAL: [(&str, &str, &str); 1] = [(
    "tests/from_run.rs",
    "go on",
    "an error of src/algorithms/, which is not reread yet",
)];

/// Type names that may be public several times in a crate, because the module tells which is meant.
const REPEATED: [(&str, &[&str]); 3] = [
    (
        "src",
        &[
            // One for each algorithm or family of algorithms.
            "Config",
            "Conventions",
            "Defaults",
            "Learner",
            "Method",
            "Model",
            "Scratch",
            // One for each kernel or network.
            "Activation",
            "Gradient",
            "Layout",
            "Shape",
            // One for each module or command.
            "Error",
        ],
    ),
    (
        "envs/src",
        // An environment, and the dynamics that it is made from.
        &[
            "Acrobot",
            "CartPole",
            "MountainCar",
            "MountainCarContinuous",
            "Pendulum",
        ],
    ),
    // The doctor's replay and the replay buffer; a column of an episode and of a table.
    ("datasets/src", &["Column", "Replay"]),
];

#[test]
fn no_text_has_a_word_to_avoid() {
    let style = fs::read_to_string(repository("STYLE.md")).unwrap();
    let words = avoided(&style);
    assert!(words.len() >= 10, "STYLE.md has no table of words to avoid");
    let mut found = Vec::new();
    for path in texts().iter().filter(|path| path.as_str() != "STYLE.md") {
        let text = fs::read_to_string(repository(path)).unwrap();
        let literal = |word: &str| {
            let place = |(place, meant, _): &&(&str, &str, &str)| path == place && *meant == word;
            LITERAL.iter().any(|entry| place(&entry))
        };
        let hits = (occurrences(&text, &words).into_iter())
            .filter(|(_, word, _)| !literal(word))
            .map(|(line, word, instead)| format!("{path}:{line}: \"{word}\" (write {instead})"));
        found.extend(hits);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn lines_of_code_and_comments_have_at_most_100_columns() {
    let mut long = Vec::new();
    for path in texts().iter().filter(|path| has_extension(path, "rs")) {
        let text = fs::read_to_string(repository(path)).unwrap();
        let too_long = |line: &str| {
            let is_table = line.trim_start().starts_with("//! |");
            let is_data = !line.trim_start().starts_with("//")
                && ["\"", "\\n", "\\\"", "#"]
                    .iter()
                    .any(|sign| line.contains(sign));
            line.chars().count() > 100 && !is_table && !is_data
        };
        let numbers = (text.lines().enumerate()).filter(|(_, line)| too_long(line));
        long.extend(numbers.map(|(number, _)| format!("{path}:{}", number + 1)));
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn a_public_type_has_a_name_of_its_own_in_its_crate() {
    let mut twice = Vec::new();
    for (folder, repeated) in REPEATED {
        let mut places = BTreeMap::<String, Vec<String>>::new();
        let sources = files(folder);
        for path in sources.iter().filter(|path| has_extension(path, "rs")) {
            let text = fs::read_to_string(repository(path)).unwrap();
            for name in public_types(&text) {
                places
                    .entry(name.to_owned())
                    .or_default()
                    .push(path.clone());
            }
        }
        let is_new = |(name, places): &(&String, &Vec<String>)| {
            places.len() > 1 && !repeated.contains(&name.as_str())
        };
        let new = places.iter().filter(is_new);
        twice.extend(new.map(|(name, places)| format!("{name}: {}", places.join(", "))));
    }
    assert!(
        twice.is_empty(),
        "put the module's word into the name:\n{}",
        twice.join("\n")
    );
}

#[test]
fn a_word_to_avoid_is_found_across_lines_and_as_a_whole_word() {
    let words = [("so many", "n"), ("anew", "again")];
    let text = "/// Reads so\n    /// many bytes, and Anew;\nfn so_many() {} // a renewal";
    let found = occurrences(text, &words);
    let lines: Vec<_> = found.iter().map(|(line, word, _)| (*line, *word)).collect();
    assert_eq!(lines, [(1, "so many"), (2, "anew")]);
}

/// The rows `| word, word | instead |` of STYLE.md's table, a pair for each word.
fn avoided(style: &str) -> Vec<(&str, &str)> {
    let table = style.split_once(AVOIDED).map_or("", |(_, table)| table);
    let rows = (table
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1))
    .take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| row.trim_matches('|').split_once('|'))
        .flat_map(|(words, instead)| {
            words
                .split(',')
                .map(move |word| (word.trim(), instead.trim()))
        })
        .collect()
}

/// Line, word and replacement for each place that has one of the words. Case and line breaks do not
/// matter; signs of comments count as blanks.
fn occurrences<'w>(text: &str, words: &[(&'w str, &'w str)]) -> Vec<(usize, &'w str, &'w str)> {
    let mut flat = String::new();
    let mut starts = Vec::new();
    for line in text.lines() {
        starts.push(flat.len());
        let words = line.trim_start().trim_start_matches(['/', '!', '#', '>']);
        flat += words
            .trim()
            .trim_end_matches('\\')
            .trim_end()
            .to_lowercase()
            .as_str();
        flat.push(' ');
    }
    let is_letter = |letter: Option<char>| letter.is_some_and(|l| l.is_alphanumeric() || l == '_');
    let mut found = Vec::new();
    for (word, instead) in words {
        for (at, _) in flat.match_indices(word) {
            let before = flat[..at].chars().next_back();
            let after = flat[at + word.len()..].chars().next();
            if !is_letter(before) && !is_letter(after) {
                found.push((
                    starts.partition_point(|start| *start <= at),
                    *word,
                    *instead,
                ));
            }
        }
    }
    found.sort_unstable();
    found
}

/// The names of the types that a source declares `pub`.
fn public_types(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| {
        let item = line.trim_start().strip_prefix("pub ")?;
        let kinds = ["struct ", "enum ", "trait ", "type ", "union "];
        let name = kinds.iter().find_map(|kind| item.strip_prefix(kind))?;
        let end = name.find(|letter: char| !letter.is_alphanumeric());
        // A macro's `$name` is none.
        Some(&name[..end.unwrap_or(name.len())]).filter(|name| !name.is_empty())
    })
}

/// The sources, documents and snapshots that are checked, as paths from the root.
fn texts() -> Vec<String> {
    let folders = [
        "benches",
        "datasets",
        "docs",
        "envs",
        "examples",
        "experiments",
        "src",
        "tests",
    ];
    let mut texts: Vec<String> = folders.iter().flat_map(|folder| files(folder)).collect();
    texts.extend(
        ["ARCHITECTURE", "CONTRIBUTING", "README", "STYLE"].map(|name| format!("{name}.md")),
    );
    texts.retain(|path| {
        // This file names the words and lines that it looks for.
        let is_text = has_extension(path, "rs") || has_extension(path, "md");
        is_text
            && path != "tests/language.rs"
            && !NOT_YET.iter().any(|begin| path.starts_with(begin))
    });
    texts
}

/// All files below a folder, as paths from the root, without build outputs and hidden files.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = (fs::read_dir(repository(folder))
        .into_iter()
        .flatten()
        .flatten())
    .map(|entry| {
        (
            entry.file_name().to_string_lossy().into_owned(),
            entry.path().is_dir(),
        )
    })
    .filter(|(name, _)| name != "target" && !name.starts_with('.'))
    .collect();
    entries.sort();
    for (name, is_folder) in entries {
        let path = format!("{folder}/{name}");
        if is_folder {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|found| found == extension)
}
