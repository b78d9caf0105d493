//! Facts above the tables: what must be known to read the numbers.

use std::collections::BTreeSet;

use hashlab_data::Modality;

use crate::aggregate::Setting;
use crate::document::Fact;
use crate::layout::{Layout, RESAMPLES};
use crate::metrics;
use crate::options::IntervalOver;
use crate::setup::{ExternalCodes, Selection};
use crate::sweep_report::{ReportedRun, SweepReport};
use crate::wording::{self, joined, listed, point, short};
use hashlab_store::{STACKED, counted};

const ENCODINGS: &str = "rows with a name in parentheses encode with the same trained states in several ways; the \
                         first, the method's own, selects epochs";

/// What must be known to read the numbers.
pub(crate) fn facts(layout: &Layout<'_>) -> Vec<Fact> {
    let header = &layout.report.header;
    let digest = header.dataset_digest.as_ref().map_or(String::new(), |d| format!("; digest {}", short(d)));
    let fact = |name: &str, text: String| (name.to_owned(), text);
    let mut facts = vec![
        fact("data set", format!("{}: {}{digest}", header.dataset_display, header.dataset_description)),
        fact("protocol", format!("{}: {}", header.protocol, header.protocol_description)),
    ];
    if layout.several_tasks() {
        let tasks = layout.comparison.tasks.iter();
        facts.push(fact("tasks", joined(tasks.map(|t| format!("{t} ({} queries, {} database)", t.query, t.database)))));
    }
    facts.extend(definitions(layout).into_iter().map(|text| fact("metric", text)));
    facts.push(fact("cells", cells(layout)));
    if layout.report.runs.iter().filter_map(ReportedRun::finished).any(|r| r.encoding.is_some()) {
        facts.push(fact("encodings", ENCODINGS.to_owned()));
    }
    facts.extend(selection(layout).map(|text| fact("selection", text)));
    facts.extend(encoders(layout));
    facts.extend(external_codes(layout).into_iter().map(|text| fact("external codes", text)));
    facts.extend(software(layout.report).map(|text| fact("software", text)));
    facts.push(fact("command", header.command.clone()));
    facts.extend(header.notes.iter().map(|note| fact("note", note.clone())));
    facts
}

/// Defines the metrics shown, and the primary metric, which selects, even where it is not shown.
fn definitions(layout: &Layout<'_>) -> Vec<String> {
    let others = layout.metrics.iter().map(String::as_str).filter(|m| *m != layout.primary());
    let infos = [layout.primary()].into_iter().chain(others).filter_map(metrics::info);
    infos.map(|m| format!("{}: {}", layout.title(m.name), m.sentence(layout.report.header.map_at))).collect()
}

/// What a cell holds, with the number of seeds where it is the same everywhere.
fn cells(layout: &Layout<'_>) -> String {
    let labels = |seeded: bool| {
        let rows = layout.comparison.rows.iter();
        rows.filter(|r| r.shown().all(|s| s.seeded() == seeded)).map(|r| listed(r.label)).collect::<Vec<_>>()
    };
    let unseeded = labels(false);
    let runs = layout.report.runs.iter();
    let seeds: BTreeSet<u64> = runs.filter(|r| r.seeded || unseeded.is_empty()).map(|r| r.seed).collect();
    let list = wording::seeds(&seeds.iter().copied().collect::<Vec<_>>());
    let (spread, absent) = match layout.options.interval {
        None => (" ± sample standard deviation", "no deviation"),
        Some(IntervalOver::Seeds) => (" [95 % interval by Student's t]", "no interval"),
        Some(IntervalOver::Queries) => ("", ""),
    };
    let without = if absent.is_empty() { String::new() } else { format!(", {absent}") };
    let over = match layout.comparison.seeds_per_setting() {
        _ if seeds.is_empty() => format!("no randomness{without}"),
        Some(1) => format!("one seed ({list}){without}"),
        Some(n) => format!("mean{spread} over n = {n} seeds ({list})"),
        None => format!("mean{spread} over n seeds (of {list})"),
    };
    let over = match unseeded.as_slice() {
        labels if labels.is_empty() || seeds.is_empty() => over,
        labels => format!("{over}; without randomness{without}: {}", joined(labels)),
    };
    match layout.options.interval {
        Some(IntervalOver::Queries) => format!(
            "{over}; in brackets, where the runs' queries were kept, the 95 % interval of {} over queries, from {RESAMPLES} \
             bootstrap resamples",
            layout.title(layout.primary())
        ),
        _ => over,
    }
}

