//! An encoder of images: the mean color of each cell of a grid.

use candle_core::{Result, Tensor};
use hashlab_encoders::{Encoder, EncoderEntry, EncoderError, ImageEntry, Preprocess};

/// The encoder's registration.
pub const ENTRY: EncoderEntry = EncoderEntry::Image(ImageEntry {
    name: NAME,
    doc: "the mean color of each cell of a 4x4 grid: 48 features",
    needs_weights: false,
    dim: DIM,
    image_size: 32,
    together: 32,
    only_size: None,
    normed: false,
    normalize: NORMALIZE,
    preprocess: Preprocess::SQUEEZED,
    published: None,
    open: |weights, _, _| match weights {
        None => Ok(Box::new(ColorGrid)),
        Some(_) => Err(EncoderError::TakesNoWeights(NAME)),
    },
    train: None,
    cut: None,
});

const NAME: &str = "color_grid";
const DIM: usize = GRID * GRID * 3;

/// Cells along a side.
const GRID: usize = 4;
/// Maps colors of 0 to 1 to -1 to 1.
const NORMALIZE: [[f32; 3]; 2] = [[0.5; 3], [0.5; 3]];

struct ColorGrid;

impl Encoder for ColorGrid {
    fn name(&self) -> &'static str {
        NAME
    }

    fn dim(&self) -> usize {
        DIM
    }

    fn normalize(&self) -> [[f32; 3]; 2] {
        NORMALIZE
    }

    fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let (n, height, width, _) = images.dims4()?;
        if height < GRID || width < GRID {
            candle_core::bail!("images of {height} x {width} pixels, `color_grid` needs {GRID} x {GRID} at least");
        }
        // Rows and columns beyond the last whole cell do not count.
        let (rows, columns) = (height / GRID, width / GRID);
        let cells = images.narrow(1, 0, rows * GRID)?.narrow(2, 0, columns * GRID)?;
        let across = cells.reshape((n, GRID * rows * GRID, columns, 3))?.mean(2)?;
        across.reshape((n, GRID, rows, GRID * 3))?.mean(2)?.reshape((n, GRID * GRID * 3))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn each_cell_has_its_mean_color() {
        let pixel = |y: usize, x: usize| [(4 * (y / 2) + x / 2) as f32, (x % 2) as f32, 1.0];
        let pixels: Vec<f32> = (0..64).flat_map(|at| pixel(at / 8, at % 8)).collect();
        let images = Tensor::from_vec(pixels, (1, 8, 8, 3), &Device::Cpu).unwrap();
        let features = ColorGrid.forward(&images).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let expected: Vec<f32> = (0..16).flat_map(|cell| [cell as f32, 0.5, 1.0]).collect();
        assert_eq!(features, expected);
    }
}
