//! Weights go through a file and come back, under every naming.

use super::*;
use crate::kernels::decision_transformer::Condition;
use crate::kernels::layer_norm::EPSILON;
use crate::kernels::{Activation, Deviation, Head};

#[test]
fn every_condition_mixer_and_distribution_goes_through_a_file_in_each_naming() {
    let namings = [
        Naming::Official,
        Naming::Corl,
        Naming::Convformer,
        Naming::Mamba,
        Naming::HuggingFace,
        Naming::D3rlpy,
    ];
    for naming in namings {
        for condition in [
            Condition::Token,
            Condition::Adaln,
            Condition::Predicted { expectile: 0.9 },
        ] {
            for mixer in [
                MixerKind::Attention,
                MixerKind::Convolution,
                MixerKind::Scan,
                MixerKind::Linear,
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
                        norm_epsilon: EPSILON,
                    };
                    check(naming, &shape);
                    check(
                        naming,
                        &Shape {
                            positions: 3,
                            ..shape
                        },
                    );
                }
            }
        }
    }
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
