//! Changed files: whatever bytes there are, the decoder answers, and takes no more memory than a file can fill.

use std::fs;
use std::path::Path;

use hashlab_image::{Exif, decode_with, is_turned};
use hashlab_rng::{Stream, stream};

/// Changes of each file.
const ROUNDS: u64 = 300;

/// Cuts, flips, doubles, removes and overwrites parts.
fn changed(whole: &[u8], draws: &mut Stream) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    let (at, length) = (draws.below(bytes.len()), 1 + draws.below(64));
    let end = (at + length).min(bytes.len());
    match draws.below(5) {
        0 => bytes.truncate(at),
        1 => (0..1 + draws.below(8)).for_each(|_| {
            // Headers are short, and what they say matters most.
            let most = if draws.bernoulli(0.5) { bytes.len().min(256) } else { bytes.len() };
            let flipped = draws.below(most);
            bytes[flipped] ^= 1 << draws.below(8);
        }),
        2 => drop(bytes.splice(at..at, whole[at..end].to_vec())),
        3 => drop(bytes.drain(at..end)),
        _ => bytes[at..end].fill(0xff),
    }
    bytes
}

#[test]
fn changed_files_are_answered() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending != "json"));
    files.sort();
    assert!(files.len() > 30);
    let (mut decoded, mut refused) = (0, 0);
    for file in files {
        let whole = fs::read(&file).unwrap();
        for round in 0..ROUNDS {
            let bytes = changed(&whole, &mut stream(round, "mutation", &[whole.len() as u64]));
            let _ = is_turned(&bytes);
            match decode_with(&bytes, Exif::Apply) {
                Ok(image) => {
                    assert_eq!(image.pixels.len(), 3 * image.width * image.height, "{}", file.display());
                    decoded += 1;
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
        }
    }
    assert!(decoded > 100 && refused > 100, "{decoded} decoded, {refused} refused");
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:")?.trim().strip_suffix(" kB")?.parse().ok());
    assert!(peak.unwrap_or(0u64) < 4 << 20, "{peak:?} kB were taken");
}
