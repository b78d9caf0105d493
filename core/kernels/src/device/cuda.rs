//! NVIDIA GPUs, opened so that candle's small operations take little of the processor's time.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use candle_core::cuda::cudarc::driver::{PinnedHostSlice, sys};
use candle_core::cuda::{CudaDevice, CudaStorage, CudaStorageSlice};
use candle_core::{Device, Error, Result, Shape, Tensor};

use crate::gpu::{Switch, cudnn, switched_off};

/// The GPUs of this process by number.
static OPEN: Mutex<BTreeMap<usize, Device>> = Mutex::new(BTreeMap::new());

/// Opens a GPU, or returns the one that is open.
pub(super) fn open(ordinal: usize) -> Result<Device> {
    let mut devices = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(device) = devices.get(&ordinal) {
        return Ok(device.clone());
    }
    cudnn::check()?;
    // A stream of its own: on candle's default, one per thread, work of two threads has no order.
    let device = CudaDevice::new_with_stream(ordinal)?;
    if !switched_off(Switch::Events) {
        // SAFETY: events order the uses of a tensor by several streams. Every GPU of this process is opened here, once,
        // on one stream, which orders all work on its tensors by itself.
        unsafe { device.disable_event_tracking() };
    }
    if !switched_off(Switch::Pool) {
        keep_freed_memory(&device)?;
    }
    let device = Device::Cuda(device);
    devices.insert(ordinal, device.clone());
    Ok(device)
}

/// Makes the driver keep the memory of freed tensors for later ones. By default it returns all of it to the system
/// whenever the processor waits for the GPU, and allocates it again for the next step.
fn keep_freed_memory(device: &CudaDevice) -> Result<()> {
    let (mut pool, mut threshold) = (std::ptr::null_mut(), u64::MAX);
    let device = device.cuda_stream().context().cu_device();
    // SAFETY: `device` is a device of the driver, which writes a pool to the first pointer and reads a `u64` from the
    // second.
    let state = unsafe {
        match sys::cuDeviceGetDefaultMemPool(&mut pool, device) {
            sys::CUresult::CUDA_SUCCESS => sys::cuMemPoolSetAttribute(
                pool,
                sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
                (&raw mut threshold).cast::<c_void>(),
            ),
            failed => failed,
        }
    };
    match state {
        // GPUs without such pools do not allocate from one.
        sys::CUresult::CUDA_SUCCESS | sys::CUresult::CUDA_ERROR_NOT_SUPPORTED => Ok(()),
        failed => Err(Error::Msg(format!("the driver's pool of memory cannot be set up: {failed:?}"))),
    }
}

/// Copies the first numbers of page-locked memory to a new tensor.
pub(super) fn upload(memory: &PinnedHostSlice<f32>, shape: Shape, device: &Device) -> Result<Tensor> {
    let Device::Cuda(cuda) = device else { candle_core::bail!("memory of a GPU for a tensor of another device") };
    let (len, all) = (shape.elem_count(), memory.len());
    if len > all {
        candle_core::bail!("{len} of {all} numbers");
    }
    // The whole memory: a part of it would not wait for the copy when it is written again. The tensor's shape hides the
    // rest. SAFETY: the copy writes all elements before anything on the stream reads them.
    let mut slice = unsafe { cuda.alloc::<f32>(all)? };
    cuda.memcpy_htod(memory, &mut slice)?;
    let storage = CudaStorage { slice: CudaStorageSlice::F32(slice), device: cuda.clone() };
    crate::gpu::tensor(storage, all).narrow(0, 0, len)?.reshape(shape)
}
