//! Published numbers, for the paper rows of tables. The list is `methods/published.toml`; each has its source.

use std::collections::BTreeMap;

use hashlab_engine::report::Published;
use serde::Deserialize;

const TEXT: &str = include_str!("../../methods/published.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    published: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    method: String,
    dataset: String,
    protocol: String,
    map_at: usize,
    values: BTreeMap<String, f64>,
    source: String,
    verified: bool,
    note: String,
}

/// Reads the built-in list.
pub(crate) fn published() -> Vec<Published> {
    let file: File = toml::from_str(TEXT).expect("a test reads this file");
    file.published.into_iter().map(Row::into_published).collect()
}

impl Row {
    fn into_published(self) -> Published {
        let bits = |text: String| text.parse().expect("a test reads this file");
        Published {
            method: self.method,
            dataset: self.dataset,
            protocol: self.protocol,
            map_at: self.map_at,
            values: self.values.into_iter().map(|(key, value)| (bits(key), value)).collect(),
            source: self.source,
            verified: self.verified,
            note: self.note,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_row_has_a_source_and_values_between_0_and_1() {
        let rows = super::published();
        assert!(!rows.is_empty());
        for row in rows {
            assert!(!row.source.is_empty() && !row.values.is_empty(), "{}", row.method);
            assert!(row.values.values().all(|v| (0.0..=1.0).contains(v)), "{}", row.method);
        }
    }
}
