//! A row per way of encoding, for methods that have several.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hashlab_store::RunResult;

use crate::sweep_report::{Outcome, ReportedRun};

/// Label of the row of a method, or of one of its encodings.
pub(crate) fn label(method: &str, encoding: Option<&str>) -> String {
    encoding.map_or(method.to_owned(), |name| format!("{method} ({name})"))
}

/// Lists a run once per encoding of its row, each with the label and the numbers of that encoding. Runs of methods that
/// encode in one way stay as they are.
pub(crate) fn apart(runs: &[ReportedRun]) -> Cow<'_, [ReportedRun]> {
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for run in runs {
        let Some(result) = run.finished() else { continue };
        let known = names.entry(&run.label).or_default();
        let all = result.encoding.iter().chain(result.other_encodings.keys()).map(String::as_str);
        all.for_each(|name| {
            if !known.contains(&name) {
                known.push(name)
            }
        });
    }
    if names.values().all(Vec::is_empty) {
        return Cow::Borrowed(runs);
    }
    let of_run = |run: &ReportedRun| match names.get(run.label.as_str()) {
        Some(names) if !names.is_empty() => names.iter().filter_map(|name| of_encoding(run, name)).collect(),
        _ => vec![run.clone()],
    };
    runs.iter().flat_map(of_run).collect()
}

/// A run as one of its row's encodings sees it; `None` if it finished without that one.
fn of_encoding(run: &ReportedRun, name: &str) -> Option<ReportedRun> {
    let mut run = ReportedRun { label: label(&run.label, Some(name)).into(), ..run.clone() };
    if let Outcome::Finished(result) = &mut run.outcome
        && result.encoding.as_deref() != Some(name)
    {
        let found = result.other_encodings.remove(name)?;
        **result =
            RunResult { test: found.test, validation: found.validation, codes: found.codes, ..(**result).clone() };
    }
    Some(run)
}

/// Whether a run that [`apart`] lists stands for the encoding that its codes and neighbors were kept of.
pub(crate) fn is_own(run: &ReportedRun) -> bool {
    let own = run.finished().and_then(|result| result.encoding.as_deref());
    own.is_none_or(|name| run.label.ends_with(&format!(" ({name})")))
}
