//! What a run works with: its data set, and the source of each modality's features.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use candle_core::Device;
use hashlab_cache::FeatureCache;
use hashlab_data::{ByModality, Dataset, ItemData, Modality, StoredFeatures};
use hashlab_encoders::Entry;
use hashlab_method::ViewSpec;
use hashlab_settings::canonical;
use hashlab_store::RunConfig;

use crate::config::{ImageConfig, NO_ENCODER, TextConfig, section};
use crate::image_features::{ImageFeatures, OnProgress};
use crate::inputs::FeatureRows;
use crate::stored_views::Pool;

/// A run's data set and the source of each modality's features.
pub struct RunEnvironment<'a> {
    /// The data set.
    pub dataset: &'a dyn Dataset,
    /// The encoders, by modality.
    pub encoders: ByModality<EncoderSetup<'a>>,
    /// Where tensors live.
    pub device: Device,
}

/// The source of a modality's features.
pub enum EncoderSetup<'a> {
    /// Images under an encoder.
    Images(Box<ImageFeatures<'a>>),
    /// The data set's own features.
    Stored(&'a dyn StoredFeatures),
}

/// What image encoders need beside a run's configuration.
#[derive(Clone, Copy)]
pub struct ImageSetup<'a> {
    /// The feature cache.
    pub cache: &'a FeatureCache,
    /// The registered encoders.
    pub encoders: &'static [Entry],
    /// Finds the weights file of a digest.
    pub weights: &'a dyn Fn(&str) -> Option<PathBuf>,
}

impl<'a> RunEnvironment<'a> {
    /// Prepares a run's encoders; nothing is read or computed yet.
    ///
    /// # Errors
    /// If the data set lacks a modality, or the configuration does not fit this program.
    pub fn new(config: &RunConfig, dataset: &'a dyn Dataset, setup: ImageSetup<'a>, device: &Device) -> Result<Self> {
        let data = serde_json::Value::from(config.data.clone());
        let identity = format!("{} {} {}", config.dataset, config.dataset_identity, canonical(&data));
        let encoders = config.encoders.try_map(|modality, settings| {
            let Some(data) = dataset.data(modality) else {
                bail!("data set `{}` has no {modality} data", config.dataset);
            };
            let named = settings.get("encoder").and_then(|name| name.as_str());
            match (modality, data) {
                (_, ItemData::Features(features)) => Ok(EncoderSetup::Stored(features)),
                (_, data) if named == Some(NO_ENCODER) => {
                    bail!("`encoder = \"none\"` needs a data set of features, got one of {:?}", data.kind())
                }
                (Modality::Image, ItemData::Images(_)) => {
                    let image: ImageConfig = section(settings)?;
                    let network = setup.encoders.iter().find(|entry| entry.name == image.encoder);
                    let network = network.with_context(|| format!("unknown image encoder `{}`", image.encoder))?;
                    let weights = image.digest.as_deref().and_then(setup.weights);
                    let features =
                        ImageFeatures::new(setup.cache, dataset, identity.clone(), network, &image, weights, device);
                    Ok(EncoderSetup::Images(Box::new(features)))
                }
                _ => {
                    let text: TextConfig = section(settings)?;
                    bail!("encoder `{}` does not encode {modality} data", text.encoder)
                }
            }
        })?;
        Ok(Self { dataset, encoders, device: device.clone() })
    }

    /// Lengths of feature vectors, by modality.
    pub fn dims(&self) -> ByModality<usize> {
        self.encoders.map(|_, encoder| encoder.dim())
    }

    /// The images' encoder, if the run has one.
    pub fn images(&self) -> Option<&ImageFeatures<'a>> {
        match self.encoders.get(Modality::Image) {
            Some(EncoderSetup::Images(images)) => Some(images),
            _ => None,
        }
    }
}

impl<'a> EncoderSetup<'a> {
    /// Length of the feature vectors that methods see.
    pub fn dim(&self) -> usize {
        match self {
            Self::Images(images) => images.dim(),
            Self::Stored(features) => features.dim(),
        }
    }

    /// Features of all items without augmentation; row = item. Extracts what the cache lacks.
    ///
    /// # Errors
    /// If images, weights or the cache cannot be read or written.
    pub fn plain(&self, items: usize, progress: OnProgress<'_>) -> Result<FeatureRows<'a>> {
        match self {
            Self::Images(images) => Ok(FeatureRows::Cached(images.plain(progress)?)),
            Self::Stored(features) => {
                Ok(FeatureRows::Stored { features: *features, view: 0, items: (0..items as u32).collect() })
            }
        }
    }

    /// Stored views of the training items as a method asks for them. Extracts what the cache lacks.
    ///
    /// # Errors
    /// If images, weights or the cache cannot be read or written.
    pub fn views(
        &self,
        modality: Modality,
        train: &[u32],
        view: &ViewSpec,
        progress: OnProgress<'_>,
    ) -> Result<Pool<'a>> {
        match (self, view) {
            (Self::Images(images), ViewSpec::Image(make)) => {
                let transform = make(images.image_size());
                let random = transform.is_random();
                let count = if random { images.config().views } else { 1 };
                let files = images.views(train, transform, count, progress)?;
                Ok(Pool { modality, views: files.into_iter().map(FeatureRows::Cached).collect(), random })
            }
            (Self::Images(_), ViewSpec::Text) => bail!("a view of a text was asked of images"),
            (Self::Stored(features), _) => {
                let rows = |view| FeatureRows::Stored { features: *features, view, items: train.to_vec() };
                let random = features.views() > 1 && !is_plain(view);
                let count = if random { features.views() } else { 1 };
                Ok(Pool { modality, views: (0..count).map(rows).collect(), random })
            }
        }
    }
}

/// Whether a view is the item without augmentation.
fn is_plain(view: &ViewSpec) -> bool {
    match view {
        ViewSpec::Image(make) => !make(32).is_random(),
        ViewSpec::Text => false,
    }
}
