//! An experiment: the file under its overrides, checked as a whole.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use serde_json::Value;

use crate::catalog::{Catalog, DatasetDecl, DatasetDescription, ProtocolDecl};
use crate::constraints::violations;
use crate::diagnostic::{Diagnostic, Diagnostics, SourceText, Span};
use crate::extends::FileTree;
use crate::external::{ExternalTable, external_tables};
use crate::layers::{Base, Layer, Layers, Merged, Origin};
use crate::method_table::{MethodTable, method_tables};
use crate::overrides::{Override, Overrides};
use crate::reader::Reader;
use crate::scope::Scope;
use crate::search::{self, Search};
use crate::section::Section;
use crate::toml_tree::Field;
use crate::{applicability, dataset, extends, external_runs, facts, inactive, modalities, pruning, required};

/// A checked experiment, ready to be planned.
pub struct Experiment {
    pub(crate) name: String,
    pub(crate) catalog: Catalog,
    pub(crate) dataset: DatasetDecl,
    pub(crate) description: DatasetDescription,
    pub(crate) protocol: ProtocolDecl,
    pub(crate) layers: Layers,
    pub(crate) methods: Vec<MethodTable>,
    pub(crate) external: Vec<ExternalTable>,
    /// The texts that its settings come from.
    pub(crate) sources: Vec<SourceText>,
}

impl Experiment {
    /// The experiment's name: the stem of its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The data set.
    pub fn dataset(&self) -> &DatasetDecl {
        &self.dataset
    }

    /// The data set with the experiment's `[data]`.
    pub fn description(&self) -> &DatasetDescription {
        &self.description
    }

    /// The texts of the files that its file extends, the nearest first.
    pub fn bases(&self) -> impl Iterator<Item = &str> {
        self.sources[..self.layers.files.len()].iter().skip(1).map(|source| source.text.as_str())
    }

    /// The protocol.
    pub fn protocol(&self) -> &ProtocolDecl {
        &self.protocol
    }
}

/// Reads an experiment file with its overrides: defaults < file < method < grid point < environment < flags.
///
/// `origin` names the file in diagnostics and the experiment in its results.
///
/// # Errors
/// All problems of the file, the environment and the flags; if one of them is not TOML, only those of its syntax.
pub fn load(text: &str, origin: &Path, catalog: &Catalog, overrides: &Overrides) -> Result<Experiment, Diagnostics> {
    let mut sources = Vec::new();
    let files = extends::files(text, origin, &mut sources);
    let loaded = match (files, overrides.parse(&mut sources)) {
        (Ok(files), Ok(overrides)) => {
            let file = extends::topmost_fields(&files);
            Parsed { origin, files, file, overrides }.check(catalog)
        }
        (files, overrides) => Err(files.err().into_iter().chain(overrides.err()).flatten().collect()),
    };
    match loaded {
        Ok(experiment) => Ok(Experiment { sources, ..experiment }),
        Err(diagnostics) => Err(Diagnostics::new(sources, diagnostics)),
    }
}

/// The trees of an experiment.
struct Parsed<'p> {
    origin: &'p Path,
    /// The experiment file and those that it extends, the lowest first.
    files: Vec<FileTree>,
    /// The keys at the top of all of them.
    file: Vec<Field>,
    overrides: Vec<Override>,
}

impl Parsed<'_> {
    fn check(self, catalog: &Catalog) -> Result<Experiment, Vec<Diagnostic>> {
        let mut diagnostics = required::missing(&self.file, &self.overrides, catalog);
        let named = required::topmost(&self.file, &self.overrides, "dataset");
        let named_span = named.map_or_else(Span::file, |field| field.node.span.clone());
        let dataset = dataset::find(catalog, named).unwrap_or_else(|diagnostic| {
            diagnostics.push(diagnostic);
            None
        });
        let mut reader = Reader::new(Scope { catalog, dataset, description: None, method: None });
        let layers = self.layers(&mut reader);
        let mut methods = method_tables(&mut reader, &self.file);
        let mut external = external_tables(&mut reader, &self.file);
        diagnostics.append(&mut reader.diagnostics);

        let describe = |dataset| dataset::describe(reader.scope, dataset, &layers, &named_span);
        let description = dataset.map(describe).and_then(|described| keep(described, &mut diagnostics));
        let protocol = dataset.zip(description.as_ref()).and_then(|(dataset, description)| {
            let found = dataset::protocol(dataset, description, &layers, &named_span).cloned();
            keep(found.map_err(|diagnostic| vec![diagnostic]), &mut diagnostics)
        });
        let scope = Scope { description: description.as_ref(), ..reader.scope };
        let count = dataset
            .zip(protocol.as_ref())
            .map(|(dataset, protocol)| dataset::train_items(scope, dataset, protocol, &layers, &named_span));
        let train_items = count.and_then(|counted| keep(counted, &mut diagnostics)).flatten();
        diagnostics.extend(check_methods(scope, train_items, &layers, &mut methods));
        diagnostics.extend(external_runs::check(scope, &layers, &mut external, &methods));
        match (dataset, description, protocol) {
            (Some(dataset), Some(description), Some(protocol)) if diagnostics.is_empty() => Ok(Experiment {
                name: self.origin.file_stem().unwrap_or("experiment".as_ref()).to_string_lossy().into_owned(),
                catalog: catalog.clone(),
                dataset: dataset.clone(),
                description,
                protocol,
                layers,
                methods,
                external,
                sources: Vec::new(),
            }),
            _ => Err(diagnostics),
        }
    }

    fn layers(&self, reader: &mut Reader<'_>) -> Layers {
        let files =
            self.files.iter().map(|file| reader.shared(Origin::File(file.path.clone()), &file.fields)).collect();
        let above = |above: &Override| reader.shared(above.origin.clone(), std::slice::from_ref(&above.field));
        Layers { files, overrides: self.overrides.iter().map(above).collect() }
    }
}

