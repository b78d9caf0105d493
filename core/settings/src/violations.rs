//! Violated rules of a section, each with its keys.

use std::fmt;

/// A violated rule of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The keys of the rule; diagnostics point to the first one that a user set.
    pub keys: Vec<String>,
    /// The problem: lowercase, no full stop, e.g. "`tau` must be positive".
    pub message: String,
}

/// All violated rules of a section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// No violation.
    pub fn none() -> Self {
        Self::default()
    }

    /// One violation.
    pub fn one<const N: usize>(keys: [&str; N], message: impl Into<String>) -> Self {
        Self(vec![Violation { keys: keys.map(str::to_owned).to_vec(), message: message.into() }])
    }

    /// Adds a violation unless `holds`. The message names the keys in backticks.
    #[must_use]
    pub fn require<const N: usize>(self, holds: bool, keys: [&str; N], message: impl Into<String>) -> Self {
        if holds { self } else { self.and(Self::one(keys, message)) }
    }

    /// Joins two lists.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Whether there is no violation.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The violations: types and ranges in the order of keys, then constraints between keys.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<&str> = self.0.iter().map(|violation| violation.message.as_str()).collect();
        f.write_str(&messages.join("; "))
    }
}

impl std::error::Error for Violations {}
