//! From a source's episodes to a dataset: flattened, checked, in memory or into a store.

use rtg_envs::Space;

use crate::dataset::EpisodeReceiver;
use crate::recording::{Flattener, RecordedEpisode, Recording, Source, flat_width};
use crate::{Budget, Dataset, Defects, Episode, Error, Finding};

/// All episodes of a source in memory, flattened.
pub(crate) fn gather(source: &mut dyn Source, defects: Defects) -> Result<Dataset, Error> {
    let dataset = empty(source, defects)?;
    let width = dataset.observation_width();
    let row = width + dataset.action_width() + 1;
    let budget = source.budget();
    if let Some(steps) = source.recording().total_steps {
        // Checked before minutes of reading.
        let foreseen = budget.foresee(&[steps, row], size_of::<f64>(), "the dataset");
        foreseen.map_err(|error| error.at(source.path()))?;
    }
    let mut into = BudgetedDataset {
        dataset,
        budget,
        row,
    };
    copy_episodes(source, defects, width, &mut into)?;
    Ok(into.dataset)
}

/// A dataset whose numbers are charged to the budget.
struct BudgetedDataset {
    dataset: Dataset,
    budget: Budget,
    /// Numbers in each step.
    row: usize,
}

impl EpisodeReceiver for BudgetedDataset {
    fn push(&mut self, episode: Episode) -> Result<(), Error> {
        let steps = episode.len() + 1;
        self.budget
            .take_items(&[steps, self.row], size_of::<f64>(), "the dataset")?;
        self.dataset.push(episode)
    }

    fn note(&mut self, finding: Finding) {
        self.dataset.note(finding);
    }
}

/// A dataset for the episodes of a source, without them.
pub(crate) fn empty(source: &dyn Source, defects: Defects) -> Result<Dataset, Error> {
    Flattener::new(source.recording())
        .dataset(source.recording(), defects, &source.budget())
        .map_err(|error| error.at(source.path()))
}

/// Copies all episodes of a source, flattened, and its findings; `width` is an observation's.
pub(crate) fn copy_episodes(
    source: &mut dyn Source,
    defects: Defects,
    width: usize,
    into: &mut impl EpisodeReceiver,
) -> Result<(), Error> {
    copy_all(source, defects, width, into).map_err(|error| error.at(source.path()))
}

fn copy_all(
    source: &mut dyn Source,
    defects: Defects,
    width: usize,
    into: &mut impl EpisodeReceiver,
) -> Result<(), Error> {
    let flattener = Flattener::new(source.recording());
    let budget = source.budget();
    let (mut completed, mut empty, mut early, mut index, mut steps) = (0, 0, 0, 0, 0);
    let mut unreadable: Vec<Error> = Vec::new();
    while let Some(recorded) = source.next_episode()? {
        let flat = flattener.episode(&recorded, index, &budget.fork());
        index += 1;
        steps += recorded.len();
        let mut episode = match flat {
            // The other episodes are still examined, unless no more can be read at all.
            Err(error) if defects == Defects::Keep && !error.is_limit() => {
                unreadable.push(error);
                continue;
            }
            flat => flat?,
        };
        if defects == Defects::Keep {
            if episode.is_empty() {
                empty += 1;
                continue;
            }
            completed += usize::from(complete(&mut episode, width));
        }
        early += usize::from(ends_early(&recorded));
        into.push(episode)?;
    }
    let bad = unreadable.len();
    if bad > 0 && bad == index {
        return Err(unreadable.swap_remove(0));
    }
    into.note(Finding::error(
        "unreadable-episode",
        bad,
        match unreadable.first() {
            Some(first) => {
                format!("episodes do not fit their spaces and are omitted; the first, {first}")
            }
            None => String::new(),
        },
    ));
    into.note(flattened_actions(source.recording()));
    into.note(Finding::error(
        "missing-final-observation",
        completed,
        "episodes have as many observations as steps: the one after the last step is missing"
            .into(),
    ));
    into.note(Finding::error(
        "empty-episode",
        empty,
        "episodes have no step".into(),
    ));
    into.note(Finding::error(
        "early-end",
        early,
        "episodes are marked as ended before their last step".into(),
    ));
    if let Some(total) = source.recording().total_steps {
        into.note(Finding::warning(
            "step-count",
            steps.abs_diff(total),
            format!("the metadata count {total} steps, the episodes have {steps}"),
        ));
    }
    for finding in source.findings() {
        into.note(finding);
    }
    Ok(())
}

/// Composite actions are learned as numbers, which is reported before training.
fn flattened_actions(recording: &Recording) -> Finding {
    let space = recording.action_space.space();
    let kind = match space {
        Space::MultiDiscrete { nvec, .. } => format!("MultiDiscrete {nvec:?}"),
        Space::Dict(_) => "a Dict".into(),
        Space::Tuple(_) => "a Tuple".into(),
        Space::Text { .. } => "texts".into(),
        _ => String::new(),
    };
    let width = flat_width(space).unwrap_or(0);
    let count = if kind.is_empty() { 0 } else { width };
    Finding::warning(
        "flattened-actions",
        count,
        format!(
            "numbers represent one action: actions are {kind}, and are learned as {width} real \
                numbers"
        ),
    )
}

/// Repeats the last observation where the one after the last step is missing.
fn complete(episode: &mut Episode, width: usize) -> bool {
    let missing = episode.observations.len() == episode.len() * width && width > 0;
    if missing {
        let last = episode.observations.len() - width;
        episode.observations.extend_from_within(last..);
    }
    missing
}

/// Whether a flag is set before the last step.
fn ends_early(episode: &RecordedEpisode) -> bool {
    let last = episode.len().saturating_sub(1);
    episode.terminations[..last]
        .iter()
        .chain(&episode.truncations[..last])
        .any(|&flag| flag)
}
