//! MNIST's own files: arrays of bytes behind their sizes (`idx3-ubyte`, `idx1-ubyte`), compressed by gzip or not.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use hashlab_data::{DataDirs, DataError, Images, Rgb};

use super::hub::HubProtocol;
use super::labels::NamedLabels;
use super::places::{content, damaged};
use super::public::{count, share};
use super::settings::OwnSettings;
use super::{Examined, Listed, Opened, Pictures};

/// A set of such files.
pub(crate) struct IdxSet {
    /// Its folders in a data directory.
    pub(crate) folders: &'static [&'static str],
    /// Part, start of its files' names, and number of its items.
    pub(crate) parts: [(&'static str, &'static str, usize); 2],
    pub(crate) classes: usize,
    pub(crate) protocols: &'static [HubProtocol],
}

const HELP: &str = "fetch the file again; it may have been cut off";
/// More than any image of the family has on a side.
const LONGEST_SIDE: usize = 1024;

impl IdxSet {
    /// Opens the set, of which the files hold a `part`-th, where another form of it is missing.
    ///
    /// # Errors
    /// That of the other form, if this one is missing, too; or if files are damaged.
    pub(crate) fn unless(
        &self,
        other: Result<Opened, DataError>,
        dirs: &DataDirs,
        part: usize,
    ) -> Result<Opened, DataError> {
        match other {
            Err(missing @ DataError::Missing { .. }) => self.open(dirs, part)?.ok_or(missing),
            other => other,
        }
    }

    /// Opens the set, of which the files hold a `part`-th; `None` if no data directory has it.
    ///
    /// # Errors
    /// If files are damaged or have another number of items.
    pub(crate) fn open(&self, dirs: &DataDirs, part: usize) -> Result<Option<Opened>, DataError> {
        let folders = dirs.search.iter().flat_map(|dir| self.folders.iter().map(|folder| dir.join(folder)));
        let first = format!("{}-images-idx3-ubyte", self.parts[0].1);
        let Some(folder) = folders.into_iter().find(|folder| file(folder, &first).is_some()) else { return Ok(None) };
        let (mut pictures, mut labels) = (Grey::default(), NamedLabels::default());
        for class in 0..self.classes {
            labels.class(&class.to_string());
        }
        let (mut found_at, mut parts, mut findings) = (Vec::new(), Vec::new(), Vec::new());
        for (name, start, items) in self.parts {
            let items = share(items, part);
            let before = labels.len() as u32;
            let (path, sizes, pixels) = array::<3>(&folder, &format!("{start}-images-idx3-ubyte"))?;
            count(&path, "items", items, sizes[0], HELP)?;
            pictures.append(&path, [sizes[1], sizes[2]], pixels)?;
            found_at.push(path);
            let (path, sizes, classes) = array::<1>(&folder, &format!("{start}-labels-idx1-ubyte"))?;
            count(&path, "items", items, sizes[0], HELP)?;
            for class in classes {
                if usize::from(class) >= self.classes {
                    return Err(damaged(&path, format!("label {class}, expected 0 to {}", self.classes - 1), HELP));
                }
                labels.push([u32::from(class)]);
            }
            found_at.push(path);
            findings.push(format!("{name}: {items} items of {start}-…-ubyte"));
            parts.push((name, (before..labels.len() as u32).collect::<Vec<u32>>()));
        }
        let recipes = self.protocols.iter().map(|protocol| protocol.recipe(&parts)).collect();
        let listed = Listed {
            pictures: Some(Box::new(pictures)),
            captions: None,
            labels,
            class_names: Vec::new(),
            recipes,
            found_at,
            findings,
        };
        Opened::of(listed, &OwnSettings::default(), dirs).map(Some)
    }
}

