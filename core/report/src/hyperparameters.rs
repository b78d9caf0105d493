//! The settings of a method and what they led to, for ablations over any two hyperparameters.

use std::collections::{BTreeMap, BTreeSet};

use hashlab_store::counted;
use serde_json::Value as Json;

use crate::aggregate::{Comparison, Setting};
use crate::details::Details;
use crate::wording::joined;

/// Stands for a key that a configuration leaves at its default.
const DEFAULT: &str = "default";

/// All settings of one method, over the keys in which they differ.
pub(crate) struct Ablation {
    /// Registered name of the method.
    pub(crate) method: String,
    /// The keys with more than one value, `bits` among them, each with its values in order.
    pub(crate) keys: Vec<(String, Vec<String>)>,
    /// The settings with a finished run.
    pub(crate) settings: Vec<Ablated>,
}

/// A setting.
pub(crate) struct Ablated {
    /// The index of its value, by key.
    pub(crate) values: Vec<usize>,
    /// The primary metric of every seed that finished: the mean of its tasks.
    pub(crate) metrics: Vec<f64>,
}

impl Ablation {
    /// The ablations of a sweep, of methods with several settings beside code lengths.
    pub(crate) fn of(comparison: &Comparison<'_>, details: &Details) -> Vec<Self> {
        let mut methods: BTreeMap<&str, Vec<&Setting<'_>>> = BTreeMap::new();
        let mut order: Vec<&str> = Vec::new();
        for (_, setting) in comparison.settings() {
            let method = setting.runs[0].method.as_str();
            if !methods.contains_key(method) {
                order.push(method);
            }
            methods.entry(method).or_default().push(setting);
        }
        order.into_iter().filter_map(|method| Self::of_method(method, &methods[method], details)).collect()
    }

    fn of_method(method: &str, settings: &[&Setting<'_>], details: &Details) -> Option<Self> {
        let points: Vec<BTreeMap<String, String>> = settings.iter().map(|s| values(s, details)).collect();
        let names: BTreeSet<&String> = points.iter().flat_map(BTreeMap::keys).collect();
        let value = |point: &BTreeMap<String, String>, key: &str| point.get(key).map_or(DEFAULT, |v| v).to_owned();
        let mut keys: Vec<(String, Vec<String>)> = Vec::new();
        for &key in &names {
            let values: BTreeSet<String> = points.iter().map(|point| value(point, key)).collect();
            if values.len() > 1 {
                keys.push((key.clone(), in_order(values)));
            }
        }
        if !keys.iter().any(|(key, _)| key != "bits") {
            return None;
        }
        let place = |point: &BTreeMap<String, String>| -> Vec<usize> {
            let at = |(key, values): &(String, Vec<String>)| values.iter().position(|v| *v == value(point, key));
            keys.iter().filter_map(at).collect()
        };
        let settings: Vec<Ablated> = settings
            .iter()
            .zip(&points)
            .map(|(setting, point)| Ablated {
                values: place(point),
                metrics: setting.finished().filter_map(|r| r.mean_test(&r.primary)).collect(),
            })
            .filter(|setting| !setting.metrics.is_empty())
            .collect();
        (!settings.is_empty()).then(|| Self { method: method.to_owned(), keys, settings })
    }

    /// Mean and number of the runs with the values `x` and `y` of two keys, whatever the other keys are.
    pub(crate) fn cell(&self, (x, at_x): (usize, usize), (y, at_y): (usize, usize)) -> Option<(f64, usize)> {
        let here = self.settings.iter().filter(|s| s.values[x] == at_x && s.values[y] == at_y);
        let metrics: Vec<f64> = here.flat_map(|s| &s.metrics).copied().collect();
        (!metrics.is_empty()).then(|| (metrics.iter().sum::<f64>() / metrics.len() as f64, metrics.len()))
    }

    /// What a cell over two keys is the mean of, in words.
    pub(crate) fn averaged(&self, x: usize, y: usize) -> String {
        let others = self.keys.iter().enumerate().filter(|(i, _)| *i != x && *i != y);
        let others: Vec<String> =
            others.map(|(_, (key, values))| format!("{key} ({})", counted(values.len(), "value"))).collect();
        if others.is_empty() { "mean over seeds".to_owned() } else { format!("mean over seeds and {}", joined(others)) }
    }

    /// The index of a key.
    pub(crate) fn key(&self, name: &str) -> Option<usize> {
        self.keys.iter().position(|(key, _)| key == name)
    }
}

/// A setting's keys and values: those of its configuration, where it is there, and those in which its row differs.
fn values(setting: &Setting<'_>, details: &Details) -> BTreeMap<String, String> {
    let config = setting.runs.iter().find_map(|run| details.get(&run.run)?.config.as_deref());
    let mut values: BTreeMap<String, String> = config.map(flattened).unwrap_or_default().into_iter().collect();
    // A configuration leaves defaults out; the point of a grid names them.
    values.extend(setting.point.iter().map(|(key, value)| (key.clone(), text(value))));
    values.insert("bits".to_owned(), setting.bits.to_string());
    values
}

/// A configuration's hyperparameters by key, as an experiment file names them; without what tells runs of a setting
/// apart.
pub(crate) fn flattened(config: &hashlab_store::RunConfig) -> Vec<(String, String)> {
    let section = |name: &str, settings: &hashlab_settings::Settings| -> Vec<(String, String)> {
        let prefix = if name.is_empty() { String::new() } else { format!("{name}.") };
        settings.iter().map(|(key, value)| (format!("{prefix}{key}"), text(value))).collect()
    };
    let encoders = config.encoders.iter().flat_map(|(modality, settings)| section(modality.name(), settings));
    let sections = [section("", &config.params), section("train", &config.train), section("data", &config.data)];
    sections.into_iter().flatten().chain(encoders).chain(section("eval", &config.eval)).collect()
}

fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Numbers by size, then words; the default last.
fn in_order(values: BTreeSet<String>) -> Vec<String> {
    let mut values: Vec<String> = values.into_iter().collect();
    let rank = |v: &String| (v == DEFAULT, v.parse::<f64>().is_err());
    let number = |v: &String| v.parse::<f64>().unwrap_or(0.0);
    values.sort_by(|a, b| rank(a).cmp(&rank(b)).then(number(a).total_cmp(&number(b))).then(a.cmp(b)));
    values
}
