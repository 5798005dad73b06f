//! Generated documents are up to date; the manual is complete, its links work, and the options of
//! the commands in it exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::workbench::{Workbench, repository};

#[test]
fn generated_pages_are_what_the_program_writes() {
    let bench = Workbench::new();
    bench.succeed("generate --manual .");
    for page in ["commands.md", "keys.md"] {
        let written = fs::read_to_string(bench.path(page)).unwrap();
        let stored = fs::read_to_string(repository("docs").join(page)).unwrap_or_default();
        assert!(
            stored == written,
            "docs/{page} is out of date; renew it with `cargo run -- generate --manual docs`; \
             the first difference is in {}",
            first_difference(&stored, &written)
        );
    }
    assert_eq!(
        bench.succeed("keys --markdown"),
        fs::read_to_string(bench.path("keys.md")).unwrap()
    );
}

fn first_difference(stored: &str, written: &str) -> String {
    let ends = written.lines().map(Some).chain([None]);
    let stored_ends = stored.lines().map(Some).chain(std::iter::repeat(None));
    let mut pairs = stored_ends.zip(ends).enumerate();
    let differs = pairs.find(|(_, (stored, written))| stored != written);
    differs.map_or(String::new(), |(line, (_, written))| {
        format!("line {}: {}", line + 1, written.unwrap_or("(end)"))
    })
}

#[test]
fn packages_get_man_pages_and_completions() {
    let bench = Workbench::new();
    bench.succeed("generate --man man");
    let page = fs::read_to_string(bench.path("man/rtg-train.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("resume"), "{page}");
    assert!(!bench.path("man/rtg-generate.1").exists());
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef rtg"),
        ("fish", "complete -c rtg"),
    ] {
        let script = bench.succeed(&format!("generate --completions {shell}"));
        assert!(
            script.contains(sign) && script.contains("hugging-face"),
            "{shell}"
        );
    }
}

#[test]
fn the_summary_of_the_manual_lists_every_page_once() {
    let folder = repository("docs");
    let summary = fs::read_to_string(folder.join("SUMMARY.md")).unwrap();
    let mut listed: Vec<String> = links(&summary).collect();
    listed.sort();
    let mut pages: Vec<String> = (pages(&folder).iter())
        .map(|page| {
            page.strip_prefix(&folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .filter(|page| page != "SUMMARY.md")
        .collect();
    pages.sort();
    assert_eq!(
        listed, pages,
        "docs/SUMMARY.md (left) and the pages in docs/ (right)"
    );
}

#[test]
fn links_lead_to_files_and_headings_and_those_of_the_manual_stay_in_it() {
    let root = repository("");
    let mut documents = pages(&root.join("docs"));
    let others = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "STYLE.md",
        "SECURITY.md",
    ];
    documents.extend(others.map(|name| root.join(name)));
    documents.extend(["experiments/README.md", "benches/README.md"].map(|name| root.join(name)));
    let mut broken = Vec::new();
    for document in &documents {
        let text = fs::read_to_string(document).unwrap();
        for link in
            links(&text).filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        {
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            let is_of_manual = document.starts_with(root.join("docs"));
            let leaves =
                is_of_manual && file.split('/').any(|part| part == "..") && !stays(document, file);
            let headings = || headings(&fs::read_to_string(&target).unwrap_or_default());
            if !target.exists() || leaves || !(heading.is_empty() || headings().contains(heading)) {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Whether a relative link of a page of the manual ends in the manual.
fn stays(document: &Path, link: &str) -> bool {
    let docs = repository("docs").canonicalize().unwrap();
    let target = document.parent().unwrap().join(link).canonicalize();
    target.is_ok_and(|target| target.starts_with(docs))
}

#[test]
fn commands_in_documents_have_the_options_that_they_name() {
    let bench = Workbench::new();
    let root = repository("");
    let mut documents = pages(&root.join("docs"));
    documents.extend(
        ["README.md", "experiments/README.md", "benches/README.md"].map(|name| root.join(name)),
    );
    let mut helps: BTreeMap<String, String> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut count = 0;
    for document in &documents {
        let text = fs::read_to_string(document).unwrap().replace("\\\n", " ");
        for line in
            fenced(&text).filter_map(|line| line.trim().strip_prefix("rtg ").map(str::to_owned))
        {
            let line = line
                .split(" # ")
                .next()
                .unwrap()
                .split(" | ")
                .next()
                .unwrap()
                .to_owned();
            let words: Vec<&str> = line.split_whitespace().collect();
            let is_name =
                |word: &&str| word.starts_with(|letter: char| letter.is_ascii_lowercase());
            let nested = words[0] == "bench" && words.get(1).is_some_and(is_name);
            let command = words[..if nested { 2 } else { 1 }].join(" ");
            // Only with the feature `remote`; and usage lines of options that precede a command.
            if command.starts_with("datasets") || command.starts_with(['-', '[', '<']) {
                continue;
            }
            let help = helps.entry(command.clone()).or_insert_with(|| {
                let output = bench.run(&format!("{command} --help"));
                String::from_utf8(output.stdout).unwrap()
            });
            count += 1;
            if help.is_empty() {
                wrong.push(format!(
                    "{}: rtg {line}: no such command",
                    document.display()
                ));
            }
            for word in words.iter().filter(|word| word.starts_with("--")) {
                let option = word.split('=').next().unwrap();
                if !help.contains(option) {
                    wrong.push(format!("{}: rtg {line}: {option}", document.display()));
                }
            }
        }
    }
    assert!(count > 60, "{count} commands");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The Markdown files in a folder and its folders.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The lines inside of fences.
fn fenced(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        inside ^= is_fence;
        inside && !is_fence
    })
}

/// The targets of links and pictures outside code.
fn links(text: &str) -> impl Iterator<Item = String> {
    let mut inside = false;
    let prose = text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        inside ^= is_fence;
        !inside && !is_fence
    });
    prose.flat_map(|line| {
        let without_code: String = line.split('`').step_by(2).collect();
        let targets = without_code
            .split("](")
            .skip(1)
            .map(|rest| rest.split([')', ' ']).next().unwrap_or_default().to_owned());
        targets.collect::<Vec<_>>()
    })
}

/// The anchors of a document's headings, as GitHub and mdBook make them.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter(|line| line.starts_with('#'));
    let anchors = titles.map(|title| {
        let letters = title.trim_start_matches('#').trim().to_lowercase();
        let kept = letters
            .chars()
            .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        kept.map(|letter| if letter == ' ' { '-' } else { letter })
            .collect()
    });
    anchors.collect()
}
