//! Staging memory for the inputs of a device.

use candle_core::{Device, Result, Shape, Tensor};

/// Numbers to be copied to a device. For a GPU they are in page-locked memory, which it reads by itself, so that a copy
/// is several times as fast and blocks no thread.
pub struct Staging(Memory);

enum Memory {
    Plain(Vec<f32>),
    #[cfg(feature = "cuda")]
    Pinned(candle_core::cuda::cudarc::driver::PinnedHostSlice<f32>),
}

impl Staging {
    /// Allocates memory for `len` numbers.
    ///
    /// # Errors
    /// If the allocation fails.
    pub fn new(len: usize, device: &Device) -> Result<Self> {
        match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) if len > 0 => {
                let stream = cuda.cuda_stream();
                // SAFETY: every pattern of bits is an f32.
                let memory = unsafe { stream.context().alloc_pinned_with_flags::<f32>(len, 0) };
                memory.map(|memory| Self(Memory::Pinned(memory))).map_err(refused)
            }
            _ => Ok(Self(Memory::Plain(vec![0.0; len]))),
        }
    }

    /// The numbers, mutable, after all copies from them have ended.
    ///
    /// # Errors
    /// If such a copy failed.
    pub fn numbers(&mut self) -> Result<&mut [f32]> {
        match &mut self.0 {
            Memory::Plain(numbers) => Ok(numbers),
            #[cfg(feature = "cuda")]
            Memory::Pinned(memory) => memory.as_mut_slice().map_err(refused),
        }
    }

    /// Copies the first numbers to a tensor on `device`.
    ///
    /// # Errors
    /// If `shape` has more elements than there are numbers, or the device is out of memory.
    pub fn to_tensor(&self, shape: impl Into<Shape>, device: &Device) -> Result<Tensor> {
        let shape = shape.into();
        let len = shape.elem_count();
        match &self.0 {
            Memory::Plain(numbers) => match numbers.get(..len) {
                Some(numbers) => Tensor::from_slice(numbers, shape, device),
                None => candle_core::bail!("{len} of {} numbers", numbers.len()),
            },
            #[cfg(feature = "cuda")]
            Memory::Pinned(memory) => super::cuda::upload(memory, shape, device),
        }
    }
}

#[cfg(feature = "cuda")]
fn refused(error: candle_core::cuda::cudarc::driver::DriverError) -> candle_core::Error {
    candle_core::Error::Cuda(Box::new(error))
}