/// The file of this name in a folder, compressed or not.
fn file(folder: &Path, name: &str) -> Option<PathBuf> {
    [name.to_owned(), format!("{name}.gz")].into_iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Reads an array of bytes with `N` axes.
fn array<const N: usize>(folder: &Path, name: &str) -> Result<(PathBuf, [usize; N], Vec<u8>), DataError> {
    let path = file(folder, name).ok_or_else(|| DataError::Missing {
        what: format!("{name} (or {name}.gz)"),
        looked: vec![folder.to_owned()],
        help: "the four files of the set belong into one folder".to_owned(),
    })?;
    let stored = content(&path)?;
    let bytes = match path.extension().is_some_and(|ending| ending == "gz") {
        false => stored,
        true => {
            let mut bytes = Vec::new();
            let read = GzDecoder::new(stored.as_slice()).read_to_end(&mut bytes);
            read.map_err(|error| damaged(&path, format!("it cannot be decompressed: {error}"), HELP))?;
            bytes
        }
    };
    let (sizes, values) = parse::<N>(&bytes).map_err(|problem| damaged(&path, problem, HELP))?;
    Ok((path.clone(), sizes, values.to_vec()))
}

/// Divides a file into sizes and values: two zeros, the type (8: bytes), the number of axes, a 32-bit size of each (most
/// significant byte first), and the values.
fn parse<const N: usize>(bytes: &[u8]) -> Result<([usize; N], &[u8]), String> {
    const SHORT: &str = "the file ends within its header";
    let kind = bytes.get(..4).ok_or(SHORT)?;
    if kind != [0, 0, 8, N as u8] {
        return Err(format!("expected an array of bytes with {N} axes, got the header {kind:?}"));
    }
    let head = bytes.get(..4 + 4 * N).ok_or(SHORT)?;
    let mut sizes = [0; N];
    for (size, word) in sizes.iter_mut().zip(head[4..].chunks_exact(4)) {
        *size = u32::from_be_bytes([word[0], word[1], word[2], word[3]]) as usize;
    }
    let values = &bytes[head.len()..];
    let expected = sizes.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
    match expected {
        Some(expected) if expected == values.len() => Ok((sizes, values)),
        _ => Err(format!("sizes {sizes:?} do not fit {} values", values.len())),
    }
}

/// Grey images of one size, in memory.
#[derive(Default)]
struct Grey {
    sides: [usize; 2],
    pixels: Vec<u8>,
}

impl Grey {
    fn append(&mut self, path: &Path, sides: [usize; 2], pixels: Vec<u8>) -> Result<(), DataError> {
        let first = self.pixels.is_empty();
        if sides.contains(&0) || sides.iter().any(|side| *side > LONGEST_SIDE) || !first && sides != self.sides {
            return Err(damaged(path, format!("images of {} × {} pixels", sides[0], sides[1]), HELP));
        }
        self.sides = sides;
        if first {
            self.pixels = pixels
        } else {
            self.pixels.extend(pixels)
        }
        Ok(())
    }
}

impl Images for Grey {
    fn image(&self, index: usize) -> Result<Rgb, DataError> {
        let [height, width] = self.sides;
        let grey = &self.pixels[index * height * width..][..height * width];
        Ok(Rgb { width, height, pixels: grey.iter().flat_map(|value| [*value; 3]).collect() })
    }
}

impl Pictures for Grey {
    fn examine(&mut self, _: bool, _: Option<&Path>) -> Result<Examined, DataError> {
        let mut hasher = blake3::Hasher::new();
        self.sides.iter().for_each(|side| _ = hasher.update(&(*side as u64).to_le_bytes()));
        let digest = *hasher.update(&self.pixels).finalize().as_bytes();
        Ok(Examined { digest, missing: Vec::new(), undecodable: Vec::new() })
    }

    fn name(&self, index: usize) -> String {
        format!("item {index}")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use hashlab_data::{Dataset, ItemData, Modality};

    use super::*;
    use crate::own::hub::DIGIT_PROTOCOLS;

    const SET: IdxSet = IdxSet {
        folders: &["digits", "MNIST/raw"],
        parts: [("train", "train", 3), ("test", "t10k", 2)],
        classes: 10,
        protocols: DIGIT_PROTOCOLS,
    };

    fn bytes(sizes: &[u32], values: &[u8]) -> Vec<u8> {
        let mut all = vec![0, 0, 8, sizes.len() as u8];
        sizes.iter().for_each(|size| all.extend(size.to_be_bytes()));
        all.extend(values);
        all
    }

    fn write(folder: &Path, compressed: bool) {
        fs::create_dir_all(folder).unwrap();
        for (start, items) in [("train", 3u32), ("t10k", 2)] {
            let pixels: Vec<u8> = (0..items as u8 * 6).collect();
            let labels: Vec<u8> = (0..items as u8).map(|item| 9 - item).collect();
            for (kind, content) in
                [("images-idx3", bytes(&[items, 2, 3], &pixels)), ("labels-idx1", bytes(&[items], &labels))]
            {
                let name = format!("{start}-{kind}-ubyte");
                if !compressed {
                    fs::write(folder.join(name), content).unwrap();
                    continue;
                }
                let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
                gz.write_all(&content).unwrap();
                fs::write(folder.join(format!("{name}.gz")), gz.finish().unwrap()).unwrap();
            }
        }
    }

    #[test]
    fn both_forms_hold_the_same() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::of(vec![root.path().to_owned()]);
        assert!(SET.open(&dirs, 1).unwrap().is_none());
        write(&root.path().join("MNIST/raw"), false);
        let plain = SET.open(&dirs, 1).unwrap().unwrap();
        write(&root.path().join("digits"), true);
        let compressed = SET.open(&dirs, 1).unwrap().unwrap();
        assert_eq!(plain.info().identity, compressed.info().identity);
        let Some(ItemData::Images(images)) = compressed.data(Modality::Image) else { panic!("there are images") };
        let second = images.image(1).unwrap();
        assert_eq!((second.height, second.width), (2, 3));
        assert_eq!(second.pixels[..6], [6, 6, 6, 7, 7, 7]);
        assert_eq!((0..5).map(|item| compressed.labels().classes_of(item)[0]).collect::<Vec<_>>(), [9, 8, 7, 9, 8]);
        assert_eq!(compressed.split("official", 0).unwrap().query, [3, 4]);
    }

    #[test]
    fn damaged_files_are_refused_by_name() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::of(vec![root.path().to_owned()]);
        let folder = root.path().join("digits");
        write(&folder, false);
        let refused = |name: &str, content: Vec<u8>, part: &str| {
            let whole = fs::read(folder.join(name)).unwrap();
            fs::write(folder.join(name), content).unwrap();
            let message = SET.open(&dirs, 1).map(|_| ()).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains(part), "{message}");
            fs::write(folder.join(name), whole).unwrap();
        };
        refused("train-images-idx3-ubyte", vec![0, 0, 8], "ends within its header");
        refused("train-images-idx3-ubyte", bytes(&[3, 2, 3], &[0; 17]), "[3, 2, 3] do not fit 17 values");
        refused("train-images-idx3-ubyte", bytes(&[u32::MAX, u32::MAX, u32::MAX], &[0; 4]), "do not fit");
        refused("train-images-idx3-ubyte", bytes(&[3], &[0; 3]), "expected an array of bytes with 3 axes");
        refused("t10k-images-idx3-ubyte", bytes(&[2, 3, 2], &[0; 12]), "images of 3 × 2 pixels");
        refused("t10k-labels-idx1-ubyte", bytes(&[3], &[0; 3]), "expected 2 items, got 3");
        refused("train-labels-idx1-ubyte", bytes(&[3], &[0, 10, 1]), "label 10, expected 0 to 9");
        fs::remove_file(folder.join("t10k-labels-idx1-ubyte")).unwrap();
        fs::write(folder.join("t10k-labels-idx1-ubyte.gz"), b"no gzip").unwrap();
        let message = SET.open(&dirs, 1).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("cannot be decompressed"), "{message}");
    }

    /// Whatever the bytes, the parser answers.
    #[test]
    fn no_bytes_are_too_much() {
        let mut state = 1u32;
        for length in 0..400 {
            let mut noise: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            if length > 4 && length % 2 == 0 {
                noise[..4].copy_from_slice(&[0, 0, 8, 3]);
            }
            let _ = parse::<3>(&noise);
            let _ = parse::<1>(&noise);
        }
    }

    #[test]
    fn changed_files_are_answered() {
        for compressed in [false, true] {
            let root = tempfile::tempdir().unwrap();
            let dirs = DataDirs::of(vec![root.path().to_owned()]);
            write(&root.path().join("digits"), compressed);
            let missing = || DataError::Invalid("there is none".to_owned());
            crate::own::mutations::are_answered(root.path(), 200, || SET.open(&dirs, 1)?.ok_or_else(missing));
        }
    }
}
