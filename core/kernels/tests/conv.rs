//! Convolution and pooling against candle's own operations in f64, values and gradients.

mod common;

use candle_core::{Result, Tensor};
use common::{bits, close, double, draw, variable, with_threads};
use hashlab_kernels::conv::{
    Activation, FrozenConv, Padding, Window, adaptive_avg_pool, conv2d, depthwise_conv2d, global_avg_pool, max_pool2d,
};
use hashlab_kernels::{backward, threads};
use hashlab_rng::stream;

const SKEWED: Padding = Padding::Sides { top: 2, left: 0, bottom: 1, right: 1 };

/// A case: input `(n, h, w, in)`, output channels, kernel, stride, padding.
type Case = ([usize; 4], usize, [usize; 2], usize, Padding);

const CASES: &[Case] = &[
    ([1, 1, 1, 1], 1, [1, 1], 1, Padding::NONE),
    ([1, 5, 7, 3], 24, [3, 3], 1, Padding::Symmetric(1)),
    ([3, 9, 8, 5], 7, [3, 3], 2, Padding::Symmetric(1)),
    ([2, 8, 8, 3], 32, [3, 3], 2, Padding::Same),
    ([2, 7, 6, 17], 40, [1, 1], 1, Padding::NONE),
    ([4, 11, 10, 48], 33, [1, 1], 2, Padding::NONE),
    ([2, 6, 9, 4], 65, [5, 2], 1, SKEWED),
    ([1, 13, 12, 70], 16, [3, 3], 3, SKEWED),
    // Wide enough for a matrix unit; the last needs more than one block of its depth.
    ([2, 10, 13, 64], 64, [1, 1], 1, Padding::NONE),
    ([1, 9, 8, 37], 101, [3, 2], 2, SKEWED),
    ([2, 7, 7, 100], 70, [3, 3], 1, Padding::Symmetric(1)),
];

/// [`common::check`] of an operation without constants.
fn check(op: impl Fn(&[Tensor]) -> Result<Tensor>, inputs: &[(&str, &[usize])]) {
    common::check(op, inputs, &[]);
}

#[test]
fn dense_values_and_gradients_equal_candles() {
    for &(x, out, [kh, kw], stride, padding) in CASES {
        for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
            let window = Window { stride, padding };
            let op = |t: &[Tensor]| conv2d(&t[0], &t[1], &t[2], window, activation);
            check(op, &[("x", &x), ("w", &[out, x[3], kh, kw]), ("b", &[out])]);
        }
    }
}

#[test]
fn depthwise_values_and_gradients_equal_candles() {
    for &(x, _, [kh, kw], stride, padding) in CASES {
        for activation in [Activation::None, Activation::Relu6] {
            let window = Window { stride, padding };
            let op = |t: &[Tensor]| depthwise_conv2d(&t[0], &t[1], &t[2], window, activation);
            check(op, &[("x", &x), ("w", &[x[3], 1, kh, kw]), ("b", &[x[3]])]);
        }
    }
}

#[test]
fn random_shapes_equal_candles() {
    let mut draws = stream(11, "shapes", &[]);
    for case in 0..40 {
        // Every other one wide enough for a matrix unit.
        let wide = if case % 2 == 0 { 1 } else { 3 };
        let mut up_to = |n: usize| 1 + draws.below(n);
        let x = [up_to(3), 4 + up_to(8), 4 + up_to(8), up_to(40 * wide)];
        let (out, kernel, stride) = (up_to(70 * wide), up_to(4), up_to(3));
        let padding =
            Padding::Sides { top: up_to(3) - 1, left: up_to(3) - 1, bottom: up_to(3) - 1, right: up_to(3) - 1 };
        let window = Window { stride, padding };
        let op = |t: &[Tensor]| conv2d(&t[0], &t[1], &t[2], window, Activation::Relu);
        check(op, &[("x", &x), ("w", &[out, x[3], kernel, kernel]), ("b", &[out])]);
        let op = |t: &[Tensor]| depthwise_conv2d(&t[0], &t[1], &t[2], window, Activation::None);
        check(op, &[("x", &x), ("w", &[x[3], 1, kernel, kernel]), ("b", &[x[3]])]);
    }
}

#[test]
fn pooling_equals_candles() {
    for (size, stride, padding, ceil) in [
        (2, 2, Padding::NONE, false),
        (3, 2, Padding::NONE, true),
        (3, 2, Padding::Symmetric(1), false),
        (3, 2, Padding::Symmetric(1), true),
        (3, 1, Padding::Same, false),
    ] {
        for shape in [[1, 6, 7, 3], [3, 8, 5, 20]] {
            let window = Window { stride, padding };
            check(|t| max_pool2d(&t[0], size, window, ceil), &[("x", &shape)]);
        }
    }
    check(|t| global_avg_pool(&t[0]), &[("x", &[3, 4, 5, 19])]);
}

