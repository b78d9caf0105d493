//! Training batches from stored features.

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor};
use hashlab_data::{Labels, Modality};
use hashlab_kernels::device::free_memory;
use hashlab_method::{Batch, BatchSpec, Progress, View};
use hashlab_rng::stream;
use hashlab_train::TrainData;

use crate::inputs::{FeatureRows, multi_hot};

/// Divisor of a GPU's free memory for the part that stored views may take: runs share the GPU, and need memory for
/// their work.
const SHARE: u64 = 8;
/// Bytes of stored views that are kept in the processor's memory: twice CIFAR-10's at 1280 features. More are read from
/// the cache row by row, which takes longer, in bounded memory.
const IN_MEMORY: u64 = 512 << 20;

/// The stored views of one modality and transform; row = position among the training items.
#[derive(Clone)]
pub struct Pool<'a> {
    /// Modality of the view.
    pub modality: Modality,
    /// One set of rows per stored view.
    pub views: Vec<FeatureRows<'a>>,
    /// Whether the views differ. A transform without randomness is stored once, and every draw of it is that view.
    pub random: bool,
}

/// Training batches drawn from stored views.
pub struct StoredViews<'a> {
    /// One per transform.
    pools: Vec<Pool<'a>>,
    /// For each view of a step, the position of its pool.
    views: Vec<usize>,
    /// Number of samplers of a step.
    samplers: usize,
    /// The training items and all labels, if the method is supervised.
    labels: Option<(&'a Labels, &'a [u32])>,
    device: Device,
    /// The stored views of each pool below each other, `(views · items, dim)`, if they fit into memory.
    resident: Option<Vec<Tensor>>,
}

impl<'a> StoredViews<'a> {
    /// Makes batches by a method's specification from stored `pools`; `views` holds the pool of each view of a step.
    ///
    /// All pools are copied to the device if they fit, so that a step reads no file and moves no features.
    ///
    /// # Errors
    /// If fewer views are stored than a step draws.
    pub fn new(
        pools: Vec<Pool<'a>>,
        views: Vec<usize>,
        samplers: usize,
        labels: Option<(&'a Labels, &'a [u32])>,
        device: &Device,
    ) -> Result<Self> {
        let mut served = Self { pools, views, samplers, labels, device: device.clone(), resident: None };
        for (index, pool) in served.pools.iter().enumerate() {
            let drawn = served.drawn(index);
            ensure!(
                !pool.random || pool.views.len() >= drawn,
                "the method draws {drawn} views per step of every {}, and {} are stored\n\
                 help: raise `views` in [image] to at least {drawn}; a data set of texts or features needs as many \
                 captions or views",
                pool.modality,
                pool.views.len()
            );
        }
        let room = if device.is_cpu() { IN_MEMORY } else { free_memory(device).unwrap_or_default() / SHARE };
        if served.bytes() <= room {
            served.upload()?;
        }
        Ok(served)
    }

    /// The size of all pools on a device.
    fn bytes(&self) -> u64 {
        let values: usize = self.pools.iter().flat_map(|pool| &pool.views).map(|rows| rows.rows() * rows.dim()).sum();
        (values * size_of::<f32>()) as u64
    }

    /// Copies all pools to the device.
    fn upload(&mut self) -> Result<()> {
        let upload = |pool: &Pool<'a>| if self.device.is_cpu() { self.read(pool) } else { self.copy(pool) };
        self.resident = Some(self.pools.iter().map(upload).collect::<Result<_>>()?);
        Ok(())
    }

    /// Reads a pool into the processor's memory.
    fn read(&self, pool: &Pool<'_>) -> Result<Tensor> {
        let (items, dim) = (self.len(), pool.dim());
        let rows: Vec<u32> = (0..items as u32).collect();
        let mut values = vec![0f32; pool.views.len() * items * dim];
        for (stored, out) in pool.views.iter().zip(values.chunks_exact_mut(items * dim)) {
            stored.read(&rows, out)?;
        }
        Ok(Tensor::from_vec(values, (pool.views.len() * items, dim), &self.device)?)
    }

