//! Features of frozen backbones: from pixels to the view bank, and from the bank to batches.

use std::ops::Range;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use hashlab_backbones::{Backbone, Cut, Norm, Trainable, Weights};
use hashlab_bank::{Bank, Progress as Extraction, Segment, SegmentKey, Shape, items_digest};
use hashlab_data::{Dataset, Labels};
use hashlab_image::{Normalize, Transform, to_hwc};
use hashlab_kernels::threads::serial;
use hashlab_rng::stream;
use rayon::prelude::*;

use crate::config::{self, BackboneConfig};
use crate::method::{Batch, Demand, Progress};
use crate::train::TrainData;

/// Items whose features are stored and checked together.
const CHUNK: usize = 256;

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
}

impl<'a> Features<'a> {
    /// Prepares access; nothing is read or computed yet.
    ///
    /// # Errors
    /// If the backbone is unknown.
    pub fn new(
        bank: &'a Bank,
        dataset: &'a dyn Dataset,
        identity: String,
        config: &BackboneConfig,
        weights: Option<std::path::PathBuf>,
    ) -> Result<Self> {
        let network = hashlab_backbones::find(&config.name).context("unknown backbone")?;
        Ok(Self { bank, dataset, identity, network, config: config.clone(), weights, backbone: OnceLock::new() })
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
        Ok(Some((cut.tail)(self.weights()?.as_ref())?))
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
            backbone: match self.cut() {
                Some(cut) => format!("{}/{} r{REVISION}", self.network.name, cut.name),
                None => format!("{} r{REVISION}", self.network.name),
            },
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

    /// Computes features of `items` on all threads of the current pool; row-major `(items, dim)`.
    fn extract(&self, items: &[u32], transform: &Transform, view: u32) -> Result<Vec<f32>> {
        let backbone = self.backbone()?;
        // No thread shall be without work.
        let share = items.len().div_ceil(rayon::current_num_threads()).max(1);
        let micro_batch = self.network.micro_batch(self.config.size).min(share);
        let parts: Result<Vec<Vec<f32>>> =
            items.par_chunks(micro_batch).map(|part| self.extract_part(backbone, part, transform, view)).collect();
        Ok(parts?.concat())
    }

    fn extract_part(
        &self,
        backbone: &dyn Backbone,
        items: &[u32],
        transform: &Transform,
        view: u32,
    ) -> Result<Vec<f32>> {
        let size = self.config.size;
        let [mean, std] = backbone.normalize();
        let normalize = Normalize { mean, std };
        // The view's stream does not depend on the run's seed, so that all runs share it.
        let purpose = format!("view/{transform}");
        let mut pixels = vec![0f32; items.len() * size * size * 3];
        for (&item, out) in items.iter().zip(pixels.chunks_exact_mut(size * size * 3)) {
            let mut rng = stream(0, &purpose, &[u64::from(view), u64::from(item)]);
            let image = self.dataset.image(item as usize)?;
            to_hwc(&transform.apply(&image, &mut rng), &normalize, out);
        }
        let input = Tensor::from_vec(pixels, (items.len(), size, size, 3), &Device::Cpu)?;
        Ok(serial(|| backbone.forward(&input))?.flatten_all()?.to_vec1::<f32>()?)
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
        Ok(open(self.weights()?.as_ref(), seed, norm)?)
    }

    /// Opens the backbone on first use: a bank that is complete needs no weights and no pixels.
    fn backbone(&self) -> Result<&dyn Backbone> {
        if self.backbone.get().is_none() {
            // Verifies the pixels against the data set's declared digest, too.
            self.dataset.digest()?;
            let open = self.cut().map_or(self.network.open, |cut| cut.trunk);
            let opened = open(self.weights()?.as_ref(), 0)?;
            let _ = self.backbone.set(opened); // another thread may have been faster
        }
        Ok(self.backbone.get().expect("set above").as_ref())
    }
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

/// The stored views of one transform; row = position among the training items.
pub struct Pool {
    /// One segment per stored view.
    pub segments: Vec<Segment>,
    /// Whether the views differ. A transform without randomness is stored once, and every draw of it is that view.
    pub random: bool,
}

/// Training batches drawn from stored views.
pub struct BankViews<'a> {
    /// One per different transform.
    pools: Vec<Pool>,
    /// For each view of a step, the position of its pool.
    views: Vec<usize>,
    /// Streams that a step draws items from.
    streams: usize,
    /// The training items and all labels, where the method may see them.
    labels: Option<(&'a Labels, &'a [u32])>,
    device: Device,
}

impl<'a> BankViews<'a> {
    /// Serves the batches that a method demands from stored `pools`; `views` holds the pool of each view of a step.
    ///
    /// # Errors
    /// If fewer views are stored than a step draws.
    pub fn new(
        pools: Vec<Pool>,
        views: Vec<usize>,
        streams: usize,
        labels: Option<(&'a Labels, &'a [u32])>,
        device: &Device,
    ) -> Result<Self> {
        let served = Self { pools, views, streams, labels, device: device.clone() };
        for (index, pool) in served.pools.iter().enumerate() {
            let drawn = served.drawn(index);
            ensure!(
                !pool.random || pool.segments.len() >= drawn,
                "the method draws {drawn} views per step, `backbone.views` is {}\nhelp: raise `views` in [backbone] to at least {drawn}",
                pool.segments.len()
            );
        }
        Ok(served)
    }

