//! Small files in the place of the public ones: the names, shapes and numbers of items that matter, and other numbers.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use hashlab_data::DatasetEntry;
use hashlab_encoders::{ENCODERS, EncoderEntry};
use hashlab_hub::{File, Published};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use sha2::{Digest as _, Sha256};

use crate::Registry;
use crate::hub::local::{Fault, LocalHub};

/// A hub with stand-ins for the public files that experiments need, and a registry that declares their digests.
pub(super) struct StandIns {
    pub(super) hub: LocalHub,
    pub(super) registry: Registry,
}

impl StandIns {
    pub(super) fn start() -> Self {
        let mut files = BTreeMap::new();
        let mut stand_in = |published: &Published, bytes: &dyn Fn(&str) -> Option<Vec<u8>>| -> Option<Published> {
            let mut declared = Vec::new();
            for (file, remote) in published.files.iter().zip(published.remotes()) {
                let bytes = bytes(file.name)?;
                let digest: &'static str = format!("{:x}", Sha256::digest(&bytes)).leak();
                declared.push(File { sha256: file.sha256.map(|_| digest), ..*file });
                files.insert(remote.url_at(""), bytes);
            }
            Some(Published { files: declared.leak(), ..*published })
        };
        let mut encoders = ENCODERS.to_vec();
        for entry in &mut encoders {
            let name = entry.name();
            let declared = match entry {
                EncoderEntry::Image(image) => &mut image.published,
                EncoderEntry::Text(text) => &mut text.published,
            };
            *declared = declared.as_ref().and_then(|published| stand_in(published, &|file| model(name, file)));
        }
        let mut datasets: Vec<DatasetEntry> = hashlab_datasets::DATASETS.to_vec();
        for entry in &mut datasets {
            let name = entry.summary.name;
            entry.published =
                entry.published.as_ref().and_then(|published| stand_in(published, &|file| data(name, file)));
        }
        let hub = LocalHub::with_files(Fault::None, Arc::new(move |path| files.get(path).cloned()));
        let registry = Registry {
            methods: hashlab_methods::METHODS,
            datasets: datasets.leak(),
            encoders: encoders.leak(),
            published: &[],
        };
        Self { hub, registry }
    }
}

/// A file of an encoder; `None` of those that no experiment names.
fn model(encoder: &str, file: &str) -> Option<Vec<u8>> {
    match (encoder, file) {
        ("mobilenet_v2", _) => Some(weights(mobilenet_v2())),
        ("minilm", "model.safetensors") => Some(weights(minilm())),
        ("minilm", _) => Some(tokenizer()),
        _ => None,
    }
}

/// Weights of zeros.
fn weights(shapes: Vec<(String, Vec<usize>)>) -> Vec<u8> {
    let zeros = |shape: Vec<usize>| Tensor::zeros(shape, DType::F16, &Device::Cpu).unwrap();
    let tensors: HashMap<String, Tensor> = shapes.into_iter().map(|(name, shape)| (name, zeros(shape))).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    candle_core::safetensors::save(&tensors, &path).unwrap();
    fs::read(path).unwrap()
}

/// timm's MobileNetV2 with its batch norms.
fn mobilenet_v2() -> Vec<(String, Vec<usize>)> {
    let mut all = Vec::new();
    let mut add = |conv: String, norm: String, shape: [usize; 4]| {
        all.push((format!("{conv}.weight"), shape.to_vec()));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            all.push((format!("{norm}.{part}"), vec![shape[0]]));
        }
    };
    add("conv_stem".into(), "bn1".into(), [32, 3, 3, 3]);
    let mut channels = 32;
    let stages = [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)];
    for (stage, (expansion, out, repeats)) in stages.into_iter().enumerate() {
        for repeat in 0..repeats {
            let (name, hidden) = (|part: &str| format!("blocks.{stage}.{repeat}.{part}"), channels * expansion);
            if expansion == 1 {
                add(name("conv_dw"), name("bn1"), [hidden, 1, 3, 3]);
                add(name("conv_pw"), name("bn2"), [out, hidden, 1, 1]);
            } else {
                add(name("conv_pw"), name("bn1"), [hidden, channels, 1, 1]);
                add(name("conv_dw"), name("bn2"), [hidden, 1, 3, 3]);
                add(name("conv_pwl"), name("bn3"), [out, hidden, 1, 1]);
            }
            channels = out;
        }
    }
    add("conv_head".into(), "bn2".into(), [1280, 320, 1, 1]);
    all
}

