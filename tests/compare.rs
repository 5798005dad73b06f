//! `rtg compare`: from a dataset to a conclusion, with repeated calls.

use std::fs;
use std::time::SystemTime;

use crate::workbench::Workbench;

const COMPARE: &str = "compare builtin/cartpole/random \
    --algorithms bc,decision_transformer --budget 6 \
    --set decision_transformer.width=16 --set decision_transformer.layers=1 \
    --set optimiser.batch_size=8 \
    --set decision_transformer.context=5 --set evaluation.final_episodes=2 \
    --set evaluation.episodes=1";
const FOLDER: &str = "comparisons/builtin-cartpole-random";

#[test]
fn a_comparison_ends_with_a_sentence_a_table_and_a_page_and_is_then_complete() {
    let bench = Workbench::new();
    let said = bench.succeed(&format!("{COMPARE} --seeds 2"));
    assert!(
        said.starts_with("2 seeds cannot distinguish any methods: "),
        "{said}"
    );
    for name in ["bc", "decision_transformer"] {
        assert!(said.contains(&format!("| {name} | 2 | ")), "{said}");
    }
    assert!(
        said.contains(&format!("page: {FOLDER}/report.html\n")),
        "{said}"
    );
    let page = fs::read_to_string(bench.path(FOLDER).join("report.html")).unwrap();
    assert!(page.contains("2 seeds cannot distinguish any methods"));
    let status = bench.succeed(&format!("sweep {FOLDER} --status"));
    assert_eq!(status.matches("| done | 6 of 6 |").count(), 4, "{status}");

    let log = |seed: u64| -> SystemTime {
        let name = format!("logs/builtin-cartpole-random-bc-{seed}.log");
        let log = bench.path(FOLDER).join(name);
        fs::metadata(log).unwrap().modified().unwrap()
    };
    let first = log(0);
    assert_eq!(bench.succeed(&format!("{COMPARE} --seeds 2")), said);
    // More seeds: existing runs are kept.
    let more = bench.succeed(&format!("{COMPARE} --seeds 3"));
    assert!(
        more.starts_with("3 seeds cannot distinguish any methods: "),
        "{more}"
    );
    assert_eq!(log(0), first);
    assert!(log(2) > first);
    // A call for some of them reports some of them.
    let less = bench.succeed(&format!("{COMPARE} --seeds 1"));
    assert!(less.starts_with("Some method has a single run"), "{less}");
}

#[test]
fn plans_can_be_written_for_another_machine() {
    let bench = Workbench::new();
    let said = bench.succeed(&format!("{COMPARE} --seeds 2 --plan-only --out here"));
    assert_eq!(said, "4 plans in here; `rtg sweep here` starts the runs\n");
    let left = bench.succeed("sweep here --print");
    assert_eq!(left.lines().count(), 4, "{left}");
    assert!(!bench.path("here/report.html").exists());
    let index = fs::read_to_string(bench.path("here/runs.txt")).unwrap();
    let first = "builtin-cartpole-random-bc-0\nbuiltin-cartpole-random-decision_transformer-0\n";
    assert!(index.starts_with(first), "{index}");
}

#[test]
fn a_failed_run_is_named_after_the_findings() {
    let bench = Workbench::new();
    bench.succeed(&format!("{COMPARE} --seeds 2 --plan-only"));
    bench.write(
        &format!("{FOLDER}/runs/builtin-cartpole-random-bc-1/thesis.tex"),
        b"",
    );
    let transcript = bench.transcript(&format!("{COMPARE} --seeds 2"));
    assert!(
        transcript.starts_with("exit code 1\n----- stdout\nSome method"),
        "{transcript}"
    );
    let failed = "error: 1 of 4 runs failed: builtin-cartpole-random-bc-1 (";
    assert!(transcript.contains(failed), "{transcript}");
}

#[test]
fn mistakes_are_reported_before_anything_is_written() {
    let bench = Workbench::new();
    for (words, error) in [
        (
            "--algorithms td3_bc",
            "error: td3_bc does not fit 'builtin/cartpole/random', a dataset with",
        ),
        (
            "--algorithms bc --set env=none",
            "error: algorithms cannot be compared on",
        ),
        ("--algorithms bcc", "error: 'algorithm' is bcc"),
        ("--set decision_transformer.widht=3", "error: "),
        ("--budget 3h", "a budget must be a number of updates"),
    ] {
        let transcript = bench.transcript(&format!("compare builtin/cartpole/random {words}"));
        assert!(transcript.contains(error), "{words}: {transcript}");
        assert!(
            !transcript.starts_with("exit code 0"),
            "{words}: {transcript}"
        );
        assert!(!bench.path("comparisons").exists(), "{words}");
    }
}
