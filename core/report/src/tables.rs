//! The tables of a document: which rows and columns, which marks.

use hashlab_data::Task;
use hashlab_eval::MetricInfo;
use hashlab_store::{ENCODE_ITEM, SEARCH_QUERY};

use crate::aggregate::{Cell, Comparison, Setting, Statistic, Value};
use crate::citations::{Citations, Source};
use crate::document::{Content, Document, Group, Mark, Table};
use crate::facts::{cells_in_short, devices, facts};
use crate::layout::Layout;
use crate::marks::{NOISE, mark_columns};
use crate::metrics;
use crate::notes::lists;
use crate::warnings::{COLLAPSED, CONSTANT_BITS, code_mark, warnings};
use crate::wording::{NONE, fraction, memory, microseconds, point, seconds};

/// Columns of numbers that one table holds; the tasks of a wider one get a table each.
const MOST_COLUMNS: usize = 6;

/// Lays a report out for a format that people read.
pub(crate) fn document(layout: &Layout<'_>) -> Document {
    let mut cited = Vec::new();
    let citations = Citations::of(layout, &mut cited);
    let (tables, times) = if layout.options.all {
        (vec![settings_table(layout)], setting_times(layout))
    } else {
        (layout.metrics.iter().flat_map(|m| method_tables(layout, m, &citations)).collect(), method_times(layout))
    };
    let header = &layout.report.header;
    Document {
        title: format!(
            "{} (protocol {}): {}",
            header.dataset_display,
            header.protocol,
            layout.title(&layout.metrics[0])
        ),
        cells: cells_in_short(layout),
        facts: facts(layout),
        warnings: warnings(layout),
        tables,
        notes: lists(layout, &cited),
        times: match layout.options.times {
            true => [times].into_iter().chain(layout.options.latency.then(|| latencies(layout))).collect(),
            false => Vec::new(),
        },
    }
}

/// A metric's table: tasks side by side where they fit, one below the other where they do not.
fn method_tables(layout: &Layout<'_>, metric: &str, citations: &Citations<'_>) -> Vec<Table> {
    let Comparison { tasks, bits, .. } = layout.comparison;
    if tasks.len() * bits.len() <= MOST_COLUMNS {
        return vec![method_table(layout, metric, tasks, citations)];
    }
    tasks.iter().map(|task| method_table(layout, metric, std::slice::from_ref(task), citations)).collect()
}

/// One row per method, one column per task and code length, and published values below the measured ones.
pub(crate) fn method_table(layout: &Layout<'_>, metric: &str, tasks: &[Task], citations: &Citations<'_>) -> Table {
    let comparison = layout.comparison;
    let mut rows: Vec<Vec<Content>> = Vec::new();
    for row in &comparison.rows {
        let cell =
            |cell: &Cell<'_>, task: Task| content(layout, cell.value(task, metric), cell.shown(), (task, metric));
        let at = |task: Task| row.cells.iter().map(move |c| c.as_ref().map_or(Content::plain(NONE), |c| cell(c, task)));
        rows.push([Content::plain(row.label)].into_iter().chain(tasks.iter().flat_map(|&task| at(task))).collect());
    }
    let more_is_better = metrics::info(metric).is_none_or(MetricInfo::more_is_better);
    let marks = more_is_better.then(|| mark_columns(&mut rows, comparison, metric, tasks));
    let mut remarks = remarks(layout, metric, tasks, &rows);
    if marks.is_some_and(|(_, noise)| noise) {
        remarks.push(NOISE.to_owned());
    }
    if metric == layout.primary() {
        let (cited, doubtful) = with_citations(rows, comparison, tasks, citations);
        rows = cited;
        if rows.len() > comparison.rows.len() {
            let doubt =
                if doubtful { "; in parentheses: unverified, or in another setting than this table's" } else { "" };
            remarks.push(format!("[n]: published, see below{doubt}"));
        }
    }
    let legend = legend(&rows, marks.as_ref().map_or(&[], |(meanings, _)| meanings));
    let only = if layout.several_tasks() && tasks.len() == 1 { format!(", {}", tasks[0]) } else { String::new() };
    Table {
        title: layout.title(metric) + &only,
        groups: task_groups(tasks, comparison.bits.len()),
        columns: method_headings(comparison, tasks),
        rows,
        legend,
        remarks,
        ..Table::default()
    }
}

/// Headings above the code lengths; none for a single task.
fn task_groups(tasks: &[Task], columns: usize) -> Vec<Group> {
    let group = |task: &Task| Group { title: task.to_string(), columns };
    if tasks.len() == 1 { Vec::new() } else { tasks.iter().map(group).collect() }
}

fn method_headings(comparison: &Comparison<'_>, tasks: &[Task]) -> Vec<String> {
    let bits = tasks.iter().flat_map(|_| &comparison.bits).map(|bits| format!("{bits} bits"));
    ["Method".to_owned()].into_iter().chain(bits).collect()
}