/// How epochs and settings were selected, as far as there was a choice.
fn selection(layout: &Layout<'_>) -> Option<String> {
    let primary = layout.title(layout.primary());
    let tasks = if layout.several_tasks() { ", mean of the tasks" } else { "" };
    let words = |selection: Selection| match selection {
        Selection::None => None,
        Selection::Best => Some(format!("best validation {primary}{tasks}")),
        Selection::Last => Some("last".to_owned()),
    };
    let epochs = differences(layout, |s| words(s.runs[0].setup.selection).into_iter().collect());
    let epoch = (!epochs.is_empty()).then(|| format!("epoch: {epochs}"));
    let choice = layout.comparison.cells().any(|(_, cell)| cell.settings.len() > 1);
    let setting = choice.then(|| format!("setting: best mean validation {primary} over its seeds{tasks}"));
    let parts: Vec<String> = epoch.into_iter().chain(setting).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// One fact per modality.
fn encoders(layout: &Layout<'_>) -> Vec<Fact> {
    let settings = layout.shown().map(|(_, s)| s);
    let modalities: BTreeSet<Modality> = settings.flat_map(|s| s.runs[0].setup.encoders.modalities()).collect();
    let name = |m: Modality| if modalities.len() == 1 { "encoder".to_owned() } else { format!("{m} encoder") };
    let fact = |&m: &Modality| {
        let text = differences(layout, |s| s.runs[0].setup.encoders.get(m).map_or(Vec::new(), |e| e.phrases()));
        (name(m), text)
    };
    modalities.iter().map(fact).collect()
}

/// States phrases that all rows share once, and the others with the rows that they hold for. A setting without phrases
/// has no say.
fn differences(layout: &Layout<'_>, phrases: impl Fn(&Setting<'_>) -> Vec<String>) -> String {
    let shown: Vec<(&str, &Setting<'_>, Vec<String>)> = layout
        .shown()
        .map(|(label, setting)| (label, setting, phrases(setting)))
        .filter(|(_, _, phrases)| !phrases.is_empty())
        .collect();
    let Some((_, _, first)) = shown.first() else { return String::new() };
    // Without a common subject, nothing else is worth to be common.
    let same_subject = shown.iter().all(|(_, _, p)| p[0] == first[0]);
    let in_all = |phrase: &String| same_subject && shown.iter().all(|(_, _, p)| p.contains(phrase));
    let common: Vec<String> = first.iter().filter(|p| in_all(p)).cloned().collect();
    let mut groups: Vec<(String, Vec<(&str, &Setting<'_>)>)> = Vec::new();
    for (label, setting, phrases) in &shown {
        let rest = joined(phrases.iter().filter(|p| !common.contains(p)));
        match groups.iter_mut().find(|(known, _)| *known == rest) {
            Some((_, members)) => members.push((label, setting)),
            None => groups.push((rest, vec![(label, setting)])),
        }
    }
    let several = groups.len() > 1;
    let groups = groups.into_iter().filter(|(rest, _)| !rest.is_empty());
    let groups =
        groups.map(|(rest, members)| if several { format!("{}: {rest}", names(layout, &members)) } else { rest });
    let common = (!common.is_empty()).then(|| joined(common));
    common.into_iter().chain(groups).collect::<Vec<_>>().join("; ")
}

/// Names the rows that settings stand for: by label alone where it is all of the label's.
fn names(layout: &Layout<'_>, members: &[(&str, &Setting<'_>)]) -> String {
    let mut labels: Vec<&str> = members.iter().map(|(label, _)| *label).collect();
    labels.dedup();
    let name = |label: &str| {
        let (mine, others): (Vec<_>, Vec<_>) = layout
            .shown()
            .filter(|(l, _)| *l == label)
            .map(|(_, setting)| setting)
            .partition(|setting| members.iter().any(|(_, member)| std::ptr::eq(*member, *setting)));
        if others.is_empty() { listed(label) } else { format!("{} ({})", listed(label), distinction(&mine, &others)) }
    };
    joined(labels.into_iter().map(name))
}

/// What tells settings of a row from its others: code length or point if that is enough, else both.
fn distinction(mine: &[&Setting<'_>], others: &[&Setting<'_>]) -> String {
    let apart = |same: fn(&Setting<'_>, &Setting<'_>) -> bool| !mine.iter().any(|m| others.iter().any(|o| same(m, o)));
    if apart(|a, b| a.bits == b.bits) {
        let bits: BTreeSet<usize> = mine.iter().map(|s| s.bits).collect();
        return format!("{} bits", joined(bits));
    }
    let mut points: Vec<String> = if apart(|a, b| a.point == b.point) {
        mine.iter().map(|s| point(s.point)).collect()
    } else {
        mine.iter().map(|s| format!("{} bits {}", s.bits, point(s.point))).collect()
    };
    let mut seen = BTreeSet::new();
    points.retain(|p| seen.insert(p.clone()));
    joined(points)
}

/// Where the codes of each external row come from: the path of its files, and their digests by code length.
fn external_codes(layout: &Layout<'_>) -> Vec<String> {
    let rows = layout.comparison.rows.iter().filter_map(|row| {
        let codes = &row.shown().find_map(|setting| external_of(setting))?.codes;
        let digests = |setting: &Setting<'_>| {
            let runs = setting.runs.iter().filter_map(|run| run.setup.external.as_ref());
            let files: BTreeSet<String> = runs.flat_map(|external| &external.files).map(|file| brief(file)).collect();
            format!("{} bits: {}", setting.bits, joined(files))
        };
        let digests = row.shown().map(digests).collect::<Vec<_>>().join("; ");
        let name = row.label.trim_end_matches(" (external codes)");
        Some(format!("{name}: computed elsewhere, measured here; {codes} (SHA-256, {digests})"))
    });
    rows.collect()
}

