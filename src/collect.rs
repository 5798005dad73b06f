//! Records any policy in any environment as a dataset.
//!
//! Episode e starts from `seed + e` and depends on its start alone, so a collection is the same for
//! any number of rows, and one that was killed resumes without a difference: its episodes are kept
//! in a [`Journal`] until it is complete, and are then written as a dataset.

use std::path::PathBuf;

use rtg_datasets::convert::{self, Target};
use rtg_datasets::journal::{Journal, JournalSource};
use rtg_datasets::recording::{RecordedEpisode, Recording};
use rtg_datasets::{Contents, EnvSpec, Episode, open_source};
use rtg_envs::{Spec, registry};
use serde_json::{Value, json};

use crate::behaviour::mixture::{Part, describe};
use crate::error::Error;
use crate::interrupt;
use crate::policy::{Policy, Start};
use crate::rollout::{CollectionSize, Rollout};

/// What to collect.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectionPlan {
    /// Environment id.
    pub env: String,
    /// The least number of steps; the last episode is completed.
    pub steps: usize,
    /// Seed of the first episode's start.
    pub seed: u64,
    /// Target returns, used in turn; none for a policy that takes no target.
    pub targets: Vec<f64>,
    /// Name of the policy: the dataset's `algorithm_name`.
    pub policy: String,
    /// The noise of the actions, without a mixture.
    pub noise: f64,
    /// Parts with different noise, played one after the other; none for a single one.
    pub mixture: &'static [Part],
    /// Environments that step together. Changes the speed, not the data.
    pub rows: usize,
    /// Threads that step them, where a step is long enough.
    pub threads: usize,
}

impl CollectionPlan {
    /// The settings that must be equal when a collection is resumed.
    fn settings(&self) -> Value {
        let mut settings = json!({
            "env": self.env,
            "seed": self.seed,
            "targets": self.targets,
            "policy": self.policy,
            "noise": self.noise,
        });
        if !self.mixture.is_empty() {
            settings["mixture"] = json!(self.mixture);
            settings["steps"] = json!(self.steps);
        }
        settings
    }

    /// Each part's noise, and how many steps there are at its end; the last episode of a part is
    /// completed.
    fn parts(&self) -> Vec<(Option<f64>, usize)> {
        let mut whole = 0.0;
        let ends = self.mixture.iter().map(|(share, noise)| {
            whole += share;
            (*noise, (self.steps as f64 * whole).round() as usize)
        });
        let mut parts: Vec<_> = ends.collect();
        if parts.is_empty() {
            parts.push((Some(self.noise), self.steps));
        }
        parts
    }

    /// The dataset's metadata.
    fn recording(&self, id: &str, spec: &Spec, env_spec: &EnvSpec) -> Recording {
        let parts: Vec<String> = self.mixture.iter().map(|part| describe(*part)).collect();
        let disturbed = match (self.noise, parts.as_slice()) {
            (0.0, []) => String::new(),
            (noise, []) => format!(" with noise {noise}"),
            (_, parts) => format!(" ({})", parts.join(", ")),
        };
        let targets = match self.targets.as_slice() {
            [] => String::new(),
            targets => format!(" for target returns {targets:?}"),
        };
        Recording::new(
            id,
            spec.observation_space.clone(),
            spec.action_space.clone(),
        )
        .with_env_spec(env_spec)
        .with("algorithm_name", self.policy.as_str())
        .with(
            "description",
            format!(
                "{}{disturbed} in {}{targets}, seeds from {}, recorded by rtg {}",
                self.policy,
                self.env,
                self.seed,
                env!("CARGO_PKG_VERSION")
            ),
        )
    }

    fn start(&self, episode: usize) -> Start {
        let target = match self.targets.len() {
            0 => None,
            count => Some(self.targets[episode % count]),
        };
        Start {
            seed: self.seed.wrapping_add(episode as u64),
            target,
        }
    }
}

/// A collection in progress: its plan and the episodes recorded.
pub struct Collection {
    plan: CollectionPlan,
    recording: Recording,
    journal: Journal,
    journal_path: PathBuf,
    target: Target,
}

