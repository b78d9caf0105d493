//! Copies of a network, on several devices, which divide the items of a training step, or in bf16.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use candle_core::{DType, Device, Tensor, Var};
use hashlab_encoders::{Place, TrainableEncoder};
use hashlab_kernels::device::{copy_values, on_device};
use hashlab_rng::Stream;

use crate::config::ComputeDtype;

/// A network and its copies, on several devices or in another type than f32.
///
/// Each encodes its part of a batch; the features meet on the first device, so that head and loss see the whole batch. A
/// network that computes in another type leaves all items to copies in that type, whose variables have its rounded values
/// (mixed precision).
pub struct Replicas {
    network: Box<dyn TrainableEncoder>,
    dtype: DType,
    copies: Vec<(Device, Box<dyn TrainableEncoder>)>,
}

impl Replicas {
    /// A network without copies, whose features stay where it makes them.
    pub fn one(network: Box<dyn TrainableEncoder>) -> Self {
        Self { network, dtype: DType::F32, copies: Vec::new() }
    }

    /// Opens a network on the first of `devices` in f32, and the copies that it needs to compute in `dtype` on all.
    ///
    /// # Errors
    /// If there is no device, or `open` fails or returns variables of another type.
    pub fn open(
        devices: &[Device],
        dtype: ComputeDtype,
        open: impl Fn(Place<'_>) -> Result<Box<dyn TrainableEncoder>>,
    ) -> Result<Self> {
        let first = devices.first().context("a network needs a device")?;
        let network = open(first.into())?;
        let copied = match dtype {
            ComputeDtype::F32 => &devices[1..],
            ComputeDtype::Bf16 => devices,
            ComputeDtype::Tf32 => bail!("a network is trained in f32 or bf16"),
        };
        let dtype = dtype.tensor_dtype();
        let copies = copied.iter().map(|device| {
            let copy = open(Place { device, dtype })?;
            let other = copy.vars().into_iter().find(|(_, var)| var.dtype() != dtype);
            if let Some((name, var)) = other {
                let (encoder, got) = (copy.name(), var.dtype());
                bail!("encoder `{encoder}` cannot be trained in {dtype:?}: its variable `{name}` is in {got:?}");
            }
            Ok((device.clone(), copy))
        });
        let replicas = Self { copies: copies.collect::<Result<_>>()?, network, dtype };
        if dtype != DType::F32 {
            // A file may be rounded in another way than f32 variables are, and constants are not rounded at all.
            replicas.update_copies()?;
        }
        Ok(replicas)
    }

    /// The network itself, which holds the variables in f32.
    pub fn network(&self) -> &dyn TrainableEncoder {
        self.network.as_ref()
    }

    /// The variables of each copy, in the order of the network's.
    pub fn copied_vars(&self) -> Vec<Vec<Var>> {
        let vars = |copy: &dyn TrainableEncoder| copy.vars().into_iter().map(|(_, var)| var).collect();
        self.copies.iter().map(|(_, copy)| vars(copy.as_ref())).collect()
    }

    /// Gives the copies the network's values.
    ///
    /// # Errors
    /// If a device is out of memory.
    pub fn update_copies(&self) -> candle_core::Result<()> {
        let values = |network: &dyn TrainableEncoder| [network.vars(), network.buffers()].concat();
        let own = values(self.network());
        self.copies.iter().try_for_each(|(_, copy)| {
            let copied = values(copy.as_ref());
            copy_values(own.iter().map(|(_, var)| var), copied.iter().map(|(_, var)| var))
        })
    }

    /// The networks that encode items, each with its device; `None` is the first device.
    fn encoding(&self) -> impl ExactSizeIterator<Item = (Option<&Device>, &dyn TrainableEncoder)> {
        let mut networks = Vec::with_capacity(1 + self.copies.len());
        if self.dtype == DType::F32 {
            networks.push((None, self.network()));
        }
        networks.extend(self.copies.iter().map(|(device, copy)| (Some(device), copy.as_ref())));
        networks.into_iter()
    }

    /// Items in the type that the encoding networks take.
    fn typed(&self, items: &Tensor) -> candle_core::Result<Tensor> {
        if items.dtype().is_float() { items.to_dtype(self.dtype) } else { Ok(items.clone()) }
    }

    /// Maps items to `(n, dim)` in f32 on the first device, in evaluation mode.
    ///
    /// # Errors
    /// As [`Encoder::forward`](hashlab_encoders::Encoder::forward).
    pub fn forward(&self, items: &Tensor) -> candle_core::Result<Tensor> {
        let (_, network) = self.encoding().next().expect("a network encodes");
        network.forward(&self.typed(items)?)?.to_dtype(DType::F32)
    }

    /// Maps items to `(n, dim)` in f32 on the first device, in training mode, differentiably. Dropout layers, whose
    /// streams `open` opens by name, draw what they would draw on one device.
    ///
    /// # Errors
    /// As [`TrainableEncoder::forward_train`].
    pub fn forward_train(&self, items: &Tensor, open: &dyn Fn(&str) -> Stream) -> candle_core::Result<Tensor> {
        let (items, networks) = (self.typed(items)?, self.encoding());
        let mut drawn: BTreeMap<String, usize> = BTreeMap::new();
        let mut draws = |layer: &str, count: usize| {
            let mut stream = open(layer);
            let before = drawn.entry(layer.to_owned()).or_default();
            stream.skip(*before);
            *before += count;
            stream
        };
        // All parts are sent before a device computes, as the way to another one waits for what the first has to do.
        let mut parts = Vec::with_capacity(networks.len());
        let ranges = parts_of(items.dim(0)?, networks.len());
        for ((device, network), (start, len)) in networks.zip(ranges) {
            let part = items.narrow(0, start, len)?;
            match device {
                _ if len == 0 => {}
                // Token ids stay on the processor, where encoders of texts expect them.
                Some(device) if !part.device().is_cpu() => parts.push((network, on_device(&part, device)?)),
                _ => parts.push((network, part)),
            }
        }
        let features = parts.iter().map(|(network, part)| network.forward_train(part, &mut draws));
        let features: Vec<Tensor> = features.collect::<candle_core::Result<_>>()?;
        let first = match &features[..] {
            [] => candle_core::bail!("a batch without items"),
            [all] => return all.to_dtype(DType::F32),
            [first, ..] => first.device(),
        };
        let here = |part: &Tensor| on_device(&part.to_dtype(DType::F32)?, first);
        Tensor::cat(&features.iter().map(here).collect::<candle_core::Result<Vec<_>>>()?, 0)
    }
}

/// Divides `rows` into consecutive parts, the first ones longer by one: first row and length of each.
fn parts_of(rows: usize, parts: usize) -> impl Iterator<Item = (usize, usize)> {
    let (each, longer) = (rows / parts, rows % parts);
    (0..parts).map(move |part| (part * each + part.min(longer), each + usize::from(part < longer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_and_hold_every_row() {
        let parts = |rows, count| parts_of(rows, count).collect::<Vec<_>>();
        assert_eq!(parts(7, 2), [(0, 4), (4, 3)]);
        assert_eq!(parts(8, 4), [(0, 2), (2, 2), (4, 2), (6, 2)]);
        assert_eq!(parts(1, 3), [(0, 1), (1, 0), (1, 0)]);
    }
}
