//! Dense layers.

#[cfg(feature = "cuda")]
mod cuda;
mod finish;
mod sizes;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use hashlab_simd::vectorized;

use self::finish::Finish;
use self::sizes::Sizes;
use crate::accumulate::broadcast_add;
use crate::activation::Activation;
use crate::backward::deposit;
use crate::matmul::{Matrix, matmul, matmul_add};
use crate::{cpu, gpu};

/// Computes `y = x·wᵀ + b`.
///
/// The backward pass computes no gradient towards a constant `x`.
///
/// # Shapes
/// `x` is `(…, in)`, `w` is `(out, in)`, `b` is `(out)`, the result `(…, out)`.
///
/// The layers of stacked runs have `w` `(runs, out, in)` and `b` `(runs, out)`. Then `x` is `(runs, n, in)`, or
/// `(n, in)` if all runs have the same input, and the result is `(runs, n, out)`; on the CPU with the bits of each run
/// alone, as are the gradients. The gradient of an `x` of all runs is the sum over runs.
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
    let fits = match (x.dims(), w.dims()) {
        ([.., inputs], [_, features]) => inputs == features,
        ([_, inputs], [_, _, features]) => inputs == features,
        ([of_x, _, inputs], [runs, _, features]) => (of_x, inputs) == (runs, features),
        _ => false,
    };
    if !fits || w.elem_count() == 0 || b.is_some_and(|b| b.dims() != &w.dims()[..w.rank() - 1]) {
        bail!("linear layer of weight {:?} and bias {:?} on input {:?}", w.dims(), b.map(Tensor::dims), x.dims());
    }
    let all: Vec<&Tensor> = [x, w].into_iter().chain(b).collect();
    let results = x.elem_count() / w.dims()[w.rank() - 1] * w.dims()[0];
    let fast = cpu::is_f32(&all) || (w.rank() == 2 && results < 1 << 31 && gpu::takes(&all));
    if !fast {
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

impl Dense {
    /// The formulation in candle's own operations.
    fn plain(&self, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
        let mut y = x.broadcast_matmul(&w.t()?)?;
        if let Some(b) = b {
            // `(out)`, or `(runs, 1, out)`.
            let b = if b.rank() == 1 { b.clone() } else { b.unsqueeze(1)? };
            y = broadcast_add(&y, &b)?;
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
        let (input, weight) = (cpu::elements(x.0, x.1)?, cpu::elements(w.0, w.1)?);
        let bias = b.map(|(storage, layout)| cpu::elements(storage, layout)).transpose()?;
        let none = vec![0.0; sizes.out];
        let y = sizes.stack(|run| {
            let (input, weight) = (sizes.input(input, run), sizes.weight(weight, run));
            let bias = bias.map_or(&none[..], |bias| &bias[run * sizes.out..][..sizes.out]);
            let finish = Finish { bias, limits: self.0.limits() };
            // The product packs one of its factors, and packing the smaller one pays for transposing the result.
            if sizes.rows < sizes.out {
                finish.transposed(&matmul(weight, input.t()), sizes.rows)
            } else {
                finish.in_place(matmul(input, weight.t()))
            }
        });
        Ok((CpuStorage::F32(y), sizes.result(x.1.dims())))
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
        let sizes = Sizes::of(x.dims(), w.dims());
        let dy = self.0.gradient(y, dy)?;
        cpu::with_elements(&dy, |dy| {
            let gradient = |run| sizes.gradient(dy, run);
            let dw = cpu::with_elements(x, |x| {
                deposit(w, |sum| sizes.accumulate(sum, |run| (gradient(run).t(), sizes.input(x, run))))
            })?;
            let sums = |sum: Option<Vec<f32>>| {
                let (mut sum, len) = (sum.unwrap_or_else(|| vec![0.0; sizes.runs * sizes.out]), sizes.rows * sizes.out);
                for (run, sum) in sum.chunks_exact_mut(sizes.out).enumerate() {
                    add_rows(sum, &dy[run * len..][..len]);
                }
                sum
            };
            let db = b.map(|b| deposit(b, sums)).transpose()?.flatten();
            let dx = match x.track_op() {
                true => Some(cpu::with_elements(w, |w| {
                    let factors = |run| (gradient(run), sizes.weight(w, run));
                    let dx = match sizes.shared {
                        true => (1..sizes.runs).fold(matmul(gradient(0), sizes.weight(w, 0)), |mut sum, run| {
                            matmul_add(&mut sum, gradient(run), sizes.weight(w, run));
                            sum
                        }),
                        false => sizes.accumulate(None, factors),
                    };
                    cpu::tensor(dx, x.shape())
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
    add_rows(&mut sum, dy);
    sum
}

/// Adds the rows of `dy`, each as long as `to`, to it.
fn add_rows(to: &mut [f32], dy: &[f32]) {
    vectorized!(|to: &'a mut [f32], dy: &'a [f32]| {
        for row in dy.chunks_exact(to.len()) {
            for (sum, d) in to.iter_mut().zip(row) {
                *sum += d;
            }
        }
    });
}
