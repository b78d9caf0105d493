//! For a terminal: aligned columns between rules, as papers set them.

use std::borrow::Cow;

use comfy_table::{Attribute, Cell, ContentLineStyle, LineStyle, Table as Grid, TableStyle};
use hashlab_store::ascii;
use textwrap::{Options as Wrapping, WordSeparator, WordSplitter};

use crate::document::{Content, Document, Mark, Notes, Table};
use crate::options::Options;
use crate::wording::one_line;

/// Columns that prose is wrapped to.
const WIDTH: usize = 100;

/// Rules above, below the heading and below the last row; no vertical lines.
const RULES: TableStyle = TableStyle::new()
    .top_border(rule('━'))
    .header_lines(ContentLineStyle::none())
    .header_separator(rule('─'))
    .content_lines(ContentLineStyle::none())
    .bottom_border(rule('━'));

/// What a terminal can show.
#[derive(Clone, Copy)]
struct Look {
    color: bool,
    ascii: bool,
}

impl Look {
    /// The text as it can be shown. What stands for a symbol may be wider, so that cells are changed before they are
    /// aligned.
    fn shown(self, text: &str) -> Cow<'_, str> {
        if self.ascii { ascii(text) } else { Cow::Borrowed(text) }
    }
}

const fn rule(line: char) -> LineStyle {
    LineStyle::none().fill(line).junction(line)
}

/// Writes a document, distinctions as bold and underline or, without color, as `*` and `+`.
pub(crate) fn write(document: &Document, options: &Options) -> String {
    let look = Look { color: options.color, ascii: options.ascii };
    let warnings = document.warnings.iter().map(|text| ("warning", text));
    let facts = document.facts.iter().map(|(name, text)| (name.as_str(), text)).chain(warnings);
    let names = facts.clone().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let facts = facts.map(|(name, text)| paragraph(&format!("  {name:<names$}  "), text));
    let head: String = [format!("{}\n", one_line(&document.title))].into_iter().chain(facts).collect();
    let tables = document.tables.iter().map(|t| table(t, look));
    let notes = document.notes.iter().map(notes);
    let times = document.times.iter().map(|t| table(t, look));
    let text = [head].into_iter().chain(tables).chain(notes).chain(times).collect::<Vec<_>>().join("\n");
    look.shown(&text).into_owned()
}

fn table(table: &Table, look: Look) -> String {
    let color = look.color;
    let mut grid = Grid::new();
    grid.load_style(RULES).force_no_tty();
    if color {
        grid.enforce_styling().style_text_only();
    }
    let signed: Vec<bool> = (0..table.columns.len()).map(|i| !color && table.has_marks(i)).collect();
    grid.set_header(headings(table).iter().zip(&signed).map(|(lines, &signed)| heading(lines, signed, look)));
    for (title, row) in table.titled_rows() {
        if let Some(title) = title {
            grid.add_row([one_line(title)]);
        }
        grid.add_row(row.iter().zip(&signed).map(|(c, &signed)| cell(c, signed, look)));
    }
    let lines = [table.title.clone(), grid.trim_fmt()];
    let remarks = legend(table, color).into_iter().chain(table.remarks.iter().map(|r| format!(" {r}")));
    lines.into_iter().chain(remarks).map(|line| line + "\n").collect()
}

/// Each column's heading: one line, or two where columns are grouped, with a group's title above its first column.
fn headings(table: &Table) -> Vec<Vec<&str>> {
    if table.groups.is_empty() {
        return table.columns.iter().map(|column| vec![column.as_str()]).collect();
    }
    let blank = std::iter::repeat_n("", table.ungrouped());
    let titles = table.groups.iter().flat_map(|g| [g.title.as_str()].into_iter().chain((1..g.columns).map(|_| "")));
    blank.chain(titles).zip(&table.columns).map(|(above, column)| vec![above, column]).collect()
}

/// A heading starts where the digits below it do.
fn heading(lines: &[&str], signed: bool, look: Look) -> Cell {
    let indent = if signed { " " } else { "" };
    Cell::new(lines.iter().map(|line| format!("{indent}{}", look.shown(line))).collect::<Vec<_>>().join("\n"))
}

/// `signed` puts the mark, or a blank in its place, before the text, so that a column's digits stay aligned.
fn cell(content: &Content, signed: bool, look: Look) -> Cell {
    let text = one_line(&look.shown(&format!("{}{}", content.text, content.rest)));
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

fn legend(table: &Table, color: bool) -> Option<String> {
    let entry = |&(mark, meaning): &(Mark, &str)| match mark {
        Mark::Bold if color => format!("bold: {meaning}"),
        Mark::Underlined if color => format!("underlined: {meaning}"),
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
    let indent = " ".repeat(prefix.chars().count());
    let wrapping = Wrapping::new(WIDTH)
        .initial_indent(prefix)
        .subsequent_indent(&indent)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(&one_line(text), wrapping) + "\n"
}