/// An image has the same means alone and in a batch, to the last bit.
#[test]
fn means_of_cells_do_not_depend_on_the_batch() {
    for (channels, side, cells) in [(3, 32, 8), (16, 30, 7), (1, 60, 4), (30, 9, 4), (256, 13, 6)] {
        let x = draw("x", &[5, side, side, channels]);
        let all = adaptive_avg_pool(&x, (cells, cells)).unwrap();
        for image in 0..5 {
            let alone = adaptive_avg_pool(&x.narrow(0, image, 1).unwrap(), (cells, cells)).unwrap();
            assert_eq!(bits(&alone), bits(&all.narrow(0, image, 1).unwrap()), "{channels} channels, {side} to {cells}");
        }
    }
}

/// The sizes are PyTorch's: `torch.nn.MaxPool2d(3, 2, ceil_mode=True)` maps 63 to 31, 64 to 32 and, padded by 1, 4 to
/// 3.
#[test]
fn ceil_mode_sizes_equal_pytorchs() {
    for (size, padding, expected) in [(63, 0, 31), (64, 0, 32), (4, 1, 3), (5, 1, 3)] {
        let window = Window { stride: 2, padding: Padding::Symmetric(padding) };
        let y = max_pool2d(&draw("x", &[1, size, size, 2]), 3, window, true).unwrap();
        assert_eq!(y.dims(), [1, expected, expected, 2]);
    }
}

/// The sizes and offsets are TensorFlow's for a 3×3 window of stride 2: an even size is padded after, an odd one
/// around.
#[test]
fn same_padding_depends_on_the_parity_of_the_size() {
    let (w, b) = (draw("w", &[3, 2, 3, 3]), draw("b", &[3]));
    let conv = |size: usize, padding: Padding| {
        let x = draw("x", &[1, size, size, 2]);
        conv2d(&x, &w, &b, Window { stride: 2, padding }, Activation::None).unwrap()
    };
    let after = Padding::Sides { top: 0, left: 0, bottom: 1, right: 1 };
    assert_eq!(bits(&conv(8, Padding::Same)), bits(&conv(8, after)));
    assert_eq!(bits(&conv(7, Padding::Same)), bits(&conv(7, Padding::Symmetric(1))));
}

#[test]
fn all_negative_values_survive_padded_pooling() {
    let x = draw("x", &[1, 4, 4, 2]).abs().unwrap().neg().unwrap();
    let y = max_pool2d(&x, 3, Window { stride: 2, padding: Padding::Symmetric(1) }, false).unwrap();
    assert!(common::values(&y).into_iter().all(|v| v < 0.0));
}

