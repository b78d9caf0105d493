//! Fixed filters for color and edges, averaged over a grid: no network and no weights, for images of about 32 pixels.
//!
//! GIST (Oliva and Torralba, IJCV 2001), on which ITQ and SH were published, and HOG (Dalal and Triggs, CVPR 2005)
//! describe an image by the strength of edges in a few directions within each cell of a grid. Here, edges are
//! derivatives in eight directions of lightness and of two opponent colors; the colors themselves are averaged, too,
//! their positive and negative parts separately. There are no learned or random parameters: features are the same under
//! every seed, and the difference between two methods on them is the methods' own.

use candle_core::{DType, Result, Tensor};
use hashlab_kernels::conv::{Activation, FrozenConv, Padding, Window, adaptive_avg_pool};

use crate::{Encoder, EncoderError, ImageEntry, Place, Preprocess};

/// The encoder's registration.
pub const ENTRY: ImageEntry = ImageEntry {
    name: "filterbank",
    doc: "fixed filters for color and edges, over a 4x4 grid: 480 features",
    needs_weights: false,
    dim: DIM,
    image_size: 32,
    together: 32,
    only_size: None,
    normed: false,
    normalize: NORMALIZE,
    preprocess: Preprocess::SQUEEZED,
    published: None,
    open: |weights, _, place| match weights {
        None => Ok(Box::new(FilterBank::new(place)?)),
        Some(_) => Err(EncoderError::TakesNoWeights(ENTRY.name)),
    },
    train: None,
    cut: None,
};

/// Normalization of colors to the range of the filters.
const NORMALIZE: [[f32; 3]; 2] = [[0.5; 3], [0.25; 3]];

const DIM: usize = GRID * GRID * CHANNELS;
/// Cells along a side: GIST's number.
const GRID: usize = 4;
/// Both signs of each color, and its derivatives.
const CHANNELS: usize = COLORS.len() * (2 + DIRECTIONS.len());
/// Pixels along a filter's side.
const SIDE: usize = 5;

/// Lightness, red against green, and blue against yellow, of red, green and blue.
const COLORS: [[f32; 3]; 3] = [[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0], [1.0, -1.0, 0.0], [-0.5, -0.5, 1.0]];

/// Directions of the derivatives, to the right and down: eighths of a turn, because a rectifier keeps one sign of each.
const DIRECTIONS: [[f32; 2]; 8] = [
    [1.0, 0.0],
    [DIAGONAL, DIAGONAL],
    [0.0, 1.0],
    [-DIAGONAL, DIAGONAL],
    [-1.0, 0.0],
    [-DIAGONAL, -DIAGONAL],
    [0.0, -1.0],
    [DIAGONAL, -DIAGONAL],
];
const DIAGONAL: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// Binomial weights along an axis, close to a Gaussian of one pixel's deviation.
const BINOMIAL: [f32; SIDE] = [1.0, 4.0, 6.0, 4.0, 1.0];

/// The filters.
struct FilterBank(FrozenConv);

impl FilterBank {
    fn new(place: Place<'_>) -> Result<Self> {
        let identity = [0, 0, 1, 0, 0].map(|y| [0, 0, 1, 0, 0].map(|x| (x * y) as f32));
        let negative = identity.map(|row| row.map(|value| -value));
        let taps = [identity, negative].into_iter().chain(DIRECTIONS.map(derivative));
        let filters: Vec<f32> = taps.flat_map(|taps| COLORS.map(|color| filter(color, taps))).flatten().collect();
        let at_place = |x: Tensor| x.to_dtype(place.dtype);
        let weight = Tensor::from_vec(filters, (CHANNELS, 3, SIDE, SIDE), place.device)?;
        let bias = Tensor::zeros(CHANNELS, DType::F32, place.device)?;
        // Without padding: the border of an image must not be an edge.
        let window = Window { stride: 1, padding: Padding::NONE };
        Ok(Self(FrozenConv::dense(&at_place(weight)?, &at_place(bias)?, window, Activation::Relu)?))
    }
}

/// The derivative of a blurred image in a direction, as a filter of length 1.
fn derivative([right, down]: [f32; 2]) -> [[f32; SIDE]; SIDE] {
    let from_center = |at: usize| at as f32 - (SIDE / 2) as f32;
    let mut taps = [[0.0; SIDE]; SIDE];
    for (y, row) in taps.iter_mut().enumerate() {
        for (x, value) in row.iter_mut().enumerate() {
            *value = BINOMIAL[y] * BINOMIAL[x] * (right * from_center(x) + down * from_center(y));
        }
    }
    let length = taps.iter().flatten().map(|value| value * value).sum::<f32>().sqrt();
    taps.map(|row| row.map(|value| value / length))
}

/// The taps on a color, in PyTorch's order: channels, rows, columns.
fn filter(color: [f32; 3], taps: [[f32; SIDE]; SIDE]) -> Vec<f32> {
    color.into_iter().flat_map(|share| taps.into_iter().flatten().map(move |tap| share * tap)).collect()
}

impl Encoder for FilterBank {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn dim(&self) -> usize {
        DIM
    }

    /// Normalization of natural images to mean 0 and about unit variance, as for `convnet`.
    fn normalize(&self) -> [[f32; 3]; 2] {
        NORMALIZE
    }

    fn forward(&self, images: &Tensor) -> Result<Tensor> {
        adaptive_avg_pool(&self.0.forward(images)?, (GRID, GRID))?.flatten_from(1)
    }
}
