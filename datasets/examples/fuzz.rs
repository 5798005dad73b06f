//! Feeds damaged files to every reader.
//!
//! ```text
//! cargo run --release -p rtg-datasets --example fuzz -- SECONDS SEED KEEP [READER...]
//! ```
//!
//! Each reader gets mutants of the fixtures for `SECONDS` of the processor's time: bits flipped,
//! bytes overwritten, numbers set to extremes, parts cut out, doubled or exchanged, ends cut off.
//! Whatever a reader returns, it may not panic, may not compute longer than `MAX_SECS`, and may not
//! use more memory at once than its budget allows for so small a file, `MAX_BYTES`. A mutant that
//! breaks one of these rules is written to the directory `KEEP`; the exit status is 0 only if none
//! does. A memory limit (`ulimit -v 1000000`) may be set, too.
//!
//! The mutants follow from `SEED` alone, so a finding can be reproduced.

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rtg_datasets::journal::{Journal, JournalSource};
use rtg_datasets::{Contents, Defects, Source, open_source, open_with};

/// No mutant of a fixture takes a tenth of this.
const MAX_SECS: f64 = 2.0;
/// Memory that a reader may use at once: the budget's floor, what a fixture may become, and the
/// buffers of libraries.
const MAX_BYTES: usize = 600 << 20;

/// The system's allocator, with a count of allocated bytes.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn count(size: usize) {
    let held = HELD.fetch_add(size, Ordering::Relaxed) + size;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "only an allocator can count what is allocated")]
// SAFETY: every call is passed on to the system's allocator unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
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

/// The files that a reader is tried on, from the fixtures' folder. Of a dataset in a directory one
/// file is damaged, the others are intact.
const READERS: [(&str, &[&str]); 13] = [
    (
        "minari-hdf5",
        &[
            "minari/tiny/cartpole-v0/data/main_data.hdf5",
            "spaces/nested/hdf5-v0/data/main_data.hdf5",
            "old/cartpole-old-v0/data/main_data.hdf5",
        ],
    ),
    (
        "minari-arrow",
        &[
            "spaces/nested/arrow-v0/data/0/part-0.arrow",
            "spaces/picture/arrow-v0/data/0/part-0.arrow",
        ],
    ),
    (
        "minari-parquet",
        &[
            "spaces/nested/parquet-v0/data/0/part-0.parquet",
            "spaces/picture/parquet-v0/data/0/part-0.parquet",
        ],
    ),
    (
        "minari-metadata",
        &[
            "spaces/nested/hdf5-v0/data/metadata.json",
            "spaces/nested/arrow-v0/data/0/metadata.json",
            "minari/tiny/cartpole-v0/data/metadata.json",
        ],
    ),
    (
        "d4rl",
        &[
            "d4rl/hopper_marked-v2.hdf5",
            "d4rl/pen-plain-v0.hdf5",
            "d4rl/choices.hdf5",
        ],
    ),
    (
        "d3rlpy",
        &["d3rlpy/first.h5", "d3rlpy/second.h5", "d3rlpy/tuple.h5"],
    ),
    (
        "pickle",
        &[
            "pickle/protocol0.pkl",
            "pickle/protocol1.pkl",
            "pickle/protocol2.pkl",
            "pickle/protocol3.pkl",
            "pickle/protocol4.pkl",
            "pickle/protocol5.pkl",
        ],
    ),
    ("npz", &["numpy/stored.npz", "numpy/deflated.npz"]),
    ("csv", &["csv/log.csv"]),
    ("parquet", &["parquet/log.parquet"]),
    (
        "robot",
        &[
            "parquet/robot/data/chunk-000/episode_000000.parquet",
            "parquet/robot/meta/info.json",
        ],
    ),
    ("jpeg", &["spaces/picture/hdf5-v0/data/main_data.hdf5"]),
    ("journal", &["spaces/nested/hdf5-v0"]),
];

