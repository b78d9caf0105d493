//! NSH against each mistake that prevents DimpleCrq/NSH (commit fe67149), a public implementation, from learning.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::{Tensor, Var};
use hashlab_kernels::device;
use hashlab_method::nn::soft_sort;
use hashlab_method::{
    AnyMethod, Batch, BatchSpec, BuildContext, Features, HashMethod, MethodEntry, Modality, Progress, Trained, View,
    ViewSpec,
};
use hashlab_methods::METHODS;
use hashlab_methods::nsh::{Binarization, NshParams, objective};
use hashlab_rng::stream;
use hashlab_train::{Fit, OptimizerKind, Select, TrainConfig, TrainData, TrainEnd, TrainObserver, fit};

fn value(scalar: &Tensor) -> f64 {
    scalar.to_scalar().unwrap()
}

/// Standard normal numbers, in f64.
fn normal(name: &str, shape: (usize, usize)) -> Tensor {
    let mut rng = stream(0, name, &[]);
    let values: Vec<f64> = (0..shape.0 * shape.1).map(|_| rng.normal()).collect();
    Tensor::from_vec(values, shape, device::for_tests()).unwrap()
}

fn size(tensor: &Tensor) -> f64 {
    value(&tensor.abs().unwrap().sum_all().unwrap())
}

/// A sign without a straight-through gradient leaves the hash head where it started.
#[test]
fn sorting_by_signs_trains_the_hash_head() {
    let hash = Var::from_tensor(&normal("hash", (12, 16))).unwrap();
    let latent = Var::from_tensor(&normal("latent", (12, 8))).unwrap();
    for binarization in [Binarization::Tanh, Binarization::SteSign] {
        let params = NshParams { binarization, ..NshParams::default() };
        let grads = objective(&hash, &latent, &[params]).unwrap().sorted_nce.backward().unwrap();
        for input in [&hash, &latent] {
            assert!(size(grads.get(input).unwrap()) > 1e-3, "{binarization:?}");
        }
    }
}

/// Signs sort by Hamming distance: only the sign of the tanh matters, not how far it is from saturation.
#[test]
fn ste_sign_sorts_by_signs_alone() {
    let params = NshParams { binarization: Binarization::SteSign, ..NshParams::default() };
    let (hash, latent) = (normal("hash", (12, 16)), normal("latent", (12, 8)));
    let nce = |hash: &Tensor, params: &NshParams| {
        value(&objective(hash, &latent, std::slice::from_ref(params)).unwrap().sorted_nce)
    };
    let longer = (&hash * 3.0).unwrap();
    assert!((nce(&hash, &params) - nce(&longer, &params)).abs() < 1e-12);
    let tanh = NshParams { binarization: Binarization::Tanh, ..params.clone() };
    assert!((nce(&hash, &tanh) - nce(&longer, &tanh)).abs() > 1e-6);
}

/// One batch instead of both views would make every image its own nearest neighbor.
#[test]
fn the_views_are_different_transforms_and_the_loss_depends_on_both() {
    let mut method = build_with(entry(), &[]);
    let transform = |view: &ViewSpec| match view {
        ViewSpec::Image(make) => make(224).to_string(),
        ViewSpec::Text => panic!("a text has no transform"),
    };
    let drawn: Vec<String> = method.batch_spec().views.iter().map(transform).collect();
    let crop = "random_resized_crop(224,scale=0.2..1,ratio=0.75..1.3333333333333333) flip(p=0.5)";
    let first = "color_jitter(0.4,0.4,0.4,0.1,p=0.8) grayscale(p=0.2) pillow_blur(sigma=0.1..2,p=1) r1";
    let second = "color_jitter(0.4,0.4,0.4,0.4,p=1) grayscale(p=0.2) r1";
    assert_eq!(drawn, [format!("{crop} {first}"), format!("{crop} {second}")]);

    let at = Progress { epoch: 0, epochs: 1, step: 0, steps: 1, seeds: vec![0] };
    let views = [1, 2, 3].map(|view| features(&[0, 1, 2, 3, 4, 5, 6, 7], view));
    let mut total = |views: [&Tensor; 2]| {
        let views = views.map(|x| View { modality: Modality::Image, x: x.clone() }).to_vec();
        let batch = Batch { items: (0..8).collect(), views, labels: None };
        method.loss(&batch, &at).unwrap().total.to_scalar::<f32>().unwrap()
    };
    let usual = total([&views[0], &views[1]]);
    assert_ne!(usual, total([&views[0], &views[2]]));
    assert_ne!(usual, total([&views[2], &views[1]]));
}

