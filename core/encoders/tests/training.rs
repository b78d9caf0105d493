//! Training passes of the trainable networks against torchvision's (`golden_training.py`).

mod formula;

use std::collections::HashMap;

use candle_core::{Device, Tensor, Var};
use hashlab_encoders::{Norm, TrainableEncoder, Weights, find_image};
use hashlab_kernels::{backward, device};
use hashlab_rng::{Stream, stream};

/// The dropouts of VGG16 and AlexNet, with the elements per image.
const DROPOUTS: [(&str, usize); 4] =
    [("classifier.0", 6 * 6 * 256), ("classifier.2", 4096), ("classifier.3", 4096), ("classifier.5", 4096)];

fn draws(layer: &str, _: usize) -> Stream {
    stream(0, layer, &[])
}

/// Kept elements of each dropout.
fn masks() -> HashMap<String, Tensor> {
    let mask = |(layer, len): (&str, usize)| {
        let mut stream = draws(layer, len);
        let kept: Vec<u8> = (0..len).map(|_| u8::from(!stream.bernoulli(0.5))).collect();
        (layer.to_owned(), Tensor::from_vec(kept, len, &Device::Cpu).unwrap())
    };
    DROPOUTS.into_iter().map(mask).collect()
}

#[test]
#[ignore = "writes what golden_training.py reads"]
fn write_masks() {
    candle_core::safetensors::save(&masks(), formula::path("masks")).unwrap();
}

#[test]
fn the_stored_masks_are_what_dropouts_draw() {
    let stored = formula::stored("masks");
    for (layer, mask) in masks() {
        assert_eq!(mask.to_vec1::<u8>().unwrap(), stored[&layer].to_vec1::<u8>().unwrap(), "{layer}");
    }
}

fn tensor(name: &str, shape: &[usize]) -> Tensor {
    let values: Vec<f32> = formula::numbers(name, shape.iter().product()).map(|u| u as f32).collect();
    Tensor::from_vec(values, shape, device::for_tests()).unwrap()
}

/// The elements that `part` of golden_training.py takes.
fn part(t: &Tensor) -> Vec<f32> {
    let all: Vec<f32> = t.flatten_all().unwrap().to_vec1().unwrap();
    let step = (all.len() / 200).max(1) | 1;
    all.into_iter().step_by(step).collect()
}

/// Asserts that the difference is below `tolerance` of the norm.
#[track_caller]
fn close(what: &str, found: &[f32], expected: &Tensor, tolerance: f32) {
    let expected: Vec<f32> = expected.to_vec1().unwrap();
    assert_eq!(found.len(), expected.len(), "{what}");
    let error: f32 = found.iter().zip(&expected).map(|(f, e)| (f - e).powi(2)).sum();
    let norm: f32 = expected.iter().map(|e| e.powi(2)).sum();
    assert!(norm > 0.0 && error.sqrt() < tolerance * norm.sqrt(), "{what}: relative error {}", (error / norm).sqrt());
}

fn named<'a>(vars: &'a [(String, Var)], name: &str) -> &'a Var {
    &vars.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("no `{name}`")).1
}

/// One step and an evaluation of `net` under the key `case`; `tolerance` is that of gradients.
#[track_caller]
fn check(net: &dyn TrainableEncoder, case: &str, [n, h, w]: [usize; 3], tolerance: f32) {
    let golden = formula::stored("golden_training");
    let of = |key: &str| &golden[&format!("{case}.{key}")];
    let images = tensor("images", &[n, h, w, 3]);
    let features = net.forward_train(&images, &mut draws).unwrap();
    close("features", &part(&features), of("features"), 1e-4);
    let direction = tensor("direction", &[n, net.dim()]);
    let grads = backward(&(&features * direction).unwrap().sum_all().unwrap()).unwrap();
    let (vars, buffers) = (net.vars(), net.buffers());
    assert_eq!(find_image(net.name()).is_some_and(|entry| entry.normed), !buffers.is_empty());
    let gradient = |var: &Var| grads.get(var).unwrap().clone();
    let norm = |var: &Var| {
        let elements: Vec<f32> = gradient(var).flatten_all().unwrap().to_vec1().unwrap();
        elements.into_iter().map(|g| f64::from(g).powi(2)).sum::<f64>().sqrt() as f32
    };
    let norms = of("norms").to_vec1::<f32>().unwrap();
    assert_eq!(vars.len(), norms.len());
    // A batch norm cancels a bias before it, whose gradient is rounding alone.
    let least = 1e-4 * norms.iter().fold(0f32, |a, b| a.max(*b));
    for ((name, var), expected) in vars.iter().zip(norms) {
        let found = norm(var);
        assert!(
            expected > 0.0 && (found - expected).abs() < tolerance * expected.max(least),
            "{name}: {found} against {expected}"
        );
    }
    for (key, expected) in &golden {
        if let Some(name) = key.strip_prefix(&format!("{case}.gradient.")) {
            close(key, &part(&gradient(named(&vars, name))), expected, tolerance);
        } else if let Some(name) = key.strip_prefix(&format!("{case}.buffer.")) {
            close(key, &part(named(&buffers, name)), expected, 1e-4);
        }
    }
    let evaluated = net.forward(&images).unwrap();
    assert!(!evaluated.track_op(), "the evaluation pass keeps a graph");
    close("evaluated", &part(&evaluated), of("evaluated"), 1e-4);
}

