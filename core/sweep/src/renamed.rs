//! Names of version 0.1, and what they are called now.

use crate::diagnostic::Diagnostic;
use crate::section::Section;
use crate::toml_tree::{Field, NodeKind};

/// The tables of version 0.1.
pub(crate) const METHODS: &str = "arm";
const ENCODER: &str = "backbone";

/// Keys of `[backbone]`, and of `[image]` and `[text]`.
const ENCODER_KEYS: [(&str, &str); 6] = [
    ("name", "encoder"),
    ("size", "image_size"),
    ("cut", "frozen_until"),
    ("compute", "dtype"),
    ("precision", "cache_dtype"),
    ("learning_rate_scale", "lr_scale"),
];

/// The present name of a key that a section had.
pub(crate) fn key(section: Section, old: &str) -> Option<&'static str> {
    match section {
        Section::Encoder(_) => ENCODER_KEYS.iter().find(|(name, _)| *name == old).map(|(_, new)| *new),
        _ => None,
    }
}

/// The present path of a key that a grid had: `image.views` for `backbone.views`.
pub(crate) fn path(old: &str) -> Option<String> {
    let key = old.strip_prefix(ENCODER)?.strip_prefix('.')?;
    Some(encoder_path(key))
}

fn encoder_path(old: &str) -> String {
    let new = ENCODER_KEYS.iter().find(|(name, _)| *name == old).map_or(old, |(_, new)| new);
    format!("image.{new}")
}

/// Reports a key at the top of a file, or of one of its methods, that has another name now.
pub(crate) fn check(field: &Field, of_method: bool) -> Option<Diagnostic> {
    let report = |message: &str| Some(Diagnostic::new(&field.span, message));
    match (field.key.as_str(), of_method) {
        (METHODS, false) => report("`[[arm]]` is called `[[method]]` now")
            .map(|diagnostic| diagnostic.help("write `[[method]]`, and `name = …` in the place of `method = …`")),
        ("method", true) => report("the key `method` is called `name` now").map(|d| d.help("write `name = …`")),
        (ENCODER, _) => report("`backbone` is called `image` now: the encoder of the images").map(|diagnostic| {
            let fields = if let NodeKind::Table(fields) = &field.node.kind { fields.as_slice() } else { &[] };
            let renamed = |inner: &Field| format!("write `{}` for `{ENCODER}.{}`", encoder_path(&inner.key), inner.key);
            fields.iter().map(renamed).fold(diagnostic, Diagnostic::help)
        }),
        _ => None,
    }
}
