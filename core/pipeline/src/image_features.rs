//! Features of frozen image encoders: from pixels to the feature cache.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use hashlab_cache::{FeatureFile, FeatureKey, Progress, Shape, items_digest};
use hashlab_data::{ItemData, Modality};
use hashlab_encoders::{Cut, Encoder, ImageEntry, Norm, Place, TrainableEncoder, Weights};
use hashlab_image::{Normalize, Rgb, Transform};
use hashlab_kernels::threads::serial;
use hashlab_rng::{Stream, stream};
use rayon::prelude::*;

use crate::config::{ImageConfig, NormMode};
use crate::decode_ahead::{Extraction, overlapped};
use crate::feature_source::{CHUNK, Described, FeatureSource, OnProgress, REVISION, read_weights};
use crate::image_loader::ImageLoader;

/// Pixels of a batch on a GPU: a chunk of small images, or fewer large ones.
const GPU_PIXELS: usize = CHUNK * 128 * 128;

/// The features of a data set's images, computed by an encoder.
pub struct ImageFeatures<'a> {
    source: FeatureSource<'a>,
    network: &'static ImageEntry,
    config: ImageConfig,
    weights: Option<PathBuf>,
    opened: OnceLock<Box<dyn Encoder>>,
}

impl<'a> ImageFeatures<'a> {
    /// Prepares access without reading or computing.
    pub fn new(
        source: FeatureSource<'a>,
        network: &'static ImageEntry,
        config: &ImageConfig,
        weights: Option<PathBuf>,
    ) -> Self {
        Self { source, network, config: config.clone(), weights, opened: OnceLock::new() }
    }

    /// Digest of the weights, or a replacement if they are drawn.
    fn digest(&self) -> &str {
        self.config.digest.as_deref().unwrap_or_default()
    }

    /// Side of the encoder's input in pixels.
    pub fn image_size(&self) -> usize {
        self.config.image_size.unwrap_or(self.network.image_size)
    }

