//! Dense layers.

#[cfg(feature = "cuda")]
mod cuda;

use std::mem::MaybeUninit;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, D, Layout, Result, Shape, Tensor, bail};

use crate::activation::{Activation, clamp};
use crate::backward::deposit;
use crate::matmul::{Matrix, matmul, matmul_add};
use crate::simd::vectorized;
use crate::{cpu, gpu};

/// Computes `y = x·wᵀ + b`.
///
/// The backward pass computes no gradient towards a constant `x`.
///
/// # Shapes
/// `x` is `(…, in)`, `w` is `(out, in)`, `b` is `(out)`, the result `(…, out)`.
///
/// # Errors
/// If the shapes do not fit together.
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    apply(x, w, b, Dense(Activation::None))
}

/// Computes `y = max(0, x·wᵀ + b)`: [`linear`] with the rectifier in the same pass.
///
/// # Errors
/// If the shapes do not fit together.
pub fn linear_relu(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    apply(x, w, b, Dense(Activation::Relu))
}

fn apply(x: &Tensor, w: &Tensor, b: Option<&Tensor>, op: Dense) -> Result<Tensor> {
    let (out, features) = w.dims2()?;
    if w.elem_count() == 0 || x.dim(D::Minus1)? != features || b.is_some_and(|b| b.dims() != [out]) {
        bail!("linear layer of weight {:?} and bias {:?} on input {:?}", w.dims(), b.map(Tensor::dims), x.dims());
    }
    let all: Vec<&Tensor> = [x, w].into_iter().chain(b).collect();
    if !cpu::is_f32(&all) && !gpu::is_f32(&all) {
        return op.plain(x, w, b);
    }
    let (x, w) = (x.contiguous()?, w.contiguous()?);
    match b {
        Some(b) => x.apply_op3(&w, &b.contiguous()?, op),
        None => x.apply_op2(&w, op),
    }
}

/// The layer as an operation of candle's graph.
struct Dense(Activation);

/// The sizes of a layer's product.
struct Sizes {
    rows: usize,
    features: usize,
    out: usize,
}

impl Sizes {
    fn of(x: &[usize], w: &[usize]) -> Self {
        let (out, features) = (w[0], w[1]);
        Self { rows: x.iter().product::<usize>() / features, features, out }
    }
}

impl Dense {
    /// The formulation in candle's own operations.
    fn plain(&self, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
        let mut y = x.broadcast_matmul(&w.t()?)?;
        if let Some(b) = b {
            y = y.broadcast_add(b)?;
        }
        self.0.plain(y)
    }

    fn forward(
        &self,
        x: (&CpuStorage, &Layout),
        w: (&CpuStorage, &Layout),
        b: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = Sizes::of(x.1.dims(), w.1.dims());
        let input = Matrix::row_major(cpu::elements(x.0, x.1)?, sizes.rows, sizes.features);
        let weight = Matrix::row_major(cpu::elements(w.0, w.1)?, sizes.out, sizes.features);
        let bias = b.map(|(storage, layout)| cpu::elements(storage, layout)).transpose()?;
        let none = vec![0.0; sizes.out];
        let finish = Finish { bias: bias.unwrap_or(&none), limits: self.0.limits() };
        // The product packs one of its factors, and packing the smaller one pays for transposing the result.
        let y = if sizes.rows < sizes.out {
            finish.transposed(&matmul(weight, input.t()), sizes.rows)
        } else {
            finish.in_place(matmul(input, weight.t()))
        };
        let mut shape = x.1.dims().to_vec();
        shape[x.1.dims().len() - 1] = sizes.out;
        Ok((CpuStorage::F32(y), shape.into()))
    }

