//! Files over HTTP: resumed where they stopped, checked, and named only when they are whole.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::dataset::hexadecimal;

/// The longest response that is not a file.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// The largest file: several times the largest of all datasets.
const MAX_FILE_BYTES: u64 = 256 << 30;

/// How often one call resumes a broken connection.
const ATTEMPTS: u32 = 5;

/// Called with the number of bytes of a file that have arrived, and the total, if that is known.
pub type Progress<'a> = &'a mut dyn FnMut(&str, u64, Option<u64>);

/// What is known of a file before it is downloaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) bytes: Option<u64>,
    /// 64 hexadecimal digits.
    pub(super) sha256: Option<String>,
}

/// What a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// Only https, redirections included.
    Https,
    /// Anything, for servers in tests.
    #[cfg(test)]
    Any,
}

pub(super) struct Client {
    agent: ureq::Agent,
    /// Before the second attempt; doubled with each.
    pause: Duration,
}

/// Why an attempt ended early.
enum Failure {
    /// Another attempt may help.
    Broken(String),
    /// Another attempt will not help.
    Final(Error),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Final(error.into())
    }
}

impl Client {
    pub(super) fn new(pause: Duration, transport: Transport) -> Self {
        let patience = Some(Duration::from_secs(30));
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .https_only(transport == Transport::Https)
            .timeout_connect(patience)
            .timeout_recv_response(patience)
            .user_agent(concat!("rtg/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.into(),
            pause,
        }
    }

    /// Reads a JSON document, and where its continuation is.
    pub(super) fn json(&self, url: &str) -> Result<(Value, Option<String>), Error> {
        self.repeatedly(url, || {
            let mut response = self.get(url, &[])?;
            let status = response.status().as_u16();
            if status != 200 {
                return Err(refused(status));
            }
            let next = header(&response, "link").as_deref().and_then(next_page);
            let text = response
                .body_mut()
                .with_config()
                .limit(MAX_ANSWER_BYTES)
                .read_to_string()
                .map_err(|error| broken(&error))?;
            let value = serde_json::from_str(&text).map_err(|error| {
                Failure::Final(Error::Remote(format!("a response is not JSON ({error})")))
            })?;
            Ok((value, next))
        })
    }

    /// Downloads a file to `target`, which must not exist, or resumes a partial download of it.
    pub(super) fn file(
        &self,
        url: &str,
        target: &Path,
        expected: &Expected,
        progress: Progress<'_>,
    ) -> Result<(), Error> {
        let part = beside(target, ".part");
        let tag = beside(target, ".part.tag");
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        self.repeatedly(url, || {
            self.attempt(url, (&part, &tag), expected, &mut |done, all| {
                progress(&name, done, all);
            })
        })?;
        // Everything has arrived: nothing is left to resume.
        let _ = fs::remove_file(&tag);
        let complete = || {
            if let Some(expected) = &expected.sha256 {
                let found = checksum(&part)?;
                if found != *expected {
                    fs::remove_file(&part)?;
                    return Err(Error::Remote(format!(
                        "the file's SHA-256 is {found}, expected {expected}"
                    )));
                }
            }
            Ok(fs::rename(&part, target)?)
        };
        complete().map_err(|error| locate(error, url))
    }

    /// Requests the missing bytes of a file and appends them.
    fn attempt(
        &self,
        url: &str,
        (part, tag): (&Path, &Path),
        expected: &Expected,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), Failure> {
        let mut have = fs::metadata(part).map_or(0, |metadata| metadata.len());
        // Without a tag or a checksum a change of the file meanwhile could not be detected.
        let known = fs::read_to_string(tag).ok();
        if known.is_none() && expected.sha256.is_none() {
            have = 0;
        }
        if have > 0 && Some(have) == expected.bytes {
            return Ok(());
        }
        let mut headers = Vec::new();
        if have > 0 {
            headers.push(("range", format!("bytes={have}-")));
            headers.extend(known.map(|known| ("if-range", known)));
        }
        let response = self.get(url, &headers)?;
        let length: Option<u64> = header(&response, "content-length").and_then(|n| n.parse().ok());
        let total = match response.status().as_u16() {
            200 => {
                have = 0;
                length
            }
            206 => {
                let range = header(&response, "content-range").unwrap_or_default();
                let (from, total) = content_range(&range);
                if from != Some(have) {
                    let text = format!("requested the bytes from {have} on, got '{range}'");
                    return Err(Failure::Final(Error::Remote(text)));
                }
                total
            }
            // There are no bytes from there on: the partial file is of another version.
            416 => {
                fs::remove_file(part)?;
                return Err(Failure::Broken("the file has changed".into()));
            }
            status => return Err(refused(status)),
        };
        if let (Some(expected), Some(total)) = (expected.bytes, total)
            && expected != total
        {
            let text = format!("the file has {total} bytes, expected {expected}");
            return Err(Failure::Final(Error::Remote(text)));
        }
        let most = expected.bytes.or(total).unwrap_or(MAX_FILE_BYTES);
        if most > MAX_FILE_BYTES {
            let text = format!("the file has {most} bytes, the limit is {MAX_FILE_BYTES}");
            return Err(Failure::Final(Error::Remote(text)));
        }
        // A weak tag does not promise the same bytes.
        let own_tag = header(&response, "etag").filter(|tag| !tag.starts_with("W/"));
        match own_tag.or_else(|| header(&response, "last-modified")) {
            Some(own_tag) => fs::write(tag, own_tag)?,
            None => drop(fs::remove_file(tag)),
        }
        let mut file = File::options()
            .create(true)
            .write(true)
            .truncate(have == 0)
            .append(false)
            .open(part)?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(have))?;
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) => {
                    file.sync_all()?;
                    return Err(Failure::Broken(error.to_string()));
                }
            };
            have += read as u64;
            if have > most {
                let text = format!("the server sends more than the {most} bytes it announced");
                drop(fs::remove_file(part));
                return Err(Failure::Final(Error::Remote(text)));
            }
            file.write_all(&buffer[..read])?;
            progress(have, total);
        }
        file.sync_all()?;
        match total.or(expected.bytes) {
            Some(total) if total != have => Err(Failure::Broken(format!(
                "the connection ended after {have} of {total} bytes"
            ))),
            _ => Ok(()),
        }
    }

    fn get(
        &self,
        url: &str,
        headers: &[(&str, String)],
    ) -> Result<ureq::http::Response<ureq::Body>, Failure> {
        let mut request = self.agent.get(url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.call().map_err(|error| broken(&error))
    }

    /// Tries again after a broken connection, a few times and with growing pauses.
    fn repeatedly<T>(
        &self,
        url: &str,
        mut attempt: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let mut pause = self.pause;
        for left in (0..ATTEMPTS).rev() {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(locate(error, url)),
                Err(Failure::Broken(reason)) if left == 0 => {
                    return Err(locate(Error::Remote(reason), url));
                }
                Err(Failure::Broken(_)) => std::thread::sleep(pause),
            }
            pause *= 2;
        }
        Err(locate(Error::Remote("no attempt was made".into()), url))
    }
}

