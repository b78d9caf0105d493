//! Grouping of sweeps that share their columns: one data set, one split, one protocol, one metric.

use std::collections::{BTreeMap, BTreeSet};

use hashlab_store::{Name, RunId};

use crate::sweep_report::{Header, ReportedRun, SweepReport};
use crate::wording::joined;

/// The runs of sweeps that are measured alike, as one sweep.
pub(crate) struct DataGroup {
    /// The data set, with what tells it from other groups of the same.
    pub(crate) title: String,
    pub(crate) report: SweepReport,
}

/// Groups sweeps in order of first appearance. Rows of equal names and different runs are told apart by their sweep's name.
pub(crate) fn grouped(reports: &[SweepReport]) -> Vec<DataGroup> {
    let mut groups: Vec<Vec<&SweepReport>> = Vec::new();
    for report in reports {
        match groups.iter_mut().find(|group| alike(&group[0].header, &report.header)) {
            Some(group) => group.push(report),
            None => groups.push(vec![report]),
        }
    }
    let firsts: Vec<&SweepReport> = groups.iter().map(|group| group[0]).collect();
    let title = |group: &Vec<&SweepReport>| title(group[0], &firsts);
    groups.iter().map(|group| DataGroup { title: title(group), report: merged(group) }).collect()
}

fn alike(a: &Header, b: &Header) -> bool {
    let of = |header: &Header| {
        let Header { dataset, dataset_digest, protocol, map_at, definition, sample, .. } = header.clone();
        (dataset, dataset_digest, protocol, map_at, definition, sample)
    };
    of(a) == of(b)
}

/// Name of a data set, with the settings in which other groups differ. Other items or another split of the same are told
/// apart by the sweep's name.
fn title(report: &SweepReport, firsts: &[&SweepReport]) -> String {
    let header = &report.header;
    let all: Vec<&Header> = firsts.iter().map(|other| &other.header).collect();
    let same: Vec<&&Header> = all.iter().filter(|other| other.dataset == header.dataset).collect();
    let sampled = |other: &&Header| (&other.dataset_digest, &other.sample) != (&header.dataset_digest, &header.sample);
    let sample = same.iter().any(|other| sampled(other)).then(|| report.name.clone());
    let protocol = same.iter().any(|other| other.protocol != header.protocol).then(|| header.protocol.clone());
    let depth = all.iter().any(|other| other.map_at != header.map_at).then(|| format!("K = {}", header.map_at));
    let definition = same.iter().any(|other| other.definition != header.definition);
    let definition = definition.then(|| header.definition.name().to_owned());
    let distinctions: Vec<String> = protocol.into_iter().chain(depth).chain(definition).chain(sample).collect();
    let display = &header.dataset_display;
    if distinctions.is_empty() { display.clone() } else { format!("{display} ({})", joined(distinctions)) }
}

fn merged(group: &[&SweepReport]) -> SweepReport {
    if let [report] = group {
        return (*report).clone();
    }
    let mut header = group[0].header.clone();
    header.command = group.iter().map(|report| report.header.command.as_str()).collect::<Vec<_>>().join("; ");
    for note in group[1..].iter().flat_map(|report| &report.header.notes) {
        if !header.notes.contains(note) {
            header.notes.push(note.clone());
        }
    }
    let mut runs: Vec<ReportedRun> = Vec::new();
    for report in group {
        let shared = shared_labels(&runs, &report.runs);
        let first = runs.iter().map(|run| run.position + 1).max().unwrap_or(0);
        runs.extend(report.runs.iter().map(|run| {
            let mut run = ReportedRun { position: first + run.position, ..run.clone() };
            if shared.contains(&run.label) {
                run.label = format!("{} ({})", run.label, report.name).into();
            }
            run
        }));
    }
    let name = group.iter().map(|report| report.name.as_str()).collect::<Vec<_>>().join("-");
    SweepReport { name, header, runs }
}

/// Labels that stand for other runs in `more` than they do in `known`, at a code length of both.
fn shared_labels(known: &[ReportedRun], more: &[ReportedRun]) -> BTreeSet<Name> {
    let (known, more) = (by_cell(known), by_cell(more));
    let differs = |(cell, runs): &(&(Name, usize), &BTreeSet<&RunId>)| known.get(cell).is_some_and(|own| own != *runs);
    more.iter().filter(differs).map(|((label, _), _)| *label).collect()
}

/// Runs by label and code length.
fn by_cell(runs: &[ReportedRun]) -> BTreeMap<(Name, usize), BTreeSet<&RunId>> {
    let mut cells: BTreeMap<(Name, usize), BTreeSet<&RunId>> = BTreeMap::new();
    runs.iter().for_each(|run| _ = cells.entry((run.label, run.bits)).or_default().insert(&run.run));
    cells
}
