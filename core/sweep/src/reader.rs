//! Reader of tables of settings, which collects diagnostics.

use serde_json::Value;

use crate::diagnostic::{Diagnostic, Span};
use crate::known_keys::{EXTENDS, EXTERNAL, METHOD, unknown};
use crate::layers::{Assignment, Layer, Origin};
use crate::scope::Scope;
use crate::section::{General, Section};
use crate::toml_tree::{Field, Node, NodeKind};
use crate::typed_value;

/// Reader of settings.
pub(crate) struct Reader<'a> {
    pub(crate) scope: Scope<'a>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(scope: Scope<'a>) -> Self {
        Self { scope, diagnostics: Vec::new() }
    }

    /// Reads the shared keys and sections of an origin, except `[[method]]`, `[[external]]` and `extends`.
    pub(crate) fn shared(&mut self, origin: Origin, fields: &[Field]) -> Layer {
        let mut layer = Layer::new(origin);
        for field in fields.iter().filter(|field| ![METHOD, EXTERNAL, EXTENDS].contains(&field.key.as_str())) {
            match Section::shared().into_iter().find(|section| section.key() == field.key) {
                Some(section) => self.section(&mut layer, section, field),
                None => self.general(&mut layer, field),
            }
        }
        layer
    }

    /// Reads a table of settings.
    pub(crate) fn section(&mut self, layer: &mut Layer, section: Section, field: &Field) {
        layer.tables.push((section, field.span.clone()));
        if self.scope.schema(section).is_none() {
            match section {
                Section::Data => {} // the data set is unknown, which is reported on its own
                _ => self.diagnostics.push(unknown(self.scope, Section::General, &field.key, &field.span)),
            }
            return;
        }
        for field in self.table(field) {
            self.setting(layer, section, field);
        }
    }

    /// Reads a key of the top level, or of a method's own `bits`.
    pub(crate) fn general(&mut self, layer: &mut Layer, field: &Field) {
        if let NodeKind::List(items) = &field.node.kind {
            let values: Vec<Value> = items.iter().map(Node::value).collect();
            self.diagnostics.extend(typed_value::check_list(&field.key, &field.node, &values));
        }
        self.setting(layer, Section::General, field);
    }

    /// Reads one key of a section into a layer.
    pub(crate) fn setting(&mut self, layer: &mut Layer, section: Section, field: &Field) {
        match self.value(section, &field.key, &field.span, &field.node) {
            Some(assignment) => layer.assignments.push(assignment),
            None => layer.rejected.push((section, field.key.clone())),
        }
    }

    /// Checks a key and its value.
    pub(crate) fn value(&mut self, section: Section, key: &str, span: &Span, node: &Node) -> Option<Assignment> {
        let schema = self.scope.schema(section)?;
        let Some(expected) = schema.value_type(key) else {
            self.diagnostics.push(unknown(self.scope, section, key, span));
            return None;
        };
        match typed_value::check(key, expected, node) {
            Ok(value) => Some(Assignment { section, key: key.to_owned(), value, span: node.span.clone() }),
            Err(diagnostics) => {
                let help = match section {
                    Section::General => General::example(key).map(str::to_owned),
                    _ => self.scope.default_text(section, key).map(|default| format!("default: {default}")),
                };
                let helped = |diagnostic: Diagnostic| match &help {
                    Some(help) => diagnostic.help(help),
                    None => diagnostic,
                };
                self.diagnostics.extend(diagnostics.into_iter().map(helped));
                None
            }
        }
    }

    /// The fields of a table; if the value is not a table, no fields and a diagnostic.
    pub(crate) fn table<'f>(&mut self, field: &'f Field) -> &'f [Field] {
        if let NodeKind::Table(fields) = &field.node.kind {
            return fields;
        }
        let (key, got) = (&field.key, field.node.describe());
        self.push(Diagnostic::new(&field.node.span, format!("`{key}` must be a table of settings, got {got}")));
        &[]
    }

    /// Reads a non-empty string.
    pub(crate) fn text(&mut self, field: &Field) -> Option<String> {
        let value = field.node.value();
        if let Some(text) = value.as_str().filter(|text| !text.trim().is_empty()) {
            return Some(text.to_owned());
        }
        let message = format!("`{}` must be a string with something in it, got {}", field.key, field.node.describe());
        self.push(Diagnostic::new(&field.node.span, message));
        None
    }

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }
}
