//! Small encoders against Hugging Face's (`golden_encoders.py`), and the registered ones' checks of their weights.

mod formula;

use candle_core::{DType, Tensor};
use formula::encoders::tensors;
use hashlab_encoders::{
    ENCODERS, Encoder, EncoderEntry, EncoderError, Mode, Place, Pooling, TrainableEncoder, Weights, bert, clip, dinov2,
    find_image, find_text, siglip, token_tensor,
};
use hashlab_kernels::device;
use hashlab_kernels::threads::serial;

/// Tensors by name, as in the published files of each family.
type Tensors = Vec<(String, formula::Tensor)>;

const WORDS: usize = 60;
const POSITIONS: usize = 12;
const SIDE: usize = 48;
const LENGTHS: [usize; 4] = [5, 12, 2, 7];

fn place() -> Place<'static> {
    device::for_tests().into()
}

fn frozen() -> Mode<'static> {
    Mode::Frozen(place())
}

fn weights(tensors: &Tensors) -> Weights {
    Weights::from_bytes(&formula::file(tensors, &[("format", "pt")])).unwrap()
}

fn images(height: usize, width: usize) -> Tensor {
    let pixels: Vec<f32> = formula::numbers("images", 2 * height * width * 3).map(|u| u as f32).collect();
    Tensor::from_vec(pixels, (2, height, width, 3), device::for_tests()).unwrap()
}

/// Token ids below `words` of texts of [`LENGTHS`], the rest under the mask of golden_encoders.py left out.
fn texts(words: usize) -> Vec<Vec<u32>> {
    let ids: Vec<u32> =
        formula::numbers("ids", LENGTHS.len() * POSITIONS).map(|u| ((u + 1.0) / 2.0 * words as f64) as u32).collect();
    ids.chunks(POSITIONS).zip(LENGTHS).map(|(ids, len)| ids[..len].to_vec()).collect()
}

/// Texts that end in the last word, as CLIP's do.
fn ended() -> Vec<Vec<u32>> {
    let mut texts = texts(WORDS - 2);
    texts.iter_mut().for_each(|text| *text.last_mut().unwrap() = WORDS as u32 - 1);
    texts
}

fn encode(encoder: &dyn Encoder, texts: &[Vec<u32>]) -> candle_core::Result<Tensor> {
    encoder.forward(&token_tensor(texts, texts.iter().map(Vec::len).max().unwrap_or(0))?)
}

fn values(t: &Tensor) -> Vec<f32> {
    t.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Asserts that the difference is below `tolerance` of the norm.
#[track_caller]
fn close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f32) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let (found, expected) = (values(found), values(expected));
    let error: f32 = found.iter().zip(&expected).map(|(f, e)| (f - e).powi(2)).sum();
    let norm: f32 = expected.iter().map(|e| e.powi(2)).sum();
    assert!(norm > 0.0 && error.sqrt() < tolerance * norm.sqrt(), "{what}: relative error {}", (error / norm).sqrt());
}

/// Compares with stored features.
#[track_caller]
fn check(what: &str, found: &Tensor) {
    assert!(!found.track_op(), "a frozen network keeps a graph");
    close(what, found, &formula::stored("golden_encoders")[what], 1e-5);
}

#[test]
fn clip() {
    let weights = weights(&tensors("clip"));
    let image = clip::image(&weights, clip::OPENAI, frozen()).unwrap();
    check("clip.image", &image.forward(&images(SIDE, SIDE)).unwrap());
    assert_eq!((image.dim(), image.normalize()), (24, clip::NORMALIZE));
    let text = clip::text(&weights, clip::OPENAI, frozen()).unwrap();
    check("clip.text", &encode(text.as_ref(), &ended()).unwrap());
    assert_eq!(text.dim(), 24);
}

/// The same weights with the exact function as activation.
#[test]
fn laion_clip() {
    let weights = weights(&tensors("clip"));
    let image = clip::image(&weights, clip::LAION, frozen()).unwrap();
    check("laion.image", &image.forward(&images(SIDE, SIDE)).unwrap());
    let text = clip::text(&weights, clip::LAION, frozen()).unwrap();
    check("laion.text", &encode(text.as_ref(), &ended()).unwrap());
}

