//! Devices by name: `cpu`, `cuda` or `cuda:N`.

#[cfg(feature = "cuda")]
mod cuda;
mod staging;

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};

use candle_core::{Device, Tensor, Var};

pub use staging::Staging;

/// A device by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceName {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU, by its number among those that are visible.
    Cuda(usize),
}

/// Reason why a device cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub enum DeviceError {
    /// The program was built without CUDA.
    NotBuilt(DeviceName),
    /// The driver failed, or there is no such GPU.
    Unavailable(DeviceName, String),
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "cpu" => return Ok(Self::Cpu),
            None if text == "cuda" => return Ok(Self::Cuda(0)),
            // `parse` would accept a sign, which is not a digit.
            Some(("cuda", digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                if let Ok(ordinal) = digits.parse() {
                    return Ok(Self::Cuda(ordinal));
                }
            }
            _ => {}
        }
        Err("a device is `cpu`, `cuda` or `cuda:N`, N counting the visible GPUs from 0".into())
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl DeviceName {
    /// Opens the device; a GPU once in a process, so that all its work is on one stream and tensors of several calls
    /// can be combined.
    ///
    /// # Errors
    /// If the program was built without CUDA, or there is no such GPU, or no driver for it.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            #[cfg(feature = "cuda")]
            Self::Cuda(ordinal) => cuda::open(ordinal).map_err(|error| DeviceError::Unavailable(self, cause(error))),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Err(DeviceError::NotBuilt(self)),
        }
    }
}

/// The cause of an error, without the backtrace that RUST_BACKTRACE makes candle add.
#[cfg(feature = "cuda")]
fn cause(error: candle_core::Error) -> String {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => cause(*inner),
        other => other.to_string(),
    }
}

/// The number of allowances of TF32 that are in force, see [`allow_tf32`] and [`in_tf32`]; locked while candle's own
/// setting follows it.
static TF32: Mutex<usize> = Mutex::new(0);

/// Changes the number of allowances.
fn allowances(change: impl FnOnce(usize) -> usize) {
    let mut allowed = TF32.lock().unwrap_or_else(PoisonError::into_inner);
    *allowed = change(*allowed);
    candle_core::cuda::set_gemm_reduced_precision_f32(*allowed > 0);
}

/// Allows GPUs to round the factors of f32 products to TF32, which has 10 bits after the point instead of 23, from now
/// on in the whole process. Nothing is allowed by default.
pub fn allow_tf32() {
    allowances(|allowed| allowed + 1);
}

/// Allows TF32 for the work that `f` queues on a GPU, and for what other threads queue meanwhile.
pub fn in_tf32<R>(f: impl FnOnce() -> R) -> R {
    /// Ends the allowance even if `f` panics.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            allowances(|allowed| allowed - 1);
        }
    }
    allow_tf32();
    let _end = End;
    f()
}

/// Whether TF32 is allowed.
pub fn tf32_is_allowed() -> bool {
    *TF32.lock().unwrap_or_else(PoisonError::into_inner) > 0
}

/// Convolutions that cuDNN was asked for on a GPU, by what it has done: left them alone, computed their sums, computed
/// bias, residual and rectifier, too. `None` if it is not asked, see docs/gpu.md.
pub fn cudnn_calls(device: &Device) -> Option<[usize; 3]> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(cuda) if crate::gpu::cudnn::wanted() => {
            Some(crate::gpu::cudnn::calls(cuda.cuda_stream().context().ordinal()))
        }
        _ => None,
    }
}

/// Describes `device` for records: `cpu`, or number and model of a GPU.
pub fn describe(device: &Device) -> String {
    match device {
        Device::Cpu => DeviceName::Cpu.to_string(),
        #[cfg(feature = "cuda")]
        Device::Cuda(cuda) => {
            let stream = cuda.cuda_stream();
            let context = stream.context();
            let name = DeviceName::Cuda(context.ordinal());
            context.name().map_or_else(|_| name.to_string(), |model| format!("{name} {model}"))
        }
        other => format!("{:?}", other.location()).to_lowercase(),
    }
}

/// `count` devices: `first`, and the GPUs behind it in the order of their numbers. A processor is repeated.
///
/// # Errors
/// If there are fewer GPUs.
pub fn devices_from(first: &Device, count: usize) -> Result<Vec<Device>, DeviceError> {
    let number: Option<usize> = match first {
        #[cfg(feature = "cuda")]
        Device::Cuda(cuda) => Some(cuda.cuda_stream().context().ordinal()),
        _ => None,
    };
    (0..count)
        .map(|further| number.map_or_else(|| Ok(first.clone()), |n| DeviceName::Cuda(n + further).open()))
        .collect()
}

