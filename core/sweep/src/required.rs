//! Keys that an experiment must have, and those that only its file may have.

use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Span};
use crate::known_keys::{EXTENDS, EXTERNAL, METHOD};
use crate::overrides::Override;
use crate::section::General;
use crate::toml_tree::{Field, NodeKind};

/// Finds a key of the top level in the uppermost of the trees that has it.
pub(crate) fn topmost<'t>(file: &'t [Field], overrides: &'t [Override], key: &str) -> Option<&'t Field> {
    let fields = file.iter().chain(overrides.iter().map(|above| &above.field));
    fields.rev().find(|field| field.key == key)
}

/// Reports required keys that are missing, and rows from outside of the file.
pub(crate) fn missing(file: &[Field], overrides: &[Override], catalog: &Catalog) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let mut lacks = |what: &str, help: String| {
        diagnostics.push(Diagnostic::new(&Span::file(), format!("the experiment has no {what}")).help(help));
    };
    if topmost(file, overrides, "dataset").is_none() {
        let names: Vec<&str> = catalog.datasets.iter().map(|dataset| dataset.name.as_str()).collect();
        lacks("`dataset`", format!("known: {}", names.join(", ")));
    }
    if file.iter().all(|field| field.key != METHOD) {
        lacks("`[[method]]`", "write one per method: `[[method]]` and `name = …` below it".to_owned());
    }
    if topmost(file, overrides, "bits").is_none() && methods_without_bits(file) {
        lacks("`bits`", General::example("bits").unwrap_or_default().to_owned());
    }
    for field in overrides.iter().map(|above| &above.field) {
        let own = [(METHOD, "a "), (EXTERNAL, "an "), (EXTENDS, "")].into_iter().find(|(key, _)| field.key == *key);
        diagnostics.extend(own.map(|(key, article)| {
            let message = format!("{article}`{key}` cannot be set from outside of the file");
            Diagnostic::new(&field.span, message).help("what all methods share can, e.g. `train.epochs`")
        }));
    }
    diagnostics
}

fn methods_without_bits(file: &[Field]) -> bool {
    let methods = file.iter().filter(|field| field.key == METHOD).flat_map(|field| field.node.items());
    methods.into_iter().any(|method| match &method.kind {
        NodeKind::Table(fields) => fields.iter().all(|field| field.key != "bits"),
        _ => false,
    })
}
