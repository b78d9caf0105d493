//! Reader of `[[method]]`: a method, its fixed settings and its grid.

use hashlab_data::Modality;

use crate::applicability;
use crate::catalog::MethodDecl;
use crate::diagnostic::{Diagnostic, Span};
use crate::grid::{GRID, ZIP};
use crate::known_keys::{METHOD, unknown_in_method};
use crate::layers::{Layer, Origin};
use crate::points::{EXCLUDE, Grid, WHEN};
use crate::reader::Reader;
use crate::search::{GENERATION, SEARCH, SEARCH_SEED, TRIALS};
use crate::section::Section;
use crate::suggest::did_you_mean;
use crate::toml_tree::{Field, Node, NodeKind};

/// One `[[method]]`, checked.
#[derive(Clone, Debug)]
pub(crate) struct MethodTable {
    /// Index of the method in the catalog.
    pub(crate) method: usize,
    /// The row of its results in a table.
    pub(crate) label: String,
    /// Span of the method's name; diagnostics on the whole table point to it.
    pub(crate) span: Span,
    /// The fixed settings of the table.
    pub(crate) fixed: Layer,
    /// What it varies.
    pub(crate) grid: Grid,
    /// The keys that vary, including those that an override fixes.
    pub(crate) varied: Vec<(Section, String)>,
    /// The modalities of its runs.
    pub(crate) modalities: Vec<Modality>,
}

impl MethodTable {
    /// The points of the grid: one layer of settings each.
    pub(crate) fn points(&self) -> Vec<Layer> {
        self.grid.points()
    }

    /// Whether the table sets or varies the encoder of a modality.
    pub(crate) fn has(&self, modality: Modality) -> bool {
        let section = Section::Encoder(modality);
        self.fixed.table(section).is_some() || self.varied.iter().any(|(varied, _)| *varied == section)
    }
}

/// Reads the methods of a file. Tables without an existing method are left out.
pub(crate) fn method_tables(reader: &mut Reader<'_>, fields: &[Field]) -> Vec<MethodTable> {
    let Some(field) = fields.iter().find(|field| field.key == METHOD) else { return Vec::new() };
    let NodeKind::List(nodes) = &field.node.kind else {
        let message = format!("`method` must be a list of tables, got {}", field.node.describe());
        reader.push(Diagnostic::new(&field.span, message).help("write `[[method]]`, once per method"));
        return Vec::new();
    };
    if nodes.is_empty() {
        let message = "`method` is empty, so there would be nothing to run";
        reader.push(Diagnostic::new(&field.node.span, message).help("write `[[method]]`, once per method"));
    }
    let tables: Vec<MethodTable> = nodes.iter().filter_map(|node| method_table(reader, node)).collect();
    reader.scope.method = None;
    labels(reader, &tables);
    tables
}

/// Whether a character controls what is shown around it, such as the direction of writing.
fn controls(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a label looks like one without a blank at its end, or without a character that shows nothing. Joiners stay:
/// some scripts need them.
fn looks_like_another(label: &str) -> bool {
    let unseen = |c| {
        matches!(c, '\u{a0}' | '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
    };
    label.trim() != label || label.is_empty() || label.chars().any(unseen)
}

fn method_table(reader: &mut Reader<'_>, node: &Node) -> Option<MethodTable> {
    let NodeKind::Table(fields) = &node.kind else {
        let message = format!("a method must be a table, got {}", node.describe());
        reader.push(Diagnostic::new(&node.span, message).help("write `[[method]]` and `name = …` below it"));
        return None;
    };
    let (index, method, span) = named_method(reader, node, fields)?;
    reader.scope.method = Some(method);
    let label_field = fields.iter().find(|field| field.key == "label");
    let label = label_field.and_then(|field| reader.text(field));
    if let (Some(label), Some(field)) = (&label, label_field) {
        let problem = match () {
            () if label.chars().any(controls) => Some("holds a control character"),
            () if looks_like_another(label) => Some("is empty, or holds blanks or signs that nobody sees"),
            () => None,
        };
        if let Some(problem) = problem {
            let diagnostic = Diagnostic::new(&field.node.span, format!("`label` {problem}: {label:?}"));
            reader.push(diagnostic.help("tables and terminals show letters, digits and signs"));
        }
    }
    let mut fixed = Layer::new(Origin::Method(method.name.clone()));
    for field in fields {
        read_fixed(reader, &mut fixed, field);
    }
    let grid = Grid::read(reader, fields, &mut fixed);
    Some(MethodTable {
        method: index,
        label: label.unwrap_or_else(|| method.title.clone()),
        span,
        fixed,
        varied: grid.keys(),
        grid,
        modalities: Vec::new(),
    })
}

/// Finds the table's method in the catalog, and the span of its name.
fn named_method<'a>(reader: &mut Reader<'a>, node: &Node, fields: &[Field]) -> Option<(usize, &'a MethodDecl, Span)> {
    let methods = &reader.scope.catalog.methods;
    let Some(field) = fields.iter().find(|field| field.key == "name") else {
        let names = methods.iter().map(|method| method.name.as_str()).collect::<Vec<_>>().join(", ");
        reader.push(Diagnostic::new(&node.span, "a `[[method]]` has no `name`").help(format!("known: {names}")));
        return None;
    };
    let name = reader.text(field)?;
    let Some(index) = methods.iter().position(|method| method.name == name) else {
        let known = methods.iter().map(|method| method.name.as_str());
        let diagnostic = Diagnostic::new(&field.node.span, format!("there is no method `{name}`"));
        reader.push(diagnostic.help(did_you_mean(&name, known)));
        return None;
    };
    Some((index, &methods[index], field.node.span.clone()))
}

/// Reads a fixed setting of a table.
fn read_fixed(reader: &mut Reader<'_>, fixed: &mut Layer, field: &Field) {
    match field.key.as_str() {
        "name" | "label" | GRID | ZIP | WHEN | EXCLUDE => {}
        "bits" | "seeds" | SEARCH | TRIALS | SEARCH_SEED | GENERATION => reader.general(fixed, field),
        "params" => reader.section(fixed, Section::Params, field),
        key => match Section::varied().into_iter().find(|section| section.key() == key) {
            Some(section) => overridden(reader, fixed, section, field),
            None => reader.push(unknown_in_method(reader.scope, key, &field.span)),
        },
    }
}

/// Reads a method's own values for a shared section.
fn overridden(reader: &mut Reader<'_>, fixed: &mut Layer, section: Section, field: &Field) {
    if reader.scope.schema(section).is_none() {
        return reader.section(fixed, section, field);
    }
    fixed.tables.push((section, field.span.clone()));
    for field in reader.table(field) {
        match applicability::check(reader.scope, section, &field.key, &field.span) {
            Some(diagnostic) => reader.push(diagnostic),
            None => reader.setting(fixed, section, field),
        }
    }
}

/// One row holds one method: two tables of one method may compete in it, two methods may not.
fn labels(reader: &mut Reader<'_>, tables: &[MethodTable]) {
    let methods = &reader.scope.catalog.methods;
    let mut diagnostics = Vec::new();
    for (at, table) in tables.iter().enumerate() {
        let other = tables[..at].iter().find(|t| t.label == table.label && t.method != table.method);
        if let Some(other) = other {
            let owner = &methods[other.method].name;
            let message = format!("the row `{}` already belongs to method `{owner}`", table.label);
            diagnostics.push(Diagnostic::new(&table.span, message).help("give this method another `label`"));
        }
    }
    reader.diagnostics.extend(diagnostics);
}
