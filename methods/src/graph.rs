//! The sparse matrix Z of an anchor graph, and the eigenvectors of the graph.

use anyhow::{Context, Result, ensure};
use faer::{Mat, Side};

/// Eigenvalues from here on count as 1: their eigenvectors separate unlinked parts of the graph (authors' code).
const LARGEST: f64 = 1.0 - 1e-3;

/// Eigenvalues up to here count as 0: rounding. The authors' code uses all above 0.
const SMALLEST: f64 = 1e-10;

/// Z `(n, m)`: each row holds the same number of weights, which sum to 1.
pub(crate) struct Weights {
    anchors: usize,
    /// Weights per row, at least 1.
    nearest: usize,
    /// Anchors and their weights, row by row.
    entries: Vec<(u32, f64)>,
}

impl Weights {
    /// Weights `exp(−d²/bandwidth)` over their sum, of each item's anchors and squared distances d², nearest first.
    ///
    /// The exponents are taken relative to the nearest anchor's, which the division undoes, so that far items do not
    /// underflow. A bandwidth of 0 leaves the nearest anchor alone.
    pub(crate) fn of(links: &[Vec<(u32, f32)>], bandwidth: f64, anchors: usize) -> Self {
        let nearest = links.first().map_or(1, Vec::len);
        let mut entries = Vec::with_capacity(links.len() * nearest);
        for row in links {
            let kernel = |d: f32| (-f64::from(d - row[0].1) / bandwidth.max(f64::MIN_POSITIVE)).exp();
            let sum: f64 = row.iter().map(|link| kernel(link.1)).sum();
            entries.extend(row.iter().map(|link| (link.0, kernel(link.1) / sum)));
        }
        Self { anchors, nearest, entries }
    }

    /// Number of items n.
    pub(crate) fn items(&self) -> usize {
        self.entries.len() / self.nearest
    }

    /// `Λ⁻¹` as a vector of m values; 0 for an anchor that no item is linked to.
    pub(crate) fn inverse_degrees(&self) -> Vec<f64> {
        let mut degrees = vec![0f64; self.anchors];
        self.entries.iter().for_each(|&(anchor, weight)| degrees[anchor as usize] += weight);
        degrees.into_iter().map(|degree| if degree > 0.0 { 1.0 / degree } else { 0.0 }).collect()
    }

    /// `Z·w` of `w` `(m, k)`.
    pub(crate) fn times(&self, w: &Mat<f64>) -> Mat<f64> {
        let mut product = Mat::zeros(self.items(), w.ncols());
        for k in 0..w.ncols() {
            let w = w.col(k);
            for (i, row) in self.entries.chunks_exact(self.nearest).enumerate() {
                product[(i, k)] = row.iter().map(|&(anchor, weight)| weight * w[anchor as usize]).sum();
            }
        }
        product
    }

    /// `Zᵀb` of `b` `(n, k)`.
    pub(crate) fn transpose_times(&self, b: &Mat<f64>) -> Mat<f64> {
        let mut product = Mat::zeros(self.anchors, b.ncols());
        for k in 0..b.ncols() {
            for (i, row) in self.entries.chunks_exact(self.nearest).enumerate() {
                row.iter().for_each(|&(anchor, weight)| product[(anchor as usize, k)] += weight * b[(i, k)]);
            }
        }
        product
    }

    /// `Λ⁻¹Zᵀb` `(m, k)` of `b` `(n, k)`: the mean of b over each anchor's items. `Ab` is Z times this.
    pub(crate) fn anchor_means(&self, b: &Mat<f64>) -> Mat<f64> {
        let (sums, inverse) = (self.transpose_times(b), self.inverse_degrees());
        Mat::from_fn(self.anchors, b.ncols(), |a, k| sums[(a, k)] * inverse[a])
    }

    /// `Λ^-½ZᵀZΛ^-½` `(m, m)`, whose eigenvalues other than 0 are those of `A = ZΛ⁻¹Zᵀ`.
    fn anchor_similarity(&self) -> Mat<f64> {
        let roots: Vec<f64> = self.inverse_degrees().into_iter().map(f64::sqrt).collect();
        let mut similarity = Mat::zeros(self.anchors, self.anchors);
        for row in self.entries.chunks_exact(self.nearest) {
            for &(a, weight_a) in row {
                for &(b, weight_b) in row {
                    let (a, b) = (a as usize, b as usize);
                    similarity[(b, a)] += weight_a * roots[a] * weight_b * roots[b];
                }
            }
        }
        similarity
    }