#[expect(clippy::print_stdout, reason = "the program's output")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seconds, seed, keep, names @ ..] = &arguments[..] else {
        return Err("usage: fuzz SECONDS SEED KEEP [READER...]".into());
    };
    let (seconds, seed): (u64, u64) = (seconds.parse()?, seed.parse()?);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    // Caught panics are counted, not printed.
    std::panic::set_hook(Box::new(|_| {}));
    let mut failures = 0;
    for (reader, files) in READERS {
        if !names.is_empty() && !names.iter().any(|name| name == reader) {
            continue;
        }
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let began = seconds_computed();
        let (mut tried, mut read, mut worst_secs, mut worst_bytes) = (0_u64, 0_u64, 0.0_f64, 0);
        let subjects = files
            .iter()
            .map(|file| match reader {
                "journal" => Subject::journal(&fixtures.join(file)),
                _ => Subject::new(&fixtures, file),
            })
            .collect::<Result<Vec<_>, _>>()?;
        while seconds_computed() - began < seconds as f64 {
            let subject = &subjects[dice.below(subjects.len())];
            let other = &subjects[dice.below(subjects.len())].original;
            let mutant = mutate(&subject.original, other, &mut dice);
            fs::write(&subject.copy, &mutant)?;
            let verdict = subject.examine();
            tried += 1;
            read += u64::from(verdict.was_read);
            worst_secs = worst_secs.max(verdict.secs);
            worst_bytes = worst_bytes.max(verdict.bytes);
            if let Some(fault) = verdict.fault {
                failures += 1;
                let name = format!("{reader}-{failures}");
                fs::create_dir_all(keep)?;
                fs::write(Path::new(keep).join(&name), &mutant)?;
                println!(
                    "{reader}: {fault}: {keep}/{name} of {}",
                    subject.copy.display()
                );
            }
        }
        println!(
            "{reader}: {tried} mutants, {read} still readable, at most {worst_secs:.3} s and {} MB",
            worst_bytes >> 20
        );
    }
    if failures > 0 {
        return Err(format!("{failures} failures").into());
    }
    Ok(())
}

/// A copy of a fixture that can be damaged.
struct Subject {
    _directory: tempfile::TempDir,
    /// What is opened.
    dataset: PathBuf,
    /// The file that is damaged.
    copy: PathBuf,
    original: Vec<u8>,
}

struct Verdict {
    was_read: bool,
    secs: f64,
    bytes: usize,
    fault: Option<String>,
}

impl Subject {
    fn new(fixtures: &Path, file: &str) -> Result<Self, Box<dyn Error>> {
        let directory = tempfile::tempdir()?;
        let original = fs::read(fixtures.join(file))?;
        let inside = file
            .split_once("/data/")
            .map(|(set, rest)| (set, format!("data/{rest}")));
        let inside = inside.or_else(|| {
            let (set, rest) = file.split_once("/meta/")?;
            Some((set, format!("meta/{rest}")))
        });
        let (dataset, copy) = if let Some((dataset, rest)) = inside {
            let copied = directory.path().join("set");
            copy_tree(&fixtures.join(dataset), &copied)?;
            let file = copied.join(rest);
            (copied, file)
        } else {
            let name = Path::new(file).file_name().ok_or("a fixture's name")?;
            let copied = directory.path().join(name);
            (copied.clone(), copied)
        };
        Ok(Self {
            _directory: directory,
            dataset,
            copy,
            original,
        })
    }

    /// A journal of a dataset's episodes.
    fn journal(dataset: &Path) -> Result<Self, Box<dyn Error>> {
        let directory = tempfile::tempdir()?;
        let copy = directory.path().join("two.journal");
        let mut source = open_source(&dataset.to_string_lossy(), None, Contents::Everything)?;
        let mut journal = Journal::create(&copy, source.recording(), &serde_json::Value::Null)?;
        while let Some(episode) = source.next_episode()? {
            journal.append(&episode)?;
        }
        journal.flush()?;
        drop(journal);
        Ok(Self {
            _directory: directory,
            dataset: copy.clone(),
            original: fs::read(&copy)?,
            copy,
        })
    }

