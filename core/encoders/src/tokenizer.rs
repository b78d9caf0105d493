//! Tokenization of texts by Hugging Face's tokenizers.

use std::path::{Path, PathBuf};

use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::bert::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, Model as _, TruncationParams};

/// Reason why texts cannot be tokenized.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file cannot be read.
    #[error("cannot read the tokenizer {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file is not a tokenizer.
    #[error("{path} is no tokenizer: {message}\nhelp: known are `tokenizer.json` and BERT's `vocab.txt`")]
    Format {
        /// The file.
        path: PathBuf,
        /// The tokenizer's message.
        message: String,
    },
    /// A text cannot be tokenized.
    #[error("cannot tokenize `{text}`: {message}")]
    Text {
        /// The beginning of the text.
        text: String,
        /// The tokenizer's message.
        message: String,
    },
}

/// Source of the token ids of a text encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// A tokenizer file: by default the first of these names that lies beside the weights.
    File(&'static [&'static str]),
    /// The bytes of a text in UTF-8, 0 to 255, without marks of its start and end; no file is read.
    Bytes,
}

/// The tokens of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokenized {
    /// Their ids.
    pub ids: Vec<u32>,
    /// Whether further tokens of the text were dropped.
    pub truncated: bool,
}

/// Tokenizer of texts, including start and end tokens.
pub struct Tokenizer {
    /// `None`: the bytes of a text are its tokens.
    inner: Option<tokenizers::Tokenizer>,
    digest: String,
    max_tokens: usize,
    padding: Option<u32>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json` or, from a file with any other extension, the words of an uncased BERT, one a line.
    ///
    /// Texts are truncated to `max_tokens` tokens, including those that mark start and end. `padding` is the token that
    /// fills shorter ones, for networks that were trained with it.
    ///
    /// # Errors
    /// If the file cannot be read or is not a tokenizer.
    pub fn read(path: &Path, max_tokens: usize, padding: Option<u32>) -> Result<Self, TokenizerError> {
        let bytes = std::fs::read(path).map_err(|source| TokenizerError::Read { path: path.into(), source })?;
        let parsed = match path.extension().is_some_and(|ending| ending == "json") {
            true => tokenizers::Tokenizer::from_bytes(&bytes),
            false => of_words(&bytes),
        };
        let cut = |mut inner: tokenizers::Tokenizer| {
            inner.with_truncation(Some(TruncationParams { max_length: max_tokens, ..TruncationParams::default() }))?;
            inner.with_padding(None); // a file may ask for some
            Ok(inner)
        };
        let inner = parsed
            .and_then(cut)
            .map_err(|error| TokenizerError::Format { path: path.into(), message: error.to_string() })?;
        Ok(Self { inner: Some(inner), digest: blake3::hash(&bytes).to_hex().to_string(), max_tokens, padding })
    }

    /// Makes a tokenizer whose tokens are the bytes of a text, at most `max_tokens`.
    pub fn of_bytes(max_tokens: usize) -> Self {
        Self { inner: None, digest: String::new(), max_tokens, padding: None }
    }

    /// Returns the largest number of tokens of a text.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Returns the BLAKE3 digest of the file's bytes, in hexadecimal; empty without a file.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns a text's tokens. An empty text has start and end tokens, except with bytes.
    ///
    /// # Errors
    /// If the tokenizer has no token for a part of it.
    pub fn encode(&self, text: &str) -> Result<Tokenized, TokenizerError> {
        let Some(inner) = &self.inner else {
            let ids = text.bytes().take(self.max_tokens).map(u32::from).collect();
            return Ok(Tokenized { ids, truncated: text.len() > self.max_tokens });
        };
        let encoding = inner.encode_fast(text, true).map_err(|error| TokenizerError::Text {
            text: text.chars().take(40).collect(),
            message: error.to_string(),
        })?;
        let mut ids = encoding.get_ids().to_vec();
        if let Some(padding) = self.padding {
            ids.resize(self.max_tokens, padding);
        }
        Ok(Tokenized { ids, truncated: !encoding.get_overflowing().is_empty() })
    }
}

/// Makes the tokenizer of an uncased BERT from its words, one a line.
fn of_words(bytes: &[u8]) -> tokenizers::Result<tokenizers::Tokenizer> {
    let words = WordPiece::builder().vocab(WordPiece::read_bytes(bytes)?).build()?;
    let id = |token: &str| words.token_to_id(token).ok_or_else(|| format!("the word `{token}` is missing"));
    let ends = BertProcessing::new(("[SEP]".into(), id("[SEP]")?), ("[CLS]".into(), id("[CLS]")?));
    let special = ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"];
    let special: Vec<_> = special.into_iter().filter(|token| id(token).is_ok()).collect();
    let mut tokenizer = tokenizers::Tokenizer::new(words);
    tokenizer.with_normalizer(Some(BertNormalizer::default()))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer)).with_post_processor(Some(ends));
    tokenizer.add_special_tokens(special.into_iter().map(|token| AddedToken::from(token, true)))?;
    Ok(tokenizer)
}
