//! Divided passes against whole ones, on one process and on several.

use super::*;
use crate::mlp::DividedBatch;
use std::ops::Range;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

const ROWS: usize = 70;
const PARTS: usize = 5;

/// Processes that are threads here, each with parts of the same number.
#[derive(Clone, Debug)]
struct Ranks {
    rank: usize,
    count: usize,
    /// What each of them knows, and where they wait for each other.
    known: Arc<Mutex<Vec<Vec<Vec<f32>>>>>,
    barrier: Arc<Barrier>,
}

impl Ranks {
    /// The results of this work by each of `count` ranks.
    fn run<R: Send>(count: usize, work: impl Fn(Self) -> R + Sync) -> Vec<R> {
        let known = Arc::new(Mutex::new(vec![Vec::new(); count]));
        let barrier = Arc::new(Barrier::new(count));
        let rank = |rank| Self {
            rank,
            count,
            known: known.clone(),
            barrier: barrier.clone(),
        };
        thread::scope(|scope| {
            let work = &work;
            let ranks = (0..count).map(rank);
            let running: Vec<_> = ranks.map(|rank| scope.spawn(move || work(rank))).collect();
            running
                .into_iter()
                .map(|rank| rank.join().unwrap())
                .collect()
        })
    }

    /// What all ranks know, in their order.
    fn gather(&self, mine: Vec<Vec<f32>>) -> Vec<Vec<Vec<f32>>> {
        self.known.lock().unwrap()[self.rank] = mine;
        self.barrier.wait();
        let all = self.known.lock().unwrap().clone();
        self.barrier.wait();
        all
    }

    fn parts_of(&self, rank: usize) -> Range<usize> {
        rank * PARTS / self.count..(rank + 1) * PARTS / self.count
    }

    fn rows_of(&self, rank: usize, rows: usize) -> Range<usize> {
        let parts = self.parts_of(rank);
        self.rows(parts.start, rows).start..self.rows(parts.end - 1, rows).end
    }
}

impl DividedBatch for Ranks {
    fn own(&self) -> Range<usize> {
        self.parts_of(self.rank)
    }

    fn rows(&self, part: usize, rows: usize) -> Range<usize> {
        part * rows / PARTS..(part + 1) * rows / PARTS
    }

    fn own_rows(&self, rows: usize) -> Range<usize> {
        self.rows_of(self.rank, rows)
    }

    fn sum(&self, mine: &[&[f32]], to: &mut [f32]) {
        to.fill(0.0);
        let all = self.gather(mine.iter().map(|part| part.to_vec()).collect());
        for part in all.iter().flatten() {
            to.iter_mut().zip(part).for_each(|(to, x)| *to += x);
        }
    }

    fn complete(&self, blocks: usize, rows: usize, array: &mut [f32]) {
        let all = self.gather(vec![array.to_vec()]);
        let width = array.len() / (blocks * rows);
        for block in 0..blocks {
            for (rank, theirs) in all.iter().enumerate() {
                let own = self.rows_of(rank, rows);
                let at = (block * rows + own.start) * width..(block * rows + own.end) * width;
                array[at.clone()].copy_from_slice(&theirs[0][at]);
            }
        }
    }
}

/// Outputs, gradients at the last input part, the gradient at the parameters and onto another, and
/// outputs without dropout.
fn passes(shape: &Shape, ranks: Option<Ranks>) -> Vec<Vec<f32>> {
    let mut pool = Pool::new(2);
    if let Some(ranks) = ranks {
        pool.divide(ranks);
    }
    let mut network = network(shape);
    let (parts, _) = input(shape, ROWS);
    let parts: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
    let mut pass = Pass::new();
    // All members but the first, if there are several.
    let members = shape.members / 2..shape.members;
    network.forward_of(&pool, members, Some(KEY), &parts, &mut pass);
    let dy = numbers(8, pass.outputs().len());
    let mut gradient = numbers(9, network.parameters().len());
    let mut sum = gradient.clone();
    let wants = [
        Gradient::Skip,
        Gradient::Set(&mut gradient),
        Gradient::Add(&mut sum),
    ];
    for parameters in wants {
        let want = Want {
            parameters,
            input_part: Some(shape.inputs.len() - 1),
        };
        network.backward(&pool, &dy, want, &mut pass);
    }
    let mut inferred = vec![0.0; shape.members * ROWS * shape.outputs];
    network.infer(&pool, &parts, &mut inferred);
    let [outputs, inputs] = [pass.outputs(), pass.input_gradients()].map(<[f32]>::to_vec);
    vec![outputs, inputs, inferred, gradient, sum]
}

#[test]
fn parts_add_up_to_the_batch_and_any_number_of_processes_gives_the_same_bits() {
    for shape in shapes() {
        let whole = passes(&shape, None);
        let divided = Ranks::run(1, |alone| passes(&shape, Some(alone))).remove(0);
        // A row does not depend on the others.
        assert_eq!(divided[..3], whole[..3]);
        for (found, expected) in divided[3..].iter().zip(&whole[3..]) {
            assert_close(found, &to_f64(expected), "gradient");
        }
        for ranks in 2..=3 {
            let all = Ranks::run(ranks, |rank| passes(&shape, Some(rank)));
            assert!(all.iter().all(|found| *found == divided), "{ranks} ranks");
        }
    }
}
