//! Images decoded and augmented while a run trains.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use anyhow::{Context as _, Result, bail, ensure};
use candle_core::{Device, Tensor};
use hashlab_data::{Dataset, ItemData, Labels, Modality};
use hashlab_encoders::Preprocess;
use hashlab_image::{Normalize, Transform, to_hwc};
use hashlab_method::{Batch, BatchSpec, Progress, View, ViewSpec};
use hashlab_rng::{Stream, stream};
use hashlab_train::TrainData;
use rayon::prelude::*;

use crate::inputs::{Inputs, multi_hot};

/// Images of a data set as an encoder takes them: `(n, size, size, 3)`, normalized, on its device.
#[derive(Clone, Copy)]
pub struct ImageLoader<'a> {
    /// The data set.
    pub dataset: &'a dyn Dataset,
    /// Side in pixels.
    pub size: usize,
    /// How an image becomes one of that size, without augmentation.
    pub preprocess: Preprocess,
    /// The encoder's mean and standard deviation of each color.
    pub normalize: Normalize,
    /// Where tensors are put.
    pub device: &'a Device,
}

impl ImageLoader<'_> {
    /// Decodes and transforms images on all threads of the current pool; `draw` opens the stream of each position.
    fn pixels(&self, items: &[u32], transform: &Transform, draw: impl Fn(usize) -> Stream + Sync) -> Result<Vec<f32>> {
        let mut values = vec![0f32; items.len() * self.pixels_of_one()];
        self.write_pixels(items, transform, draw, &mut values)?;
        Ok(values)
    }

    /// How many numbers an image has.
    pub(crate) fn pixels_of_one(&self) -> usize {
        self.size * self.size * 3
    }

    /// [`Self::pixels`] into the beginning of `values`.
    pub(crate) fn write_pixels(
        &self,
        items: &[u32],
        transform: &Transform,
        draw: impl Fn(usize) -> Stream + Sync,
        values: &mut [f32],
    ) -> Result<()> {
        let each = values.par_chunks_exact_mut(self.pixels_of_one()).zip(items).enumerate();
        each.try_for_each(|(at, (out, &item))| self.read(item, transform, draw(at), out))
    }

    /// Decodes and transforms one image.
    fn read(&self, item: u32, transform: &Transform, mut draws: Stream, out: &mut [f32]) -> Result<()> {
        let Some(ItemData::Images(images)) = self.dataset.data(Modality::Image) else {
            bail!("the items have no images")
        };
        let image = images.image(item as usize)?;
        to_hwc(&transform.apply(&image, &mut draws), &self.normalize, out);
        Ok(())
    }

    fn tensor(&self, values: Vec<f32>) -> Result<Tensor> {
        let items = values.len() / (self.size * self.size * 3);
        Ok(Tensor::from_vec(values, (items, self.size, self.size, 3), self.device)?)
    }

    /// Loads views of `items` that `transform` makes with the stream of each position.
    pub(crate) fn load_views(
        &self,
        items: &[u32],
        transform: &Transform,
        draw: impl Fn(usize) -> Stream + Sync,
    ) -> Result<Tensor> {
        self.tensor(self.pixels(items, transform, draw)?)
    }

    /// Loads views of `items` on this thread; `draw` opens the stream of each item.
    pub(crate) fn load_views_serially(
        &self,
        items: &[u32],
        transform: &Transform,
        draw: impl Fn(u32) -> Stream,
    ) -> Result<Tensor> {
        let pixels = self.size * self.size * 3;
        let mut values = vec![0f32; items.len() * pixels];
        let mut each = values.chunks_exact_mut(pixels).zip(items);
        each.try_for_each(|(out, &item)| self.read(item, transform, draw(item), out))?;
        self.tensor(values)
    }
}

impl Inputs for ImageLoader<'_> {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn chunk(&self) -> usize {
        64
    }

    fn load(&self, items: &[u32]) -> Result<Tensor> {
        // The transform draws nothing, so the stream does not matter.
        self.load_views(items, &self.preprocess.transform(self.size), |_| stream(0, "plain", &[]))
    }
}

