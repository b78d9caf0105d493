//! UCMFH: unsupervised contrastive multi-modal fusion hashing.
//!
//! Xinyu Xia, Guohua Dong, Fengling Li, Lei Zhu and Xiaomin Ying, When CLIP meets cross-modal hashing retrieval: A new
//! strong baseline, Information Fusion 100, 2023. Reference code: XinyuXia97/UCMFH, commit 116f015.
//!
//! Image and text features of an item are concatenated; a transformer fuses them, its output is scaled to unit length
//! and split again, and a two-layer head per modality computes a code of each half. Two contrastive terms (NT-Xent with
//! both modalities among the negatives) attract the halves of an item, and its codes:
//! `L = CL(f_I, f_T) + λ·CL(u_I, u_T)`, where `u = tanh(z)`, both on unit rows. A code is the sign of z.
//!
//! # Encoded part of an item
//! The reference code fuses every item, queries too, with its own partner of the other modality. A query is then no
//! single image or text, and published results are of that kind. `input` selects a replacement of the absent half: the
//! partner (`paired`), its training mean (`mean`), or zeros. With either, results hold `paired` and a single-modality
//! one side by side, of the same training.
//!
//! # Deviations
//! - If the lengths of image and text features differ, a linear map of each to `width` precedes the fusion and is
//!   trained with it. Equal ones, as of CLIP, have none, as in the reference code.
//! - In the evaluation of the reference code a batch of 128 items is one sequence, so that items attend to each other,
//!   as PyTorch reads a matrix; the items of an incomplete last batch are left out. Codes then depend on the other
//!   items. The switches `batch_attention` and `drop_last` do that; both are off by default. In training an item is a
//!   sequence of its own in both.
//! - The reference code trains on the first 4,992 of 5,000 items, 39 batches of 128; `train.drop_last` with a batch
//!   size of 128 leaves out as many, others in each epoch.
//! - The mean of `input = "mean"` is that of the training items of the last epoch.
//!
//! Two changes are those of the branch hashNetVersion of tudouPotatoo/UCMFH: `loss = "balanced"`
//! (`ContrastiveLossBalanced`) replaces both contrastive terms by a one-way loss with weights by the numbers of pairs,
//! and `progressive` sharpens the tanh over the epochs. There the tanh is left out at scale 1; here it stays. Its other
//! parts (unimodal transformers, cross-attention) are another method.

use anyhow::{Context as _, Result};
use candle_core::{D, Tensor, Var};
use hashlab_method::nn::{Linear, Parameters, PerRun, dropout, mean_last, nt_xent, unit_rows};
use hashlab_method::{
    Batch, BatchSpec, BuildContext, ByModality, Definition, EncodeSpec, EpochContext, Features, HashMethod, Loss,
    MethodInfo, Modality, Needs, ParamGroup, Progress, Schedule, ScheduleKind, Stackable, State, Supervision, Trained,
    Unit, ViewSpec,
};

use crate::fusion::{Dropout, FusionSizes, FusionTransformer, Sequences};
use crate::ucmfh_params::{ContrastiveLoss, Input, UcmfhParams};

const BOTH: [Modality; 2] = [Modality::Image, Modality::Text];

/// A hash head: unit rows, a hidden layer, relaxed codes before tanh.
struct Head {
    layers: [Linear; 2],
}

impl Head {
    fn new(vars: &mut Parameters, name: &str, sizes: [usize; 3], cx: &BuildContext) -> Result<Self> {
        let [width, hidden, bits] = sizes;
        let first = Linear::new(vars, &format!("{name}.fc1"), (width, hidden), cx)?;
        Ok(Self { layers: [first, Linear::new(vars, &format!("{name}.fc2"), (hidden, bits), cx)?] })
    }

