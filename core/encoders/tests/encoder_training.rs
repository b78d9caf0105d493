//! Training passes of small encoders against Hugging Face's (`golden_encoders.py`), those of BERT with dropout.

mod formula;

use std::collections::HashMap;

use candle_core::{Device, Tensor, Var};
use hashlab_encoders::{
    ENCODERS, EncoderEntry, Mode, Pooling, TrainableEncoder, Weights, bert, clip, dinov2, siglip, token_tensor,
};
use hashlab_kernels::{backward, device};
use hashlab_rng::{Stream, stream};

const WORDS: usize = 60;
const POSITIONS: usize = 12;
const DIM: usize = 128;
const LENGTHS: [usize; 4] = [5, 12, 2, 7];
const DROPOUTS: [&str; 5] = [
    "embeddings.dropout",
    "encoder.layer.0.attention.output.dropout",
    "encoder.layer.0.output.dropout",
    "encoder.layer.1.attention.output.dropout",
    "encoder.layer.1.output.dropout",
];

fn draws(layer: &str, _: usize) -> Stream {
    stream(0, layer, &[])
}

/// Kept elements of each dropout.
fn masks() -> HashMap<String, Tensor> {
    let mask = |layer: &str| {
        let len = LENGTHS.iter().sum::<usize>() * DIM;
        let mut stream = draws(layer, len);
        let kept: Vec<u8> = (0..len).map(|_| u8::from(!stream.bernoulli(0.1))).collect();
        (layer.to_owned(), Tensor::from_vec(kept, len, &Device::Cpu).unwrap())
    };
    DROPOUTS.into_iter().map(mask).collect()
}

#[test]
#[ignore = "writes what golden_encoders.py reads"]
fn write_masks() {
    candle_core::safetensors::save(&masks(), formula::path("masks_text")).unwrap();
}

#[test]
fn the_stored_masks_are_what_dropouts_draw() {
    let stored = formula::stored("masks_text");
    for (layer, mask) in masks() {
        assert_eq!(mask.to_vec1::<u8>().unwrap(), stored[&layer].to_vec1::<u8>().unwrap(), "{layer}");
    }
}

fn texts() -> Vec<Vec<u32>> {
    texts_below(WORDS)
}

/// Texts of [`LENGTHS`] of the first `words` words.
fn texts_below(words: usize) -> Vec<Vec<u32>> {
    let id = |u: f64| ((u + 1.0) / 2.0 * words as f64) as u32;
    let ids: Vec<u32> = formula::numbers("ids", LENGTHS.len() * POSITIONS).map(id).collect();
    ids.chunks(POSITIONS).zip(LENGTHS).map(|(ids, len)| ids[..len].to_vec()).collect()
}

fn trained() -> Mode<'static> {
    Mode::Trained(device::for_tests().into())
}

/// The input of encoders of texts.
fn packed(texts: &[impl AsRef<[u32]>]) -> Tensor {
    token_tensor(texts, POSITIONS).unwrap()
}

