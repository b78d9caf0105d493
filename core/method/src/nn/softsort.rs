//! Differentiable sorting.

use candle_core::{D, DType, Result, Tensor, bail};

use super::PerRun;

/// Relaxes the permutation that sorts scores in descending order: SoftSort with p = 1 (Prillo and Eisenschlos, ICML
/// 2020, eq. 4), `softmax(−|sort(s)·1ᵀ − 1·sᵀ| / tau)` over columns.
///
/// Row r tends to the indicator of the r-th largest score as `tau` goes to 0, and to the uniform distribution as it
/// grows. Gradients flow through both the sorted and the unsorted scores. Tied scores share their rows evenly, and the
/// distance between them has gradient 0, as in PyTorch.
///
/// # Shapes
/// `scores` is `(b, n)`, the result `(b, n, n)`. Stacked runs, which may have a `tau` each, map `(runs, b, n)` to
/// `(runs, b, n, n)`.
///
/// # Errors
/// If `scores` has another shape or a type that is not a float, or `tau` is that of another number of runs.
pub fn soft_sort(scores: &Tensor, tau: impl Into<PerRun>) -> Result<Tensor> {
    if !(2..=3).contains(&scores.rank()) {
        bail!("soft sorting of scores of shape {:?}", scores.dims());
    }
    let sorted = scores.gather(&descending(scores)?, D::Minus1)?;
    let difference = sorted.unsqueeze(D::Minus1)?.broadcast_sub(&scores.unsqueeze(D::Minus2)?)?;
    // −|x|/τ as x times a constant: candle's own `abs` has slope +1 at 0.
    let slope = tau.into().map(|tau| -1.0 / tau).times(&difference.sign()?.detach())?;
    // The largest exponent of a row is 0, at the score itself, so the exponentials need no shift.
    let weight = (difference * slope)?.exp()?;
    weight.broadcast_div(&weight.sum_keepdim(D::Minus1)?)
}

/// For each row, the positions of its elements in descending order; ties in their own order.
///
/// candle's argsort panics on NaN, before the training loop could call the run diverged.
fn descending(scores: &Tensor) -> Result<Tensor> {
    let mut order: Vec<u32> = Vec::with_capacity(scores.elem_count());
    let columns = scores.dim(D::Minus1)?;
    for row in scores.detach().to_dtype(DType::F64)?.reshape(((), columns))?.to_vec2::<f64>()? {
        let start = order.len();
        order.extend(0..columns as u32);
        order[start..].sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
    }
    Tensor::from_vec(order, scores.shape(), scores.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn permutation(scores: &[f64], tau: f64) -> Vec<Vec<f64>> {
        let scores = Tensor::new(scores, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        soft_sort(&scores, tau).unwrap().squeeze(0).unwrap().to_vec2().unwrap()
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close && found.len() == expected.len(), "{found:?}, expected {expected:?}");
    }

    #[test]
    fn rows_equal_the_worked_example() {
        let rows = permutation(&[0.1, 0.9, 0.5], 0.1);
        assert_close(&rows[0], &[0.000_329, 0.981_690, 0.017_980]);
        assert_close(&rows[1], &[0.017_668, 0.017_668, 0.964_663]);
        assert_close(&rows[2], &[0.981_690, 0.000_329, 0.017_980]);
        assert_close(&permutation(&[0.1, 0.9, 0.5], 1.0)[0], &[0.211_983, 0.471_776, 0.316_241]);
    }

    #[test]
    fn ties_share_their_rows_and_stay_finite() {
        let rows = permutation(&[0.2, 0.7, 0.7], 0.01);
        for row in &rows[..2] {
            assert_close(row, &[0.0, 0.5, 0.5]);
        }
        assert_close(&rows[2], &[1.0, 0.0, 0.0]);
        assert_close(&permutation(&[0.0, 1e6], 1e-3)[0], &[0.0, 1.0]);
    }

    /// The gradient of a weighted sum against finite differences; scores 1 and 3 are tied, and the loss treats them
    /// alike, so that its slope along the direction that moves both is defined.
    #[test]
    fn gradients_flow_through_sorted_and_unsorted_scores() {
        let loss = |scores: &Tensor| {
            let weight = Tensor::new(&[0.3f64, -1.0, 0.7, -1.0], &Device::Cpu).unwrap();
            let rank = Tensor::new(&[[1.0f64], [-0.4], [-0.4], [2.0]], &Device::Cpu).unwrap();
            let weight = rank.broadcast_mul(&weight).unwrap();
            (soft_sort(scores, 0.3).unwrap().squeeze(0).unwrap() * weight).unwrap().sum_all().unwrap()
        };
        let start = [0.9, 0.5, 0.1, 0.5];
        let at = |shift: [f64; 4]| {
            let moved: Vec<f64> = start.iter().zip(shift).map(|(s, d)| s + d).collect();
            let scores = Tensor::new(moved, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
            loss(&scores).to_scalar::<f64>().unwrap()
        };
        let scores = Var::new(&[start], &Device::Cpu).unwrap();
        let grads = loss(&scores).backward().unwrap();
        let grad = grads.get(&scores).unwrap().to_vec2::<f64>().unwrap().remove(0);
        for direction in [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]] {
            let step = 1e-6;
            let numeric = (at(direction.map(|d| d * step)) - at(direction.map(|d| d * -step))) / (2.0 * step);
            let found: f64 = grad.iter().zip(direction).map(|(g, d)| g * d).sum();
            assert!((found - numeric).abs() < 1e-6, "{direction:?}: {found}, expected {numeric}");
        }
    }

    #[test]
    fn the_distance_of_tied_scores_has_no_slope() {
        let scores = Var::new(&[[0.5f64, 0.5]], &Device::Cpu).unwrap();
        let corner = soft_sort(&scores, 0.1).unwrap().narrow(1, 0, 1).unwrap().narrow(2, 0, 1).unwrap();
        let grads = corner.sum_all().unwrap().backward().unwrap();
        assert_eq!(grads.get(&scores).unwrap().to_vec2::<f64>().unwrap(), [[0.0, 0.0]]);
    }

    #[test]
    fn scores_of_a_diverged_run_are_not_a_number_and_no_panic() {
        let mixed = (0..2500).map(|i| if i % 3 == 0 { f32::NAN } else { (i * 7919 % 2503) as f32 });
        let scores = Tensor::from_iter(mixed, &Device::Cpu).unwrap().reshape((50, 50)).unwrap();
        let sum = soft_sort(&scores, 0.1).unwrap().sum_all().unwrap();
        assert!(sum.to_scalar::<f32>().unwrap().is_nan());
    }
}
