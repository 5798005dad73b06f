//! Weights are exported under the peers' names and imported unchanged.

use safetensors::SafeTensors;

use crate::workbench::{TINY, Workbench};

#[test]
fn exported_weights_start_a_new_run_where_the_old_one_ended() {
    for recipe in ["official", "corl"] {
        let bench = Workbench::new();
        let data = "--dataset builtin/pendulum/random";
        bench.succeed(&format!(
            "train {data} --recipe {recipe} --steps 5 {TINY} --run-dir first"
        ));
        let weights = "first/checkpoints/weights.safetensors";
        bench.succeed(&format!(
            "train {data} --recipe {recipe} --steps 0 {TINY} --set initial_weights={weights} \
                --run-dir second"
        ));
        let read = |run: &str| {
            std::fs::read(bench.path(run).join("checkpoints/weights.safetensors")).unwrap()
        };
        assert!(read("first") == read("second"), "{recipe}");
    }
}

#[test]
fn exported_names_are_those_of_the_published_codes() {
    for (recipe, some) in [
        (
            "official",
            [
                "transformer.h.0.attn.c_attn.weight",
                "transformer.wte.weight",
                "predict_action.0.bias",
            ],
        ),
        (
            "corl",
            [
                "blocks.0.attention.in_proj_weight",
                "blocks.0.causal_mask",
                "action_head.0.bias",
            ],
        ),
    ] {
        let bench = Workbench::new();
        bench.succeed(&format!(
            "train --recipe {recipe} --steps 1 {TINY} --run-dir run"
        ));
        let bytes = std::fs::read(bench.path("run/checkpoints/weights.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        for name in some {
            assert!(
                file.tensor(name).is_ok(),
                "{recipe}: {name} in {:?}",
                file.names()
            );
        }
    }
}

#[test]
fn weights_of_the_other_recipe_are_refused() {
    let bench = Workbench::new();
    bench.succeed(&format!(
        "train --recipe corl --steps 1 {TINY} --run-dir run"
    ));
    let transcript = bench.transcript(&format!(
        "train --recipe official --steps 1 {TINY} --run-dir other \
         --set initial_weights=run/checkpoints/weights.safetensors"
    ));
    assert!(transcript.starts_with("exit code 1\n"), "{transcript}");
    assert!(
        transcript.contains("error: weight 'embed_timestep.weight' is missing"),
        "{transcript}"
    );
    assert!(transcript.contains("hint: "), "{transcript}");
}
