//! The key `dtype` of encoders.

use anyhow::{Result, ensure};
use candle_core::{DType, Tensor};
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

    /// Returns features in f32 that `network` computed in this type.
    ///
    /// # Errors
    /// If the network, which may be of another program, computed in another type.
    pub(crate) fn widen(self, network: &str, features: &Tensor) -> Result<Tensor> {
        let (got, expected) = (features.dtype(), self.tensor_dtype());
        ensure!(got == expected, "encoder `{network}` cannot compute in {expected:?}: its features are in {got:?}");
        Ok(features.to_dtype(DType::F32)?)
    }

    /// The name under which features of `network` in this type are stored: the network's own in f32.
    pub(crate) fn identify(self, network: String) -> String {
        match self {
            Self::F32 => network,
            Self::Bf16 => network + " bf16",
        }
    }
}
