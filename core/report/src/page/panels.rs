//! The figures of a page, in groups.

use std::collections::BTreeSet;

use askama::Template;
use hashlab_data::Task;
use hashlab_store::RunId;

use crate::details::Details;
use crate::document::{Content, Table};
use crate::encodings::is_own;
use crate::error::ReportError;
use crate::extent::{SETTINGS, runs_of_page};
use crate::figure::Figure;
use crate::figures::{FigureKind, FigureRequest, Figures};
use crate::hyperparameters::Ablation;
use crate::metrics;
use crate::page::table;
use crate::wording::fraction;

/// A section with figures.
pub(super) struct PanelGroup {
    pub(super) id: &'static str,
    pub(super) heading: &'static str,
    pub(super) note: &'static str,
    pub(super) panels: Vec<String>,
    pub(super) tables: Vec<String>,
}

/// A figure, or several of which one is shown at a time.
#[derive(Template)]
#[template(path = "panel.html")]
struct Panel {
    id: String,
    heading: &'static str,
    choices: Vec<(String, Figure)>,
}

/// The most choices of a panel: more would make the page heavy and nobody finds them.
const CHOICES: usize = 60;

/// Matrices of bits on a page: each has thousands of cells. `plot` draws the others.
const MATRICES: usize = 12;

/// The groups that have anything to show.
pub(super) fn groups(figures: &Figures<'_>, metrics: &[String]) -> Result<Vec<PanelGroup>, ReportError> {
    let group = |id, heading, note, panels: Vec<Option<Panel>>, tables: Vec<String>| -> Result<_, ReportError> {
        let panels =
            panels.into_iter().flatten().map(|panel| Ok(panel.render()?)).collect::<Result<_, ReportError>>()?;
        Ok(PanelGroup { id, heading, note, panels, tables })
    };
    let all = [
        group(
            "figures",
            "Figures",
            "Bands and ± are sample standard deviations over seeds.",
            curves(figures, metrics),
            vec![],
        )?,
        group("training", "Training", "", training(figures), vec![])?,
        group(
            "ablations",
            "Ablations",
            "Test metric of every setting; nothing is selected here.",
            ablations(figures),
            vec![],
        )?,
        group("codes", "Codes", "", codes(figures), code_table(figures)?)?,
    ];
    Ok(all.into_iter().filter(|group| !group.panels.is_empty() || !group.tables.is_empty()).collect())
}

/// A panel over choices; none where no choice has anything to show.
fn panel(
    figures: &Figures<'_>,
    heading: &'static str,
    requests: impl IntoIterator<Item = (String, FigureRequest)>,
) -> Option<Panel> {
    let mut id = String::new();
    let mut choices = Vec::new();
    for (name, request) in requests {
        request.kind.name().clone_into(&mut id);
        if choices.len() < CHOICES
            && let Ok(figure) = figures.of(&request)
        {
            choices.push((name, figure));
        }
    }
    (!choices.is_empty()).then_some(Panel { id, heading, choices })
}

/// A request per task and code length; the shortest code last, since the longest is what papers plot.
fn by_bits(figures: &Figures<'_>, kind: FigureKind, tasks: &[Option<Task>]) -> Vec<(String, FigureRequest)> {
    let bits = || figures.comparison.bits.iter().rev().copied();
    let request = |task: Option<Task>, bits: usize| {
        let name = task.map_or(String::new(), |task| format!("{task}, "));
        (format!("{name}{bits} bits"), FigureRequest { task, bits: Some(bits), ..FigureRequest::new(kind) })
    };
    tasks.iter().flat_map(|&task| bits().map(move |bits| request(task, bits))).collect()
}

fn tasks(figures: &Figures<'_>) -> Vec<Option<Task>> {
    match figures.comparison.tasks.as_slice() {
        [] | [_] => vec![None],
        several => several.iter().copied().map(Some).collect(),
    }
}

fn curves(figures: &Figures<'_>, metrics: &[String]) -> Vec<Option<Panel>> {
    let tasks = tasks(figures);
    let measured = metrics::measured(figures.report);
    let others = measured.iter().filter(|m| !metrics.iter().any(|shown| shown == *m)).map(|m| (*m).to_owned());
    let all: Vec<String> = metrics.iter().cloned().chain(others).collect();
    let over_bits = tasks.iter().flat_map(|&task| {
        all.iter().map(move |metric| {
            let title = metrics::title(metric, figures.report.header.map_at);
            let name = task.map_or(title.clone(), |task| format!("{title}, {task}"));
            let request =
                FigureRequest { metric: Some(metric.clone()), task, ..FigureRequest::new(FigureKind::MapBits) };
            (name, request)
        })
    });
    // A line between two code lengths says more than a point.
    let over_bits = if figures.comparison.bits.len() > 1 { over_bits.collect() } else { Vec::new() };
    vec![
        panel(figures, "Metric by code length", over_bits),
        panel(figures, "Precision–recall", by_bits(figures, FigureKind::PrecisionRecall, &tasks)),
        panel(figures, "Precision@N", by_bits(figures, FigureKind::PrecisionAt, &tasks)),
        panel(figures, "Recall@N", by_bits(figures, FigureKind::RecallAt, &tasks)),
        panel(figures, "Precision by radius", by_bits(figures, FigureKind::Radius, &tasks)),
    ]
}

