//! CroVCA: hash codes by cross-view alignment.
//!
//! Ilyass Moummad, Kawtar Zaher, Hervé Goëau and Alexis Joly, Image Hashing via Cross-View Code Alignment in the Age of
//! Foundation Models, CVPR workshops 2026, arXiv 2510.27584. Reference code: ilyassmoummad/cross-view-code-alignment,
//! commits d025fc9 to b5f2544.
//!
//! A small network on frozen features computes logits of two views of an item. `L = L_alignment + λ·L_rate`: the logits
//! of each view predict the bits of the other (binary cross-entropy), and a coding rate of their directions prevents a
//! collapse of the codes.
//!
//! # Deviations
//! The reference code trains with f16 autocast, here everything is f32. It ranks by the asymmetric distance between the
//! query's bit probabilities and the database's bits; tables here rank by Hamming distance. Its training is
//! `optimizer = "adamw"`, learning rate 1e-3 with a cosine per step down to 1e-6, weight decay 0.01, 5 epochs, batches
//! of 256: settings of `[train]`. The bits of evaluation are those of logits ≥ 0; the targets are those > 0, as there.

use anyhow::Result;
use hashlab_method::{BuildContext, Definition, MethodInfo, Needs, RunFacts, Stackable, Supervision, Violations};

use crate::hash_coder::{CoderParams, HashCoder, VARIED};

/// CroVCA without labels.
pub type CroVca = HashCoder<false>;

impl Definition for CroVca {
    const INFO: MethodInfo = MethodInfo {
        name: "crovca",
        title: "CroVCA",
        paper: "Moummad et al., Image Hashing via Cross-View Code Alignment, CVPR Workshops 2026",
        supervision: Supervision::Unsupervised,
        needs: Needs::Any,
        augmented: true,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str =
        concat!(include_str!("crovca.rs"), include_str!("hash_coder.rs"), include_str!("linalg.rs"));
    type Params = CoderParams;

    fn build(params: CoderParams, cx: &BuildContext) -> Result<Self> {
        Self::new(vec![params], cx)
    }

    fn check(_: &CoderParams, run: &RunFacts) -> Violations {
        run.draws_views(2)
    }
}

impl Stackable for CroVca {
    const VARIED: &'static [&'static str] = VARIED;

    fn build_stacked(params: Vec<CoderParams>, cx: &BuildContext) -> Result<Self> {
        Self::new(params, cx)
    }
}
