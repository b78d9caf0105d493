//! Codes of items that are in no data set: images and texts under a run's encoders and its trained method.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use hashlab_data::{
    ByModality, DataError, DataKind, Dataset, DatasetInfo, Images, ItemData, Labels, Modality, Rgb, Split, Texts,
};
use hashlab_encoders::token_tensor;
use hashlab_eval::Codes;
use hashlab_method::{AnyMethod, EncodeSpec, Features, HashMethod, MethodEntry};
use hashlab_store::RunConfig;

use crate::environment::{EncoderContext, EncoderSetup, RunEnvironment};
use crate::live_views::LiveItems;
use crate::model::Model;
use crate::run::{RunSetup, finetunes};
use crate::with_encoder::WithEncoder;

/// An item in the form that its encoder takes.
#[derive(Clone, Debug)]
pub enum Prepared {
    /// Pixels `(size, size, 3)`, normalized.
    Pixels(Vec<f32>),
    /// Token ids.
    Tokens {
        /// The ids.
        ids: Vec<u32>,
        /// Whether the text has more tokens than the encoder takes; the rest do not count.
        truncated: bool,
    },
}

/// A run's encoders and its trained method.
pub struct ItemEncoder<'a> {
    method: Box<dyn HashMethod>,
    environment: &'a RunEnvironment<'a>,
    /// The way of an item into the encoder, by modality.
    inputs: ByModality<LiveItems<'a>>,
    /// Whether the encoders are part of the method.
    trained: bool,
    bits: usize,
}