/// A request per row.
fn by_row<'a>(figures: &'a Figures<'_>, kind: FigureKind) -> impl Iterator<Item = (String, FigureRequest)> + 'a {
    figures.comparison.rows.iter().map(move |row| {
        (row.label.to_owned(), FigureRequest { row: Some(row.label.to_owned()), ..FigureRequest::new(kind) })
    })
}

fn training(figures: &Figures<'_>) -> Vec<Option<Panel>> {
    vec![
        panel(figures, "Training loss", by_row(figures, FigureKind::Loss)),
        panel(figures, "Validation during training", by_bits(figures, FigureKind::Validation, &[None])),
    ]
}

fn ablations(figures: &Figures<'_>) -> Vec<Option<Panel>> {
    if figures.comparison.settings().count() > SETTINGS {
        return Vec::new();
    }
    let ablations = Ablation::of(figures.comparison, figures.details);
    let pairs = |ablation: &Ablation| -> Vec<(String, FigureRequest)> {
        let keys: Vec<&String> = ablation.keys.iter().map(|(key, _)| key).collect();
        let request = |x: &String, y: &String| FigureRequest {
            row: Some(ablation.method.clone()),
            keys: Some((x.clone(), y.clone())),
            ..FigureRequest::new(FigureKind::HeatMap)
        };
        let pair = |i: usize| {
            let name = |j: usize| format!("{}: {} × {}", ablation.method, keys[i], keys[j]);
            (i + 1..keys.len()).map(|j| (name(j), request(keys[i], keys[j]))).collect::<Vec<_>>()
        };
        (0..keys.len()).flat_map(pair).collect()
    };
    let parallel = ablations.iter().map(|a| {
        let request = FigureRequest { row: Some(a.method.clone()), ..FigureRequest::new(FigureKind::Parallel) };
        (a.method.clone(), request)
    });
    vec![
        panel(figures, "Two hyperparameters", ablations.iter().flat_map(pairs)),
        panel(figures, "All hyperparameters", parallel),
    ]
}

fn codes(figures: &Figures<'_>) -> Vec<Option<Panel>> {
    let by_row_and_bits = |kind: FigureKind| {
        figures.comparison.bits.iter().rev().flat_map(move |&bits| {
            by_row(figures, kind).map(move |(row, request)| {
                (format!("{row}, {bits} bits"), FigureRequest { bits: Some(bits), ..request })
            })
        })
    };
    let matrices = by_row_and_bits(FigureKind::BitMatrix).take(MATRICES);
    vec![
        panel(figures, "Balance of bits", by_bits(figures, FigureKind::Balance, &[None])),
        panel(figures, "Correlation of bits", by_bits(figures, FigureKind::Correlation, &[None])),
        panel(figures, "Correlation of each pair of bits", matrices),
        panel(figures, "Hamming distances", by_row_and_bits(FigureKind::Distances)),
    ]
}

/// What the codes of the shown settings look like in numbers; none where no run counted them.
fn code_table(figures: &Figures<'_>) -> Result<Vec<String>, ReportError> {
    let listed: BTreeSet<RunId> = runs_of_page(figures.report).into_iter().collect();
    let mut rows = Vec::new();
    for row in &figures.comparison.rows {
        for setting in row.shown() {
            for run in setting.runs.iter().filter(|r| r.finished().is_some() && listed.contains(&r.run)) {
                let result = run.finished().expect("it is finished");
                for (modality, codes) in result.codes.iter() {
                    let label = format!("{}, {} bits, seed {}", row.label, setting.bits, run.seed);
                    let share = |count: usize| format!("{:.1} %", 100.0 * count as f64 / codes.items.max(1) as f64);
                    let profile = correlations(figures.details, run, modality);
                    let cells = [
                        label,
                        modality.to_string(),
                        share(codes.distinct),
                        share(codes.most_common),
                        codes.constant_bits.to_string(),
                        profile.map_or("–".to_owned(), |(mean, _)| fraction(mean)),
                        profile.map_or("–".to_owned(), |(_, largest)| fraction(largest)),
                        if codes.collapsed { "collapsed".to_owned() } else { String::new() },
                    ];
                    rows.push(cells.map(Content::plain).to_vec());
                }
            }
        }
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let columns = [
        "Run",
        "modality",
        "different codes",
        "most common code",
        "constant bits",
        "mean |correlation|",
        "largest |correlation|",
        "",
    ];
    let table = Table {
        title: "Codes of all items, shown settings".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows,
        ..Table::default()
    };
    table::render_all("codes", [table].iter())
}

fn correlations(
    details: &Details,
    run: &crate::sweep_report::ReportedRun,
    modality: hashlab_data::Modality,
) -> Option<(f64, f64)> {
    let details = details.get(&run.run).filter(|_| is_own(run))?;
    let profile = details.codes.as_ref()?.bits.get(modality)?;
    Some((profile.mean_correlation, profile.largest_correlation))
}
