//! Features of frozen encoders of texts: from captions to the feature cache.
//!
//! The first caption of an item represents it among queries and in the database; all captions of training items are
//! stored as views, from which training draws as from augmented views of images.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result};
use candle_core::Tensor;
use hashlab_cache::{FeatureFile, FeatureKey, Shape, items_digest};
use hashlab_encoders::{Encoder, Place, Pooling, TextEntry, TokenSource, Tokenizer, TrainableEncoder, Weights};
use hashlab_kernels::threads::serial;
use rayon::prelude::*;

use crate::config::TextConfig;
use crate::feature_source::{CHUNK, Described, FeatureSource, OnProgress, REVISION, check_digest, read_weights};
use crate::inputs::FeatureRows;
use crate::text_loader::{TextLoader, texts_of};

/// Texts per pass on one thread: few enough that the hidden layer stays in its cache.
const MICRO_BATCH: usize = 8;

/// The files of a text encoder, if it needs any.
#[derive(Clone, Debug, Default)]
pub struct TextFiles {
    /// The weights.
    pub weights: Option<PathBuf>,
    /// The tokenizer.
    pub tokenizer: Option<PathBuf>,
}

/// The features of a data set's texts, computed by an encoder.
pub struct TextFeatures<'a> {
    source: FeatureSource<'a>,
    entry: &'static TextEntry,
    config: TextConfig,
    files: TextFiles,
    opened: OnceLock<Opened>,
    /// Number of texts encoded since the last report that were truncated.
    truncated: AtomicUsize,
}

/// Opened files of the encoder.
struct Opened {
    tokenizer: Arc<Tokenizer>,
    network: Box<dyn Encoder>,
}

impl<'a> TextFeatures<'a> {
    /// Prepares access without reading or computing.
    pub fn new(source: FeatureSource<'a>, entry: &'static TextEntry, config: &TextConfig, files: TextFiles) -> Self {
        let (opened, truncated) = (OnceLock::new(), AtomicUsize::new(0));
        Self { source, entry, config: config.clone(), files, opened, truncated }
    }

    /// The section `[text]`.
    pub fn config(&self) -> &TextConfig {
        &self.config
    }

    /// Length of the feature vectors for methods.
    pub fn dim(&self) -> usize {
        self.entry.dim
    }

    fn pooling(&self) -> Pooling {
        self.config.pooling.map_or(self.entry.poolings[0], Into::into)
    }

    fn max_tokens(&self) -> usize {
        self.config.max_tokens.unwrap_or(self.entry.max_tokens)
    }

    /// Features of the first caption of all items; row = item. Extracts those that the cache lacks.
    ///
    /// # Errors
    /// If texts, files or the cache cannot be read or written, or a text cannot be tokenized.
    pub fn plain(&self, progress: OnProgress<'_>) -> Result<FeatureFile> {
        let items: Vec<u32> = (0..self.source.dataset.len() as u32).collect();
        self.feature_file(&items, 0, "features of texts", progress)
    }

