//! A run of a list, and its values by the names of columns.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashlab_data::Task;
use hashlab_store::{ListedRun, RunResult};
use hashlab_sweep::Selectable;
use serde_json::{Value, json};

use super::settings::Settings;

/// The columns that every run may have; settings, metrics and facts of results are further ones.
pub(super) const COLUMNS: [&str; 18] = [
    "run",
    "state",
    "label",
    "method",
    "bits",
    "seed",
    "split_seed",
    "dataset",
    "protocol",
    "primary",
    "validation",
    "changed",
    "tags",
    "note",
    "epoch",
    "epochs_done",
    "seconds",
    "attempts",
];

pub(super) struct Row<'a> {
    pub(super) run: ListedRun,
    /// Its label in the sweep that is listed.
    pub(super) label: Option<Arc<str>>,
    pub(super) settings: &'a Settings,
}

impl Selectable for Row<'_> {
    fn is_called(&self, word: &str) -> bool {
        let id = &self.run.run.0;
        let digits = id.rsplit('-').next().unwrap_or_default();
        id.starts_with(word)
            || digits.starts_with(word)
            || self.run.config.as_ref().is_some_and(|config| config.template.method == word)
            || self.label.as_deref() == Some(word)
            || self.run.state == word
            // A diverged run has a result.
            || word == "finished" && self.run.result.is_some()
            || self.run.remarks.tags.contains(word)
    }

    fn value(&self, key: &str) -> Option<Value> {
        let remarks = &self.run.remarks;
        match key {
            "run" => Some(json!(self.run.run)),
            "state" => Some(json!(self.run.state)),
            "label" => self.label.as_deref().map(Value::from),
            "tags" | "tag" => (!remarks.tags.is_empty()).then(|| json!(remarks.tags)),
            "note" => remarks.note.clone().map(Value::from),
            "changed" => self.run.changed.map(Value::from),
            key => self.setting(key).or_else(|| of_result(self.run.result.as_ref()?, key)),
        }
    }
}

impl Row<'_> {
    fn setting(&self, key: &str) -> Option<Value> {
        let shared = self.run.config.as_ref()?;
        let config = &*shared.template;
        match key {
            "method" => Some(json!(config.method)),
            "bits" => Some(json!(shared.bits)),
            "seed" => Some(json!(shared.seed)),
            "split_seed" => Some(json!(config.split_seed)),
            "dataset" => Some(json!(config.dataset)),
            "protocol" => Some(json!(config.protocol)),
            key => self.settings.value(config, key),
        }
    }
}

/// A metric, or another fact of a result.
fn of_result(result: &RunResult, key: &str) -> Option<Value> {
    let mean = |value: Option<f64>| value.map(Value::from);
    match key {
        "primary" => return mean(result.mean_test(&result.primary)),
        "validation" => return mean(result.primary_validation()),
        "epoch" => return result.epoch.map(Value::from),
        "epochs_done" => return result.epochs_done.map(Value::from),
        "attempts" => return Some(result.attempts.into()),
        "seconds" => return Some(result.total_seconds().into()),
        _ => {}
    }
    let part = |(section, key): (&str, &str)| match section {
        "test" => mean(result.mean_test(key)),
        "validation" => mean(result.mean_validation(key)),
        "seconds" => mean(result.seconds.get(key).copied()),
        "provenance" => result.provenance.get(key).map(|value| value.as_str().into()),
        task => mean(result.test.get(&task.parse::<Task>().ok()?)?.metrics.get(key).copied()),
    };
    let whole = || mean(result.mean_test(key)).or_else(|| Some(result.provenance.get(key)?.as_str().into()));
    key.split_once('.').and_then(part).or_else(whole)
}

/// The metrics that some run has.
pub(super) fn metrics<'r>(rows: &'r [Row<'_>]) -> BTreeSet<&'r str> {
    let results = rows.iter().filter_map(|row| row.run.result.as_ref());
    let tasks = results.flat_map(|result| result.test.values());
    tasks.flat_map(|task| task.metrics.keys()).map(|name| name.as_str()).collect()
}