    /// Returns the gradients of `x`, `w` and `b`.
    fn gradients(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: Option<&Tensor>,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return cuda::gradients(self.0, [x, w], b, y, dy);
        }
        let Sizes { rows, features, out } = Sizes::of(x.dims(), w.dims());
        let dy = self.0.gradient(y, dy)?;
        cpu::with_elements(&dy, |dy| {
            let gradient = Matrix::row_major(dy, rows, out);
            let dw = cpu::with_elements(x, |x| {
                let input = Matrix::row_major(x, rows, features);
                deposit(w, |sum| accumulate(sum, gradient.t(), input))
            })?;
            let db = b.map(|b| deposit(b, |sum| column_sums(sum, dy, out))).transpose()?.flatten();
            let dx = match x.track_op() {
                true => Some(cpu::with_elements(w, |w| {
                    cpu::tensor(matmul(gradient, Matrix::row_major(w, out, features)), x.shape())
                })?),
                false => None,
            };
            Ok([dx, dw, db])
        })
    }
}

impl CustomOp2 for Dense {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward((x, xl), (w, wl), None)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, xl: &Layout, w: &CudaStorage, wl: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda::forward(self.0, (x, xl), (w, wl), None)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, _] = self.gradients(x, w, None, y, dy)?;
        Ok((dx, dw))
    }
}

impl CustomOp3 for Dense {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, xl), (w, wl), Some((b, bl)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        w: &CudaStorage,
        wl: &Layout,
        b: &CudaStorage,
        bl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        cuda::forward(self.0, (x, xl), (w, wl), Some((b, bl)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, db] = self.gradients(x, w, Some(b), y, dy)?;
        Ok((dx, dw, db))
    }
}

/// What follows the product: the bias and the activation.
struct Finish<'a> {
    bias: &'a [f32],
    limits: (f32, f32),
}

impl Finish<'_> {
    #[inline(always)]
    fn apply(&self, y: f32, bias: f32) -> f32 {
        clamp(y + bias, self.limits)
    }

    /// Finishes a product `(rows, out)`.
    fn in_place(&self, mut y: Vec<f32>) -> Vec<f32> {
        let (finish, rows) = (self, &mut y[..]);
        vectorized!(|finish: &'a Finish<'a>, rows: &'a mut [f32]| {
            for row in rows.chunks_exact_mut(finish.bias.len()) {
                for (y, b) in row.iter_mut().zip(finish.bias) {
                    *y = finish.apply(*y, *b);
                }
            }
        });
        y
    }

    /// Finishes a product `(out, rows)` and returns it as `(rows, out)`.
    fn transposed(&self, product: &[f32], rows: usize) -> Vec<f32> {
        let out = self.bias.len();
        let finish = self;
        let write = |to: &mut [MaybeUninit<f32>]| {
            vectorized!(|finish: &'a Finish<'a>,
                         product: &'a [f32],
                         to: &'a mut [MaybeUninit<f32>],
                         rows: usize,
                         out: usize| {
                /// Columns that are written together: one cache line.
                const BLOCK: usize = 16;
                for start in (0..out).step_by(BLOCK) {
                    let columns = &product[start * rows..(start + BLOCK).min(out) * rows];
                    let bias = &finish.bias[start..];
                    for (row, y) in to.chunks_exact_mut(out).enumerate() {
                        for ((y, column), b) in y[start..].iter_mut().zip(columns.chunks_exact(rows)).zip(bias) {
                            y.write(finish.apply(column[row], *b));
                        }
                    }
                }
            });
        };
        assert_eq!(product.len(), rows * out, "a product to transpose");
        // SAFETY: every block of columns of every row is written, and blocks cover the columns.
        unsafe { cpu::filled(rows * out, write) }
    }
}

/// Returns `sum + a·b`.
pub(crate) fn accumulate(sum: Option<Vec<f32>>, a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    match sum {
        Some(mut sum) => {
            matmul_add(&mut sum, a, b);
            sum
        }
        None => matmul(a, b),
    }
}

/// Returns `sum` plus the sum of the rows of `dy`, each of `out` elements.
pub(crate) fn column_sums(sum: Option<Vec<f32>>, dy: &[f32], out: usize) -> Vec<f32> {
    let mut sum = sum.unwrap_or_else(|| vec![0.0; out]);
    let to = &mut sum[..];
    vectorized!(|to: &'a mut [f32], dy: &'a [f32]| {
        for row in dy.chunks_exact(to.len()) {
            for (sum, d) in to.iter_mut().zip(row) {
                *sum += d;
            }
        }
    });
    sum
}
