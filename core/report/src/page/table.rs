//! Tables of a document as HTML.

use askama::Template;

use crate::document::{Content, Mark, Table};
use crate::error::ReportError;

/// A table that can be sorted and filtered.
#[derive(Template)]
#[template(path = "table.html")]
pub(super) struct TableView<'a> {
    id: String,
    table: &'a Table,
}

/// Renders tables whose ids begin with `name`.
pub(super) fn render_all<'a>(name: &str, tables: impl Iterator<Item = &'a Table>) -> Result<Vec<String>, ReportError> {
    tables.enumerate().map(|(i, table)| Ok(TableView { id: format!("{name}-{i}"), table }.render()?)).collect()
}

/// Whether a cell holds a number, which is aligned as one.
fn is_number(cell: &Content) -> bool {
    cell.text.trim_start_matches(['(', '-']).starts_with(|c: char| c.is_ascii_digit())
}
