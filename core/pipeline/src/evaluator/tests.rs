//! Tests of the evaluator.

use std::sync::Mutex;

use candle_core::{Device, Tensor};
use hashlab_data::Roles;
use hashlab_method::State;
use hashlab_rng::stream;

use super::*;

const ITEMS: usize = 50;
const BITS: usize = 6;

/// Items in chunks of four; notes which are loaded.
#[derive(Default)]
struct Noted(Mutex<Vec<u32>>);

impl Noted {
    fn loaded(&self) -> Vec<u32> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

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
struct Relative(EncodeSpec);

impl HashMethod for Relative {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        let x = items.get(modality)?;
        Ok(x.broadcast_sub(&x.mean_keepdim(0)?)?)
    }
    fn encode_spec(&self) -> EncodeSpec {
        self.0
    }
    fn state(&self) -> Result<State> {
        Ok(State::new())
    }
    fn load_state(&mut self, _: &State) -> Result<()> {
        Ok(())
    }
}

fn split() -> Split {
    let roles = Roles {
        train: (0..10).collect(),
        validation_query: Some((37..42).collect()),
        query: (42..ITEMS as u32).collect(),
        database: (0..9).chain(20..33).collect(),
    };
    roles.into_split(ITEMS, 0).unwrap()
}

fn setup<'a>(labels: &'a Labels, split: &'a Split, inputs: ByModality<&'a dyn Inputs>) -> EvaluatorSetup<'a> {
    let tasks = Task::of(&inputs.modalities().collect::<Vec<_>>());
    let (options, encode) = (Options::default(), EncodeSpec::default());
    EvaluatorSetup { options, bits: BITS, labels, split, inputs, tasks, fused: false, encode, other: None }
}

fn labels() -> Labels {
    Labels::single(3, (0..ITEMS).map(|item| item % 3))
}

#[test]
fn a_validation_encodes_what_it_searches_and_finds_what_the_report_says() {
    let (split, labels, inputs, method) = (split(), labels(), Noted::default(), Relative(EncodeSpec::default()));
    let task = Task::within(Modality::Image);
    for map_at in [None, Some(5)] {
        let mut setup = setup(&labels, &split, ByModality::one(Modality::Image, &inputs as &dyn Inputs));
        setup.options.map_at = map_at;
        let mut evaluator = Evaluator::new(setup);
        let all = evaluator.encode(&method).unwrap();
        assert!(all.time > Duration::ZERO);
        assert_eq!(inputs.loaded(), (0..ITEMS as u32).collect::<Vec<_>>());
        let measured = evaluator.measure(&method, &all, Queries::Validation).unwrap();
        assert_eq!(evaluator.validate(&method).unwrap(), measured[&task].primary());
        assert_eq!(inputs.loaded(), (0..12).chain(20..44).collect::<Vec<_>>());
        // Only what the validation left out is encoded for the final search, to the same codes.
        let again = evaluator.encode(&method).unwrap();
        assert!(again.codes == all.codes);
        assert_eq!(inputs.loaded(), (12..20).chain(44..ITEMS as u32).collect::<Vec<_>>());
        evaluator.validate(&method).unwrap();
        evaluator.forget();
        inputs.loaded();
        assert!(evaluator.encode(&method).unwrap().codes == all.codes);
        assert_eq!(inputs.loaded(), (0..ITEMS as u32).collect::<Vec<_>>());
    }
}

#[test]
fn each_test_query_has_a_precision_and_the_extremes_have_their_neighbors() {
    let (split, labels, inputs, method) = (split(), labels(), Noted::default(), Relative(EncodeSpec::default()));
    let setup = setup(&labels, &split, ByModality::one(Modality::Image, &inputs as &dyn Inputs));
    let mut evaluator = Evaluator::new(setup);
    let all = evaluator.encode(&method).unwrap();
    let task = Task::within(Modality::Image);
    let found = evaluator.test(&method, &all).unwrap().remove(&task).unwrap();
    let (report, kept) = (found.report, found.queries);
    assert_eq!(report, evaluator.measure(&method, &all, Queries::Test).unwrap()[&task]);
    assert_eq!(kept.average_precision.len(), split.query.len());
    let mean = kept.average_precision.iter().map(|&precision| f64::from(precision)).sum::<f64>() / 8.0;
    assert!((mean - report.primary()).abs() < 1e-6, "{mean} {}", report.primary());
    assert!(kept.best.is_sorted_by(|a, b| a.average_precision >= b.average_precision));
    assert!(kept.worst.is_sorted_by(|a, b| a.average_precision <= b.average_precision));
    let codes = &all.codes.get(Modality::Image).unwrap();
    for found in kept.best.iter().chain(&kept.worst) {
        let at = split.query.iter().position(|&item| item == found.query).unwrap();
        assert_eq!(found.average_precision, kept.average_precision[at]);
        assert_eq!(found.items.len(), KEPT);
        let distance = |item: u32| codes.hamming(found.query as usize, codes, item as usize);
        assert!(found.items.is_sorted_by_key(|&item| distance(item)), "nearest first");
        for (&item, &relevant) in found.items.iter().zip(&found.relevant) {
            assert!(split.database.contains(&item));
            assert_eq!(relevant, item % 3 == found.query % 3);
        }
    }
}

#[test]
fn two_modalities_have_two_tasks_and_their_mean_selects() {
    let (split, labels) = (split(), labels());
    let (images, texts) = (Noted::default(), Noted::default());
    let inputs = [(Modality::Image, &images as &dyn Inputs), (Modality::Text, &texts)].into_iter().collect();
    let method = Relative(EncodeSpec::default());
    let mut evaluator = Evaluator::new(setup(&labels, &split, inputs));
    let mean = evaluator.validate(&method).unwrap();
    let all = evaluator.encode(&method).unwrap();
    let measured = evaluator.measure(&method, &all, Queries::Validation).unwrap();
    let keys: Vec<String> = measured.keys().map(Task::key).collect();
    assert_eq!(keys, ["i2t", "t2i"]);
    assert_eq!(mean, measured.values().map(|report| report.primary()).sum::<f64>() / 2.0);
}

#[test]
fn roles_are_encoded_apart_in_their_order_and_an_incomplete_last_call_may_be_dropped() {
    let (split, labels, inputs) = (split(), labels(), Noted::default());
    let spec = EncodeSpec { name: None, batch_size: Some(3), by_role: true, drop_last: true };
    let mut setup = setup(&labels, &split, ByModality::one(Modality::Image, &inputs as &dyn Inputs));
    setup.encode = spec;
    let evaluator = Evaluator::new(setup);
    let none = AllCodes { codes: ByModality::default(), time: Duration::ZERO };
    evaluator.measure(&Relative(spec), &none, Queries::Test).unwrap();
    // 8 queries and 22 database items in threes.
    let expected: Vec<u32> = split.query[..6].iter().chain(&split.database[..21]).copied().collect();
    assert_eq!(inputs.loaded(), expected);
}
