//! The processor and GPUs.

use std::path::Path;

use candle_core::Device;
use hashlab_app::machine_facts;
use hashlab_kernels::device::{DeviceError, DeviceName, describe, free_memory};
use hashlab_store::counted;

use super::{Finding, size};

/// Where NVIDIA's driver says that it is loaded.
const DRIVER: &str = "/proc/driver/nvidia/version";

pub(super) fn findings() -> Vec<Finding> {
    vec![processor(), gpu()]
}

fn processor() -> Finding {
    let facts = machine_facts(&Device::Cpu);
    let fact = |name: &str| facts.iter().find(|(key, _)| *key == name).map_or("", |(_, fact)| fact.as_str());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = if fact("processor").is_empty() { "a processor" } else { fact("processor") };
    let features: Vec<&str> = fact("processor_features").split(' ').filter(|name| !name.is_empty()).collect();
    let fast = ["amx_bf16", "avx512f", "avx2", "asimd"].into_iter().find(|name| features.contains(name));
    let text = format!("{model}, {} for this process", counted(cores, "core"));
    match fast {
        Some(fast) => Finding::ok("processor", format!("{text}, {fast}")),
        None if cfg!(target_arch = "x86_64") && !features.is_empty() => {
            Finding::hint("processor", format!("{text}, no AVX2"), "products are several times slower than with it")
        }
        None => Finding::ok("processor", text),
    }
}

fn gpu() -> Finding {
    let driver = Path::new(DRIVER).exists();
    match DeviceName::Cuda(0).open() {
        Ok(device) => {
            let free = free_memory(&device).map(|bytes| format!(", {} free", size(bytes))).unwrap_or_default();
            Finding::ok("gpu", format!("{}{free}: `--device cuda` uses it", describe(&device)))
        }
        Err(DeviceError::NotBuilt(_)) if driver => Finding::hint(
            "gpu",
            "a driver of NVIDIA is here, and this hashlab was built without CUDA",
            "`just cuda-build` in its repository builds one with it: docs/gpu.md",
        ),
        Err(DeviceError::Unavailable(_, cause)) if driver => Finding::to_do(
            "gpu",
            format!("a GPU is here and cannot be used: {cause}"),
            "`nvidia-smi` lists those that work",
        ),
        Err(_) => Finding::ok("gpu", "none: runs compute on the processor"),
    }
}