/// The value; or `None`, its diagnostics added to the others.
fn keep<T>(checked: Result<T, Vec<Diagnostic>>, diagnostics: &mut Vec<Diagnostic>) -> Option<T> {
    checked.map_err(|more| diagnostics.extend(more)).ok()
}

/// Chooses the modalities of every method, and checks the settings of its runs at every point of its grid.
fn check_methods(
    scope: Scope<'_>,
    train_items: Option<usize>,
    layers: &Layers,
    methods: &mut [MethodTable],
) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let mut judged = BTreeSet::from([Section::Data]);
    let inspected = facts::Inspected::new(train_items);
    if let (Some(dataset), Some(description)) = (scope.dataset, scope.description) {
        diagnostics.extend(modalities::check_sections(layers, dataset, description));
    }
    for table in &mut *methods {
        let scope = Scope { method: Some(&scope.catalog.methods[table.method]), ..scope };
        let bits = bits(scope, table, layers);
        match Search::of(&Merged::new(scope, layers.around(&[&table.fixed])), table) {
            Ok(search) => table.grid.search = search,
            Err(wrong) => diagnostics.extend(wrong),
        }
        diagnostics.extend(table.grid.limit());
        diagnostics.extend(table.grid.check(layers, &bits));
        table.grid.under(layers);
        diagnostics.extend(table.grid.check_left(&bits));
        match modalities::choose(scope, table, layers) {
            Ok(chosen) => table.modalities = chosen,
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
        diagnostics.extend(check_points(scope, layers, table, &mut judged, &inspected));
        diagnostics.extend(inactive::without_effect(scope, layers, table));
    }
    diagnostics.extend(search::without_effect(layers, methods));
    // A section that no method reads must be valid, too.
    let rest: Vec<Section> = Section::shared().into_iter().filter(|section| !judged.contains(section)).collect();
    diagnostics.extend(violations(&Merged::new(scope, layers.around(&[])), &rest, &Span::file()));
    diagnostics
}

/// The fewest points that are worth a thread.
const LEAST_PART: usize = 64;

/// What `check` finds of points, in their order, each part of them on a thread of its own. These are no threads of a pool,
/// as a check may wait for the inspection of another one.
fn on_threads(points: &[Layer], check: impl Fn(&Layer) -> Vec<Diagnostic> + Sync) -> Vec<Diagnostic> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let part = points.len().div_ceil(threads).max(LEAST_PART);
    let of_part = |points: &[Layer]| points.iter().flat_map(&check).collect::<Vec<_>>();
    if points.len() <= part {
        return of_part(points);
    }
    thread::scope(|scope| {
        let started: Vec<_> = points.chunks(part).map(|points| scope.spawn(|| of_part(points))).collect();
        started.into_iter().flat_map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// The code lengths of a method; none if they are missing or wrong.
fn bits(scope: Scope<'_>, table: &MethodTable, layers: &Layers) -> Vec<u64> {
    let merged = Merged::new(scope, layers.around(&[&table.fixed]));
    merged
        .table(Section::General)
        .get("bits")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_u64)
        .collect()
}

/// Checks the rules between the settings of a method's runs.
fn check_points(
    scope: Scope<'_>,
    layers: &Layers,
    table: &MethodTable,
    judged: &mut BTreeSet<Section>,
    inspected: &facts::Inspected,
) -> Vec<Diagnostic> {
    let sections = scope.method.map(|method| applicability::sections(method, &table.modalities)).unwrap_or_default();
    judged.extend(&sections);
    let base = Base::new(scope, layers.below(&table.fixed));
    let check = |point: &Layer| {
        let merged = base.merged(&layers.above(point));
        let mut found = violations(&merged, &sections, &table.span);
        found.extend(modalities::check_encoders(&merged, &table.modalities, &table.span));
        found.extend(pruning::check(&merged, &table.span));
        if found.is_empty() && !sections.iter().any(|section| merged.rejects_any(*section)) {
            found = facts::check(&merged, &table.modalities, inspected, &table.span);
        }
        found
    };
    on_threads(&table.points(), check)
}