    fn forward(&self, x: &Tensor, drop: Option<Dropout<'_>>) -> Result<Tensor> {
        let mut hidden = self.layers[0].forward_relu(&unit_rows(x)?)?;
        if let Some(Dropout { p, draws }) = drop
            && p > 0.0
        {
            hidden = dropout(&hidden, p, draws)?;
        }
        Ok(self.layers[1].forward(&hidden)?)
    }
}

/// A modality's part of the method.
struct Branch {
    /// Maps features to the common width, if modalities differ in theirs.
    map: Option<Linear>,
    head: Head,
    /// Mean of the features over the training items of an epoch so far `(dim)`, of stacked runs `(runs, dim)`.
    mean: Var,
}

impl Branch {
    fn map(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.map.as_ref().map_or_else(|| Ok(x.clone()), |map| map.forward(x))?)
    }
}

/// UCMFH: a fusion transformer and a hash head per modality.
pub struct Ucmfh {
    /// Of each of the stacked runs.
    params: Vec<UcmfhParams>,
    vars: Parameters,
    fusion: FusionTransformer,
    branches: ByModality<Branch>,
    /// Number of items of the epoch in the means `(1)`.
    counted: Var,
    /// Columns of a modality in the fusion.
    width: usize,
}

impl Definition for Ucmfh {
    const INFO: MethodInfo = MethodInfo {
        name: "ucmfh",
        title: "UCMFH",
        paper: "Xia et al., When CLIP Meets Cross-modal Hashing Retrieval, Information Fusion 2023",
        supervision: Supervision::Unsupervised,
        needs: Needs::Fused(&BOTH),
        augmented: false,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str =
        concat!(include_str!("ucmfh.rs"), include_str!("ucmfh_params.rs"), include_str!("fusion.rs"));
    type Params = UcmfhParams;

    fn build(params: UcmfhParams, cx: &BuildContext) -> Result<Self> {
        Self::build_stacked(vec![params], cx)
    }
}

impl Stackable for Ucmfh {
    const VARIED: &'static [&'static str] = &["tau", "code_weight"];

    fn build_stacked(params: Vec<UcmfhParams>, cx: &BuildContext) -> Result<Self> {
        let mut vars = Parameters::default();
        let first = cx.dims.values().next().copied().context("there are no features")?;
        let alike = cx.dims.values().all(|dim| *dim == first);
        let width = if alike { first } else { params[0].width };
        let UcmfhParams { layers, heads, feedforward, hidden, .. } = params[0];
        let sizes = FusionSizes { layers, width: width * BOTH.len(), heads, feedforward };
        let fusion = FusionTransformer::new(&mut vars, "fusion", sizes, cx)?;
        let branches = cx.dims.try_map(|modality, dim| -> Result<Branch> {
            let map = (!alike).then(|| Linear::new(&mut vars, &format!("fusion.map.{modality}"), (*dim, width), cx));
            Ok(Branch {
                map: map.transpose()?,
                head: Head::new(&mut vars, &format!("{modality}_head"), [width, hidden, cx.bits], cx)?,
                mean: vars.buffer(&format!("{modality}_mean"), *dim, 0.0, cx)?,
            })
        })?;
        let counted = vars.buffer("counted", 1, 0.0, cx)?;
        Ok(Self { params, vars, fusion, branches, counted, width })
    }
}

impl Ucmfh {
    fn contrastive(&self, image: &Tensor, text: &Tensor) -> Result<Tensor> {
        let tau = PerRun::of(&self.params, |params| params.tau);
        match self.params[0].loss {
            ContrastiveLoss::Original => contrastive(image, text, &tau),
            ContrastiveLoss::Balanced => balanced(image, text, &tau),
        }
    }

    fn branch(&self, modality: Modality) -> Result<&Branch> {
        self.branches.get(modality).with_context(|| format!("not built for {modality} features"))
    }

