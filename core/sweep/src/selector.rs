//! Selectors: short texts by which `--only`, `--rerun` and `ls` name runs.

use std::str::FromStr;

use serde_json::Value;

use crate::plan::PlannedRun;

/// Some of many runs: those to which every one of its terms, separated by commas, applies.
///
/// A term is a word, `key=value`, or a comparison with a number such as `bits>=32`. The word of a planned run is the
/// beginning of its ID, its method, its label or its state (`finished`, `failed`, `running`, `interrupted`, `missing`);
/// its keys are `bits`, `seed` and those of its point.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    text: String,
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq)]
enum Term {
    Word(String),
    Pair(String, String),
    Comparison(String, Order, f64),
}

/// What a selector asks of a run.
pub trait Selectable {
    /// Whether a word means the run.
    fn is_called(&self, word: &str) -> bool;

    /// The value of a key, or a list of values of which any may be meant; `None` if the run has no such key.
    fn value(&self, key: &str) -> Option<Value>;
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let term = |part: &str| match part.trim() {
            "" => Err(format!("`{text}` holds an empty term")),
            part => Ok(Term::read(part)),
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

    /// The keys of its terms, as often as they occur.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().filter_map(|term| match term {
            Term::Word(_) => None,
            Term::Pair(key, _) | Term::Comparison(key, ..) => Some(key.as_str()),
        })
    }

    /// Whether it selects a run in this state.
    pub fn selects(&self, run: &PlannedRun, state: &str) -> bool {
        self.applies(&Planned { run, state })
    }

    /// Whether all terms apply to a run.
    pub fn applies(&self, run: &impl Selectable) -> bool {
        self.terms.iter().all(|term| match term {
            Term::Word(word) => run.is_called(word),
            Term::Pair(key, text) => run.value(key).is_some_and(|value| same(&value, text)),
            Term::Comparison(key, order, bound) => {
                run.value(key).and_then(|value| value.as_f64()).is_some_and(|number| order.holds(number, *bound))
            }
        })
    }
}

impl Term {
    fn read(part: &str) -> Self {
        if let Some(term) = Self::comparison(part) {
            return term;
        }
        match part.split_once('=') {
            Some((key, value)) => Self::Pair(key.trim().to_owned(), value.trim().to_owned()),
            None => Self::Word(part.to_owned()),
        }
    }

    /// A comparison; without a key before it and a number behind it, the text is a word, as labels may hold anything.
    fn comparison(part: &str) -> Option<Self> {
        let (key, rest) = part.split_at(part.find(['<', '>'])?);
        let (order, number) = Order::ALL.iter().find_map(|(sign, order)| Some((order, rest.strip_prefix(sign)?)))?;
        let number = number.trim().parse().ok()?;
        (!key.trim().is_empty()).then(|| Self::Comparison(key.trim().to_owned(), *order, number))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Order {
    /// The longer signs come first.
    const ALL: [(&str, Self); 4] =
        [("<=", Self::AtMost), (">=", Self::AtLeast), ("<", Self::Less), (">", Self::Greater)];

    fn holds(self, number: f64, bound: f64) -> bool {
        match self {
            Self::Less => number < bound,
            Self::AtMost => number <= bound,
            Self::Greater => number > bound,
            Self::AtLeast => number >= bound,
        }
    }
}

/// A run of a plan, with its state.
struct Planned<'a> {
    run: &'a PlannedRun,
    state: &'a str,
}

impl Selectable for Planned<'_> {
    fn is_called(&self, word: &str) -> bool {
        let run = self.run;
        run.id.0.starts_with(word) || run.template().method == word || *run.label == *word || self.state == word
    }

    fn value(&self, key: &str) -> Option<Value> {
        match key {
            "bits" => Some(self.run.bits.into()),
            "seed" => Some(self.run.seed.into()),
            key => self.run.point.get(key).cloned(),
        }
    }
}

/// Whether a value, or one of a list, is what a text says; `1` and `1.0` are the same number.
fn same(value: &Value, text: &str) -> bool {
    match value {
        Value::String(word) => word == text,
        // The numbers of seeds have more digits than a fraction holds.
        Value::Number(number) => match (number.as_u64(), text.parse::<u64>()) {
            (Some(number), Ok(text)) => number == text,
            _ => number.as_f64().is_some() && number.as_f64() == text.parse().ok(),
        },
        Value::Array(values) => format!("{value}") == text || values.iter().any(|value| same(value, text)),
        other => format!("{other}") == text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Run;

    impl Selectable for Run {
        fn is_called(&self, word: &str) -> bool {
            ["itq", "a>b"].contains(&word)
        }

        fn value(&self, key: &str) -> Option<Value> {
            match key {
                "bits" => Some(16.into()),
                "seed" => Some(u64::MAX.into()),
                "tau" => Some(0.5.into()),
                "name" => Some("long word".into()),
                "tag" => Some(vec!["one", "two"].into()),
                _ => None,
            }
        }
    }

    #[test]
    fn every_term_must_apply() {
        for (text, applies) in [
            ("itq", true),
            ("itq,bits=16", true),
            ("itq,bits=16.0", true),
            ("itq,bits=32", false),
            ("lsh,bits=16", false),
            ("bits>=16,bits<17, tau > 0.4", true),
            ("bits>16", false),
            ("bits<=15.5", false),
            ("name=long word", true),
            ("name>1", false),
            ("tag=two", true),
            ("tag=three", false),
            ("tag=[\"one\"", false),
            ("nothing>1", false),
            ("nothing=null", false),
            ("seed=18446744073709551615", true),
            ("seed=18446744073709551614", false),
            ("a>b", true),
        ] {
            assert_eq!(text.parse::<Selector>().unwrap().applies(&Run), applies, "{text}");
        }
        assert!("itq,,bits=16".parse::<Selector>().is_err());
        let keys: Vec<String> = "itq,bits>1,tau=2".parse::<Selector>().unwrap().keys().map(str::to_owned).collect();
        assert_eq!(keys, ["bits", "tau"]);
    }
}
