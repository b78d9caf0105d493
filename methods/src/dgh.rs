//! DGH: discrete graph hashing.
//!
//! Wei Liu, Cun Mu, Sanjiv Kumar and Shih-Fu Chang, Discrete Graph Hashing, NIPS 2014. Codes B of the n training items
//! that are smooth on the anchor graph `A = ZΛ⁻¹Zᵀ` ([`crate::anchors`]), found without relaxing B to real numbers:
//! `max tr(BᵀAB) + ρ tr(BᵀY)` over `B ∈ {±1}` and `Y ∈ ℝ` `(n, bits)` with `1ᵀY = 0`, `YᵀY = nI`; Y keeps bits balanced
//! and uncorrelated. Two steps alternate, neither of which lowers the objective:
//! - B: the signed gradient, `B ← sign(2AB + ρY)`, where 0 keeps the old sign, until B does not change;
//! - Y: `√n UVᵀ` of the singular value decomposition of B without its column means. If that lacks rank, U is completed
//!   by random columns made orthogonal to it and to 1.
//!
//! The start is that of the paper's DGH-I: Y are the eigenvectors that AGH-1 uses, B their signs.
//!
//! # Deviations
//! - Out-of-sample codes are `h = BᵀZΛ⁻¹z(x)`, the mean training codes of the anchors by their weights to x. Neither
//!   this formula nor a hyperparameter's default has been checked against the paper's text: 0.1, 300, 20 and 1e-4 are
//!   values in use by public implementations that could not be named here.
//! - Some implementations keep `ZᵀB` fixed within the B step; here every update uses the last B, as the monotony of the
//!   step requires.
//! - The codes of training items come from the formula, too, not from the rows of B, so that all items are treated
//!   alike.

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;
use faer::Mat;
use hashlab_method::{
    BuildContext, Definition, Features, Fitted, HashMethod, MethodInfo, Modality, Needs, Params, RunFacts, State,
    Supervision, TrainSet, Violations,
};
use hashlab_rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::anchors::{AnchorMap, AnchorParams};
use crate::graph::Weights;
use crate::linalg::{center, to_tensor};

/// Hyperparameters of discrete graph hashing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DghParams {
    /// Number of anchors m; at most one for every two training items is used. As for AGH: 300.
    #[schemars(range(min = 2, max = 1_000_000))]
    pub anchors: usize,
    /// Nearest anchors s that an item is linked to, at most all. As for AGH: 2.
    #[schemars(range(min = 2))]
    pub nearest: usize,
    /// Iterations of k-means. As for AGH: 5.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub kmeans_iterations: usize,
    /// Weight ρ of balanced and uncorrelated bits. In use: 0.1.
    #[schemars(range(min = 0.0))]
    pub rho: f64,
    /// Largest number of updates of B in one B step. In use: 300.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub updates: usize,
    /// Largest number of alternations of B and Y. In use: 20.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub rounds: usize,
    /// Alternation ends when the objective's relative gain is less. In use: 1e-4.
    #[schemars(range(min = 0.0))]
    pub tolerance: f64,
}

impl Default for DghParams {
    fn default() -> Self {
        let AnchorParams { anchors, nearest, kmeans_iterations } = AnchorParams::default();
        Self { anchors, nearest, kmeans_iterations, rho: 0.1, updates: 300, rounds: 20, tolerance: 1e-4 }
    }
}

impl DghParams {
    fn graph(&self) -> AnchorParams {
        let Self { anchors, nearest, kmeans_iterations, .. } = *self;
        AnchorParams { anchors, nearest, kmeans_iterations }
    }
}

impl Params for DghParams {
    fn check(&self) -> Violations {
        self.graph().check()
    }
}

/// Discrete codes of the training items, extended along the anchor graph.
pub struct Dgh {
    params: DghParams,
    cx: BuildContext,
    map: AnchorMap,
}

