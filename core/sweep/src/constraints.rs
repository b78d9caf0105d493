//! Rules between keys, checked in complete tables.
//!
//! A value is checked in the merged table, never alone: `warmup = 5` may be wrong beside the default `epochs` and right
//! beside the one that the file sets.

use hashlab_settings::Violation;

use crate::diagnostic::{Diagnostic, Span};
use crate::layers::Merged;
use crate::section::Section;

/// Reports every violated rule of the given sections. Of the keys in a rule, the diagnostic points to the first one
/// that the uppermost layer sets; for a rule that the defaults violate, to `owner`.
pub(crate) fn violations(merged: &Merged<'_>, sections: &[Section], owner: &Span) -> Vec<Diagnostic> {
    let broken = |section: Section| {
        let schema = merged.scope.schema(section)?;
        let found = schema.check(merged.table(section));
        let mut judged: Vec<Diagnostic> = Vec::new();
        for violation in found.iter().filter(|v| v.keys.iter().all(|key| !merged.rejects(section, key))) {
            judged.push(diagnostic(merged, section, violation, owner));
        }
        Some(judged)
    };
    sections.iter().filter_map(|section| broken(*section)).flatten().collect()
}

/// A violation at its span. A message of several lines includes its own help.
pub(crate) fn diagnostic(merged: &Merged<'_>, section: Section, violation: &Violation, owner: &Span) -> Diagnostic {
    let heights = violation.keys.iter().filter_map(|key| Some((merged.origin(section, key)?.0, key)));
    let heights: Vec<_> = heights.collect();
    let uppermost = heights.iter().map(|(height, _)| *height).max();
    let culprit = heights.iter().find(|(height, _)| Some(*height) == uppermost).map(|(_, key)| key.as_str());
    let span = culprit.and_then(|key| merged.assignment(section, key)).map_or(owner, |assignment| &assignment.span);
    if let Some((message, help)) = violation.message.split_once('\n') {
        let lines = help.lines().map(|line| line.strip_prefix("help: ").unwrap_or(line).trim_start());
        return lines.fold(Diagnostic::new(span, message), Diagnostic::help);
    }
    let mut diagnostic = Diagnostic::new(span, violation.message.clone());
    if let Some(default) = culprit.and_then(|key| merged.scope.default_text(section, key)) {
        diagnostic = diagnostic.help(format!("default: {default}"));
    }
    let others = violation.keys.iter().filter(|key| Some(key.as_str()) != culprit);
    others.filter_map(|key| merged.explain(section, key)).fold(diagnostic, Diagnostic::help)
}