    /// Views of an item that a step draws from a pool, should the item be in every stream.
    fn drawn(&self, pool: usize) -> usize {
        self.streams * self.views.iter().filter(|of| **of == pool).count()
    }

    /// Picks the stored views of an item in an epoch: the epoch's own where there are enough for every epoch,
    /// otherwise a random draw without repetition.
    fn pick(&self, pool: usize, item: u32, at: &Progress) -> Vec<usize> {
        let (drawn, stored) = (self.drawn(pool), self.pools[pool].segments.len());
        if !self.pools[pool].random {
            return vec![0; drawn];
        }
        if stored >= drawn * at.epochs {
            return (at.epoch * drawn..(at.epoch + 1) * drawn).collect();
        }
        let key = [at.epoch as u64, u64::from(item), pool as u64];
        // The first pool of all methods has the same key.
        let key = if pool == 0 { &key[..2] } else { &key[..] };
        stream(at.seed, "view-draw", key).distinct(drawn, stored)
    }

    /// Reads view `view` of `items`, row-major.
    fn read(&self, view: usize, items: &[u32], at: &Progress) -> Result<Vec<f32>> {
        let pool = self.views[view];
        let segments = &self.pools[pool].segments;
        let (dim, per_stream) = (self.dim(), items.len() / self.streams);
        let before = self.views[..view].iter().filter(|of| **of == pool).count();
        let mut values = vec![0f32; items.len() * dim];
        for (row, (&item, out)) in items.iter().zip(values.chunks_exact_mut(dim)).enumerate() {
            let draw = row / per_stream * (self.drawn(pool) / self.streams) + before;
            segments[self.pick(pool, item, at)[draw]].read_rows(&[item], out)?;
        }
        Ok(values)
    }

    fn dim(&self) -> usize {
        self.pools[0].segments[0].dim()
    }
}

impl TrainData for BankViews<'_> {
    fn len(&self) -> usize {
        self.pools[0].segments[0].rows()
    }

    fn batch(&self, items: &[u32], demand: &Demand, at: &Progress) -> Result<Batch> {
        let view =
            |view| anyhow::Ok(Tensor::from_vec(self.read(view, items, at)?, (items.len(), self.dim()), &self.device)?);
        let labels = match self.labels {
            None => None,
            Some((labels, train)) => {
                let chosen: Vec<u32> = items.iter().map(|&item| train[item as usize]).collect();
                Some(multi_hot(labels, &chosen, &self.device)?)
            }
        };
        Ok(Batch { items: items.to_vec(), views: (0..demand.views.len()).map(view).collect::<Result<_>>()?, labels })
    }
}
