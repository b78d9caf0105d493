//! Images as tokens: one for each patch, one for the whole image.

use candle_core::{DType, Result, Tensor, Var, bail};
use hashlab_kernels::{broadcast_add, widen};

use crate::layers::{Conv, Pass};

/// Maps images to tokens.
pub(crate) struct Patches {
    /// One window for each patch.
    pub(crate) conv: Conv,
    /// The side length of a patch, in pixels.
    pub(crate) size: usize,
    /// The token of the whole image, before the patches; any shape of `dim` elements.
    pub(crate) class: Option<Var>,
    /// One row for each token; any shape of `tokens · dim` elements.
    pub(crate) positions: Var,
    /// Positions of images with another number of patches.
    pub(crate) others: Others,
}

/// Treatment of images of other sizes than that of the positions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// An error.
    Refused,
    /// Bicubic interpolation of the positions.
    Interpolated,
}

impl Patches {
    /// Maps `(n, h, w, 3)` to `(n, tokens, dim)`. Pixels beyond the last whole patch do not count.
    pub(crate) fn forward(&self, images: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let (_, height, width, _) = images.dims4()?;
        let (dim, side) = self.grid()?;
        let pixels = side * self.size;
        if self.others == Others::Refused && (height, width) != (pixels, pixels) {
            bail!("this network takes images of {pixels} by {pixels} pixels, got {height} by {width}");
        }
        let patches = self.conv.forward(images, pass)?;
        let (n, rows, columns, _) = patches.dims4()?;
        let mut tokens = patches.reshape((n, (), dim))?;
        if let Some(class) = &self.class {
            let class = widen(&pass.value(class))?.reshape((1, 1, dim))?.broadcast_as((n, 1, dim))?;
            let class = class.to_dtype(tokens.dtype())?;
            tokens = Tensor::cat(&[&class, &tokens], 1)?;
        }
        let positions = self.positions(side, [rows, columns], &pass.value(&self.positions).reshape(((), dim))?)?;
        broadcast_add(&tokens, &positions)
    }

    /// Returns the length of a token and how many patches a side of the positions' image has.
    fn grid(&self) -> Result<(usize, usize)> {
        let dim = *self.positions.dims().last().unwrap_or(&1);
        let patches = self.positions.elem_count() / dim - usize::from(self.class.is_some());
        let side = patches.isqrt();
        if side * side != patches {
            bail!("positions of {patches} patches, which is no square");
        }
        Ok((dim, side))
    }

    /// Fits `positions` to an image with the given rows and columns of patches.
    fn positions(&self, side: usize, [rows, columns]: [usize; 2], positions: &Tensor) -> Result<Tensor> {
        if [rows, columns] == [side; 2] {
            return Ok(positions.clone());
        }
        let (all, dim) = positions.dims2()?;
        let patches = positions.narrow(0, all - side * side, side * side)?.reshape((side, side, dim))?;
        let patches = resize(&patches, [rows, columns])?.reshape((rows * columns, dim))?;
        Tensor::cat(&[&positions.narrow(0, 0, all - side * side)?, &patches], 0)
    }
}

/// Interpolates `(h, w, dim)` to the given height and width, as PyTorch's `interpolate` with `mode="bicubic"` and
/// `align_corners=False`; in f32.
fn resize(x: &Tensor, [height, width]: [usize; 2]) -> Result<Tensor> {
    /// Maps the second of three axes.
    fn along(x: &Tensor, size: usize) -> Result<Tensor> {
        let input = x.dim(1)?;
        let weights = Tensor::from_vec(bicubic(input, size), (1, size, input), x.device())?;
        weights.broadcast_matmul(x)
    }
    let columns = x.to_dtype(DType::F32)?.transpose(0, 1)?.contiguous()?;
    let rows = along(&columns, height)?.transpose(0, 1)?.contiguous()?;
    along(&rows, width)?.to_dtype(x.dtype())
}

/// Returns the weights of `input` points in each of `output` ones, row by row: Keys's cubic convolution with a = −¾.
/// The outermost points are repeated beyond the ends.
fn bicubic(input: usize, output: usize) -> Vec<f32> {
    const A: f64 = -0.75;
    let weight = |distance: f64| match distance.abs() {
        x if x <= 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A,
        _ => 0.0,
    };
    let mut weights = vec![0.0; input * output];
    for (at, row) in weights.chunks_exact_mut(input).enumerate() {
        let center = (at as f64 + 0.5) * input as f64 / output as f64 - 0.5;
        for tap in -1..=2 {
            let point = center.floor() + f64::from(tap);
            row[point.clamp(0.0, (input - 1) as f64) as usize] += weight(center - point) as f32;
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// `torch.nn.functional.interpolate(torch.tensor([[[0., 1., 4., 2.]]])[..., None, :], (1, n), mode="bicubic")`.
    #[test]
    fn points_are_interpolated_as_by_pytorch() {
        let x = Tensor::new(&[[[0f32], [1.0], [4.0], [2.0]]], &Device::Cpu).unwrap();
        for (size, expected) in [
            (3, &[0.091_435_015_f32, 2.781_25, 2.339_120_4][..]),
            (6, &[-0.086_805_58, 0.218_75, 1.552_083_1, 3.760_416_7, 3.281_25, 1.826_389_6]),
            (4, &[0.0, 1.0, 4.0, 2.0]),
        ] {
            let y: Vec<f32> = resize(&x, [1, size]).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            for (y, expected) in y.iter().zip(expected) {
                assert!((y - expected).abs() < 1e-6, "{y} against {expected}");
            }
        }
    }

    #[test]
    fn weights_add_up_to_one() {
        for (input, output) in [(1, 5), (37, 16), (16, 37), (2, 3)] {
            for row in bicubic(input, output).chunks_exact(input) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            }
        }
    }
}