    /// Fuses halves `(n, width)` of images and texts into unit rows, and splits them again.
    fn fuse(&self, halves: [Tensor; 2], sequences: Sequences, drop: Option<Dropout<'_>>) -> Result<[Tensor; 2]> {
        let fused = unit_rows(&self.fusion.forward(&Tensor::cat(&halves, D::Minus1)?, sequences, drop)?)?;
        Ok([fused.narrow(D::Minus1, 0, self.width)?, fused.narrow(D::Minus1, self.width, self.width)?])
    }

    /// Relaxed codes of items in their role as `modality`, with `input` instead of the other one.
    fn codes(&self, items: &Features, modality: Modality, input: Input) -> Result<Tensor> {
        let rows = items.get(modality)?.dim(0)?;
        let half = |of: Modality| -> Result<Tensor> {
            let branch = self.branch(of)?;
            match input {
                Input::Mean if of != modality => {
                    let mean = branch.mean.as_detached_tensor().unsqueeze(0)?;
                    Ok(branch.map(&mean)?.broadcast_as((rows, self.width))?.contiguous()?)
                }
                Input::Zeros if of != modality => {
                    let own = items.get(modality)?;
                    Ok(Tensor::zeros((rows, self.width), own.dtype(), own.device())?)
                }
                _ => branch.map(items.get(of)?),
            }
        };
        let [image, text] = BOTH.map(half);
        let sequences = if self.params[0].batch_attention { Sequences::Joint } else { Sequences::Single };
        let [image, text] = self.fuse([image?, text?], sequences, None)?;
        let own = if modality == Modality::Image { image } else { text };
        self.branch(modality)?.head.forward(&own, None) // tanh and unit length leave the signs
    }

    fn encoding(&self, input: Input) -> EncodeSpec {
        const BATCH: usize = 128; // reference code
        let UcmfhParams { batch_attention, drop_last, .. } = self.params[0];
        let batched = batch_attention || drop_last;
        EncodeSpec { name: Some(input.name()), batch_size: batched.then_some(BATCH), by_role: batched, drop_last }
    }

    /// Adds a batch to the means of the epoch.
    fn count(&self, batch: &Batch) -> Result<()> {
        let n = (batch.items.len() / self.params.len()) as f64;
        let after = (self.counted.as_detached_tensor() + n)?;
        let share = (after.recip()? * n)?; // stays on the device, so that the host need not wait
        for view in &batch.views {
            let mean = &self.branch(view.modality)?.mean;
            let towards = (view.x.detach().mean(D::Minus2)? - mean.as_detached_tensor())?;
            mean.set(&(mean.as_detached_tensor() + towards.broadcast_mul(&share)?)?)?;
        }
        Ok(self.counted.set(&after)?)
    }
}

impl HashMethod for Ucmfh {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        self.codes(items, modality, self.params[0].input)
    }

    fn encode_spec(&self) -> EncodeSpec {
        self.encoding(self.params[0].input)
    }

    fn other_encodings(&self) -> Vec<EncodeSpec> {
        vec![self.encoding(self.params[0].input.other())]
    }

    fn encode_otherwise(&self, name: &str, items: &Features, modality: Modality) -> Result<Tensor> {
        let input = Input::ALL.into_iter().find(|input| input.name() == name);
        self.codes(items, modality, input.with_context(|| format!("UCMFH has no encoding `{name}`"))?)
    }

    fn state(&self) -> Result<State> {
        self.vars.state()
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.vars.load(state)
    }
}

impl Trained for Ucmfh {
    fn batch_spec(&self) -> BatchSpec {
        BatchSpec::new(BOTH.map(ViewSpec::plain))
    }

    fn param_groups(&self) -> Vec<ParamGroup> {
        let params = &self.params[0];
        let group = |prefix: &str, learning_rate: f64, schedule: Schedule| ParamGroup {
            learning_rate: Some(learning_rate),
            betas: Some(params.betas),
            schedule: Some(schedule),
            ..ParamGroup::new(self.vars.vars_of(&[prefix]))
        };
        let kind = ScheduleKind::MultiStep { milestones: params.milestones.clone(), factor: params.factor };
        let stepped = Schedule { kind, unit: Unit::Step, ..Schedule::CONSTANT };
        vec![
            group("fusion.", params.fusion_learning_rate, Schedule::CONSTANT),
            group("image_head.", params.head_learning_rate, stepped.clone()),
            group("text_head.", params.head_learning_rate, stepped),
        ]
    }

