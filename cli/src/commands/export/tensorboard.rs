//! Event files of TensorBoard: records with masked CRC-32C sums, each an `Event` of its protocol.
//!
//! The format is that of TensorFlow's `record_writer.h` and `event.proto`; of its messages, scalars alone are needed.

use std::fs;
use std::io;
use std::path::Path;

use crc::{CRC_32_ISCSI, Crc};

use super::Exported;

const CASTAGNOLI: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Writes a folder per run. A file of an earlier export is replaced.
pub(super) fn write(out: &Path, runs: &[Exported]) -> io::Result<()> {
    for run in runs {
        let folder = out.join(&run.id);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("events.out.tfevents.{}.hashlab", run.started)), events(run))?;
    }
    Ok(())
}

/// The events of a run: the curves of its training by epoch, then its metrics at the last one.
fn events(run: &Exported) -> Vec<u8> {
    let time = run.started as f64;
    let mut bytes = Vec::new();
    record(&mut bytes, &[double(1, time), text(3, "brain.Event:2")].concat());
    for point in &run.journal {
        for (name, value) in &point.values {
            if let Some(value) = value {
                record(&mut bytes, &scalar(time, point.step, name, *value));
            }
        }
    }
    let last = run.journal.last().map_or(0, |point| point.step);
    for (name, value) in run.metrics() {
        record(&mut bytes, &scalar(time, last, &name, value));
    }
    bytes
}

/// An event with one value: `Event { wall_time = 1, step = 2, summary = 5 { value = 1 { tag = 1, simple_value = 2 } } }`.
fn scalar(time: f64, step: u64, name: &str, value: f64) -> Vec<u8> {
    let value = [text(1, name), vec![2 << 3 | 5], (value as f32).to_le_bytes().to_vec()].concat();
    [double(1, time), vec![2 << 3], varint(step), message(5, &message(1, &value))].concat()
}

fn double(field: u8, value: f64) -> Vec<u8> {
    [&[field << 3 | 1][..], &value.to_le_bytes()].concat()
}

fn text(field: u8, text: &str) -> Vec<u8> {
    message(field, text.as_bytes())
}

fn message(field: u8, content: &[u8]) -> Vec<u8> {
    [vec![field << 3 | 2], varint(content.len() as u64), content.to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn record(bytes: &mut Vec<u8>, content: &[u8]) {
    let length = (content.len() as u64).to_le_bytes();
    bytes.extend(length);
    bytes.extend(masked_sum(&length).to_le_bytes());
    bytes.extend(content);
    bytes.extend(masked_sum(content).to_le_bytes());
}

/// A sum that is turned and shifted, so that a record within a record has another one.
fn masked_sum(bytes: &[u8]) -> u32 {
    CASTAGNOLI.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_that_of_tensorflow() {
        let mut bytes = Vec::new();
        record(&mut bytes, &[double(1, 1.0), text(3, "brain.Event:2")].concat());
        assert_eq!(bytes[..8], 24u64.to_le_bytes());
        assert_eq!(bytes.len(), 8 + 4 + 24 + 4);
        assert_eq!(bytes[8..12], [0xa3, 0x7f, 0x4b, 0x22], "the sum of the length 24, by a bitwise CRC-32C");
        assert_eq!(varint(300), [0xac, 0x02]);
    }
}
