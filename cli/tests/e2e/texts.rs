//! Experiments on texts, encoded by a small BERT of random weights.

use std::collections::HashMap;
use std::fs::{self, File};

use candle_core::{Device, Tensor};
use hashlab_store::RunState;
use insta::assert_snapshot;

use crate::lab::{FILE, Lab, files_named, unlisted};

/// Methods of each kind on captions.
pub(crate) const CAPTIONS: &str = r#"dataset = "shapes"
bits = [16]
seeds = [0]

[data]
items = 300
size = 16

[text]
encoder = "minilm"
weights = "small/model.safetensors"

[train]
epochs = 2
batch_size = 32
validate_every = 2

[[method]]
name = "lsh"

[[method]]
name = "itq"

[[method]]
name = "cibhash"
"#;

const DIM: usize = 384;
const HIDDEN: usize = 48;
const POSITIONS: usize = 64;
pub(crate) const WORDS: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nand\n,\nred\ngreen\nblue\nyellow\npurple\ncircle\nsquare\n\
                     triangle\nstar\n";

/// Numbers around 0 that depend on a name.
fn numbers(name: &str, len: usize, scale: f32) -> Vec<f32> {
    let seed = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let number = |at: u32| {
        let mut h = seed.wrapping_add(at.wrapping_mul(0x9e37_79b9));
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
        scale * ((h ^ (h >> 16)) as f32 / (1u32 << 31) as f32 - 1.0)
    };
    (0..len as u32).map(number).collect()
}

/// The weights of a BERT of one block whose features are as long as all-MiniLM-L6-v2's.
pub(crate) fn weights() -> HashMap<String, Tensor> {
    let mut tensors = HashMap::new();
    let mut add = |name: &str, shape: &[usize]| {
        let norm = name.contains("LayerNorm.weight");
        let scale = if shape.len() > 1 { (3.0 / shape[1] as f32).sqrt() } else { 0.02 };
        let values = match norm {
            true => vec![1.0; shape[0]],
            false => numbers(name, shape.iter().product(), scale),
        };
        tensors.insert(name.to_owned(), Tensor::from_vec(values, shape, &Device::Cpu).unwrap());
    };
    for (table, len) in [("word", WORDS.lines().count()), ("position", POSITIONS), ("token_type", 2)] {
        add(&format!("embeddings.{table}_embeddings.weight"), &[len, DIM]);
    }
    let block = "encoder.layer.0";
    let mut layer = |name: &str, shape: [usize; 2]| {
        add(&format!("{name}.weight"), &shape);
        add(&format!("{name}.bias"), &shape[..1]);
    };
    for part in ["self.query", "self.key", "self.value", "output.dense"] {
        layer(&format!("{block}.attention.{part}"), [DIM, DIM]);
    }
    layer(&format!("{block}.intermediate.dense"), [HIDDEN, DIM]);
    layer(&format!("{block}.output.dense"), [DIM, HIDDEN]);
    for norm in ["embeddings", &format!("{block}.attention.output"), &format!("{block}.output")] {
        add(&format!("{norm}.LayerNorm.weight"), &[DIM]);
        add(&format!("{norm}.LayerNorm.bias"), &[DIM]);
    }
    tensors
}

/// A folder with the experiment and, in `data/weights/small`, the network and its tokenizer.
fn lab(experiment: &str) -> Lab {
    let lab = Lab::with(experiment);
    let folder = lab.path("data/weights/small");
    fs::create_dir_all(&folder).unwrap();
    candle_core::safetensors::save(&weights(), folder.join("model.safetensors")).unwrap();
    fs::write(folder.join("vocab.txt"), WORDS).unwrap();
    lab
}

/// The id of each run of the plan of an experiment.
fn ids(lab: &Lab, experiment: &str) -> Vec<String> {
    lab.write(FILE, experiment);
    lab.ids()
}

#[test]
fn captions_are_searched_with_captions() {
    let lab = lab(CAPTIONS);
    let table = lab.ok(&["sweep", FILE]);
    assert!(table.contains("minilm, frozen, mean pooling, at most 256 tokens, weights "), "{table}");
    for run in lab.runs() {
        let RunState::Finished(result) = run.state() else { panic!("{} has no result", run.id()) };
        let tasks: Vec<String> = result.test.keys().map(|task| task.key()).collect();
        assert_eq!(tasks, ["t2t"], "{}", run.id());
        // 18 % of the pairs share a label; captions that name the same shapes are near even under random weights.
        let found = result.mean_test("map_at_k").unwrap();
        assert!(found > 0.25, "{}: {found}", run.id());
    }
    // One file of features serves all methods: with a single caption, the training items' views are among its rows.
    assert_eq!(files_named(&lab.path("runs/cache"), "data.f32").len(), 1);
    assert_eq!(lab.ok(&["cache"]).matches("minilm").count(), 1);
}

