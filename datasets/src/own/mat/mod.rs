//! MATLAB's files (`.mat`): numbers, texts and cells, of versions 5 to 7 and of version 7.3, which is HDF5.

pub(crate) mod pixels;
mod v5;
mod v73;

use std::io::Read as _;
use std::path::Path;

use hashlab_data::DataError;

use super::places::{content, damaged, opened, unreadable};

/// A variable.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Array {
    /// Rows, columns, and numbers by columns. Further axes count as columns.
    Numbers([usize; 2], Vec<f32>),
    /// The texts of a matrix of characters, a row each.
    Texts(Vec<String>),
    /// Cells by columns.
    Cells(Vec<Array>),
}

const HELP: &str = "files of MATLAB's versions 5 to 7.3 are read, which `save` and scipy.io.savemat write";

/// Cells in cells in cells.
const DEEPEST: usize = 8;

/// Reads one variable of a file.
///
/// # Errors
/// If the file cannot be read, is none of this form, or has no such variable.
pub(crate) fn read(path: &Path, names: &[&str]) -> Result<Array, DataError> {
    let (mut found, mut others) = (None, Vec::new());
    scan(path, &mut |name, array| {
        match names.contains(&name.as_str()) {
            true => found = Some(array()?),
            false => others.push(name),
        }
        Ok(found.is_some())
    })?;
    found.ok_or_else(|| absent(path, names, &others))
}

/// Reads several variables of a file in one pass, in the order of their names.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_several<const N: usize>(path: &Path, names: [&str; N]) -> Result<[Array; N], DataError> {
    let mut found = [const { None }; N];
    let mut others = Vec::new();
    scan(path, &mut |name, array| {
        match names.iter().position(|wanted| *wanted == name) {
            Some(at) => found[at] = Some(array()?),
            None => others.push(name),
        }
        Ok(false)
    })?;
    if let Some(at) = found.iter().position(Option::is_none) {
        return Err(absent(path, &[names[at]], &others));
    }
    Ok(found.map(|array| array.expect("every name was found")))
}

/// The names of a file's variables.
///
/// # Errors
/// If the file cannot be read, or is none of this form.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, DataError> {
    let mut names = Vec::new();
    scan(path, &mut |name, _| {
        names.push(name);
        Ok(false)
    })?;
    Ok(names)
}

/// Reads the values of a variable.
type Values<'a> = Box<dyn FnOnce() -> Result<Array, String> + 'a>;

/// Is given every variable, until it returns true.
type Each<'a> = &'a mut dyn FnMut(String, Values<'_>) -> Result<bool, String>;

/// Passes over the variables of a file.
fn scan(path: &Path, each: Each<'_>) -> Result<(), DataError> {
    let scanned = match v73::is(&head(path)?) {
        true => v73::scan(path, each),
        false => v5::scan(&content(path)?, each),
    };
    scanned.map_err(|problem| damaged(path, problem, HELP))
}

/// The bytes by which a file's version is recognized.
fn head(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut start = Vec::new();
    let file = opened(path)?;
    file.take(v73::START as u64).read_to_end(&mut start).map_err(unreadable(path))?;
    Ok(start)
}

fn absent(path: &Path, names: &[&str], others: &[String]) -> DataError {
    let others = match others {
        [] => "none at all".to_owned(),
        others => format!("`{}`", others.join("`, `")),
    };
    let problem = format!("there is no variable `{}`, but {others}", names.join("` or `"));
    damaged(path, problem, "is it the file of something else?")
}

/// The texts of characters that lie by columns, in so many rows, each filled up with spaces.
fn rows_of(characters: &[u16], rows: usize) -> Array {
    let row = |row: usize| {
        let units: Vec<u16> = characters.iter().skip(row).step_by(rows).copied().collect();
        String::from_utf16_lossy(&units).trim_end_matches([' ', '\0']).to_owned()
    };
    Array::Texts((0..rows).map(row).collect())
}

impl Array {
    /// The texts: rows of characters, or a cell of them for every item. Further texts of an item follow its first.
    ///
    /// # Errors
    /// What there is instead.
    pub(crate) fn texts(self) -> Result<Vec<Vec<String>>, String> {
        match self {
            Self::Texts(rows) => Ok(rows.into_iter().map(|row| vec![row]).collect()),
            Self::Cells(cells) => cells.into_iter().map(Self::flat).collect(),
            Self::Numbers(..) => Err("numbers, where texts are expected".to_owned()),
        }
    }

    /// All texts of a cell.
    fn flat(self) -> Result<Vec<String>, String> {
        match self {
            Self::Texts(rows) => Ok(rows),
            Self::Cells(cells) => {
                Ok(cells.into_iter().map(Self::flat).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
            }
            Self::Numbers(_, numbers) if numbers.is_empty() => Ok(Vec::new()),
            Self::Numbers(..) => Err("numbers, where texts are expected".to_owned()),
        }
    }
}
