//! Selectors: short texts by which `--only` and `--rerun` name runs of a plan.

use std::str::FromStr;

use serde_json::Value;

use crate::plan::PlannedRun;

/// A part of a plan's runs: those to which every one of its terms, separated by commas, applies.
///
/// A term is the beginning of a run ID, a method, a label, a state (`finished`, `failed`, `running`, `interrupted`,
/// `missing`), or `key=value` of `bits`, `seed` or a key of the run's point.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    text: String,
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq)]
enum Term {
    Word(String),
    Pair(String, String),
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let term = |part: &str| match part.split_once('=') {
            _ if part.trim().is_empty() => Err(format!("`{text}` holds an empty term")),
            Some((key, value)) => Ok(Term::Pair(key.trim().to_owned(), value.trim().to_owned())),
            None => Ok(Term::Word(part.trim().to_owned())),
        };
        let terms = text.split(',').map(term).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), terms })
    }
}

impl Selector {
    /// The selector as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it selects a run in this state.
    pub fn selects(&self, run: &PlannedRun, state: &str) -> bool {
        self.terms.iter().all(|term| match term {
            Term::Word(word) => {
                run.id.0.starts_with(word.as_str())
                    || run.template().method == *word
                    || *run.label == *word.as_str()
                    || state == word
            }
            Term::Pair(key, value) => match key.as_str() {
                "bits" => value.parse() == Ok(run.bits),
                "seed" => value.parse() == Ok(run.seed),
                key => run.point.get(key).is_some_and(|found| same(found, value)),
            },
        })
    }
}

/// Whether a value of a point is what a text says; `1` and `1.0` are the same number.
fn same(value: &Value, text: &str) -> bool {
    match value {
        Value::String(word) => word == text,
        Value::Number(number) => number.as_f64().is_some() && number.as_f64() == text.parse().ok(),
        other => format!("{other}") == text,
    }
}
