//! CroVCA with labels: hash codes by cross-view alignment to label prototypes.
//!
//! The supervised mode of [CroVCA](crate::crovca): both views of an item predict the bits of the mean prototype of its
//! labels, where a label's prototype is the mean of the logits of its items in the batch, over both views.
//!
//! # Deviations
//! Those of [CroVCA](crate::crovca). The paper's evaluation of unseen labels is not part of it.

use anyhow::Result;
use hashlab_method::{BuildContext, Definition, MethodInfo, Needs, RunFacts, Stackable, Supervision, Violations};

use crate::hash_coder::{CoderParams, HashCoder, VARIED};

/// CroVCA with labels.
pub type CroVcaSupervised = HashCoder<true>;

impl Definition for CroVcaSupervised {
    const INFO: MethodInfo = MethodInfo {
        name: "crovca_supervised",
        title: "CroVCA-S",
        paper: "Moummad et al., Image Hashing via Cross-View Code Alignment, CVPR Workshops 2026",
        supervision: Supervision::Supervised,
        needs: Needs::Any,
        augmented: true,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str =
        concat!(include_str!("crovca_supervised.rs"), include_str!("hash_coder.rs"), include_str!("linalg.rs"));
    type Params = CoderParams;

    fn build(params: CoderParams, cx: &BuildContext) -> Result<Self> {
        Self::new(vec![params], cx)
    }

    fn check(_: &CoderParams, run: &RunFacts) -> Violations {
        run.draws_views(2)
    }
}

impl Stackable for CroVcaSupervised {
    const VARIED: &'static [&'static str] = VARIED;

    fn build_stacked(params: Vec<CoderParams>, cx: &BuildContext) -> Result<Self> {
        Self::new(params, cx)
    }
}