    /// Loader of the data set's images for the encoder.
    pub(crate) fn loader(&self, normalize: Normalize) -> ImageLoader<'_> {
        let (size, preprocess) = (self.image_size(), self.network.preprocess);
        ImageLoader { dataset: self.source.dataset, size, preprocess, normalize, device: &self.source.device }
    }

    /// The section `[image]`.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// Length of the feature vectors for methods.
    pub fn dim(&self) -> usize {
        self.network.dim
    }

    /// Length of the stored feature vectors: those of a divided network are its first part's.
    fn features_dim(&self) -> usize {
        self.cut().map_or(self.network.dim, |cut| cut.dim)
    }

    /// The division of the network, if it is divided.
    fn cut(&self) -> Option<&'static Cut> {
        self.network.cut.as_ref().filter(|cut| self.config.frozen_until.as_deref() == Some(cut.name))
    }

    /// Opens the part of a divided network that runs in every step; `None` for a whole one.
    ///
    /// # Errors
    /// If its weights cannot be read.
    pub fn tail(&self) -> Result<Option<Box<dyn TrainableEncoder>>> {
        let Some(cut) = self.cut() else { return Ok(None) };
        Ok(Some((cut.tail)(self.weights()?.as_ref(), &self.source.device)?))
    }

    /// Reads the weights, and checks that they are those of the run's plan.
    fn weights(&self) -> Result<Option<Weights>> {
        self.weights.as_deref().map(|path| read_weights(path, self.digest())).transpose()
    }

    /// The image of an item in the encoder's input size, without augmentation.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn plain_image(&self, item: u32) -> Result<Rgb> {
        self.view_image(item, &self.network.preprocess.transform(self.image_size()), 0)
    }

    /// Stored view number `view` of an item, as pixels.
    ///
    /// # Errors
    /// If the image cannot be read.
    pub fn view_image(&self, item: u32, transform: &Transform, view: u32) -> Result<Rgb> {
        let Some(ItemData::Images(images)) = self.source.dataset.data(Modality::Image) else {
            bail!("the items have no images")
        };
        Ok(transform.apply(&images.image(item as usize)?, &mut self.draws(transform, view)(item)))
    }

    /// Features of all items without augmentation; row = item. Extracts those that the cache lacks.
    ///
    /// # Errors
    /// If images, weights or the cache cannot be read or written.
    pub fn plain(&self, progress: OnProgress<'_>) -> Result<FeatureFile> {
        let items: Vec<u32> = (0..self.source.dataset.len() as u32).collect();
        self.feature_file(&items, self.network.preprocess.transform(self.image_size()), 0, "features", progress)
    }

    /// Features of `views` augmented views of `items`; row = position among them. Extracts those that the cache lacks.
    ///
    /// # Errors
    /// If images, weights or the cache cannot be read or written.
    pub fn views(
        &self,
        items: &[u32],
        transform: Transform,
        views: usize,
        progress: OnProgress<'_>,
    ) -> Result<Vec<FeatureFile>> {
        (0..views)
            .map(|view| {
                let (before, all) = (view * items.len(), views * items.len());
                let mut of_all = |name: &str, at: Progress| progress(name, at.within(before, all));
                self.feature_file(items, transform.clone(), view as u32, "views", &mut of_all)
            })
            .collect()
    }

    /// Identity of the computation of the features. The type is part of it unless it is f32.
    fn identify(&self) -> String {
        let network = match self.cut() {
            Some(cut) => format!("{}/{} r{REVISION}", self.network.name, cut.name),
            None => format!("{} r{REVISION}", self.network.name),
        };
        self.config.dtype.identify(network)
    }

    fn feature_file(
        &self,
        items: &[u32],
        transform: Transform,
        view: u32,
        name: &str,
        progress: OnProgress<'_>,
    ) -> Result<FeatureFile> {
        let (key, shape) = self.described(items, &transform, view);
        let on_gpu = OnGpu { features: self, items, transform: &transform, view };
        let progress = |at| progress(name, at);
        match self.source.device.is_cpu() {
            true => {
                self.source.cache.ensure(&key, shape, |rows| self.extract(&items[rows], &transform, view), progress)
            }
            false => overlapped(&on_gpu, &self.source.device, |extract| {
                self.source.cache.ensure(&key, shape, extract, progress)
            }),
        }
    }

    /// Key and shape of the features of a view of items.
    fn described(&self, items: &[u32], transform: &Transform, view: u32) -> Described {
        let key = FeatureKey {
            dataset: self.source.identity.clone(),
            items: items_digest(items),
            encoder: self.identify(),
            weights: self.digest().to_owned(),
            transform: transform.to_string(),
            view,
            dtype: self.config.cache_dtype,
        };
        (key, Shape { rows: items.len(), dim: self.features_dim(), chunk_rows: CHUNK })
    }

    /// Key and shape of [`Self::plain`].
    pub(crate) fn described_plain(&self) -> Described {
        let items: Vec<u32> = (0..self.source.dataset.len() as u32).collect();
        self.described(&items, &self.network.preprocess.transform(self.image_size()), 0)
    }

    /// Keys and shapes of [`Self::views`].
    pub(crate) fn described_views(&self, items: &[u32], transform: &Transform) -> Vec<Described> {
        let views = self.stored_views(transform);
        (0..views).map(|view| self.described(items, transform, view as u32)).collect()
    }

    /// The number of views that are stored under a transform.
    pub(crate) fn stored_views(&self, transform: &Transform) -> usize {
        if transform.is_random() { self.config.views } else { 1 }
    }

    /// Opens the random stream of each item in a view. It does not depend on the run's seed, so that all runs share it.
    fn draws(&self, transform: &Transform, view: u32) -> impl Fn(u32) -> Stream + use<> {
        let purpose = format!("view/{transform}");
        move |item: u32| stream(0, &purpose, &[u64::from(view), u64::from(item)])
    }

    /// Loader of the data set's images for the opened encoder.
    pub(crate) fn images(&self) -> Result<ImageLoader<'_>> {
        let [mean, std] = self.opened()?.normalize();
        Ok(self.loader(Normalize { mean, std }))
    }

    /// Computes features `(n, dim)` of images; in f32, the type of the cache, for any type of the network.
    fn forward(&self, views: &Tensor) -> Result<Tensor> {
        let dtype = self.config.dtype;
        dtype.widen(self.network.name, &self.opened()?.forward(&views.to_dtype(dtype.tensor_dtype())?)?)
    }

    /// Computes features of a view of `items`; row-major `(items, dim)`.
    fn extract(&self, items: &[u32], transform: &Transform, view: u32) -> Result<Vec<f32>> {
        let (draw, images) = (self.draws(transform, view), self.images()?);
        self.on_threads(items, |items| {
            let views = images.load_views_serially(items, transform, &draw)?;
            Ok(serial(|| self.forward(&views))?.flatten_all()?)
        })
    }

    /// Computes features `(n, dim)` of pixels `(n, size, size, 3)` that are in no data set.
    pub(crate) fn features_of(&self, pixels: &Tensor) -> Result<Tensor> {
        if !self.source.device.is_cpu() {
            return self.forward(pixels);
        }
        let items: Vec<u32> = (0..pixels.dim(0)? as u32).collect();
        let values = self.on_threads(&items, |items| {
            let part = pixels.narrow(0, items[0] as usize, items.len())?;
            Ok(serial(|| self.forward(&part))?.flatten_all()?)
        })?;
        Ok(Tensor::from_vec(values, (items.len(), self.features_dim()), &self.source.device)?)
    }

    /// Maps micro-batches of `items` on all threads of the current pool, each on one thread.
    fn on_threads(&self, items: &[u32], map: impl Fn(&[u32]) -> Result<Tensor> + Sync) -> Result<Vec<f32>> {
        // Every thread shall have work.
        let share = items.len().div_ceil(rayon::current_num_threads()).max(1);
        let micro_batch = self.network.micro_batch(self.image_size()).min(share);
        let parts = items.par_chunks(micro_batch).map(|items| Ok(map(items)?.to_vec1()?));
        Ok(parts.collect::<Result<Vec<Vec<f32>>>>()?.concat())
    }

    /// Opens the encoder to be trained in a run at a place: from its weights, or from the run's `seed`.
    ///
    /// # Errors
    /// If it cannot be trained, or its weights cannot be read.
    pub fn trainable(&self, seed: u64, place: Place<'_>) -> Result<Box<dyn TrainableEncoder>> {
        self.source.dataset.digest()?; // verifies the pixels
        let open = self.network.train.with_context(|| format!("encoder `{}` cannot be trained", self.network.name))?;
        let norm = match self.config.norm {
            NormMode::Batch => Norm::Batch,
            NormMode::Frozen => Norm::Frozen,
        };
        Ok(open(self.weights()?.as_ref(), seed, norm, place)?)
    }

    /// Opens the encoder on first use: with a complete cache, neither weights nor pixels are read.
    fn opened(&self) -> Result<&dyn Encoder> {
        if self.opened.get().is_none() {
            // Verifies the pixels against the data set's declared digest, too.
            self.source.dataset.digest()?;
            let open = self.cut().map_or(self.network.open, |cut| cut.trunk);
            let place = Place { device: &self.source.device, dtype: self.config.dtype.tensor_dtype() };
            let opened = open(self.weights()?.as_ref(), 0, place)?;
            let opened = self.config.dtype.applied(opened, &self.source.device)?;
            let _ = self.opened.set(opened); // another thread may have been faster
        }
        Ok(self.opened.get().expect("set above").as_ref())
    }
}

/// The features of a view of `items` on a GPU.
struct OnGpu<'a> {
    features: &'a ImageFeatures<'a>,
    items: &'a [u32],
    transform: &'a Transform,
    view: u32,
}

impl Extraction for OnGpu<'_> {
    fn items(&self) -> usize {
        self.items.len()
    }

    fn batch(&self) -> usize {
        let fit = GPU_PIXELS / self.features.image_size().pow(2);
        // A power of 2, which divides a chunk.
        1 << fit.clamp(1, CHUNK).ilog2()
    }

    fn pixels(&self) -> usize {
        3 * self.features.image_size().pow(2)
    }

    fn decode(&self, rows: Range<usize>, pixels: &mut [f32]) -> Result<()> {
        let (items, draw) = (&self.items[rows], self.features.draws(self.transform, self.view));
        self.features.images()?.write_pixels(items, self.transform, |at| draw(items[at]), pixels)
    }

    fn forward(&self, pixels: Tensor, items: usize) -> Result<Tensor> {
        let size = self.features.image_size();
        self.features.forward(&pixels.reshape((items, size, size, 3))?)
    }
}