/// Opens a run's encoders and its trained method, without its data set, and calls `work` with them.
///
/// # Errors
/// If the method encodes items together, so that an item has no code of its own; if the run works on features of its
/// data set, so that it has no encoder; if files cannot be read or do not fit; if `work` fails.
pub fn with_item_encoder<T>(
    config: &RunConfig,
    method: &MethodEntry,
    model: &Model,
    cx: EncoderContext<'_>,
    device: &Device,
    work: impl FnOnce(&ItemEncoder<'_>) -> Result<T>,
) -> Result<T> {
    let nothing = NoItems::of(config.encoders.modalities());
    let environment = RunEnvironment::new(config, &nothing, cx, device)?;
    let setup = RunSetup { config, method, environment: &environment };
    work(&ItemEncoder::open(setup, model)?)
}

impl<'a> ItemEncoder<'a> {
    fn open(setup: RunSetup<'a>, model: &Model) -> Result<Self> {
        let RunSetup { config, environment, .. } = setup;
        let device = &environment.device;
        let trained = finetunes(config)?;
        let (networks, inputs) = match trained {
            true => setup.live_encoders(std::slice::from_ref(device))?,
            false => (ByModality::default(), environment.encoders.try_map(|_, encoder| encoder.frozen())?),
        };
        let mut method: Box<dyn HashMethod> = match setup.build_again(model)? {
            AnyMethod::Fitted(method) => method,
            AnyMethod::Trained(method) if trained => Box::new(WithEncoder::new(method, networks, device)),
            AnyMethod::Trained(method) => setup.with_tail(method)?,
        };
        let EncodeSpec { by_role, drop_last, .. } = method.encode_spec();
        ensure!(
            !by_role && !drop_last,
            "`{}` encodes items together, in batches that depend on their role, so that an item has no code of its own",
            config.method
        );
        method.load_state(&model.state)?;
        Ok(Self { method, environment, inputs, trained, bits: config.bits })
    }

    /// Modalities that can be encoded.
    pub fn modalities(&self) -> impl Iterator<Item = Modality> {
        self.inputs.modalities()
    }

    /// Code length in bits.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Puts an image into the form that the encoder takes, without augmentation.
    ///
    /// # Errors
    /// If the run has no encoder of images.
    pub fn prepare_image(&self, image: &Rgb) -> Result<Prepared> {
        match self.inputs.get(Modality::Image) {
            Some(LiveItems::Images(images)) => Ok(Prepared::Pixels(images.pixels_of(image))),
            _ => bail!("the run encodes no images"),
        }
    }

    /// Tokenizes a text.
    ///
    /// # Errors
    /// If the run has no encoder of texts, or the text has no token.
    pub fn prepare_text(&self, text: &str) -> Result<Prepared> {
        match self.inputs.get(Modality::Text) {
            Some(LiveItems::Texts(texts)) => {
                let tokens = texts.tokenize(text)?;
                ensure!(!tokens.ids.is_empty(), "the text has no token");
                Ok(Prepared::Tokens { ids: tokens.ids, truncated: tokens.truncated })
            }
            _ => bail!("the run encodes no texts"),
        }
    }

    /// Encodes items of one modality.
    ///
    /// # Errors
    /// If an item is of another modality, or the device is out of memory.
    pub fn encode(&self, modality: Modality, items: &[Prepared]) -> Result<Codes> {
        if items.is_empty() {
            return Ok(Codes::with_capacity(self.bits, 0));
        }
        let inputs = self.tensor(modality, items)?;
        let features = match (self.environment.encoders.get(modality), self.trained) {
            (_, true) => inputs,
            (Some(EncoderSetup::Images(images)), _) => images.features_of(&inputs)?,
            (Some(EncoderSetup::Texts(texts)), _) => texts.features_of(&inputs)?,
            (_, false) => bail!("the run has no encoder of its {modality} data"),
        };
        let relaxed = self.method.encode(&Features::one(modality, features), modality)?;
        let relaxed = relaxed.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(Codes::from_signs(&relaxed, self.bits)?)
    }

    fn tensor(&self, modality: Modality, items: &[Prepared]) -> Result<Tensor> {
        match self.inputs.get(modality).with_context(|| format!("the run encodes no {modality} data"))? {
            LiveItems::Images(images) => {
                let pixels = items.iter().map(|item| match item {
                    Prepared::Pixels(pixels) => Ok(&pixels[..]),
                    Prepared::Tokens { .. } => bail!("a text among images"),
                });
                images.tensor(pixels.collect::<Result<Vec<_>>>()?.concat())
            }
            LiveItems::Texts(texts) => {
                let ids = items.iter().map(|item| match item {
                    Prepared::Tokens { ids, .. } => Ok(&ids[..]),
                    Prepared::Pixels(_) => bail!("an image among texts"),
                });
                Ok(token_tensor(&ids.collect::<Result<Vec<_>>>()?, texts.max_tokens())?)
            }
        }
    }
}

/// The place of a data set for encoders that get their items one by one.
struct NoItems {
    info: DatasetInfo,
    labels: Labels,
}

impl NoItems {
    fn of(modalities: impl Iterator<Item = Modality>) -> Self {
        let kind = |modality| match modality {
            Modality::Text => DataKind::Texts,
            _ => DataKind::Pixels,
        };
        let modalities = modalities.map(|modality| (modality, kind(modality))).collect();
        let info = DatasetInfo { identity: String::new(), modalities, classes: Vec::new(), protocols: Vec::new() };
        Self { info, labels: Labels::single(0, []) }
    }
}

fn absent(index: usize) -> DataError {
    DataError::Invalid(format!("there is no item {index}"))
}

impl Images for NoItems {
    fn image(&self, index: usize) -> Result<Rgb, DataError> {
        Err(absent(index))
    }
}

impl Texts for NoItems {
    fn text(&self, index: usize, _: usize) -> Result<String, DataError> {
        Err(absent(index))
    }
}

impl Dataset for NoItems {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn data(&self, modality: Modality) -> Option<ItemData<'_>> {
        self.info.modalities.get(modality).map(|kind| match kind {
            DataKind::Texts => ItemData::Texts(self),
            _ => ItemData::Images(self),
        })
    }

    fn digest(&self) -> Result<&str, DataError> {
        Ok("")
    }

    fn split(&self, protocol: &str, _: u64) -> Result<Split, DataError> {
        Err(DataError::Invalid(format!("items of no data set have no protocol `{protocol}`")))
    }

    fn found_at(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}
