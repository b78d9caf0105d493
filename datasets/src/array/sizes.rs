//! Sizes that arrays state: more than their file can fill would fill the memory.

use std::fs;
use std::path::Path;

use hashlab_data::DataError;

use super::damaged;
use crate::own::places::unreadable;

/// How many values a byte of a compressed file can stand for.
pub(super) const COMPRESSED: u64 = 1032;

/// Refuses sizes that no file of this length holds, where a byte holds at most `values` values.
///
/// # Errors
/// [`DataError::Damaged`] with the sizes.
pub(super) fn check(file: &Path, sizes: &[usize], values: u64) -> Result<(), DataError> {
    let most = fs::metadata(file).map_err(unreadable(file))?.len().saturating_mul(values);
    let stated = sizes.iter().try_fold(1u64, |all, &size| all.checked_mul(size.max(1) as u64));
    match stated.is_some_and(|stated| stated <= most) {
        true => Ok(()),
        false => Err(damaged(file, format!("an array of shape {sizes:?}, more than the file holds"))),
    }
}
