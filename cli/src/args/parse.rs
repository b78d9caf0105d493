//! Parsers of values.

use std::path::PathBuf;
use std::time::Duration;

use hashlab_eval::{Definition, Depth};

pub(super) fn parse_weights(text: &str) -> Result<(String, PathBuf), String> {
    let (digest, path) = text.split_once('=').ok_or("it must be DIGEST=FILE")?;
    Ok((digest.to_owned(), path.into()))
}

/// Reads the name of a definition of mAP.
pub(super) fn parse_definition(text: &str) -> Result<Definition, String> {
    let names = Definition::ALL.map(Definition::name).join(", ");
    Definition::ALL.into_iter().find(|known| known.name() == text).ok_or(format!("it must be one of {names}"))
}

/// Reads the depth of a metric.
pub(super) fn parse_depth(text: &str) -> Result<Depth, String> {
    match text.parse() {
        Ok(rank) if rank > 0 => Ok(Depth::At(rank)),
        _ if text == "all" => Ok(Depth::All),
        _ => Err("it must be a rank from 1, or `all`".to_owned()),
    }
}

/// Reads a number of runs at once.
pub(super) fn parse_jobs(text: &str) -> Result<std::num::NonZero<usize>, String> {
    text.parse().map_err(|_| "it must be a number from 1".to_owned())
}

/// Reads a duration: a number of seconds, or with a suffix s, m or h.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time such as 90s, 30m or 2h");
    let (number, unit) = text.split_at(text.trim_end_matches(['s', 'm', 'h']).len());
    let seconds = match unit {
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds).ok().filter(|time| !time.is_zero()).ok_or_else(wrong)
}

/// No disk is larger.
const MOST_BYTES: f64 = 1e18;

/// Reads a size in bytes, with an optional suffix K, M, G or T (powers of 1024).
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let upper = text.trim().to_ascii_uppercase();
    let digits = upper.trim_end_matches(['B', 'I']).trim_end_matches(['K', 'M', 'G', 'T']);
    let suffix = upper[digits.len()..].chars().next();
    let power = match suffix {
        None => 0,
        Some(letter) => 1 + "KMGT".find(letter).ok_or_else(|| format!("unknown unit in `{text}`"))?,
    };
    let number: Option<f64> = digits.trim().parse().ok();
    let size = number.map(|number| number * 1024f64.powi(power as i32));
    match size.filter(|size| (0.0..=MOST_BYTES).contains(size)) {
        Some(size) => Ok(size as u64),
        None => Err(format!("`{text}` is not a size such as 500M or 20G")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_take_the_usual_suffixes() {
        for (text, seconds) in [("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("2h", 7200.0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "h", "0s", "-1s", "nan", "1d", "1ms", "1e400h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_take_the_usual_suffixes() {
        for (text, bytes) in [("512", 512), ("1k", 1024), ("1.5GiB", 1610612736), ("20G", 20 << 30), ("2 MB", 2 << 20)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        assert!(parse_size("20X").is_err());
        for text in ["G", "-1", "nan", "inf", "1e400", "99999999T"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
