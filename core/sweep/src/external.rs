//! Reader of `[[external]]`: a row of codes that others computed.

use hashlab_data::Modality;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::CodesFacts;
use crate::codes_path::{CodesPath, Side};
use crate::diagnostic::{Diagnostic, Span};
use crate::known_keys::EXTERNAL;
use crate::method_table::MethodTable;
use crate::reader::Reader;
use crate::suggest::did_you_mean;
use crate::toml_tree::{Field, Node, NodeKind};

/// Keys of an `[[external]]`.
const KEYS: [&str; 3] = ["label", "codes", "bits"];

/// What an external row's label ends with, wherever it is shown.
pub(crate) const MARK: &str = " (external codes)";

/// One `[[external]]`, checked but for its files.
#[derive(Clone, Debug)]
pub(crate) struct ExternalTable {
    /// The row of its results in a table.
    pub(crate) label: String,
    /// Where its codes lie.
    pub(crate) codes: CodesPath,
    /// Span of the path; diagnostics on the files point to it.
    pub(crate) span: Span,
    /// Its code lengths; none for those of the experiment.
    pub(crate) bits: Option<Vec<usize>>,
    /// The modalities of its codes.
    pub(crate) modalities: Vec<Modality>,
}

/// A file of codes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodesFile {
    /// The items that it has codes of.
    pub side: Side,
    /// The modality that was encoded.
    pub modality: Modality,
    /// Path as the experiment has it, with the array behind `#`.
    pub path: String,
    /// Number of its codes, and the digest of the file.
    pub facts: CodesFacts,
}

/// Reads the external rows of a file.
pub(crate) fn external_tables(reader: &mut Reader<'_>, fields: &[Field]) -> Vec<ExternalTable> {
    let Some(field) = fields.iter().find(|field| field.key == EXTERNAL) else { return Vec::new() };
    let NodeKind::List(nodes) = &field.node.kind else {
        let message = format!("`{EXTERNAL}` must be a list of tables, got {}", field.node.describe());
        reader.push(Diagnostic::new(&field.span, message).help("write `[[external]]`, once per row"));
        return Vec::new();
    };
    nodes.iter().filter_map(|node| external_table(reader, node)).collect()
}

fn external_table(reader: &mut Reader<'_>, node: &Node) -> Option<ExternalTable> {
    let NodeKind::Table(fields) = &node.kind else {
        let message = format!("an external row must be a table, got {}", node.describe());
        reader
            .push(Diagnostic::new(&node.span, message).help("write `[[external]]`, and `label` and `codes` below it"));
        return None;
    };
    for field in fields.iter().filter(|field| !KEYS.contains(&field.key.as_str())) {
        let diagnostic = Diagnostic::new(&field.span, format!("`[[external]]` has no key `{}`", field.key));
        reader.push(diagnostic.help(did_you_mean(&field.key, KEYS)));
    }
    let mut text = |key: &str, example: &str| match fields.iter().find(|field| field.key == key) {
        Some(field) => Some((reader.text(field)?, field.node.span.clone())),
        None => {
            let diagnostic = Diagnostic::new(&node.span, format!("an `[[external]]` has no `{key}`"));
            reader.push(diagnostic.help(format!("write e.g. `{key} = {example:?}`")));
            None
        }
    };
    let label = text("label", "HashNet, PyTorch");
    let codes = text("codes", "hashnet_{bits}_{side}.npy");
    let bits = fields.iter().find(|field| field.key == "bits").and_then(|field| code_lengths(reader, field));
    let ((label, _), (path, span)) = (label?, codes?);
    match CodesPath::parse(&path) {
        Ok(codes) => Some(ExternalTable { label: label + MARK, codes, span, bits, modalities: Vec::new() }),
        Err([message, help]) => {
            reader.push(Diagnostic::new(&span, message).help(help));
            None
        }
    }
}

/// Reads the row's own `bits`, as those at the top of the file are read.
fn code_lengths(reader: &mut Reader<'_>, field: &Field) -> Option<Vec<usize>> {
    let assignment = reader.value(crate::section::Section::General, &field.key, &field.span, &field.node)?;
    if let (NodeKind::List(_), Value::Array(values)) = (&field.node.kind, &assignment.value) {
        let wrong = crate::typed_value::check_list(&field.key, &field.node, values);
        reader.diagnostics.extend(wrong);
    }
    serde_json::from_value(assignment.value).ok()
}

impl ExternalTable {
    /// The row's files for a code length and seed.
    pub(crate) fn files(&self, bits: usize, seed: u64) -> impl Iterator<Item = (Side, Modality, String)> {
        let sides = self.codes.sides().iter();
        sides.flat_map(move |&side| {
            self.modalities.iter().map(move |&modality| (side, modality, self.codes.of(bits, seed, side, modality)))
        })
    }

    /// The seeds that it has codes of.
    pub(crate) fn seeds<'s>(&self, seeds: &'s [u64]) -> &'s [u64] {
        if self.codes.differs_by_seed() { seeds } else { &seeds[..seeds.len().min(1)] }
    }
}

/// Checks the rows among each other and beside the methods' rows, and chooses the modalities of their codes.
pub(crate) fn check_rows(tables: &mut [ExternalTable], methods: &[MethodTable], bits: &[usize]) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let mut known: Vec<String> = methods.iter().map(|method| method.label.clone()).collect();
    let mut modalities: Vec<Modality> = methods.iter().flat_map(|method| method.modalities.iter().copied()).collect();
    modalities.sort_unstable();
    modalities.dedup();
    for table in tables {
        let mut wrong = |message: String, help: &str| {
            diagnostics.push(Diagnostic::new(&table.span, message).help(help));
        };
        if known.contains(&table.label) {
            wrong(format!("there is a row `{}` already", table.label), "give this one another `label`");
        }
        known.push(table.label.clone());
        let lengths = table.bits.as_deref().unwrap_or(bits);
        if lengths.len() > 1 && !table.codes.differs_by_bits() {
            let message = format!("`codes` names the same file for {} code lengths", lengths.len());
            wrong(message, "write `{bits}` in it, or give the row its own `bits`");
        }
        if lengths.is_empty() {
            wrong(format!("the row `{}` has no `bits`", table.label), "write `bits = [64]` in its `[[external]]`");
        }
        match (modalities.as_slice(), table.codes.differs_by_modality()) {
            ([_, _, ..], false) => wrong(
                "`codes` names the same file for images and texts".to_owned(),
                "write `{modality}` in it, or `{modality:img|txt}`",
            ),
            ([only], true) => wrong(
                format!("`codes` has a place for the modality, and the methods of this experiment encode {only}s only"),
                "leave `{modality}` out",
            ),
            _ => {}
        }
        table.modalities.clone_from(&modalities);
    }
    diagnostics
}
