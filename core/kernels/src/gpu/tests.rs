//! Every kernel on the emulated GPU, over random shapes, beside the formulation in candle's own operations.
//!
//! Results go to memory that held NaN, so that an element that was not written is found.

use candle_core::{D, DType, Device, Tensor, Var};
use half::bf16;
use hashlab_rng::{Stream, stream};

use super::host::run;
use super::launch::{self, Address, Element, Factors, Heads, Launch, Parameter, Window};
use crate::activation::Activation;
use crate::conv::{self, Moments, Padding};
use crate::optim::{Adam, RmsProp, Sgd, adam_steps, rmsprop_step, sgd_step};
use crate::transformer::{Gelu, gelu};

/// Shapes per kernel.
pub(super) const ROUNDS: u64 = 12;

/// Elements on the emulated GPU: whole packs of 16 bytes, at an address that one can begin at.
pub(super) struct Buffer {
    element: Element,
    words: Vec<u128>,
    len: usize,
}

impl Buffer {
    pub(super) fn of(element: Element, values: &[f32]) -> Self {
        let mut buffer =
            Self { element, words: vec![0; (values.len() * element.bytes()).div_ceil(16)], len: values.len() };
        for (i, value) in values.iter().enumerate() {
            // SAFETY: there is room for `len` elements.
            unsafe {
                match element {
                    Element::F32 => buffer.words.as_mut_ptr().cast::<f32>().add(i).write(*value),
                    Element::Bf16 => buffer.words.as_mut_ptr().cast::<bf16>().add(i).write(bf16::from_f32(*value)),
                }
            }
        }
        buffer
    }

    pub(super) fn f32(tensor: &Tensor) -> Self {
        Self::of(Element::F32, &values(tensor))
    }

    /// Memory to be written.
    pub(super) fn unset(element: Element, len: usize) -> Self {
        Self::of(element, &vec![f32::NAN; len])
    }

    pub(super) fn at(&mut self) -> Address {
        self.words.as_mut_ptr() as Address
    }

    pub(super) fn read(&self) -> Vec<f32> {
        let element = |i: usize| {
            // SAFETY: `i` is less than `len`.
            unsafe {
                match self.element {
                    Element::F32 => self.words.as_ptr().cast::<f32>().add(i).read(),
                    Element::Bf16 => self.words.as_ptr().cast::<bf16>().add(i).read().to_f32(),
                }
            }
        };
        (0..self.len).map(element).collect()
    }
}

fn launch(launch: &Launch) {
    // SAFETY: every test passes buffers of the sizes that it passes.
    unsafe { run(launch) };
}

pub(super) fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Compares elements, each relative to the largest of the expected ones or to 1.
pub(super) fn close(found: &[f32], expected: &Tensor, tolerance: f32) {
    let expected = values(expected);
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1f32, |largest, x| largest.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() <= tolerance * scale, "element {i}: {found} against {expected}");
    }
}

/// Tolerance of bf16, which has 8 bits, and of f32 after many sums.
pub(super) fn tolerance(element: Element) -> f32 {
    match element {
        Element::F32 => 1e-5,
        Element::Bf16 => 8e-3,
    }
}

/// Draws shapes and numbers.
pub(super) struct Draw(Stream);

impl Draw {
    pub(super) fn new(name: &str, round: u64) -> Self {
        Self(stream(11, name, &[round]))
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.0.uniform() * end as f64) as usize
    }

    pub(super) fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last + 1 - first)
    }

    /// Normal numbers that both types hold exactly.
    pub(super) fn normal(&mut self, shape: &[usize]) -> Tensor {
        let draw = |_| bf16::from_f64(self.0.normal()).to_f32();
        let values: Vec<f32> = (0..shape.iter().product()).map(draw).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    pub(super) fn element(&mut self) -> Element {
        [Element::F32, Element::Bf16][self.below(2)]
    }
}

/// Runs a test over shapes.
pub(super) fn rounds(name: &str, test: impl Fn(&mut Draw)) {
    for round in 0..ROUNDS {
        test(&mut Draw::new(name, round));
    }
}

