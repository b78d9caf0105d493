//! Token ids against Hugging Face's (`golden_tokens.py`).

mod formula;

use std::path::PathBuf;

use hashlab_encoders::Tokenizer;
use serde_json::Value;

fn path(name: &str) -> PathBuf {
    formula::path(name).with_extension(name.rsplit_once('.').unwrap().1)
}

fn golden() -> Value {
    serde_json::from_slice(&std::fs::read(path("tokens.json")).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<Vec<u32>> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Compares the tokens of every text with the stored ones, and filled up to the most tokens.
#[track_caller]
fn check(file: &str, name: &str) {
    let golden = golden();
    let max = golden["max"].as_u64().unwrap() as usize;
    let padding = golden[format!("{name}_pad")].as_u64().unwrap() as u32;
    for (padding, key) in [(None, name.to_owned()), (Some(padding), format!("{name}_padded"))] {
        let tokenizer = Tokenizer::read(&path(file), max, padding).unwrap();
        for (text, expected) in golden["texts"].as_array().unwrap().iter().zip(ids(&golden[&key])) {
            assert_eq!(tokenizer.encode(text.as_str().unwrap()).unwrap(), expected, "{text}");
        }
    }
}

#[test]
fn words_of_an_uncased_bert() {
    check("vocab.txt", "bert");
}

#[test]
fn pairs_of_bytes_of_clip() {
    check("clip_tokenizer.json", "clip");
}

#[test]
fn a_digest_tells_files_apart() {
    let digest = |file: &str| Tokenizer::read(&path(file), 16, None).unwrap().digest().to_owned();
    assert_eq!(digest("vocab.txt"), blake3::hash(&std::fs::read(path("vocab.txt")).unwrap()).to_hex().as_str());
    assert_ne!(digest("vocab.txt"), digest("clip_tokenizer.json"));
}

#[test]
fn other_files_are_errors() {
    let message = |file: PathBuf| Tokenizer::read(&file, 16, None).map(|_| ()).unwrap_err().to_string();
    assert!(message(path("absent.txt")).contains("cannot read") && message(path("absent.txt")).contains("absent.txt"));
    assert!(message(path("tokens.json")).contains("tokens.json is no tokenizer"));
    assert!(message(path("encoders.txt")).contains("`[SEP]` is missing"));
}
