//! The operations on the device that HASHLAB_TEST_DEVICE names, beside candle's own in f64 on the processor.
//!
//! On a GPU, these are the kernels of `cuda/`, with the library's products of matrices.

mod common;

use candle_core::{DType, Device, Result, Tensor, Var};
use common::{close, draw, values};
use hashlab_kernels::conv::{
    Activation, FrozenConv, Moments, Padding, Window, add, conv2d, conv2d_norm, depthwise_conv2d, global_avg_pool,
    max_pool2d,
};
use hashlab_kernels::device::{Staging, cudnn_calls, for_tests};
use hashlab_kernels::loss::{bernoulli_kl, nt_xent};
use hashlab_kernels::optim::{Adam, Sgd, adam_steps, sgd_step};
use hashlab_kernels::transformer::{Gelu, attention, gelu, layer_norm};
use hashlab_kernels::{backward, linear, linear_relu};

/// The types of frozen networks with how far they may be from f64, relative to the largest number. On a processor, half
/// precision is candle's own affair.
fn types() -> Vec<(DType, f64)> {
    match for_tests().is_cpu() {
        true => vec![(DType::F32, 1e-5)],
        false => vec![(DType::F32, 1e-5), (DType::BF16, 2e-2)],
    }
}

/// Numbers that bf16 has exactly, in f64 on the processor.
fn exact(name: &str, shape: &[usize]) -> Tensor {
    draw(name, shape).to_dtype(DType::BF16).unwrap().to_dtype(DType::F64).unwrap()
}

fn on_device(x: &Tensor, dtype: DType) -> Tensor {
    // A GPU's f64 would be converted there.
    x.to_dtype(DType::F32).unwrap().to_device(for_tests()).unwrap().to_dtype(dtype).unwrap()
}

fn back(x: &Tensor) -> Tensor {
    x.to_dtype(DType::F32).unwrap().to_device(&Device::Cpu).unwrap()
}

/// Compares `op` without gradients in every type.
#[track_caller]
fn check_frozen(inputs: &[Tensor], op: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let expected = op(inputs).unwrap();
    for (dtype, tolerance) in types() {
        let inputs: Vec<Tensor> = inputs.iter().map(|x| on_device(x, dtype)).collect();
        close(&back(&op(&inputs).unwrap()), &expected, tolerance);
    }
}

/// Compares the value of `op` and the gradients of all inputs, each relative to its largest number.
#[track_caller]
fn check_trained(inputs: &[Tensor], op: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let run = |inputs: Vec<Tensor>| {
        let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let y = op(&tensors).unwrap();
        // Gradients that differ from element to element.
        let loss = (y.sqr().unwrap() * 0.5).unwrap().sum_all().unwrap();
        let grads = backward(&loss).unwrap();
        let gradients: Vec<Tensor> = vars.iter().map(|var| grads.get(var).unwrap().clone()).collect();
        (y, gradients)
    };
    let (y, gradients) = run(inputs.to_vec());
    let (found, found_gradients) = run(inputs.iter().map(|x| on_device(x, DType::F32)).collect());
    close(&back(&found), &y, 1e-5);
    for (found, expected) in found_gradients.iter().zip(&gradients) {
        let scale = values(expected).into_iter().fold(1e-6f64, |largest, x| largest.max(x.abs()));
        close(&(back(found) / scale).unwrap(), &(expected / scale).unwrap(), 2e-5);
    }
}

#[test]
fn layers_and_their_gradients() {
    for (rows, features, out) in [(128, 512, 256), (7, 33, 5), (1, 8, 8)] {
        let inputs = [exact("x", &[rows, features]), exact("w", &[out, features]), exact("b", &[out])];
        check_trained(&inputs, |t| linear(&t[0], &t[1], Some(&t[2])));
        check_trained(&inputs, |t| linear_relu(&t[0], &t[1], Some(&t[2])));
        check_trained(&inputs[..2], |t| linear_relu(&t[0], &t[1], None));
        // Twice the same layer: gradients of both uses add up.
        check_trained(&inputs, |t| {
            let twice = linear(&(&t[0] * 0.5)?, &t[1], Some(&t[2]))?;
            linear_relu(&t[0], &t[1], Some(&t[2]))? + twice
        });
    }
    let inputs = [exact("x", &[3, 4, 6]), exact("w", &[5, 6]), exact("b", &[5])];
    check_trained(&inputs, |t| linear(&t[0], &t[1], Some(&t[2])));
    // Stacked runs, with inputs of their own and with the same.
    for x in [&[3, 7, 6][..], &[7, 6]] {
        let inputs = [exact("x", x), exact("w", &[3, 5, 6]), exact("b", &[3, 5])];
        check_trained(&inputs, |t| linear_relu(&t[0], &t[1], Some(&t[2])));
    }
}