pub(super) fn buffer(element: Element, tensor: &Tensor) -> Buffer {
    Buffer::of(element, &values(tensor))
}

/// A step of an optimizer on several parameters, whose parts have `rules` of their own: the kernel's, and that of the
/// processor for each.
fn steps_agree(name: &str, rules: &[Factors], step: impl Fn(&Var, &Tensor, &mut Tensor, &mut Tensor), tensors: usize) {
    let mut draw = Draw::new(name, tensors as u64);
    let parts = rules.len();
    let lens: Vec<[usize; 2]> =
        (0..tensors).map(|_| [parts, [1, draw.between(2, 300), draw.between(4000, 9000)][draw.below(3)]]).collect();
    let inputs: Vec<[Tensor; 4]> = lens
        .iter()
        .map(|len| {
            let positive = |x: Tensor| x.sqr().unwrap();
            let first = if name == "rmsprop" { positive(draw.normal(len)) } else { draw.normal(len) };
            [draw.normal(len), draw.normal(len), first, positive(draw.normal(len))]
        })
        .collect();
    let mut buffers: Vec<[Buffer; 4]> = inputs.iter().map(|of| of.each_ref().map(Buffer::f32)).collect();
    let parameters: Vec<Parameter> = buffers
        .iter_mut()
        .zip(&lens)
        .flat_map(|(of, [parts, len])| launch::parts(of.each_mut().map(Buffer::at), parts * len, rules))
        .collect();
    launch::optimize(name, &parameters).iter().for_each(launch);
    for (found, [p, g, s, t]) in buffers.iter().zip(&inputs) {
        let (var, mut s, mut t) = (Var::from_tensor(p).unwrap(), s.copy().unwrap(), t.copy().unwrap());
        step(&var, g, &mut s, &mut t);
        for (buffer, expected) in found.iter().zip([var.as_tensor(), g, &s, &t]) {
            close(&buffer.read(), expected, 2e-6);
        }
    }
}

#[test]
fn optimizers_step_as_on_the_processor() {
    // One parameter, several, and more than a launch takes; one rule for all, and one for each of three parts.
    for (tensors, rates) in [(1, 1), (5, 1), (30, 1), (1, 3), (11, 3)] {
        let rates = &[0.01, 0.2, 0.003][..rates];
        for decoupled in [false, true] {
            let rule = |lr: &f64| Adam { lr: *lr, weight_decay: 0.1, decoupled, ..Adam::default() };
            let rules: Vec<Adam> = rates.iter().map(rule).collect();
            let step = |p: &Var, g: &Tensor, m: &mut Tensor, v: &mut Tensor| {
                adam_steps(&mut [(p, g, m, v)], 3, &rules).unwrap();
            };
            steps_agree("adam", &rules.iter().map(|rule| rule.factors(3)).collect::<Vec<_>>(), step, tensors);
        }
        let rule = |lr: &f64| RmsProp { lr: *lr, alpha: 0.9, eps: 1e-8, momentum: 0.5, weight_decay: 0.1 };
        let rules: Vec<RmsProp> = rates.iter().map(rule).collect();
        let step = |p: &Var, g: &Tensor, s: &mut Tensor, v: &mut Tensor| rmsprop_step(p, g, s, v, &rules).unwrap();
        steps_agree("rmsprop", &rules.iter().map(RmsProp::factors).collect::<Vec<_>>(), step, tensors);
        for nesterov in [false, true] {
            let rule = |lr: &f64| Sgd { lr: *lr, momentum: 0.9, nesterov, weight_decay: 0.1 };
            let rules: Vec<Sgd> = rates.iter().map(rule).collect();
            let step = |p: &Var, g: &Tensor, v: &mut Tensor, _: &mut Tensor| sgd_step(p, g, v, &rules).unwrap();
            steps_agree("sgd", &rules.iter().map(Sgd::factors).collect::<Vec<_>>(), step, tensors);
        }
    }
}

