//! Loader of a data set's texts for an encoder.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use candle_core::Tensor;
use hashlab_data::{Dataset, ItemData, Modality, Texts};
use hashlab_encoders::{Tokenized, Tokenizer, token_tensor};
use rayon::prelude::*;

use crate::inputs::Inputs;

/// Number of texts that a thread tokenizes together.
const TOGETHER: usize = 16;

/// Captions of a data set as token ids `(n, max_tokens)` on the CPU, see [`hashlab_encoders::token_tensor`].
pub struct TextLoader<'a> {
    dataset: &'a dyn Dataset,
    tokenizer: Arc<Tokenizer>,
    /// Number of texts loaded so far that were truncated.
    truncated: AtomicUsize,
}

/// The texts of a data set.
///
/// # Errors
/// If its items have no texts.
pub(crate) fn texts_of(dataset: &dyn Dataset) -> Result<&dyn Texts> {
    match dataset.data(Modality::Text) {
        Some(ItemData::Texts(texts)) => Ok(texts),
        _ => bail!("the items have no texts"),
    }
}

impl<'a> TextLoader<'a> {
    /// Loads the texts of `dataset` with a tokenizer.
    pub fn new(dataset: &'a dyn Dataset, tokenizer: Arc<Tokenizer>) -> Self {
        Self { dataset, tokenizer, truncated: AtomicUsize::new(0) }
    }

    /// The texts.
    ///
    /// # Errors
    /// If the items have no texts.
    pub(crate) fn texts(&self) -> Result<&'a dyn Texts> {
        texts_of(self.dataset)
    }

    /// Returns the number of texts loaded so far that were truncated.
    pub(crate) fn truncated(&self) -> usize {
        self.truncated.load(Ordering::Relaxed)
    }

    /// Loads a caption of each of `items`, on all threads of the current pool; `caption` chooses that of each position.
    pub(crate) fn captions_of(&self, items: &[u32], caption: impl Fn(usize) -> usize + Sync) -> Result<Tensor> {
        let ids = items.par_iter().with_min_len(TOGETHER).enumerate().map(|(at, &item)| self.tokens(item, caption(at)));
        let ids: Vec<Vec<u32>> = ids.collect::<Result<_>>()?;
        Ok(token_tensor(&ids, self.tokenizer.max_tokens())?)
    }

    /// Tokenizes a text of no data set.
    pub(crate) fn tokenize(&self, text: &str) -> Result<Tokenized> {
        Ok(self.tokenizer.encode(text)?)
    }

    /// The most tokens of a text.
    pub(crate) fn max_tokens(&self) -> usize {
        self.tokenizer.max_tokens()
    }

    /// Tokenizes a caption.
    fn tokens(&self, item: u32, caption: usize) -> Result<Vec<u32>> {
        let text = self.texts()?.text(item as usize, caption)?;
        let tokenized = self.tokenizer.encode(&text).with_context(|| format!("caption {caption} of item {item}"))?;
        ensure!(!tokenized.ids.is_empty(), "caption {caption} of item {item} is empty, and the encoder needs a token");
        self.truncated.fetch_add(usize::from(tokenized.truncated), Ordering::Relaxed);
        Ok(tokenized.ids)
    }
}

impl Inputs for TextLoader<'_> {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn chunk(&self) -> usize {
        256
    }

    /// The first caption of each item.
    fn load(&self, items: &[u32]) -> Result<Tensor> {
        self.captions_of(items, |_| 0)
    }
}
