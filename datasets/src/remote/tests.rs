use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

use super::*;

/// The response of a server at an address.
#[derive(Clone, Default)]
struct Page {
    body: Vec<u8>,
    headers: Vec<(&'static str, String)>,
    /// The connection breaks after this many bytes of the body, for the first few requests.
    breaks: Vec<usize>,
    /// Whether it understands ranges.
    ranges: bool,
}

/// A server on the loopback interface, and its requests: addresses with their ranges.
struct Server {
    address: String,
    pages: Arc<Mutex<HashMap<String, Page>>>,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let pages: Arc<Mutex<HashMap<String, Page>>> = Arc::default();
        let asked: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (own_pages, own_asked) = (Arc::clone(&pages), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                // A client that disconnects in the middle is not a failure of the server.
                let _ = answer(stream, &own_pages, &own_asked);
            }
        });
        Self {
            address,
            pages,
            asked,
        }
    }

    fn put(&self, path: &str, page: Page) {
        self.pages.lock().unwrap().insert(path.into(), page);
    }

    fn asked(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn remote(&self, root: &Path) -> Remote {
        let mut remote = Remote::default()
            .at(&self.address, &self.address)
            .into(&root.join("minari"), &root.join("d4rl"));
        remote.client = Client::new(Duration::from_millis(1), Transport::Any);
        remote
    }
}

fn answer(
    stream: TcpStream,
    pages: &Mutex<HashMap<String, Page>>,
    asked: &Mutex<Vec<(String, String)>>,
) -> std::io::Result<()> {
    let (mut path, mut headers) = (String::new(), HashMap::new());
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            headers.insert(name.to_lowercase(), value.to_owned());
        } else if let Some(asked_for) = line.split(' ').nth(1) {
            path = asked_for.to_owned();
        }
    }
    let range = headers.get("range").cloned().unwrap_or_default();
    asked.lock().unwrap().push((path.clone(), range.clone()));
    let mut stream = stream;
    let mut pages = pages.lock().unwrap();
    let Some(page) = pages.get_mut(&path) else {
        return stream.write_all(
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        );
    };
    let tag = page.headers.iter().find(|(name, _)| *name == "etag");
    let changed = headers
        .get("if-range")
        .is_some_and(|known| Some(known) != tag.map(|(_, tag)| tag));
    let from: Option<usize> = range
        .strip_prefix("bytes=")
        .and_then(|range| range.strip_suffix('-'))
        .and_then(|from| from.parse().ok())
        .filter(|_| page.ranges && !changed);
    let body = &page.body[from.unwrap_or(0).min(page.body.len())..];
    let mut head = match from {
        Some(from) if from >= page.body.len() => {
            "HTTP/1.1 416 Range Not Satisfiable\r\n".to_owned()
        }
        Some(from) => format!(
            "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {from}-{}/{}\r\n",
            page.body.len() - 1,
            page.body.len()
        ),
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    let length = ("content-length", body.len().to_string());
    let close = ("connection", "close".to_owned());
    for (name, value) in [length, close].iter().chain(&page.headers) {
        head += name;
        head += ": ";
        head += value;
        head += "\r\n";
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    let sent = if page.breaks.is_empty() {
        body.len()
    } else {
        page.breaks.remove(0).min(body.len())
    };
    stream.write_all(&body[..sent])
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 31 % 251) as u8).collect()
}

fn tagged(body: Vec<u8>, tag: &str) -> Page {
    Page {
        body,
        headers: vec![("etag", format!("\"{tag}\""))],
        ranges: true,
        ..Page::default()
    }
}

const HOPPER: &str = "/gym_mujoco_v2/hopper_medium_replay-v2.hdf5";

fn download(remote: &Remote, id: &str) -> Result<PathBuf, Error> {
    remote.download(id, &mut |_, _, _| {})
}

/// All names below a directory, without the directories.
fn names(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.extend(
                names(&entry.path())
                    .iter()
                    .map(|inner| format!("{name}/{inner}")),
            );
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}

#[test]
fn a_d4rl_file_is_downloaded_under_its_datasets_name_and_only_once() {
    let (server, root) = (Server::start(), tempfile::tempdir().unwrap());
    server.put(HOPPER, tagged(bytes(300_000), "a"));
    let remote = server.remote(root.path());
    let mut heard = Vec::new();
    let path = remote
        .download("hopper-medium-replay-v2", &mut |name, done, all| {
            heard.push((name.to_owned(), done, all));
        })
        .unwrap();
    assert!(path.ends_with("d4rl/hopper-medium-replay-v2.hdf5"));
    assert_eq!(fs::read(&path).unwrap(), bytes(300_000));
    let end = (
        "hopper-medium-replay-v2.hdf5".to_owned(),
        300_000,
        Some(300_000),
    );
    assert_eq!(heard.last(), Some(&end));
    assert_eq!(names(root.path()), ["d4rl/hopper-medium-replay-v2.hdf5"]);
    server.asked();
    download(&remote, "hopper-medium-replay-v2").unwrap();
    assert_eq!(server.asked(), []);
}

