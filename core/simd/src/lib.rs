//! Instruction sets of the processor: the widest one that hashlab uses, and code compiled for each of them.
//!
//! ```
//! use hashlab_simd::InstructionSet;
//!
//! assert!(InstructionSet::named("avx2")? < InstructionSet::Amx);
//! assert!(InstructionSet::named("sse2").is_err());
//! # Ok::<(), String>(())
//! ```

mod vectorized;

#[doc(hidden)]
pub use pulp;

use std::sync::OnceLock;

use pulp::Arch;

/// The variable that names the widest set that kernels use, so that a processor's narrower sets can be tested and measured.
///
/// Products of the crate gemm have no such switch: a build without the feature `avx512` leaves their AVX-512 out.
pub const VARIABLE: &str = "HASHLAB_CPU";

/// Sets of vector and matrix instructions of x86-64, from narrow to wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstructionSet {
    /// Vectors of 8 f32 with fused multiplication and addition.
    Avx2,
    /// Vectors of 16.
    Avx512,
    /// The matrix unit of Intel's server processors.
    Amx,
}

impl InstructionSet {
    const NAMED: [(&str, Self); 3] = [("avx2", Self::Avx2), ("avx512", Self::Avx512), ("amx", Self::Amx)];

    /// The set of this name, as [`VARIABLE`] has it.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(name: &str) -> Result<Self, String> {
        let known = Self::NAMED.iter().find(|(known, _)| *known == name);
        known.map(|(_, set)| *set).ok_or_else(|| {
            let names: Vec<&str> = Self::NAMED.iter().map(|(name, _)| *name).collect();
            format!("{VARIABLE}={name} names no instruction set\nhelp: known: {}", names.join(", "))
        })
    }

    /// The set that a feature of `/proc/cpuinfo` belongs to; `None` if it is older than all of them.
    pub fn of_feature(feature: &str) -> Option<Self> {
        // Those that begin with `avx_` came with AVX-512 or later.
        let prefix = if feature.starts_with("avx_") { "avx512" } else { feature };
        Self::NAMED.iter().rev().find(|(name, _)| prefix.starts_with(name)).map(|(_, set)| *set)
    }
}

/// The widest set that kernels may use by [`VARIABLE`]; `None` if it is not set, or empty.
///
/// # Errors
/// If the variable names no set.
pub fn cap() -> Result<Option<InstructionSet>, String> {
    let value = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
    value.map(|value| InstructionSet::named(&value.to_string_lossy())).transpose()
}

/// Whether kernels may use a set. A variable that names no set allows all; programs refuse it at their start.
pub fn allows(set: InstructionSet) -> bool {
    static CAP: OnceLock<Option<InstructionSet>> = OnceLock::new();
    CAP.get_or_init(|| cap().unwrap_or_default()).is_none_or(|widest| set <= widest)
}

/// The widest vector instructions that the processor has and kernels may use.
pub fn arch() -> Arch {
    if allows(InstructionSet::Avx512) { Arch::new() } else { narrow() }
}

/// The widest vectors up to AVX2.
#[cfg(target_arch = "x86_64")]
fn narrow() -> Arch {
    pulp::x86::V3::try_new().map_or(Arch::Scalar, Arch::V3)
}

/// Vectors of another architecture: none of the sets applies to it.
#[cfg(not(target_arch = "x86_64"))]
fn narrow() -> Arch {
    Arch::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_variable() {
        assert_eq!(InstructionSet::named("avx512"), Ok(InstructionSet::Avx512));
        let refused = InstructionSet::named("sse2").unwrap_err();
        assert!(refused.contains("HASHLAB_CPU=sse2") && refused.contains("avx2, avx512, amx"), "{refused}");
        assert!(InstructionSet::Avx2 < InstructionSet::Amx);
    }

    #[test]
    fn features_belong_to_the_set_that_brought_them() {
        let of = InstructionSet::of_feature;
        assert_eq!((of("amx_bf16"), of("avx512_vnni")), (Some(InstructionSet::Amx), Some(InstructionSet::Avx512)));
        assert_eq!((of("avx2"), of("fma"), of("avx")), (Some(InstructionSet::Avx2), None, None));
        assert_eq!(of("avx_vnni"), Some(InstructionSet::Avx512));
    }
}
