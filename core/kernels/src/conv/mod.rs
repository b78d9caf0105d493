//! Convolution, pooling and batch norm over channels-last images.
//!
//! Images are tensors `(n, h, w, c)`: the channels of a pixel lie side by side, so the inner loop of every operation
//! here runs over contiguous memory. Weights keep PyTorch's order, `(out, in, kh, kw)` and `(c, 1, kh, kw)`.
//!
//! No operation copies its input into columns. A table of row pointers (`rows`) gives the address of each tap of each
//! pixel's window, or that of a row of padding; one kernel for dense and one for depthwise windows run through that
//! table (the indirect convolution of Dukhan, arXiv 1907.02129). The gradient of the input does the same with the
//! transposed table.

#[cfg(feature = "cuda")]
mod cuda;
mod dense;
mod depthwise;
mod depthwise_3x3;
mod epilogue;
mod frozen;
mod geometry;
mod norm;
mod op;
mod pool;
mod rows;
mod sum;
mod tiles;
mod winograd;

pub use frozen::FrozenConv;
pub use geometry::{Padding, Window};
pub use norm::{Moments, batch_norm, fixed_norm};
pub use op::{conv2d, conv2d_norm, depthwise_conv2d};
pub use pool::{adaptive_avg_pool, global_avg_pool, max_pool2d};
pub(crate) use rows::by_pixels;
pub use sum::add;

pub use crate::activation::Activation;

/// The kernels choose one path per processor; these tests run every path that it supports.
#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    use hashlab_rng::stream;
    use pulp::Arch;

    use super::geometry::Geometry;
    use super::rows::Rows;
    use super::{Activation, Padding, Window, dense, depthwise, depthwise_3x3, epilogue};

    fn architectures() -> Vec<Arch> {
        let mut all = vec![crate::instructions::arch(), Arch::Scalar];
        #[cfg(target_arch = "x86_64")]
        all.extend(pulp::x86::V3::try_new().map(Arch::V3));
        all
    }

    fn draw(name: &str, len: usize) -> Vec<f32> {
        let mut draws = stream(5, name, &[]);
        (0..len).map(|_| draws.normal() as f32).collect()
    }

    /// Runs `kernel` into a fresh buffer on every architecture and compares all results with the first.
    fn compare(len: usize, kernel: impl Fn(Arch, &mut [MaybeUninit<f32>])) {
        let results = architectures().into_iter().map(|arch| {
            let mut out = vec![MaybeUninit::new(f32::NAN); len];
            kernel(arch, &mut out);
            // SAFETY: every element was initialized with NaN.
            out.into_iter().map(|x| unsafe { x.assume_init() }).collect::<Vec<f32>>()
        });
        let results: Vec<_> = results.collect();
        for other in &results[1..] {
            for (a, b) in results[0].iter().zip(other) {
                assert!((a - b).abs() <= 1e-4 * a.abs().max(1.0), "{a} against {b}");
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_sums() {
        let window = Window { stride: 2, padding: Padding::Same };
        let g = Geometry::new((2, 7, 9), (3, 3), window, false).unwrap();
        for (channels, out) in [(3, 24), (17, 70), (40, 16), (96, 1)] {
            let x = draw("x", g.input_pixels() * channels);
            let fill = vec![0.0; channels];
            let rows = Rows::gather(&g, &x, &fill, 0..g.output_pixels());
            let weights = draw("w", out * channels * 9);
            let matrices = dense::Matrices { w: &weights, channel: 9, out: channels * 9 };
            let (bias, residual) = (draw("b", out), draw("r", g.output_pixels() * out));
            compare(g.output_pixels() * out, |arch, out_pixels| {
                let weights = dense::Packed::new(arch, matrices, [9, channels, out], &bias);
                arch.dispatch(dense::Product {
                    rows: &rows,
                    weights: &weights,
                    epilogue: epilogue::Epilogue { residual: Some(&residual), limits: Activation::Relu6.limits() },
                    out: out_pixels,
                });
            });
            let weights = depthwise::Packed::new(&draw("v", channels * 9), &draw("c", channels));
            compare(g.output_pixels() * channels, |arch, out| {
                arch.dispatch(depthwise::Sums {
                    rows: &rows,
                    weights: &weights,
                    limits: Activation::Relu.limits(),
                    out,
                });
            });
        }
    }

    /// The kernel of neighbors adds up in the order of the one of single pixels.
    #[test]
    fn neighbors_have_the_bits_of_single_pixels() {
        let sides = |top, left, bottom, right| Padding::Sides { top, left, bottom, right };
        for (stride, padding, size, channels) in [
            (1, Padding::Symmetric(1), (7, 9), 40),
            (1, sides(0, 2, 3, 0), (5, 4), 19),
            (2, Padding::Same, (8, 14), 64),
            (2, sides(1, 0, 0, 1), (9, 5), 3),
            (1, Padding::NONE, (3, 3), 16),
        ] {
            let window = Window { stride, padding };
            let g = Geometry::new((2, size.0, size.1), (3, 3), window, false).unwrap();
            let x = draw("x", g.input_pixels() * channels);
            let fill = vec![0.0; channels];
            let weights = depthwise::Packed::new(&draw("v", channels * 9), &draw("c", channels));
            let limits = Activation::Relu6.limits();
            let rows = Rows::gather(&g, &x, &fill, 0..g.output_pixels());
            let sums = |arch: Arch, out: &mut [MaybeUninit<f32>]| {
                arch.dispatch(depthwise::Sums { rows: &rows, weights: &weights, limits, out });
            };
            let neighbors = |arch: Arch, out: &mut [MaybeUninit<f32>]| {
                let (lines, fill) = (0..g.images * g.output.0, &fill[..]);
                arch.dispatch(depthwise_3x3::Lines { g: &g, x: &x, fill, weights: &weights, limits, lines, out });
            };
            for arch in architectures() {
                let run = |kernel: &dyn Fn(Arch, &mut [MaybeUninit<f32>])| {
                    let mut out = vec![MaybeUninit::new(f32::NAN); g.output_pixels() * channels];
                    kernel(arch, &mut out);
                    // SAFETY: every element was initialized with NaN.
                    out.into_iter().map(|x| unsafe { x.assume_init() }.to_bits()).collect::<Vec<u32>>()
                };
                assert_eq!(run(&sums), run(&neighbors), "stride {stride}, {size:?}, {channels} channels");
            }
        }
    }
}
