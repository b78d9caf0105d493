//! State of a training; a training resumed from it ends with the same bits as one without a stop.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use candle_core::Device;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use hashlab_method::State;

/// A training's state between two steps.
#[derive(Default)]
pub struct Checkpoint {
    /// Counters and sums.
    pub position: TrainPosition,
    /// The method's tensors.
    pub method: State,
    /// The optimizer's tensors.
    pub optimizer: State,
    /// The method's tensors at the best validation so far; empty before the first.
    pub best: State,
}

/// Position of a training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainPosition {
    /// Epoch, counted from 0.
    pub epoch: usize,
    /// Next step within the epoch.
    pub batch: usize,
    /// Sums of the loss and its terms over the epoch's items so far; empty before the first step.
    pub sums: BTreeMap<String, f64>,
    /// Items in those sums.
    pub items: usize,
    /// Epoch (counted from 1) and validation mAP of the best state; `None` before the first validation.
    pub best: Option<(usize, f64)>,
    /// Seconds spent training so far, over all attempts.
    pub seconds: f64,
}

/// Metadata key of the [`TrainPosition`] in the file.
const POSITION: &str = "position";

const PARTS: [&str; 3] = ["method/", "optimizer/", "best/"];

impl Checkpoint {
    /// Renders the checkpoint as a safetensors file.
    ///
    /// # Errors
    /// If a tensor cannot be read from its device.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut tensors = BTreeMap::new();
        for (part, state) in PARTS.iter().zip([&self.method, &self.optimizer, &self.best]) {
            for (name, tensor) in state {
                tensors.insert(format!("{part}{name}"), tensor.to_device(&Device::Cpu)?.contiguous()?);
            }
        }
        let position = serde_json::to_string(&self.position)?;
        let metadata = HashMap::from([(POSITION.to_owned(), position)]);
        Ok(safetensors::serialize(tensors, Some(metadata))?)
    }

    /// Reads [`Checkpoint::to_bytes`] back onto a device.
    ///
    /// # Errors
    /// If the bytes are not a checkpoint.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let position = header.metadata().as_ref().and_then(|metadata| metadata.get(POSITION));
        let position = position.context("not a checkpoint: no position")?;
        let mut parts: [State; 3] = Default::default();
        for (name, tensor) in candle_core::safetensors::load_buffer(bytes, device)? {
            let part = PARTS.iter().position(|part| name.starts_with(part)).context("not a checkpoint: odd name")?;
            parts[part].insert(name[PARTS[part].len()..].to_owned(), tensor);
        }
        let [method, optimizer, best] = parts;
        Ok(Self { position: serde_json::from_str(position)?, method, optimizer, best })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;

    #[test]
    fn a_checkpoint_comes_back_bit_for_bit() {
        let tensor = Tensor::new(&[[0.1f32, -0.0], [f32::MIN_POSITIVE, 3.0]], &Device::Cpu).unwrap();
        let state = |name: &str| State::from([(name.to_owned(), tensor.clone())]);
        let position = TrainPosition {
            epoch: 3,
            batch: 7,
            seconds: 0.1 + 0.2,
            best: Some((2, 1.0 / 3.0)),
            ..TrainPosition::default()
        };
        let saved = Checkpoint { position, method: state("a"), optimizer: state("a.m"), best: state("a") };
        let loaded = Checkpoint::from_bytes(&saved.to_bytes().unwrap(), &Device::Cpu).unwrap();
        assert_eq!(loaded.position, saved.position);
        for (a, b) in
            [(&loaded.method, &saved.method), (&loaded.optimizer, &saved.optimizer), (&loaded.best, &saved.best)]
        {
            let bits = |s: &State| -> Vec<(String, Vec<u32>)> {
                let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                s.iter().map(|(k, t)| (k.clone(), values(t).into_iter().map(f32::to_bits).collect())).collect()
            };
            assert_eq!(bits(a), bits(b));
        }
        assert!(Checkpoint::from_bytes(b"not a checkpoint", &Device::Cpu).is_err());
    }
}
