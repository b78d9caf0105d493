//! Sizes that arrays state: more than their file can fill would fill the memory.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use hashlab_data::DataError;

use super::damaged;
use crate::own::places::unreadable;

/// How many values a byte of a compressed file can stand for.
pub(super) const COMPRESSED: u64 = 1032;

/// The longest header that is read; numpy's are below a kilobyte.
const LONGEST: u64 = 1 << 16;

/// Refuses sizes that no file of this length holds, where a byte holds at most `values` values.
///
/// # Errors
/// [`DataError::Damaged`] with the sizes.
pub(super) fn check(file: &Path, sizes: &[usize], values: u64) -> Result<(), DataError> {
    let most = fs::metadata(file).map_err(unreadable(file))?.len().saturating_mul(values);
    let stated = sizes.iter().try_fold(1u64, |all, &size| all.checked_mul(size as u64));
    match stated.is_some_and(|stated| stated <= most) {
        true => Ok(()),
        false => Err(damaged(file, format!("an array of shape {sizes:?}, more than the file holds"))),
    }
}

/// Checks the sizes that the header of a .npy file states. What is no header is left to the reader.
///
/// # Errors
/// If the file cannot be read, or as [`check`].
pub(super) fn check_npy(file: &Path) -> Result<(), DataError> {
    let mut start = Vec::new();
    let opened = File::open(file).map_err(unreadable(file))?;
    opened.take(LONGEST).read_to_end(&mut start).map_err(unreadable(file))?;
    let header = String::from_utf8_lossy(&start);
    let shape = header.split_once("'shape':").and_then(|(_, rest)| rest.split_once('(')?.1.split_once(')'));
    let Some((shape, _)) = shape else { return Ok(()) };
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    match sizes.map(str::parse).collect::<Result<Vec<usize>, _>>() {
        Ok(sizes) => check(file, &sizes, 1),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_fill_the_memory_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let array = |shape: &str| {
            let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
            let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
            bytes.extend((header.len() as u16).to_le_bytes());
            bytes.extend(header.bytes());
            bytes.extend([0; 24]);
            fs::write(&path, bytes).unwrap();
            super::super::read(path.to_str().unwrap()).map(|raw| raw.shape().to_vec())
        };
        assert_eq!(array("(2, 3)").unwrap(), [2, 3]);
        for shape in ["(1000000000, 3)", "(4294967296, 4294967296)"] {
            let refused = array(shape).unwrap_err().to_string();
            assert!(refused.contains("more than the file holds"), "{refused}");
        }
    }
}
