//! Forward passes of an image encoder, as features are extracted: micro-batches, each on one thread; on a GPU all at once.

use anyhow::{Context as _, Result};
use candle_core::DType;
use hashlab_encoders::Place;
use hashlab_kernels::threads::serial;
use hashlab_pipeline::config::ComputeDtype;
use rayon::prelude::*;

use crate::{Work, normal};

/// Reads the name of a type as experiments write it.
pub(crate) fn compute(name: &str) -> Result<ComputeDtype, String> {
    match serde_json::from_value(name.into()).map_err(|error| error.to_string())? {
        ComputeDtype::Tf32 => Err("`--tf32` allows TF32".to_owned()),
        dtype => Ok(dtype),
    }
}

pub(crate) fn work(name: &str, size: usize, batch: usize, place: Place<'_>) -> Result<Work> {
    let (entry, dtype) = (hashlab_encoders::find_image(name).context("unknown encoder")?, place.dtype);
    let weights = entry.needs_weights.then(|| hashlab_bench::weights(name));
    let encoder = (entry.open)(weights.as_ref(), 0, place)?;
    // As `hashlab_pipeline::ImageFeatures` does, unless that left threads without images.
    let micro_batch = match place.device.is_cpu() {
        true => entry.micro_batch(size).min(batch.div_ceil(rayon::current_num_threads())),
        false => batch,
    };
    let images = normal("images", &[batch, size, size, 3], 1.0, place.device)?;
    Ok(Box::new(move |iterations| {
        for _ in 0..iterations {
            let starts: Vec<usize> = (0..batch).step_by(micro_batch).collect();
            let features: Result<Vec<_>> = starts
                .into_par_iter()
                .map(|start| {
                    let part = images.narrow(0, start, micro_batch.min(batch - start))?.to_dtype(dtype)?;
                    let features = serial(|| encoder.forward(&part))?.to_dtype(DType::F32)?;
                    Ok(features.flatten_all()?.to_vec1::<f32>()?)
                })
                .collect();
            std::hint::black_box(features?);
        }
        Ok(None)
    }))
}
