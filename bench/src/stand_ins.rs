//! What tests have in place of public files: the program with small data sets, and random weights of published shapes.

use std::path::PathBuf;

use hashlab_data::{
    ByModality, DataDirs, DataError, DataKind, Dataset, DatasetEntry, DatasetInfo, DatasetSource, DatasetSummary,
    ItemData, Labels, Modality, Protocol, Split,
};
use hashlab_datasets::{DATASETS, SMALL, cifar10, fashion_products};
use hashlab_encoders::{ENCODERS, EncoderEntry, ImageEntry, TextEntry};
use serde_json::json;

use crate::formula;

/// The sets of [`DATASETS`], smaller: those whose files are put in place by hand have a five-hundredth of their items, and
/// items of the fetched ones are generated, once their files are there. Digests of files are unknown.
pub fn datasets() -> &'static [DatasetEntry] {
    let fetched = [DatasetEntry::of::<Cifar10>(), DatasetEntry::of::<Products>()];
    let small: Vec<DatasetEntry> = fetched.into_iter().chain(SMALL.iter().copied()).collect();
    let named = |entry: &DatasetEntry| small.iter().find(|other| other.summary.name == entry.summary.name).copied();
    let mut all: Vec<DatasetEntry> = DATASETS.iter().map(|entry| named(entry).unwrap_or(*entry)).collect();
    all.iter_mut().for_each(|entry| entry.published = entry.published.map(unverified));
    all.leak()
}

/// Every encoder; digests of files are unknown.
pub fn encoders() -> &'static [EncoderEntry] {
    let of = |entry: &EncoderEntry| match entry {
        EncoderEntry::Image(image) => {
            EncoderEntry::Image(ImageEntry { published: image.published.map(unverified), ..*image })
        }
        EncoderEntry::Text(text) => {
            EncoderEntry::Text(TextEntry { published: text.published.map(unverified), ..*text })
        }
    };
    ENCODERS.iter().map(of).collect::<Vec<_>>().leak()
}

fn unverified(published: hashlab_hub::Published) -> hashlab_hub::Published {
    let without = |file: &hashlab_hub::File| hashlab_hub::File { sha256: None, ..*file };
    hashlab_hub::Published { files: published.files.iter().map(without).collect::<Vec<_>>().leak(), ..published }
}

/// The bytes that a hub has at a path such as `/timm/resnet50.tv_in1k/resolve/main/model.safetensors`; `None` if no
/// encoder and no data set publishes them.
///
/// # Panics
/// If the formulas know no weights of an encoder.
pub fn file(path: &str) -> Option<Vec<u8>> {
    let (repo, rest) = path.trim_start_matches('/').split_once("/resolve/")?;
    let (_, name) = rest.split_once('/')?;
    let has = |published: Option<&hashlab_hub::Published>| {
        published
            .is_some_and(|published| published.repo == repo && published.files.iter().any(|file| file.name == name))
    };
    if let Some(repo) = repo.strip_prefix("datasets/") {
        let is = |entry: &&DatasetEntry| entry.published.is_some_and(|published| published.repo == repo);
        return DATASETS.iter().find(is).map(|entry| format!("a file of {}", entry.summary.name).into_bytes());
    }
    let entry = ENCODERS.iter().find(|entry| has(entry.published()))?;
    Some(match (name, entry.name()) {
        ("tokenizer.json", name) if name.contains("clip") => CLIP_TOKENIZER.into(),
        ("tokenizer.json", _) => word_pieces().to_string().into_bytes(),
        (_, "minilm") => formula::file(&formula::bert::tensors(MINILM), &[]),
        (_, "bert_base") => formula::file(&formula::bert::tensors(BERT_BASE), &[]),
        (_, name) if name.contains("clip") => formula::file(&clip(name), &[]),
        (_, name) => formula::file(&formula::tensors(name), &[]),
    })
}

const MINILM: formula::bert::Sizes =
    formula::bert::Sizes { words: WORDS.len(), positions: 512, dim: 384, hidden: 1536, blocks: 6 };

const BERT_BASE: formula::bert::Sizes =
    formula::bert::Sizes { words: WORDS.len(), positions: 512, dim: 768, hidden: 3072, blocks: 12 };

/// The words of a small tokenizer; what it does not know is `[UNK]`.
const WORDS: [&str; 11] =
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "and", "red", "green", "circle", "square"];

