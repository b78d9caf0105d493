//! Warnings above the tables: what makes the numbers doubtful.

use std::collections::BTreeSet;

use hashlab_store::{CodeStatistics, counted};

use crate::aggregate::Setting;
use crate::facts::{builds, provenance, tally};
use crate::layout::Layout;
use crate::sweep_report::{ReportedRun, SweepReport};
use crate::wording::{self, joined, point, short};

/// Mark of a cell with collapsed codes.
pub(crate) const COLLAPSED: &str = "†";

/// Mark of a cell with constant bits.
pub(crate) const CONSTANT_BITS: &str = "‡";

/// What makes the numbers doubtful.
pub(crate) fn warnings(layout: &Layout<'_>) -> Vec<String> {
    let report = layout.report;
    let mixed = [
        mixed(provenance(report, "hashlab"), "hashlab versions"),
        mixed(dataset_digests(report), "data set digests"),
        mixed_builds(report),
    ];
    let codes = layout.shown().flat_map(|(label, setting)| doubtful_codes(layout, label, setting));
    mixed.into_iter().flatten().chain(mixed_sources(report)).chain(blind_selections(layout)).chain(codes).collect()
}

fn mixed(found: BTreeSet<String>, what: &str) -> Option<String> {
    (found.len() > 1).then(|| format!("{} {what} among the runs: {}", found.len(), joined(found)))
}

fn dataset_digests(report: &SweepReport) -> BTreeSet<String> {
    let declared = report.header.dataset_digest.as_deref().map(|digest| short(digest).to_owned());
    provenance(report, "dataset_digest").into_iter().chain(declared).collect()
}

fn mixed_builds(report: &SweepReport) -> Option<String> {
    let builds = builds(report);
    let build = |(build, runs): &(String, usize)| format!("{build} ({})", counted(*runs, "run"));
    (builds.len() > 1).then(|| format!("{} builds among the runs: {}", builds.len(), joined(builds.iter().map(build))))
}

/// Methods some of whose runs were made by other sources than most.
fn mixed_sources(report: &SweepReport) -> Vec<String> {
    let methods: BTreeSet<&str> = report.runs.iter().map(|r| r.method.as_str()).collect();
    let of_method = |method: &str| {
        let runs = report.runs.iter().filter(|r| r.method == method).filter_map(ReportedRun::finished);
        let digests = tally(runs.filter_map(|r| r.provenance.get("sources_digest")).map(|d| short(d).to_owned()));
        let (most, _) = digests.iter().max_by_key(|(_, runs)| *runs)?;
        let others: Vec<_> = digests.iter().filter(|(digest, _)| digest != most).collect();
        let runs: usize = others.iter().map(|(_, runs)| runs).sum();
        let were = if runs == 1 { "run was" } else { "runs were" };
        let digests = joined(others.iter().map(|(digest, _)| digest));
        (runs > 0)
            .then(|| format!("{runs} {were} made by other sources of {method} ({digests}) than the rest ({most})"))
    };
    methods.into_iter().filter_map(of_method).collect()
}

fn blind_selections(layout: &Layout<'_>) -> impl Iterator<Item = String> {
    let primary = layout.title(layout.primary());
    let blind = layout.comparison.cells().filter(|(_, cell)| cell.selected_blindly());
    blind.map(move |(label, cell)| {
        format!("no validation {primary} for {label}, {} bits: shows the first setting of the plan", cell.shown().bits)
    })
}

/// The mark of a setting's cells: collapsed codes before constant bits.
pub(crate) fn code_mark(setting: &Setting<'_>) -> Option<&'static str> {
    let statistics = || setting.finished().flat_map(|r| r.codes.values());
    let constant = statistics().any(|c| c.constant_bits > 0).then_some(CONSTANT_BITS);
    if statistics().any(|c| c.collapsed) { Some(COLLAPSED) } else { constant }
}

/// Says which seeds' codes are collapsed, or else have constant bits.
fn doubtful_codes(layout: &Layout<'_>, label: &str, setting: &Setting<'_>) -> Vec<String> {
    let at = if layout.options.all && !setting.point.is_empty() {
        format!(" {}", point(setting.point))
    } else {
        String::new()
    };
    let place = format!("{label}, {} bits{at}", setting.bits);
    let seeds = |wanted: fn(&CodeStatistics) -> bool| -> Vec<u64> {
        let doubtful = |r: &&&ReportedRun| r.finished().is_some_and(|result| result.codes.values().any(wanted));
        setting.runs.iter().filter(doubtful).map(|r| r.seed).collect()
    };
    let statistics = || setting.finished().flat_map(|r| r.codes.values());
    let collapsed = seeds(|c| c.collapsed);
    if !collapsed.is_empty() {
        let share = |c: &CodeStatistics| c.most_common as f64 / c.items.max(1) as f64;
        let most = statistics().map(share).fold(0.0, f64::max);
        let list = wording::seeds(&collapsed);
        return vec![format!(
            "collapsed codes: {place}, {}: one code for {:.0} % of the items",
            seeds_of(&list),
            100.0 * most
        )];
    }
    let constant = seeds(|c| c.constant_bits > 0);
    let most = statistics().map(|c| c.constant_bits).max().unwrap_or(0);
    let warning = || {
        let list = wording::seeds(&constant);
        format!(
            "constant bits: {place}, {}: {most} of {} bits are the same in all codes",
            seeds_of(&list),
            setting.bits
        )
    };
    if constant.is_empty() { Vec::new() } else { vec![warning()] }
}

fn seeds_of(list: &str) -> String {
    format!("{} {list}", if list.contains([',', '–']) { "seeds" } else { "seed" })
}
