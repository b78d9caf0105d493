//! Images decoded ahead of the GPU.

use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::{Scope, scope};

use anyhow::{Context as _, Result, ensure};
use candle_core::{Device, Tensor};
use hashlab_kernels::device::Staging;

/// Number of buffers of pixels: one that is copied, one that waits, one that is decoded.
const BUFFERS: usize = 3;

/// Extraction of features from items.
pub(crate) trait Extraction: Sync {
    /// Number of items.
    fn items(&self) -> usize;
    /// Items of a batch; chunks of the cache are multiples of it.
    fn batch(&self) -> usize;
    /// Numbers per item.
    fn pixels(&self) -> usize;
    /// Writes the pixels of items to the beginning of a buffer.
    fn decode(&self, items: Range<usize>, pixels: &mut [f32]) -> Result<()>;
    /// Computes features `(items, dim)` of pixels.
    fn forward(&self, pixels: Tensor, items: usize) -> Result<Tensor>;
}

/// Calls `work` with a function that returns the features of a range of items, row-major. As long as ranges follow each
/// other, the next images are decoded meanwhile, on a thread of their own and all threads of rayon's pool.
pub(crate) fn overlapped<R>(
    extraction: &impl Extraction,
    device: &Device,
    work: impl FnOnce(&mut dyn FnMut(Range<usize>) -> Result<Vec<f32>>) -> R,
) -> R {
    scope(|scope| {
        let mut decoding: Option<Decoding> = None;
        work(&mut |rows| {
            if decoding.as_ref().is_none_or(|decoding| decoding.next != rows.start) {
                decoding = Some(Decoding::start(scope, extraction, device, rows.start)?);
            }
            decoding.as_mut().expect("set above").take(extraction, device, rows)
        })
    })
}

/// Pixels of a number of items.
type Decoded = Result<(usize, Staging)>;

/// The thread that decodes; it ends when this is dropped.
struct Decoding {
    /// First item of the next batch.
    next: usize,
    ready: Receiver<Decoded>,
    free: Sender<Staging>,
}

impl Decoding {
    fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        extraction: &'scope (impl Extraction + 'scope),
        device: &Device,
        first: usize,
    ) -> Result<Self> {
        let (free, buffers) = channel();
        let (send, ready) = sync_channel(BUFFERS);
        for _ in 0..BUFFERS {
            let room = extraction.batch().min(extraction.items() - first) * extraction.pixels();
            let _ = free.send(Staging::new(room, device)?); // received below
        }
        scope.spawn(move || {
            for start in (first..extraction.items()).step_by(extraction.batch()) {
                let Ok(buffer) = buffers.recv() else { return };
                let items = start..(start + extraction.batch()).min(extraction.items());
                let decoded = decode(extraction, items, buffer);
                let failed = decoded.is_err();
                if send.send(decoded).is_err() || failed {
                    return;
                }
            }
        });
        Ok(Self { next: first, ready, free })
    }

    fn take(&mut self, extraction: &impl Extraction, device: &Device, rows: Range<usize>) -> Result<Vec<f32>> {
        let mut batches = Vec::new();
        while self.next < rows.end {
            let (items, buffer) = self.ready.recv().context("the thread that decodes images ended")??;
            let pixels = buffer.to_tensor(items * extraction.pixels(), device)?;
            batches.push(extraction.forward(pixels, items)?);
            let _ = self.free.send(buffer); // to nobody after the last batch
            self.next += items;
        }
        ensure!(self.next == rows.end, "features of {rows:?} end within a batch");
        Ok(Tensor::cat(&batches, 0)?.flatten_all()?.to_vec1()?)
    }
}

fn decode(extraction: &impl Extraction, items: Range<usize>, mut buffer: Staging) -> Decoded {
    let count = items.len();
    extraction.decode(items, buffer.numbers()?)?;
    Ok((count, buffer))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Items whose pixels and features are their number.
    struct Numbers {
        decoded: AtomicUsize,
        broken: Option<usize>,
    }

    impl Extraction for Numbers {
        fn items(&self) -> usize {
            22
        }

        fn batch(&self) -> usize {
            4
        }

        fn pixels(&self) -> usize {
            2
        }

        fn decode(&self, items: Range<usize>, pixels: &mut [f32]) -> Result<()> {
            for (item, pixels) in items.zip(pixels.chunks_exact_mut(2)) {
                ensure!(self.broken != Some(item), "image {item} is broken");
                pixels.fill(item as f32);
                self.decoded.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }

        fn forward(&self, pixels: Tensor, items: usize) -> Result<Tensor> {
            Ok(pixels.reshape((items, 2))?.narrow(1, 0, 1)?)
        }
    }

    fn numbers(broken: Option<usize>) -> Numbers {
        Numbers { decoded: AtomicUsize::new(0), broken }
    }

    #[test]
    fn features_come_in_the_order_that_is_asked_for() {
        // With a gap, as after an interrupted extraction.
        for ranges in [vec![0..8, 8..16, 16..22], vec![8..16, 16..22], vec![0..8, 16..22]] {
            let numbers = numbers(None);
            overlapped(&numbers, &Device::Cpu, |extract| {
                for rows in ranges {
                    let expected: Vec<f32> = rows.clone().map(|item| item as f32).collect();
                    assert_eq!(extract(rows).unwrap(), expected);
                }
            });
        }
    }

    #[test]
    fn nothing_is_decoded_that_nobody_asks_for_and_little_ahead() {
        let numbers = numbers(None);
        overlapped(&numbers, &Device::Cpu, |_| ());
        assert_eq!(numbers.decoded.load(Ordering::Relaxed), 0);
        overlapped(&numbers, &Device::Cpu, |extract| extract(0..4).unwrap());
        assert!(numbers.decoded.load(Ordering::Relaxed) <= 4 * (BUFFERS + 1));
    }

    #[test]
    fn an_image_that_cannot_be_decoded_is_named() {
        let numbers = numbers(Some(9));
        overlapped(&numbers, &Device::Cpu, |extract| {
            assert_eq!(extract(0..8).unwrap().len(), 8);
            assert_eq!(extract(8..16).unwrap_err().to_string(), "image 9 is broken");
        });
    }
}
