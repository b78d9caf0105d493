//! Every registered encoder, on weights of the right shapes.

mod formula;

use candle_core::{DType, Tensor};
use formula::bert::Sizes;
use hashlab_encoders::{ENCODERS, EncoderEntry, Mode, Norm, Place, TextEntry, Weights, token_tensor};
use hashlab_kernels::threads::serial;
use hashlab_kernels::{backward, device};
use hashlab_rng::stream;

const ITEMS: usize = 3;

/// Weights of an encoder; those of texts have few words and blocks.
fn weights(entry: &EncoderEntry) -> Weights {
    let of_texts = |name: &str| match name {
        "minilm" => formula::bert::tensors(Sizes { words: 100, positions: 512, dim: 384, hidden: 96, blocks: 1 }),
        "bert_base" => formula::bert::tensors(Sizes { words: 100, positions: 512, dim: 768, hidden: 96, blocks: 1 }),
        "distilbert" => formula::encoders::published_text("distilbert"),
        "siglip_base_16" => formula::encoders::published_text("siglip"),
        name if name.contains("clip") => formula::encoders::published_text("clip"),
        other => panic!("no formula for `{other}`"),
    };
    match entry {
        EncoderEntry::Image(image) => formula::weights(image.name, &[]),
        EncoderEntry::Text(text) => Weights::from_bytes(&formula::file(&of_texts(text.name), &[])).unwrap(),
    }
}

/// Items of an encoder: images of its size, or texts of different lengths, the last as long as may be.
fn items(entry: &EncoderEntry) -> Tensor {
    match entry {
        EncoderEntry::Image(image) => {
            let size = image.only_size.unwrap_or(image.image_size.min(98));
            let pixels: Vec<f32> = formula::numbers("images", ITEMS * size * size * 3).map(|u| u as f32).collect();
            Tensor::from_vec(pixels, (ITEMS, size, size, 3), device::for_tests()).unwrap()
        }
        EncoderEntry::Text(text) => texts(text),
    }
}

fn texts(entry: &TextEntry) -> Tensor {
    let most = entry.positions;
    let lengths = if entry.padding.is_some() { [most; ITEMS] } else { [2, 9, most] };
    let ids: Vec<u32> = formula::numbers("ids", most).map(|u| ((u + 1.0) * 25.0) as u32).collect();
    let texts: Vec<Vec<u32>> =
        (0..).zip(lengths).map(|(at, len)| ids[..len].iter().map(|id| id + at).collect()).collect();
    token_tensor(&texts, most).unwrap()
}

#[test]
fn names_are_unique_within_a_modality() {
    for (at, entry) in ENCODERS.iter().enumerate() {
        let same =
            |other: &&EncoderEntry| other.name() == entry.name() && other.text().is_some() == entry.text().is_some();
        assert_eq!(ENCODERS[..at].iter().filter(same).count(), 0, "{}", entry.name());
    }
}

#[test]
fn features_are_finite_and_as_long_as_registered_and_of_an_item_alone() {
    for entry in ENCODERS {
        let weights = entry.needs_weights().then(|| weights(entry));
        let encoder = entry.open(weights.as_ref(), device::for_tests()).unwrap();
        let (name, items) = (entry.name(), items(entry));
        let features = encoder.forward(&items).unwrap();
        assert_eq!(features.dims(), [ITEMS, entry.dim()], "{name}");
        assert_eq!((encoder.name(), encoder.dim()), (name, entry.dim()));
        let rows: Vec<Vec<f32>> = features.to_vec2().unwrap();
        assert!(rows.iter().flatten().all(|value| value.is_finite()), "{name}");
        assert!(rows[0] != rows[1] && rows[1] != rows[2], "{name}: items have features of their own");
        if device::for_tests().is_cpu() {
            let alone = serial(|| encoder.forward(&items.narrow(0, 1, 1).unwrap())).unwrap();
            assert_eq!(alone.to_vec2::<f32>().unwrap()[0], rows[1], "{name}");
        }
    }
}