/// A BERT of one block with all-MiniLM-L6-v2's length of features.
fn minilm() -> Vec<(String, Vec<usize>)> {
    const DIM: usize = 384;
    let mut all = Vec::new();
    for (table, len) in [("word", 5), ("position", 512), ("token_type", 2)] {
        all.push((format!("embeddings.{table}_embeddings.weight"), vec![len, DIM]));
    }
    let dense = ["self.query", "self.key", "self.value", "output.dense"].map(|part| format!("attention.{part}"));
    let mut layers: Vec<(String, [usize; 2])> = dense.into_iter().map(|name| (name, [DIM, DIM])).collect();
    layers.extend([("intermediate.dense".into(), [48, DIM]), ("output.dense".into(), [DIM, 48])]);
    for (name, shape) in layers {
        all.push((format!("encoder.layer.0.{name}.weight"), shape.to_vec()));
        all.push((format!("encoder.layer.0.{name}.bias"), vec![shape[0]]));
    }
    let of_block = ["attention.output.LayerNorm", "output.LayerNorm"].map(|name| format!("encoder.layer.0.{name}"));
    for norm in of_block.into_iter().chain(["embeddings.LayerNorm".to_owned()]) {
        all.extend(["weight", "bias"].map(|part| (format!("{norm}.{part}"), vec![DIM])));
    }
    all
}

/// A tokenizer of five words.
fn tokenizer() -> Vec<u8> {
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let vocab: serde_json::Map<_, _> =
        (0..).zip(words).map(|(id, word): (u32, _)| (word.to_owned(), id.into())).collect();
    let model = serde_json::json!({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": vocab});
    let pre_tokenizer = serde_json::json!({"type": "BertPreTokenizer"});
    serde_json::to_vec(&serde_json::json!({"version": "1.0", "model": model, "pre_tokenizer": pre_tokenizer})).unwrap()
}

/// A file of a data set; `None` of those that no experiment names.
fn data(name: &str, file: &str) -> Option<Vec<u8>> {
    let is_train = file.contains("train");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part.parquet");
    match name {
        "cifar10" => labelled(&path, if is_train { 50_000 } else { 10_000 }),
        "fashion_products" => products(&path, if file.contains("00000-of") { 22_000 } else { 22_072 }),
        _ => return None,
    }
    Some(fs::read(path).unwrap())
}

/// Items of ten classes whose images are no images: opening a data set reads none.
fn labelled(path: &Path, items: usize) {
    let schema = "message m {
        optional group img { optional binary bytes; optional binary path (STRING); }
        optional int64 label;
    }";
    write(path, schema, |group| {
        bytes(group, &vec![ByteArray::from("x"); items], 2);
        bytes(group, &vec![ByteArray::from("x.png"); items], 2);
        let labels: Vec<i64> = (0..items as i64).map(|item| item % 10).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&labels, Some(&vec![1; items]), None).unwrap();
        column.close().unwrap();
    });
}

/// Products of 141 articles with their titles.
fn products(path: &Path, items: usize) {
    let schema = "message m {
        optional binary articleType (STRING);
        optional binary productDisplayName (STRING);
        optional group image { optional binary bytes; optional binary path (STRING); }
    }";
    write(path, schema, |group| {
        let articles: Vec<_> = (0..items).map(|item| ByteArray::from(format!("a{}", item % 141).as_str())).collect();
        bytes(group, &articles, 1);
        bytes(group, &vec![ByteArray::from("A title"); items], 1);
        bytes(group, &vec![ByteArray::from("x"); items], 2);
        bytes(group, &vec![ByteArray::from("x.png"); items], 2);
    });
}

fn bytes(group: &mut SerializedRowGroupWriter<'_, fs::File>, values: &[ByteArray], level: i16) {
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(values, Some(&vec![level; values.len()]), None).unwrap();
    column.close().unwrap();
}

fn write(path: &Path, schema: &str, columns: impl Fn(&mut SerializedRowGroupWriter<'_, fs::File>)) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(fs::File::create(path).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    columns(&mut group);
    group.close().unwrap();
    writer.close().unwrap();
}
