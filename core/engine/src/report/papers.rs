//! Published values beside the measured ones, with their sources as numbered notes.

use super::document::{Content, Table};
use super::layout::{View, fraction};
use super::{Published, SweepReport, metric};

/// The published values that concern a sweep's rows.
pub(super) struct Papers<'a> {
    bits: &'a [usize],
    /// With the index of its note.
    cited: Vec<(&'a Published, usize)>,
    /// What is said of each source; values of the same source and setting share one.
    notes: Vec<String>,
    any_doubtful: bool,
    sweep: &'a SweepReport,
}

impl<'a> Papers<'a> {
    /// Picks the values of the sweep's data set, methods and code lengths; numbers their sources in row order.
    pub(super) fn of(view: &View<'a>) -> Self {
        let mut papers = Self {
            bits: &view.comparison.bits,
            cited: Vec::new(),
            notes: Vec::new(),
            any_doubtful: false,
            sweep: view.report,
        };
        for row in &view.comparison.rows {
            for value in view.published.iter().filter(|p| p.method == row.label) {
                papers.cite(value);
            }
        }
        papers
    }

    fn cite(&mut self, value: &'a Published) {
        let printed = self.bits.iter().any(|b| value.values.contains_key(b));
        if !printed || value.dataset != self.sweep.header.dataset {
            return;
        }
        let note = note(value, self.sweep);
        let index = self.notes.iter().position(|n| *n == note).unwrap_or_else(|| {
            self.notes.push(note);
            self.notes.len() - 1
        });
        self.any_doubtful |= doubtful(value, self.sweep);
        self.cited.push((value, index));
    }

    /// Whether there is nothing to print.
    pub(super) fn is_empty(&self) -> bool {
        self.cited.is_empty()
    }

    /// The numbered sources.
    pub(super) fn notes(&self) -> Vec<String> {
        self.notes.iter().enumerate().map(|(i, note)| format!("[{}] {note}", i + 1)).collect()
    }

    /// The values published for a cell, each with its source.
    pub(super) fn cited_for(&self, label: &str, bits: usize) -> impl Iterator<Item = (f64, &str)> {
        let of_row = self.of_row(label);
        of_row.filter_map(move |(p, note)| Some((*p.values.get(&bits)?, self.notes[note].as_str())))
    }

    /// Appends the column `paper`. A row's second source and those after it go on lines of their own below it.
    pub(super) fn add_column(&self, table: &mut Table) {
        let width = table.columns.len();
        let bits: Vec<String> = self.bits.iter().map(usize::to_string).collect();
        table.columns.push(format!("paper ({})", bits.join(" / ")));
        for mut row in std::mem::take(&mut table.rows) {
            let of_row = self.of_row(&row[0].text);
            let lines: Vec<Content> = of_row.map(|(p, note)| Content::plain(self.values(p, note))).collect();
            let mut lines = lines.into_iter();
            row.push(lines.next().unwrap_or_default());
            table.rows.push(row);
            for line in lines {
                let blank = vec![Content::default(); width];
                table.rows.push([blank, vec![line]].concat());
            }
        }
        if self.any_doubtful {
            table.remarks.push("published in parentheses: unverified, or another setting than this table's".to_owned());
        }
    }

    fn of_row(&self, label: &str) -> impl Iterator<Item = (&'a Published, usize)> {
        self.cited.iter().copied().filter(move |(p, _)| p.method == label)
    }

    fn values(&self, value: &Published, note: usize) -> String {
        let at = |bits: &usize| value.values.get(bits).map_or("–".to_owned(), |v| fraction(*v));
        let values = self.bits.iter().map(at).collect::<Vec<_>>().join(" / ");
        let values = if doubtful(value, self.sweep) { format!("({values})") } else { values };
        format!("{values} [{}]", note + 1)
    }
}

/// Whether a published value must not be read as this table's own setting.
fn doubtful(value: &Published, sweep: &SweepReport) -> bool {
    !value.verified || !value.note.is_empty() || !differences(value, sweep).is_empty()
}

fn note(value: &Published, sweep: &SweepReport) -> String {
    let unverified = (!value.verified).then(|| "unverified".to_owned());
    let note = (!value.note.is_empty()).then(|| value.note.clone());
    let parts = [value.source.clone()].into_iter().chain(unverified).chain(differences(value, sweep)).chain(note);
    parts.collect::<Vec<_>>().join("; ")
}

fn differences(value: &Published, sweep: &SweepReport) -> Vec<String> {
    let protocol = match value.protocol.as_str() {
        "" => Some("protocol not stated".to_owned()),
        protocol => (protocol != sweep.header.protocol).then(|| format!("protocol {protocol}")),
    };
    let depth = (value.map_at != sweep.header.map_at).then(|| metric::map_at(value.map_at));
    protocol.into_iter().chain(depth).collect()
}
