//! A data set of images' and texts' features, in memory, and deep methods that need both.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use candle_core::Tensor;
use hashlab_data::{
    ByModality, DataError, DataKind, Dataset, DatasetInfo, ItemData, Labels, Modality, Split, StoredFeatures,
};
use hashlab_method::nn::{Linear, Parameters, shares_label};
use hashlab_method::{
    Batch, BatchSpec, BuildContext, Definition, EncodeSpec, Features, HashMethod, Loss, MethodInfo, Needs, NoParams,
    ParamGroup, Progress, State, Supervision, Trained, View, ViewSpec,
};
use hashlab_rng::stream;

use crate::squares::{ITEMS, Squares, info, split};

const BOTH: &[Modality] = &[Modality::Image, Modality::Text];
const CLASSES: usize = 3;

/// Features of one modality.
pub(crate) struct Vectors {
    modality: Modality,
    dim: usize,
    views: usize,
    /// The item whose features are no numbers.
    pub(crate) broken: Option<u32>,
}

impl StoredFeatures for Vectors {
    fn dim(&self) -> usize {
        self.dim
    }
    fn views(&self) -> usize {
        self.views
    }
    fn read(&self, items: &[u32], view: usize, out: &mut [f32]) -> Result<(), DataError> {
        for (item, row) in items.iter().zip(out.chunks_exact_mut(self.dim)) {
            let mut class = stream(0, self.modality.name(), &[u64::from(*item) % CLASSES as u64]);
            let mut noise = stream(1, self.modality.name(), &[u64::from(*item), view as u64]);
            row.fill_with(|| (class.normal() + 2.0 * noise.normal()) as f32);
            if self.broken == Some(*item) {
                row[3] = f32::NAN;
            }
        }
        Ok(())
    }
}

/// Items with features of an image, in four views, and of a text; or with images as [`Squares`] has.
pub(crate) struct Paired {
    info: DatasetInfo,
    labels: Labels,
    pub(crate) images: Vectors,
    texts: Vectors,
    pixels: Option<Squares>,
}

impl Paired {
    pub(crate) fn new() -> Self {
        let modalities = BOTH.iter().map(|modality| (*modality, DataKind::Features)).collect();
        Self {
            info: info(modalities),
            labels: Labels::single(CLASSES, (0..ITEMS).map(|item| item % CLASSES)),
            images: Vectors { modality: Modality::Image, dim: 12, views: 4, broken: None },
            texts: Vectors { modality: Modality::Text, dim: 7, views: 1, broken: None },
            pixels: None,
        }
    }

    pub(crate) fn with_pixels() -> Self {
        Self { pixels: Some(Squares::new()), ..Self::new() }
    }
}

