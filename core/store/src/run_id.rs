//! Identities of runs: digests of their configurations.

use std::fmt;

use hashlab_settings::canonical;
use serde::{Deserialize, Serialize};

use crate::RunConfig;

/// Identities of runs that differ only in code length and seed; see [`RunConfig::ids`].
#[derive(Clone, Debug)]
pub struct RunIds {
    method: String,
    /// Text of the configuration, each piece with the number behind it.
    parts: Vec<(String, Number)>,
    end: String,
}

#[derive(Clone, Copy, Debug)]
enum Number {
    Bits,
    Seed,
}

impl RunIds {
    /// The identities of all runs that differ from that of `config` only in code length and seed.
    pub(crate) fn of(config: &RunConfig) -> Self {
        let serde_json::Value::Object(fields) = serde_json::to_value(config).expect("a configuration is plain data")
        else {
            unreachable!("a configuration serializes to a table")
        };
        let mut keys: Vec<&String> = fields.keys().collect();
        keys.sort();
        // The text of [`canonical`], in pieces around the two numbers.
        let (mut parts, mut text) = (Vec::new(), String::new());
        for (at, key) in keys.into_iter().enumerate() {
            text += if at == 0 { "{" } else { "," };
            text += &format!("{}:", serde_json::Value::from(key.as_str()));
            let number = match key.as_str() {
                "bits" => Number::Bits,
                "seed" => Number::Seed,
                _ => {
                    text += &canonical(&fields[key]);
                    continue;
                }
            };
            parts.push((std::mem::take(&mut text), number));
        }
        Self { method: config.method.clone(), parts, end: text + "}" }
    }

    /// Derives a run's identity.
    pub fn id(&self, bits: usize, seed: u64) -> RunId {
        RunId(format!("{}-b{bits}-s{seed}-{}", self.method, self.digest(bits, seed)))
    }

    /// Derives the identity of the setting of a code length: that of its runs with any seed.
    pub fn setting(&self, bits: usize) -> String {
        self.digest(bits, 0)
    }

    /// Derives the identities of the runs of one code length. What comes before the seed is hashed once.
    pub fn of_seeds<'i>(&'i self, bits: usize, seeds: &'i [u64]) -> impl Iterator<Item = RunId> + 'i {
        let of_seed = |(_, number): &(String, Number)| matches!(number, Number::Seed);
        let at = self.parts.iter().position(of_seed).expect("every configuration has a seed");
        let mut common = blake3::Hasher::new();
        update(&mut common, &self.parts[..at], bits, 0);
        common.update(self.parts[at].0.as_bytes());
        seeds.iter().map(move |&seed| {
            let mut hasher = common.clone();
            hasher.update(seed.to_string().as_bytes());
            update(&mut hasher, &self.parts[at + 1..], bits, seed);
            RunId(format!("{}-b{bits}-s{seed}-{}", self.method, self.end_digest(hasher)))
        })
    }

    fn digest(&self, bits: usize, seed: u64) -> String {
        let mut hasher = blake3::Hasher::new();
        update(&mut hasher, &self.parts, bits, seed);
        self.end_digest(hasher)
    }

    fn end_digest(&self, mut hasher: blake3::Hasher) -> String {
        hasher.update(self.end.as_bytes());
        hasher.finalize().to_hex()[..12].to_owned()
    }
}

/// Hashes pieces of a configuration's text, each with the number behind it.
fn update(hasher: &mut blake3::Hasher, parts: &[(String, Number)], bits: usize, seed: u64) {
    for (text, number) in parts {
        hasher.update(text.as_bytes());
        let number = match number {
            Number::Bits => bits as u64,
            Number::Seed => seed,
        };
        hasher.update(number.to_string().as_bytes());
    }
}

/// A run's identity, e.g. `cibhash-b32-s0-1f0c2a9b7d3e`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

impl RunId {
    /// The name of the run's method; `None` if the identity is malformed.
    pub(crate) fn method(&self) -> Option<&str> {
        self.0.rsplitn(4, '-').nth(3)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
