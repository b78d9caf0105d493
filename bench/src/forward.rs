//! Forward passes of a backbone, as features are extracted: micro-batches, each on one thread; on a GPU all at once.

use anyhow::{Context as _, Result};
use candle_core::Device;
use hashlab_kernels::threads::serial;
use rayon::prelude::*;

use crate::{Work, normal};

pub(crate) fn work(name: &str, size: usize, batch: usize, device: &Device) -> Result<Work> {
    let entry = hashlab_backbones::find(name).context("unknown backbone")?;
    let weights = entry.needs_weights.then(|| hashlab_bench::weights(name));
    let backbone = (entry.open)(weights.as_ref(), 0, device.into())?;
    // As `hashlab_model::features` does, unless that left threads without images.
    let micro_batch = entry.micro_batch(size).min(batch.div_ceil(rayon::current_num_threads()));
    let images = normal("images", &[batch, size, size, 3], 1.0)?.to_device(device)?;
    Ok(Box::new(move |iterations| {
        for _ in 0..iterations {
            if !images.device().is_cpu() {
                std::hint::black_box(backbone.forward(&images)?.flatten_all()?.to_vec1::<f32>()?);
                continue;
            }
            let starts: Vec<usize> = (0..batch).step_by(micro_batch).collect();
            let features: Result<Vec<_>> = starts
                .into_par_iter()
                .map(|start| {
                    let part = images.narrow(0, start, micro_batch.min(batch - start))?;
                    Ok(serial(|| backbone.forward(&part))?.flatten_all()?.to_vec1::<f32>()?)
                })
                .collect();
            std::hint::black_box(features?);
        }
        Ok(None)
    }))
}
