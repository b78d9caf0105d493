//! Canonical correlation analysis of two modalities, and linear codes of both.

use anyhow::{Context, Result, ensure};
use candle_core::{Tensor, Var};
use faer::{Mat, Side};
use hashlab_method::nn::Parameters;
use hashlab_method::{BuildContext, ByModality, Features, Modality, RunFacts, State, TrainSet, Violations};

use crate::linalg::{center, check_items, check_train_items, to_matrix, to_tensor};

/// The modalities, in the order of pairs here.
pub(crate) const BOTH: [Modality; 2] = [Modality::Image, Modality::Text];

/// Directions of largest correlation between two sets of features of the same items (Hotelling 1936).
pub struct Cca {
    /// Of each set `(d, k)`, by falling correlation; projected training items have variance 1 (up to the ridge).
    pub directions: [Mat<f64>; 2],
    /// The correlations, at most 1.
    pub correlations: Vec<f64>,
}

impl Cca {
    /// Finds `k` directions for centered rows `(n, d)` of each set. `ridge` is added to each covariance, in units of
    /// the mean variance of its features.
    ///
    /// # Errors
    /// If a decomposition fails, or a set has no variance.
    ///
    /// # Panics
    /// If a set has fewer dimensions than `k`.
    pub fn new(centered: [&Mat<f64>; 2], k: usize, ridge: f64) -> Result<Self> {
        let [a, b] = centered;
        let scale = 1.0 / a.nrows() as f64;
        let [whiten_a, whiten_b] = [inverse_root(a, ridge)?, inverse_root(b, ridge)?];
        let between = (&whiten_a * (a.transpose() * b) * &whiten_b) * faer::Scale(scale);
        let svd = between.svd().ok().context("the correlations have no singular value decomposition")?;
        let correlations = (0..k).map(|i| svd.S().column_vector()[i]).collect();
        let first = |vectors: faer::MatRef<'_, f64>| vectors.subcols(0, k).to_owned();
        Ok(Self { directions: [whiten_a * first(svd.U()), whiten_b * first(svd.V())], correlations })
    }
}

/// C^(−1/2) of the covariance of centered rows `(n, d)`, with the ridge on its diagonal.
fn inverse_root(centered: &Mat<f64>, ridge: f64) -> Result<Mat<f64>> {
    let d = centered.ncols();
    let mut covariance = (centered.transpose() * centered) * faer::Scale(1.0 / centered.nrows() as f64);
    let mean_variance = (0..d).map(|i| covariance[(i, i)]).sum::<f64>() / d as f64;
    ensure!(mean_variance > 0.0, "the features of the training items are all alike");
    (0..d).for_each(|i| covariance[(i, i)] += ridge * mean_variance);
    let eigen = covariance.self_adjoint_eigen(Side::Lower).ok().context("the covariance has no eigendecomposition")?;
    let values: Vec<f64> = (0..d).map(|i| eigen.S().column_vector()[i]).collect();
    // If the ridge is 0, directions without variance are left out.
    let floor = 1e-12 * values.last().copied().unwrap_or_default();
    let root = |value: f64| if value > floor { value.sqrt().recip() } else { 0.0 };
    let scaled = Mat::from_fn(d, d, |i, j| eigen.U()[(i, j)] * root(values[j]));
    Ok(scaled * eigen.U().transpose())
}

/// Linear codes of each modality: `h = (x − μ)P`.
pub(crate) struct PairProjection {
    vars: Parameters,
    /// Mean `(1, dim)` and directions `(dim, bits)`.
    parts: ByModality<[Var; 2]>,
}

/// Violations at planning time for the errors of [`PairProjection::zeros`] and [`centered_pairs`].
pub(crate) fn check_facts(run: &RunFacts) -> Violations {
    let bits = run.bits;
    let few = run.dims.iter().filter(|(_, dim)| **dim < bits);
    few.take(1).fold(check_train_items(run), |found, (modality, dim)| {
        let message = format!("{bits} bits need at least {bits} dimensions of {modality} features, there are {dim}");
        found.and(Violations::one(["bits"], message))
    })
}

impl PairProjection {
    /// Starts with zeros, to be replaced by [`PairProjection::set`] or [`PairProjection::load_state`].
    ///
    /// # Errors
    /// If a modality has fewer dimensions than there are bits.
    pub(crate) fn zeros(cx: &BuildContext) -> Result<Self> {
        let (bits, mut vars) = (cx.bits, Parameters::default());
        let parts = cx.dims.try_map(|modality, &dim| -> Result<[Var; 2]> {
            ensure!(bits <= dim, "{bits} bits need at least {bits} dimensions of {modality} features, there are {dim}");
            let mean = vars.buffer(&format!("{modality}.mean"), (1, dim), 0.0, cx)?;
            Ok([mean, vars.buffer(&format!("{modality}.directions"), (dim, bits), 0.0, cx)?])
        })?;
        Ok(Self { vars, parts })
    }

