//! Draws the next batches while the model learns from the current one.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::JoinHandle;

use rand::Rng;

use super::{Sampler, WindowSampler};

/// Draws batches ahead, in its own thread.
///
/// It returns the batches of [`Sampler::sample`], in the same order, whatever the threads do.
/// [`Prefetcher::stream`] is the generator after the last batch that was *taken*, not after the
/// last one drawn: the state for a checkpoint.
pub struct Prefetcher<R, S: Sampler = WindowSampler> {
    sampler: Arc<S>,
    rows: usize,
    stream: R,
    /// `None` only while it is dropped.
    channels: Option<Channels<R, S::Batch>>,
    worker: Option<JoinHandle<()>>,
}

struct Channels<R, B> {
    filled: Receiver<(B, R)>,
    used: Sender<B>,
}

impl<R, S> Prefetcher<R, S>
where
    R: Rng + Clone + Send + 'static,
    S: Sampler + Send + Sync + 'static,
    S::Batch: Send,
{
    /// Draws batches of `rows` rows, up to `ahead` of them before they are needed; at least one.
    pub fn new(sampler: Arc<S>, stream: R, rows: usize, ahead: usize) -> Self {
        let (used, to_fill) = channel::<S::Batch>();
        // The one that waits to be sent counts, too.
        let (fill, filled) = sync_channel(ahead.saturating_sub(1));
        let (drawer, mut own_stream) = (Arc::clone(&sampler), stream.clone());
        let work = move || {
            loop {
                let mut batch = to_fill.try_recv().unwrap_or_default();
                drawer.sample(&mut own_stream, rows, &mut batch);
                if fill.send((batch, own_stream.clone())).is_err() {
                    return;
                }
            }
        };
        // Without a thread the batches are drawn when they are needed.
        let worker = std::thread::Builder::new()
            .name("sampler".into())
            .spawn(work)
            .ok();
        Self {
            sampler,
            rows,
            stream,
            channels: Some(Channels { filled, used }),
            worker,
        }
    }

    /// The sampler.
    pub fn sampler(&self) -> &S {
        &self.sampler
    }

    /// The generator's state after the last batch taken.
    pub fn stream(&self) -> &R {
        &self.stream
    }

    /// Takes the next batch; the old content of `batch` is memory for a later one.
    pub fn next(&mut self, batch: &mut S::Batch) {
        let drawn = self
            .channels
            .as_ref()
            .and_then(|channels| channels.filled.recv().ok());
        let Some((next, stream)) = drawn else {
            return self.sampler.sample(&mut self.stream, self.rows, batch);
        };
        self.stream = stream;
        let used = std::mem::replace(batch, next);
        if let Some(channels) = &self.channels {
            // A thread that has ended needs no memory.
            let _ = channels.used.send(used);
        }
    }
}

impl<R, S: Sampler> Drop for Prefetcher<R, S> {
    fn drop(&mut self) {
        // Without a receiver the thread ends after its current batch.
        self.channels = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_pcg::Pcg64;
    use rand_pcg::rand_core::SeedableRng;

    use super::*;
    use crate::dataset::tests::staircase;
    use crate::{Batch, Normaliser, WindowConfig};

    fn sampler() -> Arc<WindowSampler> {
        let (config, identity) = (WindowConfig::corl(4, 1.0), Normaliser::identity(2));
        Arc::new(WindowSampler::new(&staircase(&[9, 30, 4]), &identity, config).unwrap())
    }

    #[test]
    fn prefetching_does_not_change_batches() {
        let sampler = sampler();
        for ahead in [0, 1, 5] {
            let mut stream = Pcg64::seed_from_u64(3);
            let mut ahead = Prefetcher::new(Arc::clone(&sampler), stream.clone(), 7, ahead);
            let (mut taken, mut drawn) = (Batch::default(), Batch::default());
            for _ in 0..50 {
                ahead.next(&mut taken);
                sampler.sample(&mut stream, 7, &mut drawn);
                assert_eq!(taken, drawn);
                assert_eq!(ahead.stream(), &stream);
            }
        }
    }

    #[test]
    fn a_restored_stream_draws_what_would_have_followed() {
        let sampler = sampler();
        let mut first = Prefetcher::new(Arc::clone(&sampler), Pcg64::seed_from_u64(3), 7, 3);
        let (mut batch, mut again) = (Batch::default(), Batch::default());
        for _ in 0..5 {
            first.next(&mut batch);
        }
        let mut second = Prefetcher::new(sampler, first.stream().clone(), 7, 2);
        for _ in 0..20 {
            first.next(&mut batch);
            second.next(&mut again);
            assert_eq!(batch, again);
        }
    }

    #[test]
    fn a_prefetcher_that_is_not_exhausted_ends() {
        for ahead in [1, 4] {
            let sampler = sampler();
            let prefetcher =
                Prefetcher::new(Arc::clone(&sampler), Pcg64::seed_from_u64(3), 7, ahead);
            drop(prefetcher);
            // The thread has ended: nothing else owns the sampler.
            assert_eq!(Arc::strong_count(&sampler), 1);
        }
    }
}
