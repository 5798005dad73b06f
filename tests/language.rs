//! The language of comments, messages and documents: STYLE.md's words to avoid, the width of lines,
//! quotes in messages, and names of public types that mean one thing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::workbench::repository;

/// The heading of STYLE.md's table of words that are not used.
const AVOIDED: &str = "### Words to avoid";

/// Files that are checked for words: sources, documents, plans, snapshots of messages.
const TEXTS: [&str; 10] = [
    "cu", "h", "js", "md", "py", "rs", "sh", "snap", "toml", "yml",
];

/// Files that name the words and faults that are looked for.
const EXEMPT: [&str; 2] = ["STYLE.md", "tests/language.rs"];

/// Type names that may be public several times in a crate: the folder, the names, and why.
const REPEATED: [(&str, &[&str], &str); 4] = [
    (
        "src",
        &[
            "Config", "Defaults", "Learner", "Method", "Model", "Scratch",
        ],
        "one per algorithm, always qualified by it: `iql::Config`",
    ),
    (
        "kernels/src",
        &["Activation", "Gradient", "Layout", "Shape"],
        "one per kind of network or kernel, always qualified by it: `mlp::Shape`",
    ),
    ("src", &["Error"], "one per module, as is usual in Rust"),
    (
        "envs/src",
        &[
            "Acrobot",
            "CartPole",
            "MountainCar",
            "MountainCarContinuous",
            "Pendulum",
        ],
        "an environment, and the dynamics that it is made from",
    ),
];