    /// Features of every caption of the training items; row = position among them. Extracts those that the cache lacks.
    ///
    /// # Errors
    /// As [`Self::plain`].
    pub fn captions(&self, train: &[u32], progress: OnProgress<'_>) -> Result<Vec<FeatureRows<'a>>> {
        let captions = texts_of(self.source.dataset)?.captions();
        let first = FeatureRows::Selected { file: self.plain(&mut *progress)?, rows: train.to_vec() };
        let others = (1..captions).map(|caption| {
            let name = format!("caption {} of {captions}", caption + 1);
            Ok(FeatureRows::Cached(self.feature_file(train, caption, &name, &mut *progress)?))
        });
        [Ok(first)].into_iter().chain(others).collect()
    }

    fn feature_file(&self, items: &[u32], caption: usize, name: &str, progress: OnProgress<'_>) -> Result<FeatureFile> {
        let (key, shape) = self.described(items, caption);
        let mut encoded = 0;
        let extract = |rows: std::ops::Range<usize>| {
            encoded += rows.len();
            self.extract(&items[rows], caption)
        };
        let file = self.source.cache.ensure(&key, shape, extract, |at| progress(name, at));
        self.report_truncated(encoded);
        file
    }

    /// Key and shape of the features of a caption of items.
    fn described(&self, items: &[u32], caption: usize) -> Described {
        let key = FeatureKey {
            dataset: self.source.identity.clone(),
            items: items_digest(items),
            encoder: self.config.dtype.identify(format!("{} r{REVISION}", self.entry.name)),
            weights: self.config.digest.clone().unwrap_or_default(),
            transform: self.transform(),
            view: caption as u32,
            dtype: self.config.cache_dtype,
        };
        (key, Shape { rows: items.len(), dim: self.entry.dim, chunk_rows: CHUNK })
    }

    /// Key and shape of [`Self::plain`].
    pub(crate) fn described_plain(&self) -> Described {
        self.described(&(0..self.source.dataset.len() as u32).collect::<Vec<u32>>(), 0)
    }

    /// Keys and shapes of [`Self::captions`], but for the first caption, which is in [`Self::plain`].
    pub(crate) fn described_captions(&self, train: &[u32]) -> Result<Vec<Described>> {
        let captions = texts_of(self.source.dataset)?.captions();
        Ok((1..captions).map(|caption| self.described(train, caption)).collect())
    }

    /// Identity of the steps from a text to its features, except the network: tokenizer, number of tokens, pooling.
    fn transform(&self) -> String {
        let tokenizer = self.config.tokenizer_digest.as_deref().unwrap_or("bytes");
        format!("tokens {tokenizer}, at most {}, {}", self.max_tokens(), self.pooling().name())
    }

    /// Logs the number of truncated texts among those that were just encoded.
    fn report_truncated(&self, encoded: usize) {
        let truncated = self.truncated.swap(0, Ordering::Relaxed);
        if truncated > 0 {
            tracing::warn!(
                "{truncated} of {encoded} texts are longer than the {} tokens that `{}` reads; the rest of them does \
                 not count",
                self.max_tokens(),
                self.entry.name
            );
        }
    }

    /// Computes features of a caption of `items`; row-major `(items, dim)`.
    fn extract(&self, items: &[u32], caption: usize) -> Result<Vec<f32>> {
        let Opened { tokenizer, network } = self.opened()?;
        let texts = TextLoader::new(self.source.dataset, Arc::clone(tokenizer));
        let values = self.on_threads(items, |items| {
            let features = network.forward(&texts.captions_of(items, |_| caption)?)?;
            Ok(self.config.dtype.widen(self.entry.name, &features)?.flatten_all()?.to_vec1()?)
        });
        self.truncated.fetch_add(texts.truncated(), Ordering::Relaxed);
        values
    }

    /// Computes features `(n, dim)` of token ids `(n, max_tokens)` of texts that are in no data set.
    pub(crate) fn features_of(&self, ids: &Tensor) -> Result<Tensor> {
        let network = &self.opened()?.network;
        let items: Vec<u32> = (0..ids.dim(0)? as u32).collect();
        let values = self.on_threads(&items, |items| {
            let features = network.forward(&ids.narrow(0, items[0] as usize, items.len())?)?;
            Ok(self.config.dtype.widen(self.entry.name, &features)?.flatten_all()?.to_vec1()?)
        })?;
        Ok(Tensor::from_vec(values, (items.len(), self.entry.dim), &self.source.device)?)
    }

    /// Maps micro-batches of `items` on all threads of the current pool, each on one thread; on a GPU all at once.
    fn on_threads(&self, items: &[u32], map: impl Fn(&[u32]) -> Result<Vec<f32>> + Sync) -> Result<Vec<f32>> {
        if !self.source.device.is_cpu() {
            return map(items);
        }
        // Every thread shall have work.
        let share = items.len().div_ceil(rayon::current_num_threads()).max(1);
        let parts = items.par_chunks(MICRO_BATCH.min(share)).map(|items| serial(|| map(items)));
        Ok(parts.collect::<Result<Vec<Vec<f32>>>>()?.concat())
    }

    /// Opens network and tokenizer on first use: with a complete cache, neither is read.
    fn opened(&self) -> Result<&Opened> {
        if self.opened.get().is_none() {
            self.source.dataset.digest()?; // verifies the texts
            let place = Place { device: &self.source.device, dtype: self.config.dtype.tensor_dtype() };
            let network = self.entry.open(self.weights()?.as_ref(), self.pooling(), place)?;
            let network = self.config.dtype.applied(network, &self.source.device)?;
            // Another thread may have been faster.
            let _ = self.opened.set(Opened { tokenizer: self.tokenizer()?, network });
        }
        Ok(self.opened.get().expect("set above"))
    }

    fn weights(&self) -> Result<Option<Weights>> {
        let planned = self.config.digest.as_deref().unwrap_or_default();
        self.files.weights.as_deref().map(|path| read_weights(path, planned)).transpose()
    }

    /// Loader of the data set's texts for the encoder.
    ///
    /// # Errors
    /// If the tokenizer cannot be read, or differs from the plan's.
    pub(crate) fn loader(&self) -> Result<TextLoader<'a>> {
        Ok(TextLoader::new(self.source.dataset, self.tokenizer()?))
    }

    fn tokenizer(&self) -> Result<Arc<Tokenizer>> {
        let max_tokens = self.max_tokens();
        if self.entry.tokens == TokenSource::Bytes {
            return Ok(Arc::new(Tokenizer::of_bytes(max_tokens)));
        }
        let path = self.files.tokenizer.as_deref();
        let path = path.with_context(|| format!("encoder `{}` needs a tokenizer", self.entry.name))?;
        let tokenizer = Tokenizer::read(path, max_tokens, self.entry.padding)?;
        check_digest(path, tokenizer.digest(), self.config.tokenizer_digest.as_deref().unwrap_or_default())?;
        Ok(Arc::new(tokenizer))
    }

    /// Opens the encoder to be trained in a run at a place, from its weights.
    ///
    /// # Errors
    /// If it cannot be trained, or its weights cannot be read.
    pub fn trainable(&self, place: Place<'_>) -> Result<Box<dyn TrainableEncoder>> {
        self.source.dataset.digest()?; // verifies the texts
        Ok(self.entry.train(self.weights()?.as_ref(), self.pooling(), place)?)
    }
}
