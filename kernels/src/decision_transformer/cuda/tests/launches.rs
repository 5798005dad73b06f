//! The launches of a step: how many there are of each kernel, and that the estimate of a step's
//! time is made of the same ones.

use super::model::{DROPOUT, SMALL, setup};
use crate::activation::Activation;
use crate::decision_transformer::cuda::trainer::{Trainer, TrainerSetup};
use crate::decision_transformer::gather::{Actions, Columns};
use crate::decision_transformer::shape::Shape;
use crate::decision_transformer::windows::Side;
use crate::device::backend::{Address, Backend, Error, Graph, Launch};
use crate::precision::Precision;
use std::collections::BTreeMap;

/// What `ptx/build.py` wrote.
const ESTIMATE: &str = include_str!("../../../device/ptx/estimate.md");

/// A device of any size that computes nothing.
#[derive(Debug, Default)]
struct Nothing {
    bytes: u64,
}

impl Backend for Nothing {
    fn name(&self) -> String {
        "nothing".to_owned()
    }

    fn allocate(&mut self, words: usize) -> Result<Address, Error> {
        // As aligned as a driver's memory.
        self.bytes = self.bytes.next_multiple_of(256) + 256;
        let address = Address(self.bytes);
        self.bytes += 4 * words as u64;
        Ok(address)
    }

    fn free_bytes(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    fn upload(&mut self, _: Address, _: &[u32]) -> Result<(), Error> {
        Ok(())
    }

    fn download(&mut self, _: Address, _: &mut [u32]) -> Result<(), Error> {
        Ok(())
    }

    fn launch(&mut self, _: &Launch) -> Result<(), Error> {
        Ok(())
    }

    fn capture(&mut self, _: &[Launch]) -> Result<Graph, Error> {
        Ok(Graph(0))
    }

    fn replay(&mut self, _: Graph) -> Result<(), Error> {
        Ok(())
    }

    fn wait(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// How often a step launches each kernel, in bf16.
fn launches(windows: usize, width: usize, layers: usize, heads: usize) -> BTreeMap<String, usize> {
    let shape = Shape {
        observation: 11,
        action: 3,
        context: 20,
        width,
        heads,
        layers,
        timesteps: 1000,
        activation: Activation::Relu,
        ..SMALL
    };
    let setup = TrainerSetup {
        precision: Precision::Bf16,
        dropout: Some(DROPOUT),
        ..setup(shape, windows)
    };
    let mut trainer = Trainer::new(Box::new(Nothing::default()), setup).unwrap();
    let columns = Columns {
        observations: &[0.0; 11],
        actions: Actions::Numbers(&[0.0; 3]),
        returns_to_go: &[0.0],
        starts: &[0, 1],
        max_timestep: 999,
        side: Side::Left,
    };
    trainer.set_dataset(&columns).unwrap();
    let mut counts = BTreeMap::new();
    for launch in &trainer.launches {
        *counts.entry(launch.kernel.to_owned()).or_default() += 1;
    }
    counts
}

/// The same, as the estimate counts them.
fn estimated(heading: &str) -> BTreeMap<String, usize> {
    let after = ESTIMATE.split_once(heading).expect("the size is estimated");
    let section = after.1.split("\n## ").next().unwrap();
    let row = |line: &str| {
        let (kernel, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let count = rest.split_once(" |")?.0.parse().unwrap();
        Some((kernel.to_owned(), count))
    };
    section.lines().filter_map(row).collect()
}

#[test]
fn the_estimate_is_made_of_the_launches_of_a_step() {
    let small = launches(64, 128, 3, 1);
    assert_eq!(small.values().sum::<usize>(), 38);
    let heading = "## Batch 64, width 128, 3 layers, 1 heads\n";
    assert_eq!(small, estimated(heading));
    let large = launches(4096, 512, 4, 4);
    assert_eq!(large.values().sum::<usize>(), 66);
    let heading = "## Batch 4096, width 512, 4 layers, 4 heads\n";
    assert_eq!(large, estimated(heading));
}
