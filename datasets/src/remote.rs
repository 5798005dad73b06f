//! Datasets to download: the Farama Foundation's Minari datasets, and D4RL's files.
//!
//! | place | list | files | checked by |
//! |---|---|---|---|
//! | Farama | the hub's account `farama-minari`: a repository for the first part of an id, a folder for the rest | below [`datasets_root`](crate::datasets_root), as Python's Minari has them | size; SHA-256 where the hub has one |
//! | D4RL | a built-in table | in `$D4RL_DATASET_DIR`, else `~/.d4rl/datasets` | size; it publishes no checksums |
//!
//! Everything comes over https, redirections included; a file that is larger than announced, or
//! than any dataset is, is refused. Names from a server cannot leave the dataset's own folder. A
//! second process that downloads the same dataset gets an error at once.
//!
//! An interrupted download keeps what has arrived next to its target and is resumed by the next
//! call. A dataset has its name only when all of its files are whole.

mod d4rl;
mod http;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

pub use self::http::Progress;
use self::http::{Client, Expected, Transport};
use crate::{Error, minari};

/// The account of the Farama Foundation.
const ACCOUNT: &str = "farama-minari";

/// The host of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Host {
    /// The Farama Foundation.
    Farama,
    /// D4RL.
    D4rl,
}

/// A dataset that can be downloaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RemoteDataset {
    /// A Minari id, or D4RL's name.
    pub id: String,
    /// Its host.
    #[serde(rename = "keeper")]
    pub host: Host,
    /// The size of its files, where it is known beforehand.
    pub bytes: Option<u64>,
}

/// The servers, and where downloads are stored.
pub struct Remote {
    hub: String,
    d4rl: String,
    minari_root: PathBuf,
    d4rl_root: PathBuf,
    client: Client,
}

/// A file of a dataset on the hub.
struct HubFile {
    path: String,
    expected: Expected,
}

impl Default for Remote {
    fn default() -> Self {
        let home = std::env::var_os("HOME")
            .map(PathBuf::from)
            .unwrap_or_default();
        let own = std::env::var_os("D4RL_DATASET_DIR").map(PathBuf::from);
        Self {
            hub: "https://huggingface.co".into(),
            d4rl: "https://rail.eecs.berkeley.edu/datasets/offline_rl".into(),
            minari_root: crate::datasets_root(),
            d4rl_root: own.unwrap_or_else(|| home.join(".d4rl/datasets")),
            client: Client::new(Duration::from_secs(1), Transport::Https),
        }
    }
}

impl Remote {
    /// Other servers of the same layout.
    #[must_use]
    pub fn at(mut self, hub: &str, d4rl: &str) -> Self {
        (self.hub, self.d4rl) = (hub.into(), d4rl.into());
        self
    }

    /// Other directories for Minari's and for D4RL's datasets.
    #[must_use]
    pub fn into(mut self, minari_root: &Path, d4rl_root: &Path) -> Self {
        (self.minari_root, self.d4rl_root) = (minari_root.into(), d4rl_root.into());
        self
    }

    /// D4RL's datasets; needs no network.
    pub fn list_d4rl(&self) -> Vec<RemoteDataset> {
        let listed = |(id, _)| RemoteDataset {
            id,
            host: Host::D4rl,
            bytes: None,
        };
        d4rl::files().map(listed).collect()
    }

