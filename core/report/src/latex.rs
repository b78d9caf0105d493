//! For a paper: `table` environments with `booktabs` rules.

use crate::document::{Content, Document, Fact, Group, Mark, Notes, Table};
use crate::latex_text::{escape, escape_characters, lacking};
use crate::wording::{joined, one_line};

/// Begins the comment on characters that are printed as code points.
pub const PRINTED_AS: &str = "pdfLaTeX's own fonts lack characters of the labels, which are printed as code points:";

/// Writes a document: a short caption per table, with facts, warnings and notes below the first.
pub(crate) fn write(document: &Document, name: &str) -> String {
    // Shell commands do not belong in a paper, where a dash or a tilde would be typeset.
    let (commands, facts): (Vec<&Fact>, Vec<&Fact>) = document.facts.iter().partition(|(name, _)| name == "command");
    let comments = commands.iter().map(|(name, text)| format!("% {name}: {}\n", one_line(text)));
    let tables = document.tables.iter().chain(&document.times).enumerate().map(|(i, t)| match i {
        0 => table(t, &first_caption(document, t), &label(name, i), &note(document, &facts)),
        _ => table(t, &later_caption(t, name), &label(name, i), &[]),
    });
    let head: String = ["% needs \\usepackage{booktabs}\n".to_owned()]
        .into_iter()
        .chain(code_points(document))
        .chain(comments)
        .collect();
    [head].into_iter().chain(tables).collect::<Vec<_>>().join("\n")
}

/// Says which characters are printed as code points. XeLaTeX and LuaLaTeX could set them, in a font that has them.
fn code_points(document: &Document) -> Option<String> {
    let tables = document.tables.iter().chain(&document.times).flat_map(of_table);
    let facts = document.facts.iter().filter(|(name, _)| name != "command").map(|(_, text)| text.as_str());
    let lines = document.notes.iter().flat_map(|notes| &notes.lines).chain(&document.warnings).map(String::as_str);
    let lacking = lacking(tables.chain(facts).chain(lines));
    let each = lacking.iter().map(|c| format!("{c} as U+{:04X}", u32::from(*c)));
    (!lacking.is_empty()).then(|| format!("% {PRINTED_AS} {}\n", joined(each)))
}

fn of_table(table: &Table) -> impl Iterator<Item = &str> {
    let cells = table.rows.iter().flatten().flat_map(|cell| [cell.text.as_str(), cell.rest.as_str()]);
    let words = table.columns.iter().chain(&table.remarks).map(String::as_str);
    [table.title.as_str()].into_iter().chain(words).chain(cells)
}

/// Labels by the sweep's name: letters, digits and hyphens are safe in every engine.
fn label(name: &str, index: usize) -> String {
    let safe: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    if index == 0 { format!("tab:{safe}") } else { format!("tab:{safe}-{}", index + 1) }
}

/// Two lines at most: what is measured on what, what a cell holds, what marks mean.
fn first_caption(document: &Document, table: &Table) -> String {
    let marks = table.legend.iter().map(|(mark, meaning)| format!("; {}: {meaning}", name(*mark)));
    format!("{}. {}{}.", escape(&document.title), escape(&document.cells), marks.collect::<String>())
}

fn later_caption(table: &Table, name: &str) -> String {
    format!("{}. Setting as in Table~\\ref{{{}}}.", escape(&table.title), label(name, 0))
}

/// Facts as running text, then a line per warning and note.
fn note(document: &Document, facts: &[&Fact]) -> Vec<String> {
    let fact = |(name, text): &&Fact| format!("\\emph{{{}}}: {}.", escape(&capitalized(name)), escape(text));
    let facts = facts.iter().map(fact).collect::<Vec<_>>().join(" ");
    let warnings = document.warnings.iter().map(|text| format!("\\emph{{Warning}}: {}.", escape(text)));
    [facts].into_iter().chain(warnings).chain(document.notes.iter().flat_map(notes)).collect()
}