impl Collection {
    /// Begins a collection that writes dataset `id` to `target`.
    ///
    /// # Errors
    /// An existing dataset or unfinished collection, an invalid target, an environment that cannot
    /// be made.
    pub fn begin(plan: CollectionPlan, id: &str, target: Target) -> Result<Self, Error> {
        target.check()?;
        // An environment that cannot be made here leaves no journal.
        drop(registry::make(&plan.env)?);
        let journal_path = journal_path(&target);
        if let Some(folder) = journal_path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| Error::Write {
                source,
                path: folder.to_owned(),
            })?;
        }
        if Journal::is_begun(&journal_path)? {
            return Err(Error::UnfinishedCollection { path: journal_path });
        }
        let recording = plan.recording(id, &registry::spec(&plan.env)?, &EnvSpec::of(&plan.env)?);
        let journal = Journal::create(&journal_path, &recording, &plan.settings())?;
        Ok(Self {
            plan,
            recording,
            journal,
            journal_path,
            target,
        })
    }

    /// Resumes an interrupted collection; begins it if there is none. The plan may differ from the
    /// earlier one in its steps and rows only.
    pub fn resume(plan: CollectionPlan, id: &str, target: Target) -> Result<Self, Error> {
        let journal_path = journal_path(&target);
        if !Journal::is_begun(&journal_path)? {
            return Self::begin(plan, id, target);
        }
        target.check()?;
        let journal = Journal::open_to_resume(&journal_path)?;
        let (before, now) = (journal.settings(), plan.settings());
        if *before != now {
            return Err(Error::OtherCollection {
                before: before.to_string(),
                now: now.to_string(),
                path: journal_path,
            });
        }
        Ok(Self {
            recording: journal.recording().clone(),
            plan,
            journal,
            journal_path,
            target,
        })
    }

    /// Episodes recorded so far.
    pub fn episodes(&self) -> usize {
        self.journal.episodes()
    }

    /// Steps recorded so far.
    pub fn steps(&self) -> usize {
        self.journal.steps()
    }

    /// Plays until there are enough steps, part by part. `policy` makes the policy of a part for a
    /// number of rows: with this noise, or the random one. `progress` is called with the steps
    /// after each flush to disk.
    pub fn play(
        &mut self,
        policy: &mut dyn FnMut(Option<f64>, usize) -> Box<dyn Policy>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<(), Error> {
        for (noise, end) in self.plan.parts() {
            let missing = end.saturating_sub(self.steps());
            if missing > 0 {
                self.play_part(&mut |rows| policy(noise, rows), missing, progress)?;
            }
        }
        progress(self.steps());
        Ok(())
    }

    fn play_part(
        &mut self,
        policy: &mut dyn FnMut(usize) -> Box<dyn Policy>,
        missing: usize,
        progress: &mut dyn FnMut(usize),
    ) -> Result<(), Error> {
        let rows = self.plan.rows.max(1);
        let (plan, first) = (self.plan.clone(), self.episodes());
        let rollout = Rollout::open(&self.plan.env, rows, self.plan.threads, move |index| {
            Some(plan.start(first + index))
        })?;
        let missing = CollectionSize::Steps(missing);
        let mut unflushed = 0;
        let mut keep = |episode: Episode| -> Result<(), Error> {
            let recorded = RecordedEpisode::of(&episode, &self.recording)?;
            self.journal.append(&recorded)?;
            if let Err(signal) = interrupt::check() {
                self.journal.flush()?;
                return Err(Error::Stopped {
                    signal,
                    kept: format!("{} steps are kept", self.journal.steps()),
                    next: "resume with the same command and --resume".to_owned(),
                });
            }
            unflushed += 1;
            if unflushed == rows {
                unflushed = 0;
                self.journal.flush()?;
                progress(self.journal.steps());
            }
            Ok(())
        };
        rollout.collect(&mut *policy(rows), missing, &mut keep)?;
        Ok(self.journal.flush()?)
    }

    /// Writes the dataset and removes the journal.
    pub fn finish(mut self) -> Result<convert::Summary, Error> {
        let mut source = self.journal.source()?;
        let summary = convert::copy(&mut source, &self.target, &mut |_, _| ())?;
        drop(source);
        drop(self.journal);
        std::fs::remove_file(&self.journal_path).map_err(|source| Error::Write {
            source,
            path: self.journal_path,
        })?;
        Ok(summary)
    }
}

/// Whether the dataset exists already. Removes the journal of a collection that was killed after
/// renaming the dataset and before removing the journal.
///
/// # Errors
/// Something else at the target: the collection exists only in the journal.
pub fn is_complete(target: &Target) -> Result<bool, Error> {
    let (path, journal) = (target.path(), journal_path(target));
    if !path.exists() {
        return Ok(false);
    }
    // It reports that the target exists, and removes the drafts of killed processes.
    let _ = target.check();
    if Journal::is_begun(&journal)? {
        let same = || {
            let mut source = JournalSource::open(&journal)?;
            let text = path.to_string_lossy();
            let mut there = open_source(&text, None, Contents::Steps)?;
            convert::same_episodes(&mut source, &mut *there)
        };
        if !same().unwrap_or(false) {
            return Err(rtg_datasets::Error::Exists.at(&path).into());
        }
    }
    match std::fs::remove_file(&journal) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::Write {
            source,
            path: journal,
        }),
        _ => Ok(true),
    }
}

/// `.name.journal` next to the future dataset.
fn journal_path(target: &Target) -> PathBuf {
    let path = target.path();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.journal"))
}

#[cfg(test)]
mod tests;
