//! Known keys of a table, and reports of unknown ones.

use crate::diagnostic::{Diagnostic, Span};
use crate::scope::Scope;
use crate::search::{GENERATION, SEARCH, SEARCH_SEED, TRIALS};
use crate::section::Section;
use crate::suggest::did_you_mean;

/// The key of the tables of methods.
pub(crate) const METHOD: &str = "method";

/// The key of the tables of external rows.
pub(crate) const EXTERNAL: &str = "external";

/// The key that names the file below this one.
pub(crate) const EXTENDS: &str = "extends";

/// Keys of a `[[method]]`.
const METHOD_KEYS: [&str; 16] = [
    "name",
    "label",
    "bits",
    "seeds",
    "params",
    "train",
    "image",
    "text",
    "grid",
    "zip",
    "when",
    "exclude",
    SEARCH,
    TRIALS,
    SEARCH_SEED,
    GENERATION,
];

/// Reports a key that a section does not have.
pub(crate) fn unknown(scope: Scope<'_>, section: Section, key: &str, span: &Span) -> Diagnostic {
    let lacks = match (section, scope.dataset, scope.method) {
        (Section::General, ..) => "an experiment has no key".to_owned(),
        (Section::Data, Some(dataset), _) => format!("data set `{}` has no setting", dataset.name),
        (Section::Params, _, Some(method)) => format!("method `{}` has no hyperparameter", method.name),
        (section, ..) => format!("`[{}]` has no key", section.key()),
    };
    let diagnostic = Diagnostic::new(span, format!("{lacks} `{key}`"));
    let tables: Vec<&str> = match section {
        Section::General => sections(scope).into_iter().map(Section::key).chain([METHOD, EXTERNAL, EXTENDS]).collect(),
        _ => Vec::new(),
    };
    let defaults = scope.defaults(section);
    let known = defaults.keys().map(String::as_str).chain(tables);
    diagnostic.help(elsewhere(scope, Some(section), key).unwrap_or_else(|| did_you_mean(key, known)))
}

/// Reports a key that a `[[method]]` does not have.
pub(crate) fn unknown_in_method(scope: Scope<'_>, key: &str, span: &Span) -> Diagnostic {
    let diagnostic = Diagnostic::new(span, format!("`[[method]]` has no key `{key}`"));
    diagnostic.help(elsewhere(scope, None, key).unwrap_or_else(|| did_you_mean(key, METHOD_KEYS)))
}

/// The shared sections that have a schema.
fn sections(scope: Scope<'_>) -> Vec<Section> {
    let known = |section: &Section| *section == Section::Data || scope.schema(*section).is_some();
    Section::shared().into_iter().filter(known).collect()
}

/// Names the other table that has a key. `here` is `None` in a `[[method]]`.
fn elsewhere(scope: Scope<'_>, here: Option<Section>, key: &str) -> Option<String> {
    let has = |section: Section| scope.schema(section).is_some_and(|schema| schema.defaults.contains_key(key));
    let others = sections(scope).into_iter().filter(|section| Some(*section) != here);
    if let Some(section) = others.into_iter().find(|section| has(*section)) {
        return Some(format!("`{key}` is a key of `[{}]`", section.key()));
    }
    let methods = scope.method.map_or(scope.catalog.methods.as_slice(), std::slice::from_ref);
    let owner = methods.iter().find(|method| method.params.defaults.contains_key(key));
    if let Some(method) = owner.filter(|_| here != Some(Section::Params)) {
        return Some(format!(
            "`{key}` is a hyperparameter of `{}`: write it in `params` of its `[[method]]`",
            method.name
        ));
    }
    (here != Some(Section::General) && has(Section::General)).then(|| format!("`{key}` stands at the top of the file"))
}
