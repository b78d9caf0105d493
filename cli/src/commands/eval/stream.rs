//! A database that is read part by part.

use std::ops::Range;

use anyhow::Result;
use hashlab_data::Labels;
use hashlab_datasets::array::{NpyFile, read};
use hashlab_eval::{Codes, Database, LabelSets, Options, Report, Visit, evaluate_streamed};

use super::sides::{padded, same_form};
use super::{Files, same_items};
use crate::exit::bad_input;

/// Items of a part.
const PART: usize = 1 << 18;

/// Bytes of relevant items that are held until their queries are ranked; what is over takes another pass over the files.
const MEMORY: usize = 1 << 30;

/// A database in two .npy files.
struct Stored<'a> {
    codes: NpyFile,
    codes_path: &'a str,
    labels: NpyFile,
    labels_path: &'a str,
    bits: usize,
    /// Words per label set.
    words: usize,
}

/// Measures queries in memory against a database in files; returns the labels of the queries, too.
pub(super) fn measure(
    files: &Files,
    paths: (&str, &str),
    query: &Codes,
    options: &Options,
) -> Result<(Report, Vec<u64>, usize, usize)> {
    let (query_path, database_path) = paths;
    let (raw, labels) = (read(query_path)?, open(database_path)?);
    same_form((query_path, raw.shape()), (database_path, labels.shape()))?;
    let query_labels = raw.labels(query_path)?;
    same_items((&files.query_codes, query.len()), (query_path, query_labels.len()))?;
    let mut database = Stored {
        codes: open(&files.database_codes)?,
        codes_path: &files.database_codes,
        labels,
        labels_path: database_path,
        bits: query.bits(),
        words: query_labels.words(),
    };
    let items = database.codes.rows();
    same_items((&files.database_codes, items), (database_path, database.labels.rows()))?;
    for part in parts(items) {
        database.words = database.words.max(database.labels(part)?.words());
    }
    let words = database.words;
    let packed = padded(&query_labels, words);
    let report = evaluate_streamed(query, LabelSets::new(&packed, words)?, &mut database, options, MEMORY)?;
    Ok((report, packed, words, items))
}

fn open(path: &str) -> Result<NpyFile> {
    if !path.to_ascii_lowercase().ends_with(".npy") {
        return Err(bad_input(format!(
            "{path} cannot be read part by part\nhelp: `--stream` reads .npy files; write the array with numpy.save"
        )));
    }
    Ok(NpyFile::open(path)?)
}

fn parts(items: usize) -> impl Iterator<Item = Range<usize>> {
    (0..items).step_by(PART).map(move |start| start..items.min(start + PART))
}

impl Stored<'_> {
    fn labels(&mut self, part: Range<usize>) -> Result<Labels> {
        Ok(self.labels.read(self.labels_path, part)?.labels(self.labels_path)?)
    }

    /// Codes, packed if bytes of eight bits make their length.
    fn codes(&mut self, part: Range<usize>) -> Result<Codes> {
        let packed = self.codes.shape().get(1).is_some_and(|columns| 8 * columns == self.bits);
        Ok(self.codes.read(self.codes_path, part)?.codes(self.codes_path, packed)?)
    }
}

impl Database for Stored<'_> {
    type Error = anyhow::Error;

    fn len(&self) -> usize {
        self.codes.rows()
    }

    fn read(&mut self, visit: Visit<'_, anyhow::Error>) -> Result<()> {
        for part in parts(self.len()) {
            let labels = self.labels(part.clone())?;
            let packed = padded(&labels, self.words);
            visit(&self.codes(part)?, LabelSets::new(&packed, self.words)?)?;
        }
        Ok(())
    }
}