fn table(table: &Table, caption: &str, label: &str, notes: &[String]) -> String {
    let columns = format!("l{}", "c".repeat(table.columns.len() - 1));
    let (size, small_deviations) = size(table);
    let block = |(at, title): (usize, &str)| {
        let rule = if at > 0 { "\\midrule\n" } else { "" };
        format!("{rule}\\multicolumn{{{}}}{{l}}{{\\emph{{{}}}}} \\\\\n", table.columns.len(), escape(title))
    };
    let rows = table.titled_rows().enumerate().map(|(at, (title, row))| {
        let block = title.map(|title| block((at, title))).unwrap_or_default();
        block + &line(row.iter().map(|c| cell(c, small_deviations)).collect())
    });
    let rows: String = rows.collect();
    format!(
        "\\begin{{table}}[t]\n\\centering\n\\caption{{{caption}}}\n\\label{{{label}}}\n\\smallskip\n\
         {size}\\begin{{tabular}}{{{columns}}}\n\\toprule\n{}\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n\
         {}\\end{{table}}\n",
        heading(table),
        footnotes(table, notes)
    )
}

/// The size at which a table fits a page of one column, by its characters; and whether deviations must be set smaller.
fn size(table: &Table) -> (&'static str, bool) {
    let characters = |text: &str| text.chars().count();
    let width = |i: usize| {
        let cells = table.rows.iter().map(|row| characters(&row[i].text) + characters(&row[i].rest));
        cells.chain([characters(&table.columns[i])]).max().unwrap_or(0) + 2
    };
    match (0..table.columns.len()).map(width).sum::<usize>() {
        0..=64 => ("", false),
        65..=78 => ("\\small\\setlength{\\tabcolsep}{4pt}\n", false),
        79..=100 => ("\\footnotesize\\setlength{\\tabcolsep}{2pt}\n", false),
        _ => ("\\scriptsize\\setlength{\\tabcolsep}{2pt}\n", true),
    }
}

fn heading(table: &Table) -> String {
    let columns = line(table.columns.iter().map(|c| escape(c)).collect());
    if table.groups.is_empty() {
        return columns;
    }
    let title = |g: &Group| format!("\\multicolumn{{{}}}{{c}}{{{}}}", g.columns, escape(&g.title));
    let blank = std::iter::repeat_n(String::new(), table.ungrouped());
    let titles = line(blank.chain(table.groups.iter().map(title)).collect());
    let mut first = table.ungrouped() + 1;
    let rule = |g: &Group| {
        first += g.columns;
        format!("\\cmidrule(lr){{{}-{}}}", first - g.columns, first - 1)
    };
    let rules: Vec<String> = table.groups.iter().map(rule).collect();
    format!("{titles}{}\n{columns}", rules.join(" "))
}

fn line(cells: Vec<String>) -> String {
    format!("{} \\\\\n", cells.join(" & "))
}

/// Remarks on cells, then the notes.
fn footnotes(table: &Table, notes: &[String]) -> String {
    let remarks: Vec<String> = table.remarks.iter().map(|r| escape(r)).collect();
    let remarks = (!remarks.is_empty()).then(|| remarks.join("; ") + ".");
    let lines: Vec<String> = remarks.into_iter().chain(notes.iter().cloned()).collect();
    if lines.is_empty() {
        return String::new();
    }
    format!(
        "\\par\\smallskip\n\\begin{{minipage}}{{\\linewidth}}\\footnotesize\\raggedright\n{}\n\\end{{minipage}}\n",
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

fn cell(content: &Content, small_deviation: bool) -> String {
    let rest = escape_characters(&content.rest);
    let rest = if small_deviation && !rest.is_empty() { format!("{{\\tiny{rest}}}") } else { rest };
    marked(content.mark, &escape(&content.text)) + &rest
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

fn capitalized(name: &str) -> String {
    name[..1].to_uppercase() + &name[1..]
}
