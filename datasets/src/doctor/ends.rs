//! How episodes end: what is flagged, what should have been.

use std::collections::HashMap;

use super::Finding;
use crate::{Dataset, EpisodeView};

pub(super) fn ends(dataset: &Dataset) -> [Finding; 8] {
    let limit = dataset.info().max_episode_steps;
    let count = |holds: &dyn Fn(EpisodeView<'_>) -> bool| {
        dataset.iter().filter(|&episode| holds(episode)).count()
    };
    let at_limit = |episode: EpisodeView<'_>| Some(episode.len()) == limit;
    let unfinished = |episode: EpisodeView<'_>| !episode.terminated && !episode.truncated;
    let first_return = dataset.iter().next().map(|episode| episode.return_());
    let constant = dataset.episodes() > 1
        && dataset
            .iter()
            .all(|episode| first_return.map(f64::to_bits) == Some(episode.return_().to_bits()));
    let cut = cut_and_continued(dataset);
    // Cut off before the limit without a terminal state.
    let early = |index: usize| {
        let episode = dataset.episode(index);
        let short = limit.is_some_and(|limit| episode.len() < limit);
        short && episode.truncated && !episode.terminated && !cut[index]
    };
    let last = dataset.episodes().saturating_sub(1);
    let tail = dataset.episodes() > 0 && early(last);
    let steps = limit.unwrap_or(0);
    [
        Finding::warning(
            "unfinished-episode",
            count(&|episode| unfinished(episode) && !at_limit(episode)),
            "episodes are neither terminated nor truncated: they were cut while running".into(),
        ),
        Finding::warning(
            "unmarked-timeout",
            count(&|episode| unfinished(episode) && at_limit(episode)),
            format!(
                "episodes have the {steps} steps that the environment allows, but are not marked \
                    as truncated"
            ),
        ),
        Finding::warning(
            "overlong-episode",
            count(&|episode| limit.is_some_and(|limit| episode.len() > limit)),
            format!("episodes are longer than the {steps} steps that the environment allows"),
        ),
        Finding::warning(
            "mid-episode-cut",
            cut.iter().filter(|&&cut| cut).count(),
            "episodes were cut while running: the next one begins where they end, so their \
             returns-to-go miss what came after"
                .into(),
        ),
        Finding::warning(
            "early-truncation",
            (0..last).filter(|&index| early(index)).count(),
            format!(
                "episodes are truncated before the {steps} steps that the environment allows, so \
                 their returns-to-go may miss what came after"
            ),
        ),
        Finding::note(
            "unfinished-tail",
            usize::from(tail),
            format!(
                "episode, the last one, is truncated before the {steps} steps that the \
                 environment allows: recording stopped there"
            ),
        ),
        Finding::note(
            "single-step-episodes",
            count(&|episode| episode.len() == 1),
            "episodes have one step only".into(),
        ),
        Finding::note(
            "constant-return",
            if constant { dataset.episodes() } else { 0 },
            "episodes all have the same return, so that another target is meaningless".into(),
        ),
    ]
}

/// For each episode whether it was cut while running: its final observation is the first of the
/// next. An observation with which several episodes begin proves nothing.
fn cut_and_continued(dataset: &Dataset) -> Vec<bool> {
    let width = dataset.observation_width();
    let bits = |row: &[f64]| row.iter().map(|x| x.to_bits()).collect::<Vec<u64>>();
    let first = |index: usize| bits(&dataset.episode(index).observations[..width]);
    let mut starts: HashMap<Vec<u64>, usize> = HashMap::with_capacity(dataset.episodes());
    for index in 0..dataset.episodes() {
        *starts.entry(first(index)).or_default() += 1;
    }
    (0..dataset.episodes())
        .map(|index| {
            let episode = dataset.episode(index);
            if width == 0 || episode.terminated || index + 1 == dataset.episodes() {
                return false;
            }
            let end = bits(&episode.observations[episode.len() * width..]);
            end == first(index + 1) && starts.get(&end) == Some(&1)
        })
        .collect()
}
