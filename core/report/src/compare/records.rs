//! Comparisons as records that programs read.

use hashlab_eval::{Interval, Paired};
use serde_json::{Value, json};

use super::Pair;

/// A line per pair.
pub(super) fn csv(metric: &str, pairs: &[Pair<'_>]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let headings = [
        "first",
        "second",
        "task",
        "bits",
        "metric",
        "n",
        "difference",
        "low",
        "high",
        "effect",
        "p",
        "p_adjusted",
        "low_over_queries",
        "high_over_queries",
    ];
    writer.write_record(headings).expect("memory can be written");
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let ends = |interval: Option<Interval>| [number(interval.map(|i| i.low)), number(interval.map(|i| i.high))];
    for pair in pairs {
        let Paired { n, mean, effect, interval, p } = pair.paired;
        let names = [pair.first.to_owned(), pair.second.to_owned(), pair.task.key(), pair.bits.to_string()];
        let mean = [metric.to_owned(), n.to_string(), mean.to_string()];
        let test = [number(effect), number(p), number(pair.adjusted)];
        let fields = names.into_iter().chain(mean).chain(ends(interval)).chain(test).chain(ends(pair.over_queries));
        writer.write_record(fields).expect("memory can be written");
    }
    String::from_utf8(writer.into_inner().expect("memory can be written")).expect("fields are text")
}

/// An object with an entry per pair.
pub(super) fn json(metric: &str, pairs: &[Pair<'_>]) -> String {
    let ends = |interval: Option<Interval>| interval.map(|i| [i.low, i.high]);
    let pair = |pair: &Pair<'_>| {
        let Paired { n, mean, effect, interval, p } = pair.paired;
        json!({
            "first": pair.first, "second": pair.second, "task": pair.task.key(), "bits": pair.bits, "n": n,
            "difference": mean, "interval": ends(interval), "effect": effect, "p": p, "p_adjusted": pair.adjusted,
            "interval_over_queries": ends(pair.over_queries),
        })
    };
    let document: Value = json!({ "metric": metric, "comparisons": pairs.iter().map(pair).collect::<Vec<_>>() });
    serde_json::to_string_pretty(&document).expect("plain data") + "\n"
}
