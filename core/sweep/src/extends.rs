//! `extends`: an experiment file on top of others.
//!
//! The files are layers, the lowest first: tables merge key by key, and every other value, lists and `[[method]]`
//! included, replaces the one below. Runs are identified by values, so it does not matter which file holds them.

use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, SourceText};
use crate::known_keys::EXTENDS;
use crate::read_file::read_file;
use crate::toml_tree::{self, Field};

/// A file of an experiment.
pub(crate) struct FileTree {
    pub(crate) path: PathBuf,
    pub(crate) fields: Vec<Field>,
}

/// Parses an experiment file, which becomes the first source, and the files that it extends. The lowest comes first.
///
/// # Errors
/// The syntax of a file, a file that cannot be read, or files that extend each other in a circle.
pub(crate) fn files(
    text: &str,
    origin: &Path,
    sources: &mut Vec<SourceText>,
) -> Result<Vec<FileTree>, Vec<Diagnostic>> {
    let mut files: Vec<FileTree> = Vec::new();
    let (mut path, mut text) = (origin.to_owned(), text.to_owned());
    loop {
        let source = sources.len();
        sources.push(SourceText { path: Some(path.display().to_string()), text: text.clone() });
        files.insert(0, FileTree { path: path.clone(), fields: toml_tree::document(&text, source)? });
        let Some(field) = files[0].fields.iter().find(|field| field.key == EXTENDS) else { return Ok(files) };
        let base = base(field, &path).map_err(|wrong| vec![wrong])?;
        if let Some(at) = files.iter().position(|file| same(&file.path, &base)) {
            return Err(vec![circle(field, &files[..=at])]);
        }
        text = read_file(&base).map_err(|error| vec![explained(field, &error.to_string())])?;
        path = base;
    }
}

/// The keys at the top of all files; of a key that several have, the uppermost.
pub(crate) fn topmost_fields(files: &[FileTree]) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for field in files.iter().flat_map(|file| &file.fields) {
        fields.retain(|below| below.key != field.key);
        fields.push(field.clone());
    }
    fields
}

/// The path of the file below `path`.
fn base(field: &Field, path: &Path) -> Result<PathBuf, Diagnostic> {
    let value = field.node.value();
    let named = value.as_str().filter(|name| !name.trim().is_empty()).ok_or_else(|| {
        let message = format!("`extends` must name a file, got {}", field.node.describe());
        Diagnostic::new(&field.node.span, message).help("write `extends = \"base.toml\"`, relative to this file")
    })?;
    Ok(path.parent().unwrap_or(Path::new("")).join(named))
}

/// Whether both paths lead to one file.
fn same(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Files that extend each other in a circle; the one that is reached again is the last of `files`.
fn circle(field: &Field, files: &[FileTree]) -> Diagnostic {
    let names: Vec<String> = files.iter().rev().map(|file| file.path.display().to_string()).collect();
    let first = names.first().cloned().unwrap_or_default();
    let message = format!("files extend each other in a circle: {} extends {first}", names.join(" extends "));
    Diagnostic::new(&field.node.span, message).help("drop `extends` from one of them")
}

/// A file that cannot be read; the lines behind the first are remedies.
fn explained(field: &Field, message: &str) -> Diagnostic {
    let mut lines = message.lines();
    let first = Diagnostic::new(&field.node.span, lines.next().unwrap_or_default());
    lines.fold(first, |diagnostic, line| diagnostic.help(line.strip_prefix("help: ").unwrap_or(line)))
}
