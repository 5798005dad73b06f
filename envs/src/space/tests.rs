use super::*;
use crate::random::NumpyRng;

const INF: f64 = f64::INFINITY;

fn one_of_each() -> Vec<Space> {
    let boxed = Space::Box(BoxSpace::float32(
        &[-4.8, -INF, 0.0, -INF],
        &[4.8, INF, INF, 0.0],
    ));
    let bytes = Space::Box(BoxSpace {
        low: vec![0.0; 6],
        high: vec![255.0; 6],
        shape: vec![2, 3],
        dtype: Dtype::Uint8,
    });
    let discrete = Space::Discrete { n: 3, start: -1 };
    let dict = Space::Dict(vec![
        ("a".into(), boxed.clone()),
        ("b".into(), discrete.clone()),
    ]);
    vec![
        Space::Tuple(vec![bytes.clone(), dict.clone()]),
        Space::MultiDiscrete {
            nvec: vec![2, 5],
            start: vec![0, 10],
        },
        Space::MultiBinary { shape: vec![2, 2] },
        Space::Text {
            min_length: 1,
            max_length: 9,
            charset: "ab".into(),
        },
        boxed,
        bytes,
        discrete,
        dict,
    ]
}

#[test]
fn widths_add_up() {
    let widths: Vec<usize> = one_of_each().iter().map(Space::width).collect();
    assert_eq!(widths, [11, 2, 4, 0, 4, 6, 1, 5]);
}

#[test]
fn every_sample_is_a_member() {
    let mut rng = NumpyRng::from_seed(0);
    for space in one_of_each() {
        let mut row = vec![f64::NAN; space.width()];
        for _ in 0..1000 {
            space.sample(&mut rng, &mut row);
            assert!(space.contains(&row), "{space:?} {row:?}");
        }
    }
}

#[test]
fn discrete_samples_reach_every_choice_about_equally() {
    let mut rng = NumpyRng::from_seed(0);
    let mut seen = [0; 3];
    let mut row = [0.0];
    for _ in 0..3000 {
        Space::Discrete { n: 3, start: 5 }.sample(&mut rng, &mut row);
        seen[row[0] as usize - 5] += 1;
    }
    assert!(
        seen.iter().all(|&count| (900..1100).contains(&count)),
        "{seen:?}"
    );
}

#[test]
fn numbers_outside_a_space_are_recognised() {
    let boxed = Space::Box(BoxSpace::float32(&[-1.0, -INF], &[1.0, INF]));
    assert!(boxed.contains(&[1.0, 1e30_f32.into()]));
    assert!(!boxed.contains(&[1.5, 0.0]), "above the bound");
    assert!(!boxed.contains(&[0.1, 0.0]), "0.1 is not a float32");
    assert!(!boxed.contains(&[f64::NAN, 0.0]));
    assert!(!boxed.contains(&[0.0]), "too narrow");
    let discrete = Space::Discrete { n: 3, start: -1 };
    assert!(discrete.contains(&[-1.0]) && discrete.contains(&[1.0]));
    assert!(
        !discrete.contains(&[2.0]) && !discrete.contains(&[0.5]) && !discrete.contains(&[f64::NAN])
    );
    assert!(!Space::MultiBinary { shape: vec![1] }.contains(&[2.0]));
    let dict = Space::Dict(vec![("a".into(), discrete.clone()), ("b".into(), discrete)]);
    assert!(dict.contains(&[0.0, 1.0]) && !dict.contains(&[0.0, 3.0]));
}

#[test]
fn half_precision_rounds_as_numpy_does() {
    // numpy.float16(x)
    let rounded = [0.1, 2049.0, 65_519.0, 65_520.0, 3e-8, 1e-9, -1.0 / 3.0]
        .map(|value| Dtype::Float16.round(value));
    let numpy = [
        0.099_975_585_937_5,
        2048.0,
        65_504.0,
        INF,
        5.960_464_477_539_063e-8,
        0.0,
        -0.333_251_953_125,
    ];
    assert_eq!(rounded.map(f64::to_bits), numpy.map(f64::to_bits));
}

#[test]
fn a_space_survives_json_infinite_bounds_included() {
    for space in one_of_each() {
        let json = serde_json::to_string(&space).unwrap();
        assert_eq!(
            serde_json::from_str::<Space>(&json).unwrap(),
            space,
            "{json}"
        );
    }
    assert!(
        serde_json::from_str::<Space>(
            r#"{"Box":{"low":["x"],"high":[0],"shape":[1],"dtype":"float32"}}"#
        )
        .is_err()
    );
}
