//! SpH: spherical hashing.
//!
//! Jae-Pil Heo, Youngwoon Lee, Junfeng He, Shih-Fu Chang and Sung-Eui Yoon, Spherical Hashing, CVPR 2012. A bit is 1 if
//! an item lies in a sphere: `h = r² − ‖x − c‖²`. The spheres are trained towards two properties: each holds half of
//! the n training items, and any two share a quarter. Every round, spheres that share more repel each other and spheres
//! that share less attract each other, `c_i += 1/K Σ_j ½ (o_ij − n/4) / (n/4) (c_i − c_j)`, then each radius is set to
//! hold half of the items. Rounds end when the overlaps o_ij have a mean deviation from n/4 of at most 10 % and a
//! standard deviation of at most 15 % of n/4.
//!
//! # Deviations
//! - The paper ranks by the spherical Hamming distance, differing bits over common 1-bits. All methods here are ranked
//!   by the Hamming distance, which the paper gives as the other choice; codes are the same.
//! - Bit 1 is inside, a distance equal to the radius included. In dengcai78/MatlabFunc (`B = D > radii`) bit 1 is
//!   outside: the complement of all bits, which changes no distance between codes.
//! - Training that does not converge within `rounds` keeps its last spheres, as MatlabFunc does, which warns after 100
//!   rounds and goes on.
//!
//! Objective and tolerances have not been checked against the paper's text.

use anyhow::{Result, ensure};
use candle_core::{DType, Tensor};
use faer::Mat;
use hashlab_method::nn::expect_all;
use hashlab_method::{
    BuildContext, Definition, Features, Fitted, HashMethod, MethodInfo, Modality, Needs, Params, RunFacts, State,
    Supervision, TrainSet, Violations,
};
use hashlab_rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::linalg::{center, to_matrix, to_tensor};

/// Hyperparameters of spherical hashing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SphParams {
    /// Random training items whose mean is a sphere's first center. dengcai78/MatlabFunc: 5.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub samples: usize,
    /// Largest mean deviation of the overlaps from n/4, as a fraction of n/4. Paper: 0.1.
    #[schemars(range(min = 0.0))]
    pub mean_tolerance: f64,
    /// Largest standard deviation of the overlaps, as a fraction of n/4. Paper: 0.15.
    #[schemars(range(min = 0.0))]
    pub deviation_tolerance: f64,
    /// Largest number of rounds of moving the spheres. dengcai78/MatlabFunc: 100.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub rounds: usize,
}

impl Default for SphParams {
    fn default() -> Self {
        Self { samples: 5, mean_tolerance: 0.1, deviation_tolerance: 0.15, rounds: 100 }
    }
}

impl Params for SphParams {}

/// Spheres around centers.
pub struct Sph {
    params: SphParams,
    cx: BuildContext,
    /// The mean of the training items `(1, dim)`, which keeps f32 exact where features are far from the origin.
    mean: Tensor,
    /// Centers relative to the mean, as columns `(dim, bits)`.
    centers: Tensor,
    /// `r² − ‖c‖²` `(1, bits)`.
    offsets: Tensor,
}

impl Definition for Sph {
    const INFO: MethodInfo = MethodInfo {
        name: "sph",
        title: "SpH",
        paper: "Heo et al., Spherical Hashing, CVPR 2012",
        supervision: Supervision::Unsupervised,
        needs: Needs::Any,
        augmented: false,
        seeded: true,
        revision: 1,
    };
    const SOURCE: &'static str = concat!(include_str!("sph.rs"), include_str!("linalg.rs"));
    type Params = SphParams;

    fn check(params: &SphParams, run: &RunFacts) -> Violations {
        let items = run.train_items.unwrap_or(usize::MAX);
        let message = format!("a center is the mean of `samples` training items, and there are {items}");
        Violations::none().require(params.samples <= items, ["samples"], message)
    }

