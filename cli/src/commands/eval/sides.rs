//! Codes, labels and grades from files.

use anyhow::Result;
use hashlab_data::Labels;
use hashlab_datasets::array::read;
use hashlab_eval::Codes;

use crate::exit::bad_input;

/// Reads codes, packed or a value per bit.
pub(super) fn codes(path: &str, packed: bool) -> Result<Codes> {
    Ok(read(path)?.codes(path, packed)?)
}

/// Reads real-valued queries and their number of bits.
pub(super) fn logits(path: &str) -> Result<(Vec<f32>, usize)> {
    let array = read(path)?.features(path)?;
    if array.count() > 1 {
        return Err(bad_input(format!(
            "{path}: several views per query\nhelp: pass an array of shape (queries, bits)"
        )));
    }
    let values = (0..array.rows()).flat_map(|row| array.row(row, 0)).copied().collect();
    Ok((values, array.width()))
}

/// Reads grades, and checks that they are of these queries and items.
pub(super) fn grades(path: &str, query: (&str, usize), database: (&str, usize)) -> Result<Vec<u8>> {
    let raw = read(path)?;
    let expected = [query.1, database.1];
    if raw.shape() != expected {
        return Err(bad_input(format!(
            "{path} has the shape {:?}, expected {expected:?}\nhelp: {} has {} queries, {} {} items",
            raw.shape(),
            query.0,
            query.1,
            database.0,
            database.1
        )));
    }
    Ok(raw.grades(path)?)
}

/// Label sets of both sides, so many words each.
pub(super) struct LabelWords {
    pub(super) words: usize,
    pub(super) query: Vec<u64>,
    pub(super) database: Vec<u64>,
}

/// Reads labels of both sides, which must be given in the same way.
pub(super) fn labels(query: &str, database: &str) -> Result<LabelWords> {
    let (raw, raw_database) = (read(query)?, read(database)?);
    same_form((query, raw.shape()), (database, raw_database.shape()))?;
    let (query, database) = (raw.labels(query)?, raw_database.labels(database)?);
    let words = query.words().max(database.words());
    Ok(LabelWords { words, query: padded(&query, words), database: padded(&database, words) })
}

/// Fails unless the labels of both sides are given in the same way.
pub(super) fn same_form(query: (&str, &[usize]), database: (&str, &[usize])) -> Result<()> {
    if query.1.get(1) == database.1.get(1) {
        return Ok(());
    }
    Err(bad_input(format!(
        "{} has the shape {:?}, {} {:?}\n\
         help: both must be class numbers (items), or multi-hot (items, classes) of the same classes",
        query.0, query.1, database.0, database.1
    )))
}

/// The packed labels, so many words per item.
pub(super) fn padded(labels: &Labels, words: usize) -> Vec<u64> {
    let zeros = std::iter::repeat_n(0, words - labels.words());
    (0..labels.len()).flat_map(|item| labels.item(item).iter().copied().chain(zeros.clone())).collect()
}
