//! For a paper: `table` environments with `booktabs` rules.

use super::document::{Content, Document, Mark, Notes, Table, one_line};

/// Writes a document. The first table's caption carries the header; the notes stand below that table.
pub(super) fn write(document: &Document, name: &str) -> String {
    let fact = |wanted: bool| document.facts.iter().filter(move |(name, _)| (*name == "command") == wanted);
    // Shell commands do not belong in a caption, where a dash or a tilde would be typeset.
    let comments = fact(true).map(|(name, text)| format!("% {name}: {}\n", one_line(text)));
    let facts = fact(false).map(|(name, text)| format!(" {}: {}.", capitalised(name), escape(text)));
    let caption: String = [format!("{}.", escape(&document.title))].into_iter().chain(facts).collect();
    let warnings = document.warnings.iter().map(|text| format!("Warning: {}.", escape(text)));
    let notes: Vec<String> = warnings.chain(document.notes.iter().flat_map(notes)).collect();
    let tables = document.tables.iter().chain(&document.times).enumerate().map(|(i, t)| match i {
        0 => table(t, &caption, &label(name, i), &notes),
        _ => table(t, &later_caption(t, name), &label(name, i), &[]),
    });
    let head: String = ["% needs \\usepackage{booktabs}\n".to_owned()].into_iter().chain(comments).collect();
    [head].into_iter().chain(tables).collect::<Vec<_>>().join("\n")
}

/// Labels by the sweep's name: letters, digits and hyphens are safe in every engine.
fn label(name: &str, index: usize) -> String {
    let safe: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    if index == 0 { format!("tab:{safe}") } else { format!("tab:{safe}-{}", index + 1) }
}

fn later_caption(table: &Table, name: &str) -> String {
    format!("{}. Setting as in Table~\\ref{{{}}}.", escape(&table.title), label(name, 0))
}

fn table(table: &Table, caption: &str, label: &str, notes: &[String]) -> String {
    let line = |cells: Vec<String>| format!("{} \\\\\n", cells.join(" & "));
    let columns = format!("l{}", "c".repeat(table.columns.len() - 1));
    let heading = line(table.columns.iter().map(|c| escape(c)).collect());
    let rows: String = table.rows.iter().map(|row| line(row.iter().map(cell).collect())).collect();
    format!(
        "\\begin{{table}}[t]\n\\centering\n\\caption{{{caption}}}\n\\label{{{label}}}\n\\begin{{tabular}}{{{columns}}}\n\
         \\toprule\n{heading}\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n{}\\end{{table}}\n",
        footnotes(table, notes)
    )
}

fn footnotes(table: &Table, notes: &[String]) -> String {
    let legend = table.legend.iter().map(|(mark, meaning)| format!("{}: {meaning}", marked(*mark, name(*mark))));
    let remarks: Vec<String> = legend.chain(table.remarks.iter().map(|r| escape(r))).collect();
    let remarks = (!remarks.is_empty()).then(|| remarks.join("; "));
    let lines: Vec<String> = remarks.into_iter().chain(notes.iter().cloned()).collect();
    if lines.is_empty() {
        return String::new();
    }
    format!(
        "\\par\\smallskip\n\\begin{{minipage}}{{\\linewidth}}\\footnotesize\n{}\n\\end{{minipage}}\n",
        lines.join("\\\\\n")
    )
}

fn notes(notes: &Notes) -> Vec<String> {
    let line = |line: &String| match line.strip_prefix("  ") {
        Some(text) => format!("\\quad {}", escape(text)),
        None => escape(line),
    };
    [format!("\\emph{{{}}}", notes.title)].into_iter().chain(notes.lines.iter().map(line)).collect()
}

fn cell(content: &Content) -> String {
    marked(content.mark, &escape(&content.text)) + &escape_tail(&content.rest)
}

fn marked(mark: Mark, text: &str) -> String {
    match mark {
        Mark::Plain => text.to_owned(),
        Mark::Bold => format!("\\textbf{{{text}}}"),
        Mark::Underlined => format!("\\underline{{{text}}}"),
    }
}

fn name(mark: Mark) -> &'static str {
    if mark == Mark::Bold { "bold" } else { "underlined" }
}

fn capitalised(name: &str) -> String {
    name[..1].to_uppercase() + &name[1..]
}

fn escape(text: &str) -> String {
    escape_tail(&one_line(text))
}

/// Escapes LaTeX's special characters, and what its fonts would turn into something else.
fn escape_tail(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("$<$"),
            '>' => out.push_str("$>$"),
            '|' => out.push_str("$|$"),
            '±' => out.push_str("$\\pm$"),
            '×' => out.push_str("$\\times$"),
            '–' => out.push_str("--"),
            // After a line's end a bracket would be read as its argument.
            '[' => out.push_str("{[}"),
            // Two hyphens would be set as a dash.
            '-' if chars.peek() == Some(&'-') => out.push_str("-{}"),
            other => out.push(other),
        }
    }
    out
}
