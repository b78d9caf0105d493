//! What a training learns: codes of items of a class come closer, whatever the numbers of the items.

use anyhow::Result;
use candle_core::{DType, Tensor};
use hashlab_method::{
    AnyMethod, Batch, BatchSpec, ByModality, Features, HashMethod, MethodEntry, Modality, Progress, Supervision,
};
use hashlab_methods::METHODS;
use hashlab_rng::stream;
use hashlab_train::{Fit, TrainConfig, TrainData, fit};

use crate::training::{Notes, Synthetic};
use crate::{CLASSES, ITEMS, build, class_of, context, features_around, labels, modalities};

/// Share of a cluster's center in the items: little enough that untrained codes find few items of a class.
const FAINT: f64 = 0.6;

/// Trains for `epochs` of four steps, and returns the losses of the epochs.
fn train(method: &MethodEntry, built: &mut AnyMethod, data: &dyn TrainData, epochs: usize) -> Vec<f64> {
    let AnyMethod::Trained(trained) = built else { panic!("`{}` is fitted", method.info.name) };
    let config = TrainConfig { epochs, batch_size: 16, validate_every: epochs, ..TrainConfig::default() };
    let mut notes = Notes::new(None);
    let (method, validate) = (trained.as_mut(), &mut |_: &dyn HashMethod| Ok(0.0));
    fit(Fit { method, config: &config, seed: 0, data, validate, observer: &mut notes, resume: None }).unwrap();
    notes.losses
}

/// The precision of a search with unseen queries among the training items, by the encoding that finds most.
///
/// The depth is the number of items of a class. A method of two modalities searches from the first to the second.
fn precision(method: &MethodEntry, built: &AnyMethod) -> f64 {
    let built = built.as_method();
    let others = built.other_encodings();
    let ways = std::iter::once(None).chain(others.iter().map(|spec| spec.name));
    ways.map(|way| precision_by(method, built, way)).fold(0.0, f64::max)
}

fn precision_by(method: &MethodEntry, built: &dyn HashMethod, way: Option<&str>) -> f64 {
    let ends = [modalities(method)[0], *modalities(method).last().unwrap()];
    let signs = |items: &[u32], modality: Modality| {
        let of = |one: &Modality| (*one, features_around(FAINT, method, *one, items, 0));
        let features: Features = modalities(method).iter().map(of).collect::<ByModality<Tensor>>().into();
        let codes = match way {
            None => built.encode(&features, modality),
            Some(way) => built.encode_otherwise(way, &features, modality),
        };
        codes.unwrap().ge(0.0).unwrap().to_dtype(DType::F32).unwrap().affine(2.0, -1.0).unwrap()
    };
    let items: Vec<u32> = (0..2 * ITEMS as u32).collect();
    let (database, queries) = items.split_at(ITEMS);
    let similar = signs(queries, ends[0]).matmul(&signs(database, ends[1]).t().unwrap()).unwrap();
    let nearest = ITEMS / CLASSES;
    let found = queries.iter().zip(similar.to_vec2::<f32>().unwrap()).map(|(query, similar)| {
        let mut ranking = database.to_vec();
        ranking.sort_by(|a, b| similar[*b as usize].total_cmp(&similar[*a as usize]));
        ranking[..nearest].iter().filter(|item| class_of(**item) == class_of(*query)).count()
    });
    found.sum::<usize>() as f64 / (nearest * queries.len()) as f64
}

/// A loss of the wrong sign falls, too; codes of the same class come closer under the right one alone.
#[test]
fn training_brings_items_of_a_class_together() {
    for method in METHODS.iter().filter(|method| method.deep) {
        let mut built = build(method, 0);
        let before = precision(method, &built);
        train(method, &mut built, &Synthetic { method, share: FAINT }, 40);
        let after = precision(method, &built);
        assert!(after > before + 0.05, "{}: precision {after:.3} after training, {before:.3} before", method.info.name);
    }
}

/// The synthetic items, each with the label of another one.
struct Mislabelled<'a>(Synthetic<'a>);

/// The items whose labels items `0..` have in their place.
fn mislabelled() -> Vec<u32> {
    stream(0, "mislabelled", &[]).permutation(ITEMS)
}

impl TrainData for Mislabelled<'_> {
    fn len(&self) -> usize {
        ITEMS
    }

    fn batch(&self, items: &[u32], spec: &BatchSpec, at: &Progress) -> Result<Batch> {
        let others: Vec<u32> = items.iter().map(|item| mislabelled()[*item as usize]).collect();
        Ok(Batch { labels: labels(self.0.method, &others), ..self.0.batch(items, spec, at)? })
    }
}

/// A loss that pairs items with labels of others learns as little from true labels as from wrong ones.
#[test]
fn supervised_methods_learn_from_the_labels_of_their_items() {
    for method in METHODS.iter().filter(|method| method.deep && method.info.supervision == Supervision::Supervised) {
        let data = || Synthetic { method, share: FAINT };
        let mut built = build(method, 0);
        train(method, &mut built, &data(), 40);
        let right = precision(method, &built);
        let mut cx = context(method, 0);
        cx.labels = labels(method, &mislabelled());
        let mut built = method.build(&method.schema().defaults, &cx).unwrap();
        train(method, &mut built, &Mislabelled(data()), 40);
        let wrong = precision(method, &built);
        assert!(right > wrong + 0.05, "{}: precision {right:.3}, with wrong labels {wrong:.3}", method.info.name);
    }
}

/// The synthetic items under other numbers.
struct Renumbered<'a>(&'a MethodEntry);

/// The other number of an item, which is of another class than the item with that number.
fn renumbered(item: u32) -> u32 {
    (7 * item + 4) % ITEMS as u32
}

impl TrainData for Renumbered<'_> {
    fn len(&self) -> usize {
        ITEMS
    }

    fn batch(&self, items: &[u32], spec: &BatchSpec, at: &Progress) -> Result<Batch> {
        let batch = Synthetic::of(self.0).batch(items, spec, at)?;
        Ok(Batch { items: items.iter().map(|item| renumbered(*item)).collect(), ..batch })
    }
}

/// A memory of all items whose rows are not those of `Batch::items` meets labels, or codes, of other items.
#[test]
fn the_numbers_of_items_do_not_matter() {
    for method in METHODS.iter().filter(|method| method.deep) {
        let losses = train(method, &mut build(method, 0), &Synthetic::of(method), 4);
        let mut items = vec![0; ITEMS];
        for item in 0..ITEMS as u32 {
            items[renumbered(item) as usize] = item;
        }
        let mut cx = context(method, 0);
        cx.labels = labels(method, &items);
        let mut built = method.build(&method.schema().defaults, &cx).unwrap();
        let others = train(method, &mut built, &Renumbered(method), 4);
        for (loss, other) in losses.iter().zip(&others) {
            let close = (loss - other).abs() <= 1e-3 * loss.abs();
            assert!(close, "{}: losses {losses:?}, under other numbers {others:?}", method.info.name);
        }
    }
}
