//! Types and ranges of single values.

use std::collections::BTreeSet;

use hashlab_settings::{Mismatch, ValueType, canonical};
use serde_json::Value;

use crate::diagnostic::Diagnostic;
use crate::suggest::{in_toml, nearest};
use crate::toml_tree::{Node, NodeKind};

/// Reads the value of `key` in its type.
///
/// # Errors
/// A diagnostic per part of the value that does not fit.
pub(crate) fn check(key: &str, expected: &ValueType, node: &Node) -> Result<Value, Vec<Diagnostic>> {
    let report = |mismatch: Mismatch| diagnostic(key, expected, node, &mismatch);
    expected.check(&node.value()).map_err(|mismatches| mismatches.into_iter().map(report).collect())
}

fn diagnostic(key: &str, expected: &ValueType, node: &Node, mismatch: &Mismatch) -> Diagnostic {
    let part = mismatch.path.iter().fold(node, |node, &at| &node.items()[at]);
    let what = if mismatch.path.is_empty() { format!("`{key}`") } else { format!("an element of `{key}`") };
    let message = format!("{what} must be {}, got {}", mismatch.requirement, part.describe());
    let diagnostic = Diagnostic::new(&part.span, message);
    let NodeKind::Scalar(Value::String(text)) = &part.kind else { return diagnostic };
    let hint = nearest(text, expected.words()).map(|word| format!("did you mean `{word}`?"));
    let takes_text = matches!(expected, ValueType::Choice(_) | ValueType::Text);
    match hint.or_else(|| in_toml(text, matches!(expected, ValueType::List { .. })).filter(|_| !takes_text)) {
        Some(hint) => diagnostic.help(hint),
        None => diagnostic,
    }
}

/// Checks that a list of values to try is neither empty nor repetitive. `values` are the list's, typed.
pub(crate) fn check_list(key: &str, list: &Node, values: &[Value]) -> Vec<Diagnostic> {
    if values.is_empty() {
        return vec![Diagnostic::new(&list.span, format!("`{key}` is empty, so there would be nothing to run"))];
    }
    let mut seen = BTreeSet::new();
    // Equal values have equal texts; a list may hold a hundred thousand of them.
    let repeated = values.iter().enumerate().filter(|(_, value)| !seen.insert(canonical(value)));
    repeated
        .map(|(at, value)| Diagnostic::new(&list.items()[at].span, format!("`{key}` holds {value} more than once")))
        .collect()
}
