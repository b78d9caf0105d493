//! Division of packs among arrays.

use std::ops::Range;

/// Divides `count` packs among arrays, whose indices stay below `max_array_size`: Slurm's limit is on the index, not on
/// the number of tasks. Every array begins at index 0.
pub fn chunks(count: usize, max_array_size: usize) -> Vec<Range<usize>> {
    let size = max_array_size.max(1);
    (0..count).step_by(size).map(|start| start..count.min(start + size)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_stay_below_the_limit() {
        assert_eq!(chunks(0, 64), []);
        assert_eq!(chunks(64, 64).first(), Some(&(0..64)), "the largest index is 63");
        assert_eq!(chunks(64, 64).len(), 1);
        assert_eq!(chunks(65, 64), [0..64, 64..65]);
        assert_eq!(chunks(300, 64).len(), 5);
        assert_eq!(chunks(3, 0), [0..1, 1..2, 2..3], "a limit that makes no sense is one");
    }
}
