//! `hashlab ls`: the runs of the store, filtered, sorted and in columns, or its sweeps.

mod output;
mod row;
mod settings;
mod sweeps;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use hashlab_settings::nearest;
use hashlab_store::RunId;
use hashlab_sweep::Selectable as _;
use serde_json::Value;

use crate::args::{ListFormat, LsArgs};
use crate::context::{Context, print};
use crate::exit::bad_input;
use row::{COLUMNS, Row};
use settings::Settings;

/// Columns of a text, of which those that are empty in all rows are left out.
const OF_TEXT: [&str; 8] = ["run", "state", "dataset", "primary", "validation", "changed", "tags", "note"];

/// Columns for programs.
const OF_FILES: [&str; 12] = [
    "run",
    "state",
    "method",
    "bits",
    "seed",
    "dataset",
    "protocol",
    "primary",
    "validation",
    "changed",
    "tags",
    "note",
];

/// Columns by which runs are sorted unless the user says otherwise.
const SORTED_BY: [&str; 3] = ["method", "bits", "seed"];

pub(crate) fn run(context: &Context, args: &LsArgs) -> Result<ExitCode> {
    if args.of_sweeps {
        print(&sweeps::list(context, args.format)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let settings = Settings::of(context.registry());
    let mut rows = rows(context, &args.sweeps, &settings)?;
    check(args, &rows, &settings)?;
    rows.retain(|row| args.only.is_empty() || args.only.iter().any(|selector| selector.applies(row)));
    sort(&mut rows, &args.sort);
    let all = rows.len();
    rows.truncate(args.limit.unwrap_or(all));
    let columns: Vec<&str> = match (args.columns.as_slice(), args.format) {
        ([], ListFormat::Text) => OF_TEXT.to_vec(),
        ([], _) => OF_FILES.to_vec(),
        (named, _) => named.iter().map(String::as_str).collect(),
    };
    print(&match args.format {
        ListFormat::Text => output::text(&rows, &columns, args.columns.is_empty(), all),
        ListFormat::Csv => output::csv(&rows, &columns)?,
        ListFormat::Json => output::json(&rows, &columns),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The runs that have a directory, or those of some sweeps, with their labels there.
fn rows<'a>(context: &Context, sweeps: &[String], settings: &'a Settings) -> Result<Vec<Row<'a>>> {
    let mut labels: BTreeMap<RunId, Arc<str>> = BTreeMap::new();
    for sweep in sweeps {
        let (plan, _) = context.workspace.newest_plan(sweep)?;
        let runs = plan.runs.iter().chain(plan.external.iter().map(|row| &row.run));
        labels.extend(runs.map(|run| (run.id.clone(), Arc::clone(&run.label))));
    }
    let rows = context.dirs().store().listed()?.into_iter().filter_map(|run| {
        let label = labels.get(&run.run).cloned();
        (sweeps.is_empty() || label.is_some()).then_some(Row { run, label, settings })
    });
    Ok(rows.collect())
}

/// Refuses a name of a column that is no setting and that no run has.
fn check(args: &LsArgs, rows: &[Row<'_>], settings: &Settings) -> Result<()> {
    let sorted = args.sort.iter().map(|name| ("--sort", name.trim_start_matches('-')));
    let printed = args.columns.iter().map(|name| ("--columns", name.as_str()));
    let selected = args.only.iter().flat_map(|selector| selector.keys().map(|key| ("--only", key)));
    for (flag, name) in sorted.chain(printed).chain(selected) {
        let known = COLUMNS.contains(&name) || name == "tag" && flag == "--only" || settings.knows(name);
        if !known && !rows.iter().any(|row| row.value(name).is_some()) && !rows.is_empty() {
            let names = COLUMNS.iter().copied().chain(settings.keys().map(String::as_str));
            let near = nearest(name, names.chain(row::metrics(rows)));
            let near = near.map(|near| format!("\nhelp: did you mean `{near}`?")).unwrap_or_default();
            return Err(bad_input(format!(
                "`{flag}` names `{name}`, which is no setting, and which no run has{near}\nhelp: `hashlab ls --help` lists \
                 columns, `hashlab show RUN --format json` the metrics of a run"
            )));
        }
    }
    Ok(())
}

/// Sorts by columns, then by the default ones; runs without a value come last.
fn sort(rows: &mut [Row<'_>], by: &[String]) {
    let keys = by.iter().map(|name| match name.strip_prefix('-') {
        Some(name) => (name, true),
        None => (name.as_str(), false),
    });
    let keys: Vec<(&str, bool)> = keys.chain(SORTED_BY.map(|name| (name, false))).collect();
    rows.sort_by_cached_key(|row| {
        let values = keys.iter().map(|(name, reversed)| Key(row.value(name), *reversed)).collect::<Vec<_>>();
        (values, row.run.run.clone())
    });
}

/// A value to sort by: numbers before texts, nothing last.
struct Key(Option<Value>, bool);

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, other, reversed) = (&self.0, &other.0, self.1);
        let ordered = match (one, other) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Greater,
            (_, None) => return Ordering::Less,
            (Some(one), Some(other)) => match (one.as_f64(), other.as_f64()) {
                (Some(one), Some(other)) => one.total_cmp(&other),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => output::plain(one).cmp(&output::plain(other)),
            },
        };
        if reversed { ordered.reverse() } else { ordered }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}
