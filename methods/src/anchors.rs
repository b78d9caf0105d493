//! The anchor graph of AGH and DGH, and their out-of-sample extension: `h = z(x)W`.
//!
//! Wei Liu, Jun Wang, Sanjiv Kumar and Shih-Fu Chang, Hashing with Graphs, ICML 2011. Items are linked through m
//! anchors, the centers of k-means. Row z(x) holds the weights of an item's s nearest anchors, `exp(−d²/σ²)` divided by
//! their sum, where σ is the mean distance of the training items to their s-th nearest anchor (reference code). The
//! graph of the training items is `A = ZΛ⁻¹Zᵀ`, Λ = diag(Zᵀ1): its rows sum to 1, its Laplacian is I − A.
//!
//! Distances are computed of features without their training mean, which changes none of them and keeps f32 exact.

use anyhow::{Result, ensure};
use candle_core::{DType, Tensor};
use faer::Mat;
use hashlab_method::nn::expect_all;
use hashlab_method::{BuildContext, Params, RunFacts, State, Violations};
use hashlab_rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::graph::Weights;
use crate::kmeans::{CHUNK, kmeans, squared_distances};
use crate::linalg::{to_matrix, to_tensor};

/// Hyperparameters of anchor graph hashing.
///
/// Defaults are those of the authors' code (ColumbiaDVMM/Anchor-Graph-Hashing, commit e9c9e15, `demo_AGH.m`), which
/// leaves k-means to the user.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AnchorParams {
    /// Number of anchors m; at most one for every two training items is used. Authors' code: 300.
    #[schemars(range(min = 2, max = 1_000_000))]
    pub anchors: usize,
    /// Nearest anchors s that an item is linked to, at most all. Authors' code: 2, to be tuned from 2 to a tenth of
    /// the anchors on each data set.
    #[schemars(range(min = 2))]
    pub nearest: usize,
    /// Iterations of k-means. dengcai78/MatlabFunc: 5.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub kmeans_iterations: usize,
}

impl Default for AnchorParams {
    fn default() -> Self {
        Self { anchors: 300, nearest: 2, kmeans_iterations: 5 }
    }
}

impl Params for AnchorParams {
    fn check(&self) -> Violations {
        Violations::none().require(
            self.nearest <= self.anchors,
            ["nearest", "anchors"],
            "`nearest` must not exceed `anchors`",
        )
    }
}

impl AnchorParams {
    /// Violations at planning time where the graph has fewer eigenvectors than the `count` that `bits` need.
    pub(crate) fn check_facts(&self, count: usize, run: &RunFacts) -> Violations {
        let half = run.train_items.map_or(usize::MAX, |items| items / 2);
        let anchors = self.anchors.min(half);
        let key = if anchors < self.anchors { "bits" } else { "anchors" };
        let message = format!(
            "{} bits need {count} eigenvectors, and a graph of {anchors} anchors has fewer\n\
             help: raise `anchors`, of which at most half of the training items are used, or ask for fewer bits",
            run.bits
        );
        Violations::none().require(count < anchors, [key], message)
    }
}

/// Anchors, and a map W from their weights to `columns` outputs.
pub(crate) struct AnchorMap {
    params: AnchorParams,
    /// Mean of the training items `(1, dim)`.
    mean: Tensor,
    /// Relative to the mean `(m, dim)`.
    anchors: Tensor,
    /// σ² `(1,)`.
    bandwidth: Tensor,
    /// W `(m, columns)`.
    map: Tensor,
}

impl AnchorMap {
    /// Starts with zeros, to be replaced by a fit or [`AnchorMap::load_state`].
    ///
    /// # Errors
    /// As of [`AnchorParams::check_facts`], for any number of training items.
    pub(crate) fn zeros(params: AnchorParams, columns: usize, cx: &BuildContext) -> Result<Self> {
        let broken = params.check_facts(columns, &RunFacts { bits: cx.bits, ..RunFacts::default() });
        ensure!(broken.is_empty(), "{broken}");
        let zeros = |rows, columns| Tensor::zeros((rows, columns), DType::F32, &cx.device);
        let bandwidth = Tensor::zeros(1, DType::F32, &cx.device)?;
        let (mean, anchors, map) =
            (zeros(1, cx.dim()?)?, zeros(params.anchors, cx.dim()?)?, zeros(params.anchors, columns)?);
        Ok(Self { params, mean, anchors, bandwidth, map })
    }

    /// Places anchors and bandwidth for training features `(n, dim)`; returns their weights Z.
    ///
    /// # Errors
    /// If there are fewer than four items, which is less than two anchors.
    pub(crate) fn fit_anchors(&mut self, features: &Tensor, rng: &mut Stream) -> Result<Weights> {
        let n = features.dim(0)?;
        // With hardly more items than anchors most items would be anchors themselves, and the graph would be
        // disconnected.
        let anchors = self.params.anchors.min(n / 2);
        ensure!(anchors >= 2, "an anchor graph needs at least 4 training items, there are {n}");
        self.mean = features.to_dtype(DType::F64)?.mean_keepdim(0)?.to_dtype(DType::F32)?;
        let x = features.broadcast_sub(&self.mean)?;
        self.anchors = kmeans(&x, anchors, self.params.kmeans_iterations, rng)?;
        let links = self.links(&x)?;
        let farthest = links.iter().map(|links| f64::from(links[links.len() - 1].1).sqrt());
        let sigma = farthest.sum::<f64>() / n as f64;
        self.bandwidth = Tensor::new(&[(sigma * sigma) as f32], self.mean.device())?;
        self.weights_of(&links)
    }

