//! Kernels for NVIDIA GPUs.
//!
//! candle computes on GPUs by chains of small operations, each a launch and a pass over memory, what this crate
//! computes in one pass. The kernels of `cuda/` replace the chains that dominate training and feature extraction. nvcc
//! compiles them for the GPU, and a C++ compiler for an emulated one on which the tests run them (`cuda/host.h`), so
//! that every value is tested on machines without a GPU.
//!
//! A [`launch::Launch`] holds everything that a launch needs: the kernel's name, the numbers of blocks and threads, its
//! arguments. The GPU and the emulation both take it.

#[cfg(any(feature = "cuda", test))]
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "what is said to a GPU alone"))]
pub(crate) mod cudnn;
#[cfg(feature = "cuda")]
mod device;
#[cfg(feature = "cuda")]
pub(crate) mod gradients;
#[cfg(all(test, target_os = "linux"))]
mod host;
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "what is said to a GPU alone"))]
pub(crate) mod launch;
#[cfg(all(test, target_os = "linux"))]
mod tests;

#[cfg(feature = "cuda")]
pub(crate) use device::{Array, Product, TransposedProduct, alloc, gpu, run, tensor};

use candle_core::{DType, Result, Tensor};

/// Takes a step of the optimizer `kernel` on parameters: each with its gradient and two state tensors, all on one GPU.
/// The rule of all has `factors`, or each of as many equal parts of a parameter has its own.
///
/// # Errors
/// If one of them is strided.
pub(crate) fn optimize(kernel: &str, parameters: &[[&Tensor; 4]], factors: &[launch::Factors]) -> Result<()> {
    let Some([first, ..]) = parameters.first() else { return Ok(()) };
    #[cfg(feature = "cuda")]
    {
        let gradients = parameters.iter().map(|of| of[1].contiguous()).collect::<Result<Vec<_>>>()?;
        let mut addressed = Vec::with_capacity(parameters.len());
        for ([p, _, s, t], g) in parameters.iter().zip(&gradients) {
            let of = |tensor: &Tensor| Array::of_tensor(tensor).map(|array| array.address);
            let whole = [of(p)?, of(g)?, of(s)?, of(t)?];
            addressed.extend(launch::parts(whole, p.elem_count(), factors));
        }
        let launches = launch::optimize(kernel, &addressed);
        // SAFETY: all four are contiguous, and the optimizers checked that they have one shape.
        launches.iter().try_for_each(|launch| unsafe { run(gpu(first)?, launch) })
    }
    #[cfg(not(feature = "cuda"))]
    candle_core::bail!("a GPU's kernel `{kernel}` with {factors:?} for a tensor on {:?}", first.device().location())
}

/// Optimizations that can be switched off, to measure their gain: `HASHLAB_CUDA_OFF=events,pool` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "what is said to a GPU alone"))]
pub(crate) enum Switch {
    /// Work without events.
    Events,
    /// Keeping freed memory.
    Pool,
    /// The kernels of this module.
    Kernels,
}

/// Returns whether the environment switches this off.
pub(crate) fn switched_off(switch: Switch) -> bool {
    let name = match switch {
        Switch::Events => "events",
        Switch::Pool => "pool",
        Switch::Kernels => "kernels",
    };
    std::env::var("HASHLAB_CUDA_OFF").is_ok_and(|off| off.split(',').any(|off| off == name))
}

/// Returns whether the kernels are in use.
fn active() -> bool {
    static ACTIVE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    cfg!(feature = "cuda") && *ACTIVE.get_or_init(|| !switched_off(Switch::Kernels))
}

/// Returns whether the kernels apply to all of `tensors`: on a GPU, in f32 or bf16, all of one type.
pub(crate) fn takes(tensors: &[&Tensor]) -> bool {
    let dtype = tensors[0].dtype();
    active()
        && matches!(dtype, DType::F32 | DType::BF16)
        && tensors.iter().all(|t| t.device().is_cuda() && t.dtype() == dtype && t.elem_count() < 1 << 31)
}

/// Returns whether they apply, and the type is f32, in which heads are trained.
pub(crate) fn is_f32(tensors: &[&Tensor]) -> bool {
    takes(tensors) && tensors[0].dtype() == DType::F32
}

/// Returns whether they apply to tensors that need no gradient.
#[cfg(feature = "cuda")]
pub(crate) fn takes_frozen(tensors: &[&Tensor]) -> bool {
    takes(tensors) && tensors.iter().all(|t| !t.track_op())
}
