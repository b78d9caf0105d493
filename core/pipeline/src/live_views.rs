//! Items decoded and augmented while a run trains.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use anyhow::{Context as _, Result, bail, ensure};
use candle_core::{Device, Tensor};
use hashlab_data::{ByModality, Labels, Modality};
use hashlab_image::Transform;
use hashlab_method::{Batch, BatchSpec, Progress, View, ViewSpec};
use hashlab_rng::{Stream, stream};
use hashlab_train::TrainData;

use crate::image_loader::ImageLoader;
use crate::inputs::{Inputs, multi_hot};
use crate::text_loader::TextLoader;

/// The items of one modality, for an encoder that is trained.
pub enum LiveItems<'a> {
    /// Images, transformed for every view.
    Images(ImageLoader<'a>),
    /// Texts, of which a view is a caption.
    Texts(TextLoader<'a>),
}

impl LiveItems<'_> {
    /// The items without augmentation.
    pub fn inputs(&self) -> &dyn Inputs {
        match self {
            Self::Images(images) => images,
            Self::Texts(texts) => texts,
        }
    }

    /// Makes a view of `items`; `draw` opens the stream of each position. `transform` is that of an image.
    fn view(
        &self,
        items: &[u32],
        transform: Option<&Transform>,
        draw: impl Fn(usize) -> Stream + Sync,
    ) -> Result<Made> {
        match (self, transform) {
            (Self::Images(images), Some(transform)) => Ok(Made::Pixels(images.pixels(items, transform, draw)?)),
            (Self::Texts(texts), None) => {
                let captions = texts.texts()?.captions();
                Ok(Made::Tokens(texts.captions_of(items, |at| draw(at).below(captions))?))
            }
            (Self::Images(_), None) => bail!("a view of a text was asked of images"),
            (Self::Texts(_), Some(_)) => bail!("a view of an image was asked of texts"),
        }
    }
}

/// Order of a step's views.
struct Order {
    items: Vec<u32>,
    /// The modality of each view, and the transform of an image.
    views: Vec<(Modality, Option<Transform>)>,
    epoch: usize,
    seed: u64,
}

/// A view that is made, before it is put on a device.
enum Made {
    Pixels(Vec<f32>),
    Tokens(Tensor),
}

/// Training batches, made one step ahead on a thread of their own.
///
/// Every view of every epoch is a draw of its own, from a stream named by (seed, epoch, view, earlier occurrences of
/// the item in the step, item), so that batches do not depend on threads or restarts.
pub struct LiveViews<'a> {
    items: &'a ByModality<LiveItems<'a>>,
    /// The training items, ascending.
    train: &'a [u32],
    labels: Option<&'a Labels>,
    device: &'a Device,
    orders: Sender<Order>,
    ahead: Mutex<Ahead>,
}

/// The step that is made ahead.
struct Ahead {
    /// Its items, if it has been ordered.
    ordered: Option<Vec<u32>>,
    /// Receiver of its views.
    arrivals: Receiver<Result<Vec<Made>>>,
}

impl<'a> LiveViews<'a> {
    /// Starts the thread that makes batches; it ends when the value is dropped. `labels` are those of the data set, if
    /// the method is supervised.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        items: &'a ByModality<LiveItems<'a>>,
        train: &'a [u32],
        labels: Option<&'a Labels>,
        device: &'a Device,
    ) -> Self
    where
        'a: 'scope,
    {
        let (orders, received) = channel::<Order>();
        let (made, arrivals) = channel();
        scope.spawn(move || {
            for order in received {
                if made.send(make(items, train, &order)).is_err() {
                    return;
                }
            }
        });
        Self { items, train, labels, device, orders, ahead: Mutex::new(Ahead { ordered: None, arrivals }) }
    }

    /// The modality of a view and, of an image, its transform.
    fn order(&self, view: &ViewSpec) -> (Modality, Option<Transform>) {
        let transform = match (view, self.items.get(Modality::Image)) {
            (ViewSpec::Image(make), Some(LiveItems::Images(images))) => Some(make(images.size)),
            _ => None,
        };
        (view.modality(), transform)
    }

    fn view(&self, modality: Modality, made: Made) -> Result<View> {
        let x = match (made, self.items.get(modality)) {
            (Made::Pixels(values), Some(LiveItems::Images(images))) => images.tensor(values)?,
            (Made::Tokens(tokens), _) => tokens,
            (Made::Pixels(_), _) => bail!("pixels of {modality} data"),
        };
        Ok(View { modality, x })
    }
}

/// Makes the views of a step's items.
fn make(live: &ByModality<LiveItems<'_>>, train: &[u32], order: &Order) -> Result<Vec<Made>> {
    let items: Vec<u32> = order.items.iter().map(|&position| train[position as usize]).collect();
    let view = |(view, (modality, transform)): (usize, &(Modality, Option<Transform>))| {
        let live =
            live.get(*modality).with_context(|| format!("the method views {modality} data, which the run has not"))?;
        live.view(&items, transform.as_ref(), |at| {
            // Two samplers of a step may draw an item; each gets a view of its own.
            let repeated = order.items[..at].iter().filter(|other| **other == order.items[at]).count();
            let key = [order.epoch, view, repeated, items[at] as usize].map(|part| part as u64);
            stream(order.seed, "live-view", &key)
        })
    };
    order.views.iter().enumerate().map(view).collect()
}

impl TrainData for LiveViews<'_> {
    fn len(&self) -> usize {
        self.train.len()
    }

    fn prefetch(&self, items: &[u32], spec: &BatchSpec, at: &Progress) {
        let views = spec.views.iter().map(|view| self.order(view)).collect();
        let order = Order { items: items.to_vec(), views, epoch: at.epoch, seed: at.seeds[0] };
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
        let views = spec.views.iter().zip(views).map(|(spec, made)| self.view(spec.modality(), made));
        Ok(Batch {
            items: items.to_vec(),
            views: views.collect::<Result<_>>()?,
            labels: self.labels.map(|labels| multi_hot(labels, &chosen, self.device)).transpose()?,
        })
    }
}