#[test]
fn a_broken_download_resumes_where_it_broke() {
    let (server, root) = (Server::start(), tempfile::tempdir().unwrap());
    let page = Page {
        breaks: vec![1000, 70_000],
        ..tagged(bytes(200_000), "a")
    };
    server.put(HOPPER, page);
    let path = download(&server.remote(root.path()), "hopper-medium-replay-v2").unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes(200_000));
    let ranges: Vec<String> = server.asked().into_iter().map(|(_, range)| range).collect();
    assert_eq!(ranges, ["", "bytes=1000-", "bytes=71000-"]);
}

#[test]
fn a_failed_call_leaves_a_part_that_the_next_one_resumes() {
    let (server, root) = (Server::start(), tempfile::tempdir().unwrap());
    let page = Page {
        breaks: vec![10_000, 0, 0, 0, 0],
        ..tagged(bytes(90_000), "a")
    };
    server.put(HOPPER, page);
    let remote = server.remote(root.path());
    let error = download(&remote, "hopper-medium-replay-v2").unwrap_err();
    assert!(error.to_string().contains(HOPPER), "{error}");
    assert!(error.hint().unwrap().contains("resumes where it stopped"));
    // Nothing has the dataset's name yet.
    let left = [
        "d4rl/hopper-medium-replay-v2.hdf5.part",
        "d4rl/hopper-medium-replay-v2.hdf5.part.tag",
    ];
    assert_eq!(names(root.path()), left);
    server.asked();
    let path = download(&remote, "hopper-medium-replay-v2").unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes(90_000));
    assert_eq!(
        server.asked(),
        [(HOPPER.to_owned(), "bytes=10000-".to_owned())]
    );
}

#[test]
fn a_file_that_changed_meanwhile_or_a_server_without_ranges_starts_over() {
    for changed in [true, false] {
        let (server, root) = (Server::start(), tempfile::tempdir().unwrap());
        let cut = Page {
            breaks: vec![10_000, 0, 0, 0, 0],
            ..tagged(bytes(20_000), "a")
        };
        server.put(HOPPER, cut);
        let remote = server.remote(root.path());
        download(&remote, "hopper-medium-replay-v2").unwrap_err();
        let mut page = tagged(vec![7; 15_000], if changed { "b" } else { "a" });
        page.ranges = changed;
        server.put(HOPPER, page);
        let path = download(&remote, "hopper-medium-replay-v2").unwrap();
        assert_eq!(fs::read(path).unwrap(), vec![7; 15_000], "{changed}");
    }
}

#[test]
fn a_missing_dataset_is_reported_at_once() {
    let (server, root) = (Server::start(), tempfile::tempdir().unwrap());
    let remote = server.remote(root.path());
    let error = download(&remote, "hopper-medium-replay-v2").unwrap_err();
    assert!(
        error.to_string().contains("the server responds with 404"),
        "{error}"
    );
    assert_eq!(server.asked().len(), 1, "no second attempt");
    for id in [
        "hopper",
        "../../etc/passwd",
        "mujoco/../x-v0",
        "a//b-v0",
        "/a/b-v0",
    ] {
        let error = download(&remote, id).unwrap_err();
        assert!(
            error.to_string().contains("is neither the name"),
            "{id}: {error}"
        );
    }
    assert_eq!(server.asked(), []);
}

/// A hub with one repository of one dataset; `sha256` of its large file.
fn hub(server: &Server, sha256: &str) {
    let api = "/api/datasets?author=farama-minari&limit=1000";
    let repositories = r#"[{"id": "farama-minari/mujoco"}, {"id": "someone/else"}]"#;
    let page = |text: String| Page {
        body: text.into_bytes(),
        ..Page::default()
    };
    server.put(api, page(repositories.into()));
    let tree = "/api/datasets/farama-minari/mujoco/tree/main?recursive=true";
    let mut first = page(
        r#"[{"type": "directory", "path": "hopper"},
            {"type": "file", "path": "namespace_metadata.json", "size": 2},
            {"type": "file", "path": "hopper/medium-v0/data/metadata.json", "size": 21}]"#
            .into(),
    );
    let next = format!("<{}{tree}&cursor=x>; rel=\"next\"", server.address);
    first.headers.push(("link", next));
    server.put(tree, first);
    let entry = format!(
        r#"[{{"type": "file", "path": "hopper/medium-v0/data/main_data.hdf5", "size": 50000, "lfs": {{"oid": "{sha256}"}}}}]"#
    );
    server.put(&format!("{tree}&cursor=x"), page(entry));
    let files = "/datasets/farama-minari/mujoco/resolve/main/hopper/medium-v0/data";
    server.put(
        &format!("{files}/metadata.json"),
        page("{\"total_episodes\": 0}".into()),
    );
    server.put(
        &format!("{files}/main_data.hdf5"),
        tagged(bytes(50_000), "a"),
    );
}