#[test]
fn siglip() {
    let weights = weights(&tensors("siglip"));
    let image = siglip::image(&weights, frozen()).unwrap();
    check("siglip.image", &image.forward(&images(SIDE, SIDE)).unwrap());
    assert_eq!((image.dim(), image.normalize()), (128, siglip::NORMALIZE));
    let text = siglip::text(&weights, frozen()).unwrap();
    let mut filled = texts(WORDS);
    filled.iter_mut().for_each(|text| text.resize(POSITIONS, 1));
    check("siglip.text", &encode(text.as_ref(), &filled).unwrap());
    assert_eq!(text.dim(), 40);
}

/// The size of the positions, a smaller one and one that is no multiple of a patch.
#[test]
fn dinov2() {
    let net = dinov2::image(&weights(&tensors("dinov2")), frozen()).unwrap();
    for (height, width) in [(70, 70), (42, 56), (99, 140)] {
        check(&format!("dinov2.{height}x{width}"), &net.forward(&images(height, width)).unwrap());
    }
    assert_eq!(net.dim(), 128);
}

#[test]
fn distilbert() {
    for (pooling, name) in [(Pooling::First, "distilbert.first"), (Pooling::Mean, "distilbert.mean")] {
        for prefix in ["", "distilbert."] {
            let named = tensors("distilbert").into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor));
            let net = bert::text(&weights(&named.collect()), 2, pooling, frozen()).unwrap();
            check(name, &encode(net.as_ref(), &texts(WORDS)).unwrap());
        }
    }
}

/// A text's features through either interface, and by each pooling.
#[test]
fn texts_without_padding_are_those_with_padding() {
    let sizes = formula::bert::Sizes { words: WORDS, positions: POSITIONS, dim: 48, hidden: 80, blocks: 2 };
    let weights = weights(&formula::bert::tensors(sizes));
    let padded = hashlab_encoders::Bert::open(&weights, 12, device::for_tests()).unwrap();
    let texts = texts(WORDS);
    let ids: Vec<u32> = texts.iter().flat_map(|text| (0..POSITIONS).map(|i| *text.get(i).unwrap_or(&0))).collect();
    let mask: Vec<u32> = texts.iter().flat_map(|text| (0..POSITIONS).map(|i| u32::from(i < text.len()))).collect();
    let [ids, mask] = [ids, mask].map(|x| Tensor::from_vec(x, (texts.len(), POSITIONS), device::for_tests()).unwrap());
    let hidden = padded.forward(&ids, &mask).unwrap();
    let row = |at: &dyn Fn(usize) -> usize| {
        let rows = (0..texts.len()).map(|text| hidden.get(text).unwrap().get(at(texts[text].len())).unwrap());
        Tensor::stack(&rows.collect::<Vec<_>>(), 0).unwrap()
    };
    for (pooling, expected) in [
        (Pooling::Mean, bert::mean(&hidden, &mask).unwrap()),
        (Pooling::First, row(&|_| 0)),
        (Pooling::Last, row(&|len| len - 1)),
        (Pooling::Pooler, padded.pooled(&hidden).unwrap()),
    ] {
        let net = bert::text(&weights, 12, pooling, frozen()).unwrap();
        close(&format!("{pooling:?}"), &encode(net.as_ref(), &texts).unwrap(), &expected, 1e-6);
    }
}

/// Alone or in a batch, on one thread or several.
#[test]
fn features_of_an_item_depend_on_it_alone() {
    if !device::for_tests().is_cpu() {
        return; // a GPU chooses how to multiply by the shape, the batch included
    }
    let bits = |t: &Tensor| values(t).into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let nets: [(Box<dyn TrainableEncoder>, usize); 3] = [
        (clip::image(&weights(&tensors("clip")), clip::OPENAI, frozen()).unwrap(), SIDE),
        (siglip::image(&weights(&tensors("siglip")), frozen()).unwrap(), SIDE),
        (dinov2::image(&weights(&tensors("dinov2")), frozen()).unwrap(), 56),
    ];
    for (net, side) in nets {
        let images = images(side, side);
        let together = net.forward(&images).unwrap();
        let alone = serial(|| net.forward(&images.narrow(0, 1, 1).unwrap())).unwrap();
        assert_eq!(bits(&together.narrow(0, 1, 1).unwrap()), bits(&alone), "{}", net.name());
        assert_eq!(bits(&together), bits(&pool.install(|| net.forward(&images)).unwrap()), "{}", net.name());
    }
    let texts = ended();
    let net = clip::text(&weights(&tensors("clip")), clip::OPENAI, frozen()).unwrap();
    let together = encode(net.as_ref(), &texts).unwrap();
    let alone = serial(|| encode(net.as_ref(), &texts[1..2])).unwrap();
    assert_eq!(bits(&together.narrow(0, 1, 1).unwrap()), bits(&alone));
}