    fn build(params: SphParams, cx: &BuildContext) -> Result<Self> {
        let zeros = |rows, columns| Tensor::zeros((rows, columns), DType::F32, &cx.device);
        let (mean, centers, offsets) = (zeros(1, cx.dim()?)?, zeros(cx.dim()?, cx.bits)?, zeros(1, cx.bits)?);
        Ok(Self { params, cx: cx.clone(), mean, centers, offsets })
    }
}

impl HashMethod for Sph {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        let x = items.get(modality)?.broadcast_sub(&self.mean)?;
        let squares = x.sqr()?.sum_keepdim(1)?; // (n, 1)
        // r² − ‖x − c‖² = 2xᵀc + (r² − ‖c‖²) − ‖x‖²
        Ok((x.matmul(&self.centers)? * 2.0)?.broadcast_add(&self.offsets)?.broadcast_sub(&squares)?)
    }

    fn state(&self) -> Result<State> {
        Ok(State::from([
            ("mean".into(), self.mean.clone()),
            ("centers".into(), self.centers.clone()),
            ("offsets".into(), self.offsets.clone()),
        ]))
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        let (mean, centers, offsets) = (self.mean.shape(), self.centers.shape(), self.offsets.shape());
        let expected = [("mean", mean), ("centers", centers), ("offsets", offsets)];
        [self.mean, self.centers, self.offsets] = expect_all(state, expected)?;
        Ok(())
    }
}

impl Fitted for Sph {
    fn fit(&mut self, train: &TrainSet) -> Result<()> {
        let (mean, x) = center(&to_matrix(train.features.only()?)?);
        let (n, samples) = (x.nrows(), self.params.samples);
        ensure!(n >= samples.max(2), "{n} training items cannot place spheres, {} are needed", samples.max(2));
        let centers = first_centers(&x, self.cx.bits, samples, &mut self.cx.stream("sph/centers"));
        let spheres = train_spheres(&x, centers, &self.params);
        let norms = squared_norms(&spheres.centers);
        let offsets = Mat::from_fn(1, self.cx.bits, |_, k| spheres.squared_radii[k] - norms[k]);
        let device = self.mean.device().clone();
        self.mean = to_tensor(&mean, &device)?;
        self.centers = to_tensor(&spheres.centers.transpose().to_owned(), &device)?;
        self.offsets = to_tensor(&offsets, &device)?;
        Ok(())
    }
}

/// Centers `(bits, dim)` and the squares of the radii.
struct Spheres {
    centers: Mat<f64>,
    squared_radii: Vec<f64>,
}

/// Centers `(bits, dim)`, each the mean of `samples` different random rows of `x`.
fn first_centers(x: &Mat<f64>, bits: usize, samples: usize, rng: &mut Stream) -> Mat<f64> {
    let chosen: Vec<Vec<usize>> = (0..bits).map(|_| rng.distinct(samples, x.nrows())).collect();
    Mat::from_fn(bits, x.ncols(), |k, j| chosen[k].iter().map(|&i| x[(i, j)]).sum::<f64>() / samples as f64)
}

/// Moves spheres from `centers` until their overlaps on the rows of `x` are as even as asked, or rounds are over.
fn train_spheres(x: &Mat<f64>, mut centers: Mat<f64>, params: &SphParams) -> Spheres {
    let items = squared_norms(x);
    let mut round = 0;
    loop {
        let distances = squared_distances(x, &items, &centers);
        let squared_radii: Vec<f64> = (0..centers.nrows()).map(|k| median(&distances, k)).collect();
        let overlaps = overlaps(&distances, &squared_radii);
        if round == params.rounds || Balance::of(&overlaps, x.nrows()).within(params) {
            return Spheres { centers, squared_radii };
        }
        centers = repelled(&centers, &overlaps, x.nrows());
        round += 1;
    }
}