#[test]
fn layer_norm_normalizes_rows() {
    rounds("layer-norm", |draw| {
        let (e, rows) = (draw.element(), draw.between(1, 20));
        // Lengths that packs divide, others, and one that does not fit into registers.
        let len = [8 * draw.between(1, 128), draw.between(1, 900), 1024 + 8 * draw.between(1, 9)][draw.below(3)];
        let (x, w, b) = (draw.normal(&[rows, len]), draw.normal(&[len]), draw.normal(&[len]));
        let x = x.affine(3.0, 1.0).unwrap().to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap();
        let (mut bx, mut bw, mut bb) = (buffer(e, &x), buffer(e, &w), buffer(e, &b));
        let mut y = Buffer::unset(e, rows * len);
        launch(&launch::layer_norm(e, [bx.at(), bw.at(), bb.at(), y.at()], [rows, len], 1e-5));
        close(&y.read(), &crate::transformer::layer_norm(&x, [&w, &b], 1e-5).unwrap(), tolerance(e));
    });
}

#[test]
fn softmax_takes_shares_of_rows() {
    rounds("softmax", |draw| {
        let (e, rows) = (draw.element(), draw.between(1, 20));
        let len = [draw.between(1, 64), draw.between(65, 256), draw.between(257, 1024), draw.between(1025, 1500)]
            [draw.below(4)];
        let x = draw.normal(&[rows, len]);
        let stride = len + draw.below(9);
        let padded = x.pad_with_zeros(1, 0, stride - len).unwrap();
        let mut y = buffer(e, &padded.affine(1.0, 0.0).unwrap());
        launch(&launch::softmax(e, y.at(), [rows, len, stride], 0.7));
        let exponentials = (x * 0.7).unwrap().exp().unwrap();
        let sums = exponentials.sum_keepdim(D::Minus1).unwrap();
        let shares = exponentials.broadcast_div(&sums).unwrap();
        close(&y.read(), &shares.pad_with_zeros(1, 0, stride - len).unwrap(), tolerance(e));
    });
}

#[test]
fn gelus_of_sums_with_a_bias() {
    rounds("gelu", |draw| {
        let (e, rows) = (draw.element(), draw.between(1, 60));
        let cols = [8 * draw.between(1, 20), draw.between(1, 100)][draw.below(2)];
        let (x, bias) = ((draw.normal(&[rows, cols]) * 2.0).unwrap(), draw.normal(&[cols]));
        for form in [Gelu::Exact, Gelu::Tanh, Gelu::Quick] {
            for biased in [false, true] {
                let (mut bx, mut bb, mut y) = (buffer(e, &x), buffer(e, &bias), Buffer::unset(e, rows * cols));
                let addresses = [bx.at(), y.at(), if biased { bb.at() } else { 0 }];
                launch(&launch::gelu(e, addresses, [rows, cols], form));
                let sum = if biased { x.broadcast_add(&bias).unwrap() } else { x.clone() };
                close(&y.read(), &gelu(&sum, form).unwrap(), tolerance(e));
            }
        }
    });
}

#[test]
fn layers_finish_with_bias_residual_and_activation() {
    rounds("finish", |draw| {
        let (e, rows, cols) =
            (draw.element(), draw.between(1, 40), [8 * draw.between(1, 20), draw.between(1, 100)][draw.below(2)]);
        let (x, b, r) = (draw.normal(&[rows, cols]), draw.normal(&[cols]), draw.normal(&[rows, cols]));
        for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
            for (biased, added) in [(true, true), (true, false), (false, false)] {
                let (mut y, mut bias, mut residual) = (buffer(e, &x), buffer(e, &b), buffer(e, &r));
                let addresses = [y.at(), if biased { bias.at() } else { 0 }, if added { residual.at() } else { 0 }];
                launch(&launch::finish(e, addresses, [rows, cols], activation.limits()));
                let sum = if biased { x.broadcast_add(&b).unwrap() } else { x.clone() };
                let sum = if added { (sum + &r).unwrap() } else { sum };
                close(&y.read(), &activation.plain(sum).unwrap(), tolerance(e));
            }
            let (mut bx, mut br, mut y) = (buffer(e, &x), buffer(e, &r), Buffer::unset(e, rows * cols));
            launch(&launch::add(e, [bx.at(), br.at(), y.at()], [rows, cols], activation.limits()));
            close(&y.read(), &conv::add(&x, &r, activation).unwrap(), tolerance(e));
        }
    });
}

