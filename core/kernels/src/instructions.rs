//! What kernels use of the processor's instruction sets.

pub use hashlab_simd::{InstructionSet, VARIABLE, cap};
pub(crate) use hashlab_simd::{allows, arch};

/// Whether kernels use a feature of the processor, as `/proc/cpuinfo` calls it.
pub fn uses(feature: &str) -> bool {
    let in_products = |set| cfg!(feature = "avx512") && set == InstructionSet::Avx512;
    InstructionSet::of_feature(feature).is_none_or(|set| allows(set) || in_products(set))
}
