//! A part of the index: entries that share the names and the configurations that they repeat.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Stamp;
use super::encode::{Decoder, Encode, Encoder};
use crate::{Name, RunConfig, RunResult, SharedConfig};

/// Entries of a block at most.
pub(crate) const ENTRIES: usize = 2048;

/// A block that is being made.
#[derive(Default)]
pub(crate) struct NewBlock {
    encoder: Encoder,
    entries: usize,
    /// The texts of configurations without code length and seed, with their places.
    configs: BTreeMap<String, u64>,
}

impl NewBlock {
    /// Adds an entry: what is kept of a run's result, the stamp of its file, and its configuration if it is known.
    pub(crate) fn add(&mut self, stamp: Stamp, config: Option<&SharedConfig>, result: &RunResult) {
        let start = self.encoder.bytes.len();
        self.encoder.bytes.extend_from_slice(&[0; LENGTH]);
        stamp.0.iter().for_each(|number| self.encoder.number(number.cast_unsigned()));
        match config {
            None => self.encoder.number(0),
            Some(config) => {
                let text = serde_json::to_string(&*config.template).expect("a configuration is plain data");
                let next = self.configs.len() as u64 + 1;
                let place = *self.configs.entry(text).or_insert(next);
                [place, config.bits as u64, config.seed].into_iter().for_each(|number| self.encoder.number(number));
            }
        }
        result.encode(&mut self.encoder);
        let length = self.encoder.bytes.len() - start - LENGTH;
        let length = u32::try_from(length).expect("a result without curves is small").to_le_bytes();
        self.encoder.bytes[start..start + LENGTH].copy_from_slice(&length);
        self.entries += 1;
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries
    }

    /// The bytes of the block; none if it has no entries.
    pub(crate) fn finish(self) -> Vec<u8> {
        if self.entries == 0 {
            return Vec::new();
        }
        let mut head = Encoder::default();
        let names = self.encoder.names();
        head.number(names.len() as u64);
        names.iter().for_each(|name| head.text(name));
        let mut configs: Vec<(u64, String)> = self.configs.into_iter().map(|(text, place)| (place, text)).collect();
        configs.sort_unstable();
        head.number(configs.len() as u64);
        configs.iter().for_each(|(_, text)| head.text(text));
        [head.bytes, self.encoder.bytes].concat()
    }
}

/// Bytes of an entry's length.
const LENGTH: usize = 4;

/// A block as it is read.
pub(crate) struct Block<'a> {
    names: Names<'a>,
    configs: Vec<Config<'a>>,
    entries: &'a [u8],
}

/// The text of a configuration without code length and seed, parsed when it is first needed.
struct Config<'a> {
    text: &'a str,
    parsed: OnceCell<Option<Arc<RunConfig>>>,
}

/// The names that entries repeat. They stay in memory until the process ends, so they are made when a result needs
/// them.
struct Names<'a> {
    texts: Vec<&'a str>,
    made: OnceCell<Vec<Name>>,
}

impl<'a> Names<'a> {
    fn new(texts: Vec<&'a str>) -> Self {
        Self { texts, made: OnceCell::new() }
    }

    fn made(&self) -> &[Name] {
        self.made.get_or_init(|| self.texts.iter().copied().map(Name::new).collect())
    }
}

impl<'a> Block<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut from = Decoder { bytes, names: &[] };
        let mut texts = || -> Option<Vec<&'a str>> {
            let count = from.count()?;
            (0..count).map(|_| from.text()).collect()
        };
        let names = Names::new(texts()?);
        let configs = texts()?.into_iter().map(|text| Config { text, parsed: OnceCell::new() }).collect();
        Some(Self { names, configs, entries: from.bytes })
    }

    /// The entries; they end where one is none.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut rest = Decoder { bytes: self.entries, names: &[] };
        std::iter::from_fn(move || {
            let length = u32::from_le_bytes(rest.take(LENGTH)?.try_into().ok()?);
            let bytes = rest.take(usize::try_from(length).ok()?)?;
            Entry::parse(Decoder { bytes, ..rest }, &self.names, &self.configs)
        })
    }
}

/// What the index holds of a run.
pub(crate) struct Entry<'a> {
    /// The run's name.
    pub(crate) run: &'a str,
    /// The stamp of its result.
    pub(crate) stamp: Stamp,
    /// The version of its result's form.
    pub(crate) schema: u32,
    /// Place of its configuration, code length and seed.
    config: Option<(usize, usize, u64)>,
    names: &'a Names<'a>,
    configs: &'a [Config<'a>],
    result: &'a [u8],
}

impl<'a> Entry<'a> {
    fn parse(mut from: Decoder<'a>, names: &'a Names<'a>, configs: &'a [Config<'a>]) -> Option<Self> {
        let mut stamp = [0; 6];
        for number in &mut stamp {
            *number = from.number()?.cast_signed();
        }
        let config = match usize::try_from(from.number()?).ok()?.checked_sub(1) {
            None => None,
            Some(place) => Some((place, usize::decode(&mut from)?, from.number()?)),
        };
        let result = from.bytes;
        let (run, schema) = (from.text()?, u32::decode(&mut from)?);
        Some(Self { run, stamp: Stamp(stamp), schema, config, names, configs, result })
    }

    /// What is kept of the result.
    pub(crate) fn result(&self) -> Option<RunResult> {
        let mut from = Decoder { bytes: self.result, names: self.names.made() };
        RunResult::decode(&mut from).filter(|_| from.bytes.is_empty())
    }

    /// The configuration. It is valid whatever became of its file, as the run is named by its digest.
    pub(crate) fn config(&self) -> Option<SharedConfig> {
        let (place, bits, seed) = self.config?;
        let Config { text, parsed } = self.configs.get(place)?;
        let template = parsed.get_or_init(|| serde_json::from_str(text).ok().map(Arc::new)).clone()?;
        Some(SharedConfig { template, bits, seed })
    }
}