const CLIP_TOKENIZER: &str = include_str!("../../core/encoders/tests/clip_tokenizer.json");
const CLIP_WORDS: usize = 534;

/// Both networks of CLIP, the image's in the published sizes.
fn clip(name: &str) -> Vec<(String, formula::Tensor)> {
    let mut all = formula::tensors(name);
    all.extend(formula::encoders::published_text("clip"));
    let words = all.iter_mut().find(|(name, _)| name.ends_with("token_embedding.weight"));
    let (_, words) = words.expect("a text network has words");
    let row = words.bytes.len() / words.shape[0];
    words.bytes = words.bytes.iter().copied().cycle().take(CLIP_WORDS * row).collect();
    words.shape[0] = CLIP_WORDS;
    all
}

/// A tokenizer of BERT's kind.
fn word_pieces() -> serde_json::Value {
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        (0..).zip(WORDS).map(|(id, word): (u32, &str)| (word.to_owned(), id.into())).collect();
    json!({
        "version": "1.0",
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": true,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary,
        },
    })
}

/// Generated items under the name and the protocols of a public set.
struct StandIn {
    info: DatasetInfo,
    shapes: Box<dyn Dataset>,
}

impl StandIn {
    /// 400 items, once the files of the set are there: a graph of 128 eigenvectors needs more than twice as many.
    fn open(entry: DatasetEntry, protocols: Vec<Protocol>, modalities: &[Modality], dirs: &DataDirs) -> Opened {
        for file in entry.published.iter().flat_map(|published| published.files) {
            let looked: Vec<PathBuf> = dirs.search.iter().map(|dir| dir.join(file.place)).collect();
            if !looked.iter().any(|place| place.exists()) {
                return Err(DataError::Missing { what: file.name.into(), looked, help: "fetch it".into() });
            }
        }
        let settings = json!({"items": 400, "size": 16});
        let shapes = DATASETS.iter().find(|entry| entry.summary.name == "shapes").expect("a registered data set");
        let shapes = shapes.open(settings.as_object().expect("a table"), dirs)?;
        let kinds = [(Modality::Image, DataKind::Pixels), (Modality::Text, DataKind::Texts)];
        let mut own = ByModality::default();
        for (modality, kind) in kinds.into_iter().filter(|(modality, _)| modalities.contains(modality)) {
            own.insert(modality, kind);
        }
        let info = DatasetInfo { modalities: own, protocols, ..shapes.info().clone() };
        Ok(Box::new(Self { info, shapes }))
    }
}

type Opened = Result<Box<dyn Dataset>, DataError>;

impl Dataset for StandIn {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn labels(&self) -> &Labels {
        self.shapes.labels()
    }

    fn data(&self, modality: Modality) -> Option<ItemData<'_>> {
        self.info.modalities.get(modality).and_then(|_| self.shapes.data(modality))
    }

    fn digest(&self) -> Result<&str, DataError> {
        Ok(&self.info.identity)
    }

    fn split(&self, protocol: &str, split_seed: u64) -> Result<Split, DataError> {
        self.info.protocol(protocol)?;
        self.shapes.split(&self.shapes.info().protocols[0].name, split_seed)
    }

    fn found_at(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

struct Cifar10;

impl DatasetSource for Cifar10 {
    const SUMMARY: DatasetSummary = cifar10::Cifar10::SUMMARY;
    const PUBLISHED: Option<hashlab_hub::Published> = cifar10::Cifar10::PUBLISHED;
    type Settings = <cifar10::Cifar10 as DatasetSource>::Settings;

    fn open(settings: &Self::Settings, dirs: &DataDirs) -> Opened {
        let protocols = cifar10::Cifar10::declared(settings).map(|info| info.protocols).unwrap_or_default();
        StandIn::open(DatasetEntry::of::<Self>(), protocols, &[Modality::Image], dirs)
    }
}

struct Products;

impl DatasetSource for Products {
    const SUMMARY: DatasetSummary = fashion_products::FashionProducts::SUMMARY;
    const PUBLISHED: Option<hashlab_hub::Published> = fashion_products::FashionProducts::PUBLISHED;
    type Settings = fashion_products::Settings;

    fn open(_: &Self::Settings, dirs: &DataDirs) -> Opened {
        let protocols = vec![Protocol::new("drawn", "generated items", None)];
        StandIn::open(DatasetEntry::of::<Self>(), protocols, &[Modality::Image, Modality::Text], dirs)
    }
}
