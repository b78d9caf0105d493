//! The sweeps of the store.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::Result;
use hashlab_store::RunId;
use serde_json::{Value, json};

use super::output::{Column, ago, aligned, plain};
use crate::args::ListFormat;
use crate::context::{Context, warn};

/// States in the order in which they are counted.
const STATES: [&str; 6] = ["finished", "diverged", "running", "failed", "interrupted", "missing"];

/// Columns of a text.
const HEAD: [&str; 6] = ["sweep", "dataset", "protocol", "runs", "states", "started"];

/// A sweep by its newest plan.
struct Listed {
    sweep: String,
    dataset: String,
    protocol: String,
    runs: usize,
    states: BTreeMap<&'static str, usize>,
    plans: usize,
    /// When it was started last, in seconds since 1970.
    started: u64,
}

pub(super) fn list(context: &Context, format: ListFormat) -> Result<String> {
    let sweeps = read(context)?;
    if format == ListFormat::Text {
        return Ok(text(&sweeps));
    }
    let rows: Vec<Value> = sweeps.iter().map(Listed::record).collect();
    if format == ListFormat::Json {
        return Ok(format!("{:#}\n", Value::Array(rows)));
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (at, row) in rows.iter().filter_map(Value::as_object).enumerate() {
        if at == 0 {
            writer.write_record(row.keys())?;
        }
        writer.write_record(row.values().map(plain))?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

fn read(context: &Context) -> Result<Vec<Listed>> {
    let store = context.dirs().store();
    let states: BTreeMap<RunId, &'static str> = store.listed()?.into_iter().map(|run| (run.run, run.state)).collect();
    let mut sweeps = Vec::new();
    for sweep in store.sweeps() {
        let (plan, dir) = match context.workspace.newest_plan(&sweep) {
            Ok(found) => found,
            Err(error) => {
                warn(&format!("{error:#}"));
                continue;
            }
        };
        let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
        let runs = plan.runs.iter().chain(plan.external.iter().map(|row| &row.run));
        runs.for_each(|run| *counts.entry(states.get(&run.id).copied().unwrap_or("missing")).or_default() += 1);
        let started = std::fs::metadata(dir.plan_path()).and_then(|file| file.modified()).ok();
        let started = started.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        sweeps.push(Listed {
            plans: store.sweep(&sweep)?.plans(),
            sweep,
            dataset: plan.dataset.clone(),
            protocol: plan.protocol.clone(),
            runs: counts.values().sum(),
            states: counts,
            started: started.map_or(0, |since| since.as_secs()),
        });
    }
    Ok(sweeps)
}

impl Listed {
    fn count(&self, state: &str) -> usize {
        self.states.get(state).copied().unwrap_or(0)
    }

    fn record(&self) -> Value {
        let Self { sweep, dataset, protocol, runs, plans, started, .. } = self;
        let mut record = json!({ "sweep": sweep, "dataset": dataset, "protocol": protocol, "runs": runs });
        STATES.iter().for_each(|state| record[*state] = self.count(state).into());
        record["plans"] = (*plans).into();
        record["started"] = (*started).into();
        record
    }
}

fn text(sweeps: &[Listed]) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let states = |sweep: &Listed| -> String {
        let counts = STATES.iter().map(|state| (state, sweep.count(state))).filter(|(_, count)| *count > 0);
        counts.map(|(state, count)| format!("{count} {state}")).collect::<Vec<_>>().join(", ")
    };
    let rows = sweeps.iter().map(|sweep| {
        let started = ago(now.saturating_sub(sweep.started)) + " ago";
        let Listed { sweep: name, dataset, protocol, runs, .. } = sweep;
        [name.clone(), dataset.clone(), protocol.clone(), runs.to_string(), states(sweep), started]
    });
    if sweeps.is_empty() {
        return "0 sweeps\n".to_owned();
    }
    let rows: Vec<[String; HEAD.len()]> = rows.collect();
    let column = |(at, heading): (usize, &str)| Column::new(heading, rows.iter().map(|row| row[at].clone()));
    aligned(&HEAD.into_iter().enumerate().map(column).collect::<Vec<_>>())
}