/// SoftSort at a temperature of `bits` on similarities between 0 and 1 is uniform; at 1/bits it sorts.
#[test]
fn the_default_temperature_sorts() {
    for bits in [16, 32, 64] {
        let tau = NshParams::default().sort_temperature(bits);
        assert_eq!(tau, 1.0 / bits as f64);
        let similarities: Vec<f64> = (0..5).map(|i| 0.95 - 0.2 * f64::from(i)).collect();
        let similarities = Tensor::new(similarities, device::for_tests()).unwrap().unsqueeze(0).unwrap();
        let peaks = |tau| {
            let largest = soft_sort(&similarities, tau).unwrap().max(2).unwrap();
            largest.min_all().unwrap().to_scalar::<f64>().unwrap()
        };
        assert!(peaks(tau) > 0.9, "{bits} bits: {}", peaks(tau));
        assert!(peaks(bits as f64) < 0.22, "{bits} bits: {}", peaks(bits as f64));
    }
    assert_eq!(NshParams { sort_tau: Some(0.25), ..NshParams::default() }.sort_temperature(16), 0.25);
}

/// With all codes and latents alike the positive cannot be distinguished from its n − m negatives: the loss is the
/// logarithm of their number. A second softmax would not change that, but bounds the loss of perfect latents; a
/// division by the batch's size would change both.
#[test]
fn sorted_nce_is_that_of_a_single_softmax_and_no_further_average() {
    let (n, m) = (10, 2);
    let single = NshParams { double_softmax: false, positives: m, ..NshParams::default() };
    let double = NshParams { double_softmax: true, ..single.clone() };
    let nce = |hash: &Tensor, latent: &Tensor, params: &NshParams| {
        value(&objective(hash, latent, std::slice::from_ref(params)).unwrap().sorted_nce)
    };
    let alike = Tensor::ones((2 * n, 16), candle_core::DType::F64, device::for_tests()).unwrap();
    let chance = ((1 + n - m) as f64).ln();
    assert!((nce(&alike, &alike, &single) - chance).abs() < 1e-12);
    assert!((nce(&alike, &alike, &double) - chance).abs() < 1e-12);

    // Two groups, 1 apart: the first positives of an image have cosine 1, all others −1, and τ is small.
    let sharp = |params: &NshParams| NshParams { tau: 0.05, positives: n / 2, ..params.clone() };
    let side = Tensor::from_iter((0..2 * n).map(|i| if i % 2 == 0 { 4.0 } else { -4.0 }), device::for_tests()).unwrap();
    let groups = side.unsqueeze(1).unwrap().broadcast_as((2 * n, 16)).unwrap().contiguous().unwrap();
    assert!(nce(&groups, &groups, &sharp(&single)) < 1e-6);
    let floor = (1.0f64.exp() + (n / 2) as f64).ln() - 1.0;
    assert!((nce(&groups, &groups, &sharp(&double)) - floor).abs() < 1e-6);
}

#[test]
fn quantization_is_a_mean_over_both_views_and_all_bits() {
    let code = 0.6f64;
    for (n, bits) in [(4, 8), (10, 32)] {
        let one = |sign: f64| Tensor::full((sign * code).atanh(), (n, bits), device::for_tests()).unwrap();
        let hash = Tensor::cat(&[one(1.0), one(-1.0)], 0).unwrap();
        let latent = normal("latent", (2 * n, 5));
        let with =
            |quantization| objective(&hash, &latent, &[NshParams { quantization, ..NshParams::default() }]).unwrap();
        assert!((value(&with(1.0).quantization) - 0.16).abs() < 1e-12, "{n} images, {bits} bits");
        let weighted = value(&with(3.0).total) - value(&with(3.0).sorted_nce);
        assert!((weighted - 0.48).abs() < 1e-12, "{n} images, {bits} bits");
    }
}

#[test]
fn a_batch_without_negatives_costs_nothing() {
    for n in [1, 2] {
        let found =
            objective(&normal("hash", (2 * n, 8)), &normal("latent", (2 * n, 4)), &[NshParams::default()]).unwrap();
        assert!(value(&found.sorted_nce).abs() < 1e-12);
    }
}

const ITEMS: usize = 200;
const CLASSES: usize = 10;
const DIM: usize = 32;

fn entry() -> &'static MethodEntry {
    METHODS.iter().find(|entry| entry.info.name == "nsh").unwrap()
}