    /// The map W `(m, count)` for which the columns of `Y = ZW` are the leading eigenvectors of A that distinguish
    /// linked items: `AY = YΣ`, `YᵀY = nI`, `1ᵀY = 0`. `W = √n Λ^-½VΣ^-½`, with V and Σ of the similarity of the
    /// anchors.
    ///
    /// # Errors
    /// If there are fewer such eigenvectors than `count`.
    pub(crate) fn eigenvectors(&self, count: usize) -> Result<Mat<f64>> {
        let eigen = self.anchor_similarity().self_adjoint_eigen(Side::Lower).ok();
        let eigen = eigen.context("the anchor graph has no eigendecomposition")?;
        let values: Vec<f64> = eigen.S().column_vector().iter().copied().collect(); // ascending
        let usable: Vec<usize> =
            (0..values.len()).rev().filter(|&i| (SMALLEST..LARGEST).contains(&values[i])).collect();
        ensure!(
            count <= usable.len(),
            "the graph of {} anchors has {} usable eigenvectors, {count} are needed: raise `anchors` (at most half of \
             the training items are used) or `nearest`, or ask for fewer bits",
            self.anchors,
            usable.len()
        );
        let (inverse, n) = (self.inverse_degrees(), self.items() as f64);
        Ok(Mat::from_fn(self.anchors, count, |a, k| {
            (n * inverse[a] / values[usable[k]]).sqrt() * eigen.U()[(a, usable[k])]
        }))
    }

    #[cfg(test)]
    pub(crate) fn to_dense(&self) -> Mat<f64> {
        self.times(&Mat::identity(self.anchors, self.anchors))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A connected graph of `n` random items on a line of `m` anchors, each linked to `s` of them.
    pub(crate) fn line(n: usize, m: usize, s: usize) -> Weights {
        let mut rng = hashlab_rng::stream(0, "weights-test", &[]);
        let link = |at: f64| {
            let mut links: Vec<(u32, f32)> = (0..m as u32).map(|a| (a, (at - f64::from(a)).powi(2) as f32)).collect();
            links.sort_by(|a, b| a.1.total_cmp(&b.1));
            links.truncate(s);
            links
        };
        let links: Vec<_> = (0..n).map(|_| link(rng.uniform_in(0.0, (m - 1) as f64))).collect();
        Weights::of(&links, 1.5, m)
    }

    #[test]
    fn rows_hold_s_weights_that_sum_to_1_however_far_the_item() {
        let far = vec![(2, 1e6), (0, 1.001e6), (5, 4e6)];
        let near = vec![(1, 0.0), (4, 1.0), (3, 2.0)];
        let z = Weights::of(&[near, far], 2.0, 7).to_dense();
        for i in 0..2 {
            let row: Vec<f64> = z.row(i).iter().copied().collect();
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{row:?}");
        }
        assert_eq!(z.row(0).iter().filter(|z| **z > 0.0).count(), 3);
        assert!((z[(0, 4)] / z[(0, 1)] - (-0.5f64).exp()).abs() < 1e-12);
        assert_eq!(z[(1, 2)], 1.0);
    }

    #[test]
    fn no_items_have_no_products() {
        let z = Weights::of(&[], 2.0, 7);
        assert_eq!(z.times(&Mat::zeros(7, 3)).shape(), (0, 3));
        assert_eq!(z.transpose_times(&Mat::zeros(0, 3)), Mat::<f64>::zeros(7, 3));
    }

    #[test]
    fn products_are_those_of_the_dense_matrix() {
        let z = line(50, 9, 3);
        let dense = z.to_dense();
        let mut rng = hashlab_rng::stream(1, "weights-test", &[]);
        let (w, b) = (Mat::from_fn(9, 4, |_, _| rng.normal()), Mat::from_fn(50, 4, |_, _| rng.normal()));
        assert!((z.times(&w) - &dense * &w).norm_max() < 1e-12);
        assert!((z.transpose_times(&b) - dense.transpose() * &b).norm_max() < 1e-12);
    }

    #[test]
    fn eigenvectors_solve_the_equation_of_the_laplacian() {
        let (n, count) = (200, 6);
        let z = line(n, 12, 3);
        let dense = z.to_dense();
        let inverse = z.inverse_degrees();
        let graph = &dense * Mat::from_fn(12, n, |a, i| inverse[a] * dense[(i, a)]); // A
        assert!((0..n).all(|i| (graph.row(i).iter().sum::<f64>() - 1.0).abs() < 1e-12));
        let y = z.times(&z.eigenvectors(count).unwrap());
        let ay = &graph * &y;
        let mut last = 1.0;
        for k in 0..count {
            let value = ay.col(k).transpose() * y.col(k) / n as f64;
            assert!((0.0..last).contains(&value), "eigenvalue {k} is {value} after {last}");
            assert!((0..n).all(|i| (ay[(i, k)] - value * y[(i, k)]).abs() < 1e-9));
            assert!(y.col(k).iter().sum::<f64>().abs() < 1e-8, "not orthogonal to 1");
            last = value;
        }
        let defect = y.transpose() * &y - Mat::<f64>::identity(count, count) * faer::Scale(n as f64);
        assert!(defect.norm_max() < 1e-8);
    }

    #[test]
    fn too_many_bits_are_a_clear_error_and_anchors_without_items_do_no_harm() {
        let z = line(200, 12, 3);
        let error = z.eigenvectors(12).unwrap_err().to_string();
        assert!(
            error.starts_with("the graph of 12 anchors has 11 usable eigenvectors, 12 are needed: raise"),
            "{error}"
        );
        let lonely = Weights { anchors: 13, ..z };
        let w = lonely.eigenvectors(5).unwrap();
        assert!((0..5).all(|k| w[(12, k)] == 0.0));
    }
}
