//! Requirements on every registered method, on tiny synthetic features.
//!
//! HASHLAB_TEST_DEVICE names the device. Bits are compared with bits on each: a GPU must repeat itself exactly, too.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Tensor};
use hashlab_kernels::device;
use hashlab_method::{
    AnyMethod, BatchSpec, BuildContext, ByModality, Features, HashMethod, MethodEntry, Modality, Progress, State,
    Supervision, TrainSet, View,
};
use hashlab_methods::METHODS;
use hashlab_rng::stream;
use hashlab_train::TrainEnd;

mod learning;
mod registry;
mod stacked;
mod threads;
mod training;

use training::{Notes, train};

const ITEMS: usize = 60;
const DIM: usize = 24;
const CLASSES: usize = 3;
const BITS: usize = 16;

/// Share of a class's center in its items with which untrained codes find most items of a class.
const CLEAR: f64 = 2.0;

/// The modalities that a method is tested on: those that it needs, or images.
fn modalities(method: &MethodEntry) -> &'static [Modality] {
    method.info.needs.fixed().unwrap_or(&[Modality::Image])
}

fn context(method: &MethodEntry, seed: u64) -> BuildContext {
    context_of(method, modalities(method), seed)
}

fn context_of(method: &MethodEntry, modalities: &[Modality], seed: u64) -> BuildContext {
    let items: Vec<u32> = (0..ITEMS as u32).collect();
    BuildContext {
        bits: BITS,
        dims: modalities.iter().map(|modality| (*modality, DIM)).collect(),
        classes: CLASSES,
        items: ITEMS,
        labels: labels(method, &items),
        device: device::for_tests().clone(),
        seeds: vec![seed],
    }
}

fn class_of(item: u32) -> usize {
    item as usize % CLASSES
}

/// Clustered features; each view adds noise of its own. Those of a method's second modality are others than of its
/// first.
fn features(method: &MethodEntry, modality: Modality, items: &[u32], view: u64) -> Tensor {
    features_around(CLEAR, method, modality, items, view)
}

/// Features that consist of a cluster's center, times `share`, and noise.
fn features_around(share: f64, method: &MethodEntry, modality: Modality, items: &[u32], view: u64) -> Tensor {
    let second = modalities(method).iter().position(|of| *of == modality) == Some(1);
    let [center, noise] = if second { ["centre/second", "noise/second"] } else { ["centre", "noise"] };
    let values: Vec<f32> = items
        .iter()
        .flat_map(|&item| {
            let mut center = stream(0, center, &[class_of(item) as u64]);
            let mut noise = stream(0, noise, &[u64::from(item), view]);
            (0..DIM).map(move |_| (share * center.normal() + noise.normal()) as f32)
        })
        .collect();
    Tensor::from_vec(values, (items.len(), DIM), device::for_tests()).unwrap()
}

/// The views of a batch, whose noise is drawn anew in every epoch.
fn views_of(spec: &BatchSpec, at: &Progress, features: impl Fn(Modality, u64) -> Tensor) -> Vec<View> {
    let first = (at.epoch * spec.views.len()) as u64 + 1;
    let viewed = |modality, number| View { modality, x: features(modality, number) };
    spec.views.iter().zip(first..).map(|(view, number)| viewed(view.modality(), number)).collect()
}

/// Labels, for supervised methods.
fn labels(method: &MethodEntry, items: &[u32]) -> Option<Tensor> {
    let hot = |item: &u32| (0..CLASSES).map(|c| f32::from(c == class_of(*item))).collect::<Vec<_>>();
    let values: Vec<f32> = items.iter().flat_map(hot).collect();
    (method.info.supervision == Supervision::Supervised)
        .then(|| Tensor::from_vec(values, (items.len(), CLASSES), device::for_tests()).unwrap())
}

/// The items in these modalities.
fn plain(method: &MethodEntry, modalities: &[Modality], items: &[u32]) -> Features {
    let of = |modality: &Modality| (*modality, features(method, *modality, items, 0));
    modalities.iter().map(of).collect::<ByModality<Tensor>>().into()
}

fn build(method: &MethodEntry, seed: u64) -> AnyMethod {
    method.build(&method.schema().defaults, &context(method, seed)).unwrap()
}

fn trained(method: &MethodEntry, seed: u64) -> AnyMethod {
    let mut built = build(method, seed);
    let end = train(method, &mut built, seed, &mut Notes::new(None), None);
    assert!(matches!(end, None | Some(TrainEnd::Done { .. })), "{}: {end:?}", method.info.name);
    built
}

/// Relaxed codes of the training items and some more, in each of the method's modalities.
fn encode(method: &MethodEntry, built: &AnyMethod) -> Tensor {
    let codes: Vec<Tensor> =
        modalities(method).iter().map(|modality| encode_as(method, built.as_method(), *modality)).collect();
    Tensor::cat(&codes, 0).unwrap()
}

fn encode_as(method: &MethodEntry, built: &dyn HashMethod, modality: Modality) -> Tensor {
    built.encode(&encoded_items(method, &Modality::ALL), modality).unwrap()
}