    /// The Farama Foundation's datasets, by id.
    pub fn list_farama(&self) -> Result<Vec<RemoteDataset>, Error> {
        let url = format!("{}/api/datasets?author={ACCOUNT}&limit=1000", self.hub);
        let mut found = Vec::new();
        for repository in self.pages(url)? {
            let id = repository["id"].as_str().unwrap_or_default();
            let Some(first) = id.strip_prefix(&format!("{ACCOUNT}/")) else {
                continue;
            };
            let files = self.repository(first)?;
            let folders = files
                .iter()
                .filter_map(|file| file.path.strip_suffix("/data/metadata.json"));
            for folder in folders {
                let inside = |file: &&HubFile| file.path.starts_with(&format!("{folder}/"));
                let sizes = files.iter().filter(inside).map(|file| file.expected.bytes);
                let id = format!("{first}/{folder}");
                if !minari::is_id(&id) {
                    continue;
                }
                found.push(RemoteDataset {
                    id,
                    host: Host::Farama,
                    bytes: sizes.sum(),
                });
            }
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    /// Downloads a dataset of either host and returns its path, for [`open`](crate::open). One that
    /// exists already is left unchanged.
    pub fn download(&self, id: &str, progress: Progress<'_>) -> Result<PathBuf, Error> {
        if let Some((_, path)) = d4rl::files().find(|(name, _)| name == id) {
            // By the dataset's name, from which the reader infers the environment.
            let target = self.d4rl_root.join(format!("{id}.hdf5"));
            if !target.exists() {
                create(&self.d4rl_root)?;
                let _lock = Lock::take(&self.d4rl_root.join(format!(".{id}.lock")))?;
                if target.exists() {
                    return Ok(target);
                }
                let url = format!("{}/{path}", self.d4rl);
                let expected = Expected::default();
                self.client.file(&url, &target, &expected, progress)?;
            }
            return Ok(target);
        }
        self.download_minari(id, progress)
    }

    fn download_minari(&self, id: &str, progress: Progress<'_>) -> Result<PathBuf, Error> {
        let plain = |part: &str| {
            let is_safe = |letter: char| !letter.is_control() && !['\\', ':'].contains(&letter);
            !part.is_empty() && !part.starts_with('.') && part.chars().all(is_safe)
        };
        let (Some((first, folder)), true) = (id.split_once('/'), minari::is_id(id)) else {
            return Err(Error::Remote(format!(
                "'{id}' is neither the name of a D4RL dataset nor a Minari id such as \
                    mujoco/hopper/medium-v0"
            )));
        };
        let target = self.minari_root.join(id);
        if target.exists() {
            return Ok(target);
        }
        let prefix = format!("{folder}/");
        let mut files = self.repository(first)?;
        files.retain(|file| file.path.starts_with(&prefix));
        if files.is_empty() {
            return Err(Error::Remote(format!("{ACCOUNT} has no dataset {id}")));
        }
        let (parent, name) = (target.parent(), target.file_name());
        let (Some(parent), Some(name)) = (parent, name) else {
            return Err(Error::Remote(format!("'{id}' is not a Minari id")));
        };
        // Hidden, so that Minari does not list incomplete datasets.
        let draft = parent.join(format!(".{}.download", name.to_string_lossy()));
        create(parent)?;
        let _lock = Lock::take(&parent.join(format!(".{}.lock", name.to_string_lossy())))?;
        if target.exists() {
            return Ok(target);
        }
        for file in &files {
            let inside = &file.path[prefix.len()..];
            if !inside.split('/').all(plain) {
                return Err(Error::Remote(format!("a file is called '{}'", file.path)));
            }
            let place = draft.join(inside);
            if place.exists() {
                continue;
            }
            create(place.parent().unwrap_or(&draft))?;
            let url = format!(
                "{}/datasets/{ACCOUNT}/{first}/resolve/main/{}",
                self.hub, file.path
            );
            self.client.file(&url, &place, &file.expected, progress)?;
        }
        self.name_namespaces(parent)?;
        let rename = || {
            fs::rename(&draft, &target)?;
            fs::File::open(parent)?.sync_all()
        };
        rename().map_err(|error: std::io::Error| Error::Io(error).at(&target))?;
        Ok(target)
    }

    /// Minari lists only namespaces that have a metadata file of their own.
    fn name_namespaces(&self, innermost: &Path) -> Result<(), Error> {
        for namespace in innermost.ancestors() {
            if namespace == self.minari_root {
                break;
            }
            let metadata = namespace.join("namespace_metadata.json");
            if !metadata.exists() {
                fs::write(&metadata, "{}").map_err(|error| Error::Io(error).at(&metadata))?;
            }
        }
        Ok(())
    }

    /// The files of a repository.
    fn repository(&self, first: &str) -> Result<Vec<HubFile>, Error> {
        let url = format!(
            "{}/api/datasets/{ACCOUNT}/{first}/tree/main?recursive=true",
            self.hub
        );
        let mut files = Vec::new();
        for entry in self.pages(url)? {
            let (Some("file"), Some(path)) = (entry["type"].as_str(), entry["path"].as_str())
            else {
                continue;
            };
            files.push(HubFile {
                path: path.to_owned(),
                expected: Expected {
                    bytes: entry["size"].as_u64(),
                    sha256: entry["lfs"]["oid"].as_str().map(str::to_owned),
                },
            });
        }
        Ok(files)
    }

    /// The entries of a list that may come in several pages.
    fn pages(&self, first: String) -> Result<Vec<Value>, Error> {
        const MOST: usize = 1000;
        let (mut url, mut entries) = (Some(first), Vec::new());
        for _ in 0..MOST {
            let Some(here) = url else {
                return Ok(entries);
            };
            let (page, next) = self.client.json(&here)?;
            let Value::Array(page) = page else {
                return Err(Error::Remote(format!("a response is not a list: {here}")));
            };
            entries.extend(page);
            url = next;
        }
        Err(Error::Remote(format!("a list has more than {MOST} pages")))
    }
}

/// A file that one process locks while it downloads.
struct Lock {
    path: PathBuf,
    _file: fs::File,
}

impl Lock {
    fn take(path: &Path) -> Result<Self, Error> {
        let file = fs::File::create(path).map_err(|error| Error::Io(error).at(path))?;
        file.try_lock().map_err(|_| Error::Locked.at(path))?;
        Ok(Self {
            path: path.to_path_buf(),
            _file: file,
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A process that opened it meanwhile finds the dataset complete.
        let _ = fs::remove_file(&self.path);
    }
}

fn create(directory: &Path) -> Result<(), Error> {
    fs::create_dir_all(directory).map_err(|error| Error::Io(error).at(directory))
}

#[cfg(test)]
mod tests;
