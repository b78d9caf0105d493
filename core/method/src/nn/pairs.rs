//! The likelihood of pairwise similarity that supervised methods share.

use candle_core::{Result, Tensor};

/// Computes `log(1 + e^x)` without overflow; same shape.
///
/// # Errors
/// If the type is not a float.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?
}

/// Similarity of pairs of items: 1 if they share a label, else 0, `(n, m)`, from multi-hot labels `(n, classes)` and
/// `(m, classes)`; of stacked runs all three with a first axis of runs.
///
/// # Errors
/// If the numbers of classes differ.
pub fn shares_label(rows: &Tensor, columns: &Tensor) -> Result<Tensor> {
    let shared = rows.matmul(&columns.t()?)?;
    shared.gt(0.0)?.to_dtype(shared.dtype())
}

/// The negative log-likelihood of pairs, `log(1 + e^Θ) − sΘ` with `p(s = 1) = σ(Θ)`; same shape as Θ. DPSH (Li et al.,
/// IJCAI 2016, eq. 2) and HashNet (eq. 4) weight and average it.
///
/// # Shapes
/// Both are `(n, m)`. Of stacked runs, Θ is `(runs, n, m)` and `similar` `(runs, n, m)` or, if all runs share it,
/// `(n, m)`.
///
/// # Errors
/// If the shapes do not fit together.
pub fn pair_likelihood(theta: &Tensor, similar: &Tensor) -> Result<Tensor> {
    softplus(theta)? - theta.broadcast_mul(similar)?
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_likelihood_is_that_of_a_sigmoid_and_does_not_overflow() {
        let theta = Tensor::new(&[0.5f64, -2.0, 800.0, -800.0], &Device::Cpu).unwrap();
        let similar = Tensor::new(&[1.0f64, 0.0, 1.0, 1.0], &Device::Cpu).unwrap();
        let found = pair_likelihood(&theta, &similar).unwrap().to_vec1::<f64>().unwrap();
        let expected = [-(1.0 / (1.0 + (-0.5f64).exp())).ln(), -(1.0 - 1.0 / (1.0 + 2f64.exp())).ln(), 0.0, 800.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    }

    #[test]
    fn items_share_a_label_if_any_is_common() {
        let labels = Tensor::new(&[[1f32, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], &Device::Cpu).unwrap();
        let found = shares_label(&labels, &labels).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(found, [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]);
    }
}