#[test]
fn losses_and_their_gradients() {
    for rows in [2, 128, 300] {
        check_trained(&[exact("similarity", &[rows, rows])], |t| nt_xent(&t[0]));
        // Of a strided matrix.
        check_trained(&[exact("similarity", &[rows, rows])], |t| nt_xent(&t[0].t()?));
        check_trained(&[exact("similarity", &[3, rows, rows])], |t| nt_xent(&t[0]));
    }
    let sigmoid = |x: Tensor| (x.neg().unwrap().exp().unwrap() + 1.0).unwrap().recip().unwrap();
    let probabilities = |name| sigmoid(draw(name, &[65, 48])).to_dtype(DType::F64).unwrap();
    let (p, q) = (probabilities("p"), probabilities("q"));
    check_trained(&[p.clone(), q], |t| bernoulli_kl(&t[0], &t[1]));
    check_trained(std::slice::from_ref(&p), |t| bernoulli_kl(&t[0], &(t[0].detach() * 0.9)?));
    check_trained(&[p.reshape((5, 13, 48)).unwrap()], |t| bernoulli_kl(&t[0], &(t[0].detach() * 0.9)?));
}

#[test]
fn optimizers_step_on_all_parameters_at_once() {
    let adam = Adam { lr: 0.01, weight_decay: 0.1, ..Adam::default() };
    let shapes: Vec<Vec<usize>> = (1..30).map(|i| vec![i, 7 * i]).collect();
    let start = |dtype: Option<DType>| -> Vec<[Tensor; 4]> {
        let tensor = |name: &str, shape: &[usize]| match dtype {
            Some(dtype) => on_device(&exact(name, shape), dtype),
            None => exact(name, shape),
        };
        let moments = |shape: &[usize]| tensor("m", shape).sqr().unwrap();
        shapes.iter().map(|s| [tensor("p", s), tensor("g", s), moments(s), moments(s)]).collect()
    };
    let run = |dtype: Option<DType>, together: bool| {
        let mut all = start(dtype);
        let vars: Vec<Var> = all.iter().map(|of| Var::from_tensor(&of[0]).unwrap()).collect();
        for t in 1..4 {
            let group = vars.iter().zip(&mut all).map(|(var, [_, g, m, v])| (var, &*g, m, v));
            match together {
                true => adam_steps(&mut group.collect::<Vec<_>>(), t, &[adam]).unwrap(),
                false => group.for_each(|(var, g, m, v)| adam_steps(&mut [(var, g, m, v)], t, &[adam]).unwrap()),
            }
        }
        vars
    };
    let (expected, found) = (run(None, false), run(Some(DType::F32), true));
    let alone = run(Some(DType::F32), false);
    for ((expected, found), alone) in expected.iter().zip(&found).zip(&alone) {
        close(&back(found), expected, 1e-6);
        assert_eq!(values(&back(found)), values(&back(alone)));
    }
    let sgd = Sgd { lr: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.01 };
    let step = |tensors: [Tensor; 3]| {
        let [p, g, mut v] = tensors;
        let var = Var::from_tensor(&p).unwrap();
        sgd_step(&var, &g, &mut v, &[sgd]).unwrap();
        var
    };
    let inputs = ["p", "g", "v"].map(|name| exact(name, &[33, 65]));
    let found = step(inputs.each_ref().map(|x| on_device(x, DType::F32)));
    close(&back(&found), &step(inputs), 1e-6);
}

#[test]
fn transformers_that_are_frozen() {
    for (rows, len) in [(40, 768), (3, 50), (5, 1500)] {
        let inputs = [exact("x", &[rows, len]), exact("w", &[len]), exact("b", &[len])];
        check_frozen(&inputs, |t| layer_norm(&t[0], [&t[1], &t[2]], 1e-6));
        check_frozen(&inputs[..1], |t| gelu(&t[0], Gelu::Exact));
    }
    let lengths: [&[usize]; 4] = [&[197, 197], &[5, 5, 9, 1, 0, 1], &[64], &[30; 7]];
    for (lengths, heads, width) in
        lengths.into_iter().zip([12, 3, 1, 4]).map(|(l, h)| (l, h, if h == 3 { 5 } else { 32 }))
    {
        let dim = heads * width;
        let qkv = exact("qkv", &[lengths.iter().sum(), 3 * dim]);
        check_frozen(&[qkv], |t| {
            let part = |i: usize| t[0].narrow(1, i * dim, dim);
            attention([&part(0)?, &part(1)?, &part(2)?], lengths, heads)
        });
    }
}