/// Inserts a row per published source below its method's row; returns whether any is doubtful.
fn with_citations(
    rows: Vec<Vec<Content>>,
    comparison: &Comparison<'_>,
    tasks: &[Task],
    citations: &Citations<'_>,
) -> (Vec<Vec<Content>>, bool) {
    let mut doubtful = false;
    let mut all = Vec::new();
    for (measured, row) in rows.into_iter().zip(&comparison.rows) {
        all.push(measured);
        for source in citations.of_row(row.label) {
            let values: Vec<Content> = published(source, comparison, tasks).map(Content::plain).collect();
            if values.iter().any(|v| !v.text.is_empty()) {
                doubtful |= source.doubtful;
                let label = Content::plain(format!("{} [{}]", row.label, source.number));
                all.push([label].into_iter().chain(values).collect());
            }
        }
    }
    (all, doubtful)
}

/// A source's values by column; blank where it has none.
fn published(source: &Source<'_>, comparison: &Comparison<'_>, tasks: &[Task]) -> impl Iterator<Item = String> {
    let text = |value: f64| if source.doubtful { format!("({})", fraction(value)) } else { fraction(value) };
    let at = move |task: Task, bits: usize| source.value(task, bits).map_or(String::new(), text);
    tasks.iter().flat_map(move |&task| comparison.bits.iter().map(move |&bits| at(task, bits)))
}

/// One row per setting: what was tried, with the validation metric that decides.
fn settings_table(layout: &Layout<'_>) -> Table {
    let tasks = &layout.comparison.tasks;
    let mut rows = Vec::new();
    for (label, cell, i) in layout.rows() {
        let setting = &cell.settings[i];
        let value = |metric, task| content(layout, setting.value(task, metric), setting, (task, metric));
        let values = layout.metrics.iter().flat_map(|m| tasks.iter().map(move |&task| value(m, task)));
        let mut values: Vec<Content> = values.collect();
        // Where there is no choice there is nothing to point out.
        if i == cell.selected && cell.settings.len() > 1 && setting.any_finished() {
            values.iter_mut().take(tasks.len()).for_each(|value| value.mark = Mark::Bold);
        }
        let validation = Content::plain(setting.validation().map_or(NONE.to_owned(), fraction));
        rows.push([setting_name(label, setting), vec![validation], values].concat());
    }
    let titles = layout.metrics.iter().map(|m| layout.title(m));
    let (groups, headings): (Vec<Group>, Vec<String>) = if layout.several_tasks() {
        let headings = layout.metrics.iter().flat_map(|_| tasks).map(Task::to_string).collect();
        (titles.map(|title| Group { title, columns: tasks.len() }).collect(), headings)
    } else {
        (Vec::new(), titles.collect())
    };
    let validation = format!("validation {}", layout.title(layout.primary()));
    Table {
        title: "All settings".to_owned(),
        groups,
        columns: setting_headings().into_iter().chain([validation]).chain(headings).collect(),
        legend: legend(&rows, &[(Mark::Bold, "selected on validation among the settings of its method and bits")]),
        remarks: remarks(layout, &layout.metrics[0], tasks, &rows),
        rows,
        ..Table::default()
    }
}

/// Time and memory of the settings that the cells show.
fn method_times(layout: &Layout<'_>) -> Table {
    let cost = |cell: &Cell<'_>| {
        let setting = cell.shown();
        let [train, encode] = ["train", "encode"].map(|stage| setting.seconds(stage));
        match (train, encode, setting.peak_memory()) {
            (None, None, None) => NONE.to_owned(),
            (train, encode, peak) => [seconds(train), seconds(encode), memory(peak)].join(" / "),
        }
    };
    let row = |label: &str, cells: &[Option<Cell<'_>>]| {
        let costs = cells.iter().map(|c| Content::plain(c.as_ref().map_or(NONE.to_owned(), cost)));
        [Content::plain(label)].into_iter().chain(costs).collect()
    };
    let any_task = &layout.comparison.tasks[..layout.comparison.tasks.len().min(1)];
    Table {
        title: "Time per run: training / encoding, seconds / peak memory, MiB".to_owned(),
        columns: method_headings(layout.comparison, any_task),
        rows: layout.comparison.rows.iter().map(|r| row(r.label, &r.cells)).collect(),
        remarks: devices(layout),
        ..Table::default()
    }
}

/// Time and memory of every setting.
fn setting_times(layout: &Layout<'_>) -> Table {
    let stages = ["train", "encode"];
    let headings = ["training", "encoding", "peak memory, MiB"];
    let row = |(label, setting): (&str, &Setting<'_>)| {
        let times = stages.map(|stage| Content::plain(seconds(setting.seconds(stage))));
        let peak = Content::plain(memory(setting.peak_memory()));
        setting_name(label, setting).into_iter().chain(times).chain([peak]).collect()
    };
    Table {
        title: "Time per run, seconds".to_owned(),
        columns: setting_headings().into_iter().chain(headings.map(str::to_owned)).collect(),
        rows: layout.shown().map(row).collect(),
        remarks: devices(layout),
        ..Table::default()
    }
}

