//! Codes of a data set's items, and the searches among them.

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
        Self { options, bits, labels, split, inputs, validated }
    }

    /// Encodes every item of the data set, whatever its role.
    pub(crate) fn encode(&self, method: &dyn HashMethod) -> Result<Codes> {
        self.encode_chunks(method, |_| true)
    }

    /// Encodes the chunks that are wanted; the codes of all other items are blank.
    ///
    /// Chunks are the same for every search, because a product's rounding may depend on its shape: an item has one code.
    fn encode_chunks(&self, method: &dyn HashMethod, is_wanted: impl Fn(usize) -> bool) -> Result<Codes> {
        let items: Vec<u32> = (0..self.inputs.len() as u32).collect();
        let mut codes = Codes::with_capacity(self.bits, items.len());
        for (index, chunk) in items.chunks(self.inputs.chunk()).enumerate() {
            if is_wanted(index) {
                let relaxed = method.encode(&Items { image: self.inputs.load(chunk)? })?;
                codes.extend_signs(&relaxed.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?)?;
            } else {
                codes.extend_blank(chunk.len());
            }
        }
        Ok(codes)
    }

    /// The validation queries' headline mAP, that of [`Search::validation`], without the codes of other items and
    /// without other metrics.
    pub(crate) fn headline(&self, method: &dyn HashMethod) -> Result<f64> {
        let codes = self.encode_chunks(method, |chunk| self.validated[chunk])?;
        let measure = |query: &_, query_labels: LabelSets<'_>, database: &_, database_labels: LabelSets<'_>| {
            map_at_k(query, query_labels, database, database_labels, self.options.map_at)
        };
        self.search(&codes, &self.split.validation_query, &self.split.validation_database, measure)
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
            let search = Search::new(options, BITS, &labels, &split, &inputs);
            let all = search.validation(&search.encode(&Relative).unwrap()).unwrap();
            inputs.0.lock().unwrap().clear();
            assert_eq!(search.headline(&Relative).unwrap(), all.map_at_k);
            let loaded = inputs.0.lock().unwrap().clone();
            assert_eq!(loaded, (0..12).chain(20..44).collect::<Vec<u32>>());
        }
    }
}