/// Copies a tensor to another device, differentiably; one that is there already is shared. Between two GPUs it passes
/// through the host's memory: the copy to the host waits until the first GPU is done, and nothing else orders the
/// streams of two GPUs.
///
/// # Errors
/// If a device is out of memory.
pub fn on_device(x: &Tensor, to: &Device) -> candle_core::Result<Tensor> {
    if x.device().same_device(to) {
        return Ok(x.clone());
    }
    let own = x.force_contiguous()?; // a part of a tensor would take the whole along
    if x.device().is_cuda() && to.is_cuda() { own.to_device(&Device::Cpu)?.to_device(to) } else { own.to_device(to) }
}

/// Gives each of `copies`, wherever it is, the value of the variable beside it, rounded to the copy's type.
///
/// # Errors
/// If they are not as many or have other shapes, or a device is out of memory.
pub fn copy_values<'a>(
    vars: impl ExactSizeIterator<Item = &'a Var>,
    copies: impl ExactSizeIterator<Item = &'a Var>,
) -> candle_core::Result<()> {
    if vars.len() != copies.len() {
        candle_core::bail!("{} copies of {} variables", copies.len(), vars.len());
    }
    vars.zip(copies).try_for_each(|(var, copy)| {
        let rounded = var.as_detached_tensor().to_dtype(copy.dtype())?;
        copy.set(&on_device(&rounded, copy.device())?)
    })
}

/// The free memory of a GPU in bytes; `None` for the processor, or if the driver gives no number.
pub fn free_memory(device: &Device) -> Option<u64> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(cuda) => cuda.cuda_stream().context().mem_get_info().ok().map(|(free, _)| free as u64),
        #[cfg(not(feature = "cuda"))]
        Device::Cuda(_) => None,
        Device::Cpu | Device::Metal(_) => None,
    }
}

/// The device of the tests: the one that HASHLAB_TEST_DEVICE names, the processor if it is unset.
///
/// # Panics
/// If the device cannot be used: a test for a GPU must not pass on the processor.
pub fn for_tests() -> &'static Device {
    static OPEN: OnceLock<Device> = OnceLock::new();
    OPEN.get_or_init(|| {
        let name = std::env::var("HASHLAB_TEST_DEVICE").unwrap_or_else(|_| DeviceName::Cpu.to_string());
        let name: DeviceName = name.parse().unwrap_or_else(|error| panic!("HASHLAB_TEST_DEVICE={name}: {error}"));
        name.open().unwrap_or_else(|error| panic!("HASHLAB_TEST_DEVICE={name}: {error}"))
    })
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBuilt(name) => write!(
                f,
                "cannot use `{name}`: this hashlab was built without CUDA\nhelp: `just cuda-build` in its repository \
                 builds one with it; without a GPU, leave the device out"
            ),
            Self::Unavailable(name, cause) => write!(
                f,
                "cannot use `{name}`: {cause}\nhelp: `nvidia-smi` lists the GPUs that the driver sees, numbered from \
                 0, and CUDA_VISIBLE_DEVICES may hide some; without a GPU, leave the device out"
            ),
        }
    }
}

impl std::error::Error for DeviceError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (text, name) in
            [("cpu", DeviceName::Cpu), ("cuda:0", DeviceName::Cuda(0)), ("cuda:12", DeviceName::Cuda(12))]
        {
            assert_eq!((text.parse(), name.to_string()), (Ok(name), text.to_owned()));
        }
        assert_eq!("cuda".parse(), Ok(DeviceName::Cuda(0)));
        for text in ["", "gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cuda:0:1", "cpu:0", "cuda: 0"] {
            let error = text.parse::<DeviceName>().unwrap_err();
            assert!(error.contains("`cuda:N`"), "{text}: {error}");
        }
        assert!("cuda:99999999999999999999".parse::<DeviceName>().is_err());
    }

    #[test]
    fn the_processor_is_always_there() {
        let device = DeviceName::default().open().unwrap();
        assert!(device.is_cpu());
        assert_eq!(describe(&device), "cpu");
    }

    #[test]
    fn a_processor_serves_as_several_devices() {
        let devices = devices_from(&Device::Cpu, 3).unwrap();
        assert_eq!(devices.iter().filter(|device| device.is_cpu()).count(), 3);
    }

    #[test]
    fn a_gpu_that_cannot_be_used_is_an_error_that_names_it() {
        // No machine has so many GPUs, so this fails with or without CUDA.
        let error = DeviceName::Cuda(4096).open().unwrap_err();
        assert_eq!(matches!(error, DeviceError::NotBuilt(_)), !cfg!(feature = "cuda"));
        let message = error.to_string();
        assert!(message.contains("`cuda:4096`") && message.contains("help: "), "{message}");
    }
}
