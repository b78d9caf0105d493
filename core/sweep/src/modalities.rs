//! The modalities of a method's runs, and their encoders.

use hashlab_data::{DataKind, Modality};

use crate::catalog::{DatasetDecl, DatasetDescription};
use crate::diagnostic::{Diagnostic, Span};
use crate::layers::{Layers, Merged};
use crate::method_table::MethodTable;
use crate::scope::{ENCODER, NO_ENCODER, Scope};
use crate::section::{Section, names};

/// Reports the shared `[image]` or `[text]` of a modality that the data set does not have.
pub(crate) fn check_sections(layers: &Layers, dataset: &DatasetDecl, data: &DatasetDescription) -> Vec<Diagnostic> {
    let foreign = Modality::ALL.into_iter().filter(|modality| data.modalities.get(*modality).is_none());
    let report = |modality: Modality| {
        let span = section_span(layers, modality)?;
        let has = names(data.modalities.modalities());
        let message = format!("data set `{}` has {has} only, so `[{modality}]` applies to nothing", dataset.name);
        let help = format!("name a data set with {modality}s, or leave `[{modality}]` out");
        Some(Diagnostic::new(span, message).help(help))
    };
    foreign.filter_map(report).collect()
}

/// Chooses the modalities of a method's runs: those that it needs; or, for a method that takes any, the one whose table
/// the method or the file has, else the data set's only one, else images.
///
/// # Errors
/// If the data set lacks one, or if it is not clear which one is meant.
pub(crate) fn choose(scope: Scope<'_>, table: &MethodTable, layers: &Layers) -> Result<Vec<Modality>, Diagnostic> {
    let method = &scope.catalog.methods[table.method];
    let modalities = match method.needs.fixed() {
        Some(fixed) => fixed.to_vec(),
        None => vec![any(scope, table, layers)?],
    };
    let (Some(dataset), Some(data)) = (scope.dataset, scope.description) else { return Ok(modalities) };
    match modalities.iter().find(|modality| data.modalities.get(**modality).is_none()) {
        None => Ok(modalities),
        Some(&missing) => {
            let (needs, has) = (names(modalities.iter().copied()), names(data.modalities.modalities()));
            let (method, dataset) = (&method.name, &dataset.name);
            let message = format!("method `{method}` needs {needs}, and data set `{dataset}` has {has} only");
            let help = format!("name a data set with {missing}s, or leave method `{method}` out");
            Err(Diagnostic::new(&table.span, message).help(help))
        }
    }
}

/// The one modality of a method that takes any.
fn any(scope: Scope<'_>, table: &MethodTable, layers: &Layers) -> Result<Modality, Diagnostic> {
    let has = |modality: &Modality| scope.description.is_none_or(|data| data.modalities.get(*modality).is_some());
    let own: Vec<Modality> = Modality::ALL.into_iter().filter(|modality| table.has(*modality)).collect();
    let shared = Modality::ALL.into_iter().filter(|modality| section_span(layers, *modality).is_some());
    let shared: Vec<Modality> = shared.filter(has).collect();
    let method = &scope.catalog.methods[table.method];
    match if own.is_empty() { shared } else { own }.as_slice() {
        [one] => Ok(*one),
        [] => {
            let only = scope.description.and_then(|data| data.modalities.only());
            Ok(only.map_or(Modality::Image, |(modality, _)| modality))
        }
        several => {
            let names = names(several.iter().copied());
            let message = format!("method `{}` reads one modality, and the file has sections for {names}", method.name);
            let help = "say which one is meant in this method: `image = {}` or `text = {}`";
            Err(Diagnostic::new(&table.span, message).help(help))
        }
    }
}

/// Reports encoders that do not fit the form of the data set's items: features have none.
pub(crate) fn check_encoders(merged: &Merged<'_>, modalities: &[Modality], owner: &Span) -> Vec<Diagnostic> {
    let (Some(dataset), Some(data)) = (merged.scope.dataset, merged.scope.description) else { return Vec::new() };
    let check = |modality: Modality| {
        let (section, kind) = (Section::Encoder(modality), data.modalities.get(modality)?);
        let table = merged.table(section);
        let name = table.get(ENCODER)?.as_str()?;
        let message = match (kind, name == NO_ENCODER) {
            (DataKind::Features, true) | (DataKind::Pixels | DataKind::Texts, false) => return None,
            (DataKind::Features, false) => {
                format!("data set `{}` holds {modality} features, which `{name}` cannot encode", dataset.name)
            }
            (kind, true) => format!("data set `{}` holds {kind}, which need an encoder", dataset.name),
        };
        let span = merged.assignment(section, ENCODER).map_or(owner, |assignment| &assignment.span);
        Some(Diagnostic::new(span, message).help(match kind {
            DataKind::Features => {
                format!("leave `{ENCODER}` out of `[{modality}]`, or write `{ENCODER} = \"{NO_ENCODER}\"`")
            }
            _ => format!("`{ENCODER} = \"{NO_ENCODER}\"` is for data sets of features"),
        }))
    };
    modalities.iter().filter_map(|modality| check(*modality)).collect()
}

/// Span of a modality's section in the uppermost shared layer that has it.
fn section_span(layers: &Layers, modality: Modality) -> Option<&Span> {
    layers.downwards().find_map(|layer| layer.table(Section::Encoder(modality)))
}