#[test]
fn a_nan_stays_one() {
    let (mut y, mut bias) = (Buffer::of(Element::F32, &[f32::NAN, 1.0]), Buffer::of(Element::F32, &[0.0, 0.0]));
    launch(&launch::finish(Element::F32, [y.at(), bias.at(), 0], [1, 2], Activation::Relu6.limits()));
    assert!(y.read()[0].is_nan() && y.read()[1] == 1.0);
}

#[test]
fn norms_of_constant_moments_and_the_gradients_before_them() {
    rounds("norm", |draw| {
        let (e, rows) = (draw.element(), draw.between(1, 40));
        let cols = [8 * draw.between(1, 20), draw.between(1, 100)][draw.below(2)];
        let (x, dy) = ((draw.normal(&[rows, cols]) * 4.0).unwrap(), draw.normal(&[rows, cols]));
        let [mean, weight, bias] = [(); 3].map(|()| draw.normal(&[cols]));
        let variance = (draw.normal(&[cols]).sqr().unwrap() + 0.1).unwrap();
        let mut constants = [&mean, &variance, &weight, &bias].map(Buffer::f32);
        let [mut factors, mut summands] = [(); 2].map(|()| Buffer::unset(Element::F32, cols));
        let norm = [factors.at(), summands.at()];
        launch(&launch::norm_factors(constants.each_mut().map(Buffer::at), 1e-5, norm, cols));
        let mut y = buffer(e, &x);
        let limits = Activation::Relu6.limits();
        launch(&launch::norm(e, [y.at(), norm[0], norm[1]], [rows, cols], limits));
        let (x, moments) = (Var::from_tensor(&x).unwrap(), Moments { mean, variance });
        let expected = conv::fixed_norm(&x, &moments, [&weight, &bias], 1e-5, Activation::Relu6).unwrap();
        close(&y.read(), &expected, tolerance(e));

        // Of the values as they are, not as they were rounded: others may be clamped.
        let mut y = buffer(e, &expected);
        let (mut by, mut dx) = (buffer(e, &dy), Buffer::unset(e, rows * cols));
        launch(&launch::before(e, [y.at(), by.at(), dx.at(), norm[0]], [rows, cols], limits));
        let rounded = Tensor::from_vec(y.read(), (rows, cols), &Device::Cpu).unwrap();
        let clamped = Activation::Relu6.gradient(&rounded, &dy).unwrap();
        let scale = (&weight / (&moments.variance + 1e-5).unwrap().sqrt().unwrap()).unwrap();
        close(&dx.read(), &clamped.broadcast_mul(&scale).unwrap(), tolerance(e));
        if e == Element::F32 {
            let grads = (expected * &dy).unwrap().sum_all().unwrap().backward().unwrap();
            close(&dx.read(), grads.get(&x).unwrap(), 1e-5);
        }

        launch(&launch::before(e, [y.at(), by.at(), dx.at(), 0], [rows, cols], limits));
        close(&dx.read(), &clamped, 0.0);
    });
}

#[test]
fn columns_are_summed() {
    rounds("columns", |draw| {
        let (e, rows, cols) = (draw.element(), draw.between(1, 300), draw.between(1, 100));
        let x = draw.normal(&[rows, cols]);
        // In one go, and in more parts than rows or fewer.
        for parts in [1, draw.between(2, 20)] {
            let (mut bx, mut partial) = (buffer(e, &x), Buffer::unset(Element::F32, parts * cols));
            launch(&launch::column_sums(e, bx.at(), partial.at(), [rows, cols], parts));
            let mut sums = Buffer::unset(Element::F32, cols);
            launch(&launch::column_sums(Element::F32, partial.at(), sums.at(), [parts, cols], 1));
            close(&sums.read(), &x.sum(0).unwrap(), 1e-5);
        }
    });
    assert_eq!([1, 500, 5000, 1 << 20].map(launch::column_parts), [1, 1, 9, 256]);
}

