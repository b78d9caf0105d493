//! Every metric and curve of stored codes.

use std::path::Path;

use anyhow::{Context as _, Result};
use hashlab_eval::{Codes, Database, Definition, EvalError, LabelSets, Options, evaluate, evaluate_streamed, map_at_k};
use hashlab_rng::stream;

use crate::Work;
use crate::prepare::{BITS, codes_path, labels_path};

/// Depth of the metrics at K.
const DEPTH: usize = 1_000;
/// Classes of made-up items.
const CLASSES: usize = 10;
/// Labels of made-up items with several.
const LABELS: usize = 81;
/// Items of a part of the streamed database.
const PART: usize = 1 << 20;
/// Bytes of hits that a streamed evaluation may hold.
const MEMORY: usize = 1 << 30;

/// mAP@1000 alone of the codes in `dir`.
pub(crate) fn primary(dir: &Path) -> Result<Work> {
    let [query, database] = ["query", "database"].map(|side| read(dir, side));
    let (query, database) = (query?, database?);
    Ok(Box::new(move |iterations| {
        let mut map = None;
        for _ in 0..iterations {
            let (codes, labels) = (&database.codes, database.labels()?);
            map = Some(map_at_k(&query.codes, query.labels()?, codes, labels, Definition::TopK, Some(DEPTH))?);
        }
        Ok(map)
    }))
}

/// Every metric and curve of made-up codes; the value is mAP@1000.
pub(crate) fn all(queries: usize, items: usize, bits: usize, several: bool) -> Result<Work> {
    let query = Side::made_up("query", queries, bits, several)?;
    let database = Side::made_up("database", items, bits, several)?;
    let options = options(items);
    Ok(Box::new(move |iterations| {
        let mut map = None;
        for _ in 0..iterations {
            let report = evaluate(&query.codes, query.labels()?, &database.codes, database.labels()?, &options)?;
            map = Some(report.primary());
        }
        Ok(map)
    }))
}

/// The same, with the database read from a file of packed codes and labels, part by part.
pub(crate) fn streamed(file: &Path, queries: usize, items: usize, bits: usize) -> Result<Work> {
    let query = Side::made_up("query", queries, bits, false)?;
    let mut database = Stored::write(file, items, bits)?;
    let options = options(items);
    Ok(Box::new(move |iterations| {
        let mut map = None;
        for _ in 0..iterations {
            let report = evaluate_streamed(&query.codes, query.labels()?, &mut database, &options, MEMORY)?;
            map = Some(report.primary());
        }
        Ok(map)
    }))
}

/// Writes both sides as `DIR/{query,database}.u8`, packed codes, and `….labels`, label sets of packed 64-bit words, for the
/// peers.
pub(crate) fn write(dir: &Path, queries: usize, items: usize, bits: usize, several: bool) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    for (side, count) in [("query", queries), ("database", items)] {
        let made = Side::made_up(side, count, bits, several)?;
        let codes: Vec<u8> = (0..count).flat_map(|item| made.codes.item(item)).flat_map(|w| w.to_le_bytes()).collect();
        std::fs::write(dir.join(format!("{side}.u8")), codes)?;
        let labels: Vec<u8> = made.labels.iter().flat_map(|word| word.to_le_bytes()).collect();
        std::fs::write(dir.join(format!("{side}.labels")), labels)?;
    }
    Ok(())
}

fn options(items: usize) -> Options {
    let ranks = (1..=20).map(|step| step * items / 20).collect();
    Options { map_at: Some(DEPTH), ranks, curves: true, ..Options::default() }
}

/// Codes and label sets of one side.
struct Side {
    codes: Codes,
    labels: Vec<u64>,
    words: usize,
}

impl Side {
    fn labels(&self) -> Result<LabelSets<'_>, EvalError> {
        LabelSets::new(&self.labels, self.words)
    }

    /// Codes that scatter around a center per class, a quarter of the bits wrong; `several` labels per item beside its
    /// class, or none.
    fn made_up(side: &str, items: usize, bits: usize, several: bool) -> Result<Self> {
        let mut rng = stream(0, side, &[bits as u64]);
        let mut centers = stream(0, "centers", &[bits as u64]);
        let words = bits.div_ceil(64);
        let centers: Vec<u64> = (0..CLASSES * words).map(|_| centers.bits()).collect();
        let label_words = if several { LABELS.div_ceil(64) } else { 1 };
        let (mut codes, mut labels) = (Vec::with_capacity(items * words), vec![0; items * label_words]);
        for set in labels.chunks_exact_mut(label_words) {
            let class = rng.below(CLASSES);
            codes.extend(centers[class * words..][..words].iter().map(|center| center ^ (rng.bits() & rng.bits())));
            let more = if several { 2 } else { 0 };
            for label in [class].into_iter().chain((0..more).map(|_| rng.below(LABELS))) {
                set[label / 64] |= 1 << (label % 64);
            }
        }
        let bytes: Vec<u8> = codes.iter().flat_map(|word| word.to_le_bytes()).collect();
        Ok(Self { codes: Codes::from_packed(&bytes, words * 8)?, labels, words: label_words })
    }
}

/// A database in a file: of each item the packed code and a word of labels.
struct Stored {
    file: std::path::PathBuf,
    items: usize,
    words: usize,
}

impl Stored {
    fn write(file: &Path, items: usize, bits: usize) -> Result<Self> {
        use std::io::Write as _;
        let words = bits.div_ceil(64);
        let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
        for (part, start) in (0..items).step_by(PART).enumerate() {
            let side = Side::made_up(&format!("database{part}"), PART.min(items - start), bits, false)?;
            for item in 0..side.codes.len() {
                for word in side.codes.item(item).iter().chain([&side.labels[item]]) {
                    out.write_all(&word.to_le_bytes())?;
                }
            }
        }
        out.flush()?;
        Ok(Self { file: file.to_owned(), items, words })
    }
}

impl Database for Stored {
    type Error = anyhow::Error;

    fn len(&self) -> usize {
        self.items
    }

    fn read(&mut self, visit: &mut dyn FnMut(&Codes, LabelSets<'_>) -> Result<()>) -> Result<()> {
        use std::io::Read as _;
        let mut file = std::fs::File::open(&self.file)?;
        let mut bytes = Vec::new();
        for start in (0..self.items).step_by(PART) {
            let items = PART.min(self.items - start);
            bytes.resize(items * (self.words + 1) * 8, 0);
            file.read_exact(&mut bytes)?;
            let (mut codes, mut labels) = (Vec::new(), Vec::new());
            for item in bytes.chunks_exact((self.words + 1) * 8) {
                let (code, set) = item.split_at(self.words * 8);
                codes.extend_from_slice(code);
                labels.push(u64::from_le_bytes(set.try_into()?));
            }
            visit(&Codes::from_packed(&codes, self.words * 8)?, LabelSets::new(&labels, 1)?)?;
        }
        Ok(())
    }
}

/// Reads codes and label sets of one side.
fn read(dir: &Path, side: &str) -> Result<Side> {
    let bytes = |path: std::path::PathBuf| std::fs::read(&path).with_context(|| path.display().to_string());
    let signs: Vec<f32> = bytes(codes_path(dir, side))?.iter().map(|&bit| if bit == 1 { 1.0 } else { -1.0 }).collect();
    let labels = bytes(labels_path(dir, side))?.iter().map(|&class| 1 << class).collect();
    Ok(Side { codes: Codes::from_signs(&signs, BITS)?, labels, words: 1 })
}
