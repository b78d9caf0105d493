//! SH: spectral hashing.
//!
//! Yair Weiss, Antonio Torralba and Rob Fergus, Spectral Hashing, NIPS 2008. If items were uniformly distributed in a
//! box, the eigenfunctions of their similarity graph's Laplacian would be products of `sin(π/2 + ω v)` along the box's
//! axes, with `ω = mπ/r` on an axis of length r. A bit is the sign of one of the eigenfunctions with the
//! smallest eigenvalues, i.e. smallest ω², on the axes of a box fitted to the training items' principal components.
//! Only modes along a single axis are used: their products would be determined by the other bits.
//!
//! # Deviations
//! - The reference code (`trainSH.m`) lists modes `m ≤ ⌈(bits + 1) r / max r⌉ − 1` of each axis. All modes up to `bits`
//!   of every axis are listed here: the additional ones have larger ω than all `bits` modes of the longest axis, so the
//!   selection is the same.
//! - The code widens the box by the machine epsilon, so that an axis without extent has ω near infinity. Such an axis
//!   is left out here.
//!
//! As in the code, there are min(bits, dim) principal components: more bits than dimensions are no error, as an axis
//! has many modes. Here: beyond the box the eigenfunction is continued by its formula. The formulas are those of the
//! code and have not been checked against the paper's text.

use anyhow::{Result, ensure};
use candle_core::{DType, Tensor};
use faer::Mat;
use hashlab_method::nn::expect;
use hashlab_method::{
    BuildContext, Definition, Features, Fitted, HashMethod, MethodInfo, Modality, Needs, Params, State, Supervision,
    TrainSet,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::linalg::{center, principal_directions, to_matrix, to_tensor};
use crate::projection::Projection;

/// SH has no hyperparameters.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ShParams {}

impl Params for ShParams {}

/// Eigenfunctions of a box along principal components: `h = cos((x − μ)P − φ)`.
///
/// Column k of P is the principal direction of bit k's axis times its ω, `φ = ω·min`.
pub struct Sh {
    bits: usize,
    projection: Projection,
    /// φ `(1, bits)`.
    phase: Tensor,
}

impl Definition for Sh {
    const INFO: MethodInfo = MethodInfo {
        name: "sh",
        title: "SH",
        paper: "Weiss et al., Spectral Hashing, NIPS 2008",
        supervision: Supervision::Unsupervised,
        needs: Needs::Any,
        augmented: false,
        seeded: false,
        revision: 1,
    };
    const SOURCE: &'static str =
        concat!(include_str!("sh.rs"), include_str!("linalg.rs"), include_str!("projection.rs"));
    type Params = ShParams;

    fn build(_: ShParams, cx: &BuildContext) -> Result<Self> {
        let phase = Tensor::zeros((1, cx.bits), DType::F32, &cx.device)?;
        Ok(Self { bits: cx.bits, projection: Projection::zeros(cx)?, phase })
    }
}

impl HashMethod for Sh {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        Ok(self.projection.apply(items.get(modality)?)?.broadcast_sub(&self.phase)?.cos()?) // sin(π/2 + x) = cos x
    }

    fn state(&self) -> Result<State> {
        let mut state = self.projection.state();
        state.insert("phase".into(), self.phase.clone());
        Ok(state)
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        let phase = expect(state, "phase", self.phase.shape())?.clone();
        let mut rest = state.clone();
        rest.remove("phase");
        self.projection.load_state(&rest)?;
        self.phase = phase;
        Ok(())
    }
}

impl Fitted for Sh {
    fn fit(&mut self, train: &TrainSet) -> Result<()> {
        let (mean, centered) = center(&to_matrix(train.features.only()?)?);
        let directions = principal_directions(&centered, self.bits.min(centered.ncols()))?;
        let sides = sides(&(&centered * &directions));
        let modes = modes(&sides, self.bits);
        ensure!(!modes.is_empty(), "all training items are equal: spectral hashing needs items that differ");
        let scaled =
            Mat::from_fn(directions.nrows(), self.bits, |i, bit| directions[(i, modes[bit].axis)] * modes[bit].omega);
        let phase = Mat::from_fn(1, self.bits, |_, bit| sides[modes[bit].axis].min * modes[bit].omega);
        self.projection.set(&mean, &scaled)?;
        self.phase = to_tensor(&phase, self.phase.device())?;
        Ok(())
    }
}

/// The extent of a box along one axis.
struct Side {
    /// Smallest coordinate.
    min: f64,
    /// Largest minus smallest coordinate.
    length: f64,
}

/// The sides of the smallest box around rows `v` `(n, axes)`.
fn sides(v: &Mat<f64>) -> Vec<Side> {
    let side = |axis: usize| {
        let min = v.col(axis).iter().copied().fold(f64::INFINITY, f64::min);
        let max = v.col(axis).iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Side { min, length: max - min }
    };
    (0..v.ncols()).map(side).collect()
}

