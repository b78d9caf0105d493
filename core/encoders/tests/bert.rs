//! Text encoders against Hugging Face's (`golden_bert.py`).

mod formula;

use candle_core::Tensor;
use formula::bert::Sizes;
use hashlab_encoders::bert::{Bert, mean};
use hashlab_encoders::{EncoderError, Weights};
use hashlab_kernels::threads::serial;
use hashlab_kernels::{backward, device};
use safetensors::Dtype;

type Tensors = Vec<(String, formula::Tensor)>;

const HEADS: usize = 12;
/// all-MiniLM-L6-v2 and bert-base-uncased, with fewer words and layers.
const MINILM: Sizes = Sizes { words: 100, positions: 64, dim: 384, hidden: 1536, blocks: 6 };
const BASE: Sizes = Sizes { words: 100, positions: 64, dim: 768, hidden: 3072, blocks: 2 };
const SMALL: Sizes = Sizes { words: 100, positions: 64, dim: 48, hidden: 80, blocks: 2 };
const EQUAL: [usize; 3] = [20, 20, 20];
const PADDED: [usize; 4] = [5, 33, 1, 20];

fn weights(tensors: &Tensors) -> Weights {
    Weights::from_bytes(&formula::file(tensors, &[("format", "pt")])).unwrap()
}

fn open(tensors: &Tensors) -> Result<Bert, EncoderError> {
    Bert::open(&weights(tensors), HEADS, device::for_tests())
}

/// Token ids and mask of texts of these lengths.
fn tokens(lengths: &[usize]) -> [Tensor; 2] {
    let shape = (lengths.len(), *lengths.iter().max().unwrap());
    let ids: Vec<u32> =
        formula::numbers("ids", shape.0 * shape.1).map(|u| ((u + 1.0) / 2.0 * MINILM.words as f64) as u32).collect();
    let mask: Vec<u32> = lengths.iter().flat_map(|len| (0..shape.1).map(move |i| u32::from(i < *len))).collect();
    [ids, mask].map(|values| Tensor::from_vec(values, shape, device::for_tests()).unwrap())
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// The elements that `part` of golden_bert.py takes.
fn part(t: &Tensor) -> Vec<f32> {
    let all = values(t);
    let step = (all.len() / 200).max(1) | 1;
    all.into_iter().step_by(step).collect()
}

/// Asserts that the difference is below `tolerance` of the norm.
#[track_caller]
fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let error: f32 = found.iter().zip(expected).map(|(f, e)| (f - e).powi(2)).sum();
    let norm: f32 = expected.iter().map(|e| e.powi(2)).sum();
    assert!(norm > 0.0 && error.sqrt() < tolerance * norm.sqrt(), "{what}: relative error {}", (error / norm).sqrt());
}

/// Compares hidden states and both poolings of `net` with the stored ones.
#[track_caller]
fn check(net: &Bert, name: &str) {
    let golden = formula::stored("golden_bert");
    for (batch, lengths) in [("equal", &EQUAL[..]), ("padded", &PADDED)] {
        let [ids, mask] = tokens(lengths);
        let hidden = net.forward(&ids, &mask).unwrap();
        assert_eq!(hidden.dims(), [ids.dims(), &[net.dim()]].concat());
        assert!(!hidden.track_op(), "the evaluation pass keeps a graph");
        let found = [("mean", mean(&hidden, &mask)), ("pooled", net.pooled(&hidden)), ("hidden", Ok(hidden))];
        for (what, found) in found {
            let key = format!("{name}.{batch}.{what}");
            close(&key, &part(&found.unwrap()), &values(&golden[&key]), 1e-5);
        }
    }
}

#[test]
fn frozen_encoders() {
    check(&open(&formula::bert::tensors(MINILM)).unwrap(), "minilm");
    check(&open(&formula::bert::tensors(BASE)).unwrap(), "base");
}

