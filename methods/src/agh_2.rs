//! AGH-2: two-layer anchor graph hashing.
//!
//! Wei Liu, Jun Wang, Sanjiv Kumar and Shih-Fu Chang, Hashing with Graphs, ICML 2011. Each of the bits/2 leading
//! eigenvectors y of the anchor graph makes two bits: its sign, as in [`crate::agh_1`], and, within each side of 0, the
//! side of a second threshold: `y ≥ T⁺` where y ≥ 0, `y ≤ T⁻` where y < 0. The thresholds minimize what the eigenvector
//! itself minimizes, `ŷᵀ(I − A)ŷ` with `1ᵀŷ = 0`, of `ŷ = y − T⁺` where y ≥ 0 and `−y + T⁻` where y < 0.
//!
//! # Deviations
//! Those of [`crate::agh_1`]. The first half of the bits is the first layer, the second half the second.

use anyhow::{Result, ensure};
use candle_core::{DType, Tensor};
use faer::Mat;
use hashlab_method::nn::expect;
use hashlab_method::{
    BuildContext, Definition, Features, Fitted, HashMethod, MethodInfo, Modality, Needs, RunFacts, State, Supervision,
    TrainSet, Violations,
};

use crate::anchors::{AnchorMap, AnchorParams};
use crate::graph::Weights;
use crate::linalg::{to_matrix, to_tensor};

/// Eigenfunctions of the anchor graph, and thresholds on both sides of each.
pub struct Agh2 {
    cx: BuildContext,
    map: AnchorMap,
    /// T⁺ and T⁻ of each eigenvector `(2, bits/2)`.
    thresholds: Tensor,
}

impl Definition for Agh2 {
    const INFO: MethodInfo = MethodInfo {
        name: "agh_2",
        title: "AGH-2",
        paper: "Liu et al., Hashing with Graphs, ICML 2011",
        supervision: Supervision::Unsupervised,
        needs: Needs::Any,
        augmented: false,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str = concat!(
        include_str!("agh_2.rs"),
        include_str!("anchors.rs"),
        include_str!("kmeans.rs"),
        include_str!("graph.rs"),
        include_str!("linalg.rs")
    );
    type Params = AnchorParams;

    fn check(params: &AnchorParams, run: &RunFacts) -> Violations {
        let even = run.bits.is_multiple_of(2);
        let message = format!("AGH-2 makes two bits of each eigenvector: {} bits are impossible", run.bits);
        params.check_facts(run.bits / 2, run).require(even, ["bits"], message + "\nhelp: take an even number")
    }

    fn build(params: AnchorParams, cx: &BuildContext) -> Result<Self> {
        let bits = cx.bits;
        ensure!(
            bits.is_multiple_of(2),
            "AGH-2 makes two bits of each eigenvector: {bits} bits are impossible, take an even number"
        );
        let map = AnchorMap::zeros(params, bits / 2, cx)?;
        let thresholds = Tensor::zeros((2, bits / 2), DType::F32, &cx.device)?;
        Ok(Self { cx: cx.clone(), map, thresholds })
    }
}

impl HashMethod for Agh2 {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        let y = self.map.apply(items.get(modality)?)?;
        to_tensor(&two_layers(&y, &to_matrix(&self.thresholds)?), items.get(modality)?.device())
    }

    fn state(&self) -> Result<State> {
        let mut state = self.map.state();
        state.insert("thresholds".into(), self.thresholds.clone());
        Ok(state)
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        let thresholds = expect(state, "thresholds", self.thresholds.shape())?.clone();
        let mut rest = state.clone();
        rest.remove("thresholds");
        self.map.load_state(&rest)?;
        self.thresholds = thresholds;
        Ok(())
    }
}

impl Fitted for Agh2 {
    fn fit(&mut self, train: &TrainSet) -> Result<()> {
        let weights = self.map.fit_anchors(train.features.only()?, &mut self.cx.stream("agh_2/anchors"))?;
        let eigenvectors = weights.eigenvectors(self.cx.bits / 2)?;
        let thresholds = thresholds(&weights, &weights.times(&eigenvectors));
        self.map.set_map(&eigenvectors)?;
        self.thresholds = to_tensor(&thresholds, self.thresholds.device())?;
        Ok(())
    }
}

/// Relaxed codes `(n, 2k)` of eigenvector entries `y` `(n, k)` and thresholds `(2, k)`.
fn two_layers(y: &Mat<f64>, thresholds: &Mat<f64>) -> Mat<f64> {
    let k = y.ncols();
    Mat::from_fn(y.nrows(), 2 * k, |i, bit| match bit.checked_sub(k) {
        None => y[(i, bit)],
        Some(bit) => second_layer(y[(i, bit)], thresholds[(0, bit)], thresholds[(1, bit)]),
    })
}