/// Errors of a download name the address; those of the disk have their own path.
fn locate(error: Error, url: &str) -> Error {
    match error {
        Error::Remote(reason) => Error::Remote(format!("{reason}: {url}")),
        error => error,
    }
}

fn broken(error: &ureq::Error) -> Failure {
    if matches!(error, ureq::Error::RequireHttpsOnly(_)) {
        let text = "the server redirects to an address without https".into();
        return Failure::Final(Error::Remote(text));
    }
    Failure::Broken(error.to_string())
}

/// A server that is overloaded may respond later.
fn refused(status: u16) -> Failure {
    let text = format!("the server responds with {status}");
    match status {
        429 | 500.. => Failure::Broken(text),
        _ => Failure::Final(Error::Remote(text)),
    }
}

fn header(response: &ureq::http::Response<ureq::Body>, name: &str) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

/// The first byte and the file's size in `bytes 5-9/10`.
fn content_range(text: &str) -> (Option<u64>, Option<u64>) {
    let rest = text.strip_prefix("bytes ").unwrap_or_default();
    let (range, total) = rest.split_once('/').unwrap_or_default();
    let from = range
        .split_once('-')
        .and_then(|(from, _)| from.parse().ok());
    (from, total.parse().ok())
}

/// The address in `<address>; rel="next"`.
fn next_page(link: &str) -> Option<String> {
    let entry = link
        .split(',')
        .find(|entry| entry.contains("rel=\"next\""))?;
    let (_, rest) = entry.split_once('<')?;
    Some(rest.split_once('>')?.0.to_owned())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

fn checksum(path: &Path) -> Result<String, Error> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hexadecimal(&hash.finalize()));
        }
        hash.update(&buffer[..read]);
    }
}
