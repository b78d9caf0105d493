//! Two executions of one run, compared value by value.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use hashlab_pipeline::Model;
use hashlab_store::{RunDir, RunId, RunResult};
use serde::Serialize;
use serde_json::Value;

/// Fields of a result that differ between repetitions.
const FREE: [&str; 4] = ["seconds", "attempts", "provenance", "schema"];

/// Facts that say nothing about why a result differs.
const TRIVIAL: [&str; 2] = ["argv", "peak_rss_mib"];

/// A run as it was and as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The run.
    pub run: RunId,
    /// What was compared.
    pub parts: Vec<Part>,
    /// Facts about the two executions that differ: commit, processor, driver …
    pub provenance: Vec<Difference>,
}

/// Values of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// Their kind: `result`, `training`, `queries`, `codes`, `model`.
    pub name: &'static str,
    /// How many were compared.
    pub values: usize,
    /// Those that are not the same, to the last bit.
    pub differences: Vec<Difference>,
}

/// A value that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its name: a path of keys joined by dots.
    pub key: String,
    /// As it was; none if it was not there.
    pub then: Option<String>,
    /// As it is now.
    pub now: Option<String>,
}

impl Comparison {
    /// Whether every value is the same.
    pub fn is_equal(&self) -> bool {
        self.parts.iter().all(|part| part.differences.is_empty())
    }
}

/// Compares the results of a run, and what both executions left beside them.
///
/// # Errors
/// If a result is missing, or a model cannot be read.
pub(super) fn compare(original: &RunDir, again: &RunDir) -> Result<Comparison> {
    let result = |run: &RunDir| run.result().with_context(|| format!("run `{}` has no result", run.id()));
    let (then, now) = (result(original)?, result(again)?);
    let mut parts = vec![part("result", &of_result(&then)?, &of_result(&now)?)];
    parts.push(part("training", &journal(original), &journal(again)));
    parts.extend(both("queries", original.queries(), again.queries())?);
    parts.extend(both("codes", original.codes(), again.codes())?);
    if original.model_path().is_file() && again.model_path().is_file() {
        parts.push(part("model", &Model::digests(&original.model_path())?, &Model::digests(&again.model_path())?));
    }
    parts.retain(|part| part.values > 0);
    Ok(Comparison { run: original.id().clone(), parts, provenance: provenance(&then, &now) })
}

/// A file that a run may have left, where both have.
fn both(name: &'static str, then: Option<impl Serialize>, now: Option<impl Serialize>) -> Result<Option<Part>> {
    let Some((then, now)) = then.zip(now) else { return Ok(None) };
    Ok(Some(part(name, &flat(&serde_json::to_value(then)?), &flat(&serde_json::to_value(now)?))))
}

fn of_result(result: &RunResult) -> Result<BTreeMap<String, String>> {
    let mut value = serde_json::to_value(result)?;
    if let Value::Object(fields) = &mut value {
        fields.retain(|key, _| !FREE.contains(&key.as_str()));
    }
    Ok(flat(&value))
}

/// The values of the training by step and name.
fn journal(run: &RunDir) -> BTreeMap<String, String> {
    let text = |value: Option<f64>| value.map_or("not finite".to_owned(), |value| format!("{value:?}"));
    let points = run.metrics().into_iter().flat_map(|point| {
        point.values.into_iter().map(move |(name, value)| (format!("step {}, {name}", point.step), text(value)))
    });
    points.collect()
}

/// Compares the values that the original has. Programs of other versions record more or less: what the original lacks is
/// no difference.
fn part(name: &'static str, then: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Part {
    let differs = |(key, value): (&String, &String)| {
        let new = now.get(key);
        (new != Some(value)).then(|| Difference { key: key.clone(), then: Some(value.clone()), now: new.cloned() })
    };
    Part { name, values: then.len(), differences: then.iter().filter_map(differs).collect() }
}

/// The leaves of a value by their paths. A list has its length beside its values.
fn flat(value: &Value) -> BTreeMap<String, String> {
    fn add(path: String, value: &Value, leaves: &mut BTreeMap<String, String>) {
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| add(below(key), value, leaves)),
            Value::Array(values) => {
                leaves.insert(below("length"), values.len().to_string());
                values.iter().enumerate().for_each(|(at, value)| add(below(&at.to_string()), value, leaves));
            }
            Value::String(text) => drop(leaves.insert(path, text.clone())),
            leaf => drop(leaves.insert(path, leaf.to_string())),
        }
    }
    let mut leaves = BTreeMap::new();
    add(String::new(), value, &mut leaves);
    leaves
}

/// Facts of the executions that differ, where both recorded them or one did.
fn provenance(then: &RunResult, now: &RunResult) -> Vec<Difference> {
    let keys: BTreeSet<&str> = then.provenance.keys().chain(now.provenance.keys()).map(|name| name.as_str()).collect();
    let of = |result: &RunResult, key: &str| result.provenance.get(key).map(|value| value.to_string());
    let difference = |key: &str| Difference { key: key.to_owned(), then: of(then, key), now: of(now, key) };
    let keys = keys.into_iter().filter(|key| !TRIVIAL.contains(key));
    keys.map(difference).filter(|difference| difference.then != difference.now).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn leaves_are_compared_to_the_last_bit() {
        let then = json!({ "map": 0.1, "list": [1.5, null], "text": "a", "old": 1 });
        let now = json!({ "map": 0.1f64.next_up(), "list": [1.5, null], "text": "a", "new": 2 });
        let found = part("result", &flat(&then), &flat(&now));
        assert_eq!(found.values, 6, "map, text, old, and the list with its length");
        let differences: Vec<(&str, Option<&str>, Option<&str>)> =
            found.differences.iter().map(|d| (d.key.as_str(), d.then.as_deref(), d.now.as_deref())).collect();
        let expected = [("map", Some("0.1"), Some("0.10000000000000002")), ("old", Some("1"), None)];
        assert_eq!(differences, expected, "what the original lacks is no difference");
        let shorter = json!({ "list": [1.5] });
        assert_eq!(part("x", &flat(&shorter), &flat(&then)).differences[0].key, "list.length");
    }
}
