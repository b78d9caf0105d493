//! AGH-1: one-layer anchor graph hashing.
//!
//! Wei Liu, Jun Wang, Sanjiv Kumar and Shih-Fu Chang, Hashing with Graphs, ICML 2011. Bits are the signs of the leading
//! eigenvectors of the anchor graph of the training items ([`crate::anchors`]), extended to any item as
//! `h = z(x)W` (Nyström's formula); on training items the extension is the eigenvector itself.
//!
//! # Deviations
//! As in the authors' code, eigenvectors of eigenvalues from 0.999 on are left out: the constant one, and all that
//! separate unlinked parts of the graph. On features in distant clusters, the others may each be 0 on all but one part:
//! raise `nearest` until parts are linked.
//!
//! The authors' code takes h = 0 for bit 0; here it is bit 1, as everywhere, and k-means starts from random items. The
//! formulas are those of the authors' code and have not been checked against the paper's text.

use anyhow::Result;
use candle_core::Tensor;
use hashlab_method::{
    BuildContext, Definition, Features, Fitted, HashMethod, MethodInfo, Modality, Needs, RunFacts, State, Supervision,
    TrainSet, Violations,
};

use crate::anchors::{AnchorMap, AnchorParams};
use crate::linalg::to_tensor;

/// Eigenfunctions of the anchor graph.
pub struct Agh1 {
    cx: BuildContext,
    map: AnchorMap,
}

impl Definition for Agh1 {
    const INFO: MethodInfo = MethodInfo {
        name: "agh_1",
        title: "AGH-1",
        paper: "Liu et al., Hashing with Graphs, ICML 2011",
        supervision: Supervision::Unsupervised,
        needs: Needs::Any,
        augmented: false,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str = concat!(
        include_str!("agh_1.rs"),
        include_str!("anchors.rs"),
        include_str!("kmeans.rs"),
        include_str!("graph.rs"),
        include_str!("linalg.rs")
    );
    type Params = AnchorParams;

    fn check(params: &AnchorParams, run: &RunFacts) -> Violations {
        params.check_facts(run.bits, run)
    }

    fn build(params: AnchorParams, cx: &BuildContext) -> Result<Self> {
        Ok(Self { cx: cx.clone(), map: AnchorMap::zeros(params, cx.bits, cx)? })
    }
}

impl HashMethod for Agh1 {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        to_tensor(&self.map.apply(items.get(modality)?)?, items.get(modality)?.device())
    }

    fn state(&self) -> Result<State> {
        Ok(self.map.state())
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.map.load_state(state)
    }
}

impl Fitted for Agh1 {
    fn fit(&mut self, train: &TrainSet) -> Result<()> {
        let weights = self.map.fit_anchors(train.features.only()?, &mut self.cx.stream("agh_1/anchors"))?;
        self.map.set_map(&weights.eigenvectors(self.cx.bits)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::to_matrix;
    use candle_core::Device;

    #[test]
    fn a_training_item_has_the_code_of_its_eigenvector_entries_in_any_company() {
        let mut rng = hashlab_rng::stream(0, "agh-test", &[]);
        let values: Vec<f32> = (0..300 * 6).map(|_| rng.normal() as f32 + 20.0).collect();
        let features = Tensor::from_vec(values, (300, 6), &Device::Cpu).unwrap();
        let cx = BuildContext::of_images(8, 6);
        let params = AnchorParams { anchors: 40, nearest: 4, kmeans_iterations: 5 };
        let mut method = Agh1::build(params, &cx).unwrap();
        let weights = method.map.fit_anchors(&features, &mut cx.stream("agh_1/anchors")).unwrap();
        let trained = weights.times(&weights.eigenvectors(8).unwrap());
        method.fit(&TrainSet::of_images(features.clone())).unwrap();
        for (start, count) in [(0, 300), (17, 1), (200, 64)] {
            let items = Features::one(Modality::Image, features.narrow(0, start, count).unwrap());
            let h = to_matrix(&method.encode(&items, Modality::Image).unwrap()).unwrap();
            for i in 0..count {
                for bit in 0..8 {
                    let (found, expected) = (h[(i, bit)], trained[(start + i, bit)]);
                    assert!((found - expected).abs() < 1e-5, "item {i}, bit {bit}: {found}, expected {expected}");
                }
            }
        }
    }
}
