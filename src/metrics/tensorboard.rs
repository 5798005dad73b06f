//! Metrics as TensorBoard event files. The only file that knows TensorBoard.
//!
//! tensorboard-rs frames the records and builds the summaries; the file is opened here. Its own
//! `SummaryWriter` names files by the second, so that two within one second overwrite each other,
//! and panics on I/O errors in its own thread.
//!
//! A run has one file for each session of training, in the run directory itself, which TensorBoard
//! joins into one run in the order of their names. A session's file name has a second that no
//! earlier file has, so no file is overwritten. Before a session continues from step n, the points
//! after n leave the earlier files ([`copy_until`]), so a point is never stored twice; a
//! TensorBoard that has already read them drops them when it sees the `START` that opens the
//! session. What belongs to the session as a whole (hyperparameters, texts) is in a file of its own
//! that each session replaces; so are the charts of the custom scalars.

mod layout;

use std::fs::File;
use std::io::{self, BufRead, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use protobuf::Message;
use protobuf::well_known_types::Value as ProtoValue;
use tensorboard_proto::api::Status;
use tensorboard_proto::event::{Event, SessionLog_SessionStatus};
use tensorboard_proto::plugin_hparams::HParamsPluginData;
use tensorboard_proto::summary::{Summary, Summary_Value};
use tensorboard_proto::tensor_shape::TensorShapeProto_Dim;
use tensorboard_proto::types::DataType;
use tensorboard_rs::masked_crc32c::masked_crc32c;
use tensorboard_rs::record_writer::RecordWriter;
use tensorboard_rs::summary::{histogram_raw, scalar};

use super::{Error, Histogram, HparamValue, Image, MetricSink, Moment, RunOutcome};

/// A record's length and the checksum of that.
const HEADER_BYTES: usize = 12;
/// Bytes of a record besides its event: the header, and the event's checksum.
const FRAME_BYTES: u64 = 16;
const PREFIX: &str = "events.out.tfevents.";
/// The file of the session as a whole; its name sorts before those of the points.
const SESSION_FILE: &str = "events.out.tfevents.0000000000.rtg.session";

/// Writes one session's events into a run directory.
pub struct TensorBoard {
    session: EventFile,
    points: EventFile,
    last_step: u64,
}

impl TensorBoard {
    /// Starts a session in `folder`, which exists. `resumed_from` is the step of the checkpoint
    /// that the session continues from; earlier files have been cut back to it.
    pub fn open(folder: &Path, resumed_from: Option<u64>) -> Result<Self, Error> {
        let at = Moment::now(0);
        let session_path = folder.join(SESSION_FILE);
        let removed = std::fs::remove_file(&session_path);
        if let Err(source) = removed
            && source.kind() != io::ErrorKind::NotFound
        {
            return Err(Error::Create {
                path: session_path,
                source,
            });
        }
        let mut session = EventFile::create(session_path)?;
        session.write(at, |event| event.set_file_version("brain.Event:2".into()))?;
        let charts = layout::layout().write_to_bytes();
        let charts = charts.map_err(|error| session.error(io::Error::other(error)))?;
        session.value(at, string_value(layout::TAG, layout::PLUGIN, charts))?;
        let mut points = EventFile::create_after(folder, at.wall_secs as u64)?;
        points.write(at, |event| event.set_file_version("brain.Event:2".into()))?;
        if let Some(last_step) = resumed_from {
            let next = Moment {
                step: last_step + 1,
                ..at
            };
            points.write(next, |event| {
                let log = event.mut_session_log();
                log.set_status(SessionLog_SessionStatus::START);
            })?;
        }
        Ok(Self {
            session,
            points,
            last_step: resumed_from.unwrap_or(0),
        })
    }
}

/// Adds an image to a run that no process writes to, in a separate file, so that a session that
/// continues from an earlier step drops it like every other point.
pub fn add_image(folder: &Path, step: u64, name: &str, image: Image) -> Result<(), Error> {
    let at = Moment::now(step);
    let mut file = EventFile::create_after(folder, at.wall_secs as u64)?;
    file.write(at, |event| event.set_file_version("brain.Event:2".into()))?;
    let mut value = Summary_Value::new();
    value.set_tag(name.to_owned());
    let picture = value.mut_image();
    picture.set_width(image.width as i32);
    picture.set_height(image.height as i32);
    picture.set_colorspace(3);
    picture.set_encoded_image_string(image.encoded);
    file.value(at, value)?;
    file.flush()
}

impl MetricSink for TensorBoard {
    fn scalars(&mut self, at: Moment, values: &[(&str, f64)]) -> Result<(), Error> {
        self.last_step = self.last_step.max(at.step);
        let mut summary = Summary::new();
        for &(name, value) in values {
            // TensorBoard keeps scalars as f32.
            summary
                .value
                .extend(scalar(name, value as f32).take_value());
        }
        self.points.summary(at, summary)
    }

    fn histogram(&mut self, at: Moment, name: &str, values: &Histogram) -> Result<(), Error> {
        self.last_step = self.last_step.max(at.step);
        let counts: Vec<f64> = values.counts.iter().map(|&count| count as f64).collect();
        let summary = histogram_raw(
            name,
            values.min,
            values.max,
            values.count as f64,
            values.sum,
            values.sum_squares,
            &values.edges,
            &counts,
        );
        self.points.summary(at, summary)
    }

    fn text(&mut self, at: Moment, name: &str, markdown: &str) -> Result<(), Error> {
        let value = string_value(name, "text", markdown.as_bytes().to_vec());
        self.session.value(at, value)
    }

    /// Without a description of the whole experiment, TensorBoard makes the columns of its table
    /// from all the runs that it shows: each hyperparameter and each scalar that any of them has.
    /// It would use the description of one run only, without the other algorithms' losses.
    fn hparams(&mut self, at: Moment, values: &[(&str, HparamValue)]) -> Result<(), Error> {
        let mut start = HParamsPluginData::new();
        let info = start.mut_session_start_info();
        info.set_start_time_secs(at.wall_secs);
        for (name, value) in values {
            info.mut_hparams()
                .insert((*name).to_owned(), proto_value(value));
        }
        self.session
            .hparams(at, "_hparams_/session_start_info", &start)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.session.flush()?;
        self.points.flush()
    }

    fn finish(&mut self, at: Moment, outcome: RunOutcome) -> Result<(), Error> {
        // It comes after the last point, so that it is removed when the run is resumed.
        let after = Moment {
            step: self.last_step.max(at.step) + 1,
            ..at
        };
        let mut end = HParamsPluginData::new();
        let info = end.mut_session_end_info();
        info.set_end_time_secs(at.wall_secs);
        info.set_status(match outcome {
            RunOutcome::Completed => Status::STATUS_SUCCESS,
            RunOutcome::Failed => Status::STATUS_FAILURE,
        });
        self.points
            .hparams(after, "_hparams_/session_end_info", &end)?;
        self.flush()
    }
}

fn proto_value(value: &HparamValue) -> ProtoValue {
    let mut proto = ProtoValue::new();
    match value {
        HparamValue::Text(text) => proto.set_string_value(text.clone()),
        HparamValue::Number(number) => proto.set_number_value(*number),
        HparamValue::Flag(flag) => proto.set_bool_value(*flag),
    }
    proto
}

fn plugin_value(tag: &str, plugin: &str, content: Vec<u8>) -> Summary_Value {
    let mut value = Summary_Value::new();
    value.set_tag(tag.to_owned());
    let data = value.mut_metadata().mut_plugin_data();
    data.set_plugin_name(plugin.to_owned());
    data.set_content(content);
    value
}

/// A list of one string, which may be bytes.
fn string_value(tag: &str, plugin: &str, string: Vec<u8>) -> Summary_Value {
    let mut value = plugin_value(tag, plugin, Vec::new());
    let tensor = value.mut_tensor();
    tensor.set_dtype(DataType::DT_STRING);
    tensor.mut_string_val().push(string);
    let mut one = TensorShapeProto_Dim::new();
    one.set_size(1);
    tensor.mut_tensor_shape().mut_dim().push(one);
    value
}

struct EventFile {
    records: RecordWriter<BufWriter<File>>,
    path: PathBuf,
}

impl EventFile {
    fn create(path: PathBuf) -> Result<Self, Error> {
        match File::create_new(&path) {
            Ok(file) => Ok(Self {
                records: RecordWriter::new(BufWriter::new(file)),
                path,
            }),
            Err(source) => Err(Error::Create { path, source }),
        }
    }

    /// A file whose name sorts after those of all earlier sessions, even if the clock was set back.
    fn create_after(folder: &Path, now_secs: u64) -> Result<Self, Error> {
        let files = event_files(folder).map_err(|source| Error::Create {
            path: folder.to_owned(),
            source,
        })?;
        let last = files.iter().filter_map(|path| named_secs(path)).max();
        let secs = now_secs.max(last.map_or(0, |secs| secs.saturating_add(1)));
        let process = std::process::id();
        Self::create(folder.join(format!("{PREFIX}{secs:010}.rtg.{process}")))
    }

    fn write(&mut self, at: Moment, fill: impl FnOnce(&mut Event)) -> Result<(), Error> {
        let mut event = Event::new();
        event.set_wall_time(at.wall_secs);
        event.set_step(at.step.cast_signed());
        fill(&mut event);
        event
            .write_to_bytes()
            .map_err(io::Error::other)
            .and_then(|bytes| self.records.write(&bytes))
            .map_err(|source| self.error(source))
    }

    fn summary(&mut self, at: Moment, summary: Summary) -> Result<(), Error> {
        self.write(at, |event| event.set_summary(summary))
    }

    fn value(&mut self, at: Moment, value: Summary_Value) -> Result<(), Error> {
        let mut summary = Summary::new();
        summary.mut_value().push(value);
        self.summary(at, summary)
    }

    fn hparams(&mut self, at: Moment, tag: &str, data: &HParamsPluginData) -> Result<(), Error> {
        let content = data
            .write_to_bytes()
            .map_err(|error| self.error(io::Error::other(error)))?;
        self.value(at, plugin_value(tag, "hparams", content))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.records.flush().map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> Error {
        Error::Write {
            path: self.path.clone(),
            source,
        }
    }
}

/// The event files of the run in `folder` that hold points, oldest first.
pub fn event_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if named_secs(&path).is_some_and(|secs| secs > 0) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn named_secs(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(PREFIX)?.split('.').next()?.parse().ok()
}

/// Copies the events of steps up to `last_step`, for a run that continues from there. TensorBoard
/// reads no further than a damaged record; here reading continues at the next whole one. Returns
/// the number of bytes in between. A torn end, which a killed process leaves, is not counted.
pub fn copy_until(
    input: &mut (impl BufRead + Seek),
    output: &mut impl Write,
    last_step: u64,
) -> io::Result<u64> {
    let mut records = RecordWriter::new(output);
    let (mut place, mut lost) = (0, 0);
    loop {
        while let Some(event) = next_record(input)? {
            place += FRAME_BYTES + event.len() as u64;
            if step_of(&event).is_some_and(|step| step <= last_step) {
                records.write(&event)?;
            }
        }
        let Some(next) = find_record(input, place + 1)? else {
            records.flush()?;
            return Ok(lost);
        };
        lost += next - place;
        place = input.seek(SeekFrom::Start(next))?;
    }
}

/// The position of the first record from `place` on, by the checksum of its length.
fn find_record(input: &mut (impl BufRead + Seek), place: u64) -> io::Result<Option<u64>> {
    let mut place = input.seek(SeekFrom::Start(place))?;
    let mut header = [0; HEADER_BYTES];
    if input.read_exact(&mut header).is_err() {
        return Ok(None);
    }
    loop {
        if length_of(&header).is_some() {
            return Ok(Some(place));
        }
        header.rotate_left(1);
        if input.read_exact(&mut header[HEADER_BYTES - 1..]).is_err() {
            return Ok(None);
        }
        place += 1;
    }
}

/// The length in a record's header, if its checksum says that it is one.
fn length_of(header: &[u8; HEADER_BYTES]) -> Option<u64> {
    let (length, sum) = header.split_first_chunk::<8>()?;
    (masked_crc32c(length).to_le_bytes() == sum).then(|| u64::from_le_bytes(*length))
}

/// One record: length, its checksum, the bytes, their checksum. `None` at the end and where the
/// file is torn or corrupt.
fn next_record(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut read = |bytes: u64| {
        let mut buffer = Vec::new();
        // `take` grows the buffer with the bytes read, not with the length claimed.
        let n = input.by_ref().take(bytes).read_to_end(&mut buffer)?;
        Ok::<_, io::Error>((n as u64 == bytes).then_some(buffer))
    };
    let header = read(HEADER_BYTES as u64)?;
    let header: Option<[u8; HEADER_BYTES]> = header.and_then(|header| header.try_into().ok());
    let Some(length) = header.and_then(|header| length_of(&header)) else {
        return Ok(None);
    };
    let Some(event) = read(length)? else {
        return Ok(None);
    };
    let matches = |sum: Vec<u8>| masked_crc32c(&event).to_le_bytes() == *sum;
    Ok(read(4)?.is_some_and(matches).then_some(event))
}

/// The field `step` (number 2, a varint) of a serialised event; 0 where it is absent, `None` for
/// bytes that are not an event. Walking the fields by hand avoids protobuf's parser, which in this
/// version is unsafe against hostile bytes.
fn step_of(mut event: &[u8]) -> Option<u64> {
    let mut step = 0;
    while !event.is_empty() {
        let key = varint(&mut event)?;
        let skip = match key & 7 {
            0 => {
                let value = varint(&mut event)?;
                if key >> 3 == 2 {
                    step = value;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut event)?).ok()?,
            5 => 4,
            _ => return None,
        };
        event = event.get(skip..)?;
    }
    Some(step)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: u64) -> Moment {
        Moment {
            step,
            wall_secs: 1.79e9 + step as f64,
        }
    }

    fn steps(path: &Path) -> Vec<u64> {
        let bytes = std::fs::read(path).unwrap();
        let mut input = bytes.as_slice();
        let mut steps = Vec::new();
        while let Some(event) = next_record(&mut input).unwrap() {
            steps.push(step_of(&event).unwrap());
        }
        assert!(input.is_empty(), "a written record was not read");
        steps
    }

    #[test]
    fn sessions_within_one_second_have_files_of_their_own_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for session in 0..3_u64 {
            let resumed_from = (session > 0).then_some(session);
            let mut sink = TensorBoard::open(folder.path(), resumed_from).unwrap();
            sink.scalars(at(session + 1), &[("train/loss", 1.0)])
                .unwrap();
            sink.flush().unwrap();
        }
        let files = event_files(folder.path()).unwrap();
        let found: Vec<_> = files.iter().map(|path| steps(path)).collect();
        assert_eq!(found, [vec![0, 1], vec![0, 2, 2], vec![0, 3, 3]]);
    }

    #[test]
    fn a_file_is_cut_back_to_a_step_even_when_it_is_torn() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = TensorBoard::open(folder.path(), None).unwrap();
        for step in [0, 1, 2, 300, 400] {
            sink.scalars(at(step), &[("a/x", 0.5), ("a/y", f64::NAN)])
                .unwrap();
            sink.histogram(at(step), "weights/w", &Histogram::of(&[1.0, 2.0]))
                .unwrap();
        }
        sink.finish(at(400), RunOutcome::Completed).unwrap();
        let path = &event_files(folder.path()).unwrap()[0];
        assert_eq!(steps(path).last(), Some(&401));

        let mut bytes = std::fs::read(path).unwrap();
        let kept = |bytes: &[u8], last_step| {
            let mut kept = Vec::new();
            copy_until(&mut io::Cursor::new(bytes), &mut kept, last_step).unwrap();
            kept
        };
        assert_eq!(kept(&bytes, 1000), bytes);
        std::fs::write(path, kept(&bytes, 300)).unwrap();
        assert_eq!(steps(path), [0, 0, 0, 1, 1, 2, 2, 300, 300]);

        bytes.truncate(bytes.len() - 7);
        std::fs::write(path, kept(&bytes, 1000)).unwrap();
        assert_eq!(steps(path).last(), Some(&400));
    }

    #[test]
    fn a_damaged_byte_loses_only_its_record_and_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = TensorBoard::open(folder.path(), None).unwrap();
        for step in 1..=4 {
            sink.scalars(at(step), &[("a/x", 0.5)]).unwrap();
        }
        sink.flush().unwrap();
        let path = &event_files(folder.path()).unwrap()[0];
        let whole = std::fs::read(path).unwrap();
        let record = {
            let mut input = whole.as_slice();
            let first = next_record(&mut input).unwrap().unwrap();
            let second = next_record(&mut input).unwrap().unwrap();
            let begin = first.len() + FRAME_BYTES as usize;
            begin..begin + second.len() + FRAME_BYTES as usize
        };
        for place in record.clone() {
            let mut bytes = whole.clone();
            bytes[place] ^= 4;
            let mut kept = Vec::new();
            let lost = copy_until(&mut io::Cursor::new(bytes), &mut kept, 9).unwrap();
            assert_eq!(lost, record.len() as u64);
            assert!(kept == [&whole[..record.start], &whole[record.end..]].concat());
        }
    }

    #[test]
    fn hostile_event_files_neither_panic_nor_allocate() {
        let huge = u64::MAX.to_le_bytes();
        let mut record = huge.to_vec();
        record.extend(masked_crc32c(&huge).to_le_bytes());
        record.extend([0; 64]);
        assert_eq!(next_record(&mut record.as_slice()).unwrap(), None);
        assert_eq!(next_record(&mut [7; 100].as_slice()).unwrap(), None);
        assert_eq!(step_of(&[255; 20]), None);
        assert_eq!(step_of(&[0x12, 0xff, 0xff, 0xff, 0xff, 0x7f]), None);
        assert_eq!(step_of(&[0x10]), None);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error() {
        let missing = Path::new("/nonexistent/folder");
        assert!(matches!(
            TensorBoard::open(missing, None),
            Err(Error::Create { .. })
        ));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_of_the_flush() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut file = EventFile {
            records: RecordWriter::new(BufWriter::new(full)),
            path: "/dev/full".into(),
        };
        file.write(at(1), |event| event.set_file_version("x".into()))
            .unwrap();
        let error = file.flush().unwrap_err();
        assert!(error.to_string().ends_with("/dev/full"));
        assert!(error.hint().contains("free some space"));
    }
}