    /// Copies a pool to a GPU, one view at a time through the processor's memory.
    fn copy(&self, pool: &Pool<'_>) -> Result<Tensor> {
        let (items, dim) = (self.len(), pool.dim());
        let all = Tensor::zeros((pool.views.len() * items, dim), DType::F32, &self.device)?;
        let rows: Vec<u32> = (0..items as u32).collect();
        let mut values = vec![0f32; items * dim];
        for (view, stored) in pool.views.iter().enumerate() {
            stored.read(&rows, &mut values)?;
            all.slice_set(&Tensor::from_slice(&values, (items, dim), &self.device)?, 0, view * items)?;
        }
        Ok(all)
    }

    /// Views of an item that a step draws from a pool, if every sampler draws it.
    fn drawn(&self, pool: usize) -> usize {
        self.samplers * self.views.iter().filter(|of| **of == pool).count()
    }

    /// Picks the stored views of an item in an epoch: the epoch's own if there are enough for every epoch, otherwise a
    /// random draw without repetition.
    fn pick(&self, pool: usize, item: u32, at: &Progress, seed: u64) -> Vec<usize> {
        let (drawn, stored) = (self.drawn(pool), self.pools[pool].views.len());
        if !self.pools[pool].random {
            return vec![0; drawn];
        }
        if stored >= drawn * at.epochs {
            return (at.epoch * drawn..(at.epoch + 1) * drawn).collect();
        }
        let key = [at.epoch as u64, u64::from(item), pool as u64];
        // The first pool of all methods has the same key.
        let key = if pool == 0 { &key[..2] } else { &key[..] };
        stream(seed, "view-draw", key).distinct(drawn, stored)
    }

    /// Loads view `view` of `items`, as many of each run, `(items, dim)`, given the picks for each of them from the
    /// view's pool.
    fn load(&self, view: usize, items: &[u32], runs: usize, picked: &[Vec<usize>]) -> Result<Tensor> {
        let pool = self.views[view];
        let per_run = items.len() / runs;
        let per_sampler = per_run / self.samplers;
        let before = self.views[..view].iter().filter(|of| **of == pool).count();
        let draw = |row: usize| row % per_run / per_sampler * (self.drawn(pool) / self.samplers) + before;
        let chosen = picked.iter().enumerate().map(|(row, picked)| picked[draw(row)]);
        if let Some(resident) = &self.resident {
            let row = |(stored, item): (usize, &u32)| (stored * self.len()) as u32 + item;
            let rows: Vec<u32> = chosen.zip(items).map(row).collect();
            return Ok(resident[pool].index_select(&Tensor::new(rows, &self.device)?, 0)?);
        }
        let (stored_views, dim) = (&self.pools[pool].views, self.pools[pool].dim());
        let mut values = vec![0f32; items.len() * dim];
        for ((stored, item), out) in chosen.zip(items).zip(values.chunks_exact_mut(dim)) {
            stored_views[stored].read(&[*item], out)?;
        }
        Ok(Tensor::from_vec(values, (items.len(), dim), &self.device)?)
    }
}

impl Pool<'_> {
    fn dim(&self) -> usize {
        self.views[0].dim()
    }
}

impl TrainData for StoredViews<'_> {
    fn len(&self) -> usize {
        self.pools[0].views[0].rows()
    }

    fn batch(&self, items: &[u32], spec: &BatchSpec, at: &Progress) -> Result<Batch> {
        let runs = at.runs();
        let labels = match self.labels {
            None => None,
            Some((labels, train)) => {
                let chosen: Vec<u32> = items.iter().map(|&item| train[item as usize]).collect();
                Some(by_run(multi_hot(labels, &chosen, &self.device)?, runs)?)
            }
        };
        let seeds = || at.seeds.iter().flat_map(|seed| std::iter::repeat_n(*seed, items.len() / runs));
        let pick = |pool| -> Vec<Vec<usize>> {
            items.iter().zip(seeds()).map(|(&item, seed)| self.pick(pool, item, at, seed)).collect()
        };
        let picked: Vec<_> = (0..self.pools.len()).map(pick).collect();
        let view = |index: usize| -> Result<View> {
            let pool = self.views[index];
            let x = by_run(self.load(index, items, runs, &picked[pool])?, runs)?;
            Ok(View { modality: self.pools[pool].modality, x })
        };
        let views = (0..spec.views.len()).map(view).collect::<Result<_>>()?;
        Ok(Batch { items: items.to_vec(), views, labels })
    }
}

