//! The functions of cuDNN 9 that convolutions need, as cudnn_ops.h and cudnn_cnn.h declare them.

use std::ffi::{CStr, c_char, c_int, c_void};

use candle_core::{Error, Result};
use libloading::Library;

/// The result of a call; 0 is success.
pub(super) type Status = c_int;
/// A library context or a descriptor.
pub(super) type Opaque = *mut c_void;

/// What the library knows of an algorithm for a problem.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Algorithm {
    pub(super) number: c_int,
    pub(super) status: Status,
    pub(super) milliseconds: f32,
    /// Bytes of its workspace.
    pub(super) memory: usize,
    pub(super) deterministic: c_int,
    pub(super) math: c_int,
    pub(super) reserved: [c_int; 3],
}

/// Lists algorithms, the fastest first: of a context, the descriptors of a pass, the most that are wanted, their number
/// and themselves. The three passes have the same signature.
pub(super) type List =
    unsafe extern "C" fn(Opaque, Opaque, Opaque, Opaque, Opaque, c_int, *mut c_int, *mut Algorithm) -> Status;

/// Computes a pass: of two factors, a convolution, an algorithm and its workspace, the result. The three passes have the
/// same signature.
pub(super) type Compute = unsafe extern "C" fn(
    Opaque,
    *const c_void,
    Opaque,
    *const c_void,
    Opaque,
    *const c_void,
    Opaque,
    c_int,
    *mut c_void,
    usize,
    *const c_void,
    Opaque,
    *mut c_void,
) -> Status;

/// `y = activation(α₁ · convolution(x, w) + α₂ · z + bias)`.
pub(super) type Fused = unsafe extern "C" fn(
    Opaque,
    *const c_void,
    Opaque,
    *const c_void,
    Opaque,
    *const c_void,
    Opaque,
    c_int,
    *mut c_void,
    usize,
    *const c_void,
    Opaque,
    *const c_void,
    Opaque,
    *const c_void,
    Opaque,
    Opaque,
    *mut c_void,
) -> Status;

macro_rules! functions {
    ($($name:ident = $symbol:literal: $kind:ty;)*) => {
        /// The functions of the library.
        #[derive(Clone, Copy)]
        pub(super) struct Api {
            $(pub(super) $name: $kind,)*
        }

        impl Api {
            /// Finds all functions.
            ///
            /// # Safety
            /// The library must be cuDNN of version 9, and it must stay open.
            ///
            /// # Errors
            /// If one is missing.
            pub(super) unsafe fn find(library: &Library) -> std::result::Result<Self, libloading::Error> {
                // SAFETY: the functions are declared as version 9 declares them.
                Ok(Self { $($name: *unsafe { library.get::<$kind>($symbol)? },)* })
            }
        }
    };
}

functions! {
    version = "cudnnGetVersion": unsafe extern "C" fn() -> usize;
    error = "cudnnGetErrorString": unsafe extern "C" fn(Status) -> *const c_char;
    create = "cudnnCreate": unsafe extern "C" fn(*mut Opaque) -> Status;
    set_stream = "cudnnSetStream": unsafe extern "C" fn(Opaque, Opaque) -> Status;
    create_tensor = "cudnnCreateTensorDescriptor": unsafe extern "C" fn(*mut Opaque) -> Status;
    destroy_tensor = "cudnnDestroyTensorDescriptor": unsafe extern "C" fn(Opaque) -> Status;
    set_tensor = "cudnnSetTensor4dDescriptorEx": unsafe extern "C" fn(
        Opaque, c_int, c_int, c_int, c_int, c_int, c_int, c_int, c_int, c_int,
    ) -> Status;
    create_filter = "cudnnCreateFilterDescriptor": unsafe extern "C" fn(*mut Opaque) -> Status;
    destroy_filter = "cudnnDestroyFilterDescriptor": unsafe extern "C" fn(Opaque) -> Status;
    set_filter = "cudnnSetFilter4dDescriptor": unsafe extern "C" fn(
        Opaque, c_int, c_int, c_int, c_int, c_int, c_int,
    ) -> Status;
    create_convolution = "cudnnCreateConvolutionDescriptor": unsafe extern "C" fn(*mut Opaque) -> Status;
    destroy_convolution = "cudnnDestroyConvolutionDescriptor": unsafe extern "C" fn(Opaque) -> Status;
    set_convolution = "cudnnSetConvolution2dDescriptor": unsafe extern "C" fn(
        Opaque, c_int, c_int, c_int, c_int, c_int, c_int, c_int, c_int,
    ) -> Status;
    set_math = "cudnnSetConvolutionMathType": unsafe extern "C" fn(Opaque, c_int) -> Status;
    output_size = "cudnnGetConvolution2dForwardOutputDim": unsafe extern "C" fn(
        Opaque, Opaque, Opaque, *mut c_int, *mut c_int, *mut c_int, *mut c_int,
    ) -> Status;
    create_activation = "cudnnCreateActivationDescriptor": unsafe extern "C" fn(*mut Opaque) -> Status;
    destroy_activation = "cudnnDestroyActivationDescriptor": unsafe extern "C" fn(Opaque) -> Status;
    set_activation = "cudnnSetActivationDescriptor": unsafe extern "C" fn(Opaque, c_int, c_int, f64) -> Status;
    list_forward = "cudnnGetConvolutionForwardAlgorithm_v7": List;
    list_input_gradient = "cudnnGetConvolutionBackwardDataAlgorithm_v7": List;
    list_weight_gradient = "cudnnGetConvolutionBackwardFilterAlgorithm_v7": List;
    forward = "cudnnConvolutionForward": Compute;
    fused = "cudnnConvolutionBiasActivationForward": Fused;
    input_gradient = "cudnnConvolutionBackwardData": Compute;
    weight_gradient = "cudnnConvolutionBackwardFilter": Compute;
}

impl Api {
    /// Converts a status into an error that names the call.
    pub(super) fn check(&self, call: &str, status: Status) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the library returns a string of its own for every number.
        let reason = unsafe {
            let text = (self.error)(status);
            if text.is_null() { "unknown".into() } else { CStr::from_ptr(text).to_string_lossy() }
        };
        Err(Error::Msg(format!("cuDNN could not {call}: {reason} ({status})")))
    }
}