/// A text is cut at a number of tokens that its network has room for.
#[test]
fn texts_fit_into_the_network() {
    for entry in ENCODERS.iter().filter_map(EncoderEntry::text) {
        assert!(entry.max_tokens <= entry.positions && !entry.poolings.is_empty(), "{}", entry.name);
        assert!(entry.padding.is_none() || entry.max_tokens == entry.positions, "{}", entry.name);
    }
}

#[test]
fn every_pooling_of_a_text_encoder_can_be_trained() {
    for entry in ENCODERS {
        let EncoderEntry::Text(text) = entry else { continue };
        let weights = weights(entry);
        for &pooling in text.poolings {
            let trained = text.train(Some(&weights), pooling, device::for_tests().into()).unwrap();
            let frozen = text.open(Some(&weights), pooling, device::for_tests().into()).unwrap();
            assert!(!trained.vars().is_empty());
            let texts = texts(text).narrow(0, 0, 2).unwrap();
            let [trained, frozen]: [Vec<Vec<f32>>; 2] =
                [trained.forward(&texts), frozen.forward(&texts)].map(|features| features.unwrap().to_vec2().unwrap());
            for (found, expected) in trained.iter().flatten().zip(frozen.iter().flatten()) {
                assert!((found - expected).abs() < 1e-3, "{} by {}: {found} {expected}", text.name, pooling.name());
            }
        }
    }
}

/// A network that computes a training in bf16 has the features of the one in f32 but for rounding, and a gradient of
/// every variable.
#[test]
fn every_encoder_that_can_be_trained_can_be_in_bf16() {
    // Their layers are those of another encoder, in another number or size, and seconds matter.
    const ALIKE: [&str; 5] = ["resnet34", "resnet101", "dinov2_b_14", "clip_vit_b_16", "laion_clip_vit_b_32"];
    let trainable = ENCODERS.iter().filter(|entry| entry.is_trainable());
    for entry in trainable.filter(|entry| !ALIKE.contains(&entry.name())) {
        let weights = match entry.name() {
            "mobilenet_v2" => Some(formula::weights("mobilenet_v2.normed", &[])),
            _ => entry.needs_weights().then(|| weights(entry)),
        };
        let items = items(entry).narrow(0, 0, 1).unwrap();
        let pass = |dtype: DType| {
            let place = Place { device: device::for_tests(), dtype };
            let network = match entry {
                EncoderEntry::Image(image) => (image.train.unwrap())(weights.as_ref(), 0, Norm::Frozen, place),
                EncoderEntry::Text(text) => text.train(weights.as_ref(), text.poolings[0], place),
            };
            let network = network.unwrap();
            let items = if items.dtype().is_float() { items.to_dtype(dtype).unwrap() } else { items.clone() };
            let features = network.forward_train(&items, &mut |layer, _| stream(0, layer, &[])).unwrap();
            assert_eq!(features.dtype(), dtype);
            if dtype != DType::F32 {
                let gradients = backward(&features.sqr().unwrap().sum_all().unwrap()).unwrap();
                for (name, var) in network.vars() {
                    let gradient = gradients.get(&var).unwrap_or_else(|| panic!("`{name}` has no gradient"));
                    assert_eq!((var.dtype(), gradient.dtype()), (dtype, dtype), "{name}");
                }
            }
            let values = features.to_dtype(DType::F32).unwrap().flatten_all().unwrap();
            values.to_vec1::<f32>().unwrap()
        };
        let [exact, rounded] = [DType::F32, DType::BF16].map(pass);
        let error: f32 = exact.iter().zip(&rounded).map(|(e, r)| (e - r).powi(2)).sum();
        let error = (error / exact.iter().map(|e| e.powi(2)).sum::<f32>()).sqrt();
        assert!(error > 1e-4 && error < 0.1, "{}: relative error {error}", entry.name());
    }
}

