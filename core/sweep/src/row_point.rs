//! Differences between the settings of one row of a table.

use hashlab_settings::Settings;
use serde_json::Value;

use crate::active::Tables;
use crate::section::Section;

/// A key with its section.
pub(crate) type Key = (Section, String);

/// The keys that have different values in the settings of a row. A key that is inactive in some of them has no value
/// there.
pub(crate) fn differing(row: &[&Tables]) -> Vec<Key> {
    let mut seen: Vec<(Key, &Value)> = Vec::new();
    let mut differing: Vec<Key> = Vec::new();
    for (section, settings) in row.iter().flat_map(|tables| tables.iter()) {
        for (key, value) in settings.iter() {
            let key = (*section, key.clone());
            match seen.iter().find(|(other, _)| *other == key) {
                None => seen.push((key, value)),
                Some((_, first)) if *first == value || differing.contains(&key) => {}
                Some(_) => differing.push(key),
            }
        }
    }
    differing.sort_by_key(|key| seen.iter().position(|(other, _)| other == key));
    differing
}

/// The values of the keys that a grid varies, then of those in which the row differs; inactive keys are left out.
pub(crate) fn point(tables: &Tables, varied: &[Key], differing: &[Key]) -> Settings {
    let others = differing.iter().filter(|key| !varied.contains(key));
    let value = |(section, key): &Key| Some((section.path(key), tables.get(section)?.get(key)?.clone()));
    varied.iter().chain(others).filter_map(value).collect()
}