fn pretrained(name: &str, norm: Norm) -> Box<dyn TrainableEncoder> {
    (find_image(name).unwrap().train.unwrap())(Some(&formula::weights(name, &[])), 0, norm, device::for_tests().into())
        .unwrap()
}

#[test]
fn resnets_by_the_statistics_of_the_batch() {
    check(pretrained("resnet18", Norm::Batch).as_ref(), "resnet18.batch", [3, 64, 80], 1e-4);
    // Its rectifiers flip: PyTorch's own gradients in f32 differ from those in f64 by up to 0.02 here.
    check(pretrained("resnet50", Norm::Batch).as_ref(), "resnet50.batch", [3, 64, 80], 0.02);
}

#[test]
fn resnets_by_frozen_statistics() {
    for name in ["resnet18", "resnet50"] {
        let net = pretrained(name, Norm::Frozen);
        assert!(net.vars().iter().all(|(name, _)| !name.contains("bn")));
        check(net.as_ref(), &format!("{name}.frozen"), [3, 64, 80], 1e-4);
    }
}

/// The whole network; the frozen one is the same, whose blocks add their input in one pass.
#[test]
fn mobilenet_v2() {
    let (entry, weights) = (find_image("mobilenet_v2").unwrap(), formula::weights("mobilenet_v2.normed", &[]));
    // With norms of the batch rectifiers flip: PyTorch's own gradients in f32 differ from those in f64 by up to 0.012
    // here.
    for (norm, case, tolerance) in [(Norm::Batch, "batch", 0.02), (Norm::Frozen, "frozen", 1e-4)] {
        let net = (entry.train.unwrap())(Some(&weights), 0, norm, device::for_tests().into()).unwrap();
        check(net.as_ref(), &format!("mobilenet_v2.{case}"), [3, 64, 80], tolerance);
    }
    let frozen = (entry.open)(Some(&weights), 0, device::for_tests().into()).unwrap();
    let features = frozen.forward(&tensor("images", &[3, 64, 80, 3])).unwrap();
    close("frozen", &part(&features), &formula::stored("golden_training")["mobilenet_v2.frozen.evaluated"], 1e-4);
}

/// The whole network, and the same cut in two.
#[test]
fn vgg16() {
    let (entry, weights) = (find_image("vgg16").unwrap(), formula::weights("vgg16", &[]));
    let net = (entry.train.unwrap())(Some(&weights), 0, Norm::Batch, device::for_tests().into()).unwrap();
    let images = tensor("images", &[1, 48, 64, 3]);
    let [trained, evaluated] =
        [net.forward_train(&images, &mut draws), net.forward(&images)].map(|y| part(&y.unwrap()));
    check(net.as_ref(), "vgg16.none", [1, 48, 64], 1e-4);
    drop(net);

    let cut = entry.cut.as_ref().unwrap();
    let (trunk, tail) = (
        (cut.trunk)(Some(&weights), 0, device::for_tests().into()).unwrap(),
        (cut.tail)(Some(&weights), device::for_tests()).unwrap(),
    );
    let stored = trunk.forward(&images).unwrap();
    assert_eq!((trunk.name(), cut.name, stored.dims()), ("vgg16/fc6", "fc6", &[1, cut.dim][..]));
    assert!(tail.vars().is_empty() && tail.buffers().is_empty());
    let expected = |values: &[f32]| Tensor::new(values, device::for_tests()).unwrap();
    close("trained", &part(&tail.forward_train(&stored, &mut draws).unwrap()), &expected(&trained), 1e-5);
    close("evaluated", &part(&tail.forward(&stored).unwrap()), &expected(&evaluated), 1e-5);
}

#[test]
fn alexnet() {
    check(pretrained("alexnet", Norm::Batch).as_ref(), "alexnet.none", [1, 80, 96], 1e-4);
}

/// The frozen network is the same one.
#[test]
fn vit_b_16() {
    let (entry, weights) = (find_image("vit_b_16").unwrap(), formula::weights("vit_b_16", &[]));
    let net = (entry.train.unwrap())(Some(&weights), 0, Norm::Batch, device::for_tests().into()).unwrap();
    check(net.as_ref(), "vit_b_16.none", [2, 224, 224], 1e-4);
    let frozen = (entry.open)(Some(&weights), 0, device::for_tests().into()).unwrap();
    let features = frozen.forward(&tensor("images", &[2, 224, 224, 3])).unwrap();
    close("frozen", &part(&features), &formula::stored("golden_training")["vit_b_16.none.evaluated"], 1e-4);
    let small = net.forward(&tensor("images", &[1, 192, 224, 3])).unwrap_err().to_string();
    assert!(small.contains("224 by 224") && small.contains("192"), "{small}");
}

