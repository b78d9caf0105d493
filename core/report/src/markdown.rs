//! For a page: GitHub's pipe tables.

use crate::document::{Content, Document, Fact, Mark, Notes, Table};
use crate::wording::one_line;

/// Writes a document.
pub(crate) fn write(document: &Document) -> String {
    let facts = document.facts.iter().map(fact);
    let warnings = document.warnings.iter().map(|text| format!("- **warning**: {}\n", escape(text)));
    let head = [format!("## {}\n\n", escape(&document.title))].into_iter().chain(facts).chain(warnings).collect();
    let tables = document.tables.iter().map(table);
    let notes = document.notes.iter().map(notes);
    let times = document.times.iter().map(table);
    [head].into_iter().chain(tables).chain(notes).chain(times).collect::<Vec<String>>().join("\n")
}

fn fact((name, text): &Fact) -> String {
    match name.as_str() {
        "command" => format!("- {name}: `{}`\n", one_line(text)),
        _ => format!("- {name}: {}\n", escape(text)),
    }
}

fn table(table: &Table) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let heading = line(headings(table).iter().map(|c| escape(c)).collect());
    let rule = line(vec!["---".to_owned(); table.columns.len()]);
    let block = |title: &str| {
        let blank = std::iter::repeat_n(String::new(), table.columns.len() - 1);
        line([format!("*{}*", escape(title))].into_iter().chain(blank).collect())
    };
    let rows = table
        .titled_rows()
        .map(|(title, row)| title.map(block).unwrap_or_default() + &line(row.iter().map(cell).collect()));
    let legend = table.legend.iter().map(|(mark, meaning)| format!("{}: {meaning}", marked(*mark, name(*mark))));
    let remarks: Vec<String> = legend.chain(table.remarks.iter().map(|r| escape(r))).collect();
    let remarks = if remarks.is_empty() { String::new() } else { format!("\n{}\n", remarks.join("; ")) };
    let rows: String = [heading, rule].into_iter().chain(rows).collect();
    format!("### {}\n\n{rows}{remarks}", escape(&table.title))
}

/// Pipe tables have one line of headings, so each carries its group's.
fn headings(table: &Table) -> Vec<String> {
    let blank = std::iter::repeat_n("", table.ungrouped());
    let titles = table.groups.iter().flat_map(|g| std::iter::repeat_n(g.title.as_str(), g.columns));
    let heading = |(above, column): (&str, &String)| format!("{above} {column}").trim().to_owned();
    blank.chain(titles).zip(&table.columns).map(heading).collect()
}

fn cell(content: &Content) -> String {
    marked(content.mark, &escape(&content.text)) + &escape_characters(&content.rest)
}

fn marked(mark: Mark, text: &str) -> String {
    match mark {
        Mark::Plain => text.to_owned(),
        Mark::Bold => format!("**{text}**"),
        Mark::Underlined => format!("<u>{text}</u>"),
    }
}

fn name(mark: Mark) -> &'static str {
    if mark == Mark::Bold { "bold" } else { "underlined" }
}

fn notes(notes: &Notes) -> String {
    let line = |line: &String| {
        let text = line.trim_start();
        format!("{}- {}\n", " ".repeat(line.len() - text.len()), escape(text))
    };
    format!("### {}\n\n{}", notes.title, notes.lines.iter().map(line).collect::<String>())
}

fn escape(text: &str) -> String {
    escape_characters(&one_line(text))
}

/// Escapes what GitHub reads as markup. An underscore inside a word is none.
fn escape_characters(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let word = |i: usize| chars.get(i).is_some_and(|c| c.is_alphanumeric());
    let special = |i: usize, c: char| match c {
        '_' => i == 0 || !word(i - 1) || !word(i + 1),
        // Of a link, as in `[text](place)`; a number in brackets stays.
        ']' => matches!(chars.get(i + 1), Some('(' | '[')),
        // Of an entity, as in `&amp;`.
        '&' => chars.get(i + 1) == Some(&'#') || word(i + 1),
        _ => matches!(c, '\\' | '|' | '*' | '<' | '`' | '$' | '~'),
    };
    let mut out = String::new();
    for (i, &c) in chars.iter().enumerate() {
        if special(i, c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_text_whatever_they_hold() {
        for (label, text) in [
            ("[l](http://x)", "[l\\](http://x)"),
            ("![l][x]", "![l\\][x]"),
            ("&amp; &#38; A & B AT&T", "\\&amp; \\&#38; A & B AT\\&T"),
            ("$x$ costs 5$", "\\$x\\$ costs 5\\$"),
            ("a|b *c* <b> `d` ~e~ \\f", "a\\|b \\*c\\* \\<b> \\`d\\` \\~e\\~ \\\\f"),
            ("snake_case _it_", "snake_case \\_it\\_"),
            ("CIBHash [1], [0.1, 0.2]", "CIBHash [1], [0.1, 0.2]"),
            ("line\nbreak", "line break"),
        ] {
            assert_eq!(escape(label), text);
        }
    }
}