#[test]
fn half_precision_stays_near() {
    let image = |family: &str, dtype: DType, side: usize| {
        let (weights, mode) = (weights(&tensors(family)), Mode::Frozen(Place { device: device::for_tests(), dtype }));
        let net = match family {
            "clip" => clip::image(&weights, clip::OPENAI, mode),
            "siglip" => siglip::image(&weights, mode),
            _ => dinov2::image(&weights, mode),
        };
        net.unwrap().forward(&images(side, side).to_dtype(dtype).unwrap()).unwrap()
    };
    for (family, side) in [("clip", SIDE), ("siglip", SIDE), ("dinov2", 56)] {
        close(family, &image(family, DType::BF16, side), &image(family, DType::F32, side), 0.05);
    }
}

/// Half of a file, either half, and the names that transformers 5 writes.
#[test]
fn files_of_one_network_are_understood() {
    let of = |family: &str, start: &str| {
        let kept = tensors(family).into_iter().filter(|(name, _)| name.starts_with(start));
        weights(&kept.collect())
    };
    assert!(
        clip::image(&of("clip", "vi"), clip::OPENAI, frozen()).is_ok()
            && clip::text(&of("clip", "text"), clip::OPENAI, frozen()).is_ok()
    );
    assert!(siglip::image(&of("siglip", "vision"), frozen()).is_ok());
    assert!(siglip::text(&of("siglip", "text"), frozen()).is_ok());
    let renamed = tensors("dinov2").into_iter().map(|(name, tensor)| {
        let name = name.replace("attention.attention.query", "attention.q_proj");
        let name = name.replace("attention.attention.key", "attention.k_proj");
        let name = name.replace("attention.attention.value", "attention.v_proj");
        (format!("dinov2.{}", name.replace("attention.output.dense", "attention.o_proj")), tensor)
    });
    let net = dinov2::image(&weights(&renamed.collect()), frozen()).unwrap();
    check("dinov2.70x70", &net.forward(&images(70, 70)).unwrap());
}

#[test]
fn mistakes_are_errors() {
    fn message<T>(result: Result<T, EncoderError>) -> String {
        result.map(|_| ()).unwrap_err().to_string()
    }
    let clip_weights = weights(&tensors("clip"));
    let net = clip::image(&clip_weights, clip::OPENAI, frozen()).unwrap();
    let size = net.forward(&images(64, SIDE)).unwrap_err().to_string();
    assert!(size.contains("48 by 48") && size.contains("64 by 48"), "{size}");
    let text = clip::text(&clip_weights, clip::OPENAI, frozen()).unwrap();
    let error = |texts: &[&[u32]]| text.forward(&token_tensor(texts, 13).unwrap()).unwrap_err().to_string();
    assert!(error(&[&[1; 13]]).contains("13 tokens, where 12 are the most"));
    assert!(error(&[&[1], &[60]]).contains("token 60 is not in a vocabulary of 60"));
    assert!(error(&[&[1], &[]]).contains("text 1 has no tokens"));

    for family in ["clip", "siglip", "dinov2", "distilbert"] {
        let mut more = tensors(family);
        more.push(("novelty.weight".into(), more[1].1.clone()));
        let weights = weights(&more);
        let message = match family {
            "clip" => {
                message(clip::image(&weights, clip::OPENAI, frozen()))
                    + &message(clip::text(&weights, clip::OPENAI, frozen()))
            }
            "siglip" => message(siglip::image(&weights, frozen())) + &message(siglip::text(&weights, frozen())),
            "dinov2" => message(dinov2::image(&weights, frozen())),
            _ => message(bert::text(&weights, 2, Pooling::Mean, frozen())),
        };
        assert!(message.contains("`novelty.weight`"), "{message}");
    }
    let other = weights(&tensors("distilbert"));
    assert!(message(clip::image(&other, clip::OPENAI, frozen())).contains("starts with tensor `vision_model"));
    assert!(message(siglip::text(&other, frozen())).contains("starts with tensor `text_model"));
    assert!(message(dinov2::image(&clip_weights, frozen())).contains("starts with tensor `embeddings.cls_token`"));
    let base = weights(&formula::bert::tensors(formula::bert::Sizes {
        words: WORDS,
        positions: POSITIONS,
        dim: 48,
        hidden: 80,
        blocks: 1,
    }));
    let unsegmented: Tensors = formula::bert::tensors(formula::bert::Sizes {
        words: WORDS,
        positions: POSITIONS,
        dim: 48,
        hidden: 80,
        blocks: 1,
    })
    .into_iter()
    .filter(|(name, _)| !name.contains("token_type"))
    .collect();
    assert!(message(bert::text(&weights(&unsegmented), 12, Pooling::Mean, frozen())).contains("token_type"));
    let bert = find_text("bert_base").unwrap();
    let message = message(bert.open(Some(&base), Pooling::Mean, place()));
    assert!(message.contains("48 features") && message.contains("768"), "{message}");
}

