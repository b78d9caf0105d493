//! Copies of a network on several devices, which divide the items of a training step.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::{Device, Tensor, Var};
use hashlab_encoders::TrainableEncoder;
use hashlab_kernels::device::{copy_values, on_device};
use hashlab_rng::Stream;

/// A network and its copies, each on a device of its own. Every copy encodes its part of a batch; the features meet on the
/// first device, so that head and loss see the whole batch.
pub struct Replicas {
    network: Box<dyn TrainableEncoder>,
    copies: Vec<(Device, Box<dyn TrainableEncoder>)>,
}

impl Replicas {
    /// A network without copies, whose features stay where it makes them.
    pub fn one(network: Box<dyn TrainableEncoder>) -> Self {
        Self { network, copies: Vec::new() }
    }

    /// Opens a network on each of `devices`, of which the first holds the one that is kept.
    ///
    /// # Errors
    /// If there is no device, or `open` fails.
    pub fn open(devices: &[Device], open: impl Fn(&Device) -> Result<Box<dyn TrainableEncoder>>) -> Result<Self> {
        let (first, others) = devices.split_first().ok_or_else(|| anyhow::anyhow!("a network needs a device"))?;
        let copies = others.iter().map(|device| Ok((device.clone(), open(device)?))).collect::<Result<_>>()?;
        Ok(Self { network: open(first)?, copies })
    }

    /// The network itself.
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

    /// Maps items to `(n, dim)` on the first device, in training mode, differentiably. Dropout layers, whose streams `open`
    /// opens by name, draw what they would draw on one device.
    ///
    /// # Errors
    /// As [`TrainableEncoder::forward_train`].
    pub fn forward_train(&self, items: &Tensor, open: &dyn Fn(&str) -> Stream) -> candle_core::Result<Tensor> {
        if self.copies.is_empty() {
            return self.network.forward_train(items, &mut |layer, _| open(layer));
        }
        let mut drawn: BTreeMap<String, usize> = BTreeMap::new();
        let mut draws = |layer: &str, count: usize| {
            let mut stream = open(layer);
            let before = drawn.entry(layer.to_owned()).or_default();
            stream.skip(*before);
            *before += count;
            stream
        };
        let copies = self.copies.iter().map(|(device, copy)| (Some(device), copy.as_ref()));
        let networks = [(None, self.network())].into_iter().chain(copies);
        // All parts are sent before a device computes, as the way to another one waits for what the first has to do.
        let mut parts = Vec::with_capacity(1 + self.copies.len());
        for ((device, network), (start, len)) in networks.zip(parts_of(items.dim(0)?, 1 + self.copies.len())) {
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
        let Some(first) = features.first().map(Tensor::device) else { candle_core::bail!("a batch without items") };
        Tensor::cat(&features.iter().map(|part| on_device(part, first)).collect::<candle_core::Result<Vec<_>>>()?, 0)
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