#[test]
fn a_minari_set_is_listed_and_downloaded_as_minari_has_it() {
    let (server, root) = (Server::start(), tempfile::tempdir().unwrap());
    hub(
        &server,
        &crate::dataset::hexadecimal(&Sha256::digest(bytes(50_000))),
    );
    let remote = server.remote(root.path());
    let listed = RemoteDataset {
        id: "mujoco/hopper/medium-v0".into(),
        host: Host::Farama,
        bytes: Some(50_021),
    };
    assert_eq!(remote.list_farama().unwrap(), [listed]);
    let path = download(&remote, "mujoco/hopper/medium-v0").unwrap();
    assert!(path.ends_with("minari/mujoco/hopper/medium-v0"));
    assert_eq!(
        fs::read(path.join("data/main_data.hdf5")).unwrap(),
        bytes(50_000)
    );
    assert_eq!(
        names(&root.path().join("minari")),
        [
            "mujoco/hopper/medium-v0/data/main_data.hdf5",
            "mujoco/hopper/medium-v0/data/metadata.json",
            "mujoco/hopper/namespace_metadata.json",
            "mujoco/namespace_metadata.json",
        ]
    );
    let error = download(&remote, "mujoco/hopper/expert-v0").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has no dataset mujoco/hopper/expert-v0")
    );
}

#[test]
fn a_wrong_checksum_is_refused_and_the_file_deleted() {
    let (server, root) = (Server::start(), tempfile::tempdir().unwrap());
    hub(&server, &"0".repeat(64));
    let remote = server.remote(root.path());
    let error = download(&remote, "mujoco/hopper/medium-v0").unwrap_err();
    assert!(
        error.to_string().contains("the file's SHA-256 is"),
        "{error}"
    );
    assert!(!root.path().join("minari/mujoco/hopper/medium-v0").exists());
    let kept = names(root.path());
    assert!(
        !kept.iter().any(|name| name.contains("main_data")),
        "{kept:?}"
    );
    // The other file is kept, and only the bad one is requested again.
    hub(
        &server,
        &crate::dataset::hexadecimal(&Sha256::digest(bytes(50_000))),
    );
    server.asked();
    download(&remote, "mujoco/hopper/medium-v0").unwrap();
    let files: Vec<_> = server
        .asked()
        .into_iter()
        .filter(|(path, _)| path.contains("/resolve/"))
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

#[test]
fn the_table_of_d4rl_has_every_name_once() {
    let listed = Remote::default().list_d4rl();
    let mut names: Vec<_> = listed.iter().map(|listed| listed.id.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), listed.len()), (77, 77));
    assert!(names.contains(&"walker2d-full-replay-v2") && names.contains(&"pen-human-v1"));
}

#[test]
fn nothing_is_requested_without_encryption() {
    let (server, root) = (Server::start(), tempfile::tempdir().unwrap());
    server.put(HOPPER, tagged(bytes(10), "a"));
    let mut remote = server.remote(root.path());
    remote.client = Client::new(Duration::from_millis(1), Transport::Https);
    let error = download(&remote, "hopper-medium-replay-v2").unwrap_err();
    assert!(error.to_string().contains("https"), "{error}");
    assert_eq!(server.asked(), []);
    assert!(Remote::default().d4rl.starts_with("https://"));
}

#[test]
fn two_processes_do_not_download_the_same() {
    let (server, root) = (Server::start(), tempfile::tempdir().unwrap());
    server.put(HOPPER, tagged(bytes(10), "a"));
    let remote = server.remote(root.path());
    fs::create_dir_all(root.path().join("d4rl")).unwrap();
    let lock = root.path().join("d4rl/.hopper-medium-replay-v2.lock");
    let other = Lock::take(&lock).unwrap();
    let error = download(&remote, "hopper-medium-replay-v2").unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    drop(other);
    download(&remote, "hopper-medium-replay-v2").unwrap();
    assert_eq!(names(root.path()), ["d4rl/hopper-medium-replay-v2.hdf5"]);
}

#[test]
fn more_than_any_dataset_has_is_not_downloaded() {
    let (server, root) = (Server::start(), tempfile::tempdir().unwrap());
    let length = (1_u64 << 50).to_string();
    let page = Page {
        headers: vec![("content-range", format!("bytes 0-1/{length}"))],
        ..Page::default()
    };
    server.put(HOPPER, page);
    let expected = Expected {
        bytes: Some(1 << 50),
        ..Expected::default()
    };
    let url = format!("{}{HOPPER}", server.address);
    let target = root.path().join("file");
    let client = &server.remote(root.path()).client;
    assert!(
        client
            .file(&url, &target, &expected, &mut |_, _, _| {})
            .is_err()
    );
    assert!(!target.exists());
}

#[test]
fn ids_stay_inside_the_folder_of_datasets() {
    let (server, root) = (Server::start(), tempfile::tempdir().unwrap());
    for id in [
        "../up/x-v0",
        "/etc/x-v0",
        "a/../../x-v0",
        "a\\b/x-v0",
        "a/b:c-v0",
        "a/\x1b[2J-v0",
    ] {
        let error = download(&server.remote(root.path()), id).unwrap_err();
        assert!(error.to_string().contains("neither"), "{error}");
    }
    assert_eq!(server.asked(), []);
    assert!(names(root.path()).is_empty());
}
