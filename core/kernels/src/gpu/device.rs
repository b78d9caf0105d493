//! Memory, launches and matrix products on a GPU.

use std::ffi::c_int;

use candle_core::backend::BackendStorage;
use candle_core::cuda::cudarc::cublas::{result, sys};
use candle_core::cuda::cudarc::driver::{DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg};
use candle_core::cuda::{CudaDevice, CudaStorage, CudaStorageSlice};
use candle_core::op::BackpropOp;
use candle_core::{Device, Error, Layout, Result, Shape, Storage, Tensor};
use half::bf16;

use super::launch::{Address, Argument, Element, Launch};
use crate::device::tf32_is_allowed;

/// The kernels, compiled by nvcc.
const KERNELS: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

/// Converts an error of the driver or of a library into candle's.
fn failed(what: &str, error: impl std::fmt::Display) -> Error {
    Error::Cuda(format!("{what}: {error}").into())
}

/// The first word of a structure among a kernel's arguments. The driver copies as many bytes from there as the kernel's
/// parameter has.
#[repr(transparent)]
struct First(u64);

// SAFETY: its address is that of the structure, and only the address is passed on.
unsafe impl DeviceRepr for First {}

impl First {
    fn of(words: &[u64]) -> &Self {
        assert!(!words.is_empty(), "a structure has a word");
        // SAFETY: both are words.
        unsafe { &*words.as_ptr().cast::<Self>() }
    }
}

/// Queues a kernel.
///
/// # Safety
/// The addresses among the arguments must be those of as many elements as the kernel reads and writes, in tensors of
/// `device` that are freed on its stream.
pub(crate) unsafe fn run(device: &CudaDevice, launch: &Launch) -> Result<()> {
    let function = device.get_or_load_custom_func(&launch.kernel, "hashlab", KERNELS)?;
    let mut builder = function.builder();
    for argument in &launch.arguments {
        match argument {
            Argument::Word(word) => builder.arg(word),
            Argument::Words(words) => builder.arg(First::of(words)),
        };
    }
    let [x, y, z] = launch.blocks;
    let sizes = LaunchConfig { grid_dim: (x, y, z), block_dim: (launch.threads, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: the arguments are those that `launch` lists for this kernel, the addresses are valid by this function's
    // contract.
    unsafe { builder.launch(sizes) }.map_err(|error| failed(&launch.kernel, error))?;
    Ok(())
}

/// Contiguous elements in the memory of a GPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Array {
    pub(crate) element: Element,
    pub(crate) address: Address,
}

impl Array {
    /// Finds the elements of a storage.
    ///
    /// # Errors
    /// If they are of another type.
    pub(crate) fn of(storage: &CudaStorage, layout: &Layout) -> Result<Self> {
        let stream = storage.device.cuda_stream();
        let (element, address) = match &storage.slice {
            CudaStorageSlice::F32(slice) => (Element::F32, slice.device_ptr(&stream).0),
            CudaStorageSlice::BF16(slice) => (Element::Bf16, slice.device_ptr(&stream).0),
            _ => return Err(failed("a kernel", format!("met elements of type {:?}", storage.dtype()))),
        };
        Ok(Self { element, address: address + (layout.start_offset() * element.bytes()) as Address })
    }

    /// Finds the elements of a contiguous storage.
    ///
    /// # Errors
    /// If they are of another type or strided.
    pub(crate) fn contiguous(storage: &CudaStorage, layout: &Layout) -> Result<Self> {
        if !layout.is_contiguous() {
            return Err(failed("a kernel", format!("needs contiguous memory, got strides {:?}", layout.stride())));
        }
        Self::of(storage, layout)
    }

    /// Finds the elements of a tensor, which must outlive the use of the address.
    ///
    /// # Errors
    /// If it is not on a GPU, strided, or of another type.
    pub(crate) fn of_tensor(tensor: &Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Self::contiguous(storage, layout),
            _ => Err(failed("a kernel", "met a tensor of another device")),
        }
    }

    /// Finds the elements of a matrix whose rows may have gaps between them.
    ///
    /// # Errors
    /// If it is not on a GPU, or of another type.
    pub(crate) fn rows_of_tensor(tensor: &Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Self::of(storage, layout),
            _ => Err(failed("a kernel", "met a tensor of another device")),
        }
    }

    /// The address `elements` elements further on.
    pub(crate) fn at(self, elements: usize) -> Address {
        self.address + (elements * self.element.bytes()) as Address
    }
}

/// Allocates uninitialized elements.
///
/// # Errors
/// If the device is out of memory.
pub(crate) fn alloc(device: &CudaDevice, element: Element, len: usize) -> Result<(CudaStorage, Array)> {
    // SAFETY: every user writes all elements before anything reads them, in the order of the one stream.
    let slice = unsafe {
        match element {
            Element::F32 => CudaStorageSlice::F32(device.alloc::<f32>(len.max(1))?),
            Element::Bf16 => CudaStorageSlice::BF16(device.alloc::<bf16>(len.max(1))?),
        }
    };
    let storage = CudaStorage { slice, device: device.clone() };
    let array = Array::of(&storage, &Layout::contiguous(len))?;
    Ok((storage, array))
}