fn open(family: &str, pooling: Pooling) -> Box<dyn TrainableEncoder> {
    bert::text(&weights(family), 2, pooling, trained()).unwrap()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn images(height: usize, width: usize) -> Tensor {
    let pixels: Vec<f32> = formula::numbers("images", 2 * height * width * 3).map(|u| u as f32).collect();
    Tensor::from_vec(pixels, (2, height, width, 3), device::for_tests()).unwrap()
}

fn weights(family: &str) -> Weights {
    Weights::from_bytes(&formula::file(&formula::encoders::tensors(family), &[])).unwrap()
}

/// Compares features `y` of a training pass and the norms of gradients with those under `key`; `stored` gives the
/// file's names.
#[track_caller]
fn gradients(key: &str, y: &Tensor, vars: &[(String, Var)], stored: impl Fn(&str) -> String) {
    let golden = formula::stored("golden_encoders");
    for (found, expected) in values(y).iter().zip(values(&golden[&format!("{key}.trained")])) {
        assert!((found - expected).abs() < 2e-5, "{found} against {expected}");
    }
    let direction: Vec<f32> = formula::numbers("direction", y.elem_count()).map(|u| u as f32).collect();
    let direction = Tensor::from_vec(direction, y.dims(), device::for_tests()).unwrap();
    let grads = backward(&(y * direction).unwrap().sum_all().unwrap()).unwrap();
    let norm = |name: &str| golden[&format!("{key}.norm.{}", stored(name))].to_scalar::<f32>().unwrap();
    let largest = vars.iter().map(|(name, _)| norm(name)).fold(0f32, f32::max);
    for (name, var) in vars {
        let found = grads.get(var).unwrap().sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
        // The bias of a key adds the same to all products of a query, so its gradient is 0.
        let zero = name.ends_with("key.bias") || name.ends_with("k_proj.bias");
        let scale = if zero { largest } else { norm(name) };
        assert!((found - norm(name)).abs() < 1e-4 * scale, "{name}: {found} against {}", norm(name));
    }
    let count = golden.keys().filter(|name| name.starts_with(&format!("{key}.norm."))).count();
    assert!(vars.len() <= count && vars.len() + 2 >= count, "{} of {count} variables", vars.len()); // BERT's pooler
}

/// Compares a training pass with dropout, which moves features.
#[track_caller]
fn check(family: &str, stored: impl Fn(&str) -> String) {
    let (net, texts) = (open(family, Pooling::Mean), packed(&texts()));
    let y = net.forward_train(&texts, &mut draws).unwrap();
    gradients(family, &y, &net.vars(), stored);
    let evaluated = net.forward(&texts).unwrap();
    assert!(!evaluated.track_op(), "the evaluation pass keeps a graph");
    let moved = (evaluated - y.detach()).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(moved > 0.01, "dropout moves features by {moved}");
}

fn no_draws(layer: &str, _: usize) -> Stream {
    panic!("`{layer}` draws")
}

#[track_caller]
fn check_images(key: &str, net: &dyn TrainableEncoder, height: usize, width: usize) {
    let images = images(height, width);
    let y = net.forward_train(&images, &mut no_draws).unwrap();
    gradients(key, &y, &net.vars(), str::to_owned);
    assert!(!net.forward(&images).unwrap().track_op(), "the evaluation pass keeps a graph");
    assert!(net.buffers().is_empty());
}

#[track_caller]
fn check_texts(key: &str, net: &dyn TrainableEncoder, texts: &[Vec<u32>]) {
    let texts = packed(texts);
    let y = net.forward_train(&texts, &mut no_draws).unwrap();
    gradients(key, &y, &net.vars(), str::to_owned);
    assert!(!net.forward(&texts).unwrap().track_op(), "the evaluation pass keeps a graph");
}

#[test]
fn clip_networks() {
    let weights = weights("clip");
    check_images("clip.image", clip::image(&weights, clip::OPENAI, trained()).unwrap().as_ref(), 48, 48);
    let mut ended = texts_below(WORDS - 2);
    ended.iter_mut().for_each(|text| *text.last_mut().unwrap() = WORDS as u32 - 1);
    check_texts("clip.text", clip::text(&weights, clip::OPENAI, trained()).unwrap().as_ref(), &ended);
}

#[test]
fn siglip_networks() {
    let weights = weights("siglip");
    check_images("siglip.image", siglip::image(&weights, trained()).unwrap().as_ref(), 48, 48);
    let mut filled = texts();
    filled.iter_mut().for_each(|text| text.resize(POSITIONS, 1));
    check_texts("siglip.text", siglip::text(&weights, trained()).unwrap().as_ref(), &filled);
}

/// With interpolated positions.
#[test]
fn dinov2_network() {
    let net = dinov2::image(&weights("dinov2"), trained()).unwrap();
    check_images("dinov2", net.as_ref(), 42, 56);
}

#[test]
fn bert_with_dropout() {
    check("bert", str::to_owned);
}

#[test]
fn distilbert_with_dropout() {
    let names = [
        ("attention.self.query", "attention.q_lin"),
        ("attention.self.key", "attention.k_lin"),
        ("attention.self.value", "attention.v_lin"),
        ("attention.output.dense", "attention.out_lin"),
        ("attention.output.LayerNorm", "sa_layer_norm"),
        ("output.LayerNorm", "output_layer_norm"),
        ("intermediate.dense", "ffn.lin1"),
        ("output.dense", "ffn.lin2"),
    ];
    check("distilbert", |name| {
        let layer = name.replace("encoder.layer", "transformer.layer");
        names.iter().fold(layer, |name, (bert, distilled)| name.replace(bert, distilled))
    });
}

/// What each dropout draws is in the order of the texts, so that parts of a batch can go on where earlier ones ended.
#[test]
fn parts_of_a_batch_continue_its_dropout() {
    let (net, texts) = (open("bert", Pooling::Mean), texts());
    let whole = values(&net.forward_train(&packed(&texts), &mut draws).unwrap());
    let mut drawn: HashMap<String, usize> = HashMap::new();
    let mut continued = |layer: &str, count: usize| {
        let before = drawn.entry(layer.to_owned()).or_default();
        let mut stream = draws(layer, count);
        stream.skip(*before);
        *before += count;
        stream
    };
    let (first, rest) = texts.split_at(1);
    let mut parts = values(&net.forward_train(&packed(first), &mut continued).unwrap());
    parts.extend(values(&net.forward_train(&packed(rest), &mut continued).unwrap()));
    assert_eq!(whole.len(), parts.len());
    assert!(whole.iter().zip(&parts).all(|(a, b)| (a - b).abs() < 1e-6), "{whole:?} {parts:?}");
    let restarted = values(&net.forward_train(&packed(rest), &mut draws).unwrap());
    assert!(parts.iter().rev().zip(restarted.iter().rev()).any(|(a, b)| (a - b).abs() > 1e-3));
}

/// Whichever pooling there is, no variable is left without a gradient.
#[test]
fn every_variable_gets_a_gradient() {
    for pooling in [Pooling::Mean, Pooling::First, Pooling::Pooler] {
        let net = open("bert", pooling);
        let y = net.forward_train(&packed(&[vec![1, 2, 3], vec![4]]), &mut draws).unwrap();
        let grads = backward(&y.sqr().unwrap().sum_all().unwrap()).unwrap();
        for (name, var) in net.vars() {
            assert!(grads.get(&var).is_some(), "{pooling:?}: `{name}` has no gradient");
        }
        assert_eq!(pooling == Pooling::Pooler, net.vars().iter().any(|(name, _)| name.starts_with("pooler.")));
    }
}

#[test]
fn every_text_encoder_trains() {
    assert!(ENCODERS.iter().filter(|entry| entry.text().is_some()).all(EncoderEntry::is_trainable));
}
