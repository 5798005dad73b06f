//! Writing a store, episode by episode, in bounded memory.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{EPISODE_BYTES, FILES, INDEX, METADATA, Metadata, read, validated};
use crate::dataset::{EpisodeReceiver, check};
use crate::staging::{self, Staging};
use crate::{Defects, Episode, Error, Finding, Info};

/// A store that is being written. One that is not finished leaves nothing behind.
pub(crate) struct Writer {
    info: Info,
    defects: Defects,
    target: PathBuf,
    /// Where it is written; renamed when it is complete.
    staging: Staging,
    columns: [BufWriter<File>; 3],
    index: BufWriter<File>,
    episodes: usize,
    steps: usize,
    findings: Vec<Finding>,
}

impl Writer {
    /// Begins the store `target`.
    pub(crate) fn create(target: &Path, info: Info, defects: Defects) -> Result<Self, Error> {
        let staging = Staging::in_cache(target)?;
        let draft = staging.content();
        let create = || {
            fs::create_dir(&draft)?;
            let file = |name: &str| {
                let file = File::options()
                    .write(true)
                    .create_new(true)
                    .open(draft.join(name));
                file.map(|file| BufWriter::with_capacity(1 << 20, file))
            };
            let [a, b, c] = FILES;
            Ok(Self {
                info,
                defects,
                target: target.to_path_buf(),
                columns: [file(a)?, file(b)?, file(c)?],
                index: file(INDEX)?,
                staging,
                episodes: 0,
                steps: 0,
                findings: Vec::new(),
            })
        };
        create().map_err(|error: std::io::Error| Error::Io(error).at(target))
    }

    /// Completes the store and renames it to its final name. `source` is what it was built from.
    pub(crate) fn finish(mut self, source: Vec<String>) -> Result<(), Error> {
        let target = self.target.clone();
        self.complete(source).map_err(|error| error.at(&target))
    }

    fn complete(&mut self, source: Vec<String>) -> Result<(), Error> {
        for file in self.columns.iter_mut().chain([&mut self.index]) {
            file.flush()?;
            let file = file.get_ref();
            let mut permissions = file.metadata()?.permissions();
            permissions.set_readonly(true);
            file.set_permissions(permissions)?;
        }
        let mut metadata = Metadata::new(
            self.info.clone(),
            self.defects,
            (self.episodes, self.steps),
            std::mem::take(&mut self.findings),
            source,
        );
        // The hash needs the number of episodes first, so the numbers are read again.
        let draft = self.staging.content();
        metadata.hash = read(&draft, &metadata)?.hash();
        let json = serde_json::to_vec_pretty(&metadata)
            .map_err(|error| Error::Store(error.to_string()))?;
        fs::write(draft.join(METADATA), json)?;
        staging::sync_all(&draft)?;
        self.replace()
    }

    /// Renames the draft; a sound store at the target was made by another process meanwhile.
    fn replace(&self) -> Result<(), Error> {
        if self.target.exists() {
            if validated(&self.target).is_ok() {
                return Ok(());
            }
            // First renamed, so that no process opens a store with half of its files removed.
            let aside = self.staging.content().with_extension("damaged");
            fs::rename(&self.target, &aside)?;
            fs::remove_dir_all(aside)?;
        }
        if let Err(error) = fs::rename(self.staging.content(), &self.target)
            && validated(&self.target).is_err()
        {
            return Err(error.into());
        }
        Ok(staging::sync(
            self.target.parent().unwrap_or(Path::new(".")),
        )?)
    }
}

impl EpisodeReceiver for Writer {
    fn push(&mut self, episode: Episode) -> Result<(), Error> {
        check(&self.info, self.defects, self.episodes, &episode)?;
        let Episode {
            observations,
            actions,
            rewards,
            ..
        } = &episode;
        for (file, numbers) in self
            .columns
            .iter_mut()
            .zip([observations, actions, rewards])
        {
            let written = file.write_all(bytemuck::cast_slice(numbers));
            written.map_err(|error| Error::Io(error).at(&self.target))?;
        }
        let flags = u64::from(episode.terminated)
            | u64::from(episode.truncated) << 1
            | u64::from(episode.seed.is_some()) << 2;
        let mut row = [0; EPISODE_BYTES];
        for (bytes, number) in
            row.chunks_exact_mut(8)
                .zip([episode.len() as u64, flags, episode.seed.unwrap_or(0)])
        {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        self.index.write_all(&row)?;
        self.episodes += 1;
        self.steps += episode.len();
        Ok(())
    }

    fn note(&mut self, finding: Finding) {
        if finding.count > 0 {
            self.findings.push(finding);
        }
    }
}
