//! Codes of a data set's items, and the searches among them.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;
use candle_core::DType;
use hashlab_data::{Labels, Split};
use hashlab_eval::{Codes, EvalError, LabelSets, Options, Report, evaluate, map_at_k};

use crate::inputs::Inputs;
use crate::method::{HashMethod, Items};

/// Encodes items and searches among them. Labels of queries reach the metrics and nothing else.
pub(crate) struct Search<'a> {
    options: Options,
    bits: usize,
    labels: &'a Labels,
    split: &'a Split,
    inputs: &'a dyn Inputs,
    /// Whether a chunk of items has one that the validation queries' search looks at.
    validated: Vec<bool>,
    /// What the last validation encoded, by chunk.
    known: Vec<Option<Encoded>>,
}

/// Codes of items, and how long it took to encode them.
pub(crate) struct Encoded {
    pub(crate) codes: Codes,
    pub(crate) time: Duration,
}

impl<'a> Search<'a> {
    /// Prepares to encode `inputs` in `bits` bits, and to measure what `options` ask for.
    pub(crate) fn new(
        options: Options,
        bits: usize,
        labels: &'a Labels,
        split: &'a Split,
        inputs: &'a dyn Inputs,
    ) -> Self {
        let mut validated = vec![false; inputs.len().div_ceil(inputs.chunk())];
        for &item in split.validation_query.iter().chain(&split.validation_database) {
            validated[item as usize / inputs.chunk()] = true;
        }
        let known = validated.iter().map(|_| None).collect();
        Self { options, bits, labels, split, inputs, validated, known }
    }

    /// Encodes every item of the data set, whatever its role; not again what the last validation encoded, unless that was
    /// [forgotten](Self::forget). The time is that of all items, whenever they were encoded.
    pub(crate) fn encode(&mut self, method: &dyn HashMethod) -> Result<Encoded> {
        let mut all = Encoded { codes: Codes::with_capacity(self.bits, self.inputs.len()), time: Duration::ZERO };
        for (index, chunk) in self.chunks().enumerate() {
            let part = match self.known[index].take() {
                Some(known) => known,
                None => self.encode_chunk(method, chunk)?,
            };
            all.codes.extend(&part.codes);
            all.time += part.time;
        }
        Ok(all)
    }

    /// Drops the codes of the last validation: the method is another than it saw.
    pub(crate) fn forget(&mut self) {
        self.known.fill_with(|| None);
    }

    /// The validation queries' headline mAP, that of [`Search::validation`], without the codes of other items and
    /// without other metrics.
    pub(crate) fn headline(&mut self, method: &dyn HashMethod) -> Result<f64> {
        let mut codes = Codes::with_capacity(self.bits, self.inputs.len());
        self.forget();
        for (index, chunk) in self.chunks().enumerate() {
            if self.validated[index] {
                let encoded = self.encode_chunk(method, chunk)?;
                codes.extend(&encoded.codes);
                self.known[index] = Some(encoded);
            } else {
                codes.extend_blank(chunk.len());
            }
        }
        let measure = |query: &_, query_labels: LabelSets<'_>, database: &_, database_labels: LabelSets<'_>| {
            map_at_k(query, query_labels, database, database_labels, self.options.map_at)
        };
        self.search(&codes, &self.split.validation_query, &self.split.validation_database, measure)
    }

    /// The items, in chunks that are the same for every search: a product's rounding may depend on its shape, and an
    /// item has one code.
    fn chunks(&self) -> impl Iterator<Item = Range<u32>> + use<> {
        let (items, chunk) = (self.inputs.len() as u32, self.inputs.chunk());
        (0..items).step_by(chunk).map(move |start| start..items.min(start + chunk as u32))
    }

    fn encode_chunk(&self, method: &dyn HashMethod, items: Range<u32>) -> Result<Encoded> {
        let started = Instant::now();
        let first = items.start as usize;
        let items: Vec<u32> = items.collect();
        let relaxed = method.encode(&Items { image: self.inputs.load(&items)? })?;
        let relaxed = relaxed.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let codes = Codes::from_signs(&relaxed, self.bits).map_err(|error| match error {
            EvalError::NotANumber { item, bit } => EvalError::NotANumber { item: first + item, bit },
            other => other,
        })?;
        Ok(Encoded { codes, time: started.elapsed() })
    }

    /// Searches with the validation queries.
    pub(crate) fn validation(&self, codes: &Codes) -> Result<Report> {
        self.report(codes, &self.split.validation_query, &self.split.validation_database)
    }