/// The sizes of a network of texts are those of its file, and its features must be as long as registered.
#[test]
fn a_file_of_another_length_is_refused() {
    let small = formula::bert::tensors(Sizes { words: 100, positions: 64, dim: 48, hidden: 80, blocks: 1 });
    let weights = Weights::from_bytes(&formula::file(&small, &[])).unwrap();
    let place = device::for_tests();
    let network =
        hashlab_encoders::bert::text(&weights, 12, hashlab_encoders::Pooling::Mean, Mode::Frozen(place.into()));
    assert_eq!(network.unwrap().dim(), 48);
    let entry = hashlab_encoders::find_text("minilm").unwrap();
    let refused = entry.open(Some(&weights), entry.poolings[0], place.into()).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("48 features") && refused.contains("384"), "{refused}");
}

/// The files that the hub has hold more than an encoder: heads of the pre-training, both networks of a pair, counters.
#[test]
fn the_names_of_published_files_are_understood() {
    let as_published = |entry: &TextEntry| -> Vec<(String, formula::Tensor)> {
        let sizes = |dim| Sizes { words: 100, positions: 512, dim, hidden: 96, blocks: 1 };
        let head = |name: &str, shape: &[usize]| {
            let bytes = vec![0; 4 * shape.iter().product::<usize>()];
            (name.to_owned(), formula::Tensor { dtype: safetensors::Dtype::F32, shape: shape.to_vec(), bytes })
        };
        let ids = |name: &str| {
            let tensor = formula::Tensor { dtype: safetensors::Dtype::I64, shape: vec![1, 4], bytes: vec![0; 32] };
            (name.to_owned(), tensor)
        };
        let (mut tensors, more) = match entry.name {
            // all-MiniLM-L6-v2 as sentence-transformers saved it.
            "minilm" => (formula::bert::tensors(sizes(384)), vec![ids("embeddings.position_ids")]),
            // bert-base-uncased, converted from TensorFlow, with the heads of its pre-training.
            "bert_base" => {
                let named = |name: &str| {
                    let name = name.replace("LayerNorm.weight", "LayerNorm.gamma");
                    format!("bert.{}", name.replace("LayerNorm.bias", "LayerNorm.beta"))
                };
                let heads = vec![
                    head("cls.predictions.bias", &[100]),
                    head("cls.predictions.transform.LayerNorm.beta", &[768]),
                    head("cls.predictions.transform.LayerNorm.gamma", &[768]),
                    head("cls.predictions.transform.dense.bias", &[768]),
                    head("cls.predictions.transform.dense.weight", &[768, 768]),
                    head("cls.seq_relationship.bias", &[2]),
                    head("cls.seq_relationship.weight", &[2, 768]),
                ];
                (formula::bert::tensors(sizes(768)).into_iter().map(|(name, t)| (named(&name), t)).collect(), heads)
            }
            "distilbert" => {
                let named = |(name, tensor): (String, _)| (format!("distilbert.{name}"), tensor);
                let heads = vec![
                    head("vocab_layer_norm.bias", &[768]),
                    head("vocab_layer_norm.weight", &[768]),
                    head("vocab_projector.bias", &[100]),
                    head("vocab_transform.bias", &[768]),
                    head("vocab_transform.weight", &[768, 768]),
                ];
                (formula::encoders::published_text("distilbert").into_iter().map(named).collect(), heads)
            }
            name => {
                let mut pair = formula::encoders::published_text(if name.contains("clip") { "clip" } else { "siglip" });
                pair.extend(formula::encoders::published(name));
                let mut more = vec![head("logit_scale", &[]), ids("text_model.embeddings.position_ids")];
                more.push(ids("vision_model.embeddings.position_ids"));
                if name.starts_with("siglip") {
                    more.push(head("logit_bias", &[1]));
                }
                (pair, more)
            }
        };
        tensors.extend(more);
        tensors
    };
    for entry in ENCODERS.iter().filter(|entry| entry.published().is_some()) {
        let Some(text) = entry.text() else { continue };
        let weights = Weights::from_bytes(&formula::file(&as_published(text), &[])).unwrap();
        for &pooling in text.poolings {
            text.open(Some(&weights), pooling, device::for_tests().into()).map(|_| ()).unwrap();
        }
        let image = ENCODERS.iter().filter_map(EncoderEntry::image).find(|image| image.name == text.name);
        if let Some(image) = image {
            (image.open)(Some(&weights), 0, device::for_tests().into()).map(|_| ()).unwrap();
        }
    }
}