/// What a step's images are made from.
struct Order {
    items: Vec<u32>,
    transforms: Vec<Transform>,
    epoch: usize,
    seed: u64,
}

/// Training batches of images, made on a thread of its own one step ahead.
///
/// Every view of every epoch is a draw of its own, from a stream named by (seed, epoch, view, earlier occurrences of the
/// item in the step, item), so that batches do not depend on threads or restarts.
pub struct LiveViews<'a> {
    images: ImageLoader<'a>,
    /// The training items, ascending.
    train: &'a [u32],
    labels: Option<&'a Labels>,
    orders: Sender<Order>,
    ahead: Mutex<Ahead>,
}

/// The step that is made ahead.
struct Ahead {
    /// Its items, once it is ordered.
    ordered: Option<Vec<u32>>,
    /// Where its views arrive.
    arrivals: Receiver<Result<Views>>,
}

/// The views of a step, one buffer each.
type Views = Vec<Vec<f32>>;

impl<'a> LiveViews<'a> {
    /// Starts the thread that makes batches; it ends when the value is dropped. `labels` are those of the data set,
    /// where the method may see them.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        images: ImageLoader<'a>,
        train: &'a [u32],
        labels: Option<&'a Labels>,
    ) -> Self
    where
        'a: 'scope,
    {
        let (orders, received) = channel::<Order>();
        let (made, arrivals) = channel();
        scope.spawn(move || {
            for order in received {
                if made.send(make(&images, train, &order)).is_err() {
                    return;
                }
            }
        });
        Self { images, train, labels, orders, ahead: Mutex::new(Ahead { ordered: None, arrivals }) }
    }
}

impl LiveViews<'_> {
    fn view(&self, values: Vec<f32>) -> Result<View> {
        Ok(View { modality: Modality::Image, x: self.images.tensor(values)? })
    }
}

/// The transform of a view of images of `size` pixels; `None` of a text.
fn image_transform(view: &ViewSpec, size: usize) -> Option<Transform> {
    match view {
        ViewSpec::Image(make) => Some(make(size)),
        ViewSpec::Text => None,
    }
}

/// Makes the views of a step's items.
fn make(images: &ImageLoader<'_>, train: &[u32], order: &Order) -> Result<Views> {
    let items: Vec<u32> = order.items.iter().map(|&position| train[position as usize]).collect();
    let view = |(view, transform): (usize, &Transform)| {
        images.pixels(&items, transform, |at| {
            // Two samplers of a step may draw an item; each gets a view of its own.
            let repeated = order.items[..at].iter().filter(|other| **other == order.items[at]).count();
            let key = [order.epoch, view, repeated, items[at] as usize].map(|part| part as u64);
            stream(order.seed, "live-view", &key)
        })
    };
    order.transforms.iter().enumerate().map(view).collect()
}

impl TrainData for LiveViews<'_> {
    fn len(&self) -> usize {
        self.train.len()
    }

    fn prefetch(&self, items: &[u32], spec: &BatchSpec, at: &Progress) {
        let transforms = spec.views.iter().filter_map(|view| image_transform(view, self.images.size)).collect();
        let order = Order { items: items.to_vec(), transforms, epoch: at.epoch, seed: at.seed };
        let mut ahead = self.ahead.lock().expect("no holder of this lock panics");
        if ahead.ordered.is_none() && self.orders.send(order).is_ok() {
            ahead.ordered = Some(items.to_vec());
        }
    }

    fn batch(&self, items: &[u32], spec: &BatchSpec, at: &Progress) -> Result<Batch> {
        self.prefetch(items, spec, at);
        let mut ahead = self.ahead.lock().expect("no holder of this lock panics");
        let ordered = ahead.ordered.take();
        let views = ahead.arrivals.recv().context("the thread that makes batches ended")??;
        ensure!(ordered.as_deref() == Some(items), "a step was announced and another one taken");
        let chosen: Vec<u32> = items.iter().map(|&position| self.train[position as usize]).collect();
        Ok(Batch {
            items: items.to_vec(),
            views: views.into_iter().map(|values| self.view(values)).collect::<Result<_>>()?,
            labels: self.labels.map(|labels| multi_hot(labels, &chosen, self.images.device)).transpose()?,
        })
    }
}