/// ŷ of one entry.
fn second_layer(y: f64, above: f64, below: f64) -> f64 {
    if y >= 0.0 { y - above } else { below - y }
}

/// The thresholds T⁺, T⁻ `(2, k)` of eigenvectors `y` `(n, k)` of the graph of `weights`.
///
/// With e⁺ the indicator of y ≥ 0 and L = I − A, `ŷ = |y| − T⁺e⁺ + T⁻e⁻`. As L1 = 0, the objective depends on
/// `t = T⁺ + T⁻` alone, and is smallest at `t = e⁺ᵀL|y| / e⁺ᵀLe⁺`; `1ᵀŷ = 0` then fixes both: `n⁺T⁺ − n⁻T⁻ = Σ|y|`.
fn thresholds(weights: &Weights, y: &Mat<f64>) -> Mat<f64> {
    let (n, k) = (y.nrows(), y.ncols());
    let positive = Mat::from_fn(n, k, |i, j| if y[(i, j)] >= 0.0 { 1.0 } else { 0.0 });
    let absolute = Mat::from_fn(n, k, |i, j| y[(i, j)].abs());
    let smooth = |x: &Mat<f64>| x - weights.times(&weights.anchor_means(x)); // Lx
    let (l_positive, l_absolute) = (smooth(&positive), smooth(&absolute));
    Mat::from_fn(2, k, |side, j| {
        let dot = |x: &Mat<f64>| (0..n).filter(|&i| positive[(i, j)] > 0.0).map(|i| x[(i, j)]).sum::<f64>();
        // y changes sign within a linked part of the graph, so that e⁺ᵀLe⁺ > 0.
        let total = dot(&l_absolute) / dot(&l_positive);
        let above = positive.col(j).iter().sum::<f64>();
        let below = n as f64 - above;
        let sum = absolute.col(j).iter().sum::<f64>();
        if side == 0 { (sum + below * total) / n as f64 } else { (above * total - sum) / n as f64 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::line;

    #[test]
    fn thresholds_minimize_the_objective_of_the_graph_among_balanced_ones() {
        let (n, k) = (300, 4);
        let z = line(n, 12, 3);
        let y = z.times(&z.eigenvectors(k).unwrap());
        let found = thresholds(&z, &y);
        let dense = z.to_dense();
        let inverse = z.inverse_degrees();
        let graph = &dense * Mat::from_fn(12, n, |a, i| inverse[a] * dense[(i, a)]);
        for j in 0..k {
            let relaxed = |above: f64, below: f64| Mat::from_fn(n, 1, |i, _| second_layer(y[(i, j)], above, below));
            let objective = |h: &Mat<f64>| (h.transpose() * (h - &graph * h))[(0, 0)];
            let (above, below) = (found[(0, j)], found[(1, j)]);
            let best = relaxed(above, below);
            assert!(best.col(0).iter().sum::<f64>().abs() < 1e-8, "not balanced");
            let positive = y.col(j).iter().filter(|y| **y >= 0.0).count() as f64;
            for step in [-1.0, -0.1, -0.01, 0.01, 0.1, 1.0] {
                // Along n⁺T⁺ − n⁻T⁻ = const.
                let rival =
                    relaxed(above + step * (n as f64 - positive) / n as f64, below + step * positive / n as f64);
                assert!(rival.col(0).iter().sum::<f64>().abs() < 1e-8);
                assert!(objective(&rival) > objective(&best), "eigenvector {j}, step {step}");
            }
            assert!(above > 0.0 && below < 0.0, "the thresholds of vector {j} split no side: {above}, {below}");
        }
    }

    #[test]
    fn the_second_bit_splits_either_side_at_its_threshold() {
        let y = Mat::from_fn(6, 1, |i, _| [2.0, 1.0, 0.0, -0.1, -0.5, -3.0][i]);
        let h = two_layers(&y, &Mat::from_fn(2, 1, |i, _| [1.0, -0.5][i]));
        let bits: Vec<[bool; 2]> = (0..6).map(|i| [h[(i, 0)] >= 0.0, h[(i, 1)] >= 0.0]).collect();
        let expected = [[true, true], [true, true], [true, false], [false, false], [false, true], [false, true]];
        assert_eq!(bits, expected);
    }

    #[test]
    fn odd_lengths_are_refused() {
        let cx = BuildContext::of_images(15, 6);
        let Err(error) = Agh2::build(AnchorParams::default(), &cx) else { panic!("built") };
        assert!(error.to_string().contains("even number"), "{error}");
    }
}
