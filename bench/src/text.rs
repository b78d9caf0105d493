//! Forward passes of a text encoder of the sizes of all-MiniLM-L6-v2: micro-batches, each on one thread; on a GPU all at
//! once.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use hashlab_encoders::bert::{Bert, mean};
use hashlab_kernels::threads::serial;
use hashlab_rng::stream;
use rayon::prelude::*;

use crate::Work;

/// So that the hidden layer of 1536 features stays in the second-level cache.
const MICRO_BATCH: usize = 8;

pub(crate) fn work(texts: usize, tokens: usize, device: &Device) -> Result<Work> {
    let encoder = Bert::open(&hashlab_bench::minilm(), hashlab_bench::MINILM_HEADS, device)?;
    let mut draws = stream(0, "ids", &[]);
    let ids: Vec<u32> = (0..texts * tokens).map(|_| draws.below(30_000) as u32).collect();
    let ids = Tensor::from_vec(ids, (texts, tokens), device)?;
    let mask = Tensor::ones((texts, tokens), DType::U32, device)?;
    let micro_batch = if device.is_cpu() { MICRO_BATCH } else { texts };
    Ok(Box::new(move |iterations| {
        for _ in 0..iterations {
            let starts: Vec<usize> = (0..texts).step_by(micro_batch).collect();
            let features: Result<Vec<_>> = starts
                .into_par_iter()
                .map(|start| {
                    let [ids, mask] = [&ids, &mask].map(|t| t.narrow(0, start, micro_batch.min(texts - start)));
                    let (ids, mask) = (ids?, mask?);
                    Ok(serial(|| mean(&encoder.forward(&ids, &mask)?, &mask))?.flatten_all()?.to_vec1::<f32>()?)
                })
                .collect();
            std::hint::black_box(features?);
        }
        Ok(None)
    }))
}
