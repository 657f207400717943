//! TensorBoard's event file: the figures of every step, and pictures.
//!
//! The file is a sequence of records `length (u64), checksum of the length, message, checksum of the message`, all
//! little-endian; a message is a protocol buffer `Event` (tensorflow/core/util/event.proto), a checksum the masked
//! CRC-32C of TensorFlow's record format.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::samples::Sheet;
use crate::train::StepRecord;

/// Longest message that is read back: a picture.
const LONGEST: u64 = 1 << 26;

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    image: Option<Image>,
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    /// 3: red, green, blue.
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded_image_string: Vec<u8>,
}

/// Writes the event file of a run.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
}

impl EventWriter {
    /// Creates the file.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut writer = Self { file: File::create(path)? };
        writer.write(Event { file_version: Some("brain.Event:2".to_owned()), ..Event::default() })?;
        Ok(writer)
    }

    /// Reopens the file of a run that goes on after `steps` steps; drops the events of later steps, and whatever
    /// follows a damaged record.
    pub fn resume(path: &Path, steps: u64) -> io::Result<Self> {
        let mut file = match File::options().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::create(path),
            opened => opened?,
        };
        let mut reader = BufReader::new(&file);
        let mut kept = 0;
        while let Some((len, event)) = read_record(&mut reader) {
            if u64::try_from(event.step).is_ok_and(|step| step >= steps && event.summary.is_some()) {
                break;
            }
            kept += len;
        }
        if kept == 0 {
            return Self::create(path);
        }
        file.set_len(kept)?;
        file.seek(SeekFrom::Start(kept))?;
        Ok(Self { file })
    }

    /// Adds the figures of a step, at once.
    pub fn write_step(&mut self, record: &StepRecord) -> io::Result<()> {
        let scalars = [
            ("loss", Some(record.loss as f32)),
            ("unclipped_loss", Some(record.unclipped_loss as f32)),
            ("limit", record.limit),
            ("clipped", Some(record.clipped as f32)),
            ("learning_rate", Some(record.learning_rate)),
        ];
        let value = scalars
            .into_iter()
            .filter(|(_, value)| value.is_some())
            .map(|(tag, simple_value)| Value { tag: tag.to_owned(), simple_value, image: None })
            .collect();
        self.write(Event::of_step(record.step, value))
    }

    /// Adds a picture of step `step`.
    pub fn write_samples(&mut self, step: u64, sheet: &Sheet) -> io::Result<()> {
        let image = Image {
            height: sheet.height as i32,
            width: sheet.width as i32,
            colorspace: 3,
            encoded_image_string: sheet.png.clone(),
        };
        let value = Value { tag: "samples".to_owned(), simple_value: None, image: Some(image) };
        self.write(Event::of_step(step, vec![value]))
    }

    /// Waits until the events are on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&mut self, mut event: Event) -> io::Result<()> {
        event.wall_time =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |duration| duration.as_secs_f64());
        let message = event.encode_to_vec();
        let length = (message.len() as u64).to_le_bytes();
        let parts = [&length[..], &masked_checksum(&length), &message, &masked_checksum(&message)];
        self.file.write_all(&parts.concat())
    }
}

impl Event {
    fn of_step(step: u64, value: Vec<Value>) -> Self {
        Self { step: step as i64, summary: Some(Summary { value }), ..Self::default() }
    }
}

/// The next record and its length in the file; none at the end and where the file is damaged.
fn read_record(reader: &mut impl Read) -> Option<(u64, Event)> {
    let mut length = [0; 8];
    let mut checksum = [0; 4];
    reader.read_exact(&mut length).ok()?;
    reader.read_exact(&mut checksum).ok()?;
    let len = u64::from_le_bytes(length);
    if checksum != masked_checksum(&length) || len > LONGEST {
        return None;
    }
    let mut message = vec![0; len as usize];
    reader.read_exact(&mut message).ok()?;
    reader.read_exact(&mut checksum).ok()?;
    if checksum != masked_checksum(&message) {
        return None;
    }
    Some((8 + 4 + len + 4, Event::decode(message.as_slice()).ok()?))
}

fn masked_checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn record(step: u64) -> StepRecord {
        let figures = (2.0, 3.0, Some(4.0), 1, 0, 0.5);
        let (loss, unclipped_loss, limit, clipped, non_finite, learning_rate) = figures;
        StepRecord {
            step,
            loss,
            unclipped_loss,
            limit,
            clipped,
            non_finite,
            learning_rate,
            images: Vec::new(),
        }
    }

    /// A run that wrote steps 0 to 9, was torn, and went on after step 5, has every step once, and its picture.
    #[test]
    fn a_resumed_file_has_no_gap_and_no_duplicate() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        let sheet = Sheet { width: 1, height: 1, png: vec![1, 2, 3] };
        let mut writer = EventWriter::create(&path).unwrap();
        for step in 0..10 {
            writer.write_step(&record(step)).unwrap();
        }
        writer.write_samples(9, &sheet).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();

        let mut writer = EventWriter::resume(&path, 6).unwrap();
        for step in 6..10 {
            writer.write_step(&record(step)).unwrap();
        }
        writer.write_samples(9, &sheet).unwrap();

        let bytes = std::fs::read(&path).unwrap();
        let mut reader = Cursor::new(&bytes);
        let events: Vec<_> =
            std::iter::from_fn(|| read_record(&mut reader)).map(|(_, event)| event).collect();
        assert_eq!(reader.position(), bytes.len() as u64, "nothing is left");
        assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
        let steps: Vec<_> = events[1..].iter().map(|event| event.step).collect();
        assert_eq!(steps, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9]);
        let last = events.last().and_then(|event| event.summary.clone()).unwrap();
        assert_eq!(last.value[0].image.as_ref().unwrap().encoded_image_string, sheet.png);
    }
}
