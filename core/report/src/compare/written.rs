//! Comparisons as a document that people read.

use hashlab_eval::Interval;

use super::Pair;
use crate::document::{Content, Document, Table};
use crate::facts::facts;
use crate::layout::{Layout, RESAMPLES};
use crate::wording::NONE;

/// Levels at which an adjusted p value gets a star more.
const LEVELS: [f64; 3] = [0.05, 0.01, 0.001];

/// Content of a line.
const CELLS: &str = "mean difference over n pairs of runs with equal seeds, with the 95 % interval of Student's t";

/// Lays comparisons out.
pub(super) fn document(layout: &Layout<'_>, pairs: &[Pair<'_>]) -> Document {
    let header = &layout.report.header;
    let several = layout.several_tasks();
    let queries = pairs.iter().any(|pair| pair.over_queries.is_some());
    let row = |pair: &Pair<'_>| -> Vec<Content> {
        let task = several.then(|| pair.task.to_string());
        let over_queries = queries.then(|| interval(pair.over_queries));
        let name = format!("{} − {}", pair.first, pair.second);
        let cells = [pair.bits.to_string(), format!("{:+.3}", pair.paired.mean), interval(pair.paired.interval)];
        let tested = [pair.paired.n.to_string(), effect(pair), p(pair)];
        let all = [name].into_iter().chain(task).chain(cells).chain(over_queries).chain(tested);
        all.map(Content::plain).collect()
    };
    let task = several.then_some("task");
    let over_queries = queries.then_some("over queries");
    let columns = ["Methods"].into_iter().chain(task).chain(["bits", "difference", "over seeds"]);
    let columns = columns.chain(over_queries).chain(["n", "effect", "adjusted p"]).map(str::to_owned).collect();
    let metric = layout.title(&layout.metrics[0]);
    let levels = LEVELS.iter().zip(["*", "**", "***"]).map(|(level, stars)| format!("{stars} below {level}"));
    let resampled = format!("over queries: 95 % interval of {RESAMPLES} bootstrap resamples, mean over the seeds");
    let remarks = [
        format!("{NONE}: fewer than three seeds, or equal differences"),
        "effect: mean by sample deviation of the differences (Cohen's d of paired samples)".to_owned(),
        format!(
            "adjusted p, {}: two-sided paired t test, Holm's correction over the comparisons shown of equal task and bits",
            levels.collect::<Vec<_>>().join(", ")
        ),
    ];
    let remarks = remarks.into_iter().chain(queries.then_some(resampled)).collect();
    let facts = facts(layout).into_iter().map(|(name, text)| {
        let text = if name == "cells" { CELLS.to_owned() } else { text };
        (name, text)
    });
    let title = format!("{} (protocol {}): differences in {metric}", header.dataset_display, header.protocol);
    Document {
        title,
        cells: CELLS.to_owned(),
        facts: facts.collect(),
        warnings: Vec::new(),
        tables: vec![Table {
            title: format!("Differences in {metric}, paired by seed"),
            columns,
            rows: pairs.iter().map(row).collect(),
            remarks,
            ..Table::default()
        }],
        notes: Vec::new(),
        times: Vec::new(),
    }
}

fn interval(interval: Option<Interval>) -> String {
    interval.map_or(NONE.to_owned(), |i| format!("{:+.3} to {:+.3}", i.low, i.high))
}

fn effect(pair: &Pair<'_>) -> String {
    pair.paired.effect.map_or(NONE.to_owned(), |effect| format!("{effect:+.1}"))
}

fn p(pair: &Pair<'_>) -> String {
    let Some(adjusted) = pair.adjusted else { return NONE.to_owned() };
    let stars = "*".repeat(LEVELS.iter().filter(|&&level| adjusted < level).count());
    if adjusted < 0.001 { format!("< 0.001{stars}") } else { format!("{adjusted:.3}{stars}") }
}