/// Images, a window, and the shape of the weights: dense ones of every kind that ResNets, VGG16, ViT and MobileNet
/// have.
fn convolutions() -> Vec<([usize; 4], [usize; 4], Window)> {
    let window = |stride, padding| Window { stride, padding: Padding::Symmetric(padding) };
    vec![
        ([2, 20, 20, 3], [64, 3, 7, 7], window(2, 3)),
        ([3, 14, 14, 64], [32, 64, 3, 3], window(1, 1)),
        ([3, 15, 13, 16], [24, 16, 3, 3], Window { stride: 2, padding: Padding::Same }),
        ([3, 14, 14, 64], [256, 64, 1, 1], window(1, 0)),
        ([3, 14, 14, 64], [128, 64, 1, 1], window(2, 0)),
        ([5, 7, 7, 40], [100, 40, 7, 7], window(1, 0)),
        ([2, 32, 32, 3], [96, 3, 16, 16], window(16, 0)),
        ([1, 1, 197, 768], [64, 768, 1, 1], window(1, 0)),
        ([2, 5, 5, 7], [9, 7, 2, 2], window(1, 1)),
    ]
}

#[test]
fn convolutions_that_are_frozen() {
    for (image, weight, window) in convolutions() {
        let scale = 1.0 / ((weight[1] * weight[2] * weight[3]) as f64).sqrt();
        // Powers of 2, so that bf16 has the products.
        let inputs = [
            exact("x", &image),
            (exact("w", &weight) * 2f64.powf(scale.log2().round())).unwrap(),
            exact("b", &weight[..1]),
        ];
        for activation in [Activation::None, Activation::Relu] {
            let expected = conv2d(&inputs[0], &inputs[1], &inputs[2], window, activation).unwrap();
            let residual = exact("r", expected.dims());
            let linear = conv2d(&inputs[0], &inputs[1], &inputs[2], window, Activation::None).unwrap();
            let with_residual = (linear + &residual).unwrap();
            let with_residual =
                if activation == Activation::Relu { with_residual.relu().unwrap() } else { with_residual };
            for (dtype, tolerance) in types() {
                let [x, w, b] = inputs.each_ref().map(|t| on_device(t, dtype));
                let conv = FrozenConv::dense(&w, &b, window, activation).unwrap();
                close(&back(&conv.forward(&x).unwrap()), &expected, tolerance);
                for form in [Gelu::Exact, Gelu::Tanh, Gelu::Quick] {
                    let activated = conv.forward_gelu(&x, form).unwrap();
                    close(&back(&activated), &gelu(&expected, form).unwrap(), tolerance);
                }
                let added = conv.forward_add(&x, &on_device(&residual, dtype)).unwrap();
                close(&back(&added), &with_residual, tolerance);
            }
        }
    }
}

#[test]
fn convolutions_and_their_gradients() {
    for (image, weight, window) in convolutions() {
        let channels = &weight[..1];
        let inputs = [exact("x", &image), exact("w", &weight), exact("b", channels)];
        for activation in [Activation::None, Activation::Relu] {
            check_trained(&inputs, |t| conv2d(&t[0], &t[1], &t[2], window, activation));
        }
        // Moments, weight and bias of a norm that are constants, of the type and on the device of what they follow.
        let positive = (exact("variance", channels).sqr().unwrap() + 0.5).unwrap();
        let constants = [exact("mean", channels), positive, exact("scale", channels), exact("shift", channels)];
        check_trained(&inputs[..2], |t| {
            let [mean, variance, scale, shift] = constants
                .each_ref()
                .map(|c| if t[0].dtype() == DType::F64 { c.clone() } else { on_device(c, DType::F32) });
            let norm = (&Moments { mean, variance }, [&scale, &shift], 1e-5);
            conv2d_norm(&t[0], &t[1], norm, window, Activation::Relu)
        });
    }
}

/// cuDNN computes a convolution, of one type at least, if it is asked for.
#[test]
#[allow(clippy::print_stdout, reason = "what gpu-check shows")]
fn cudnn_computes_if_it_is_asked_for() {
    let [x, w, b] = [exact("x", &[2, 14, 14, 64]), exact("w", &[32, 64, 3, 3]), exact("b", &[32])];
    let (window, mut computed) = (Window { stride: 1, padding: Padding::Symmetric(1) }, 0);
    for (dtype, _) in types() {
        let [x, w, b] = [&x, &w, &b].map(|t| on_device(t, dtype));
        let Some(before) = cudnn_calls(for_tests()) else { return };
        FrozenConv::dense(&w, &b, window, Activation::Relu).unwrap().forward(&x).unwrap();
        let after = cudnn_calls(for_tests()).expect("it is asked for");
        let [nothing, sums, fused] = [0, 1, 2].map(|done| after[done] - before[done]);
        println!("cuDNN left {nothing} of {dtype:?} alone, computed {sums}, and {fused} with bias and rectifier");
        computed += sums + fused;
    }
    assert!(computed > 0);
}