    fn loss(&mut self, batch: &Batch, at: &Progress) -> Result<Loss> {
        let params = &self.params[0];
        self.count(batch)?;
        let half = |view: usize| self.branch(batch.views[view].modality)?.map(&batch.views[view].x);
        let drop = Dropout { p: params.dropout, draws: &mut at.draws("ucmfh/fusion") };
        let fused = self.fuse([half(0)?, half(1)?], Sequences::Single, Some(drop))?;
        let scale = params.scale(at.epoch, at.epochs);
        let mut codes = Vec::with_capacity(BOTH.len());
        for (modality, half) in BOTH.into_iter().zip(&fused) {
            let mut draws = at.draws(&format!("ucmfh/{modality}"));
            let drop = Dropout { p: params.hidden_dropout, draws: &mut draws };
            codes.push((self.branch(modality)?.head.forward(half, Some(drop))? * scale)?.tanh()?);
        }
        let of_fused = self.contrastive(&fused[0], &fused[1])?;
        let of_codes = self.contrastive(&codes[0], &codes[1])?;
        let weight = PerRun::of(&self.params, |params| params.code_weight);
        let total = (&of_fused + weight.times(&of_codes)?)?;
        Ok(Loss { total, terms: vec![("contrastive_fused", of_fused), ("contrastive_codes", of_codes)] })
    }

    fn end_epoch(&mut self, _: &EpochContext) -> Result<()> {
        Ok(self.counted.set(&self.counted.zeros_like()?)?)
    }
}

/// NT-Xent of images and texts `(n, d)` each, on unit rows: a row's positive is its item's other modality, and all 2n −
/// 1 other rows, of both modalities, are in the denominator. Stacked runs have rows `(runs, n, d)` and may have a `tau`
/// each.
///
/// # Errors
/// If the shapes differ.
pub fn contrastive(image: &Tensor, text: &Tensor, tau: &PerRun) -> Result<Tensor> {
    let unit = unit_rows(&Tensor::cat(&[image, text], D::Minus2)?)?;
    Ok(nt_xent(&tau.map(|tau| 1.0 / tau).times(&unit.matmul(&unit.t()?)?)?)?)
}

/// The balanced loss from images to texts `(n, d)` each, on unit rows: the mean over images of −(S/S₁)·log(eᵖ / (eᵖ +
/// (S/S₀)·Σ eᵏ)), p the similarity of the item's own text and k those of the others; S₁ = n similar pairs, S₀ = n(n −
/// 1) dissimilar ones, S = S₁ + S₀. Stacked runs have rows `(runs, n, d)` and may have a `tau` each.
///
/// # Errors
/// If the shapes differ.
pub fn balanced(image: &Tensor, text: &Tensor, tau: &PerRun) -> Result<Tensor> {
    let n = image.dim(D::Minus2)?;
    let logits = tau.map(|tau| 1.0 / tau).times(&unit_rows(image)?.matmul(&unit_rows(text)?.t()?)?)?;
    let own = Tensor::eye(n, logits.dtype(), logits.device())?;
    let weight = n as f64 / (n.max(2) - 1) as f64; // S/S₀
    let all = logits.broadcast_add(&own.affine(-weight.ln(), weight.ln())?)?.log_sum_exp(D::Minus1)?;
    let positive = logits.broadcast_mul(&own)?.sum(D::Minus1)?;
    Ok((mean_last(&(all - positive)?, 1)? * n as f64)?)
}

#[cfg(test)]
#[path = "ucmfh_tests.rs"]
mod tests;