/// An eigenfunction `sin(π/2 + ω (v − min))` along one axis.
#[derive(Debug, PartialEq)]
struct Mode {
    /// The axis, as an index of the sides.
    axis: usize,
    /// ω = mπ / length, for the m-th eigenfunction that is not constant.
    omega: f64,
}

/// The `count` modes of the smallest ω, ascending; none if no side has a length. Ties go to the earlier axis.
fn modes(sides: &[Side], count: usize) -> Vec<Mode> {
    // Lengths within the rounding errors of the longest count as 0.
    let longest = sides.iter().map(|side| side.length).fold(0.0, f64::max);
    let with_length = sides.iter().enumerate().filter(|(_, side)| side.length > 1e-12 * longest);
    let mut modes: Vec<Mode> = with_length
        .flat_map(|(axis, side)| {
            (1..=count).map(move |m| Mode { axis, omega: m as f64 * std::f64::consts::PI / side.length })
        })
        .collect();
    modes.sort_by(|a, b| a.omega.total_cmp(&b.omega)); // stable
    modes.truncate(count);
    modes
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use std::f64::consts::PI;

    fn fitted(features: &Tensor, bits: usize) -> Sh {
        let cx = BuildContext::of_images(bits, features.dim(1).unwrap());
        let mut method = Sh::build(ShParams {}, &cx).unwrap();
        method.fit(&TrainSet::of_images(features.clone())).unwrap();
        method
    }

    fn encode(method: &Sh, features: &Tensor) -> Vec<Vec<f32>> {
        method.encode(&Features::one(Modality::Image, features.clone()), Modality::Image).unwrap().to_vec2().unwrap()
    }

    /// A regular grid over `[3, 3 + width] × [−1, −1 + height]`, 41 × 41 points.
    fn grid(width: f32, height: f32) -> Tensor {
        let point = |i: usize| vec![3.0 + width * (i / 41) as f32 / 40.0, height * (i % 41) as f32 / 40.0 - 1.0];
        let points: Vec<Vec<f32>> = (0..41 * 41).map(point).collect();
        Tensor::new(points, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_line_has_the_eigenfunctions_of_a_string() {
        let points: Vec<Vec<f32>> = (0..=100).map(|i| vec![i as f32 / 100.0]).collect();
        let points = Tensor::new(points, &Device::Cpu).unwrap();
        let h = encode(&fitted(&points, 4), &points);
        for (i, row) in h.iter().enumerate() {
            for (bit, h) in row.iter().enumerate() {
                // cos(mπx), from either end of the line: the principal direction's sign is free.
                let m = (bit + 1) as f64;
                let x = i as f64 / 100.0;
                let either = [x, 1.0 - x].map(|x| ((m * PI * x).cos() - f64::from(*h)).abs());
                assert!(either[0].min(either[1]) < 1e-4, "mode {m} at {x}: {h}");
            }
        }
    }

    #[test]
    fn a_box_gives_its_modes_in_the_order_of_their_frequencies() {
        // ω/π is a multiple of 0.4 on the long side and of 1 on the short one.
        let modes = modes(&[Side { min: 0.0, length: 2.5 }, Side { min: 0.0, length: 1.0 }], 5);
        let found: Vec<usize> = modes.iter().map(|mode| mode.axis).collect();
        assert_eq!(found, [0, 0, 1, 0, 0]);
        for (mode, expected) in modes.iter().zip([0.4, 0.8, 1.0, 1.2, 1.6]) {
            assert!((mode.omega / PI - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn bits_of_a_box_change_sign_as_often_as_their_mode_says_and_along_its_axis_only() {
        let points = grid(2.5, 1.0);
        let h = encode(&fitted(&points, 5), &points);
        let changes = |bit: usize, step: usize| {
            let line: Vec<bool> = (0..41).map(|i| h[i * step][bit] >= 0.0).collect();
            line.windows(2).filter(|pair| pair[0] != pair[1]).count()
        };
        let found: Vec<[usize; 2]> = (0..5).map(|bit| [changes(bit, 41), changes(bit, 1)]).collect();
        assert_eq!(found, [[1, 0], [2, 0], [0, 1], [3, 0], [4, 0]]);
    }

    #[test]
    fn axes_without_extent_make_no_bits() {
        let h = encode(&fitted(&grid(1.0, 0.0), 3), &grid(1.0, 0.0));
        assert!(h.iter().flatten().all(|h| h.is_finite()));
        for bit in 0..3 {
            let ones = h.iter().filter(|row| row[bit] >= 0.0).count();
            assert!((500..1200).contains(&ones), "bit {bit}: {ones} of 1681");
        }
        let equal = Tensor::ones((5, 2), DType::F32, &Device::Cpu).unwrap();
        let cx = BuildContext::of_images(2, 2);
        let mut method = Sh::build(ShParams {}, &cx).unwrap();
        let error = method.fit(&TrainSet::of_images(equal)).unwrap_err();
        assert!(error.to_string().contains("items that differ"), "{error}");
    }
}
