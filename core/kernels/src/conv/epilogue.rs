//! Epilogue of a dense convolution, after its product.

use std::ops::Range;

/// Operations on a sum before it is stored.
#[derive(Clone, Copy)]
pub(super) struct Epilogue<'a> {
    /// Added element by element; of the output's shape.
    pub(super) residual: Option<&'a [f32]>,
    /// The interval that the result is clamped to.
    pub(super) limits: (f32, f32),
}

impl Epilogue<'_> {
    /// The part of the epilogue that belongs to elements `range` of the output.
    pub(super) fn narrow(self, range: Range<usize>) -> Self {
        Self { residual: self.residual.map(|r| &r[range]), ..self }
    }
}
