//! Where a learner's batches come from.

use std::sync::Arc;

use rtg_datasets::Dataset;
use rtg_datasets::sample::{Batch, Prefetcher, WindowSampler};

use super::{Error, Needs};
use crate::random::Stream;

/// Batches that are drawn from files before they are wanted.
const BATCHES_AHEAD: usize = 4;

/// Where a learner's batches come from.
pub enum Source {
    /// Windows of a dataset.
    Windows(WindowSource),
}

impl Source {
    /// What a learner needs of a dataset. `stream` is the generator of the first batch; batches are
    /// drawn `ahead` in the background where a file's numbers may have to be waited for.
    ///
    /// # Errors
    /// Data that such batches cannot be drawn from.
    pub fn open(needs: &Needs, data: &Dataset, stream: Stream, ahead: bool) -> Result<Self, Error> {
        match needs {
            Needs::Windows {
                config,
                normaliser,
                rows,
            } => {
                let sampler = WindowSampler::new(data, normaliser, config.clone())?;
                Ok(Self::Windows(WindowSource::new(
                    sampler,
                    stream,
                    *rows,
                    ahead && data.is_mapped(),
                )))
            }
        }
    }

    /// The generator after the last batch that was taken: what a checkpoint holds.
    pub fn stream(&self) -> &Stream {
        match self {
            Self::Windows(windows) => &windows.stream,
        }
    }

    /// The windows.
    pub fn windows(&mut self) -> &mut WindowSource {
        match self {
            Self::Windows(windows) => windows,
        }
    }
}

/// Windows of a dataset, now or ahead: the same ones.
pub struct WindowSource {
    batches: Batches,
    stream: Stream,
    rows: usize,
}

enum Batches {
    /// Drawn when they are wanted, in next to no time: the numbers are in memory.
    Now(WindowSampler),
    /// Drawn in the background.
    Ahead(Prefetcher<Stream>),
}

impl WindowSource {
    fn new(sampler: WindowSampler, stream: Stream, rows: usize, ahead: bool) -> Self {
        let batches = if ahead {
            let sampler = Arc::new(sampler);
            Batches::Ahead(Prefetcher::new(
                sampler,
                stream.clone(),
                rows,
                BATCHES_AHEAD,
            ))
        } else {
            Batches::Now(sampler)
        };
        Self {
            batches,
            stream,
            rows,
        }
    }

    /// The next batch.
    pub fn next(&mut self, batch: &mut Batch) {
        match &mut self.batches {
            Batches::Now(sampler) => sampler.sample(&mut self.stream, self.rows, batch),
            Batches::Ahead(prefetcher) => {
                prefetcher.next(batch);
                self.stream.clone_from(prefetcher.stream());
            }
        }
    }

    /// The sampler, and the generator for whoever draws windows by itself.
    pub fn parts(&mut self) -> (&WindowSampler, &mut Stream) {
        let sampler = match &self.batches {
            Batches::Now(sampler) => sampler,
            Batches::Ahead(prefetcher) => prefetcher.sampler(),
        };
        (sampler, &mut self.stream)
    }

    /// The sampler.
    pub fn sampler(&self) -> &WindowSampler {
        match &self.batches {
            Batches::Now(sampler) => sampler,
            Batches::Ahead(prefetcher) => prefetcher.sampler(),
        }
    }
}