#[test]
fn sums_of_images_and_their_gradients() {
    for shape in [[2, 5, 3, 16], [1, 4, 4, 7]] {
        let inputs = [exact("a", &shape), exact("b", &shape)];
        for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
            check_trained(&inputs, |t| add(&t[0], &t[1], activation));
        }
    }
}

#[test]
fn gradients_in_bf16() {
    let window = Window { stride: 2, padding: Padding::Symmetric(1) };
    let inputs = [exact("x", &[2, 11, 9, 16]), exact("w", &[24, 16, 3, 3]), exact("b", &[24])];
    let run = |inputs: Vec<Tensor>| {
        let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
        let y = conv2d(&vars[0], &vars[1], &vars[2], window, Activation::Relu).unwrap();
        let loss = y.to_dtype(DType::F32).unwrap().sum_all().unwrap();
        let grads = backward(&loss).unwrap();
        vars.iter().map(|var| back(grads.get(var).unwrap())).collect::<Vec<_>>()
    };
    // A constant bias of mixed precision is in f32.
    let constant = |x: Tensor, w: Tensor, b: Tensor| back(&conv2d(&x, &w, &b, window, Activation::Relu).unwrap());
    let [x, w, b] = inputs.each_ref();
    let found = constant(on_device(x, DType::BF16), on_device(w, DType::BF16), on_device(b, DType::F32));
    close(&found, &constant(x.clone(), w.clone(), b.clone()), 2e-2);
    let expected = run(inputs.to_vec());
    let found = run(inputs.iter().map(|x| on_device(x, DType::BF16)).collect());
    for (found, expected) in found.iter().zip(&expected) {
        let scale = values(expected).into_iter().fold(1e-6f64, |largest, x| largest.max(x.abs()));
        close(&(found / scale).unwrap(), &(expected / scale).unwrap(), 2e-2);
    }
}

#[test]
fn a_batch_that_is_taken_in_parts() {
    // Its windows side by side take more than is taken at a time.
    let (window, types) = (Window { stride: 1, padding: Padding::Symmetric(1) }, types());
    let [x, w, b] = [exact("x", &[3, 96, 96, 96]), exact("w", &[8, 96, 3, 3]), exact("b", &[8])];
    let w = (w * (1.0 / 32.0)).unwrap();
    let expected = conv2d(&x, &w, &b, window, Activation::Relu6).unwrap();
    for (dtype, tolerance) in types {
        let [x, w, b] = [&x, &w, &b].map(|t| on_device(t, dtype));
        let conv = FrozenConv::dense(&w, &b, window, Activation::Relu6).unwrap();
        close(&back(&conv.forward(&x).unwrap()), &expected, tolerance);
    }
    let inputs = [exact("x", &[3, 96, 96, 96]), (exact("w", &[8, 96, 3, 3]) * (1.0 / 32.0)).unwrap(), exact("b", &[8])];
    check_trained(&inputs, |t| conv2d(&t[0], &t[1], &t[2], window, Activation::Relu));
}

#[test]
fn depthwise_windows_and_pools_that_are_frozen() {
    for (channels, stride, padding) in
        [(32, 1, Padding::Symmetric(1)), (40, 2, Padding::Same), (13, 2, Padding::Symmetric(1))]
    {
        let window = Window { stride, padding };
        let inputs = [exact("x", &[2, 17, 12, channels]), exact("w", &[channels, 1, 3, 3]), exact("b", &[channels])];
        let expected = depthwise_conv2d(&inputs[0], &inputs[1], &inputs[2], window, Activation::Relu6).unwrap();
        for (dtype, tolerance) in types() {
            let [x, w, b] = inputs.each_ref().map(|t| on_device(t, dtype));
            let conv = FrozenConv::depthwise(&w, &b, window, Activation::Relu6).unwrap();
            close(&back(&conv.forward(&x).unwrap()), &expected, tolerance);
        }
        check_frozen(&inputs[..1], |t| global_avg_pool(&t[0]));
        for ceil in [false, true] {
            check_frozen(&inputs[..1], |t| {
                max_pool2d(&t[0], 3, Window { stride: 2, padding: Padding::Symmetric(1) }, ceil)
            });
        }
    }
}

#[test]
fn numbers_arrive_on_the_device_also_when_their_room_is_used_again() {
    let mut staging = Staging::new(8, for_tests()).unwrap();
    let mut tensors = Vec::new();
    for round in 0..3 {
        for (i, number) in staging.numbers().unwrap().iter_mut().enumerate() {
            *number = (10 * round + i) as f32;
        }
        tensors.push(staging.to_tensor((2, 3), for_tests()).unwrap());
    }
    for (round, tensor) in tensors.iter().enumerate() {
        let expected: Vec<f64> = (0..6).map(|i| (10 * round + i) as f64).collect();
        assert_eq!(values(tensor), expected);
    }
    assert!(staging.to_tensor(9, for_tests()).is_err());
}