#[test]
fn an_encoder_of_texts_is_trained_with_its_method() {
    let only = CAPTIONS.replace("[[method]]\nname = \"lsh\"\n\n[[method]]\nname = \"itq\"\n\n", "");
    let lab = lab(&only.replace("weights =", "finetune = true\nlr_scale = 0.1\nweights ="));
    let table = lab.ok(&["sweep", FILE, "--keep", "all"]);
    assert!(table.contains("minilm, trained with the method") && table.contains("learning rate × 0.1"), "{table}");
    assert!(files_named(&lab.path("runs/cache"), "data.f32").is_empty(), "texts are encoded as the run goes");
    let [run] = &lab.runs()[..] else { panic!("one run") };
    let model = fs::read(run.path().join("model.safetensors")).unwrap();
    let trained = candle_core::safetensors::load_buffer(&model, &Device::Cpu).unwrap();
    let name = "encoder.layer.0.attention.self.value.weight";
    let (before, after) = (&weights()[name], &trained[&format!("text_encoder.{name}")]);
    let moved = (before - after).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(moved > 1e-6, "training moves the network by {moved}");
}

#[test]
fn a_run_is_named_by_what_changes_features_of_texts() {
    let lab = lab(CAPTIONS);
    let expected = ids(&lab, CAPTIONS);
    let with = |keys: &str| CAPTIONS.replace("[text]\n", &format!("[text]\n{keys}\n"));
    for same in ["pooling = \"mean\"", "max_tokens = 256", "tokenizer = \"small/vocab.txt\""] {
        assert_eq!(ids(&lab, &with(same)), expected, "{same}");
    }
    fs::write(lab.path("data/weights/other.txt"), format!("{WORDS}sun\n")).unwrap();
    let others = [
        "pooling = \"first\"",
        "max_tokens = 16",
        "tokenizer = \"other.txt\"",
        "cache_dtype = \"f16\"",
        "dtype = \"bf16\"",
    ];
    let mut all = vec![expected];
    all.extend(others.map(|other| ids(&lab, &with(other))));
    let distinct: std::collections::BTreeSet<&String> = all.iter().flatten().collect();
    assert_eq!(distinct.len(), all.iter().map(Vec::len).sum::<usize>());
}

/// A digest is noted with the size and time of its file.
#[test]
fn planning_reads_no_file_of_an_encoder_twice() {
    let lab = lab(CAPTIONS);
    let expected = ids(&lab, CAPTIONS);
    for name in ["model.safetensors", "vocab.txt"] {
        let path = lab.path("data/weights/small").join(name);
        let (time, len) = (fs::metadata(&path).unwrap().modified().unwrap(), fs::read(&path).unwrap().len());
        fs::write(&path, vec![0; len]).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
    assert_eq!(ids(&lab, CAPTIONS), expected);
    let ended = lab.run(&["features", FILE, "--out", "out"]);
    assert!(ended.code != Some(0) && ended.stderr.contains("not a safetensors file"), "{ended:#?}");
}

#[test]
fn texts_that_are_too_long_are_counted() {
    let lab = lab(&CAPTIONS.replace("[text]\n", "[text]\nmax_tokens = 8\n"));
    let features = ["features", FILE, "--out", "out"];
    let said = lab.run(&features).stderr;
    let line = said.lines().find(|line| line.contains("longer than the 8 tokens")).unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains(" of 300 texts are longer than the 8 tokens that `minilm` reads"), "{line}");
    // In a sweep, the stage's log has the line.
    let lab = self::lab(&CAPTIONS.replace("[text]\n", "[text]\nmax_tokens = 8\n"));
    lab.ok(&["sweep", FILE]);
    let logs = files_named(&lab.path("runs"), "features.log");
    let log: String = logs.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(log.contains("longer than the 8 tokens"), "{logs:?}: {log}");
}

#[test]
fn an_encoder_of_texts_for_images() {
    let images = CAPTIONS.replace("[text]\nencoder = \"minilm\"", "[image]\nencoder = \"bert_base\"");
    assert_snapshot!(unlisted(&Lab::with(&images).refused(&["sweep", FILE])));
}

#[test]
fn a_text_encoder_without_its_weights() {
    assert_snapshot!(Lab::with(&CAPTIONS.replace("weights = ", "# weights = ")).refused(&["sweep", FILE]));
}

#[test]
fn a_text_encoder_without_its_tokenizer() {
    let lab = lab(CAPTIONS);
    fs::remove_file(lab.path("data/weights/small/vocab.txt")).unwrap();
    assert_snapshot!(lab.refused(&["sweep", FILE]));
}

#[test]
fn a_tokenizer_that_is_none() {
    let lab = lab(&CAPTIONS.replace("[text]\n", "[text]\ntokenizer = \"tiny.toml\"\n"));
    assert_snapshot!(lab.refused(&["sweep", FILE]));
}

#[test]
fn more_tokens_than_the_encoder_has_positions() {
    let lab = lab(&CAPTIONS.replace("[text]\n", "[text]\nmax_tokens = 1000\n"));
    assert_snapshot!(lab.refused(&["sweep", FILE]));
}
