//! Published values that concern a table, with their sources as numbered notes.

use hashlab_data::Task;
use hashlab_eval::Definition;

use crate::layout::Layout;
use crate::published::Published;
use crate::sweep_report::SweepReport;

/// The published values that concern a sweep's rows.
pub(crate) struct Citations<'a> {
    sources: Vec<Source<'a>>,
}

/// Values of one row that share their source and setting.
pub(crate) struct Source<'a> {
    /// Label of the row.
    pub(crate) label: &'a str,
    /// Number of the note.
    pub(crate) number: usize,
    /// Source and differences.
    pub(crate) note: String,
    /// Whether the values must not be read as of this table's own setting.
    pub(crate) doubtful: bool,
    values: Vec<&'a Published>,
}

impl Source<'_> {
    /// The published value at a task and a code length.
    pub(crate) fn value(&self, task: Task, bits: usize) -> Option<f64> {
        self.values.iter().filter(|p| p.task == task).find_map(|p| p.values.get(&bits).copied())
    }
}

impl<'a> Citations<'a> {
    /// Picks the values of the sweep's data set, methods, tasks and code lengths. Notes that `known` lacks are added to it, in
    /// row order; a note's number is its place there.
    pub(crate) fn of(layout: &Layout<'a>, known: &mut Vec<String>) -> Self {
        let mut citations = Self { sources: Vec::new() };
        for row in &layout.comparison.rows {
            for value in layout.published.iter().filter(|p| p.row() == row.label && concerns(p, layout)) {
                citations.cite(row.label, value, layout.report, known);
            }
        }
        citations
    }

    fn cite(&mut self, label: &'a str, value: &'a Published, sweep: &SweepReport, known: &mut Vec<String>) {
        let note = note(value, sweep);
        if let Some(source) = self.sources.iter_mut().find(|s| s.label == label && s.note == note) {
            source.values.push(value);
            return;
        }
        let number = known.iter().position(|known| *known == note).unwrap_or_else(|| {
            known.push(note.clone());
            known.len() - 1
        });
        self.sources.push(Source {
            label,
            number: number + 1,
            note,
            doubtful: doubtful(value, sweep),
            values: vec![value],
        });
    }

    /// The sources of a row.
    pub(crate) fn of_row(&self, label: &str) -> impl Iterator<Item = &Source<'a>> {
        self.sources.iter().filter(move |s| s.label == label)
    }

    /// The values published for a cell, each with its note.
    pub(crate) fn of_cell(&self, label: &str, task: Task, bits: usize) -> impl Iterator<Item = (f64, &str)> {
        self.of_row(label).filter_map(move |s| Some((s.value(task, bits)?, s.note.as_str())))
    }
}

/// Notes with their numbers.
pub(crate) fn numbered(notes: &[String]) -> Vec<String> {
    notes.iter().enumerate().map(|(at, note)| format!("[{}] {note}", at + 1)).collect()
}

fn concerns(value: &Published, layout: &Layout<'_>) -> bool {
    let comparison = layout.comparison;
    value.dataset == layout.report.header.dataset
        && comparison.tasks.contains(&value.task)
        && comparison.bits.iter().any(|bits| value.values.contains_key(bits))
}

fn doubtful(value: &Published, sweep: &SweepReport) -> bool {
    !value.verified || value.note.is_some() || !differences(value, sweep).is_empty()
}

fn note(value: &Published, sweep: &SweepReport) -> String {
    let unverified = (!value.verified).then(|| "unverified".to_owned());
    let parts = [value.source.clone()].into_iter().chain(unverified).chain(differences(value, sweep));
    parts.chain(value.note.clone()).collect::<Vec<_>>().join("; ")
}

fn differences(value: &Published, sweep: &SweepReport) -> Vec<String> {
    let protocol = match &value.protocol {
        None => Some("protocol not stated".to_owned()),
        Some(protocol) => (*protocol != sweep.header.protocol).then(|| format!("protocol {protocol}")),
    };
    let depth = (value.map_at != sweep.header.map_at).then(|| format!("mAP@{}", value.map_at));
    // Sources rarely say which definition is theirs; papers of this field mean the default.
    let default = Definition::default();
    let definition = (sweep.header.definition != default).then(|| "another definition of mAP".to_owned());
    protocol.into_iter().chain(depth).chain(definition).collect()
}