/// Divides rows of several runs, `(runs · b, d)`, into `(runs, b, d)`.
fn by_run(rows: Tensor, runs: usize) -> Result<Tensor> {
    let (count, dim) = rows.dims2()?;
    Ok(if runs == 1 { rows } else { rows.reshape((runs, count / runs, dim))? })
}

#[cfg(test)]
mod tests {
    use hashlab_cache::{CacheDtype, FeatureCache, FeatureKey, Shape};
    use hashlab_method::ViewSpec;

    use super::*;

    const ITEMS: usize = 7;
    const DIM: usize = 3;

    fn pool<'a>(cache: &FeatureCache, name: &str, views: u32) -> Pool<'a> {
        let stored = |view: u32| {
            let key = FeatureKey {
                dataset: name.into(),
                items: String::new(),
                encoder: String::new(),
                weights: String::new(),
                transform: String::new(),
                view,
                dtype: CacheDtype::F32,
            };
            let shape = Shape { rows: ITEMS, dim: DIM, chunk_rows: 4 };
            let value = |element: usize| (f64::from(view) + element as f64 / 100.0) as f32;
            let extract = |rows: std::ops::Range<usize>| Ok((rows.start * DIM..rows.end * DIM).map(value).collect());
            FeatureRows::Cached(cache.ensure(&key, shape, extract, |_| anyhow::Ok(())).unwrap())
        };
        Pool { modality: Modality::Image, views: (0..views).map(stored).collect(), random: views > 1 }
    }

    #[test]
    fn batches_are_the_same_wherever_the_views_are() {
        let folder = tempfile::tempdir().unwrap();
        let cache = FeatureCache::open(folder.path(), None).unwrap();
        let views = || {
            let pools = vec![pool(&cache, "random", 5), pool(&cache, "fixed", 1)];
            StoredViews::new(pools, vec![0, 1, 0], 2, None, &Device::Cpu).unwrap()
        };
        let (resident, stored) = (views(), StoredViews { resident: None, ..views() });
        assert_eq!(resident.bytes(), (6 * ITEMS * DIM * 4) as u64);
        assert!(resident.resident.is_some(), "so few fit into memory");
        // As on a GPU.
        let copied = StoredViews {
            resident: Some(stored.pools.iter().map(|pool| stored.copy(pool).unwrap()).collect()),
            ..views()
        };
        let plain = ViewSpec::plain(Modality::Image);
        let spec = BatchSpec { views: vec![plain.clone(), plain.clone(), plain], samplers: 2 };
        for epoch in 0..4 {
            let batch = |from: &StoredViews<'_>, items: &[u32], seeds: &[u64]| -> Vec<Vec<f32>> {
                let at = Progress { epoch, epochs: 4, step: epoch, steps: 4, seeds: seeds.into() };
                let batch = from.batch(items, &spec, &at).unwrap();
                batch.views.iter().map(|view| view.x.flatten_all().unwrap().to_vec1().unwrap()).collect()
            };
            let items = [[6, 0, 3, 3, 5, 6], [1, 2, 4, 6, 1, 0]];
            for (items, seed) in [(items[0], 1), (items[1], 8)] {
                assert_eq!(batch(&resident, &items, &[seed]), batch(&stored, &items, &[seed]));
                assert_eq!(batch(&copied, &items, &[seed]), batch(&stored, &items, &[seed]));
            }
            // The batch of stacked runs holds that of each, one behind the other.
            let [first, second] = [(0, 1), (1, 8)].map(|(run, seed)| batch(&stored, &items[run], &[seed]));
            let expected: Vec<Vec<f32>> = first.into_iter().zip(second).map(|(a, b)| [a, b].concat()).collect();
            for from in [&resident, &stored, &copied] {
                assert_eq!(batch(from, &items.concat(), &[1, 8]), expected);
            }
        }
    }
}
