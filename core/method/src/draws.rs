//! A record of the random draws of a step's loss (masks of dropout, noise, thresholds), so that another implementation
//! can repeat the step.
//!
//! The record belongs to the thread that computes the loss: draws happen deep inside of layers, and none of these needs
//! to know whether somebody records them.

use std::cell::RefCell;

use candle_core::Tensor;

thread_local! {
    static RECORD: RefCell<Option<Vec<Tensor>>> = const { RefCell::new(None) };
}

/// Starts a record of this thread's draws, in place of one under way.
pub fn record() {
    RECORD.set(Some(Vec::new()));
}

/// Adds a draw to this thread's record, if one is under way. [`dropout`](crate::nn::dropout) does that itself.
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
        let mut rng = hashlab_rng::stream(0, "draws-test", &[]);
        let mut dropped = |columns: usize| dropout(&ones(columns), 0.5, &mut rng).unwrap();
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
}
