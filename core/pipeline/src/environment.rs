//! Inputs of a run: its data set, and the source of each modality's features.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use candle_core::Device;
use hashlab_cache::FeatureCache;
use hashlab_data::{ByModality, Dataset, ItemData, Modality, StoredFeatures};
use hashlab_encoders::EncoderEntry;
use hashlab_image::{Normalize, Transform};
use hashlab_method::ViewSpec;
use hashlab_settings::{Settings, canonical};
use hashlab_store::RunConfig;

use crate::config::{EncoderConfig, ImageConfig, TextConfig, section};
use crate::feature_source::{Described, FeatureSource, OnProgress};
use crate::image_features::ImageFeatures;
use crate::inputs::FeatureRows;
use crate::live_views::LiveItems;
use crate::replicas::Replicas;
use crate::stored_views::Pool;
use crate::text_features::{TextFeatures, TextFiles};
use crate::with_encoder::ScaledEncoder;

/// A run's data set and the source of each modality's features.
pub struct RunEnvironment<'a> {
    /// The data set.
    pub dataset: &'a dyn Dataset,
    /// The encoders, by modality.
    pub encoders: ByModality<EncoderSetup<'a>>,
    /// Device of the tensors.
    pub device: Device,
    /// The registered encoders.
    pub registered: &'static [EncoderEntry],
}

/// The source of a modality's features.
pub enum EncoderSetup<'a> {
    /// Images under an encoder.
    Images(Box<ImageFeatures<'a>>),
    /// Texts under an encoder.
    Texts(Box<TextFeatures<'a>>),
    /// The data set's own features.
    Stored(&'a dyn StoredFeatures),
}

/// Resources of encoders beyond a run's configuration.
#[derive(Clone, Copy)]
pub struct EncoderContext<'a> {
    /// The feature cache.
    pub cache: &'a FeatureCache,
    /// The registered encoders.
    pub encoders: &'static [EncoderEntry],
    /// Finds the file, weights or tokenizer, of a digest.
    pub files: &'a dyn Fn(&str) -> Option<PathBuf>,
}

impl EncoderContext<'_> {
    fn file(&self, digest: Option<&str>) -> Option<PathBuf> {
        digest.and_then(self.files)
    }
}

/// The identity of a run's items in the feature cache: the data set, its content and its settings.
pub fn identity_of(config: &RunConfig) -> String {
    let data = serde_json::Value::from(config.data.clone());
    format!("{} {} {}", config.dataset, config.dataset_identity, canonical(&data))
}

impl<'a> RunEnvironment<'a> {
    /// Prepares a run's encoders without reading or computing.
    ///
    /// # Errors
    /// If the data set lacks a modality, or the configuration does not fit this program.
    pub fn new(config: &RunConfig, dataset: &'a dyn Dataset, cx: EncoderContext<'a>, device: &Device) -> Result<Self> {
        let identity = identity_of(config);
        let source = FeatureSource { cache: cx.cache, dataset, identity, device: device.clone() };
        let encoders = config.encoders.try_map(|modality, settings| {
            let Some(data) = dataset.data(modality) else {
                bail!("data set `{}` has no {modality} data", config.dataset);
            };
            EncoderSetup::new(modality, data, settings, source.clone(), cx)
        })?;
        Ok(Self { dataset, encoders, device: device.clone(), registered: cx.encoders })
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

/// Side in pixels at which transforms of stored features are compared.
const STORED_SIZE: usize = 224;

impl<'a> EncoderSetup<'a> {
    /// Prepares the encoder of `data` by its section.
    fn new(
        modality: Modality,
        data: ItemData<'a>,
        settings: &Settings,
        source: FeatureSource<'a>,
        cx: EncoderContext<'a>,
    ) -> Result<Self> {
        match data {
            ItemData::Features(features) => Ok(Self::Stored(features)),
            data if EncoderConfig::read(modality, settings)?.network().is_none() => {
                bail!("`encoder = \"none\"` needs a data set of features, got one of {:?}", data.kind())
            }
            ItemData::Images(_) => {
                let config: ImageConfig = section(settings)?;
                let entry = cx.encoders.iter().filter_map(EncoderEntry::image).find(|e| e.name == config.encoder);
                let entry = entry.with_context(|| format!("unknown image encoder `{}`", config.encoder))?;
                let weights = cx.file(config.digest.as_deref());
                Ok(Self::Images(Box::new(ImageFeatures::new(source, entry, &config, weights))))
            }
            ItemData::Texts(_) => {
                let config: TextConfig = section(settings)?;
                let entry = cx.encoders.iter().filter_map(EncoderEntry::text).find(|e| e.name == config.encoder);
                let entry = entry.with_context(|| format!("unknown text encoder `{}`", config.encoder))?;
                let (weights, tokenizer) = (config.digest.as_deref(), config.tokenizer_digest.as_deref());
                let files = TextFiles { weights: cx.file(weights), tokenizer: cx.file(tokenizer) };
                Ok(Self::Texts(Box::new(TextFeatures::new(source, entry, &config, files))))
            }
        }
    }

    /// Length of the feature vectors for methods.
    pub fn dim(&self) -> usize {
        match self {
            Self::Images(images) => images.dim(),
            Self::Texts(texts) => texts.dim(),
            Self::Stored(features) => features.dim(),
        }
    }

    /// Features of all items without augmentation; row = item. Extracts those that the cache lacks.
    ///
    /// # Errors
    /// If items, weights or the cache cannot be read or written.
    pub fn plain(&self, items: usize, progress: OnProgress<'_>) -> Result<FeatureRows<'a>> {
        match self {
            Self::Images(images) => Ok(FeatureRows::Cached(images.plain(progress)?)),
            Self::Texts(texts) => Ok(FeatureRows::Cached(texts.plain(progress)?)),
            Self::Stored(features) => {
                Ok(FeatureRows::Stored { features: *features, view: 0, items: (0..items as u32).collect() })
            }
        }
    }

    /// The transform of a view of images; `None` of texts. Two views of a modality are the same if their transforms
    /// are.
    pub(crate) fn transform(&self, view: &ViewSpec) -> Option<Transform> {
        let ViewSpec::Image(make) = view else { return None };
        Some(make(match self {
            Self::Images(images) => images.image_size(),
            // Stored features have no size in pixels; whether a transform is random is the same for all sizes.
            _ => STORED_SIZE,
        }))
    }

    /// Stored views of the training items for a method's view. Extracts those that the cache lacks.
    ///
    /// # Errors
    /// If items, weights or the cache cannot be read or written.
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
                let (random, count) = (transform.is_random(), images.stored_views(&transform));
                let files = images.views(train, transform, count, progress)?;
                Ok(Pool { modality, views: files.into_iter().map(FeatureRows::Cached).collect(), random })
            }
            (Self::Texts(texts), ViewSpec::Text) => {
                let views = texts.captions(train, progress)?;
                Ok(Pool { modality, random: views.len() > 1, views })
            }
            (Self::Images(_), ViewSpec::Text) => bail!("a view of a text was asked of images"),
            (Self::Texts(_), ViewSpec::Image(_)) => bail!("a view of an image was asked of texts"),
            (Self::Stored(features), _) => {
                let rows = |view| FeatureRows::Stored { features: *features, view, items: train.to_vec() };
                let drawn = features.drawn();
                let augmented =
                    view.modality() == Modality::Text || self.transform(view).is_some_and(|t| t.is_random());
                let random = (drawn.start > 0 || drawn.len() > 1) && augmented;
                let views = if random { drawn } else { 0..1 };
                Ok(Pool { modality, views: views.map(rows).collect(), random })
            }
        }
    }

