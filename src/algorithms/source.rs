//! The source of a learner's batches.

use std::sync::Arc;

use rtg_datasets::sample::{
    Batch, Prefetcher, ReplayBuffer, Sampler, TransitionSampler, Transitions, WindowSampler,
};
use rtg_datasets::{Dataset, Normaliser};

use super::{Error, FreshSource, Needs};
use crate::random::Stream;

/// Batches that are drawn from files in advance.
const BATCHES_AHEAD: usize = 4;

/// The source of a learner's batches; its variant follows from the learner's [`Needs`].
pub enum Source {
    /// Windows of a dataset.
    Windows(DatasetSource<WindowSampler>),
    /// Transitions of a dataset.
    Transitions(DatasetSource<TransitionSampler>),
    /// Transitions that were collected in an environment.
    Replay(ReplaySource),
    /// The newest steps in environments.
    Fresh(FreshSource),
}

/// Transitions that were collected in an environment, and optionally some of a dataset.
pub struct ReplaySource {
    /// The buffer.
    pub replay: ReplayBuffer,
    stream: Stream,
    rows: usize,
    dataset: Option<Box<DatasetPart>>,
}

/// The rows of each batch that are drawn from a dataset.
struct DatasetPart {
    sampler: TransitionSampler,
    rows: usize,
    drawn: Transitions,
}

impl ReplaySource {
    /// Batches of `rows` transitions from a buffer.
    pub fn new(replay: ReplayBuffer, stream: Stream, rows: usize) -> Self {
        Self {
            replay,
            stream,
            rows,
            dataset: None,
        }
    }

    /// Draws `rows` rows of each batch from a dataset, and the others from the buffer.
    ///
    /// # Errors
    /// Data that such batches cannot be drawn from.
    pub fn beside(mut self, data: &Dataset, rows: usize) -> Result<Self, Error> {
        let identity = Normaliser::identity(data.observation_width());
        let normaliser = self.replay.normaliser().unwrap_or(&identity);
        let config = self.replay.config().clone();
        self.dataset = Some(Box::new(DatasetPart {
            sampler: TransitionSampler::new(data, normaliser, config)?,
            rows,
            drawn: Transitions::default(),
        }));
        Ok(self)
    }

    fn next(&mut self, batch: &mut Transitions) {
        let of_dataset = self.dataset.as_ref().map_or(0, |part| part.rows);
        let own = self.rows - of_dataset;
        self.replay.sample(&mut self.stream, own, batch);
        if let Some(part) = &mut self.dataset {
            let drawn = &mut part.drawn;
            part.sampler.sample(&mut self.stream, part.rows, drawn);
            batch.append(drawn);
        }
    }
}

/// A batch of held-back data.
#[derive(Clone, Debug)]
pub enum ValidationBatch {
    /// Windows.
    Windows(Batch),
    /// Transitions.
    Transitions(Transitions),
}

impl Source {
    /// A source for a learner's needs, from a dataset. `stream` is the generator of the first
    /// batch; with `ahead`, batches are drawn in the background, because reading a file may take
    /// time.
    ///
    /// # Errors
    /// Data from which such batches cannot be drawn.
    pub fn open(needs: &Needs, data: &Dataset, stream: Stream, ahead: bool) -> Result<Self, Error> {
        let ahead = ahead && data.is_mapped();
        Ok(match needs {
            Needs::Windows {
                config,
                normaliser,
                rows,
            } => {
                let sampler = WindowSampler::new(data, normaliser, config.clone())?;
                Self::Windows(DatasetSource::new(sampler, stream, *rows, ahead))
            }
            Needs::Transitions {
                config,
                normaliser,
                rows,
            } => {
                let identity = Normaliser::identity(data.observation_width());
                let normaliser = normaliser.unwrap_or(&identity);
                let sampler = TransitionSampler::new(data, normaliser, config.clone())?;
                Self::Transitions(DatasetSource::new(sampler, stream, *rows, ahead))
            }
            Needs::Environment(interaction) => {
                let info = data.info();
                let mut replay = ReplayBuffer::new(
                    &info.observation_space,
                    &info.action_space,
                    interaction.capacity.max(data.steps()),
                    interaction.transitions.clone(),
                )?;
                replay.set_normaliser(interaction.normaliser.clone())?;
                replay.extend(data)?;
                Self::Replay(ReplaySource::new(replay, stream, interaction.rows))
            }
            // A dataset contains another policy's steps.
            Needs::Fresh(fresh) => Self::Fresh(FreshSource::new(*fresh, stream)),
        })
    }

