//! Input pixels that a window covers.

use candle_core::{Result, Tensor, bail};

/// Rows and columns of padding around an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// The same number of pixels on every side.
    Symmetric(usize),
    /// A number of pixels for each side.
    Sides {
        /// Rows above.
        top: usize,
        /// Columns to the left.
        left: usize,
        /// Rows below.
        bottom: usize,
        /// Columns to the right.
        right: usize,
    },
    /// TensorFlow's `SAME`: as much as makes the output `ceil(size / stride)`, the odd pixel below and to the right.
    Same,
}

impl Padding {
    /// No padding.
    pub const NONE: Self = Self::Symmetric(0);

    /// The padding of one axis, before and after; `axis` is 0 for rows, 1 for columns.
    fn along(self, axis: usize, size: usize, kernel: usize, stride: usize) -> (usize, usize) {
        match self {
            Self::Symmetric(n) => (n, n),
            Self::Sides { top, bottom, .. } if axis == 0 => (top, bottom),
            Self::Sides { left, right, .. } => (left, right),
            Self::Same => {
                let covered = size.div_ceil(stride).saturating_sub(1) * stride + kernel;
                let missing = covered.saturating_sub(size);
                (missing / 2, missing - missing / 2)
            }
        }
    }
}

/// Positions of a window over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Pixels between two positions, in both directions.
    pub stride: usize,
    /// Padding around the image.
    pub padding: Padding,
}

impl Window {
    /// A window that visits every pixel, with `padding` pixels on every side.
    pub const fn dense(padding: usize) -> Self {
        Self { stride: 1, padding: Padding::Symmetric(padding) }
    }
}

/// All sizes of one application of a window to a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) images: usize,
    /// Height and width of the input.
    pub(super) input: (usize, usize),
    /// Height and width of the output.
    pub(super) output: (usize, usize),
    pub(super) kernel: (usize, usize),
    pub(super) stride: usize,
    /// Rows of padding above and columns to the left.
    pub(super) before: (usize, usize),
    /// Rows of padding below and columns to the right.
    pub(super) after: (usize, usize),
}

impl Geometry {
    /// Sizes the output; with `ceil`, a window may begin inside the image and end beyond its padding.
    pub(super) fn new(
        (images, h, w): (usize, usize, usize),
        kernel: (usize, usize),
        Window { stride, padding }: Window,
        ceil: bool,
    ) -> Result<Self> {
        if stride == 0 || kernel.0 == 0 || kernel.1 == 0 {
            bail!("a window needs a positive stride and size, got stride {stride} and size {kernel:?}");
        }
        let (top, bottom) = padding.along(0, h, kernel.0, stride);
        let (left, right) = padding.along(1, w, kernel.1, stride);
        let positions = |size: usize, before: usize, after: usize, kernel: usize| {
            let free = (size + before + after).checked_sub(kernel)?;
            let last = if ceil { free.div_ceil(stride) } else { free / stride };
            // As in PyTorch, no window lies wholly in the padding after the image.
            let inside = !ceil || last * stride < size + before;
            Some(if inside { last + 1 } else { last })
        };
        match (positions(h, top, bottom, kernel.0), positions(w, left, right, kernel.1)) {
            (Some(oh), Some(ow)) => Ok(Self {
                images,
                input: (h, w),
                output: (oh, ow),
                kernel,
                stride,
                before: (top, left),
                after: (bottom, right),
            }),
            _ => bail!("a window of {kernel:?} pixels is larger than the image of {h} by {w} with padding {padding:?}"),
        }
    }

    /// Height and width of the input with its padding.
    pub(super) fn padded(&self) -> (usize, usize) {
        (self.before.0 + self.input.0 + self.after.0, self.before.1 + self.input.1 + self.after.1)
    }

    /// Number of taps of a window.
    pub(super) fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// The input of each tap for every output pixel, `(n, h', w', c)`, as views of `x`, which includes the padding.
    pub(super) fn views(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        let (s, (oh, ow), channels) = (self.stride, self.output, x.dim(3)?);
        // In blocks of one stride by one stride, a tap reads the same pixel of neighboring blocks.
        let (rows, cols) = ((self.kernel.0 - 1) / s + oh, (self.kernel.1 - 1) / s + ow);
        let fit = |x: &Tensor, axis: usize, size: usize| {
            // No tap reads the added pixels.
            x.pad_with_zeros(axis, 0, size.saturating_sub(x.dim(axis)?))?.narrow(axis, 0, size)
        };
        let blocks = fit(&fit(x, 1, rows * s)?, 2, cols * s)?;
        let blocks = blocks.contiguous()?.reshape((self.images, rows, s, cols, s, channels))?;
        let view = |tap: usize| {
            let (ky, kx) = (tap / self.kernel.1, tap % self.kernel.1);
            let row = blocks.narrow(1, ky / s, oh)?.narrow(2, ky % s, 1)?;
            row.narrow(3, kx / s, ow)?.narrow(4, kx % s, 1)?.squeeze(4)?.squeeze(2)
        };
        (0..self.taps()).map(view).collect()
    }

    /// Number of output pixels of the batch.
    pub(super) fn output_pixels(&self) -> usize {
        self.images * self.output.0 * self.output.1
    }

    /// Number of input pixels of the batch.
    pub(super) fn input_pixels(&self) -> usize {
        self.images * self.input.0 * self.input.1
    }

    /// The input row (`axis` 0) or column (1) under `tap` of output row or column `at`, unless it is padding.
    #[inline]
    pub(super) fn source(&self, axis: usize, at: usize, tap: usize) -> Option<usize> {
        let (size, before) = ([self.input.0, self.input.1][axis], [self.before.0, self.before.1][axis]);
        (at * self.stride + tap).checked_sub(before).filter(|at| *at < size)
    }

    /// The output row or column whose `tap` lies on input row or column `at`, if there is one: the transpose of
    /// [`Self::source`].
    #[inline]
    pub(super) fn target(&self, axis: usize, at: usize, tap: usize) -> Option<usize> {
        let (size, before) = ([self.output.0, self.output.1][axis], [self.before.0, self.before.1][axis]);
        let at = (at + before).checked_sub(tap)?;
        (at % self.stride == 0 && at / self.stride < size).then_some(at / self.stride)
    }
}
