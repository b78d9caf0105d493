//! The data set of an experiment, its description and its protocol.

use hashlab_settings::Violation;
use serde_json::Value;

use crate::catalog::{Catalog, DatasetDecl, DatasetDescription, ProtocolDecl};
use crate::constraints::{diagnostic, violations};
use crate::diagnostic::{Diagnostic, Span};
use crate::layers::{Layers, Merged};
use crate::scope::Scope;
use crate::section::Section;
use crate::suggest::did_you_mean;
use crate::toml_tree::Field;

/// Finds the data set that the top level names. A value of another type is reported elsewhere.
///
/// # Errors
/// If there is none of that name.
pub(crate) fn find<'c>(catalog: &'c Catalog, named: Option<&Field>) -> Result<Option<&'c DatasetDecl>, Diagnostic> {
    let Some(field) = named else { return Ok(None) };
    let value = field.node.value();
    let Some(name) = value.as_str() else { return Ok(None) };
    let found = catalog.datasets.iter().find(|dataset| dataset.name == name);
    found.map(Some).ok_or_else(|| {
        let known = catalog.datasets.iter().map(|dataset| dataset.name.as_str());
        Diagnostic::new(&field.node.span, format!("there is no data set `{name}`")).help(did_you_mean(name, known))
    })
}

/// Describes the data set with the merged `[data]` section. An error is shown at that section or at `dataset`.
///
/// # Errors
/// Every violated rule of the section, or the reason why the data set cannot be described.
pub(crate) fn describe(
    scope: Scope<'_>,
    dataset: &DatasetDecl,
    layers: &Layers,
    named: &Span,
) -> Result<DatasetDescription, Vec<Diagnostic>> {
    let span = data_span(layers, named);
    let merged = Merged::new(scope, layers.around(&[]));
    let broken = violations(&merged, &[Section::Data], span);
    if !broken.is_empty() || merged.rejects_any(Section::Data) {
        return Err(broken);
    }
    (dataset.describe)(merged.table(Section::Data)).map_err(|error| {
        let message = error.to_string();
        let mut lines = message.lines();
        let first = format!("data set `{}`: {}", dataset.name, lines.next().unwrap_or("no description"));
        vec![lines.fold(Diagnostic::new(span, first), |diagnostic, line| {
            diagnostic.help(line.strip_prefix("help: ").unwrap_or(line).trim_start())
        })]
    })
}

/// Counts the training items, if the data set is here. An error is shown at the first key of `[data]` that it names, or at
/// that section.
///
/// # Errors
/// The reason why the data set cannot be split.
pub(crate) fn train_items(
    scope: Scope<'_>,
    dataset: &DatasetDecl,
    protocol: &ProtocolDecl,
    layers: &Layers,
    named: &Span,
) -> Result<Option<usize>, Vec<Diagnostic>> {
    let merged = Merged::new(scope, layers.around(&[]));
    let split_seed = merged.table(Section::General).get("split_seed").and_then(Value::as_u64).unwrap_or_default();
    let data = merged.table(Section::Data);
    (dataset.train_items)(data, &protocol.name, split_seed).map_err(|message| {
        let quoted = message.split('`').skip(1).step_by(2);
        let keys = quoted.filter(|word| data.contains_key(*word)).map(str::to_owned).collect();
        vec![diagnostic(&merged, Section::Data, &Violation { keys, message }, data_span(layers, named))]
    })
}

fn data_span<'s>(layers: &'s Layers, named: &'s Span) -> &'s Span {
    layers.downwards().find_map(|layer| layer.table(Section::Data)).unwrap_or(named)
}

/// Finds the protocol among those of the data set: the named one, or the first.
///
/// # Errors
/// If the data set has none of that name, or none at all.
pub(crate) fn protocol<'d>(
    dataset: &DatasetDecl,
    description: &'d DatasetDescription,
    layers: &Layers,
    named: &Span,
) -> Result<&'d ProtocolDecl, Diagnostic> {
    let set = layers.downwards().find_map(|layer| layer.find(Section::General, "protocol"));
    let Some(set) = set else {
        let none = || Diagnostic::new(named, format!("data set `{}` has no protocol", dataset.name));
        return description.protocols.first().ok_or_else(none);
    };
    let name = set.value.as_str().unwrap_or_default();
    description.protocols.iter().find(|protocol| protocol.name == name).ok_or_else(|| {
        let known = description.protocols.iter().map(|protocol| protocol.name.as_str());
        let message = format!("data set `{}` has no protocol `{name}`", dataset.name);
        Diagnostic::new(&set.span, message).help(did_you_mean(name, known))
    })
}
