//! Small files that claim or do too much: each ends in an error with a hint, and in little memory.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot make its files has failed"
)]

mod made;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use made::{Minari, unbounded};
use rtg_datasets::store::{StoreMode, open_as};
use rtg_datasets::{Budget, Defects, Error, open_within};
use rtg_envs::Space;
use serde_json::{Value, json};

/// The most memory that reading any of these files may use: the budget's floor and a margin.
const MOST_BYTES: usize = 320 << 20;

/// The system's allocator, with a count of allocated bytes.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "only an allocator can count what is allocated")]
// SAFETY: every call is passed on to the system's allocator unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Serialises the tests, so that each measures its own peak.
static TURN: Mutex<()> = Mutex::new(());

/// The error of reading it; it has a hint, and little memory was used.
fn refused(path: &Path) -> String {
    refused_within(path, &Budget::default(), MOST_BYTES)
}

/// The same with a budget, and less than `most` bytes used.
fn refused_within(path: &Path, budget: &Budget, most: usize) -> String {
    let (result, taken) = opened(path, budget);
    let error = result.unwrap_err();
    assert!(taken < most, "{taken} bytes: {error}");
    assert!(error.hint().is_some(), "{error}");
    error.to_string()
}

/// Opens a dataset, and measures the most memory that this used at once.
fn opened(path: &Path, budget: &Budget) -> (Result<(), Error>, usize) {
    let _turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    PEAK.store(HELD.load(Ordering::Relaxed), Ordering::Relaxed);
    let before = PEAK.load(Ordering::Relaxed);
    let text = path.to_str().unwrap();
    let result = open_within(text, None, Defects::Keep, budget).map(drop);
    (result, PEAK.load(Ordering::Relaxed) - before)
}

fn box_of(width: usize) -> Value {
    json!({"type": "Box", "dtype": "float32", "shape": [width], "low": 0, "high": 1})
}

fn set() -> Minari {
    Minari::new(&unbounded(4), &Space::Discrete { n: 2, start: 0 })
}

#[test]
fn spaces_of_many_wide_parts() {
    let folder = tempfile::tempdir().unwrap();
    let part = |kind: &dyn Fn(usize) -> Value| -> String {
        let parts: serde_json::Map<String, Value> =
            (0..400).map(|i| (i.to_string(), kind(i))).collect();
        json!({"type": "Dict", "subspaces": parts}).to_string()
    };
    let text = json!({"type": "Text", "max_length": 1 << 20, "charset": "ab"});
    for (name, space) in [
        ("box", part(&|_| box_of(1 << 20))),
        (
            "choice",
            part(&|_| json!({"type": "Discrete", "n": 1 << 20})),
        ),
        (
            "choices",
            part(&|_| json!({"type": "MultiDiscrete", "nvec": [1 << 20]})),
        ),
        (
            "bits",
            part(&|_| json!({"type": "MultiBinary", "n": 1 << 20})),
        ),
        ("text", part(&|_| text.clone())),
    ] {
        let mut set = set();
        set.observation_space = space;
        let path = set.create(folder.path(), name, 1, 5, |file| set_episode(file, 5));
        assert!(refused(&path).contains("would take"), "{name}");
    }
}

fn set_episode(file: &rust_hdf5::H5File, steps: usize) {
    set().episode(file, 0, steps);
}

#[test]
fn rows_of_a_million_choices() {
    let folder = tempfile::tempdir().unwrap();
    let mut set = set();
    set.observation_space = json!({"type": "MultiDiscrete", "nvec": [1_000_000]}).to_string();
    let path = set.create(folder.path(), "onehot-v0", 1, 20_000, |file| {
        let group = file.root_group().create_group("episode_0").unwrap();
        let rows = group
            .new_dataset::<u8>()
            .shape([20_001, 1])
            .chunk(&[20_001, 1])
            .deflate(9);
        let rows = rows.create("observations").unwrap();
        rows.write_chunk(0, &vec![0; 20_001]).unwrap();
        Minari::rest(&group, 20_000);
    });
    assert!(refused(&path).contains("would take"));
}