impl Dataset for Paired {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }
    fn labels(&self) -> &Labels {
        &self.labels
    }
    fn data(&self, modality: Modality) -> Option<ItemData<'_>> {
        match (modality, &self.pixels) {
            (Modality::Image, Some(pixels)) => pixels.data(modality),
            (Modality::Image, None) => Some(ItemData::Features(&self.images)),
            (Modality::Text, _) => Some(ItemData::Features(&self.texts)),
            _ => None,
        }
    }
    fn digest(&self) -> Result<&str, DataError> {
        Ok("paired")
    }
    fn split(&self, _: &str, split_seed: u64) -> Result<Split, DataError> {
        split(split_seed)
    }
    fn found_at(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// A linear head per modality. `FUSED`: codes add the output of the other modality's head, and the method is
/// supervised; otherwise neither the other modality nor labels may reach it.
pub(crate) struct Heads<const FUSED: bool> {
    vars: Parameters,
    heads: ByModality<Linear>,
}

impl<const FUSED: bool> Heads<FUSED> {
    fn head(&self, modality: Modality, x: &Tensor) -> Result<Tensor> {
        Ok(self.heads.get(modality).expect("both modalities have a head").forward(x)?)
    }
}

impl<const FUSED: bool> Definition for Heads<FUSED> {
    const INFO: MethodInfo = MethodInfo {
        name: if FUSED { "fused" } else { "separate" },
        title: "Heads",
        paper: "none",
        supervision: if FUSED { Supervision::Supervised } else { Supervision::Unsupervised },
        needs: if FUSED { Needs::Fused(BOTH) } else { Needs::Separate(BOTH) },
        augmented: false,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str = "";
    type Params = NoParams;

    fn build(_: NoParams, cx: &BuildContext) -> Result<Self> {
        ensure!(cx.labels.is_some() == FUSED, "labels of the training items");
        let mut vars = Parameters::default();
        let head = |modality: Modality, dim: &usize| Linear::new(&mut vars, modality.name(), (*dim, cx.bits), cx);
        let heads = cx.dims.try_map(head)?;
        Ok(Self { vars, heads })
    }
}

impl<const FUSED: bool> HashMethod for Heads<FUSED> {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        let given: Vec<Modality> = items.iter().map(|(modality, _)| modality).collect();
        let expected = if FUSED { BOTH } else { &[modality] };
        ensure!(given == expected, "asked for codes of {modality}, given {given:?}");
        let own = self.head(modality, items.get(modality)?)?;
        let Some((other, x)) = items.iter().find(|(other, _)| *other != modality) else { return Ok(own) };
        Ok((own + (self.head(other, x)? * 0.5)?)?)
    }
    fn encode_spec(&self) -> EncodeSpec {
        EncodeSpec { name: FUSED.then_some("both"), ..EncodeSpec::default() }
    }
    fn other_encodings(&self) -> Vec<EncodeSpec> {
        let own = EncodeSpec { name: Some("own"), batch_size: Some(7), by_role: true, drop_last: false };
        if FUSED { vec![own] } else { Vec::new() }
    }
    fn encode_otherwise(&self, name: &str, items: &Features, modality: Modality) -> Result<Tensor> {
        ensure!(name == "own" && items.get(modality)?.dim(0)? <= 7, "{name}");
        self.head(modality, items.get(modality)?)
    }
    fn state(&self) -> Result<State> {
        self.vars.state()
    }
    fn load_state(&mut self, state: &State) -> Result<()> {
        self.vars.load(state)
    }
}

impl<const FUSED: bool> Trained for Heads<FUSED> {
    fn batch_spec(&self) -> BatchSpec {
        BatchSpec::new([
            ViewSpec::augmented(Modality::Image, crate::samplers::random),
            ViewSpec::plain(Modality::Text),
            ViewSpec::plain(Modality::Image),
        ])
    }
    fn param_groups(&self) -> Vec<ParamGroup> {
        vec![ParamGroup::new(self.vars.vars())]
    }
    /// Draws the codes of an item's image and text together, and pushes those of different labels apart.
    fn loss(&mut self, batch: &Batch, _: &Progress) -> Result<Loss> {
        ensure!(batch.labels.is_some() == FUSED, "labels of the batch");
        let viewed: Vec<Modality> = batch.views.iter().map(|view| view.modality).collect();
        ensure!(viewed == [Modality::Image, Modality::Text, Modality::Image], "{viewed:?}");
        let codes = |view: &View| -> Result<Tensor> { Ok(self.head(view.modality, &view.x)?.tanh()?) };
        let (image, text, plain) = (codes(&batch.views[0])?, codes(&batch.views[1])?, codes(&batch.views[2])?);
        let similar = match &batch.labels {
            Some(labels) => shares_label(labels, labels)?,
            None => Tensor::eye(batch.items.len(), image.dtype(), image.device())?,
        };
        let bits = image.dim(1)? as f64;
        let inner = (image.matmul(&text.t()?)? / bits)?;
        let total = ((inner - similar)?.sqr()?.mean_all()? + ((image - plain)?.sqr()?.mean_all()? * 0.1)?)?;
        Ok(Loss { terms: vec![("square", total.clone())], total })
    }
}
