//! A plain matrix product: what the machine gives, to measure the other rows by.

use anyhow::Result;
use candle_core::Device;

use crate::{Work, normal};

pub(crate) fn work(size: usize, device: &Device) -> Result<Work> {
    let [a, b] = [normal("a", &[size, size], 1.0, device)?, normal("b", &[size, size], 1.0, device)?];
    Ok(Box::new(move |iterations| {
        for _ in 0..iterations {
            std::hint::black_box(a.matmul(&b)?);
        }
        Ok(None)
    }))
}
