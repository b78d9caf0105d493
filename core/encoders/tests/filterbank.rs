//! The fixed filters.

use candle_core::{DType, Tensor};
use hashlab_encoders::find_image;
use hashlab_kernels::device;

const SIDE: usize = 32;
const CELLS: usize = 16;
const CHANNELS: usize = 30;

/// Features of an image by channel, averaged over the cells, which make 16 equal parts of it.
fn channels(pixel: impl Fn(usize, usize) -> [f32; 3]) -> Vec<f32> {
    let pixels: Vec<f32> = (0..SIDE * SIDE).flat_map(|at| pixel(at % SIDE, at / SIDE)).collect();
    let images = Tensor::from_vec(pixels, (1, SIDE, SIDE, 3), device::for_tests()).unwrap();
    let network = (find_image("filterbank").unwrap().open)(None, 0, device::for_tests().into()).unwrap();
    let features = network.forward(&images).unwrap().reshape((CELLS, CHANNELS)).unwrap();
    features.mean(0).unwrap().to_vec1().unwrap()
}

/// The derivatives of lightness in the eight directions, from the right clockwise.
fn edges(channels: &[f32]) -> Vec<f32> {
    (0..8).map(|direction| channels[6 + 3 * direction]).collect()
}

#[test]
fn a_plain_image_has_a_color_and_no_edge() {
    let features = channels(|_, _| [1.0, -0.5, 0.4]);
    let expected = [0.3, 1.5, 0.15, 0.0, 0.0, 0.0]; // lightness, red over green, blue over yellow; and their opposites
    for (got, expected) in features[..6].iter().zip(expected) {
        assert!((got - expected).abs() < 1e-5, "{features:?}");
    }
    assert!(features[6..].iter().all(|edge| edge.abs() < 1e-5), "{features:?}");
    let opposite = channels(|_, _| [-1.0, 0.5, -0.4]);
    assert!((0..3).all(|color| (opposite[3 + color] - features[color]).abs() < 1e-5));
}

#[test]
fn a_slope_shows_in_its_own_direction_and_beside_it() {
    let right = edges(&channels(|x, _| [x as f32; 3]));
    assert!(right[0] > 0.0 && right[2..7].iter().all(|edge| edge.abs() < 1e-3), "{right:?}");
    assert!((right[1] / right[0] - 0.5f32.sqrt()).abs() < 1e-4 && (right[1] - right[7]).abs() < 1e-3, "{right:?}");
    // A quarter of a turn is two directions further.
    let down = edges(&channels(|_, y| [y as f32; 3]));
    assert!((0..8).all(|at| (down[(at + 2) % 8] - right[at]).abs() < 1e-3), "{down:?}");
}

#[test]
fn what_is_in_a_corner_shows_in_its_cell() {
    let pixels: Vec<f32> = (0..SIDE * SIDE * 3).map(|at| f32::from(u8::from(at == 0))).collect();
    let images = Tensor::from_vec(pixels, (1, SIDE, SIDE, 3), device::for_tests()).unwrap();
    let network = (find_image("filterbank").unwrap().open)(None, 0, device::for_tests().into()).unwrap();
    let features = network.forward(&images).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(features[..CHANNELS].iter().any(|value| *value > 0.0));
    assert!(features[CHANNELS..].iter().all(|value| *value == 0.0));
}

#[test]
fn a_weights_file_is_needless_and_the_entry_is_true() {
    let entry = find_image("filterbank").unwrap();
    let network = (entry.open)(None, 0, device::for_tests().into()).unwrap();
    assert_eq!((network.name(), network.dim()), (entry.name, entry.dim));
    let images = |side| Tensor::ones((2, side, side, 3), DType::F32, device::for_tests()).unwrap();
    for side in [8, 32, 45] {
        assert_eq!(network.forward(&images(side)).unwrap().dims(), [2, entry.dim]);
    }
    assert!(network.forward(&images(4)).is_err(), "a filter is larger than 4 pixels");
}