impl Definition for Dgh {
    const INFO: MethodInfo = MethodInfo {
        name: "dgh",
        title: "DGH",
        paper: "Liu et al., Discrete Graph Hashing, NIPS 2014",
        supervision: Supervision::Unsupervised,
        needs: Needs::Any,
        augmented: false,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str = concat!(
        include_str!("dgh.rs"),
        include_str!("anchors.rs"),
        include_str!("kmeans.rs"),
        include_str!("graph.rs"),
        include_str!("linalg.rs")
    );
    type Params = DghParams;

    fn check(params: &DghParams, run: &RunFacts) -> Violations {
        params.graph().check_facts(run.bits, run)
    }

    fn build(params: DghParams, cx: &BuildContext) -> Result<Self> {
        let map = AnchorMap::zeros(params.graph(), cx.bits, cx)?;
        Ok(Self { params, cx: cx.clone(), map })
    }
}

impl HashMethod for Dgh {
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

impl Fitted for Dgh {
    fn fit(&mut self, train: &TrainSet) -> Result<()> {
        let weights = self.map.fit_anchors(train.features.only()?, &mut self.cx.stream("dgh/anchors"))?;
        let start = weights.times(&weights.eigenvectors(self.cx.bits)?);
        let (codes, _) = maximize(&weights, start, &self.params, &mut self.cx.stream("dgh/completion"))?;
        self.map.set_map(&weights.anchor_means(&codes)) // W = Λ⁻¹ZᵀB
    }
}

/// Alternates B and Y from `y` `(n, bits)`; returns the last of both.
fn maximize(weights: &Weights, mut y: Mat<f64>, params: &DghParams, rng: &mut Stream) -> Result<(Mat<f64>, Mat<f64>)> {
    let mut codes = signs(&y, &Mat::ones(y.nrows(), y.ncols()));
    let mut last = objective(weights, &codes, &y, params.rho);
    for _ in 0..params.rounds {
        codes = ascend(weights, codes, &y, params);
        y = balanced(&codes, rng)?;
        let next = objective(weights, &codes, &y, params.rho);
        if next - last < params.tolerance * last.abs() {
            break;
        }
        last = next;
    }
    Ok((codes, y))
}

/// `tr(BᵀAB) + ρ tr(BᵀY)`.
fn objective(weights: &Weights, codes: &Mat<f64>, y: &Mat<f64>, rho: f64) -> f64 {
    let inner = |a: &Mat<f64>, b: &Mat<f64>| (0..a.ncols()).map(|k| a.col(k).transpose() * b.col(k)).sum::<f64>();
    inner(codes, &weights.times(&weights.anchor_means(codes))) + rho * inner(codes, y)
}

/// The B step: as A has no negative eigenvalue, every update raises the objective or leaves it.
fn ascend(weights: &Weights, mut codes: Mat<f64>, y: &Mat<f64>, params: &DghParams) -> Mat<f64> {
    for _ in 0..params.updates {
        let smooth = weights.times(&weights.anchor_means(&codes)); // AB
        let gradient = Mat::from_fn(y.nrows(), y.ncols(), |i, k| 2.0 * smooth[(i, k)] + params.rho * y[(i, k)]);
        let next = signs(&gradient, &codes);
        if next == codes {
            break;
        }
        codes = next;
    }
    codes
}

/// ±1 by the sign of `x`, `otherwise` at 0.
fn signs(x: &Mat<f64>, otherwise: &Mat<f64>) -> Mat<f64> {
    Mat::from_fn(x.nrows(), x.ncols(), |i, k| if x[(i, k)] == 0.0 { otherwise[(i, k)] } else { x[(i, k)].signum() })
}

/// The Y step: the Y with `1ᵀY = 0` and `YᵀY = nI` that is closest to `codes`.
///
/// # Errors
/// If there are not more items than bits, or the singular value decomposition fails.
fn balanced(codes: &Mat<f64>, rng: &mut Stream) -> Result<Mat<f64>> {
    let (n, bits) = (codes.nrows(), codes.ncols());
    ensure!(n > bits, "{bits} uncorrelated bits need more than {bits} training items, there are {n}");
    let (_, centered) = center(codes);
    let svd = centered.thin_svd().ok().context("the codes have no singular value decomposition")?;
    let values = svd.S().column_vector();
    let rank = values.iter().filter(|value| **value > 1e-8 * (n as f64).sqrt()).count(); // they descend
    let mut basis = svd.U().to_owned();
    complete(&mut basis, rank, rng);
    Ok(basis * svd.V().transpose() * faer::Scale((n as f64).sqrt()))
}

/// Replaces the columns of `basis` from `rank` on by random ones orthonormal to all before and orthogonal to 1.
fn complete(basis: &mut Mat<f64>, rank: usize, rng: &mut Stream) {
    let n = basis.nrows();
    for k in rank..basis.ncols() {
        let mut column = faer::Col::from_fn(n, |_| rng.normal());
        for _ in 0..2 {
            // Twice: the first pass leaves rounding errors of the removed part.
            let mean = column.iter().sum::<f64>() / n as f64;
            column.iter_mut().for_each(|x| *x -= mean);
            for j in 0..k {
                let share = basis.col(j).transpose() * &column;
                column -= faer::Scale(share) * basis.col(j);
            }
        }
        let norm = column.norm_l2();
        (0..n).for_each(|i| basis[(i, k)] = column[i] / norm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::line;

    fn stream() -> Stream {
        hashlab_rng::stream(0, "dgh-test", &[])
    }

    fn check_constraints(y: &Mat<f64>) {
        let (n, bits) = (y.nrows(), y.ncols());
        let defect = y.transpose() * y - Mat::<f64>::identity(bits, bits) * faer::Scale(n as f64);
        assert!(defect.norm_max() < 1e-8, "YᵀY is not nI: {}", defect.norm_max());
        assert!((0..bits).all(|k| y.col(k).iter().sum::<f64>().abs() < 1e-8), "1ᵀY is not 0");
    }

    #[test]
    fn no_round_lowers_the_objective_and_the_last_is_better_than_the_start() {
        let z = line(400, 30, 4);
        let start = z.times(&z.eigenvectors(8).unwrap());
        for rho in [0.0, 0.1, 10.0] {
            let after = |rounds: usize| {
                let params = DghParams { rho, rounds, tolerance: 0.0, ..DghParams::default() };
                let (codes, y) = maximize(&z, start.clone(), &params, &mut stream()).unwrap();
                check_constraints(&y);
                objective(&z, &codes, &y, rho)
            };
            let objectives: Vec<f64> = (0..8).map(after).collect();
            assert!(objectives.windows(2).all(|pair| pair[1] >= pair[0] - 1e-9 * pair[0]), "{objectives:?}");
            assert!(objectives[7] > 1.01 * objectives[0], "{objectives:?}");
        }
    }

    #[test]
    fn every_update_of_the_codes_raises_the_objective() {
        let z = line(300, 20, 3);
        let y = z.times(&z.eigenvectors(6).unwrap());
        let once = DghParams { updates: 1, ..DghParams::default() };
        let mut rng = stream();
        let mut codes = Mat::from_fn(300, 6, |_, _| if rng.bernoulli(0.5) { 1.0 } else { -1.0 });
        let mut last = objective(&z, &codes, &y, once.rho);
        for update in 0.. {
            let next = ascend(&z, codes.clone(), &y, &once);
            if next == codes {
                assert!(update > 1, "the random start was a fixed point");
                break;
            }
            codes = next;
            let now = objective(&z, &codes, &y, once.rho);
            assert!(now >= last, "update {update}: {now} < {last}");
            last = now;
        }
    }

    #[test]
    fn y_meets_its_constraints_and_none_is_closer_to_the_codes() {
        let mut rng = stream();
        let codes = Mat::from_fn(100, 5, |_, _| if rng.bernoulli(0.4) { 1.0 } else { -1.0 });
        let y = balanced(&codes, &mut rng).unwrap();
        check_constraints(&y);
        let gain = |y: &Mat<f64>| (0..5).map(|k| codes.col(k).transpose() * y.col(k)).sum::<f64>();
        for _ in 0..20 {
            let (_, noise) = center(&Mat::from_fn(100, 5, |i, k| y[(i, k)] + 0.1 * rng.normal()));
            let rival = noise.qr().compute_thin_Q() * faer::Scale(10.0);
            let rival = Mat::from_fn(100, 5, |i, k| rival[(i, k)] * (rival.col(k).transpose() * y.col(k)).signum());
            assert!(gain(&rival) < gain(&y));
        }
    }

    #[test]
    fn codes_without_full_rank_are_completed() {
        let mut rng = stream();
        let first: Vec<f64> = (0..60).map(|_| if rng.bernoulli(0.5) { 1.0 } else { -1.0 }).collect();
        // A bit, its copy, its complement, a constant bit, and an independent one.
        let codes = Mat::from_fn(60, 5, |i, k| match k {
            0 | 1 => first[i],
            2 => -first[i],
            3 => 1.0,
            _ => {
                if i % 2 == 0 {
                    1.0
                } else {
                    -1.0
                }
            }
        });
        check_constraints(&balanced(&codes, &mut rng).unwrap());
        check_constraints(&balanced(&Mat::ones(60, 5), &mut rng).unwrap());
        let error = balanced(&Mat::ones(5, 5), &mut rng).unwrap_err();
        assert!(error.to_string().contains("more than 5 training items"), "{error}");
    }
}
