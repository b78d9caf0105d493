//! Calls on a GPU.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, hash_map};
use std::ffi::c_void;
use std::sync::{Mutex, OnceLock, PoisonError};

use candle_core::cuda::CudaDevice;
use candle_core::{Error, Result};

use super::api::{Api, Opaque};
use super::convolution::Convolution;
use super::{Done, Problem, library};
use crate::gpu::alloc;
use crate::gpu::launch::{Address, Element};

/// The library's context on a GPU, and the convolutions so far; `None` are those without an algorithm,
/// or that the library refused.
struct Context {
    opaque: Opaque,
    convolutions: HashMap<Problem, Option<Convolution>>,
    /// Convolutions so far, by what was done.
    calls: [usize; 3],
}

// SAFETY: the library's contexts and descriptors may be used by any thread, by one at a time; the lock around all
// contexts sees to that.
unsafe impl Send for Context {}

/// The contexts of this process by the GPU's number.
static CONTEXTS: Mutex<BTreeMap<usize, Context>> = Mutex::new(BTreeMap::new());

/// The library, opened once.
///
/// # Errors
/// Why it cannot be opened, and what to do about it.
pub(super) fn api() -> Result<&'static Api> {
    static API: OnceLock<std::result::Result<Api, String>> = OnceLock::new();
    API.get_or_init(library::open).as_ref().map_err(|error| Error::Msg(error.clone()))
}

/// Queues a pass, if there is an algorithm for it that the library does not refuse, from the addresses of its factors to that of its result. `fused` has
/// the addresses of a bias and of a residual, which may be 0, to be added before a rectifier, in the same pass where the
/// library can.
///
/// # Safety
/// The addresses must be those of as many elements as the problem says, in tensors of `device` that are freed on its
/// stream.
///
/// # Errors
/// If the library is missing or a call fails.
pub(crate) unsafe fn convolve(
    device: &CudaDevice,
    problem: &Problem,
    addresses: [Address; 3],
    fused: Option<[Address; 2]>,
) -> Result<Done> {
    let (api, stream) = (api()?, device.cuda_stream());
    let failed = |error| Error::Msg(format!("the GPU cannot be made this thread's: {error}"));
    stream.context().bind_to_thread().map_err(failed)?;
    let mut contexts = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    let context = match contexts.entry(stream.context().ordinal()) {
        Entry::Occupied(opened) => opened.into_mut(),
        Entry::Vacant(vacant) => vacant.insert(open(api, stream.cu_stream().cast())?),
    };
    let convolution = match context.convolutions.entry(*problem) {
        hash_map::Entry::Occupied(known) => known.into_mut(),
        hash_map::Entry::Vacant(vacant) => vacant.insert(Convolution::new(api, context.opaque, problem)?),
    };
    let Some(convolution) = convolution else {
        context.calls[Done::Nothing as usize] += 1;
        return Ok(Done::Nothing);
    };
    let words = convolution.workspace().div_ceil(Element::F32.bytes());
    let (_kept, workspace) = alloc(device, Element::F32, words)?;
    // SAFETY: the operands are valid by this function's contract, the workspace until it is freed on the stream.
    let done = unsafe {
        let fused = match fused {
            Some(fused) => convolution.run_fused(api, context.opaque, addresses, workspace.address, fused)?,
            None => false,
        };
        match fused {
            true => Done::Everything,
            false if convolution.run(api, context.opaque, addresses, workspace.address)? => Done::Sums,
            false => Done::Nothing,
        }
    };
    context.calls[done as usize] += 1;
    if done == Done::Nothing {
        context.convolutions.insert(*problem, None);
    }
    Ok(done)
}

/// Convolutions so far on the GPU of this number, by what was done, in the order of [`Done`].
pub(crate) fn calls(ordinal: usize) -> [usize; 3] {
    let contexts = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    contexts.get(&ordinal).map_or([0; 3], |context| context.calls)
}

/// Opens a context on the current GPU whose work is queued on `stream`.
fn open(api: &Api, stream: *mut c_void) -> Result<Context> {
    let mut opaque = std::ptr::null_mut();
    // SAFETY: the library writes a context to the pointer, and the stream is the one of the current GPU.
    unsafe {
        api.check("be started", (api.create)(&raw mut opaque))?;
        api.check("use the stream", (api.set_stream)(opaque, stream))?;
    }
    Ok(Context { opaque, convolutions: HashMap::new(), calls: [0; 3] })
}
