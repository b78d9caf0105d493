//! Features of frozen backbones: from pixels to the view bank, and from the bank to batches.

mod views;

pub use views::{BankViews, Pool};

use std::ops::Range;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use hashlab_backbones::{Backbone, Cut, Norm, Place, Trainable, Weights};
use hashlab_bank::{Bank, Progress as Extraction, Segment, SegmentKey, Shape, items_digest};
use hashlab_data::{Dataset, Labels};
use hashlab_image::{Normalize, Transform};
use hashlab_kernels::threads::serial;
use hashlab_rng::stream;
use rayon::prelude::*;

use crate::config::{self, BackboneConfig, Compute};
use crate::inputs::Images;

/// Items whose features are stored and checked together.
const CHUNK: usize = 256;
/// Images that go through the backbone together on a GPU: a guess, as nothing was measured on one yet.
const GPU_BATCH: usize = 64;

/// Raised when the same weights and pixels give other features, so that banks are not mixed.
const REVISION: u32 = 1;

/// Hears how an extraction goes: what is extracted, how far. Its error ends the extraction; what is done is kept.
pub type OnProgress<'a> = &'a mut dyn FnMut(&str, Extraction) -> Result<()>;

/// The features of a data set under a frozen backbone.
pub struct Features<'a> {
    bank: &'a Bank,
    dataset: &'a dyn Dataset,
    /// Identity of the data set and its settings.
    identity: String,
    network: &'static hashlab_backbones::Entry,
    config: BackboneConfig,
    weights: Option<std::path::PathBuf>,
    backbone: OnceLock<Box<dyn Backbone>>,
    device: Device,
}

impl<'a> Features<'a> {
    /// Prepares access; nothing is read or computed yet. The networks, and the runs that use the features, work on
    /// `device`.
    ///
    /// # Errors
    /// If the backbone is unknown.
    pub fn new(
        bank: &'a Bank,
        dataset: &'a dyn Dataset,
        identity: String,
        config: &BackboneConfig,
        weights: Option<std::path::PathBuf>,
        device: &Device,
    ) -> Result<Self> {
        let network = hashlab_backbones::find(&config.name).context("unknown backbone")?;
        let (config, device) = (config.clone(), device.clone());
        Ok(Self { bank, dataset, identity, network, config, weights, backbone: OnceLock::new(), device })
    }

    /// Where tensors live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Length of the feature vectors that methods see.
    pub fn dim(&self) -> usize {
        self.network.dim
    }