/// Files of the published shapes are opened, and features have the registered length.
#[test]
fn registered_networks_open_their_files() {
    for name in ["clip_vit_b_32", "laion_clip_vit_b_32", "siglip_base_16", "dinov2_s_14"] {
        let entry = find_image(name).unwrap();
        let net = (entry.open)(Some(&formula::weights(name, &[])), 0, place()).unwrap();
        assert_eq!((net.name(), net.dim(), net.normalize()), (name, entry.dim, entry.normalize));
        let side = entry.only_size.unwrap_or(98);
        assert_eq!(net.forward(&images(side, side)).unwrap().dims(), [2, entry.dim]);
    }
}

/// Two encoders that read the same files differ in what they compute.
#[test]
fn clip_of_laion_is_another_network_than_that_of_openai() {
    let weights = formula::weights("clip_vit_b_32", &[]);
    let [openai, laion] = ["clip_vit_b_32", "laion_clip_vit_b_32"].map(|name| {
        let network = (find_image(name).unwrap().open)(Some(&weights), 0, place()).unwrap();
        values(&network.forward(&images(224, 224)).unwrap())
    });
    assert_ne!(openai, laion);
    let weights = self::weights(&formula::encoders::published_text("clip"));
    let [openai, laion] = ["clip_vit_b_32", "laion_clip_vit_b_32"].map(|name| {
        let network = find_text(name).unwrap().open(Some(&weights), Pooling::Last, place()).unwrap();
        values(&encode(network.as_ref(), &ended()).unwrap())
    });
    assert_ne!(openai, laion);
}

/// A network of another size than the registered one is refused by its first tensors.
#[test]
fn registered_networks_know_their_sizes() {
    for (name, family) in [
        ("clip_vit_b_32", "clip"),
        ("clip_vit_b_16", "clip"),
        ("laion_clip_vit_b_32", "clip"),
        ("siglip_base_16", "siglip"),
        ("dinov2_s_14", "dinov2"),
        ("dinov2_b_14", "dinov2"),
    ] {
        let message = (find_image(name).unwrap().open)(Some(&weights(&tensors(family))), 0, place());
        let message = message.map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("128") && message.contains("expected ["), "{name}: {message}");
    }
    for entry in ENCODERS.iter().filter_map(EncoderEntry::text) {
        let family = match entry.name {
            name if name.contains("clip") => "clip",
            name if name.starts_with("siglip") => "siglip",
            _ => "distilbert",
        };
        let opened = entry.open(Some(&weights(&tensors(family))), entry.poolings[0], place());
        assert!(opened.map(|_| ()).is_err(), "{}", entry.name);
        assert_eq!(find_text(entry.name).map(|found| found.dim), Some(entry.dim));
    }
}
