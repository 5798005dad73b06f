//! The ways in which a Decision Transformer acts, through the command line: searched histories,
//! guidance, streaming.

use rtg::keys::Table;

use crate::workbench::{TINY, Workbench};

#[test]
fn an_elastic_model_searches_its_histories_and_its_bins_cover_the_reference_returns() {
    let bench = Workbench::new();
    bench.succeed(&format!(
        "train --recipe elastic_dt --steps 3 {TINY} --set evaluation.acting=search --run-dir run"
    ));
    let [exact, search] = ["exact", "search"].map(|acting| {
        bench.succeed(&format!(
            "evaluate run --episodes 5 --acting {acting} --json"
        ))
    });
    assert_ne!(exact, search);
    // CartPole is not among the environments of the source.
    let range = |run: &str| -> Vec<f64> {
        let plan = std::fs::read_to_string(bench.path(&format!("{run}/experiment.toml"))).unwrap();
        let plan: Table = plan.parse().unwrap();
        let range = plan["decision_transformer"]["return_bin_range"].as_array();
        let ends = range.unwrap().iter();
        ends.map(|end| end.as_float().unwrap()).collect()
    };
    let largest = range("run")[1];
    assert!(range("run")[0] <= 1.0 && largest <= 500.0, "{largest}");
}

#[test]
fn a_search_of_histories_is_for_models_that_predict_returns() {
    let bench = Workbench::new();
    let run = |options: &str, name: &str| {
        format!(
            "train --dataset builtin/pendulum/mixed --steps 3 {options} --run-dir {name} \
             --set evaluation.acting=search"
        )
    };
    let predicted = format!(
        "{TINY} --set decision_transformer.condition=predicted \
         --set decision_transformer.context=4"
    );
    bench.succeed(&run(&predicted, "run"));
    let returns = |acting: &str| {
        let found = bench.succeed(&format!("evaluate run --episodes 4 --json {acting}"));
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        found["targets"].clone()
    };
    assert_eq!(returns(""), returns("--acting search"));
    assert_ne!(returns(""), returns("--acting exact"));
    for (options, expected) in [
        ("", "exact or streaming with condition = \"token\""),
        ("--algorithm bc", "exact with algorithm = \"bc\""),
    ] {
        let transcript = bench.transcript(&run(options, "other"));
        let expected = format!("'evaluation.acting' is search: it must be {expected}");
        assert!(transcript.contains(&expected), "{transcript}");
        assert!(!bench.path("other").exists());
    }
}

#[test]
fn guidance_is_for_models_that_have_learned_without_targets() {
    let bench = Workbench::new();
    let train = |options: &str, name: &str| {
        format!(
            "train --dataset builtin/pendulum/mixed {TINY} --steps 3 {options} --run-dir {name}"
        )
    };
    let dropout = "--set decision_transformer.condition_dropout=0.5";
    bench.succeed(&train(dropout, "run"));
    let evaluation = |run: &str, options: &str| {
        let evaluate = format!("evaluate {run} --episodes 4 --targets=-150,-900 --json");
        let found = bench.succeed(&format!("{evaluate} {options}"));
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        [0, 1].map(|target| found["targets"][target]["returns"].clone())
    };
    let plain = evaluation("run", "");
    assert_ne!(plain[0], plain[1]);
    assert_eq!(plain, evaluation("run", "--guidance 1"));
    assert_eq!(plain, evaluation("run", "--guidance 1 --rows 3"));
    let [first, second] = evaluation("run", "--guidance 0");
    assert_eq!(first, second, "the target is ignored");
    assert_ne!(first, plain[0]);
    let beyond = evaluation("run", "--guidance 3");
    assert_ne!(beyond, plain);
    assert_eq!(beyond, evaluation("run", "--guidance 3 --rows 3"));
    assert_eq!(
        evaluation("run", "--guidance 0 --acting streaming")[0],
        evaluation("run", "--guidance 0 --acting streaming")[1]
    );
    // The plan's guidance is the default, and changes no weight.
    let guided = format!("{dropout} --set decision_transformer.guidance=3");
    bench.succeed(&train(&guided, "guided"));
    assert_eq!(beyond, evaluation("guided", ""));
    assert_eq!(plain, evaluation("guided", "--guidance 1"));
    // An export has the policy without the null, and none of two windows a decision.
    bench.succeed("export run --act run.act");
    let transcript = bench.transcript("export guided --act guided.act");
    assert!(transcript.contains("no description"), "{transcript}");
    bench.succeed(&train("", "other"));
    let transcript = bench.transcript("evaluate other --episodes 2 --guidance 0");
    assert!(transcript.contains("omit --guidance"), "{transcript}");
    for wrong in ["-1", "nan", "1e300"] {
        let transcript = bench.transcript(&format!("evaluate run --guidance={wrong}"));
        assert!(
            transcript.contains("a number of at least 0"),
            "{transcript}"
        );
    }
}

#[test]
fn streaming_is_off_until_a_plan_or_an_option_says_so() {
    let bench = Workbench::new();
    let run = |name: &str, more: &str| {
        bench.succeed(&format!(
            "train --dataset builtin/pendulum/mixed --steps 3 {TINY} {more} --run-dir {name} \
             --set decision_transformer.layers=2"
        ));
    };
    let returns = |evaluate: &str| {
        let found = bench.succeed(&format!("evaluate {evaluate} --episodes 6 --json"));
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        found["targets"].clone()
    };
    run("exact", "");
    run("streaming", "--set evaluation.acting=streaming");
    // The plan is all that differs.
    let weights = |name: &str| {
        let path = format!("{name}/checkpoints/weights.safetensors");
        std::fs::read(bench.path(&path)).unwrap()
    };
    assert_eq!(weights("exact"), weights("streaming"));
    let (exact, streaming) = (returns("exact"), returns("streaming"));
    assert_ne!(exact, streaming);
    assert_eq!(exact, returns("streaming --acting exact"));
    assert_eq!(streaming, returns("exact --acting streaming"));
    assert_eq!(streaming, returns("exact --acting streaming --rows 1"));
}
