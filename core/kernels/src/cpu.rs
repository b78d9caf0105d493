//! Access to the memory of f32 tensors on the CPU.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Deref;

use candle_core::{CpuStorage, DType, Device, Error, InplaceOp1, Layout, Result, Shape, Storage, Tensor};

/// Returns whether the kernels of this crate apply to all of `tensors`; with the feature `plain` they never do.
pub(crate) fn is_f32(tensors: &[&Tensor]) -> bool {
    !cfg!(feature = "plain") && tensors.iter().all(|t| t.dtype() == DType::F32 && t.device().is_cpu())
}

/// Returns the elements of a contiguous layout.
///
/// # Errors
/// If the layout is strided.
pub(crate) fn elements<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => Err(Error::Msg(format!("a kernel needs contiguous memory, got strides {:?}", layout.stride())).bt()),
    }
}

/// Calls `f` with the elements of `tensor`, which is copied first if it is strided.
pub(crate) fn with_elements<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match storage.deref() {
        Storage::Cpu(storage) => f(elements(storage, layout)?),
        _ => Err(Error::Msg("a CPU kernel met a tensor of another device".into()).bt()),
    }
}

/// Calls `f` with the elements of a contiguous `tensor`, mutable.
///
/// Calls may nest over different tensors; over the same one they deadlock.
pub(crate) fn with_elements_mut(tensor: &Tensor, f: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<()> {
    /// A closure that runs once, for candle's interface of in-place operations.
    struct Once<F>(RefCell<Option<F>>);

    impl<F: FnOnce(&mut [f32]) -> Result<()>> InplaceOp1 for Once<F> {
        fn name(&self) -> &'static str {
            "with-elements-mut"
        }

        fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
            let (start, end) =
                layout.contiguous_offsets().ok_or_else(|| Error::Msg("cannot update a strided tensor".into()).bt())?;
            let CpuStorage::F32(elements) = storage else {
                return Err(Error::Msg("cannot update a tensor that is not f32".into()).bt());
            };
            match self.0.take() {
                Some(f) => f(&mut elements[start..end]),
                None => Ok(()),
            }
        }
    }

    tensor.inplace_op1(&Once(RefCell::new(Some(f))))
}

/// Makes a CPU tensor of `elements` without copying them.
pub(crate) fn tensor(elements: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(elements, shape.into(), &Device::Cpu)
}

/// Allocates `len` elements, lets `fill` write them all and returns them: the buffer is never zeroed.
///
/// # Safety
/// `fill` must initialize every element of its slice.
pub(crate) unsafe fn filled(len: usize, fill: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut elements = Vec::with_capacity(len);
    fill(&mut elements.spare_capacity_mut()[..len]);
    // SAFETY: the capacity is at least `len`, and `fill` initialized the elements by this function's contract.
    unsafe { elements.set_len(len) };
    elements
}
