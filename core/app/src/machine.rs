//! Facts about the machine on which the bits of a result may depend.

use candle_core::Device;

/// Beginnings of the names of processor features that products and sums may use.
const ARITHMETIC: [&str; 7] = ["avx", "fma", "f16c", "amx", "asimd", "sve", "sme"];

/// Facts about this machine by the names that results give them: the system, the processor with its arithmetic, and the driver of a GPU that is used, as far as the system tells.
pub fn facts(device: &Device) -> Vec<(&'static str, String)> {
    let uname = rustix::system::uname();
    let [system, release, machine] =
        [uname.sysname(), uname.release(), uname.machine()].map(|part| part.to_string_lossy().into_owned());
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let driver = || std::fs::read_to_string("/proc/driver/nvidia/version").ok();
    let found = [
        ("system", Some(format!("{system} {release} {machine}"))),
        ("processor", processor(&processors)),
        ("processor_features", features(&processors)),
        ("gpu_driver", driver().filter(|_| !device.is_cpu()).and_then(|text| version(&text))),
    ];
    found.into_iter().filter_map(|(key, fact)| Some((key, fact?))).collect()
}

/// The value of the first line with one of some keys.
fn line<'t>(text: &'t str, keys: &[&str]) -> Option<&'t str> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| keys.contains(key)).map(|(_, value)| value)
}

/// The model of the first processor.
fn processor(text: &str) -> Option<String> {
    line(text, &["model name", "CPU part", "cpu model"]).map(str::to_owned)
}

/// The features of the first processor that arithmetic uses, in order.
fn features(text: &str) -> Option<String> {
    let all = line(text, &["flags", "Features"])?;
    let mut used: Vec<&str> = all
        .split_whitespace()
        .filter(|name| *name != "smep" && ARITHMETIC.iter().any(|start| name.starts_with(start)))
        .filter(|name| hashlab_kernels::instructions::uses(name))
        .collect();
    used.sort_unstable();
    Some(used.join(" "))
}

/// The version in what NVIDIA's driver says of itself.
fn version(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("NVRM version:"))?;
    let is_version = |word: &&str| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok());
    line.split_whitespace().find(is_version).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_its_model_and_its_arithmetic() {
        let intel = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) 8481C\nflags\t\t: fpu smep sse4_2 fma avx512f avx avx2 amx_bf16\n\
                     processor\t: 1\nmodel name\t: other\n";
        assert_eq!(processor(intel).as_deref(), Some("Intel(R) Xeon(R) 8481C"));
        assert_eq!(features(intel).as_deref(), Some("amx_bf16 avx avx2 avx512f fma"));
        let arm = "processor\t: 0\nFeatures\t: fp asimd sve crc32\nCPU part\t: 0xd40\n";
        assert_eq!((processor(arm).as_deref(), features(arm).as_deref()), (Some("0xd40"), Some("asimd sve")));
        assert_eq!((processor(""), features("")), (None, None));
    }

    #[test]
    fn a_driver_has_a_version() {
        for (text, expected) in [
            (
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC",
                "535.104.05",
            ),
            ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build", "570.86.15"),
        ] {
            assert_eq!(version(text).as_deref(), Some(expected));
        }
        assert_eq!(version("nothing"), None);
    }
}