fn build_with(entry: &MethodEntry, changed: &[(&str, serde_json::Value)]) -> Box<dyn Trained> {
    let mut params = entry.schema().defaults;
    params.extend(changed.iter().map(|(key, value)| (key.to_string(), value.clone())));
    let device = device::for_tests().clone();
    let cx = BuildContext { classes: CLASSES, device, ..BuildContext::of_images(32, DIM) };
    match entry.build(&params, &cx).unwrap() {
        AnyMethod::Trained(method) => method,
        AnyMethod::Fitted(_) => panic!("NSH learns by gradients"),
    }
}

/// The first half of an image's features contains its class; the second is louder, and differs between views.
fn features(items: &[u32], view: u64) -> Tensor {
    let values: Vec<f32> = items
        .iter()
        .flat_map(|&item| {
            let mut center = stream(0, "centre", &[u64::from(item) % CLASSES as u64]);
            let mut noise = stream(0, "noise", &[u64::from(item), view]);
            (0..DIM).map(move |d| {
                let signal = if d < DIM / 2 { center.normal() + 0.3 * noise.normal() } else { 1.5 * noise.normal() };
                signal as f32
            })
        })
        .collect();
    Tensor::from_vec(values, (items.len(), DIM), device::for_tests()).unwrap()
}

struct Clusters;

impl TrainData for Clusters {
    fn len(&self) -> usize {
        ITEMS
    }

    fn batch(&self, items: &[u32], _: &BatchSpec, at: &Progress) -> Result<Batch> {
        let view = |v: usize| View { modality: Modality::Image, x: features(items, (2 * at.epoch + v) as u64 + 1) };
        Ok(Batch { items: items.to_vec(), views: vec![view(0), view(1)], labels: None })
    }
}

struct Silent;

impl TrainObserver for Silent {
    fn epoch(&mut self, _: usize, _: &BTreeMap<String, f64>, _: f64) -> Result<()> {
        Ok(())
    }
    fn validation(&mut self, _: usize, _: f64) -> Result<()> {
        Ok(())
    }
    fn checkpoint(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn stopped(&self) -> bool {
        false
    }
}

/// Fraction of the ten nearest codes that are of the same class, averaged over all items.
fn precision_at_10(method: &dyn HashMethod) -> f64 {
    let items: Vec<u32> = (0..ITEMS as u32).collect();
    let items = Features::one(Modality::Image, features(&items, 0));
    let relaxed = method.encode(&items, Modality::Image).unwrap().to_vec2::<f32>().unwrap();
    let code = |row: &Vec<f32>| row.iter().map(|h| *h >= 0.0).collect::<Vec<bool>>();
    let codes: Vec<Vec<bool>> = relaxed.iter().map(code).collect();
    let found: usize = (0..ITEMS)
        .map(|query| {
            let distance = |item: usize| codes[query].iter().zip(&codes[item]).filter(|(a, b)| a != b).count();
            let mut others: Vec<usize> = (0..ITEMS).filter(|item| *item != query).collect();
            others.sort_by_key(|item| distance(*item));
            others[..10].iter().filter(|item| **item % CLASSES == query % CLASSES).count()
        })
        .sum();
    found as f64 / (10 * ITEMS) as f64
}

/// Both the public recipe and the paper's loss learn the informative features, and the result survives validation,
/// selection and encoding.
#[test]
fn training_finds_the_clusters() {
    let entry = entry();
    let config = TrainConfig {
        epochs: 40,
        batch_size: 40,
        drop_last: true,
        optimizer: OptimizerKind::Adam,
        weight_decay: 1e-5,
        select: Select::Best,
        validate_every: 20,
        ..TrainConfig::default()
    };
    for (binarization, double_softmax, quantization) in [("tanh", true, 1.0), ("ste_sign", false, 0.1)] {
        let switches = [
            ("binarization", binarization.into()),
            ("double_softmax", double_softmax.into()),
            ("quantization", quantization.into()),
        ];
        let mut method = build_with(entry, &switches);
        let before = precision_at_10(method.as_ref() as &dyn HashMethod);
        let mut validate = |method: &dyn HashMethod| Ok(precision_at_10(method));
        let job = Fit {
            method: method.as_mut(),
            config: &config,
            seed: 0,
            data: &Clusters,
            validate: &mut validate,
            observer: &mut Silent,
            resume: None,
        };
        assert!(matches!(fit(job).unwrap(), TrainEnd::Done { .. }));
        let after = precision_at_10(method.as_ref() as &dyn HashMethod);
        assert!(after > before + 0.2, "{binarization}, {double_softmax}: {before} to {after}");
    }
}