    /// Searches with the test queries.
    pub(crate) fn test(&self, codes: &Codes) -> Result<Report> {
        self.report(codes, &self.split.query, &self.split.database)
    }

    fn report(&self, codes: &Codes, query: &[u32], database: &[u32]) -> Result<Report> {
        let measure = |query: &_, query_labels: LabelSets<'_>, database: &_, database_labels: LabelSets<'_>| {
            evaluate(query, query_labels, database, database_labels, &self.options)
        };
        self.search(codes, query, database, measure)
    }

    /// Hands the codes and labels of `query` and `database` to `measure`.
    fn search<T>(
        &self,
        codes: &Codes,
        query: &[u32],
        database: &[u32],
        measure: impl FnOnce(&Codes, LabelSets<'_>, &Codes, LabelSets<'_>) -> Result<T, EvalError>,
    ) -> Result<T> {
        let (query_labels, database_labels) = (self.labels.gather(query), self.labels.gather(database));
        let sets = |labels| LabelSets::new(labels, self.labels.words());
        let (query, database) = (codes.select(query), codes.select(database));
        Ok(measure(&query, sets(&query_labels)?, &database, sets(&database_labels)?)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use candle_core::{Device, Tensor};
    use hashlab_data::Roles;
    use hashlab_rng::stream;

    use super::*;
    use crate::method::{Learner, State};

    const ITEMS: usize = 50;
    const BITS: usize = 6;

    /// Items in chunks of four; notes which are loaded.
    struct Noted(Mutex<Vec<u32>>);

    impl Inputs for Noted {
        fn len(&self) -> usize {
            ITEMS
        }
        fn chunk(&self) -> usize {
            4
        }
        fn load(&self, items: &[u32]) -> Result<Tensor> {
            self.0.lock().unwrap().extend(items);
            let row = |item: &u32| {
                let mut values = stream(0, "item", &[u64::from(*item)]);
                (0..BITS).map(move |_| values.normal() as f32)
            };
            Ok(Tensor::from_vec(items.iter().flat_map(row).collect(), (items.len(), BITS), &Device::Cpu)?)
        }
    }

    /// Codes that depend on the items beside them, as the rounding of a product may.
    struct Relative;

    impl HashMethod for Relative {
        fn learner(&mut self) -> Learner<'_> {
            unreachable!("nothing is learned")
        }
        fn encode(&self, items: &Items) -> Result<Tensor> {
            Ok(items.image.broadcast_sub(&items.image.mean_keepdim(0)?)?)
        }
        fn state(&self) -> Result<State> {
            Ok(State::new())
        }
        fn load_state(&mut self, _: &State) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_validation_encodes_what_it_searches_and_finds_what_the_report_says() {
        let roles = Roles {
            train: (0..10).collect(),
            validation_query: Some((37..42).collect()),
            query: (42..ITEMS as u32).collect(),
            database: (0..9).chain(20..33).collect(),
        };
        let (split, labels) = (roles.into_split(ITEMS, 0).unwrap(), Labels::single(3, (0..ITEMS).map(|item| item % 3)));
        let inputs = Noted(Mutex::default());
        for map_at in [0, 5] {
            let options = Options { map_at, ..Options::default() };
            let mut search = Search::new(options, BITS, &labels, &split, &inputs);
            let loaded = || std::mem::take(&mut *inputs.0.lock().unwrap());
            let Encoded { codes, time } = search.encode(&Relative).unwrap();
            assert!(time > Duration::ZERO);
            assert_eq!(loaded(), (0..ITEMS as u32).collect::<Vec<_>>());
            let all = search.validation(&codes).unwrap();
            assert_eq!(search.headline(&Relative).unwrap(), all.map_at_k);
            assert_eq!(loaded(), (0..12).chain(20..44).collect::<Vec<_>>());
            // Only what the validation left out is encoded for the final search, to the same codes.
            let validated: Duration = search.known.iter().flatten().map(|chunk| chunk.time).sum();
            let again = search.encode(&Relative).unwrap();
            assert!(again.codes == codes && again.time > validated);
            assert_eq!(loaded(), (12..20).chain(44..ITEMS as u32).collect::<Vec<_>>());
            search.headline(&Relative).unwrap();
            search.forget();
            loaded();
            assert!(search.encode(&Relative).unwrap().codes == codes);
            assert_eq!(loaded(), (0..ITEMS as u32).collect::<Vec<_>>());
        }
    }
}
