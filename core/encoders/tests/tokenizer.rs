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
            assert_eq!(tokenizer.encode(text.as_str().unwrap()).unwrap().ids, expected, "{text}");
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

/// As transformers does: an empty text is the marks of its start and end.
#[test]
fn an_empty_text_has_its_marks_and_bytes_have_none() {
    let bert = Tokenizer::read(&path("vocab.txt"), 16, None).unwrap();
    let empty = bert.encode("").unwrap();
    let words = std::fs::read_to_string(path("vocab.txt")).unwrap();
    let id = |word: &str| words.lines().position(|line| line == word).unwrap() as u32;
    assert_eq!((empty.ids, empty.truncated), (vec![id("[CLS]"), id("[SEP]")], false));
    let bytes = Tokenizer::of_bytes(3);
    assert!(bytes.encode("").unwrap().ids.is_empty());
    let abc = bytes.encode("abc").unwrap();
    assert_eq!((abc.ids, abc.truncated), (vec![97, 98, 99], false));
    let long = bytes.encode("abcd").unwrap();
    assert_eq!((long.ids, long.truncated), (vec![97, 98, 99], true));
}

#[test]
fn a_text_of_more_tokens_than_count_is_truncated() {
    for file in ["vocab.txt", "clip_tokenizer.json"] {
        let of = |max_tokens: usize, text: &str| {
            Tokenizer::read(&path(file), max_tokens, None).unwrap().encode(text).unwrap()
        };
        let text = "a red circle and a blue square";
        let whole = of(64, text);
        let most = whole.ids.len();
        assert!(!whole.truncated && most > 8, "{file}: {whole:?}");
        assert_eq!(of(most, text), whole);
        let cut = of(most - 1, text);
        assert!(cut.truncated && cut.ids.len() == most - 1, "{file}: {cut:?}");
        assert_eq!((cut.ids[0], cut.ids.last()), (whole.ids[0], whole.ids.last()), "{file}: the marks stay");
    }
}