#[test]
fn heads_are_taken_apart_and_put_together() {
    rounds("heads", |draw| {
        let (e, n, len, heads) = (draw.element(), draw.between(1, 4), draw.between(1, 9), draw.between(1, 4));
        let width = [8 * draw.between(1, 4), draw.between(1, 40)][draw.below(2)];
        let (room, dim) = (len.next_multiple_of(8), heads * width);
        // Queries, keys and values side by side, as one layer makes them.
        let x = draw.normal(&[n * len, 3 * dim]);
        let sizes = Heads { sequences: n, len, room, heads, width };
        let (mut bx, mut parts) = (buffer(e, &x), Buffer::unset(e, 3 * sizes.elements()));
        let start = bx.at();
        let from = [0, 1, 2].map(|i| start + (i * dim * e.bytes()) as Address);
        launch(&launch::split_heads(e, [from[0], from[1], from[2], parts.at()], sizes, [3 * dim; 3]));
        let apart = x.reshape((n, len, 3, heads, width)).unwrap().permute((2, 0, 3, 1, 4)).unwrap();
        close(&parts.read(), &apart.pad_with_zeros(3, 0, room - len).unwrap(), 0.0);
        let mut y = Buffer::unset(e, n * len * dim);
        launch(&launch::merge_heads(e, parts.at(), y.at(), sizes));
        close(&y.read(), &x.narrow(1, 0, dim).unwrap(), 0.0);
    });
}

/// A window and an image that it fits into.
pub(super) fn draw_window(draw: &mut Draw, channels: usize) -> (usize, Window, conv::Window) {
    let (kernel, stride) = (draw.between(1, 4), draw.between(1, 3));
    let padding = draw.between(0, kernel / 2);
    let [h, w] = [0; 2].map(|_| draw.between(kernel.max(2), 9));
    let output = [h, w].map(|size| (size + 2 * padding - kernel) / stride + 1);
    let window = Window { input: [h, w, channels], output, kernel: [kernel; 2], stride, padding: [padding; 2] };
    (draw.between(1, 3), window, conv::Window { stride, padding: Padding::Symmetric(padding) })
}