#[test]
fn images_of_a_few_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut set = set();
    set.observation_space =
        json!({"type": "Box", "dtype": "uint8", "shape": [1024, 1024], "low": 0, "high": 255})
            .to_string();
    let path = set.create(folder.path(), "pixels-v0", 1, 2999, |file| {
        let group = file.root_group().create_group("episode_0").unwrap();
        let rows = group
            .new_dataset::<u8>()
            .shape([3000, 700])
            .chunk(&[3000, 700])
            .deflate(9);
        let rows = rows.create("observations").unwrap();
        rows.write_chunk(0, &vec![0xff; 3000 * 700]).unwrap();
        Minari::rest(&group, 2999);
    });
    assert!(refused(&path).contains("would take"));
}

#[test]
fn images_of_one_byte() {
    const ROWS: usize = 16 << 20;
    let folder = tempfile::tempdir().unwrap();
    let mut set = set();
    set.observation_space =
        json!({"type": "Box", "dtype": "uint8", "shape": [32, 32], "low": 0, "high": 255})
            .to_string();
    let path = set.create(folder.path(), "points-v0", 1, 5, |file| {
        let group = file.root_group().create_group("episode_0").unwrap();
        let rows = group.new_dataset::<u8>().shape([ROWS, 1]);
        let rows = rows.chunk(&[1 << 16, 1]).create("observations");
        rows.unwrap();
        Minari::rest(&group, 5);
    });
    let error = refused(&path);
    assert!(error.contains("would take"), "{error}");
}

/// Empty items cost a container each, of which the file says nothing.
#[test]
fn millions_of_empty_images() {
    /// Where the fixture says that `/episode_0/observations` has four rows.
    const ROWS: std::ops::Range<usize> = 2208..2216;
    let folder = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/spaces/picture/hdf5-v0");
    let path = folder.path().join("empty-v0");
    std::fs::create_dir_all(path.join("data")).unwrap();
    for name in ["data/metadata.json", "data/main_data.hdf5"] {
        let mut bytes = std::fs::read(fixture.join(name)).unwrap();
        if name.ends_with("hdf5") {
            assert_eq!(bytes[ROWS], 4_u64.to_le_bytes());
            bytes[ROWS].copy_from_slice(&(5_u64 << 20).to_le_bytes());
        }
        std::fs::write(path.join(name), bytes).unwrap();
    }
    // The other episode is sound.
    let (result, taken) = opened(&path, &Budget::default());
    result.unwrap();
    assert!(taken < MOST_BYTES, "{taken} bytes");
}

#[test]
fn arrays_that_were_never_written() {
    let folder = tempfile::tempdir().unwrap();
    for chunk in [1, 1 << 20] {
        let path = folder.path().join(format!("sparse{chunk}.hdf5"));
        let file = rust_hdf5::H5File::create(&path).unwrap();
        for name in ["observations", "actions", "rewards"] {
            let made = file.new_dataset::<f64>().shape([1 << 40]).chunk(&[chunk]);
            made.max_shape(&[None]).create(name).unwrap();
        }
        file.close().unwrap();
        assert!(refused(&path).contains("would take"));
    }
}

#[test]
fn groups_that_lead_to_the_same_one_by_many_paths() {
    let folder = tempfile::tempdir().unwrap();
    let mut set = set();
    set.observation_space = json!({"type": "Dict", "subspaces": {"a": box_of(1)}}).to_string();
    let path = set.create(folder.path(), "lattice-v0", 1, 5, |file| {
        let root = file.root_group();
        for level in 0..29 {
            root.create_group(&format!("g{level}")).unwrap();
        }
        for level in 0..28 {
            let group = root.group(&format!("g{level}")).unwrap();
            for way in ["a", "b"] {
                group.link(way, &format!("/g{}", level + 1)).unwrap();
            }
        }
        let episode = root.create_group("episode_0").unwrap();
        episode.link("observations", "/g0").unwrap();
        Minari::rest(&episode, 5);
    });
    assert!(refused(&path).contains("too many parts"));
}

#[test]
fn pickles_that_copy_one_text_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copies.pkl");
    let (length, calls) = (1 << 20, 50_000);
    let mut bytes = b"\x80\x02cbuiltins\nbytes\nq\x00B".to_vec();
    bytes.extend((length as u32).to_le_bytes());
    bytes.extend(vec![b'A'; length]);
    bytes.extend(b"\x85q\x0100]q\x02");
    bytes.extend(b"h\x00h\x01R0".repeat(calls));
    bytes.push(b'.');
    std::fs::write(&path, &bytes).unwrap();
    refused(&path);
}

