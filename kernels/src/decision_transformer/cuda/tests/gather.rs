//! The gather compared with its reference, number by number.

use crate::decision_transformer::gather::cuda::Gather;
use crate::decision_transformer::gather::{Actions, Columns, reference as gather};
use crate::decision_transformer::windows::Side;
use crate::device::backend::Address;
use crate::device::tests::{backends, put, put_words, run, take, unwritten};
use crate::testing::numbers;

#[test]
fn windows_are_cut_as_the_reference_cuts_them() {
    let (s, a, context) = (3, 2, 4);
    let starts = [0, 3, 10, 11];
    let n = 11;
    let (observations, numbers_taken) = (numbers(1, n * s), numbers(2, n * a));
    let returns_to_go = numbers(3, n);
    let labels: Vec<u32> = (0..n as u32).map(|step| step % a as u32).collect();
    let begin: Vec<u32> = (0..n as u32).collect();
    for actions in [Actions::Numbers(&numbers_taken), Actions::Labels(&labels)] {
        for side in [Side::Left, Side::Right] {
            let columns = Columns {
                observations: &observations,
                actions,
                returns_to_go: &returns_to_go,
                starts: &starts,
                max_timestep: 5,
                side,
            };
            let (ends, timesteps) = columns.places();
            for mut backend in backends() {
                let backend = &mut *backend;
                let (at_actions, at_labels) = match actions {
                    Actions::Numbers(numbers) => (put(backend, numbers), Address::NULL),
                    Actions::Labels(labels) => (Address::NULL, put_words(backend, labels)),
                };
                // The second batch of a queue.
                let queue: Vec<u32> = [vec![0; n], begin.clone()].concat();
                let places = n * context;
                let [to_observations, to_actions, to_returns_to_go, to_timesteps] =
                    [places * s, places * a, places, places].map(|n| unwritten(backend, n));
                let [lengths, first_steps] = [n; 2].map(|n| unwritten(backend, n));
                let launch = Gather {
                    observations: put(backend, &observations),
                    actions: at_actions,
                    labels: at_labels,
                    returns_to_go: put(backend, &returns_to_go),
                    ends: put_words(backend, &ends),
                    timesteps: put_words(backend, &timesteps),
                    starts: put_words(backend, &queue),
                    clock: put_words(backend, &[1]),
                    to_observations,
                    to_actions,
                    to_returns_to_go,
                    to_timesteps,
                    lengths,
                    first_steps,
                    windows: n as i32,
                    context: context as i32,
                    observation: s as i32,
                    action: a as i32,
                    limit: columns.max_timestep,
                    left: i32::from(side == Side::Left),
                };
                run(backend, [launch.launch()]);
                let mut words = |from, count| {
                    let mut words = vec![0; count];
                    backend.download(from, &mut words).unwrap();
                    words
                };
                let timesteps = words(to_timesteps, places);
                let (lengths, first_steps) = (words(lengths, n), words(first_steps, n));
                let observations = take(backend, to_observations, places * s);
                let actions = take(backend, to_actions, places * a);
                let returns_to_go = take(backend, to_returns_to_go, places);
                for step in 0..n {
                    let found = gather::Window {
                        observations: observations[step * context * s..][..context * s].to_vec(),
                        actions: actions[step * context * a..][..context * a].to_vec(),
                        returns_to_go: returns_to_go[step * context..][..context].to_vec(),
                        timesteps: timesteps[step * context..][..context].to_vec(),
                        length: lengths[step] as usize,
                        first_step: first_steps[step] as usize,
                    };
                    assert_eq!(found, gather::window(&columns, step, context, a));
                }
            }
        }
    }
}
