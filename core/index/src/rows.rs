//! The file of codes, `codes.npy`: a header of fixed size, whose number of rows is overwritten, and the rows.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes of the header: room for any number of rows.
pub(crate) const HEADER: u64 = 128;

/// Name of the file.
pub(crate) const FILE: &str = "codes.npy";

/// The header of an array `(rows, bytes)` of `uint8`, format 1.0 of numpy.
pub(crate) fn header(rows: usize, bytes: usize) -> Vec<u8> {
    let shape = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({rows}, {bytes}), }}");
    let length = HEADER as usize - 10;
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((length as u16).to_le_bytes());
    header.extend(format!("{shape:<width$}\n", width = length - 1).bytes());
    header
}

/// Number of whole rows behind the header.
pub(crate) fn rows(file: &File, bytes: usize) -> io::Result<usize> {
    Ok((file.metadata()?.len().saturating_sub(HEADER) / bytes as u64) as usize)
}

/// Writes rows at a position, and then the header of the longer array.
pub(crate) fn write(file: &File, at: usize, bytes: usize, packed: &[u8]) -> io::Result<()> {
    file.write_all_at(packed, HEADER + (at * bytes) as u64)?;
    file.sync_data()
}

/// Writes the header of an array of `rows` rows.
pub(crate) fn write_header(file: &File, rows: usize, bytes: usize) -> io::Result<()> {
    file.write_all_at(&header(rows, bytes), 0)
}

/// Reads the first `rows` rows.
pub(crate) fn read(file: &File, rows: usize, bytes: usize) -> io::Result<Vec<u8>> {
    let mut packed = vec![0; rows * bytes];
    file.read_exact_at(&mut packed, HEADER)?;
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_one_size_for_any_number_of_rows() {
        for rows in [0, 1, 1_000_000, usize::MAX] {
            let header = header(rows, 512);
            assert_eq!(header.len() as u64, HEADER);
            assert_eq!(header.last(), Some(&b'\n'));
            assert!(String::from_utf8_lossy(&header).contains(&format!("({rows}, 512)")));
        }
    }
}