    /// Keys and shapes of the feature files of [`plain`](Self::plain).
    pub(crate) fn described_plain(&self) -> Vec<Described> {
        match self {
            Self::Images(images) => vec![images.described_plain()],
            Self::Texts(texts) => vec![texts.described_plain()],
            Self::Stored(_) => Vec::new(),
        }
    }

    /// Keys and shapes of the feature files of [`views`](Self::views).
    ///
    /// # Errors
    /// If the data set has no such data.
    pub(crate) fn described_views(&self, train: &[u32], view: &ViewSpec) -> Result<Vec<Described>> {
        match (self, view) {
            (Self::Images(images), ViewSpec::Image(make)) => {
                Ok(images.described_views(train, &make(images.image_size())))
            }
            (Self::Texts(texts), ViewSpec::Text) => texts.described_captions(train),
            _ => Ok(Vec::new()),
        }
    }

    /// Opens the frozen encoder's way from an item to its input.
    ///
    /// # Errors
    /// If the run works on features of its data set, or the encoder's files cannot be read.
    pub(crate) fn frozen(&self) -> Result<LiveItems<'_>> {
        match self {
            Self::Images(images) => Ok(LiveItems::Images(images.images()?)),
            Self::Texts(texts) => Ok(LiveItems::Texts(texts.loader()?)),
            Self::Stored(_) => bail!("the run works on features of its data set, so that it encodes no other items"),
        }
    }

    /// Opens the encoder to be trained, from its weights or the run's `seed`, once per device, and the items in the form
    /// that it takes.
    ///
    /// # Errors
    /// If the encoder is frozen, or its files cannot be read.
    pub(crate) fn live(
        &self,
        modality: Modality,
        seed: u64,
        devices: &[Device],
    ) -> Result<(ScaledEncoder, LiveItems<'_>)> {
        match self {
            Self::Images(images) if images.config().finetune => {
                let network = Replicas::open(devices, images.config().dtype, |place| images.trainable(seed, place))?;
                let [mean, std] = network.network().normalize();
                let items = LiveItems::Images(images.loader(Normalize { mean, std }));
                Ok(((network, images.config().lr_scale), items))
            }
            Self::Texts(texts) if texts.config().finetune => {
                let network = Replicas::open(devices, texts.config().dtype, |place| texts.trainable(place))?;
                Ok(((network, texts.config().lr_scale), LiveItems::Texts(texts.loader()?)))
            }
            _ => bail!("a run trains the encoders of all its modalities or none, and that of {modality}s is frozen"),
        }
    }
}