#[test]
fn a_seeded_network_trains_in_every_variable() {
    let net =
        (find_image("resnet18").unwrap().train.unwrap())(None, 5, Norm::Batch, device::for_tests().into()).unwrap();
    let images = tensor("images", &[4, 32, 32, 3]);
    let features = net.forward_train(&images, &mut draws).unwrap();
    let grads = backward(&(&features * tensor("direction", &[4, 512])).unwrap().sum_all().unwrap()).unwrap();
    for (name, var) in net.vars() {
        let size = grads.get(&var).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(size > 0.0, "the gradient of `{name}` is zero");
    }
}

#[test]
fn the_seed_decides_the_parameters() {
    let weights = |seed| {
        let net = (find_image("resnet18").unwrap().train.unwrap())(None, seed, Norm::Batch, device::for_tests().into())
            .unwrap();
        named(&net.vars(), "layer1.0.conv1.weight").flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert!(weights(1) == weights(1) && weights(1) != weights(2));
    let deviation = (weights(1).iter().map(|w| w * w).sum::<f32>() / (64.0 * 64.0 * 9.0)).sqrt();
    assert!((deviation - (2.0f32 / (64.0 * 9.0)).sqrt()).abs() < 1e-3, "{deviation}");
}

#[test]
fn deeper_resnets_are_what_their_entries_say() {
    for (name, vars) in [("resnet34", 108), ("resnet101", 312)] {
        let entry = find_image(name).unwrap();
        let net = (entry.train.unwrap())(None, 0, Norm::Batch, device::for_tests().into()).unwrap();
        // Of each convolution a weight, of its norm a weight and a bias.
        assert_eq!((net.name(), net.dim(), net.vars().len()), (entry.name, entry.dim, vars));
    }
}

/// A file of convolutions with folded norms can be trained if the norms are frozen: the features are those of the frozen
/// network, the weights are variables and the biases are not.
#[test]
fn folded_norms_stay_frozen() {
    let bias_of = |name: &str| match name.rsplit_once("bn") {
        Some((parent, rest)) => Some(format!("{parent}conv{}", rest.strip_suffix(".bias")?)),
        None => Some(name.strip_suffix("downsample.1.bias")?.to_owned() + "downsample.0"),
    };
    let folded: Vec<_> = formula::tensors("resnet18")
        .into_iter()
        .filter_map(|(name, tensor)| match tensor.shape.len() {
            4 => Some((name, tensor)),
            _ => Some((bias_of(&name)? + ".bias", tensor)),
        })
        .collect();
    let weights = Weights::from_bytes(&formula::file(&folded, &[])).unwrap();
    let entry = find_image("resnet18").unwrap();
    let net = (entry.train.unwrap())(Some(&weights), 0, Norm::Frozen, device::for_tests().into()).unwrap();
    let frozen = (entry.open)(Some(&weights), 0, device::for_tests().into()).unwrap();
    let images = tensor("images", &[2, 32, 32, 3]);
    let trained = net.forward_train(&images, &mut draws).unwrap();
    let all = |y: &Tensor| y.flatten_all().unwrap();
    let found: Vec<f32> = all(&trained).to_vec1().unwrap();
    close("features", &found, &all(&frozen.forward(&images).unwrap()), 1e-4);
    assert_eq!((net.vars().len(), net.buffers().len()), (20, 20), "weights and biases of the convolutions");
    let gradients = backward(&trained.sqr().unwrap().sum_all().unwrap()).unwrap();
    assert!(net.vars().iter().all(|(_, var)| gradients.get(var).is_some()));
    assert!(net.buffers().iter().all(|(name, var)| name.ends_with(".bias") && gradients.get(var).is_none()));
}

#[test]
fn folded_norms_and_missing_ones_are_told_apart() {
    let message = |edit: &dyn Fn(&str) -> Option<String>| {
        let tensors = formula::tensors("resnet18").into_iter();
        let tensors: Vec<_> = tensors.filter_map(|(name, tensor)| Some((edit(&name)?, tensor))).collect();
        let weights = Weights::from_bytes(&formula::file(&tensors, &[])).unwrap();
        (find_image("resnet18").unwrap().train.unwrap())(Some(&weights), 0, Norm::Batch, device::for_tests().into())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    // A folded file has biases where the norms were.
    let folded = message(&|name| match name.strip_prefix("bn1.") {
        Some("bias") => Some("conv1.bias".into()),
        Some(_) => None,
        None => Some(name.into()),
    });
    assert!(folded.contains("folded") && folded.contains("`conv1`"), "{folded}");
    let missing = message(&|name| (name != "bn1.running_var").then(|| name.into()));
    assert!(missing.contains("`bn1.running_var` is missing"), "{missing}");
}
