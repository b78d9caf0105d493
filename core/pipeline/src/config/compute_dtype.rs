//! The key `dtype` of encoders.

use candle_core::DType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Types in which a network computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ComputeDtype {
    /// Single precision.
    F32,
    /// The upper half of single precision: its range, with 8 bits of precision.
    Bf16,
}

impl ComputeDtype {
    /// The type of tensors.
    pub fn tensor_dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }

    /// The name under which features of `network` in this type are stored: the network's own in f32.
    pub(crate) fn identify(self, network: String) -> String {
        match self {
            Self::F32 => network,
            Self::Bf16 => network + " bf16",
        }
    }
}