/// The product `y = x·wᵀ`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    pub(crate) element: Element,
    /// `(rows, inner)`, rows that begin `stride` elements apart.
    pub(crate) x: Address,
    pub(crate) x_stride: usize,
    /// `(out, inner)`, likewise.
    pub(crate) w: Address,
    pub(crate) w_stride: usize,
    /// `(rows, out)`.
    pub(crate) y: Address,
    pub(crate) rows: usize,
    pub(crate) inner: usize,
    pub(crate) out: usize,
}

impl Product {
    /// Queues the product; sums are in f32, and so are factors of that type unless TF32 was allowed.
    ///
    /// # Safety
    /// As for [`run`].
    ///
    /// # Errors
    /// If the library fails.
    pub(crate) unsafe fn run(self, device: &CudaDevice) -> Result<()> {
        let (one, zero) = (1f32, 0f32);
        let (dtype, compute) = types(self.element);
        let blas = device.cublas_handle();
        // SAFETY: the matrices are valid by this function's contract. The library is column-major, so it sees their
        // transposes.
        unsafe {
            result::gemm_ex(
                *blas.handle(),
                sys::cublasOperation_t::CUBLAS_OP_T,
                sys::cublasOperation_t::CUBLAS_OP_N,
                number(self.out)?,
                number(self.rows)?,
                number(self.inner)?,
                (&raw const one).cast(),
                self.w as *const _,
                dtype,
                number(self.w_stride)?,
                self.x as *const _,
                dtype,
                number(self.x_stride)?,
                (&raw const zero).cast(),
                self.y as *mut _,
                dtype,
                number(self.out)?,
                compute,
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(|error| failed("a matrix product", format!("{error:?}")))
    }
}

/// The product `sum += aᵀ·b`, whose result is in f32 whatever the type of the factors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TransposedProduct {
    pub(crate) element: Element,
    /// `(rows, out)`.
    pub(crate) a: Address,
    /// `(rows, inner)`.
    pub(crate) b: Address,
    /// `(out, inner)`, of f32.
    pub(crate) sum: Address,
    pub(crate) rows: usize,
    pub(crate) out: usize,
    pub(crate) inner: usize,
    /// Whether the product is added to what is there, or replaces it.
    pub(crate) add: bool,
}

impl TransposedProduct {
    /// Queues the product.
    ///
    /// # Safety
    /// As for [`run`].
    ///
    /// # Errors
    /// If the library fails.
    pub(crate) unsafe fn run(self, device: &CudaDevice) -> Result<()> {
        let (one, kept) = (1f32, if self.add { 1f32 } else { 0f32 });
        let (dtype, compute) = types(self.element);
        let blas = device.cublas_handle();
        // SAFETY: the matrices are valid by this function's contract. The library is column-major, so it sees their
        // transposes: sumᵀ = bᵀ·a.
        unsafe {
            result::gemm_ex(
                *blas.handle(),
                sys::cublasOperation_t::CUBLAS_OP_N,
                sys::cublasOperation_t::CUBLAS_OP_T,
                number(self.inner)?,
                number(self.out)?,
                number(self.rows)?,
                (&raw const one).cast(),
                self.b as *const _,
                dtype,
                number(self.inner)?,
                self.a as *const _,
                dtype,
                number(self.out)?,
                (&raw const kept).cast(),
                self.sum as *mut _,
                sys::cudaDataType_t::CUDA_R_32F,
                number(self.inner)?,
                compute,
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(|error| failed("a matrix product", format!("{error:?}")))
    }
}

/// Types of factors and of arithmetic.
fn types(element: Element) -> (sys::cudaDataType_t, sys::cublasComputeType_t) {
    match element {
        Element::F32 if tf32_is_allowed() => {
            (sys::cudaDataType_t::CUDA_R_32F, sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32)
        }
        Element::F32 => (sys::cudaDataType_t::CUDA_R_32F, sys::cublasComputeType_t::CUBLAS_COMPUTE_32F),
        Element::Bf16 => (sys::cudaDataType_t::CUDA_R_16BF, sys::cublasComputeType_t::CUBLAS_COMPUTE_32F),
    }
}

fn number(size: usize) -> Result<c_int> {
    c_int::try_from(size).map_err(|_| failed("a matrix product", "is too large"))
}

/// The GPU of a tensor.
///
/// # Errors
/// If it is not on one.
pub(crate) fn gpu(tensor: &Tensor) -> Result<&CudaDevice> {
    match tensor.device() {
        Device::Cuda(device) => Ok(device),
        _ => Err(failed("a kernel", "met a tensor of another device")),
    }
}

/// Makes a tensor that has no gradient.
pub(crate) fn tensor(storage: CudaStorage, shape: impl Into<Shape>) -> Tensor {
    Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
}