    /// Sets fitted means and directions.
    pub(crate) fn set(&self, means: &[Mat<f64>; 2], directions: &[Mat<f64>; 2]) -> Result<()> {
        for (index, modality) in BOTH.into_iter().enumerate() {
            let [mean, direction] = self.part(modality)?;
            mean.set(&to_tensor(&means[index], mean.device())?)?;
            direction.set(&to_tensor(&directions[index], direction.device())?)?;
        }
        Ok(())
    }

    /// Projects items in their role as `modality` to relaxed codes `(n, bits)`.
    pub(crate) fn apply(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        let [mean, directions] = self.part(modality)?;
        Ok(items.get(modality)?.broadcast_sub(mean)?.matmul(directions)?.detach())
    }

    pub(crate) fn state(&self) -> Result<State> {
        self.vars.state()
    }

    pub(crate) fn load_state(&self, state: &State) -> Result<()> {
        self.vars.load(state)
    }

    fn part(&self, modality: Modality) -> Result<&[Var; 2]> {
        self.parts.get(modality).with_context(|| format!("not built for {modality} features"))
    }
}

/// Means `(1, d)` of the training items, and their rows without them, of each modality; there must be more items than
/// bits.
pub(crate) fn centered_pairs(train: &TrainSet, bits: usize) -> Result<[(Mat<f64>, Mat<f64>); 2]> {
    let [image, text] = BOTH.map(|modality| -> Result<_> {
        let features = train.features.get(modality)?;
        check_items(features.dim(0)?, bits)?;
        Ok(center(&to_matrix(features)?))
    });
    Ok([image?, text?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_items_or_dimensions_are_known_before_a_run() {
        let facts = |bits, dim, items| {
            let dims = BOTH.into_iter().map(|modality| (modality, dim)).collect();
            check_facts(&RunFacts { bits, dims, train_items: items, ..RunFacts::default() }).to_string()
        };
        assert_eq!([facts(8, 8, Some(9)), facts(8, 8, None)], ["", ""]);
        assert!(facts(8, 8, Some(8)).starts_with("8 bits need more than 8 training items, there are 8\nhelp: "));
        assert!(facts(8, 7, Some(9)).starts_with("8 bits need at least 8 dimensions of image features, there are 7"));
    }

    fn noise(name: &str, n: usize, d: usize) -> Mat<f64> {
        let mut rng = hashlab_rng::stream(0, name, &[]);
        Mat::from_fn(n, d, |_, _| rng.normal())
    }

    /// Two sets that share three directions, hidden by mixing; the shares fall from one to the next.
    #[test]
    fn shared_directions_come_first_in_the_order_of_their_correlation() {
        const N: usize = 4000;
        let shared = noise("shared", N, 3);
        let set = |name: &str, d: usize| {
            let own = noise(name, N, d);
            let hidden = Mat::from_fn(N, d, |i, j| {
                if j < 3 { shared[(i, j)] + (j as f64 + 1.0) * 0.3 * own[(i, j)] } else { own[(i, j)] }
            });
            center(&(hidden * noise(&format!("{name}-mixing"), d, d))).1
        };
        let (a, b) = (set("a", 6), set("b", 5));
        let cca = Cca::new([&a, &b], 5, 1e-9).unwrap();
        for (j, found) in cca.correlations.iter().enumerate() {
            let expected = if j < 3 { 1.0 / (1.0 + ((j as f64 + 1.0) * 0.3).powi(2)) } else { 0.0 };
            assert!((found - expected).abs() < 0.06, "{j}: {found} {expected}");
        }
        let [x, y] = [&a * &cca.directions[0], &b * &cca.directions[1]];
        let between = (x.transpose() * &y) * faer::Scale(1.0 / N as f64);
        let within = (x.transpose() * &x) * faer::Scale(1.0 / N as f64);
        for i in 0..5 {
            for j in 0..5 {
                let expected = if i == j { cca.correlations[i] } else { 0.0 };
                assert!((between[(i, j)] - expected).abs() < 1e-6);
                assert!((within[(i, j)] - f64::from(u8::from(i == j))).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn features_of_less_rank_than_dimensions_have_directions_too() {
        let a = center(&noise("rank", 50, 4)).1;
        let b = &a * noise("to-eight", 4, 8); // rank 4 in 8 dimensions
        let cca = Cca::new([&a, &b], 4, 0.0).unwrap();
        assert!(cca.correlations.iter().all(|c| (c - 1.0).abs() < 1e-6), "{:?}", cca.correlations);
        assert!(Cca::new([&a, &Mat::zeros(50, 8)], 4, 0.1).is_err());
    }
}
