//! The experiment file of a bundle, which stands beside the files that it extends.

use std::ops::Range;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use toml::Spanned;

use crate::PlannedSweep;

/// The experiment and the files that it extends, by their names in the bundle.
pub(super) fn files(sweep: &PlannedSweep) -> Result<Vec<(String, String)>> {
    let texts = std::iter::once(&sweep.text).chain(&sweep.bases);
    let named = texts.enumerate().map(|(at, text)| {
        let name = if at == 0 { format!("{}.toml", sweep.plan.name) } else { base(at) };
        Ok((name, extending(text, &base(at + 1))?))
    });
    named.collect()
}

fn base(at: usize) -> String {
    format!("base-{at}.toml")
}

/// A file that extends another one, under the name that it has in the bundle.
fn extending(text: &str, base: &str) -> Result<String> {
    #[derive(Deserialize)]
    struct Top {
        extends: Option<Spanned<String>>,
    }

    let top: Top = toml::from_str(text).context("the experiment file that the sweep kept is damaged")?;
    let Some(Range { start, end }) = top.extends.map(|extends| extends.span()) else { return Ok(text.to_owned()) };
    Ok(format!("{}{base:?}{}", &text[..start], &text[end..]))
}

/// The command that makes the plan from the bundle's folder: variables, the file's name there, and overrides.
pub(super) fn command(sweep: &PlannedSweep) -> String {
    const SWEEP: &str = "hashlab sweep";
    let (before, rest) = sweep.command.split_once(SWEEP).unwrap_or(("", ""));
    let set = rest.find(" --set ").map_or("", |at| &rest[at..]);
    format!("{before}{SWEEP} {}.toml{set}", sweep.plan.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_named_as_it_is_in_the_bundle() {
        let text = "# words\nextends = '../shared/base.toml' # why\nbits = [16]\n[train]\nepochs = 1\n";
        let expected = "# words\nextends = \"base-1.toml\" # why\nbits = [16]\n[train]\nepochs = 1\n";
        assert_eq!(extending(text, "base-1.toml").unwrap(), expected);
        let alone = "bits = [16]\n";
        assert_eq!(extending(alone, "base-1.toml").unwrap(), alone);
    }
}