#[test]
fn tied_maxima_pass_their_gradient_on_once() {
    let x = candle_core::Var::ones((1, 4, 4, 1), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    let window = Window { stride: 2, padding: Padding::NONE };
    let y = max_pool2d(&x, 2, window, false).unwrap();
    let grads = backward(&y.sum_all().unwrap()).unwrap();
    let expected = [1., 0., 1., 0., 0., 0., 0., 0., 1., 0., 1., 0., 0., 0., 0., 0.];
    assert_eq!(common::values(grads.get(&x).unwrap()), expected);
}

#[test]
fn a_frozen_convolution_equals_a_trainable_one_and_keeps_no_graph() {
    for &(x, out, [kh, kw], stride, padding) in CASES {
        let window = Window { stride, padding };
        let x = variable("x", &x);
        let channels = x.dim(3).unwrap();
        let (w, b) = (draw("w", &[out, channels, kh, kw]), draw("b", &[out]));
        let y = FrozenConv::dense(&w, &b, window, Activation::Relu6).unwrap().forward(&x).unwrap();
        assert_eq!(bits(&y), bits(&conv2d(&x, &w, &b, window, Activation::Relu6).unwrap()));
        let (w, b) = (draw("w", &[channels, 1, kh, kw]), draw("b", &[channels]));
        let z = FrozenConv::depthwise(&w, &b, window, Activation::Relu).unwrap().forward(&x).unwrap();
        assert_eq!(bits(&z), bits(&depthwise_conv2d(&x, &w, &b, window, Activation::Relu).unwrap()));
        assert!(!y.track_op() && !z.track_op());
    }
}

/// Shapes with whole vectors of channels, for which a frozen convolution of 3×3 pixels computes tiles.
const TILED: &[([usize; 4], usize, Padding)] = &[
    ([2, 7, 9, 32], 48, Padding::Symmetric(1)),
    ([1, 1, 1, 32], 32, Padding::Symmetric(1)),
    ([3, 6, 5, 48], 32, SKEWED),
    ([1, 4, 5, 64], 32, Padding::NONE),
    ([2, 3, 40, 32], 32, Padding::Same),
];

#[test]
fn a_frozen_convolution_by_tiles_equals_sums_over_windows() {
    for &(x, out, padding) in TILED {
        let window = Window { stride: 1, padding };
        let (x, w, b) = (draw("x", &x), draw("w", &[out, x[3], 3, 3]), draw("b", &[out]));
        let tiled = FrozenConv::dense(&w, &b, window, Activation::Relu).unwrap();
        let y = tiled.forward(&x).unwrap();
        let residual = draw("residual", y.dims());
        let [dx, dw, db, dresidual] = [&x, &w, &b, &residual].map(|t| double(t).as_tensor().clone());
        let sums = FrozenConv::dense(&dw, &db, window, Activation::Relu).unwrap();
        close(&y, &sums.forward(&dx).unwrap(), 1e-5);
        let added = tiled.forward_add(&x, &residual).unwrap();
        close(&added, &sums.forward_add(&dx, &dresidual).unwrap(), 1e-5);
    }
}

#[test]
fn neither_threads_nor_the_batch_change_a_bit_of_tiles() {
    let (x, w, b) = (draw("x", &[6, 19, 18, 32]), draw("w", &[48, 32, 3, 3]), draw("b", &[48]));
    let conv = FrozenConv::dense(&w, &b, Window::dense(1), Activation::Relu).unwrap();
    let of = |x: &Tensor| bits(&conv.forward(x).unwrap());
    let all = with_threads(1, || of(&x));
    assert!(all == with_threads(3, || of(&x)));
    assert!(all == with_threads(3, || threads::serial(|| of(&x))));
    let alone = of(&x.narrow(0, 4, 1).unwrap());
    assert_eq!(alone, all[4 * alone.len()..][..alone.len()]);
}

#[test]
fn a_residual_is_added_before_the_activation() {
    for &(x, out, [kh, kw], stride, padding) in CASES {
        let window = Window { stride, padding };
        let (x, w, b) = (draw("x", &x), draw("w", &[out, x[3], kh, kw]), draw("b", &[out]));
        let sum = conv2d(&x, &w, &b, window, Activation::None).unwrap();
        let residual = variable("residual", sum.dims());
        let y = FrozenConv::dense(&w, &b, window, Activation::Relu).unwrap().forward_add(&x, &residual).unwrap();
        close(&y, &(&sum + residual.as_tensor()).unwrap().relu().unwrap(), 1e-6);
        assert!(!y.track_op());
        let [x, w, b] = [&x, &w, &b].map(|t| double(t).as_tensor().clone());
        let plain = FrozenConv::dense(&w, &b, window, Activation::Relu).unwrap();
        close(&y, &plain.forward_add(&x, &double(&residual)).unwrap(), 1e-5);
    }
}

#[test]
fn a_residual_of_another_shape_is_an_error() {
    let (x, w, b) = (draw("x", &[2, 4, 4, 3]), draw("w", &[8, 3, 3, 3]), draw("b", &[8]));
    let conv = FrozenConv::dense(&w, &b, Window::dense(1), Activation::Relu).unwrap();
    let message = conv.forward_add(&x, &draw("r", &[1, 4, 4, 8])).unwrap_err().to_string();
    assert!(message.contains("[1, 4, 4, 8]") && message.contains("[2, 4, 4, 8]"), "{message}");
    let filter = FrozenConv::depthwise(&draw("v", &[3, 1, 3, 3]), &draw("c", &[3]), Window::dense(1), Activation::None);
    assert!(filter.unwrap().forward_add(&x, &x).unwrap_err().to_string().contains("depthwise"));
}

#[test]
fn adaptive_pooling_takes_means_over_pytorchs_cells() {
    let x = draw("x", &[2, 5, 3, 4]);
    let y = adaptive_avg_pool(&x, (2, 4)).unwrap();
    assert_eq!(y.dims(), [2, 2, 4, 4]);
    // The cells of 5 rows in 2 and of 3 columns in 4, by torch.nn.AdaptiveAvgPool2d's rule.
    for (row, rows) in [(0, 0..3), (1, 2..5)] {
        for (col, cols) in [(0, 0..1), (1, 0..2), (2, 1..3), (3, 2..3)] {
            let cell = x.narrow(1, rows.start, rows.len()).unwrap().narrow(2, cols.start, cols.len()).unwrap();
            let found = y.narrow(1, row, 1).unwrap().narrow(2, col, 1).unwrap().reshape((2, 4)).unwrap();
            close(&found, &cell.mean((1, 2)).unwrap(), 1e-6);
        }
    }
    check(|t| adaptive_avg_pool(&t[0], (2, 4)), &[("x", &[2, 5, 3, 4])]);
    assert_eq!(bits(&adaptive_avg_pool(&x, (5, 3)).unwrap()), bits(&x));
    assert!(adaptive_avg_pool(&draw("none", &[2, 0, 3, 4]), (2, 2)).is_err());
}

#[test]
fn a_constant_image_gets_no_gradient() {
    let (x, w, b) = (draw("x", &[2, 6, 6, 3]), variable("w", &[8, 3, 3, 3]), variable("b", &[8]));
    let y = conv2d(&x, &w, &b, Window::dense(1), Activation::Relu).unwrap();
    let grads = backward(&y.sum_all().unwrap()).unwrap();
    assert!(grads.get(&x).is_none() && grads.get(&w).is_some() && grads.get(&b).is_some());
}

#[test]
fn a_filter_used_on_two_views_sums_its_gradients() {
    let (x, w, b) = (draw("x", &[4, 6, 5, 3]), variable("w", &[8, 3, 3, 3]), variable("b", &[8]));
    let conv = |x: &Tensor| conv2d(x, &w, &b, Window::dense(1), Activation::Relu).unwrap().sqr().unwrap().sum_all();
    let views = (conv(&x.narrow(0, 0, 1).unwrap()).unwrap() + conv(&x.narrow(0, 1, 3).unwrap()).unwrap()).unwrap();
    let (split, whole) = (backward(&views).unwrap(), backward(&conv(&x).unwrap()).unwrap());
    close(split.get(&w).unwrap(), whole.get(&w).unwrap(), 1e-5);
    close(split.get(&b).unwrap(), whole.get(&b).unwrap(), 1e-5);
}

#[test]
fn neither_threads_nor_the_batch_change_a_bit() {
    for (channels, out) in [(20, 40), (33, 70)] {
        neither_threads_nor_the_batch(channels, out);
    }
}

fn neither_threads_nor_the_batch(channels: usize, out: usize) {
    let (x, w) = (variable("x", &[6, 19, 18, channels]), variable("w", &[out, channels, 3, 3]));
    let (b, dw, db) = (variable("b", &[out]), variable("dw", &[out, 1, 3, 3]), variable("db", &[out]));
    let window = Window { stride: 2, padding: Padding::Symmetric(1) };
    let forward = |x: &Tensor| {
        let y = conv2d(x, &w, &b, Window::dense(1), Activation::Relu)?;
        max_pool2d(&depthwise_conv2d(&y, &dw, &db, window, Activation::Relu6)?, 3, window, true)
    };
    let run = || {
        let y = forward(&x).unwrap();
        let grads = backward(&y.sqr().unwrap().sum_all().unwrap()).unwrap();
        let gradients = [&x, &w, &b, &dw, &db].map(|var| bits(grads.get(var).unwrap()));
        (bits(&y), gradients)
    };
    let one = with_threads(1, run);
    assert!(one == with_threads(3, run));
    assert!(one == with_threads(3, || threads::serial(run)));
    let alone = forward(&x.narrow(0, 4, 1).unwrap()).unwrap();
    assert_eq!(bits(&alone), bits(&forward(&x).unwrap().narrow(0, 4, 1).unwrap().contiguous().unwrap()));
}

#[test]
fn wrong_shapes_are_errors() {
    let (x, w, b) = (draw("x", &[1, 4, 4, 3]), draw("w", &[8, 3, 3, 3]), draw("b", &[8]));
    let conv = |x: &Tensor, w: &Tensor, b: &Tensor| {
        conv2d(x, w, b, Window::dense(0), Activation::None).map(|_| ()).map_err(|e| e.to_string())
    };
    assert!(conv(&x, &w, &b).is_ok());
    assert!(conv(&x, &w, &draw("b", &[7])).unwrap_err().contains("[7]"));
    assert!(conv(&x, &draw("w", &[8, 4, 3, 3]), &b).unwrap_err().contains("[8, 4, 3, 3]"));
    assert!(conv(&x, &draw("w", &[8, 3, 5, 5]), &b).unwrap_err().contains("larger"));
    assert!(max_pool2d(&x, 5, Window::dense(0), false).is_err());
    assert!(max_pool2d(&x, 2, Window::dense(2), false).is_err());
    let none = draw("none", &[2, 0, 4, 3]);
    assert!(max_pool2d(&none, 2, Window::dense(0), false).is_err() && global_avg_pool(&none).is_err());
    assert!(conv(&x, &draw("w", &[0, 3, 3, 3]), &draw("b", &[0])).is_err());
    assert!(conv(&draw("x", &[0, 4, 4, 3]), &w, &b).is_ok());
}
