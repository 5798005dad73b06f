//! Ranks that are threads of one process, for tests.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::{Communicator, World};

/// One rank: a channel to every rank, and one from every rank.
#[derive(Debug)]
struct Rank {
    number: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Mutex<Receiver<Vec<u8>>>>,
}

/// The results of `work` on each of `count` ranks. A rank that panics ends those that wait for it.
pub(crate) fn run<T: Send>(count: usize, work: impl Fn(World) -> T + Sync) -> Vec<T> {
    let mut to: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
    let mut from: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
    for sender in &mut to {
        for receiver in &mut from {
            let (end, other) = channel();
            sender.push(end);
            receiver.push(Mutex::new(other));
        }
    }
    let ranks = to.into_iter().zip(from).enumerate();
    let worlds = ranks.map(|(number, (to, from))| World::new(Rank { number, to, from }));
    let worlds: Vec<World> = worlds.collect();
    std::thread::scope(|scope| {
        let work = &work;
        let spawn = |world: World| scope.spawn(move || work(world));
        let handles: Vec<_> = worlds.into_iter().map(spawn).collect();
        let results = handles.into_iter().map(|handle| handle.join().unwrap());
        results.collect()
    })
}

impl Rank {
    fn receive(&self, from: usize, to: &mut [u8]) {
        let receiver = self.from[from].lock().unwrap();
        to.copy_from_slice(&receiver.recv().expect("the other rank is running"));
    }
}

impl Communicator for Rank {
    fn name(&self) -> String {
        "channels".to_owned()
    }

    fn rank(&self) -> usize {
        self.number
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn all_gather(&self, mine: &[u8], all: &mut [u8]) {
        self.all_to_all(&mine.repeat(self.size()), all);
    }

    fn all_to_all(&self, mine: &[u8], received: &mut [u8]) {
        let slice = mine.len() / self.size();
        for (rank, to) in self.to.iter().enumerate() {
            to.send(mine[rank * slice..][..slice].to_vec()).unwrap();
        }
        for rank in 0..self.size() {
            self.receive(rank, &mut received[rank * slice..][..slice]);
        }
    }

    fn broadcast(&self, bytes: &mut [u8]) {
        if self.number == 0 {
            let mut others = self.to.iter().skip(1);
            others.try_for_each(|to| to.send(bytes.to_vec())).unwrap();
        } else {
            self.receive(0, bytes);
        }
    }

    fn finish(&self) {}

    fn abort(&self, code: u8) -> ! {
        panic!("rank {} aborted with code {code}", self.number)
    }
}