fn encoded_items(method: &MethodEntry, modalities: &[Modality]) -> Features {
    plain(method, modalities, &(0..ITEMS as u32 + 7).collect::<Vec<_>>())
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

fn state_bits(state: &State) -> BTreeMap<String, Vec<u32>> {
    state.iter().map(|(name, tensor)| (name.clone(), bits(tensor))).collect()
}

#[test]
fn a_method_learns_as_it_is_registered() {
    for method in METHODS {
        let deep = matches!(build(method, 0), AnyMethod::Trained(_));
        assert_eq!(deep, method.deep, "{}", method.info.name);
        assert!(deep || !method.info.augmented, "{}", method.info.name);
    }
}

#[test]
fn relaxed_codes_are_finite_and_of_the_asked_length() {
    for method in METHODS {
        let codes = encode(method, &trained(method, 0));
        let rows = (ITEMS + 7) * modalities(method).len();
        assert_eq!((codes.dims(), codes.dtype()), (&[rows, BITS][..], DType::F32), "{}", method.info.name);
        let values = codes.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(values.iter().all(|h| h.is_finite()), "{}", method.info.name);
        let positive = values.iter().filter(|h| **h >= 0.0).count() as f64 / values.len() as f64;
        assert!((0.1..0.9).contains(&positive), "{}: {positive} of the bits are 1", method.info.name);
    }
}

#[test]
fn the_first_weights_are_drawn_by_the_seed() {
    for method in METHODS.iter().filter(|method| method.deep && method.info.seeded) {
        let of = |seed: u64| state_bits(&build(method, seed).as_method().state().unwrap());
        assert_eq!(of(0), of(0), "{}", method.info.name);
        assert_ne!(of(0), of(1), "{}", method.info.name);
    }
}

/// A batch norm that sees its batch, a mean over the call's items: codes would change with the company of an item.
#[test]
fn the_code_of_an_item_is_that_of_the_item_alone() {
    for method in METHODS {
        let built = trained(method, 0);
        for modality in modalities(method) {
            let all = encode_as(method, built.as_method(), *modality);
            for item in [0, ITEMS as u32 + 6] {
                let alone = built.as_method().encode(&plain(method, &Modality::ALL, &[item]), *modality).unwrap();
                let of_all = all.narrow(0, item as usize, 1).unwrap();
                let difference =
                    (&alone - &of_all).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                let largest = of_all.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                assert!(difference <= 1e-4 * largest, "{}: {difference} of {largest}", method.info.name);
            }
        }
    }
}

#[test]
fn a_method_of_any_modality_does_with_texts_what_it_does_with_images() {
    let items: Vec<u32> = (0..ITEMS as u32).collect();
    for method in METHODS.iter().filter(|method| method.info.needs.fixed().is_none()) {
        let of = |modality: Modality| {
            let cx = context_of(method, &[modality], 0);
            let mut built = method.build(&method.schema().defaults, &cx).unwrap();
            if let AnyMethod::Fitted(fitted) = &mut built {
                let features = plain(method, &[modality], &items);
                fitted.fit(&TrainSet { features, labels: labels(method, &items) }).unwrap();
            } else {
                train(method, &mut built, 0, &mut Notes::new(None), None);
            }
            bits(&encode_as(method, built.as_method(), modality))
        };
        assert_eq!(of(Modality::Image), of(Modality::Text), "{}", method.info.name);
    }
}

#[test]
fn a_method_that_encodes_modalities_apart_needs_the_asked_one_alone() {
    for method in METHODS.iter().filter(|method| !method.info.needs.fused()) {
        let built = trained(method, 0);
        for modality in modalities(method) {
            let alone = built.as_method().encode(&encoded_items(method, &[*modality]), *modality).unwrap();
            let with_all = encode_as(method, built.as_method(), *modality);
            assert_eq!(bits(&alone), bits(&with_all), "{}: {modality}", method.info.name);
        }
    }
}

#[test]
fn every_other_encoding_has_a_name_of_its_own_and_finite_codes() {
    for method in METHODS {
        let (built, name) = (trained(method, 0), method.info.name);
        let built = built.as_method();
        let others = built.other_encodings();
        let names: BTreeSet<&str> = [built.encode_spec()].iter().chain(&others).filter_map(|spec| spec.name).collect();
        assert_eq!(names.len(), if others.is_empty() { names.len().min(1) } else { 1 + others.len() }, "{name}");
        let items = encoded_items(method, &Modality::ALL);
        for modality in modalities(method) {
            let own = built.encode(&items, *modality).unwrap();
            for other in &others {
                let codes = built.encode_otherwise(other.name.unwrap(), &items, *modality).unwrap();
                assert_eq!((codes.dims(), codes.dtype()), (own.dims(), own.dtype()), "{name}");
                assert!(codes.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|h| h.is_finite()), "{name}");
                assert_ne!(bits(&codes), bits(&own), "{name}: {other:?} is no other way");
            }
            assert!(built.encode_otherwise("no_such_encoding", &items, *modality).is_err(), "{name}");
        }
    }
}

#[test]
fn a_saved_method_encodes_the_same_bits() {
    for method in METHODS {
        let first = trained(method, 3);
        let mut second = build(method, 4);
        second.as_method_mut().load_state(&first.as_method().state().unwrap()).unwrap();
        assert_eq!(bits(&encode(method, &first)), bits(&encode(method, &second)), "{}", method.info.name);
    }
}

#[test]
fn states_that_do_not_fit_are_refused() {
    for method in METHODS {
        let state = trained(method, 3).as_method().state().unwrap();
        let with = |name: &str, shape: &[usize]| {
            let mut state = state.clone();
            state.insert(name.into(), Tensor::zeros(shape, DType::F32, device::for_tests()).unwrap());
            state
        };
        let mut bad = vec![with("no_such_tensor", &[1])];
        for name in state.keys() {
            let mut missing = state.clone();
            missing.remove(name);
            bad.extend([missing, with(name, &[]), with(name, &[1, 1, 1])]);
        }
        let mut built = build(method, 0);
        let built = built.as_method_mut();
        let before = state_bits(&built.state().unwrap());
        for bad in bad {
            assert!(built.load_state(&bad).is_err(), "{}", method.info.name);
            assert_eq!(state_bits(&built.state().unwrap()), before, "{}: half-loaded", method.info.name);
        }
    }
}