#[test]
fn trained_encoders() {
    for (name, sizes) in [("minilm", MINILM), ("base", BASE)] {
        let tensors = formula::bert::tensors(sizes);
        let net = Bert::train(&weights(&tensors), HEADS, device::for_tests()).unwrap();
        check(&net, name);
        gradients(&net, name);
        let names: Vec<String> = net.vars().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, tensors.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
}

/// Compares the gradients of every parameter with the stored ones.
#[track_caller]
fn gradients(net: &Bert, name: &str) {
    let golden = formula::stored("golden_bert");
    let [ids, mask] = tokens(&PADDED);
    let hidden = net.forward_train(&ids, &mask).unwrap();
    let loss = |direction: &str, y: Tensor| {
        let direction: Vec<f32> = formula::numbers(direction, y.elem_count()).map(|u| u as f32).collect();
        (&y * Tensor::from_vec(direction, y.dims(), device::for_tests()).unwrap()).unwrap().sum_all().unwrap()
    };
    let [mean, pooled] = [mean(&hidden, &mask).unwrap(), net.pooled(&hidden).unwrap()];
    let grads = backward(&(loss("mean", mean) + loss("pooled", pooled)).unwrap()).unwrap();
    let norms = values(&golden[&format!("{name}.norms")]);
    let largest = norms.iter().fold(0f32, |a, b| a.max(*b));
    let vars = net.vars();
    assert_eq!(norms.len(), vars.len());
    for ((parameter, var), expected) in vars.iter().zip(norms) {
        let gradient = grads.get(var).unwrap();
        let found = values(gradient).into_iter().map(|g| f64::from(g).powi(2)).sum::<f64>().sqrt() as f32;
        // The bias of a key adds the same to all products of a query, so its gradient is 0.
        let zero = parameter.ends_with("key.bias");
        assert!(zero == (expected < 1e-9 * largest), "{parameter}: {expected}");
        let tolerance = 1e-4 * if zero { largest } else { expected };
        assert!((found - expected).abs() < tolerance, "{parameter}: {found} against {expected}");
        if let Some(expected) = golden.get(&format!("{name}.gradient.{parameter}")) {
            close(parameter, &part(gradient), &values(expected), 1e-4);
        }
    }
}

/// Bit for bit, alone or in a batch, on one thread or several.
#[test]
fn features_depend_on_a_texts_tokens_alone() {
    if !device::for_tests().is_cpu() {
        return; // a GPU chooses how to multiply by the shape, the batch included
    }
    let net = open(&formula::bert::tensors(SMALL)).unwrap();
    let [ids, mask] = tokens(&PADDED);
    let bits = |t: &Tensor| values(t).into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let together = net.forward(&ids, &mask).unwrap();
    for (text, len) in PADDED.into_iter().enumerate() {
        let [ids, mask] = [&ids, &mask].map(|t| t.narrow(0, text, 1).unwrap().narrow(1, 0, len).unwrap());
        let alone = serial(|| net.forward(&ids, &mask)).unwrap();
        assert_eq!(bits(&together.narrow(0, text, 1).unwrap().narrow(1, 0, len).unwrap()), bits(&alone), "{text}");
        let padding = together.narrow(0, text, 1).unwrap().narrow(1, len, ids.dim(1).unwrap().max(33) - len).unwrap();
        assert!(values(&padding).into_iter().all(|x| x == 0.0));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    assert_eq!(bits(&together), bits(&pool.install(|| net.forward(&ids, &mask)).unwrap()));
}

/// The names of files that hold more than the encoder, those of TensorFlow's parameters, and encoders without pooler.
#[test]
fn names_are_understood_in_every_form() {
    let plain = formula::bert::tensors(SMALL);
    let [ids, mask] = tokens(&PADDED);
    let features = |tensors: &Tensors| {
        let net = open(tensors).unwrap();
        let hidden = net.forward(&ids, &mask).unwrap();
        (values(&hidden), net.pooled(&hidden).map(|y| values(&y)))
    };
    let rename = |name: &str| {
        let name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        format!("bert.{name}")
    };
    let mut other: Tensors = plain.iter().map(|(name, tensor)| (rename(name), tensor.clone())).collect();
    other.push(("cls.predictions.bias".into(), plain[3].1.clone()));
    let counter = formula::Tensor { dtype: Dtype::I64, shape: vec![1, 1], bytes: vec![0; 8] };
    other.push(("bert.embeddings.position_ids".into(), counter));
    let (expected, pooled) = features(&plain);
    let found = features(&other);
    assert_eq!((&found.0, found.1.unwrap()), (&expected, pooled.unwrap()));
    let headless = plain.into_iter().filter(|(name, _)| !name.starts_with("pooler")).collect();
    let found = features(&headless);
    assert_eq!(found.0, expected);
    assert!(found.1.unwrap_err().to_string().contains("no pooler"));
}

#[test]
fn mistakes_are_errors() {
    let plain = formula::bert::tensors(SMALL);
    let message = |result: Result<Bert, EncoderError>| result.map(|_| ()).unwrap_err().to_string();
    assert!(message(Bert::open(&weights(&plain), 7, device::for_tests())).contains("48 features cannot have 7 heads"));
    let without = |name: &str| plain.iter().filter(|(n, _)| n != name).cloned().collect::<Tensors>();
    let missing = "encoder.layer.1.attention.self.value.bias";
    assert!(message(open(&without(missing))).contains(&format!("`{missing}` is missing")));
    let words = without("embeddings.word_embeddings.weight");
    assert!(message(open(&words)).contains("starts with tensor `embeddings.word_embeddings"));

    let net = open(&plain).unwrap();
    let message = |ids: &Tensor, mask: &Tensor| net.forward(ids, mask).unwrap_err().to_string();
    let [ids, mask] = tokens(&PADDED);
    assert!(message(&ids, &mask.narrow(1, 0, 20).unwrap()).contains("[4, 20]"));
    assert!(message(&ids, &mask.zeros_like().unwrap()).contains("text 0 has no tokens"));
    let [long, present] = tokens(&[SMALL.positions + 1]);
    assert!(message(&long, &present).contains("at most 64 tokens"));
    assert!(message(&(ids + 100.0).unwrap(), &mask).contains("not in a vocabulary of 100"));
}
