//! The key `dtype` of encoders.

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor};
use hashlab_encoders::Encoder;
use hashlab_kernels::device::in_tf32;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Types in which a network computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ComputeDtype {
    /// Single precision.
    F32,
    /// Single precision whose products round their factors to 10 bits after the point, on a GPU.
    Tf32,
    /// The upper half of single precision: its range, with 8 bits of precision.
    Bf16,
}

impl ComputeDtype {
    /// The type of tensors.
    pub fn tensor_dtype(self) -> DType {
        match self {
            Self::F32 | Self::Tf32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }

    /// Wraps a network of TF32, opened on a device, so that its products use it; other types are those of the tensors.
    ///
    /// # Errors
    /// If the device cannot.
    pub(crate) fn applied(self, network: Box<dyn Encoder>, device: &Device) -> Result<Box<dyn Encoder>> {
        match self {
            Self::F32 | Self::Bf16 => Ok(network),
            Self::Tf32 => {
                let name = network.name();
                ensure!(device.is_cuda(), "encoder `{name}` computes in tf32 on GPUs only\nhelp: `--device cuda`");
                Ok(Box::new(InTf32(network)))
            }
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
            Self::Tf32 => network + " tf32",
            Self::Bf16 => network + " bf16",
        }
    }
}

/// A network whose products are in TF32. Heads stay in f32, as nothing else is queued during a pass.
struct InTf32(Box<dyn Encoder>);

impl Encoder for InTf32 {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn normalize(&self) -> [[f32; 3]; 2] {
        self.0.normalize()
    }

    fn forward(&self, items: &Tensor) -> candle_core::Result<Tensor> {
        in_tf32(|| self.0.forward(items))
    }
}

#[cfg(test)]
mod tests {
    use hashlab_kernels::device::tf32_is_allowed;

    use super::*;

    /// Its features are 1 if products may be in TF32.
    struct Witness;

    impl Encoder for Witness {
        fn name(&self) -> &'static str {
            "witness"
        }

        fn dim(&self) -> usize {
            1
        }

        fn forward(&self, items: &Tensor) -> candle_core::Result<Tensor> {
            Tensor::full(f32::from(tf32_is_allowed()), (items.dim(0)?, 1), &Device::Cpu)
        }
    }

    #[test]
    fn tf32_is_allowed_within_the_network_that_asks_for_it() {
        let images = Tensor::zeros((1, 8, 8, 3), DType::F32, &Device::Cpu).unwrap();
        let allowed = |network: &dyn Encoder| network.forward(&images).unwrap().flatten_all().unwrap().to_vec1::<f32>();
        assert_eq!(allowed(&InTf32(Box::new(Witness))).unwrap(), [1.0]);
        assert_eq!(allowed(&Witness).unwrap(), [0.0]);
        let error = ComputeDtype::Tf32.applied(Box::new(Witness), &Device::Cpu).err().unwrap().to_string();
        assert!(error.contains("encoder `witness` computes in tf32 on GPUs only"), "{error}");
        assert!(ComputeDtype::Bf16.applied(Box::new(Witness), &Device::Cpu).is_ok());
        assert_eq!(ComputeDtype::Tf32.identify("witness r1".into()), "witness r1 tf32");
    }
}
