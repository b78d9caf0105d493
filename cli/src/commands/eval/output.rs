//! The measurements as a table, JSON or CSV.

use anyhow::Result;
use comfy_table::{Table, TableStyle};
use hashlab_eval::{Depth, MetricInfo, Search, known_metrics};
use serde_json::{Value, json};

use super::Measured;
use crate::args::{EvalArgs, EvalFormat};

/// A metric and its value.
struct Row {
    name: String,
    title: String,
    definition: String,
    used_by: String,
    value: f64,
    /// Whether the value counts queries.
    count: bool,
    interval: Option<(f64, f64)>,
}

pub(super) fn text(args: &EvalArgs, all: &[Measured]) -> Result<String> {
    Ok(match if args.json { EvalFormat::Json } else { args.format } {
        EvalFormat::Text => all.iter().map(|one| table(args, one, &rows(args, one))).collect::<Vec<_>>().join("\n"),
        EvalFormat::Json => serde_json::to_string_pretty(&documents(args, all))? + "\n",
        EvalFormat::Csv => csv(args, all)?,
    })
}

/// One object, or one by task.
fn documents(args: &EvalArgs, all: &[Measured]) -> Value {
    match all {
        [one] if one.task.is_none() => document(args, one, &rows(args, one)),
        all => {
            let by_task = all.iter().filter_map(|one| Some((one.task?.key(), document(args, one, &rows(args, one)))));
            Value::Object(by_task.collect())
        }
    }
}

/// The metrics, the chosen definition of mAP first and the others in their usual order.
fn rows(args: &EvalArgs, measured: &Measured) -> Vec<Row> {
    let chosen = args.definition.metric();
    let first = known_metrics().iter().filter(|metric| metric.name == chosen);
    let others = known_metrics().iter().filter(|metric| metric.name != chosen);
    first.chain(others).filter_map(|metric| row(args, measured, metric)).collect()
}

fn row(args: &EvalArgs, measured: &Measured, metric: &MetricInfo) -> Option<Row> {
    let search = Search { depth: args.k, radius: args.radius, asymmetric: args.asymmetric };
    let name = metric.name_at(args.radius);
    let interval = measured.intervals.iter().find(|(of, _)| *of == name);
    Some(Row {
        title: metric.title_at(search),
        definition: metric.sentence(search),
        used_by: metric.used_by.join(", "),
        value: *measured.report.scalars().get(&name)?,
        count: metric.is_count(),
        interval: interval.map(|(_, interval)| (interval.low, interval.high)),
        name,
    })
}

fn table(args: &EvalArgs, measured: &Measured, rows: &[Row]) -> String {
    let mut grid = Table::new();
    grid.load_style(TableStyle::new());
    for row in rows {
        let interval = row.interval.map_or(String::new(), |(low, high)| format!("{low:.4}–{high:.4}"));
        let value = if row.count { format!("{}", row.value) } else { format!("{:.4}", row.value) };
        grid.add_row([row.title.clone(), value, interval]);
    }
    let depth = match args.k {
        Depth::All => "the whole ranking".to_owned(),
        Depth::At(k) => format!("K = {k}"),
    };
    let task = measured.task.map_or(String::new(), |task| format!("{task}: "));
    let mut text = format!(
        "{task}{} queries, database of {} items, {} bits, {depth}\n\n{}\n",
        measured.queries,
        measured.items,
        measured.bits,
        grid.trim_fmt()
    );
    if let Some(samples) = args.bootstrap {
        text += &format!(
            "\nIntervals of 95 %: percentile bootstrap over queries, {samples} resamples, seed {}\n",
            args.seed
        );
    }
    text += "\nDefinitions\n";
    for row in rows {
        let used = if row.used_by.is_empty() { String::new() } else { format!(" [{}]", row.used_by) };
        for (i, line) in
            super::super::methods::wrap(&format!("{}: {}{used}", row.title, row.definition), 98).iter().enumerate()
        {
            text += &format!("{}{line}\n", if i == 0 { "  " } else { "    " });
        }
    }
    if !measured.classes.is_empty() {
        text += &format!("\n{} by class\n", rows[0].title);
        for class in &measured.classes {
            text += &format!("  {:>5}  {:.4}  ({} queries)\n", class.class, class.mean, class.queries);
        }
    }
    text
}

fn document(args: &EvalArgs, measured: &Measured, rows: &[Row]) -> Value {
    let metrics = rows.iter().map(|row| {
        json!({
            "name": row.name, "title": row.title, "value": row.value, "definition": row.definition,
            "used_by": row.used_by, "interval": row.interval.map(|(low, high)| [low, high]),
        })
    });
    let classes = measured.classes.iter();
    let classes = classes.map(|c| json!({ "class": c.class, "queries": c.queries, "value": c.mean }));
    json!({
        "queries": measured.queries,
        "items": measured.items,
        "bits": measured.bits,
        "k": args.k,
        "definition": args.definition,
        "bootstrap": args.bootstrap.map(|samples| json!({ "samples": samples, "seed": args.seed })),
        "metrics": metrics.collect::<Vec<_>>(),
        "curves": measured.report.curves(),
        "per_class": classes.collect::<Vec<_>>(),
        // NaN, of a query that does not enter a mean, becomes null.
        "per_query": measured.report.queries(),
    })
}

fn csv(args: &EvalArgs, all: &[Measured]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["task", "metric", "class", "queries", "value", "low", "high", "definition", "used_by"])?;
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for measured in all {
        let task = measured.task.map_or(String::new(), |task| task.key());
        let rows = rows(args, measured);
        for row in &rows {
            let (low, high) = row.interval.unzip();
            let (queries, value) = (measured.queries.to_string(), row.value.to_string());
            let (low, high) = (number(low), number(high));
            let fields = [&task, &row.name, "", &queries, &value, &low, &high, &row.definition, &row.used_by];
            writer.write_record(fields)?;
        }
        for class in &measured.classes {
            let (number, queries, mean) = (class.class.to_string(), class.queries.to_string(), class.mean.to_string());
            let (name, definition) = (&rows[0].name, &rows[0].definition);
            writer.write_record([&task, name, &number, &queries, &mean, "", "", definition, ""])?;
        }
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}
