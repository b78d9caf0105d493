//! Numbers, lists and settings in words.

use hashlab_settings::Settings;

/// Stands where the plan has no run, or a run did not record what is asked.
pub(crate) const NONE: &str = "–";

/// Prints a fraction with the three decimals that papers use.
pub(crate) fn fraction(value: f64) -> String {
    format!("{value:.3}")
}

/// Prints seconds with about three digits.
pub(crate) fn seconds(value: Option<f64>) -> String {
    match value {
        None => NONE.to_owned(),
        Some(s) if s >= 100.0 => format!("{s:.0}"),
        Some(s) if s >= 1.0 => format!("{s:.1}"),
        Some(s) => format!("{s:.3}"),
    }
}

/// Prints microseconds of seconds.
pub(crate) fn microseconds(value: Option<f64>) -> String {
    value.map_or(NONE.to_owned(), |s| if s >= 1e-5 { format!("{:.0}", s * 1e6) } else { format!("{:.1}", s * 1e6) })
}

/// Prints MiB.
pub(crate) fn memory(value: Option<u64>) -> String {
    value.map_or(NONE.to_owned(), |mib| mib.to_string())
}

/// Prints a setting's values: `beta=0.001 tau=0.3`.
pub(crate) fn point(point: &Settings) -> String {
    let value = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    point.iter().map(|(key, v)| format!("{key}={}", value(v))).collect::<Vec<_>>().join(" ")
}

/// Joins with commas.
pub(crate) fn joined<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|i| i.to_string()).collect::<Vec<_>>().join(", ")
}

/// Joins seeds with commas; of many, neighbors become a range: `0–999`.
pub(crate) fn seeds(seeds: &[u64]) -> String {
    const FEW: usize = 12;
    if seeds.len() <= FEW {
        return joined(seeds);
    }
    let ranges = seeds.chunk_by(|a, b| a.checked_add(1) == Some(*b));
    joined(ranges.flat_map(|range| match range {
        [first, _, .., last] => vec![format!("{first}–{last}")],
        few => few.iter().map(u64::to_string).collect(),
    }))
}

/// A label in a list: quoted where it holds a comma itself.
pub(crate) fn listed(label: &str) -> String {
    if label.contains(',') { format!("“{label}”") } else { label.to_owned() }
}

/// Shortens a hexadecimal digest to twelve digits; other text stays.
pub(crate) fn short(digest: &str) -> &str {
    let hexadecimal = digest.len() > 12 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    if hexadecimal { &digest[..12] } else { digest }
}

/// Makes text from elsewhere (labels, error messages) fit a line: control characters become spaces.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_seeds_become_ranges() {
        assert_eq!(seeds(&[0, 1, 2]), "0, 1, 2");
        assert_eq!(seeds(&(0..1000).collect::<Vec<_>>()), "0–999");
        let odd: Vec<u64> = (0..10).chain([12, 13, 15]).chain([u64::MAX]).collect();
        assert_eq!(seeds(&odd), format!("0–9, 12, 13, 15, {}", u64::MAX));
    }
}