fn external_of<'r>(setting: &Setting<'r>) -> Option<&'r ExternalCodes> {
    setting.runs[0].setup.external.as_ref()
}

/// A digest with the array's name, shortened.
fn brief(file: &str) -> String {
    match file.split_once('#') {
        Some((digest, array)) => format!("{}#{array}", short(digest)),
        None => short(file).to_owned(),
    }
}

fn software(report: &SweepReport) -> Option<String> {
    let versions = provenance(report, "hashlab");
    let versions = (!versions.is_empty()).then(|| format!("hashlab {}", joined(versions)));
    let builds = builds(report);
    let builds = (!builds.is_empty()).then(|| joined(builds.iter().map(|(build, _)| build)));
    let parts: Vec<String> = versions.into_iter().chain(builds).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The builds that made the runs, each with the number of its runs: commit, and digest of changes to it.
pub(crate) fn builds(report: &SweepReport) -> Vec<(String, usize)> {
    let build = |run: &ReportedRun| {
        let provenance = &run.finished()?.provenance;
        let commit = short(provenance.get("commit")?);
        let changes = provenance.get("diff_digest");
        Some(match changes {
            Some(digest) => format!("commit {commit} with changes ({})", short(digest)),
            None => format!("commit {commit}"),
        })
    };
    tally(report.runs.iter().filter_map(build))
}

/// Distinct values with their counts, in order of the values.
pub(crate) fn tally(values: impl Iterator<Item = String>) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_insert(0) += 1);
    counts.into_iter().collect()
}

/// Distinct values of a provenance key over the runs that finished, digests shortened.
pub(crate) fn provenance(report: &SweepReport, key: &str) -> BTreeSet<String> {
    let results = report.runs.iter().filter_map(ReportedRun::finished);
    results.filter_map(|r| r.provenance.get(key).map(|v| short(v).to_owned())).collect()
}

/// Where the times were taken.
pub(crate) fn devices(layout: &Layout<'_>) -> Vec<String> {
    let devices = provenance(layout.report, "device");
    let mean = "mean over the finished seeds".to_owned();
    let mut notes = if devices.is_empty() { vec![mean] } else { vec![format!("{mean}; device: {}", joined(devices))] };
    if !provenance(layout.report, STACKED).is_empty() {
        notes.push("of runs that were trained stacked: the run's share of the time, the memory of all".to_owned());
    }
    notes
}

/// A short form of what cells hold, for a caption.
pub(crate) fn cells_in_short(layout: &Layout<'_>) -> String {
    let mean = match layout.options.interval {
        None => "Mean ± standard deviation",
        Some(IntervalOver::Seeds) => "Mean and 95 % interval",
        Some(IntervalOver::Queries) => "Mean, with the 95 % interval over queries,",
    };
    match layout.comparison.seeds_per_setting() {
        Some(1) => "One seed".to_owned(),
        Some(n) => format!("{mean} over {}", counted(n, "seed")),
        None if layout.comparison.settings().any(|(_, s)| s.seeded()) => format!("{mean} over seeds"),
        None => "No randomness".to_owned(),
    }
}
