//! Steps a second on one thread: `cargo bench -p rtg-envs`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rtg_envs::{Autoreset, ids, make_vec, random::NumpyRng};
use std::hint::black_box;

const ROWS: [usize; 2] = [1, 64];

fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("steps");
    for id in ids() {
        for rows in ROWS {
            let Ok(mut envs) = make_vec(id, rows, Autoreset::NextStep) else {
                continue;
            };
            let space = envs.spec().action_space.clone();
            let mut actions = vec![0.0; rows * space.width()];
            let mut rng = NumpyRng::from_seed(0);
            actions
                .chunks_mut(space.width())
                .for_each(|action| space.sample(&mut rng, action));
            group.throughput(Throughput::Elements(rows as u64));
            group.bench_function(format!("{id}/{rows}"), |bencher| {
                bencher.iter(|| envs.step(black_box(&actions)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