#[test]
fn arrays_of_thousands_of_axes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("axes.npz");
    let file = std::fs::File::create(&path).unwrap();
    let mut archive = zip::ZipWriter::new(file);
    let header = format!(
        "{{'descr': '<f4', 'fortran_order': True, 'shape': (100, 4,{}), }}",
        "1,".repeat(30_000)
    );
    let options = zip::write::SimpleFileOptions::default();
    archive.start_file("observations.npy", options).unwrap();
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend([0; 1600]);
    archive.write_all(&bytes).unwrap();
    archive.finish().unwrap();
    assert!(refused(&path).contains("axes"));
}

#[test]
fn tables_of_millions_of_rows() {
    use arrow_array::{ArrayRef, Float64Array, RecordBatch};
    let folder = tempfile::tempdir().unwrap();
    let mut set = set();
    set.others.insert("data_format".into(), "parquet".into());
    let path = set.create(folder.path(), "rows-v0", 1, 5, |_| {});
    let directory = path.join("data/0");
    std::fs::create_dir_all(&directory).unwrap();
    let zeros: ArrayRef = std::sync::Arc::new(Float64Array::from(vec![0.0; 1_000_000]));
    let names = [
        "observations",
        "actions",
        "rewards",
        "terminations",
        "truncations",
    ];
    let batch = RecordBatch::try_from_iter(names.map(|name| (name, zeros.clone()))).unwrap();
    let file = std::fs::File::create(directory.join("part-0.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    // Five million numbers: the error comes before the first is read.
    let text = refused_within(&path, &Budget::of(32 << 20), 8 << 20);
    assert!(
        text.contains("would take") && text.contains("free"),
        "{text}"
    );
}

#[test]
fn tables_of_many_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wide.csv");
    let names: Vec<String> = (0..60_000).map(|i| format!("c{i}")).collect();
    std::fs::write(
        &path,
        format!("{}\n{}1\n", names.join(","), "0,".repeat(59_999)),
    )
    .unwrap();
    assert!(refused(&path).contains("observation"));
    let names: Vec<String> = (0..70_000).map(|i| format!("c{i}")).collect();
    std::fs::write(&path, names.join(",")).unwrap();
    assert!(refused(&path).contains("too many parts"));
}

#[cfg(unix)]
#[test]
fn folders_with_cyclic_links() {
    let folder = tempfile::tempdir().unwrap();
    let set = set();
    let path = set.create(folder.path(), "self-v0", 1, 5, |file| {
        set.episode(file, 0, 5);
    });
    std::os::unix::fs::symlink(".", path.join("again")).unwrap();
    std::os::unix::fs::symlink("..", path.join("data/up")).unwrap();
    let data = open_as(
        path.to_str().unwrap(),
        None,
        Defects::Refuse,
        StoreMode::Auto,
    )
    .unwrap();
    assert_eq!(data.steps(), 5);
    std::os::unix::fs::symlink("round", folder.path().join("round")).unwrap();
    refused(&folder.path().join("round"));
}

#[cfg(unix)]
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn pipes_and_devices_are_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("main_data.hdf5");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: there is no mkfifo");
        return;
    }
    assert!(refused(&pipe).contains("a pipe, not a file"));
    // The same behind a directory, as data and as metadata.
    assert!(refused(folder.path()).contains("a pipe, not a file"));
    for inner in ["metadata.json", "main_data.hdf5"] {
        let set = set();
        let path = set.create(folder.path(), "set-v0", 1, 5, |file| {
            set.episode(file, 0, 5);
        });
        let file = path.join("data").join(inner);
        std::fs::remove_file(&file).unwrap();
        std::fs::rename(&pipe, &file).unwrap();
        assert!(refused(&path).contains("a pipe"), "{inner}");
        let error = open_as(path.to_str().unwrap(), None, Defects::Keep, StoreMode::Auto);
        assert!(error.is_err(), "{inner}");
        std::fs::rename(&file, &pipe).unwrap();
    }
    assert!(refused(Path::new("/dev/zero")).contains("a device"));
    assert!(matches!(
        rtg_datasets::Journal::open_to_resume(&pipe),
        Err(Error::At { .. })
    ));
}