    /// The generator after the last batch that was taken, for a checkpoint.
    pub fn stream(&self) -> &Stream {
        match self {
            Self::Windows(windows) => &windows.stream,
            Self::Transitions(transitions) => &transitions.stream,
            Self::Replay(replay) => &replay.stream,
            Self::Fresh(fresh) => &fresh.stream,
        }
    }

    /// Windows, for a learner that needs them.
    ///
    /// # Panics
    /// If this is another source.
    pub fn windows(&mut self) -> &mut DatasetSource<WindowSampler> {
        match self {
            Self::Windows(windows) => windows,
            _ => panic!("the learner needs windows, which this source does not have"),
        }
    }

    /// The newest steps, for a learner that needs them.
    ///
    /// # Panics
    /// If this is another source.
    pub fn fresh(&mut self) -> &mut FreshSource {
        match self {
            Self::Fresh(fresh) => fresh,
            _ => panic!("the learner needs the newest steps, which this source does not have"),
        }
    }

    /// The next batch of transitions, for a learner that needs them.
    ///
    /// # Panics
    /// If this is another source, or an empty replay buffer.
    pub fn next_transitions(&mut self, batch: &mut Transitions) {
        match self {
            Self::Windows(_) | Self::Fresh(_) => {
                panic!("the learner needs transitions, which this source does not have")
            }
            Self::Transitions(transitions) => transitions.next(batch),
            Self::Replay(source) => source.next(batch),
        }
    }

    /// The next batch, as held-back data for repeated measurements.
    pub fn held_back(&mut self) -> ValidationBatch {
        if let Self::Windows(windows) = self {
            let mut batch = Batch::default();
            windows.next(&mut batch);
            return ValidationBatch::Windows(batch);
        }
        let mut batch = Transitions::default();
        self.next_transitions(&mut batch);
        ValidationBatch::Transitions(batch)
    }
}

/// Batches of a dataset, drawn on demand or in advance, with the same result.
pub struct DatasetSource<S: Sampler> {
    batches: Batches<S>,
    stream: Stream,
    rows: usize,
}

enum Batches<S: Sampler> {
    /// Drawn on demand, which is fast: the numbers are in memory.
    Now(S),
    /// Drawn in advance in the background.
    Ahead(Prefetcher<Stream, S>),
}

impl<S> DatasetSource<S>
where
    S: Sampler + Send + Sync + 'static,
    S::Batch: Send,
{
    /// Batches of `rows` rows.
    pub fn new(sampler: S, stream: Stream, rows: usize, ahead: bool) -> Self {
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
    pub fn next(&mut self, batch: &mut S::Batch) {
        match &mut self.batches {
            Batches::Now(sampler) => sampler.sample(&mut self.stream, self.rows, batch),
            Batches::Ahead(prefetcher) => {
                prefetcher.next(batch);
                self.stream.clone_from(prefetcher.stream());
            }
        }
    }

    /// The sampler, and the generator for a learner that draws rows by itself.
    pub fn parts(&mut self) -> (&S, &mut Stream) {
        let sampler = match &self.batches {
            Batches::Now(sampler) => sampler,
            Batches::Ahead(prefetcher) => prefetcher.sampler(),
        };
        (sampler, &mut self.stream)
    }

    /// The sampler.
    pub fn sampler(&self) -> &S {
        match &self.batches {
            Batches::Now(sampler) => sampler,
            Batches::Ahead(prefetcher) => prefetcher.sampler(),
        }
    }
}