#[test]
fn windows_times_weights_are_convolutions() {
    rounds("gather", |draw| {
        let (e, out) = (draw.element(), draw.between(1, 9));
        let channels = [8 * draw.between(1, 4), draw.between(1, 20)][draw.below(2)];
        let (n, window, plain) = draw_window(draw, channels);
        let ([h, w, c], [oh, ow], [kh, kw]) = (window.input, window.output, window.kernel);
        let (x, weight, bias) = (draw.normal(&[n, h, w, c]), draw.normal(&[out, c, kh, kw]), draw.normal(&[out]));
        let (pixels, len) = (n * oh * ow, kh * kw * c);
        let stride = len.next_multiple_of(8);
        let (mut bx, mut columns) = (buffer(e, &x), Buffer::unset(e, pixels * stride));
        // In two parts, as the GPU's path takes large batches.
        let first = pixels / 2;
        for (from, count) in [(0, first), (first, pixels - first)] {
            if count > 0 {
                let to = columns.at() + (from * stride * e.bytes()) as Address;
                launch(&launch::gather(e, window, [bx.at(), to], [from, count], stride));
            }
        }
        let columns = Tensor::from_vec(columns.read(), (pixels, stride), &Device::Cpu).unwrap();
        let rest = columns.narrow(1, len, stride - len).unwrap();
        assert!(values(&rest).iter().all(|x| *x == 0.0));
        let weights = weight.permute((0, 2, 3, 1)).unwrap().reshape((out, len)).unwrap();
        let y = columns.narrow(1, 0, len).unwrap().matmul(&weights.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
        let expected = conv::conv2d(&x, &weight, &bias, plain, Activation::None).unwrap();
        close(&values(&y), &expected.reshape((pixels, out)).unwrap(), 1e-5);
    });
}

#[test]
fn output_pixels_times_weights_are_gradients_of_the_input() {
    rounds("spread", |draw| {
        let (e, channels) = (draw.element(), draw.between(1, 9));
        let out = [8 * draw.between(1, 4), draw.between(1, 20)][draw.below(2)];
        let (n, mut window, plain) = draw_window(draw, channels);
        let ([h, w, c], [oh, ow], [kh, kw]) = (window.input, window.output, window.kernel);
        let (x, weight, dy) =
            (draw.normal(&[n, h, w, c]), draw.normal(&[out, c, kh, kw]), draw.normal(&[n, oh, ow, out]));
        window.input[2] = out;
        let (pixels, len) = (n * h * w, kh * kw * out);
        let stride = len + [0, draw.below(4)][draw.below(2)];
        let (mut bd, mut columns) = (buffer(e, &dy), Buffer::unset(e, pixels * stride));
        let first = pixels / 3;
        for (from, count) in [(0, first), (first, pixels - first)] {
            if count > 0 {
                let to = columns.at() + (from * stride * e.bytes()) as Address;
                launch(&launch::spread(e, window, [bd.at(), to], [from, count], stride));
            }
        }
        let columns = Tensor::from_vec(columns.read(), (pixels, stride), &Device::Cpu).unwrap();
        let rest = columns.narrow(1, len, stride - len).unwrap();
        assert!(values(&rest).iter().all(|x| *x == 0.0));
        let weights = weight.permute((2, 3, 0, 1)).unwrap().reshape((len, c)).unwrap();
        let dx = columns.narrow(1, 0, len).unwrap().matmul(&weights).unwrap();
        let x = Var::from_tensor(&x).unwrap();
        let bias = Tensor::zeros(out, DType::F32, &Device::Cpu).unwrap();
        let y = conv::conv2d(&x, &weight, &bias, plain, Activation::None).unwrap();
        let grads = (y * dy).unwrap().sum_all().unwrap().backward().unwrap();
        close(&values(&dx), &grads.get(&x).unwrap().reshape((pixels, c)).unwrap(), 1e-5);
    });
}

#[test]
fn depthwise_windows_and_maxima() {
    rounds("depthwise", |draw| {
        let e = draw.element();
        let channels = [8 * draw.between(1, 6), draw.between(1, 30)][draw.below(2)];
        let (n, window, plain) = draw_window(draw, channels);
        let ([h, w, c], [oh, ow], [kh, kw]) = (window.input, window.output, window.kernel);
        let (x, weight, bias) = (draw.normal(&[n, h, w, c]), draw.normal(&[c, 1, kh, kw]), draw.normal(&[c]));
        let taps = weight.reshape((c, kh * kw)).unwrap().t().unwrap();
        let (mut bx, mut bw, mut bb) = (buffer(e, &x), buffer(e, &taps), buffer(e, &bias));
        let (pixels, limits) = (n * oh * ow, Activation::Relu6.limits());
        let mut y = Buffer::unset(e, pixels * c);
        launch(&launch::depthwise(e, window, [bx.at(), bw.at(), bb.at(), y.at()], pixels, limits));
        let expected = conv::depthwise_conv2d(&x, &weight, &bias, plain, Activation::Relu6).unwrap();
        close(&y.read(), &expected, tolerance(e));

        let mut y = Buffer::unset(e, pixels * c);
        launch(&launch::max_pool(e, window, [bx.at(), y.at()], pixels));
        close(&y.read(), &conv::max_pool2d(&x, kh, plain, false).unwrap(), 0.0);

        let mut y = Buffer::unset(e, n * c);
        launch(&launch::mean_pixels(e, [bx.at(), y.at()], [n, h * w, c]));
        close(&y.read(), &conv::global_avg_pool(&x).unwrap(), tolerance(e));
    });
}

/// Slopes of what follows the losses of runs.
fn slopes(runs: usize) -> Vec<f32> {
    (1..=runs).map(|run| 0.7 * run as f32).collect()
}

/// The values of a loss of several runs and the gradients of its arguments, each run's times its slope, on the
/// processor.
fn reference(inputs: &[&Tensor], loss: impl Fn(&[Var]) -> Tensor) -> (Tensor, Vec<Tensor>) {
    let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(&x.to_dtype(DType::F64).unwrap()).unwrap()).collect();
    let value = loss(&vars);
    let slopes = Tensor::new(slopes(value.elem_count()), &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
    let grads = (&value * slopes).unwrap().backward().unwrap();
    (value, vars.iter().map(|var| grads.get(var).unwrap().clone()).collect())
}

#[test]
fn nt_xent_and_its_gradient() {
    rounds("nt-xent", |draw| {
        let (runs, rows) = (draw.between(1, 4), 2 * draw.between(1, 70));
        let x = (draw.normal(&[runs, rows, rows]) * 3.0).unwrap();
        let (value, gradients) = reference(&[&x], |x| crate::loss::nt_xent(&x[0]).unwrap());
        let (mut bx, mut losses, mut y) =
            (Buffer::f32(&x), Buffer::unset(Element::F32, runs * rows), Buffer::unset(Element::F32, runs));
        launch(&launch::nt_xent(bx.at(), losses.at(), [runs, rows]));
        launch(&launch::sum(losses.at(), y.at(), [runs, rows], 1.0 / rows as f32));
        close(&y.read(), &value, 1e-5);
        let (mut dy, mut dx) =
            (Buffer::of(Element::F32, &slopes(runs)), Buffer::unset(Element::F32, runs * rows * rows));
        launch(&launch::nt_xent_gradient([bx.at(), dy.at(), dx.at()], [runs, rows]));
        // Relative to the largest, which is of the order of 1 over the rows.
        let found: Vec<f32> = dx.read().iter().map(|x| x * rows as f32).collect();
        close(&found, &(&gradients[0] * rows as f64).unwrap(), 1e-5);
    });
}

#[test]
fn divergences_and_their_gradients() {
    rounds("divergence", |draw| {
        let (runs, n, bits) = (draw.between(1, 4), draw.between(1, 100), draw.between(1, 64));
        let sigmoid = |x: Tensor| (x.neg().unwrap().exp().unwrap() + 1.0).unwrap().recip().unwrap();
        let (p, q) = (sigmoid(draw.normal(&[runs, n, bits])), sigmoid(draw.normal(&[runs, n, bits])));
        let (value, gradients) = reference(&[&p, &q], |x| crate::loss::bernoulli_kl(&x[0], &x[1]).unwrap());
        let (len, scale) = (n * bits, 1.0 / n as f32);
        let blocks = launch::divergence_blocks(len);
        let (mut bp, mut bq) = (Buffer::f32(&p), Buffer::f32(&q));
        let (mut sums, mut y) = (Buffer::unset(Element::F32, runs * blocks), Buffer::unset(Element::F32, runs));
        launch(&launch::bernoulli_kl([bp.at(), bq.at(), sums.at()], [runs, len], scale));
        launch(&launch::sum(sums.at(), y.at(), [runs, blocks], 1.0));
        close(&y.read(), &value, 1e-5);
        let mut dy = Buffer::of(Element::F32, &slopes(runs));
        for wanted in [true, false] {
            let unset = || Buffer::unset(Element::F32, runs * len);
            let (mut dp, mut dq) = (unset(), unset());
            let to = if wanted { dq.at() } else { 0 };
            launch(&launch::bernoulli_kl_gradient([bp.at(), bq.at(), dy.at(), dp.at(), to], [runs, len], scale));
            close(&dp.read(), &gradients[0], 2e-6);
            if wanted {
                close(&dq.read(), &gradients[1], 2e-6);
            }
        }
    });
}