    /// Reads everything twice: as recorded, and as a dataset for training.
    fn examine(&self) -> Verdict {
        let began = seconds_computed();
        let before = HELD.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let recorded = catch_unwind(AssertUnwindSafe(|| self.read()));
        let trained = catch_unwind(AssertUnwindSafe(|| self.open()));
        let bytes = PEAK.load(Ordering::Relaxed).saturating_sub(before);
        let secs = seconds_computed() - began;
        let fault = match (&recorded, &trained) {
            (Err(_), _) | (_, Err(_)) => Some("it panics".to_owned()),
            _ if bytes > MAX_BYTES => Some(format!("it uses {bytes} bytes")),
            _ if secs > MAX_SECS => Some(format!("it takes {secs:.1} s")),
            _ => None,
        };
        Verdict {
            was_read: recorded.unwrap_or(false),
            secs,
            bytes,
            fault,
        }
    }

    fn read(&self) -> bool {
        let source: Result<Box<dyn Source>, _> = if self.is_journal() {
            JournalSource::open(&self.copy).map(|source| Box::new(source) as Box<dyn Source>)
        } else {
            open_source(&self.dataset.to_string_lossy(), None, Contents::Everything)
        };
        let Ok(mut source) = source else {
            return false;
        };
        loop {
            match source.next_episode() {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    fn open(&self) {
        if self.is_journal() {
            drop(Journal::open_to_resume(&self.copy));
        } else if let Ok(dataset) = open_with(&self.dataset.to_string_lossy(), None, Defects::Keep)
        {
            drop(dataset.hash());
        }
    }

    fn is_journal(&self) -> bool {
        self.copy
            .extension()
            .is_some_and(|extension| extension == "journal")
    }
}

/// Processor time of this process, which other work on the machine does not change; where the
/// system does not report it, wall-clock time.
fn seconds_computed() -> f64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let wall = BEGAN.elapsed().as_secs_f64();
    let Ok(text) = fs::read_to_string("/proc/self/stat") else {
        return wall;
    };
    // The fields after the program's name, which may contain blanks: of them, the 12th and the 13th
    // are hundredths of a second in the program and in the kernel.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = ticks.filter_map(|field| field.parse().ok()).collect();
    if let [user, system] = ticks[..] {
        (user + system) / 100.0
    } else {
        wall
    }
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A random generator without a library.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit.max(1)
    }
}

/// A damaged copy; parts of `other` may be copied into it.
fn mutate(original: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    const EXTREMES: [u64; 8] = [
        0,
        1,
        0x7f,
        0xffff,
        0x7fff_ffff,
        0xffff_ffff,
        0x7fff_ffff_ffff_ffff,
        u64::MAX,
    ];
    let mut bytes = original.to_vec();
    for _ in 0..=dice.below(4) {
        let length = bytes.len().max(1);
        let at = dice.below(length);
        let span = (1 + dice.below(64)).min(length - at);
        match dice.below(8) {
            0 => bytes.truncate(at),
            1 => bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= 1 << dice.below(8)),
            2 => bytes
                .iter_mut()
                .skip(at)
                .take(span)
                .for_each(|byte| *byte = dice.below(256) as u8),
            3 => {
                let number = EXTREMES[dice.below(EXTREMES.len())].to_le_bytes();
                let width = 1 << dice.below(4);
                bytes
                    .iter_mut()
                    .skip(at)
                    .zip(&number[..width])
                    .for_each(|(byte, &new)| *byte = new);
            }
            4 => drop(bytes.drain(at..(at + span).min(bytes.len()))),
            5 => {
                let doubled = bytes[at.min(bytes.len())..(at + span).min(bytes.len())].to_vec();
                bytes.splice(at.min(bytes.len())..at.min(bytes.len()), doubled);
            }
            6 => {
                let from = dice.below(other.len());
                let part = &other[from..(from + span).min(other.len())];
                bytes
                    .iter_mut()
                    .skip(at)
                    .zip(part)
                    .for_each(|(byte, &new)| *byte = new);
            }
            _ => {
                let from = dice.below(length);
                let part = bytes[from.min(bytes.len())..(from + span).min(bytes.len())].to_vec();
                bytes
                    .iter_mut()
                    .skip(at)
                    .zip(&part)
                    .for_each(|(byte, &new)| *byte = new);
            }
        }
    }
    bytes
}