    /// Sets the map W `(m, columns)`.
    pub(crate) fn set_map(&mut self, map: &Mat<f64>) -> Result<()> {
        self.map = to_tensor(map, self.map.device())?;
        Ok(())
    }

    /// z(x)W of items `(n, dim)`: `(n, columns)`.
    pub(crate) fn apply(&self, items: &Tensor) -> Result<Mat<f64>> {
        let links = self.links(&items.broadcast_sub(&self.mean)?)?;
        Ok(self.weights_of(&links)?.times(&to_matrix(&self.map)?))
    }

    /// The nearest anchors of each row of `x`, and their squared distances, by rising distance; ties go to the earlier.
    fn links(&self, x: &Tensor) -> Result<Vec<Vec<(u32, f32)>>> {
        let (n, nearest) = (x.dim(0)?, self.params.nearest.min(self.anchors.dim(0)?));
        let mut links = Vec::with_capacity(n);
        for start in (0..n).step_by(CHUNK) {
            let rows = x.narrow(0, start, CHUNK.min(n - start))?;
            for distances in squared_distances(&rows, &self.anchors)?.to_vec2::<f32>()? {
                links.push(smallest(&distances, nearest));
            }
        }
        Ok(links)
    }

    fn weights_of(&self, links: &[Vec<(u32, f32)>]) -> Result<Weights> {
        let bandwidth = f64::from(self.bandwidth.to_vec1::<f32>()?[0]);
        Ok(Weights::of(links, bandwidth, self.anchors.dim(0)?))
    }

    pub(crate) fn state(&self) -> State {
        State::from([
            ("mean".into(), self.mean.clone()),
            ("anchors".into(), self.anchors.clone()),
            ("bandwidth".into(), self.bandwidth.clone()),
            ("map".into(), self.map.clone()),
        ])
    }

    /// Restores a state. The number of anchors is the state's: it depends on the training items.
    pub(crate) fn load_state(&mut self, state: &State) -> Result<()> {
        let (dim, columns) = (self.mean.dim(1)?, self.map.dim(1)?);
        let rows = state.get("anchors").and_then(|anchors| anchors.dims().first().copied()).unwrap_or(0);
        let rows = rows.min(self.params.anchors);
        [self.mean, self.anchors, self.bandwidth, self.map] = expect_all(
            state,
            [
                ("mean", self.mean.shape()),
                ("anchors", &(rows, dim).into()),
                ("bandwidth", self.bandwidth.shape()),
                ("map", &(rows, columns).into()),
            ],
        )?;
        Ok(())
    }
}

/// The `count` smallest values and their indices, ascending; of equal ones the earlier.
fn smallest(values: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut found: Vec<(u32, f32)> = (0..).zip(values.iter().copied()).collect();
    let order = |a: &(u32, f32), b: &(u32, f32)| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0));
    if count < found.len() {
        found.select_nth_unstable_by(count - 1, order);
        found.truncate(count);
    }
    found.sort_unstable_by(order);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_smallest_are_sorted_and_ties_go_to_the_earlier() {
        assert_eq!(smallest(&[3.0, 1.0, 2.0, 1.0, 0.5], 3), [(4, 0.5), (1, 1.0), (3, 1.0)]);
        assert_eq!(smallest(&[2.0, 1.0], 2), [(1, 1.0), (0, 2.0)]);
    }

    #[test]
    fn weights_fall_with_the_distance_as_a_gaussian_of_the_mean_distance() {
        let cx = BuildContext::of_images(2, 1);
        let mut map = AnchorMap::zeros(AnchorParams::default(), 2, &cx).unwrap();
        // Two pairs around 0 and 10: with two anchors, an item's second nearest lies in the other pair.
        let x = Tensor::new(&[[-1f32], [1.0], [9.0], [11.0]], &Device::Cpu).unwrap();
        let z = map.fit_anchors(&x, &mut hashlab_rng::stream(0, "anchors-test", &[])).unwrap().to_dense();
        let sigma: f64 = (11.0 + 9.0 + 9.0 + 11.0) / 4.0;
        let far = |near: f64, far: f64| {
            let kernel = |d: f64| (-(d / sigma).powi(2)).exp();
            kernel(far) / (kernel(near) + kernel(far))
        };
        for (item, expected) in [far(1.0, 11.0), far(1.0, 9.0), far(1.0, 9.0), far(1.0, 11.0)].into_iter().enumerate() {
            let found = z[(item, 0)].min(z[(item, 1)]);
            assert!((found - expected).abs() < 1e-6, "item {item}: {found}, expected {expected}");
        }
    }

    #[test]
    fn a_state_of_fewer_anchors_loads_and_one_that_contradicts_itself_does_not() {
        let cx = BuildContext::of_images(2, 3);
        let build = |anchors| AnchorMap::zeros(AnchorParams { anchors, ..AnchorParams::default() }, 2, &cx).unwrap();
        let few = build(5).state();
        build(8).load_state(&few).unwrap();
        assert!(build(4).load_state(&few).is_err(), "more anchors than `anchors`");
        let mut torn = few;
        torn.insert("map".into(), Tensor::zeros((4, 2), DType::F32, &Device::Cpu).unwrap());
        assert!(build(8).load_state(&torn).is_err());
    }
}