/// Times of one item and of one query: of the settings that the cells show, or of every setting.
fn latencies(layout: &Layout<'_>) -> Table {
    let times = |setting: &Setting<'_>| {
        [ENCODE_ITEM, SEARCH_QUERY].map(|stage| microseconds(setting.seconds(stage))).join(" / ")
    };
    let (columns, rows) = if layout.options.all {
        let row = |(label, setting): (&str, &Setting<'_>)| {
            setting_name(label, setting).into_iter().chain([Content::plain(times(setting))]).collect()
        };
        let columns = setting_headings().into_iter().chain(["encoding / search".to_owned()]).collect();
        (columns, layout.shown().map(row).collect())
    } else {
        let any_task = &layout.comparison.tasks[..layout.comparison.tasks.len().min(1)];
        let cell = |cell: &Option<Cell<'_>>| {
            Content::plain(cell.as_ref().map_or_else(|| NONE.to_owned(), |cell| times(cell.shown())))
        };
        let rows = layout.comparison.rows.iter();
        let rows = rows.map(|row| [Content::plain(row.label)].into_iter().chain(row.cells.iter().map(cell)).collect());
        (method_headings(layout.comparison, any_task), rows.collect())
    };
    let what = [
        "encoding: mean over images and texts, without the encoder where its features are stored",
        "search: the ten nearest items of the database, by one thread; median over queries",
    ]
    .map(str::to_owned);
    Table {
        title: "Time of an item in the encoding / of a query in the search, µs".to_owned(),
        columns,
        rows,
        remarks: what.into_iter().chain(devices(layout)).collect(),
        ..Table::default()
    }
}

fn setting_headings() -> Vec<String> {
    ["Method", "bits", "setting"].map(str::to_owned).to_vec()
}

fn setting_name(label: &str, setting: &Setting<'_>) -> Vec<Content> {
    let values = if setting.point.is_empty() { NONE.to_owned() } else { point(setting.point) };
    vec![Content::plain(label), Content::plain(setting.bits.to_string()), Content::plain(values)]
}

/// Writes a value of a setting, with the number of its seeds where the facts cannot state it or seeds are lacking.
fn content(layout: &Layout<'_>, value: Value, setting: &Setting<'_>, (task, metric): (Task, &str)) -> Content {
    let statistic = match value {
        Value::Measured(statistic) => statistic,
        Value::Stopped(epoch) => return Content::plain(format!("stopped at epoch {epoch}")),
        _ => return Content::plain(value.name()),
    };
    let Statistic { mean, n, planned, seeded, .. } = statistic;
    let spread = layout.spread(&statistic, setting, task, metric);
    let count = match layout.comparison.seeds_per_setting() {
        _ if !statistic.complete() => format!(" ({n}/{planned})"),
        None if seeded => format!(" (n={n})"),
        _ => String::new(),
    };
    let mark = code_mark(setting).map_or(String::new(), |mark| format!(" {mark}"));
    Content { text: fraction(mean), rest: spread + &count + &mark, mark: Mark::Plain }
}

/// Explains what a table's cells hold besides numbers, as far as it occurs.
fn remarks(layout: &Layout<'_>, metric: &str, tasks: &[Task], rows: &[Vec<Content>]) -> Vec<String> {
    let values = layout.rows().flat_map(|(_, cell, i)| tasks.iter().map(move |&t| layout.value(cell, i, t, metric)));
    let partial = values.into_iter().find_map(|v| match v {
        Value::Measured(s) if !s.complete() => {
            Some(format!("({}/{}): seeds finished of seeds planned", s.n, s.planned))
        }
        _ => None,
    });
    let gaps = layout.comparison.rows.iter().any(|r| r.cells.iter().any(Option::is_none));
    let unplanned = (gaps && !layout.options.all).then(|| format!("{NONE}: not in the plan"));
    let marked = |mark: &str| rows.iter().flatten().any(|c| c.rest.ends_with(mark));
    let collapsed = marked(COLLAPSED).then(|| format!("{COLLAPSED} collapsed codes, see the warnings"));
    let constant = marked(CONSTANT_BITS).then(|| format!("{CONSTANT_BITS} constant bits, see the warnings"));
    partial.into_iter().chain(unplanned).chain(collapsed).chain(constant).collect()
}

/// The marks of a legend that occur in a table.
fn legend(rows: &[Vec<Content>], all: &[(Mark, &'static str)]) -> Vec<(Mark, &'static str)> {
    let occurs = |mark: Mark| rows.iter().flatten().any(|c| c.mark == mark);
    all.iter().copied().filter(|(mark, _)| occurs(*mark)).collect()
}
