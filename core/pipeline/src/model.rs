//! The model that a run keeps: the state of its method, and what the method is built from.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context as _, Result};
use candle_core::Device;
use hashlab_method::State;
use hashlab_store::RunConfig;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

/// A trained method: its tensors, and what it needs to be built again without its data set.
#[derive(Clone, Debug)]
pub struct Model {
    /// The method's tensors, and those of encoders that were trained with it.
    pub state: State,
    /// Number of label classes of the data set.
    pub classes: usize,
    /// Number of training items.
    pub items: usize,
}

impl Model {
    /// The model as a safetensors file, with the run's configuration in its header.
    ///
    /// # Errors
    /// If a tensor cannot be copied from its device.
    pub fn to_bytes(&self, config: &RunConfig) -> Result<Vec<u8>> {
        let mut tensors = BTreeMap::new();
        for (name, tensor) in &self.state {
            tensors.insert(name.clone(), tensor.to_device(&Device::Cpu)?.contiguous()?);
        }
        let header = [
            ("config", serde_json::to_string(config)?),
            ("classes", self.classes.to_string()),
            ("items", self.items.to_string()),
        ];
        let header: HashMap<String, String> = header.map(|(key, value)| (key.to_owned(), value)).into();
        Ok(safetensors::serialize(tensors, Some(header))?)
    }

    /// Digests of the tensors of a model by name, by which two models are compared: the order of a file's header is free.
    ///
    /// # Errors
    /// If the file cannot be read, or is no safetensors file.
    pub fn digests(path: &Path) -> Result<BTreeMap<String, String>> {
        let read = || {
            let bytes = std::fs::read(path)?;
            let tensors = SafeTensors::deserialize(&bytes)?;
            let digest = |(name, tensor): (String, TensorView<'_>)| {
                let form = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
                let digest = blake3::Hasher::new().update(form.as_bytes()).update(tensor.data()).finalize();
                (name, digest.to_hex()[..16].to_owned())
            };
            anyhow::Ok(tensors.tensors().into_iter().map(digest).collect())
        };
        read().with_context(|| format!("`{}` cannot be read as a run's model", path.display()))
    }

    /// Reads a model.
    ///
    /// # Errors
    /// If the file cannot be read, or is no model of a run.
    pub fn read(path: &Path, device: &Device) -> Result<Self> {
        let read = || {
            let bytes = std::fs::read(path)?;
            let (_, header) = SafeTensors::read_metadata(&bytes)?;
            let number = |key: &str| {
                let value = header.metadata().as_ref().and_then(|header| header.get(key)?.parse().ok());
                value.with_context(|| format!("its header has no `{key}`"))
            };
            let (classes, items) = (number("classes")?, number("items")?);
            let state = candle_core::safetensors::load_buffer(&bytes, device)?;
            anyhow::Ok(Self { state: BTreeMap::from_iter(state), classes, items })
        };
        read().with_context(|| format!("`{}` cannot be read as a run's model", path.display()))
    }
}
