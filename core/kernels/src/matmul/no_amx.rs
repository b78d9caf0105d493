//! Replacement of the matrix unit for processors without one.

use std::mem::MaybeUninit;

use super::{Finish, Matrix, Windows};

/// A factor for a unit that does not exist; it has no values.
pub(crate) enum Packed {}

/// Returns whether a product is faster on the unit.
pub(crate) fn pays(_: [usize; 3]) -> bool {
    false
}

impl Packed {
    pub(crate) fn new(_: Matrix<'_>) -> Self {
        unreachable!("the processor has no matrix unit")
    }

    pub(crate) unsafe fn product(&self, _: *mut f32, _: Matrix<'_>, _: bool) {
        match *self {}
    }

    pub(crate) fn windows(&self, _: &mut [MaybeUninit<f32>], _: &impl Windows, _: &impl Finish) {
        match *self {}
    }
}
