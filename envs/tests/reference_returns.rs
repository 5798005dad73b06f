//! The registry's reference returns, recomputed.

use rtg_envs::{ids, make, random::NumpyRng, registry::needs_mujoco};

/// Mean return of random actions over the episodes with seeds 0 to 999.
fn random_return(id: &str) -> f64 {
    let mut env = make(id).expect("a registered environment");
    let actions = env.spec().action_space.clone();
    let mut observation = vec![0.0; env.spec().observation_space.width()];
    let mut action = vec![0.0; actions.width()];
    let mut total = 0.0;
    for seed in 0..1000 {
        env.reset(Some(seed), &mut observation);
        let mut rng = NumpyRng::for_actions(seed);
        let mut episode_return = 0.0;
        loop {
            actions.sample(&mut rng, &mut action);
            let step = env.step(&action, &mut observation);
            episode_return += step.reward;
            if step.is_last() {
                break;
            }
        }
        total += episode_return;
    }
    total / 1000.0
}

#[test]
fn the_random_reference_returns_are_what_random_actions_earn() {
    for id in ids().filter(|id| !needs_mujoco(id)) {
        let recorded = rtg_envs::spec(id)
            .unwrap()
            .reference_returns
            .unwrap()
            .random;
        let measured = random_return(id);
        assert!(
            (recorded - measured).abs() < 1e-6,
            "{id}: the table says {recorded}, random actions earn {measured}"
        );
    }
}
