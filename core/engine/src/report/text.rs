//! For a terminal: aligned columns between rules, as papers set them.

use comfy_table::{Attribute, Cell, ContentLineStyle, LineStyle, Table as Grid, TableStyle};

use super::document::{Content, Document, Mark, Notes, Table, one_line};

/// Columns that prose is wrapped to.
const WIDTH: usize = 100;

/// Rules above, below the heading and below the last row; no vertical lines.
const RULES: TableStyle = TableStyle::new()
    .top_border(rule('━'))
    .header_lines(ContentLineStyle::none())
    .header_separator(rule('─'))
    .content_lines(ContentLineStyle::none())
    .bottom_border(rule('━'));

const fn rule(line: char) -> LineStyle {
    LineStyle::none().fill(line).junction(line)
}

/// Writes a document, distinctions as bold and underline or, without colour, as `*` and `+`.
pub(super) fn write(document: &Document, colour: bool) -> String {
    let facts = document.facts.iter().map(|(name, text)| paragraph(&format!("  {name:<10} "), text));
    let warnings = document.warnings.iter().map(|text| paragraph("  warning    ", text));
    let head: String = [format!("{}\n", one_line(&document.title))].into_iter().chain(facts).chain(warnings).collect();
    let tables = document.tables.iter().map(|t| table(t, colour));
    let notes = document.notes.iter().map(notes);
    let times = document.times.iter().map(|t| table(t, colour));
    [head].into_iter().chain(tables).chain(notes).chain(times).collect::<Vec<_>>().join("\n")
}

fn table(table: &Table, colour: bool) -> String {
    let mut grid = Grid::new();
    grid.load_style(RULES).force_no_tty();
    if colour {
        grid.enforce_styling().style_text_only();
    }
    let signed: Vec<bool> = (0..table.columns.len()).map(|i| !colour && table.has_marks(i)).collect();
    let heading = |(text, &signed): (&String, &bool)| Cell::new(format!("{}{text}", if signed { " " } else { "" }));
    grid.set_header(table.columns.iter().zip(&signed).map(heading));
    for row in &table.rows {
        grid.add_row(row.iter().zip(&signed).map(|(c, &signed)| cell(c, signed)));
    }
    let lines = [table.title.clone(), grid.trim_fmt()];
    let remarks = legend(table, colour).into_iter().chain(table.remarks.iter().map(|r| format!(" {r}")));
    lines.into_iter().chain(remarks).map(|line| line + "\n").collect()
}

/// `signed` puts the mark, or a blank in its place, before the text, so that a column's digits stay aligned.
fn cell(content: &Content, signed: bool) -> Cell {
    let text = one_line(&format!("{}{}", content.text, content.rest));
    let cell = Cell::new(if signed { format!("{}{text}", sign(content.mark)) } else { text });
    match content.mark {
        Mark::Bold if !signed => cell.add_attribute(Attribute::Bold),
        Mark::Underlined if !signed => cell.add_attribute(Attribute::Underlined),
        _ => cell,
    }
}

fn sign(mark: Mark) -> char {
    match mark {
        Mark::Plain => ' ',
        Mark::Bold => '*',
        Mark::Underlined => '+',
    }
}

fn legend(table: &Table, colour: bool) -> Option<String> {
    let entry = |&(mark, meaning): &(Mark, &str)| match mark {
        Mark::Bold if colour => format!("bold: {meaning}"),
        Mark::Underlined if colour => format!("underlined: {meaning}"),
        _ => format!("{} {meaning}", sign(mark)),
    };
    (!table.legend.is_empty()).then(|| format!(" {}", table.legend.iter().map(entry).collect::<Vec<_>>().join("   ")))
}

fn notes(notes: &Notes) -> String {
    let lines = notes.lines.iter().map(|line| {
        let text = line.trim_start();
        paragraph(&" ".repeat(2 + line.len() - text.len()), text)
    });
    [format!("{}\n", notes.title)].into_iter().chain(lines).collect()
}

/// Wraps a text after a prefix, with the lines that follow indented as far.
fn paragraph(prefix: &str, text: &str) -> String {
    let indent = prefix.chars().count();
    let mut out = prefix.to_owned();
    let mut column = indent;
    for word in one_line(text).split_whitespace() {
        let width = word.chars().count();
        if column > indent && column + 1 + width > WIDTH {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        }
        if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out + "\n"
}
