//! Memory of a run, which does not grow with the features of its data set.

#[cfg(target_os = "linux")]
mod simulated;

/// The only test of this file, so that the process's memory is its own.
#[cfg(target_os = "linux")]
#[test]
fn no_stage_holds_all_features() {
    use hashlab_cache::CacheDtype;
    use simulated::{Scale, stages};

    // Far apart, since the process may hold some MiB more or less.
    const ITEMS: [usize; 2] = [2_000, 98_000];
    /// A row of 128 features takes 512. Codes, labels and the roles of the split, some of them twice, take less than a
    /// hundred; the rest is a margin for the allocator.
    const BYTES_PER_ITEM: u64 = 200;

    let peaks = ITEMS.map(|items| {
        let folder = tempfile::tempdir().unwrap();
        stages(Scale { items, size: 8, dtype: CacheDtype::F16 }, folder.path()).unwrap()
    });
    let more = (ITEMS[1] - ITEMS[0]) as u64;
    for (small, large) in peaks[0].iter().zip(&peaks[1]) {
        let per_item = large.peak.saturating_sub(small.peak) / more;
        assert!(per_item < BYTES_PER_ITEM, "{per_item} bytes per item:\n{small}\n{large}");
    }
}
