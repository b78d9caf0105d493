//! A sweep as one HTML file: complete without scripts, a server or other files.

mod panels;
mod queries;
mod runs;
mod table;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::aggregate::Comparison;
use crate::details::Details;
use crate::document::Document;
use crate::encodings::apart;
use crate::error::ReportError;
use crate::extent::SETTINGS;
use crate::figures::Figures;
use crate::layout::Layout;
use crate::options::{Format, Options};
use crate::published::Published;
use crate::sweep_report::SweepReport;
use crate::{metrics, render, tables};

use panels::{PanelGroup, groups};
use runs::{Failure, RunTable};

const STYLE: &str = include_str!("../../templates/page.css");
const SCRIPT: &str = include_str!("../../templates/page.js");

/// The formats that tables are copied in, with their names on the page.
const COPIES: [(&str, Format); 3] = [("LaTeX", Format::Latex), ("Markdown", Format::Markdown), ("CSV", Format::Csv)];

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    live: Option<&'a str>,
    name: &'a str,
    title: &'a str,
    style: &'static str,
    script: &'static str,
    style_hash: String,
    script_hash: String,
    counts: Vec<(&'static str, usize)>,
    sections: Vec<(&'a str, &'a str)>,
    failures: Vec<Failure<'a>>,
    further_failures: usize,
    document: &'a Document,
    selection: &'static str,
    copies: Vec<(&'static str, String)>,
    tables: Vec<String>,
    further: Vec<String>,
    all_settings: Option<String>,
    settings_left_out: Option<String>,
    panels: Vec<PanelGroup>,
    queries: Vec<String>,
    runs: String,
}

/// Renders a sweep as a page. Without details it shows what results hold.
///
/// # Errors
/// As [`render`], and [`ReportError::Template`], which would be a defect.
pub fn page(report: &SweepReport, published: &[Published], details: &Details) -> Result<String, ReportError> {
    write(report, published, details, None)
}

/// Renders a sweep as a page that asks its server's `/state` again and again, and loads itself anew when that is no longer
/// `state`.
///
/// # Errors
/// As [`page`].
pub fn live_page(
    report: &SweepReport,
    published: &[Published],
    details: &Details,
    state: &str,
) -> Result<String, ReportError> {
    write(report, published, details, Some(state))
}

fn write(
    report: &SweepReport,
    published: &[Published],
    details: &Details,
    live: Option<&str>,
) -> Result<String, ReportError> {
    let apart = apart(&report.runs);
    let comparison = Comparison::of(&apart);
    let options = Options { times: true, ..Options::new(Format::Markdown) };
    let metrics = metrics::chosen(report, &[])?;
    let layout = Layout { report, comparison: &comparison, published, metrics: &metrics, details, options: &options };
    let document = tables::document(&layout);
    let figures = Figures { report, comparison: &comparison, details };
    let runs = RunTable::of(report, details);
    let panels = groups(&figures, &metrics)?;
    let queries = queries::sections(&comparison, details)?;
    let several = comparison.cells().any(|(_, cell)| cell.settings.len() > 1);
    let settings = comparison.settings().count();
    let (failures, further_failures) = runs.failures(report);
    let sections = [
        ("failures", "Failures", !failures.is_empty()),
        ("warnings", "Warnings", !document.warnings.is_empty()),
        ("results", "Results", true),
    ];
    let of_panels = panels.iter().map(|group| (group.id, group.heading, true));
    let rest = [("queries", "Queries", !queries.is_empty()), ("runs", "Runs", true), ("about", "About", true)];
    let sections = sections.into_iter().chain(of_panels).chain(rest).filter(|s| s.2).map(|s| (s.0, s.1)).collect();
    let shown = document.tables.iter().chain(&document.times);
    let page = Page {
        live,
        name: &report.name,
        title: &document.title,
        style: STYLE,
        script: SCRIPT,
        style_hash: source_hash(STYLE),
        script_hash: source_hash(SCRIPT),
        counts: runs.counts(),
        sections,
        failures,
        further_failures,
        selection: if several { "Of several settings, the best on validation queries is shown." } else { "" },
        copies: copies(report, published)?,
        tables: table::render_all("table", shown)?,
        further: table::render_all("further", further(&layout, report).iter())?,
        all_settings: if several && settings <= SETTINGS { Some(all_settings(&layout)?) } else { None },
        settings_left_out: (settings > SETTINGS).then(|| settings_left_out(report, settings)),
        document: &document,
        panels,
        queries,
        runs: runs.render()?,
    };
    Ok(page.render()?)
}

/// The source expression of an inline style or script for a content security policy.
pub fn source_hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// The tables as text to paste, without times.
fn copies(report: &SweepReport, published: &[Published]) -> Result<Vec<(&'static str, String)>, ReportError> {
    let copy = |(name, format)| {
        let options = Options { times: false, ..Options::new(format) };
        Ok((name, render(report, published, &Details::new(), &options)?))
    };
    COPIES.into_iter().map(copy).collect()
}

/// Tables of the metrics that the first tables leave out.
fn further(layout: &Layout<'_>, report: &SweepReport) -> Vec<crate::document::Table> {
    let shown = layout.metrics;
    let others: Vec<String> =
        metrics::measured(report).into_iter().filter(|m| !shown.iter().any(|s| s == m)).map(str::to_owned).collect();
    if others.is_empty() {
        return Vec::new();
    }
    tables::document(&Layout { metrics: &others, ..*layout }).tables
}

/// Says that settings are shown elsewhere.
fn settings_left_out(report: &SweepReport, settings: usize) -> String {
    let name = &report.name;
    format!(
        "The table of all {settings} settings, and figures of them, are left out: `hashlab table {name} --all` prints the \
         table, `hashlab plot {name} --figure parallel --out FILE` draws a figure."
    )
}

/// The table of all settings.
fn all_settings(layout: &Layout<'_>) -> Result<String, ReportError> {
    let options = Options { all: true, ..layout.options.clone() };
    let tables = tables::document(&Layout { options: &options, ..*layout }).tables;
    Ok(table::render_all("settings", tables.iter())?.concat())
}