    /// Where the network is divided, if it is.
    fn cut(&self) -> Option<&'static Cut> {
        self.network.cut.as_ref().filter(|cut| cut.name == self.config.cut)
    }

    /// Opens the part of a divided network that runs in every step; nothing for a whole one.
    ///
    /// # Errors
    /// If its weights cannot be read.
    pub fn tail(&self) -> Result<Option<Box<dyn Trainable>>> {
        let Some(cut) = self.cut() else { return Ok(None) };
        Ok(Some((cut.tail)(self.weights()?.as_ref(), &self.device)?))
    }

    /// Reads the weights, and checks that they are those that the run was planned with.
    fn weights(&self) -> Result<Option<Weights>> {
        let Some(path) = &self.weights else { return Ok(None) };
        let (weights, planned) = (Weights::read(path)?, &self.config.digest);
        ensure!(
            weights.digest() == planned,
            "{} has digest {}, the run was planned with {planned}\nhelp: plan again with this file, or restore the other",
            path.display(),
            weights.digest()
        );
        Ok(Some(weights))
    }

    /// Features of all items without augmentation; row = item. Extracts what the bank lacks.
    ///
    /// # Errors
    /// If images, weights or the bank cannot be read or written.
    pub fn plain(&self, progress: OnProgress<'_>) -> Result<Segment> {
        let items: Vec<u32> = (0..self.dataset.len() as u32).collect();
        self.segment(&items, Transform::resize(self.config.size), 0, "features", progress)
    }

    /// Features of `views` augmented views of `items`; row = position among them. Extracts what the bank lacks.
    ///
    /// # Errors
    /// If images, weights or the bank cannot be read or written.
    pub fn views(
        &self,
        items: &[u32],
        transform: Transform,
        views: usize,
        progress: OnProgress<'_>,
    ) -> Result<Vec<Segment>> {
        (0..views)
            .map(|view| {
                let name = format!("view {} of {views}", view + 1);
                self.segment(items, transform.clone(), view as u32, &name, progress)
            })
            .collect()
    }

    /// Names what computes the features. In f32 it has the name that it had before there was a choice.
    fn identify(&self) -> String {
        let network = match self.cut() {
            Some(cut) => format!("{}/{} r{REVISION}", self.network.name, cut.name),
            None => format!("{} r{REVISION}", self.network.name),
        };
        match self.config.compute {
            Compute::F32 => network,
            Compute::Bf16 => network + " bf16",
        }
    }

    fn segment(
        &self,
        items: &[u32],
        transform: Transform,
        view: u32,
        name: &str,
        progress: OnProgress<'_>,
    ) -> Result<Segment> {
        let key = SegmentKey {
            dataset: self.identity.clone(),
            items: items_digest(items),
            backbone: self.identify(),
            weights: self.config.digest.clone(),
            transform: transform.to_string(),
            view,
            precision: self.config.precision,
        };
        let dim = self.cut().map_or(self.network.dim, |cut| cut.dim);
        let shape = Shape { rows: items.len(), dim, chunk_rows: CHUNK };
        let extract = |rows: Range<usize>| self.extract(&items[rows], &transform, view);
        self.bank.ensure(&key, shape, extract, |at| progress(name, at))
    }

    /// Computes features of a view of `items`; row-major `(items, dim)`.
    fn extract(&self, items: &[u32], transform: &Transform, view: u32) -> Result<Vec<f32>> {
        // The view's stream does not depend on the run's seed, so that all runs share it.
        let purpose = format!("view/{transform}");
        let draw = |item: u32| stream(0, &purpose, &[u64::from(view), u64::from(item)]);
        let backbone = self.backbone()?;
        let [mean, std] = backbone.normalize();
        let normalize = Normalize { mean, std };
        let images = Images { dataset: self.dataset, size: self.config.size, normalize, device: &self.device };
        let dtype = self.config.compute.dtype();
        // The bank takes f32.
        let forward = |views: Tensor| backbone.forward(&views.to_dtype(dtype)?)?.flatten_all()?.to_dtype(DType::F32);
        match self.device.is_cpu() {
            true => self.on_threads(items, |items| {
                let views = images.load_views_serially(items, transform, draw)?;
                Ok(serial(|| forward(views))?)
            }),
            false => queued(items, |items| Ok(forward(images.load_views(items, transform, |at| draw(items[at]))?)?)),
        }
    }

    /// Maps micro-batches of `items` on all threads of the current pool, each on one thread.
    fn on_threads(&self, items: &[u32], map: impl Fn(&[u32]) -> Result<Tensor> + Sync) -> Result<Vec<f32>> {
        // No thread shall be without work.
        let share = items.len().div_ceil(rayon::current_num_threads()).max(1);
        let micro_batch = self.network.micro_batch(self.config.size).min(share);
        let parts = items.par_chunks(micro_batch).map(|items| Ok(map(items)?.to_vec1()?));
        Ok(parts.collect::<Result<Vec<Vec<f32>>>>()?.concat())
    }

    /// Opens the backbone to be trained in a run: from its weights, or from the run's `seed`.
    ///
    /// # Errors
    /// If it cannot be trained, or its weights cannot be read.
    pub fn trainable(&self, seed: u64) -> Result<Box<dyn Trainable>> {
        self.dataset.digest()?; // verifies the pixels
        let open = self.network.train.with_context(|| format!("backbone `{}` cannot be trained", self.network.name))?;
        let norm = match self.config.norm {
            config::Norm::Batch => Norm::Batch,
            config::Norm::Frozen => Norm::Frozen,
        };
        Ok(open(self.weights()?.as_ref(), seed, norm, &self.device)?)
    }

    /// Opens the backbone on first use: a bank that is complete needs no weights and no pixels.
    fn backbone(&self) -> Result<&dyn Backbone> {
        if self.backbone.get().is_none() {
            // Verifies the pixels against the data set's declared digest, too.
            self.dataset.digest()?;
            let open = self.cut().map_or(self.network.open, |cut| cut.trunk);
            let place = Place { device: &self.device, dtype: self.config.compute.dtype() };
            let opened = open(self.weights()?.as_ref(), 0, place)?;
            let _ = self.backbone.set(opened); // another thread may have been faster
        }
        Ok(self.backbone.get().expect("set above").as_ref())
    }
}

/// Maps batches of `items`, whose results are fetched when all are queued: a GPU computes while the next images are
/// decoded.
fn queued(items: &[u32], map: impl Fn(&[u32]) -> Result<Tensor>) -> Result<Vec<f32>> {
    let batches = items.chunks(GPU_BATCH).map(map).collect::<Result<Vec<Tensor>>>()?;
    Ok(Tensor::cat(&batches, 0)?.to_vec1()?)
}

/// Reads rows of the plain features as a tensor `(rows, dim)`.
///
/// # Errors
/// If the bank cannot be read.
pub fn gather(segment: &Segment, rows: &[u32], device: &Device) -> Result<Tensor> {
    let mut values = vec![0f32; rows.len() * segment.dim()];
    segment.read_rows(rows, &mut values)?;
    Ok(Tensor::from_vec(values, (rows.len(), segment.dim()), device)?)
}

/// Multi-hot labels `(items, classes)` of `items`.
///
/// # Errors
/// If the device has no room for them.
pub fn multi_hot(labels: &Labels, items: &[u32], device: &Device) -> Result<Tensor> {
    let classes = labels.classes();
    let mut values = vec![0f32; items.len() * classes];
    for (row, &item) in items.iter().enumerate() {
        for class in labels.classes_of(item as usize) {
            values[row * classes + class] = 1.0;
        }
    }
    Ok(Tensor::from_vec(values, (items.len(), classes), device)?)
}