#[test]
fn no_text_has_a_word_to_avoid() {
    let style = fs::read_to_string(repository("STYLE.md")).unwrap();
    let words = avoided(&style);
    assert!(words.len() >= 30, "STYLE.md has no table of words to avoid");
    let mut found = Vec::new();
    let mut kinds = BTreeMap::<String, usize>::new();
    for path in texts() {
        let text = fs::read_to_string(repository(&path)).unwrap();
        *kinds.entry(extension(&path).to_owned()).or_default() += 1;
        let hits = occurrences(&text, &words);
        found.extend(
            hits.iter().map(|(line, word, instead)| {
                format!("{path}:{line}: \"{word}\" (write {instead})")
            }),
        );
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    let missing = TEXTS.iter().filter(|kind| !kinds.contains_key(**kind));
    assert_eq!(missing.count(), 0, "no files of some kind in {kinds:?}");
}

#[test]
fn lines_of_code_and_comments_have_at_most_100_columns() {
    let mut long = Vec::new();
    for path in texts().iter().filter(|path| extension(path) == "rs") {
        let text = fs::read_to_string(repository(path)).unwrap();
        let too_long = |line: &str| {
            let is_table = ["//! |", "|"]
                .iter()
                .any(|sign| line.trim_start().starts_with(sign));
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
fn messages_quote_values_in_one_style() {
    let mut wrong = Vec::new();
    for path in texts().iter().filter(|path| extension(path) == "rs") {
        let text = fs::read_to_string(repository(path)).unwrap();
        let lines = wrong_quotes(&text).into_iter();
        wrong.extend(lines.map(|line| format!("{path}:{line}")));
    }
    assert!(wrong.is_empty(), "write '{{x}}':\n{}", wrong.join("\n"));
}

#[test]
fn a_public_type_has_a_name_of_its_own_in_its_crate() {
    for folder in ["src", "kernels/src", "envs/src", "datasets/src", "act/src"] {
        let allowed: Vec<&str> = (REPEATED.iter())
            .filter(|(place, ..)| *place == folder)
            .flat_map(|(_, names, _)| names.iter().copied())
            .collect();
        let sources: Vec<(String, String)> = (files(folder).into_iter())
            .filter(|path| extension(path) == "rs")
            .map(|path| {
                let text = fs::read_to_string(repository(&path)).unwrap();
                (path, text)
            })
            .collect();
        let repeated = repeated(&sources);
        let new: Vec<String> = (repeated.iter())
            .filter(|(name, _)| !allowed.contains(&name.as_str()))
            .map(|(name, places)| format!("{name}: {}", places.join(", ")))
            .collect();
        let rule = "put the module's word into the name";
        assert!(new.is_empty(), "{rule}:\n{}", new.join("\n"));
        let gone: Vec<&&str> = (allowed.iter())
            .filter(|name| !repeated.contains_key(**name))
            .collect();
        assert!(gone.is_empty(), "not repeated in {folder}: {gone:?}");
    }
}

#[test]
fn a_planted_word_is_found_in_every_kind_of_text() {
    let style = fs::read_to_string(repository("STYLE.md")).unwrap();
    for pair @ (word, _) in avoided(&style) {
        let (first, second) = word.split_once(' ').unwrap_or((word, ""));
        let capital = format!("{}{}", first[..1].to_uppercase(), &first[1..]);
        for text in [
            format!("fn f() {{}}\n/// Reads {first}\n    /// {second} bytes."),
            format!("fn f() {{}}\nlet text = \"{capital} {second}: {{x}}\";"),
            format!("fn f() {{}}\nlet text = \"it is {first} \\\n    {second}\";"),
            format!("# A plan\n# {capital}\n# {second}\nsteps = 3"),
            format!("A page.\n- an item, {first}\n  {second}; more"),
            format!("int f();\n// {first}\n// {second}"),
            format!("exit code 1\nerror: {first} {second}\nhint: none"),
        ] {
            let found = occurrences(&text, &[pair]);
            assert_eq!(found.len(), 1, "{word:?} in {text:?}");
            assert!((2..=3).contains(&found[0].0), "{word:?} in {text:?}");
        }
        let inside = format!("fn a_{}() {{}} // a{word}b", word.replace(' ', "_"));
        assert_eq!(occurrences(&inside, &[pair]), [], "{inside}");
    }
}

#[test]
fn a_planted_second_meaning_is_found() {
    let source = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let mut sources = vec![
        source("src/a.rs", "pub struct Plan {}\npub enum State {}"),
        source(
            "src/b.rs",
            "struct Plan;\npub(crate) enum State {}\npub use a::Plan;",
        ),
    ];
    assert!(repeated(&sources).is_empty(), "private types and imports");
    sources.push(source(
        "src/c.rs",
        "    pub type Plan<'a> = u8;\npub trait State: Sized {}",
    ));
    let found = repeated(&sources);
    assert_eq!(found["Plan"], ["src/a.rs", "src/c.rs"]);
    assert_eq!(found["State"], ["src/a.rs", "src/c.rs"]);
}

#[test]
fn a_planted_backquote_is_found() {
    let text = "#[error(\"unknown '{x}'\")]\n#[error(\"unknown `{x}`\")]\nUnknown(String),\n\
                #[error(\n    \"use `rtg train {x}`, or {y} `{name:?}`\"\n)]";
    assert_eq!(wrong_quotes(text), [2, 5], "commands may be in backquotes");
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

/// The lines of error messages in a source that have a single value in backquotes.
fn wrong_quotes(source: &str) -> Vec<usize> {
    let is_value = |text: &str| {
        let inside = text.split_once("}`").map(|(name, _)| name);
        inside.is_some_and(|name| !name.contains(['`', '{', ' ']))
    };
    let mut lines = Vec::new();
    for (at, start) in source.match_indices("#[error(") {
        let text = &source[at + start.len()..];
        let message = &text[..text.find(")]").unwrap_or(text.len())];
        let values = message.match_indices("`{");
        for (quote, sign) in values.filter(|(quote, sign)| is_value(&message[quote + sign.len()..]))
        {
            let before = &source[..at + start.len() + quote + sign.len()];
            lines.push(before.lines().count());
        }
    }
    lines
}

/// The public types of some sources, by path and text, whose name is declared more than once.
fn repeated(sources: &[(String, String)]) -> BTreeMap<String, Vec<String>> {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for (path, text) in sources {
        for name in public_types(text) {
            let known = places.entry(name.to_owned()).or_default();
            known.push(path.clone());
        }
    }
    places.retain(|_, places| places.len() > 1);
    places
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

/// The files that are checked for words, as paths from the root.
fn texts() -> Vec<String> {
    let folders = [
        "act",
        "benches",
        "datasets",
        "docs",
        "envs",
        "examples",
        "experiments",
        "kernels",
        "python",
        "src",
        "tests",
    ];
    let mut texts: Vec<String> = folders.iter().flat_map(|folder| files(folder)).collect();
    let documents = [
        "ARCHITECTURE",
        "CHANGELOG",
        "CONTRIBUTING",
        "README",
        "SECURITY",
        "STYLE",
    ];
    texts.extend(documents.map(|name| format!("{name}.md")));
    texts.extend(["Cargo.toml", ".ci/run", ".github/workflows/gate.yml"].map(str::to_owned));
    let is_text = |path: &str| TEXTS.contains(&extension(path)) || path == ".ci/run";
    // Not this project's text.
    let is_foreign = |path: &str| path.contains(".min.");
    texts.retain(|path| is_text(path) && !is_foreign(path) && !EXEMPT.contains(&path.as_str()));
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

fn extension(path: &str) -> &str {
    let found = Path::new(path).extension();
    found.and_then(|found| found.to_str()).unwrap_or_default()
}
