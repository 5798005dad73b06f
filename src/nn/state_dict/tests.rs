//! Weights go through a file and come back, under every naming.

use super::*;
use rtg_kernels::decision_transformer::{Condition, Estimate, NormPlacement, Prediction};
use rtg_kernels::layer_norm::EPSILON;
use rtg_kernels::{Activation, Deviation, Head};

/// Two heads of returns-to-go.
const ESTIMATED: Condition = Condition::Predicted {
    prediction: Prediction::Bins {
        bins: 3,
        optimism: 1.0,
        estimate: Some(Estimate {
            expectile: 0.9,
            weight: 1.0,
        }),
    },
    weight: 1.0,
    hides: true,
};

#[test]
fn every_condition_mixer_and_distribution_goes_through_a_file_in_each_naming() {
    let namings = [
        Naming::Official,
        Naming::Corl,
        Naming::Convformer,
        Naming::Mamba,
        Naming::HuggingFace,
        Naming::D3rlpy,
        Naming::MinDt,
    ];
    for naming in namings {
        for condition in [
            Condition::Token,
            Condition::Nullable,
            Condition::Adaln,
            Condition::expectile(0.9),
            ESTIMATED,
        ] {
            for mixer in [
                MixerKind::Attention,
                MixerKind::Convolution,
                MixerKind::Scan,
                MixerKind::Linear,
                MixerKind::Lstm,
            ] {
                for deviation in [None, Some(Deviation::Squashed), Some(Deviation::Free)] {
                    let shape = Shape {
                        observation: 5,
                        action: 2,
                        context: 4,
                        width: 6,
                        heads: 1,
                        layers: 2,
                        timesteps: 9,
                        activation: Activation::Relu,
                        head: Head::Logits,
                        condition,
                        mixer,
                        deviation,
                        positions: 0,
                        norm_placement: NormPlacement::Pre,
                        norm_epsilon: EPSILON,
                        next_observation: None,
                    };
                    check(naming, &shape);
                    check(
                        naming,
                        &Shape {
                            positions: 3,
                            norm_placement: NormPlacement::Post,
                            next_observation: Some(1.0),
                            ..shape
                        },
                    );
                }
            }
        }
    }
}

#[test]
fn the_bias_of_an_lstm_is_the_sum_of_both_in_a_file() {
    let shape = Shape {
        observation: 2,
        action: 2,
        context: 3,
        width: 4,
        heads: 1,
        layers: 1,
        timesteps: 5,
        activation: Activation::Relu,
        head: Head::Logits,
        condition: Condition::Token,
        mixer: MixerKind::Lstm,
        deviation: None,
        positions: 0,
        norm_placement: NormPlacement::Pre,
        norm_epsilon: EPSILON,
        next_observation: None,
    };
    let layout = Layout::new(&shape);
    let mut entries = export(Naming::Corl, &layout, &vec![0.5; layout.len()]);
    let name = "blocks.0.lstm.bias_hh_l0";
    let second = entries.iter_mut().find(|entry| entry.name == name).unwrap();
    assert_eq!(second.values, Values::F32(vec![0.0; 16]));
    second.values = Values::F32((0..16_u8).map(f32::from).collect());
    let bytes = serialise(&entries, &[]).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut found = vec![7.0; layout.len()];
    import(Naming::Corl, &shape, &layout, &file, &mut found).unwrap();
    let sum: Vec<f32> = (0..16_u8).map(|x| f32::from(x) + 0.5).collect();
    assert_eq!(found[layout.range("block.0.lstm.input.bias").unwrap()], sum);
}

fn check(naming: Naming, shape: &Shape) {
    let layout = Layout::new(shape);
    let parameters: Vec<f32> = (0..layout.len()).map(|at| at as f32).collect();
    let mut entries = export(naming, &layout, &parameters);
    entries.extend(untrained(naming, shape, &mut Stream::new(1, "untrained")));
    entries.extend(buffers(naming, shape));
    let mut names: Vec<_> = entries.iter().map(|entry| entry.name.clone()).collect();
    names.sort();
    names.dedup();
    assert_eq!(
        names.len(),
        entries.len(),
        "each weight has a name of its own"
    );
    let bytes = serialise(&entries, &[]).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut found = vec![0.0; layout.len()];
    import(naming, shape, &layout, &file, &mut found).unwrap();
    assert_eq!(found, parameters);
}