/// Squared norms of the rows.
fn squared_norms(x: &Mat<f64>) -> Vec<f64> {
    (0..x.nrows()).map(|i| x.row(i).squared_norm_l2()).collect()
}

/// Squared distances `(n, bits)` between rows of `x`, whose squared norms are `items`, and centers.
fn squared_distances(x: &Mat<f64>, items: &[f64], centers: &Mat<f64>) -> Mat<f64> {
    let products = x * centers.transpose();
    let norms = squared_norms(centers);
    Mat::from_fn(x.nrows(), centers.nrows(), |i, k| items[i] + norms[k] - 2.0 * products[(i, k)])
}

/// The value halfway between the two middle values of a column: ⌊n/2⌋ of them are smaller.
fn median(distances: &Mat<f64>, column: usize) -> f64 {
    let mut values: Vec<f64> = distances.col(column).iter().copied().collect();
    let half = values.len() / 2;
    let (below, &mut middle, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    let largest_below = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    0.5 * (largest_below + middle)
}

/// Number of items that each two spheres share `(bits, bits)`.
fn overlaps(distances: &Mat<f64>, squared_radii: &[f64]) -> Mat<f64> {
    let inside = Mat::from_fn(distances.nrows(), distances.ncols(), |i, k| {
        if distances[(i, k)] <= squared_radii[k] { 1.0 } else { 0.0 }
    });
    inside.transpose() * &inside
}

/// Deviations of overlaps from a quarter of the items, as fractions of that quarter.
struct Balance {
    /// Mean absolute deviation.
    mean: f64,
    /// Standard deviation.
    deviation: f64,
}

impl Balance {
    fn of(overlaps: &Mat<f64>, n: usize) -> Self {
        let quarter = n as f64 / 4.0;
        let bits = overlaps.nrows();
        let pairs: Vec<f64> = (0..bits).flat_map(|i| (0..i).map(move |j| overlaps[(i, j)] / quarter)).collect();
        let average = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / pairs.len().max(1) as f64;
        let center = average(&mut pairs.iter().copied());
        let mean = average(&mut pairs.iter().map(|o| (o - 1.0).abs()));
        Self { mean, deviation: average(&mut pairs.iter().map(|o| (o - center).powi(2))).sqrt() }
    }

    fn within(&self, params: &SphParams) -> bool {
        self.mean <= params.mean_tolerance && self.deviation <= params.deviation_tolerance
    }
}

/// The centers after one round of forces.
fn repelled(centers: &Mat<f64>, overlaps: &Mat<f64>, n: usize) -> Mat<f64> {
    let (bits, quarter) = (centers.nrows(), n as f64 / 4.0);
    let force = |i: usize, j: usize| 0.5 * (overlaps[(i, j)] - quarter) / quarter / bits as f64;
    // Σ_j f_ij (c_i − c_j) = (Σ_j f_ij) c_i − Σ_j f_ij c_j; the term j = i cancels.
    let moves = Mat::from_fn(bits, bits, |i, j| {
        if i == j { (0..bits).filter(|&k| k != i).map(|k| force(i, k)).sum() } else { -force(i, j) }
    });
    centers + moves * centers
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn items(n: usize, dim: usize) -> Mat<f64> {
        let mut rng = hashlab_rng::stream(0, "sph-test", &[]);
        Mat::from_fn(n, dim, |_, j| rng.normal() * (1.0 + j as f64 / 4.0) + 10.0)
    }

    fn fitted(x: &Mat<f64>, bits: usize, params: SphParams) -> (Sph, Tensor) {
        let cx = BuildContext::of_images(bits, x.ncols());
        let mut method = Sph::build(params, &cx).unwrap();
        let features = to_tensor(x, &Device::Cpu).unwrap();
        method.fit(&TrainSet::of_images(features.clone())).unwrap();
        (method, features)
    }

    #[test]
    fn every_bit_is_balanced_and_every_two_share_a_quarter_within_the_tolerances() {
        let (n, bits) = (1001, 16);
        let (method, features) = fitted(&items(n, 12), bits, SphParams::default());
        let h = to_matrix(&method.encode(&Features::one(Modality::Image, features), Modality::Image).unwrap()).unwrap();
        let overlaps = overlaps(&(Mat::<f64>::zeros(n, bits) - h), &[0.0; 16]); // −h ≤ 0: inside
        for bit in 0..bits {
            assert_eq!(overlaps[(bit, bit)], 500.0);
        }
        let balance = Balance::of(&overlaps, n);
        assert!(balance.mean <= 0.1 && balance.deviation <= 0.15, "{} {}", balance.mean, balance.deviation);
    }

    #[test]
    fn training_is_what_evens_the_overlaps() {
        let (_, x) = center(&items(1000, 12));
        let centers = first_centers(&x, 16, 5, &mut hashlab_rng::stream(0, "sph-test", &[1]));
        let after = |rounds: usize| {
            let spheres = train_spheres(&x, centers.clone(), &SphParams { rounds, ..SphParams::default() });
            let distances = squared_distances(&x, &squared_norms(&x), &spheres.centers);
            Balance::of(&overlaps(&distances, &spheres.squared_radii), 1000)
        };
        let (first, last) = (after(1), after(100));
        assert!(first.mean > 0.1 || first.deviation > 0.15, "one round was enough, the test says nothing");
        assert!(last.within(&SphParams::default()), "{} {}", last.mean, last.deviation);
    }

    #[test]
    fn spheres_that_share_too_much_part_and_others_come_closer() {
        let centers = Mat::from_fn(3, 1, |k, _| [0.0, 1.0, 4.0][k]);
        // Of 8 items a quarter is 2: the first two share 4, the third shares none with either.
        let shared = Mat::from_fn(3, 3, |i, j| if i < 2 && j < 2 { 4.0 } else { 0.0 });
        let moved = repelled(&centers, &shared, 8);
        // ⅓ · ½ · ((+1)(0 − 1) + (−1)(0 − 4)) = ½, …
        for (k, expected) in [0.5, 1.0 + 4.0 / 6.0, 4.0 - 7.0 / 6.0].into_iter().enumerate() {
            assert!((moved[(k, 0)] - expected).abs() < 1e-12, "{k}: {}", moved[(k, 0)]);
        }
    }

    #[test]
    fn relaxed_codes_are_radius_minus_distance_squared() {
        let x = items(40, 5);
        let (_, centered) = center(&x);
        let (method, features) = fitted(&x, 3, SphParams { rounds: 4, ..SphParams::default() });
        let h = to_matrix(&method.encode(&Features::one(Modality::Image, features), Modality::Image).unwrap()).unwrap();
        let centers = to_matrix(&method.centers).unwrap();
        for bit in 0..3 {
            let squared = |i: usize| (0..5).map(|j| (centered[(i, j)] - centers[(j, bit)]).powi(2)).sum::<f64>();
            let radius = h[(0, bit)] + squared(0);
            assert!((0..40).all(|i| (radius - squared(i) - h[(i, bit)]).abs() < 1e-3));
        }
    }

    #[test]
    fn one_bit_and_few_items_are_handled() {
        let (method, features) = fitted(&items(20, 4), 1, SphParams::default());
        let h = to_matrix(&method.encode(&Features::one(Modality::Image, features), Modality::Image).unwrap()).unwrap();
        assert_eq!((0..20).filter(|&i| h[(i, 0)] >= 0.0).count(), 10);
        let cx = BuildContext::of_images(4, 2);
        let mut method = Sph::build(SphParams::default(), &cx).unwrap();
        let features = Tensor::ones((4, 2), DType::F32, &Device::Cpu).unwrap();
        let error = method.fit(&TrainSet::of_images(features)).unwrap_err();
        assert!(error.to_string().contains("5 are needed"), "{error}");
    }
}
