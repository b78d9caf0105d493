//! Random draws of a step's loss (masks of dropout, noise, thresholds), and a record of them, so that another
//! implementation can repeat the step.
//!
//! The record belongs to the thread that computes the loss: draws happen deep inside of layers, and none of these needs
//! to know whether somebody records them.

use std::cell::RefCell;

use candle_core::{Device, Result, Shape, Tensor, bail};
use hashlab_rng::Stream;

/// Random draws of a step for one purpose: a stream, or one for each of the stacked runs, so that each run draws what
/// it draws alone.
pub struct Draws(Vec<Stream>);

impl Draws {
    /// Draws from a stream per run.
    pub fn new(streams: Vec<Stream>) -> Self {
        Self(streams)
    }

    /// A tensor of f32 whose elements are `draw`n in their order. Of several runs, `shape` has a first axis of runs, as
    /// the tensors of a step have, or [`BuildContext::stacked`](crate::BuildContext::stacked) gives it.
    ///
    /// # Errors
    /// If the first axis has another length than the number of runs, or the device is out of memory.
    pub fn tensor(
        &mut self,
        shape: impl Into<Shape>,
        device: &Device,
        mut draw: impl FnMut(&mut Stream) -> f32,
    ) -> Result<Tensor> {
        let (shape, runs) = (shape.into(), self.0.len());
        if runs != 1 && shape.dims().first() != Some(&runs) {
            bail!("draws of {runs} runs for a tensor of shape {shape:?}");
        }
        let of_run = shape.elem_count() / runs;
        let mut values = Vec::with_capacity(shape.elem_count());
        for stream in &mut self.0 {
            values.extend((0..of_run).map(|_| draw(stream)));
        }
        let drawn = Tensor::from_vec(values, shape, device)?;
        note(&drawn);
        Ok(drawn)
    }
}

impl From<Stream> for Draws {
    fn from(stream: Stream) -> Self {
        Self(vec![stream])
    }
}

thread_local! {
    static RECORD: RefCell<Option<Vec<Tensor>>> = const { RefCell::new(None) };
}

/// Starts a record of this thread's draws, in place of one under way.
pub fn record() {
    RECORD.set(Some(Vec::new()));
}

/// Adds a draw to this thread's record, if one is under way. [`Draws`] do that themselves.
pub fn note(draw: &Tensor) {
    RECORD.with_borrow_mut(|record| record.iter_mut().for_each(|draws| draws.push(draw.clone())));
}

/// Ends this thread's record; returns its draws, in the order in which they were made.
pub fn take() -> Vec<Tensor> {
    RECORD.take().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::nn::dropout;

    #[test]
    fn the_record_holds_the_masks_of_dropout_in_their_order() {
        let ones = |columns: usize| Tensor::ones((50, columns), DType::F32, &Device::Cpu).unwrap();
        let mut draws = Draws::from(hashlab_rng::stream(0, "draws-test", &[]));
        let mut dropped = |columns: usize| dropout(&ones(columns), 0.5, &mut draws).unwrap();
        dropped(1);
        assert!(take().is_empty(), "nothing is recorded unasked");
        record();
        let expected = [dropped(3), dropped(2)];
        let found = take();
        dropped(1);
        assert!(take().is_empty(), "a record ends when it is taken");
        let values = |tensors: &[Tensor]| -> Vec<Vec<Vec<f32>>> {
            tensors.iter().map(|tensor| tensor.to_vec2().unwrap()).collect()
        };
        assert_eq!(values(&found), values(&expected));
    }

    #[test]
    fn each_stacked_run_draws_what_it_draws_alone() {
        let streams = || [4, 9].map(|seed| hashlab_rng::stream(seed, "draws-test", &[]));
        let tensor = |draws: &mut Draws, shape: &[usize]| {
            draws.tensor(shape, &Device::Cpu, |rng| rng.uniform() as f32).map(|x| x.flatten_all().unwrap())
        };
        let mut stacked = Draws::new(streams().into());
        let found: Vec<Vec<f32>> =
            (0..2).map(|_| tensor(&mut stacked, &[2, 3, 5]).unwrap().to_vec1().unwrap()).collect();
        for (run, stream) in streams().into_iter().enumerate() {
            let mut alone = Draws::from(stream);
            for found in &found {
                let expected: Vec<f32> = tensor(&mut alone, &[3, 5]).unwrap().to_vec1().unwrap();
                assert_eq!(found[run * 15..(run + 1) * 15], expected);
            }
        }
        assert!(tensor(&mut stacked, &[3, 5]).is_err(), "no axis of runs");
    }
}
